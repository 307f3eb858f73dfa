#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
//
// Module map:
//
//   layer, service  the layer, and what it does with a request: send, see, step up, repeat
//   body, response  bodies that can be sent twice; whether a response is a refusal
//   requirement     what a refusal asks for
//   turns           one prompt for all that wait for the same thing, and one of a session at a time
//   prompt          what the application implements
//   target          whose request it was, and where the challenge endpoints of the same server are
//   challenges      calls them, over HTTP or gRPC, by transport: the service inside
//   adapters        reqwest, hyper-util, tonic

pub mod adapters;
mod body;
mod challenges;
mod error;
#[cfg(feature = "tonic")]
mod grpc;
mod layer;
mod prompt;
mod requirement;
mod response;
mod service;
mod target;
mod transport;
mod turns;

#[doc(inline)]
pub use crate::{
    body::RepeatableBody,
    challenges::{
        ChallengeError, Challenges, Grant, Pending, PendingOtp, PendingPush, PushOutcome, PushStarted, PushStatus,
        SessionStatus,
    },
    error::{BoxError, Error},
    layer::{InvalidPath, StepUpClient},
    prompt::{Prompt, PromptError},
    requirement::{Channels, Reason, Requirement, Unmet},
    response::ResponseBody,
    service::StepUpService,
};
