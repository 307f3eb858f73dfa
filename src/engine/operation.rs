//! One call to the challenge endpoints, common to HTTP and gRPC: parsed once, performed, and its outcome.

use std::sync::Arc;

use super::{
    StepUp,
    channel::{Channel, find},
    purpose::CheckedPurpose,
};
use crate::{
    engine::{Caller, PushStarted, StepUpStatus},
    rules::{ChallengeError, Code, Malformed, PushStatus},
};

/// An optional field as an edge has read it, or what is wrong with it in that edge's message format.
pub(crate) type Optional<'a> = Result<Option<&'a str>, Malformed>;

/// A client's call, with its fields as they were sent.
#[derive(Clone, Copy)]
pub(crate) enum ApiCall<'a> {
    Status,
    Drop,
    StartOtp { channel: &'a str, scope: Optional<'a>, binding: Optional<'a> },
    VerifyOtp { channel: &'a str, code: Result<&'a str, Malformed> },
    StartPush { channel: &'a str, scope: Optional<'a>, binding: Optional<'a> },
    PushStatus { channel: &'a str, id: &'a str },
}

/// The outcome of a call that was performed.
#[derive(Clone, Debug)]
pub(crate) enum Outcome<'a> {
    Status(StepUpStatus),
    Dropped,
    OtpStarted,
    OtpVerified,
    PushStarted(PushStarted),
    /// `None`: this session has no such push.
    PushStatus {
        id: &'a str,
        status: Option<PushStatus>,
    },
}

/// A field of a request that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Channel,
    Code,
    Scope,
    Binding,
}

/// A field, and what is wrong with it.
pub(crate) type InvalidField = (Field, Malformed);

/// Why a call was not performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// All invalid fields.
    Invalid(Vec<InvalidField>),
    Refused(ChallengeError),
}

impl From<ChallengeError> for Rejected {
    fn from(error: ChallengeError) -> Self {
        match error {
            ChallengeError::UnknownChannel => Self::Invalid(vec![UNKNOWN_CHANNEL]),
            ChallengeError::MalformedCode(malformed) => Self::Invalid(vec![(Field::Code, malformed)]),
            ChallengeError::MalformedScope(malformed) => Self::Invalid(vec![(Field::Scope, malformed)]),
            ChallengeError::MalformedBinding(malformed) => Self::Invalid(vec![(Field::Binding, malformed)]),
            error => Self::Refused(error),
        }
    }
}

const UNKNOWN_CHANNEL: InvalidField = (Field::Channel, Malformed::Unknown);

impl StepUp {
    /// Performs a call for a caller.
    pub(crate) async fn perform<'a>(&self, caller: &Caller, call: ApiCall<'a>) -> Result<Outcome<'a>, Rejected> {
        let engine = &self.0;
        Ok(match call {
            ApiCall::Status => Outcome::Status(self.status(caller).await?),
            ApiCall::Drop => {
                self.revoke(caller).await?;
                Outcome::Dropped
            }
            ApiCall::StartOtp { channel, scope, binding } => {
                let (channel, aim) = self.parse_start(&engine.channels.otp, channel, caller, scope, binding)?;
                engine.start_otp(caller, channel, aim).await?;
                Outcome::OtpStarted
            }
            ApiCall::VerifyOtp { channel, code } => {
                let code = code.and_then(|code| Code::parse(code, engine.policy.code_digits));
                match (find(&engine.channels.otp, channel), code) {
                    (Some(channel), Ok(code)) => engine.verify_otp(caller, &channel.name, code).await?,
                    (channel, code) => {
                        let channel = channel.is_none().then_some(UNKNOWN_CHANNEL);
                        let code = code.err().map(|malformed| (Field::Code, malformed));
                        return Err(Rejected::Invalid(channel.into_iter().chain(code).collect()));
                    }
                };
                Outcome::OtpVerified
            }
            ApiCall::StartPush { channel, scope, binding } => {
                let (channel, aim) = self.parse_start(&engine.channels.push, channel, caller, scope, binding)?;
                Outcome::PushStarted(engine.start_push(caller, channel, aim).await?)
            }
            ApiCall::PushStatus { channel, id } => {
                Outcome::PushStatus { id, status: self.push_status(caller, channel, id).await? }
            }
        })
    }

    /// Parses the channel and the purpose of a start. Reports all invalid fields together.
    fn parse_start<M>(
        &self,
        channels: &[Arc<Channel<M>>],
        channel: &str,
        caller: &Caller,
        scope: Optional<'_>,
        binding: Optional<'_>,
    ) -> Result<(Arc<Channel<M>>, CheckedPurpose), Rejected> {
        match (find(channels, channel), self.0.parse_purpose(caller, scope, binding)) {
            (Some(channel), Ok(aim)) => Ok((Arc::clone(channel), aim)),
            (channel, aim) => {
                let channel = channel.is_none().then_some(UNKNOWN_CHANNEL);
                let purpose = aim.err().into_iter().flat_map(|wrong| {
                    let scope = wrong.scope.map(|malformed| (Field::Scope, malformed));
                    scope.into_iter().chain(wrong.binding.map(|malformed| (Field::Binding, malformed)))
                });
                Err(Rejected::Invalid(channel.into_iter().chain(purpose).collect()))
            }
        }
    }
}
