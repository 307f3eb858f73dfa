#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
//
// Module map; see ARCHITECTURE.md:
//
//   rules       decisions: pure functions of records, commands and a time
//   store       storage of records: load and compare-and-swap
//   engine      loads a record, applies the rules, swaps, answers; calls the application
//   wire        output of the edges: headers, JSON, gRPC statuses
//   guard       the layer in front of routes          (an edge)
//   challenges  starts and verification over HTTP     (an edge)
//   page        HTML on which a person steps up       (an edge, served by the challenge endpoints)
//   senders     messages by SMTP or a webhook         (an edge)
//   grpc        starts and verification over gRPC     (an edge)

// First, so that the documentation of `StepUp` begins with its builder.
mod engine;

mod catch;
pub mod challenges;
#[cfg(feature = "axum")]
pub mod extract;
pub mod grpc;
pub mod guard;
pub mod guide;
#[cfg(feature = "page")]
pub mod page;
mod rules;
#[cfg(any(feature = "smtp", feature = "webhook"))]
pub mod senders;
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;
mod timeout;
mod wire;

#[cfg(any(test, feature = "test-util"))]
#[doc(inline)]
pub use crate::engine::ManualClock;
#[cfg(feature = "page")]
#[doc(inline)]
pub use crate::page::Page;
#[doc(inline)]
pub use crate::{
    challenges::ChallengeService,
    engine::{
        AuthorizeError, Caller, CallerOf, Clock, DeliveryError, EmailText, Enrollment, EnrollmentError, Event, Grant,
        Identify, Lockout, Observer, OtpMessage, OtpSender, PendingOtp, PendingPush, Proof, ProofError, Purpose,
        PushMessage, PushReply, PushReplyError, PushSender, PushStarted, Recipient, RecipientError, SendFailure,
        SmsText, StepUp, StepUpBuilder, StepUpEnded, StepUpStatus, SystemClock, discard,
    },
    guard::{
        BindStepUp, Binding, RequireStepUp,
        refusal::{Refusal, RefusalTerms, ResponseForRefusal},
    },
    rules::{
        ChallengeError, ConfigError, Ended, Factor, Limited, Malformed, OneTimeCode, Policy, PushStatus, RateLimit,
        Requirement, Secret, SendBudget, Timestamp, Unmet, UnmetPart, UnmetReason,
    },
    store::{MemoryStore, Store},
};
