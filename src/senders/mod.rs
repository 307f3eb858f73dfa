//! Senders for what applications have: a mail server (feature `smtp`), or a service of their own (feature `webhook`).
//!
//! With a client of a provider none of these is needed: an async closure over it is a sender ([`OtpSender`](crate::OtpSender)).

use std::time::Duration;

use http::Uri;

use crate::{
    engine::DeliveryError,
    rules::{random_bytes, system_random},
};

#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(feature = "smtp")]
pub use self::smtp::Smtp;
#[cfg(feature = "webhook")]
pub use self::webhook::{Webhook, WebhookSecret};

/// Most that is kept of a sender's deadline for the answer to the start: a sender that is dropped says nothing.
const SPARE: Duration = Duration::from_millis(200);

/// How long a message may take to send.
fn time_to_send(deadline: Duration) -> Duration {
    deadline.saturating_sub(SPARE.min(deadline / 8))
}

/// 128 random bits that identify a message.
fn message_id() -> Result<String, DeliveryError> {
    let id = random_bytes::<16>(system_random).map_err(|_| DeliveryError::Failed)?;
    Ok(format!("{:032x}", u128::from_be_bytes(id)))
}

/// Whether a URL leads to this machine, to which nothing has to be encrypted.
fn is_local(uri: &Uri) -> bool {
    matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least deadline that the policy permits leaves time, too.
    #[test]
    fn a_part_of_the_deadline_is_kept() {
        for (deadline, expected) in [(10_000, 9_800), (1_600, 1_400), (800, 700), (100, 87)] {
            assert_eq!(time_to_send(Duration::from_millis(deadline)).as_millis(), expected, "{deadline}");
        }
    }
}
