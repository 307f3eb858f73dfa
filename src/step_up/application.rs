//! What the application is asked: where a channel leads, and to send a message.

use super::{
    Engine,
    channel::Channel,
    outside::{BoxFuture, unless_it_panics, within},
};
use crate::{
    caller::Caller,
    delivery::{DeliveryError, Enrolment, Recipient, Refused},
    error::ChallengeError,
    event::{Event, SendFailure},
    store::Store,
};

/// An [`Enrolment`], whatever its type.
pub(crate) trait ErasedEnrolment: Send + Sync {
    fn resolve<'a>(&'a self, caller: &'a Caller, channel: &'a str) -> BoxFuture<'a, Result<Recipient, Refused>>;
}

impl<E: Enrolment> ErasedEnrolment for E {
    fn resolve<'a>(&'a self, caller: &'a Caller, channel: &'a str) -> BoxFuture<'a, Result<Recipient, Refused>> {
        Box::pin(Enrolment::resolve(self, caller, channel))
    }
}

/// What the application is asked.
impl<S: Store> Engine<S> {
    /// Where a channel leads for a caller. What stands in the way comes in two parts, because a user who is
    /// disabled is told so before they are told that a channel is not enrolled.
    pub(super) async fn resolve(
        &self,
        caller: &Caller,
        channel: &str,
    ) -> Result<Result<Recipient, ChallengeError>, ChallengeError> {
        let resolved = unless_it_panics(async { self.enrolment.resolve(caller, channel).await });
        match within(self.policy.sender_deadline, resolved).await.flatten() {
            Some(Ok(recipient)) => Ok(Ok(recipient)),
            Some(Err(Refused::NotEnrolled)) => Ok(Err(ChallengeError::ChannelNotRegistered)),
            Some(Err(Refused::NotSupported)) => Ok(Err(ChallengeError::ChannelNotSupported)),
            Some(Err(Refused::Forbidden)) => Err(ChallengeError::Forbidden),
            Some(Err(Refused::Unavailable)) | None => Err(ChallengeError::Unavailable),
        }
    }

    /// Those of the channels that this caller has enrolled.
    pub(super) async fn enrolled(
        &self,
        caller: &Caller,
        channels: impl Iterator<Item = &str>,
    ) -> Result<Vec<String>, ChallengeError> {
        let mut enrolled = Vec::new();
        for channel in channels {
            match self.resolve(caller, channel).await {
                Ok(Ok(_)) => enrolled.push(channel.to_owned()),
                Ok(Err(_)) | Err(ChallengeError::Forbidden) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(enrolled)
    }

    /// Hands a message to its sender. In the sandbox nothing is sent.
    pub(super) async fn deliver<M>(
        &self,
        caller: &Caller,
        channel: &Channel<M>,
        message: M,
    ) -> Result<(), SendFailure> {
        if self.sandbox {
            return Ok(());
        }
        let (subject, name) = (caller.subject(), &*channel.name);
        let sending = unless_it_panics(async { (channel.deliver)(message).await });
        let sent = match within(self.policy.sender_deadline, sending).await {
            Some(Some(Ok(()))) => Ok(()),
            Some(Some(Err(DeliveryError::RecipientInvalid))) => Err(SendFailure::RecipientInvalid),
            Some(Some(Err(DeliveryError::Failed))) => Err(SendFailure::Failed),
            Some(None) => Err(SendFailure::Panicked),
            None => Err(SendFailure::TooSlow),
        };
        self.tell(&match sent {
            Ok(()) => Event::Sent { subject, channel: name },
            Err(why) => Event::SendFailed { subject, channel: name, why },
        });
        sent
    }
}
