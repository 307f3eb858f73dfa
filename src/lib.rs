#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod challenges;
#[cfg(feature = "test-util")]
pub mod coverage;
mod engine;
#[doc = include_str!("../docs/events.md")]
pub mod events {}
#[cfg(feature = "axum")]
pub mod extract;
pub mod grpc;
pub mod guard;
#[doc = include_str!("../docs/operations.md")]
pub mod operations {}
mod rules;
#[doc = include_str!("../docs/sessions.md")]
pub mod sessions {}
pub mod store;
mod timeout;
mod wire;

#[cfg(any(test, feature = "test-util"))]
pub use crate::engine::ManualClock;
pub use crate::{
    challenges::{self as companion, ChallengeService},
    engine::{
        AnswerError, Caller, CallerOf, CheckError, Clock, DeliveryError, Enrolment, Event, Grant, Identify, Lock,
        Observer, OtpMessage, OtpSender, Proof, ProofError, Purpose, PushAnswer, PushMessage, PushSender, PushStarted,
        Recipient, RecipientError, Refused, SendFailure, Status, StepUp, StepUpBuilder, SystemClock, discard,
    },
    guard::{BindStepUp, Binding, Refusal, Refuse, RequireStepUp, Terms},
    rules::{
        ChallengeError, ConfigError, Factor, Malformed, OneTimeCode, Policy, PushStatus, RateLimit, Reason,
        Requirement, Secret, Timestamp, Unmet, UnmetPart,
    },
    store::{MemoryStore, Store},
};
