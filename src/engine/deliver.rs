//! Calls to the application: to resolve a recipient, and to send a message.

use futures_util::future::join_all;

use super::{Engine, channel::Channel};
use crate::{
    catch::catch_async,
    engine::{
        AuthorizeError, Caller, DeliveryError, Enrollment, EnrollmentError, Event, Grant, Recipient, SendFailure,
    },
    rules::{ChallengeError, Requirement, UnmetReason},
    timeout::{BoxFuture, within},
};

/// A type-erased [`Enrollment`].
pub(crate) trait ErasedEnrollment: Send + Sync {
    fn resolve<'a>(&'a self, caller: &'a Caller, channel: &'a str)
    -> BoxFuture<'a, Result<Recipient, EnrollmentError>>;
}

impl<E: Enrollment> ErasedEnrollment for E {
    fn resolve<'a>(
        &'a self,
        caller: &'a Caller,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Recipient, EnrollmentError>> {
        Box::pin(Enrollment::resolve(self, caller, channel))
    }
}

/// Calls to the application.
impl Engine {
    /// The recipient of a channel for a caller. The outer error is returned at once; the inner one, that the channel is
    /// not enrolled or not supported, only after another check whether the user is disabled.
    pub(super) async fn resolve(
        &self,
        caller: &Caller,
        channel: &str,
    ) -> Result<Result<Recipient, ChallengeError>, ChallengeError> {
        let Some(enrollment) = &self.enrollment else { return Ok(Ok(Recipient::known_to_sender())) };
        let asked = catch_async(async { enrollment.resolve(caller, channel).await });
        match within(self.policy.sender_deadline, asked).await.flatten() {
            Some(Ok(recipient)) => Ok(Ok(recipient)),
            Some(Err(EnrollmentError::NotEnrolled)) => Ok(Err(ChallengeError::ChannelNotRegistered)),
            Some(Err(EnrollmentError::NotSupported)) => Ok(Err(ChallengeError::ChannelNotSupported)),
            Some(Err(EnrollmentError::Forbidden)) => Err(ChallengeError::Forbidden),
            Some(Err(EnrollmentError::Unavailable)) | None => Err(ChallengeError::Unavailable),
        }
    }

    /// Those of the channels that this caller has enrolled, with their recipients; all are resolved concurrently.
    pub(super) async fn enrolled(
        &self,
        caller: &Caller,
        channels: impl Iterator<Item = &str>,
    ) -> Result<Vec<(String, Recipient)>, ChallengeError> {
        let ask = async |channel| (channel, self.resolve(caller, channel).await);
        let mut enrolled = Vec::new();
        for (channel, resolved) in join_all(channels.map(ask)).await {
            match resolved {
                Ok(Ok(recipient)) => enrolled.push((channel.to_owned(), recipient)),
                Ok(Err(_)) | Err(ChallengeError::Forbidden) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(enrolled)
    }

    /// Whether it is asked, before a refusal, if the caller has enrolled any channel.
    pub(crate) fn asks_for_channels(&self, decided: &Result<Grant, AuthorizeError>) -> bool {
        matches!(decided, Err(AuthorizeError::StepUpRequired(unmet)) if unmet.reason() == UnmetReason::Missing)
            && self.report_unenrolled
    }

    /// The decision, with another reason where a step-up is missing and the caller has enrolled no channel for it. Late
    /// and failed answers of the application change nothing.
    pub(crate) async fn told_of_channels(
        &self,
        caller: &Caller,
        requirement: &Requirement,
        decided: Result<Grant, AuthorizeError>,
    ) -> Result<Grant, AuthorizeError> {
        if self.asks_for_channels(&decided) && self.has_no_channel(caller, requirement).await {
            return Err(AuthorizeError::StepUpRequired(UnmetReason::NoChannel.into()));
        }
        decided
    }

    /// Whether a caller without a step-up could not get one: no accepted channel is enrolled, or, where each of several
    /// is needed, not all of them.
    async fn has_no_channel(&self, caller: &Caller, requirement: &Requirement) -> bool {
        let accepted = self.channels.names().filter(|name| requirement.accepts(name));
        let resolved = join_all(accepted.map(|channel| self.resolve(caller, channel))).await;
        let lacks = |resolved: &Result<Result<_, _>, _>| matches!(resolved, Ok(Err(_)));
        match resolved.iter().all(Result::is_ok) {
            true if requirement.takes_all() => resolved.iter().any(lacks),
            true => resolved.iter().all(lacks),
            false => false,
        }
    }

    /// Passes a message to its sender. In the sandbox nothing is sent.
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
        let sending = catch_async(async { (channel.deliver)(message).await });
        let sent = match within(self.policy.sender_deadline, sending).await {
            Some(Some(Ok(()))) => Ok(()),
            Some(Some(Err(DeliveryError::RecipientInvalid))) => Err(SendFailure::RecipientInvalid),
            Some(Some(Err(DeliveryError::Failed))) => Err(SendFailure::Failed),
            Some(Some(Err(DeliveryError::Unknown))) => Err(SendFailure::Unknown),
            Some(None) => Err(SendFailure::Panicked),
            None => Err(SendFailure::TooSlow),
        };
        self.emit(&match sent {
            Ok(()) => Event::Sent { subject, channel: name },
            Err(why) => Event::SendFailed { subject, channel: name, why },
        });
        sent
    }
}
