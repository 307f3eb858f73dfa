#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod binding;
mod body;
mod caller;
mod clock;
mod code;
pub mod companion;
#[cfg(feature = "test-util")]
pub mod coverage;
mod delivery;
mod error;
mod event;
#[doc = include_str!("../docs/events.md")]
pub mod events {}
#[cfg(feature = "axum")]
pub mod extract;
mod grant;
pub mod grpc;
pub mod guard;
mod id;
mod key;
mod log;
#[cfg(feature = "metrics")]
mod meter;
#[doc = include_str!("../docs/operations.md")]
pub mod operations {}
mod policy;
mod purpose;
mod requirement;
mod sends;
mod session;
#[doc = include_str!("../docs/sessions.md")]
pub mod sessions {}
mod step_up;
pub mod store;
mod subject;

#[cfg(any(test, feature = "test-util"))]
pub use crate::clock::ManualClock;
pub use crate::{
    binding::Binding,
    caller::{Caller, Identify},
    clock::{Clock, SystemClock, Timestamp},
    code::{OneTimeCode, Secret},
    companion::ChallengeService,
    delivery::{
        DeliveryError, Enrolment, OtpMessage, OtpSender, PushMessage, PushSender, Recipient, RecipientError, Refused,
        discard,
    },
    error::{ChallengeError, ConfigError, Malformed, RateLimit},
    event::{Event, Lock, Observer, SendFailure},
    grant::Grant,
    guard::{BindStepUp, Refusal, Refuse, RequireStepUp, Terms},
    policy::Policy,
    purpose::Purpose,
    requirement::{Factor, Reason, Requirement, Unmet, UnmetPart},
    session::PushStatus,
    step_up::{AnswerError, CheckError, Proof, ProofError, PushAnswer, PushStarted, Status, StepUp, StepUpBuilder},
    store::{MemoryStore, Store},
};
