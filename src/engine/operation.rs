//! One call to the challenge endpoints, common to HTTP and gRPC: parsed once, performed, and its outcome.

use std::{iter, sync::Arc};

use super::{
    Engine, StepUp,
    channel::{Channel, find},
    purpose::{CheckedPurpose, Moment, WrongPurpose},
};
use crate::{
    engine::{Caller, Purpose, PushStarted, StepUpStatus},
    rules::{ChallengeError, Code, Malformed, PushStatus},
};

/// An optional field as an edge has read it, or what is wrong with it in that edge's message format.
pub(crate) type Optional<'a> = Result<Option<&'a str>, Malformed>;

/// A client's call, with its fields as they were sent.
#[derive(Clone, Copy)]
pub(crate) enum ApiCall<'a> {
    Status,
    Drop,
    StartOtp { channel: &'a str, purpose: Named<'a> },
    VerifyOtp { channel: &'a str, code: Result<&'a str, Malformed>, purpose: Named<'a> },
    CancelOtp { channel: &'a str },
    StartPush { channel: &'a str, purpose: Named<'a> },
    PushStatus { channel: &'a str, id: &'a str },
    CancelPush { channel: &'a str, id: &'a str },
}

/// A [`Purpose`] as an edge has read it.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) scope: Optional<'a>,
    pub(crate) binding: Optional<'a>,
    pub(crate) language: Option<&'a str>,
    /// Whether a code must be for exactly this: otherwise what is not said is not compared.
    pub(crate) exact: bool,
}

impl<'a> From<Purpose<'a>> for Named<'a> {
    fn from(Purpose { scope, binding, language }: Purpose<'a>) -> Self {
        Self { scope: Ok(scope), binding: Ok(binding), language, exact: false }
    }
}

/// The outcome of a call that was performed.
#[derive(Clone, Debug)]
pub(crate) enum Outcome<'a> {
    Status(Box<StepUpStatus>),
    Dropped,
    OtpStarted,
    OtpVerified,
    OtpCancelled,
    PushStarted(PushStarted),
    /// `None`: this session has no such push.
    PushStatus {
        id: &'a str,
        status: Option<PushStatus>,
    },
    /// Whether this session has such a push.
    PushCancelled(bool),
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

impl From<Vec<InvalidField>> for Rejected {
    fn from(invalid: Vec<InvalidField>) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<ChallengeError> for Rejected {
    fn from(error: ChallengeError) -> Self {
        match error {
            ChallengeError::UnknownChannel => Self::Invalid(vec![(Field::Channel, Malformed::Unknown)]),
            ChallengeError::MalformedCode(malformed) => Self::Invalid(vec![(Field::Code, malformed)]),
            ChallengeError::MalformedScope(malformed) => Self::Invalid(vec![(Field::Scope, malformed)]),
            ChallengeError::MalformedBinding(malformed) => Self::Invalid(vec![(Field::Binding, malformed)]),
            error => Self::Refused(error),
        }
    }
}

impl StepUp {
    /// Performs a call for a caller.
    pub(crate) async fn perform<'a>(&self, caller: &Caller, call: ApiCall<'a>) -> Result<Outcome<'a>, Rejected> {
        let engine = &self.0;
        Ok(match call {
            ApiCall::Status => Outcome::Status(Box::new(self.status(caller).await?)),
            ApiCall::Drop => {
                self.revoke(caller).await?;
                Outcome::Dropped
            }
            ApiCall::StartOtp { channel, purpose } => {
                let (channel, purpose) = engine.parse_start(caller, &engine.channels.otp, channel, purpose)?;
                engine.start_otp(caller, channel, purpose).await?;
                Outcome::OtpStarted
            }
            ApiCall::VerifyOtp { channel, code, purpose } => {
                let (channel, code, purpose) = engine.parse_verify(caller, channel, code, purpose)?;
                engine.verify_otp(caller, channel, code, &purpose).await?;
                Outcome::OtpVerified
            }
            ApiCall::CancelOtp { channel } => {
                self.cancel_otp(caller, channel).await?;
                Outcome::OtpCancelled
            }
            ApiCall::StartPush { channel, purpose } => {
                let (channel, purpose) = engine.parse_start(caller, &engine.channels.push, channel, purpose)?;
                Outcome::PushStarted(engine.start_push(caller, channel, purpose).await?)
            }
            ApiCall::PushStatus { channel, id } => {
                Outcome::PushStatus { id, status: self.push_status(caller, channel, id).await? }
            }
            ApiCall::CancelPush { channel, id } => Outcome::PushCancelled(self.cancel_push(caller, channel, id).await?),
        })
    }
}

/// The channel of a verification, its code, and what it is for.
type Verification<'e, 'a> = (&'e str, Code<'a>, CheckedPurpose);

impl Engine {
    /// Parses the channel and the purpose of a start. All invalid fields are reported together, and the first of them is
    /// emitted as a refusal.
    pub(super) fn parse_start<'a, M>(
        &self,
        caller: &Caller,
        channels: &'a [Arc<Channel<M>>],
        channel: &str,
        Named { scope, binding, language, .. }: Named<'_>,
    ) -> Result<(&'a Arc<Channel<M>>, CheckedPurpose), Vec<InvalidField>> {
        match (find(channels, channel), self.parse_purpose(caller, scope, binding, Moment::Start)) {
            (Some(channel), Ok(purpose)) => Ok((channel, purpose.in_language(language))),
            (channel, purpose) => {
                let WrongPurpose { scope, binding } = purpose.err().unwrap_or_default();
                let fields = [(Field::Scope, scope), (Field::Binding, binding)];
                Err(self.invalid(caller, channel.map(|channel| &*channel.name), fields))
            }
        }
    }

    /// Parses the channel, the code and the purpose of a verification, in the same way.
    pub(super) fn parse_verify<'a>(
        &self,
        caller: &Caller,
        channel: &str,
        code: Result<&'a str, Malformed>,
        Named { scope, binding, exact, .. }: Named<'_>,
    ) -> Result<Verification<'_, 'a>, Vec<InvalidField>> {
        let code = code.and_then(|code| Code::parse(code, self.policy.code_digits));
        let purpose = self.parse_purpose(caller, scope, binding, Moment::Later);
        match (find(&self.channels.otp, channel), code, purpose) {
            (Some(channel), Ok(code), Ok(purpose)) => Ok((&channel.name, code, purpose.exactly(exact))),
            (channel, code, purpose) => {
                let WrongPurpose { scope, binding } = purpose.err().unwrap_or_default();
                let fields = [(Field::Code, code.err()), (Field::Scope, scope), (Field::Binding, binding)];
                Err(self.invalid(caller, channel.map(|channel| &*channel.name), fields))
            }
        }
    }

    /// All invalid fields of a request. `channel` is its registered name: one sent by a client must not become a metric
    /// label.
    fn invalid(
        &self,
        caller: &Caller,
        channel: Option<&str>,
        fields: impl IntoIterator<Item = (Field, Option<Malformed>)>,
    ) -> Vec<InvalidField> {
        let unknown = channel.is_none().then_some(Malformed::Unknown);
        let fields = iter::once((Field::Channel, unknown)).chain(fields);
        let invalid: Vec<_> = fields.filter_map(|(field, malformed)| Some((field, malformed?))).collect();
        self.emit_refused(caller, channel, &first_invalid(&invalid));
        invalid
    }
}

/// The error of the Rust API, which reports one invalid field.
pub(super) fn first_invalid(invalid: &[InvalidField]) -> ChallengeError {
    match invalid.first() {
        Some((Field::Code, malformed)) => ChallengeError::MalformedCode(*malformed),
        Some((Field::Scope, malformed)) => ChallengeError::MalformedScope(*malformed),
        Some((Field::Binding, malformed)) => ChallengeError::MalformedBinding(*malformed),
        Some((Field::Channel, _)) | None => ChallengeError::UnknownChannel,
    }
}
