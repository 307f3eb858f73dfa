//! Senders for what applications have: a mail server (feature `smtp`), or a service of their own (feature `webhook`).
//!
//! With a client of a provider none of these is needed: an async closure over it is a sender ([`OtpSender`](crate::OtpSender)).

use std::time::Duration;

#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(feature = "smtp")]
pub use self::smtp::Smtp;
#[cfg(feature = "webhook")]
pub use self::webhook::{Webhook, WebhookSecret};

/// What is left of the sender's deadline for the answer to the start: a sender that is dropped says nothing.
const SPARE: Duration = Duration::from_millis(200);
