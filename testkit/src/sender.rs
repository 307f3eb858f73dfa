//! Senders that work, and that fail in each way.

use std::future::pending;

use tower_step_up::DeliveryError;

/// What a sender does with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sender {
    Works,
    Refuses,
    Fails,
    Hangs,
    Panics,
    /// It may have been sent.
    Unsure,
}

impl Sender {
    pub async fn act(self) -> Result<(), DeliveryError> {
        match self {
            Self::Works => Ok(()),
            Self::Refuses => Err(DeliveryError::RecipientInvalid),
            Self::Fails => Err(DeliveryError::Failed),
            Self::Hangs => pending().await,
            Self::Panics => panic!("in the application's code"),
            Self::Unsure => Err(DeliveryError::Unknown),
        }
    }
}
