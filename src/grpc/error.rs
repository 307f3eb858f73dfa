//! What an operation that was refused is in gRPC: code, reason and details.

use tonic::{Code, Status};

use super::status::{Metadata, RpcStatus};
use crate::{
    companion::Unread,
    error::{ChallengeError, Malformed},
};

/// A field that is not as it has to be, and how.
pub(super) type InvalidField = (&'static str, &'static str);

pub(super) const UNKNOWN_CHANNEL: InvalidField = ("channel", "NOT_IN");

pub(super) fn invalid_code(malformed: Malformed) -> InvalidField {
    ("verification_code", malformed.as_str())
}

pub(super) fn invalid_scope(malformed: Malformed) -> InvalidField {
    ("scope", malformed.as_str())
}

pub(super) fn invalid(fields: &[InvalidField], domain: &str) -> Status {
    status(Code::InvalidArgument, "Invalid request", "INVALID_REQUEST", domain).bad_request(fields).into()
}

pub(super) fn unread(reason: Unread, domain: &str) -> Status {
    match reason {
        Unread::TooLarge => status(Code::OutOfRange, "The message is too large", "MESSAGE_TOO_LARGE", domain).into(),
        Unread::TooSlow => {
            status(Code::DeadlineExceeded, "The message did not come in time", "MESSAGE_TOO_SLOW", domain).into()
        }
        Unread::Broken => status(Code::InvalidArgument, "Invalid request", "INVALID_REQUEST", domain).into(),
    }
}

pub(super) fn no_caller(domain: &str) -> Status {
    RpcStatus::no_caller(domain).into()
}

pub(super) fn no_such_push(domain: &str) -> Status {
    status(Code::NotFound, "This session has started no such push", "NOT_FOUND", domain).into()
}

/// The reason is the contract's `errorCode`; where HTTP says it by its status alone, a word for that status.
pub(super) fn refused(error: &ChallengeError, domain: &str) -> Status {
    let message = error.to_string();
    let with = |code, reason: &str| status(code, &message, reason, domain);
    let code = error.code();
    let code = code.as_deref().unwrap_or_default();
    match error {
        ChallengeError::UnknownChannel => return invalid(&[UNKNOWN_CHANNEL], domain),
        ChallengeError::MalformedCode(malformed) => return invalid(&[invalid_code(*malformed)], domain),
        ChallengeError::MalformedScope(malformed) => return invalid(&[invalid_scope(*malformed)], domain),
        ChallengeError::Forbidden => with(Code::PermissionDenied, code),
        ChallengeError::RetryIn { wait, .. } => with(Code::FailedPrecondition, code).retry_after(*wait),
        ChallengeError::ChannelNotSupported
        | ChallengeError::ChannelNotRegistered
        | ChallengeError::RecipientInvalid
        | ChallengeError::ChallengeLimitExceeded
        | ChallengeError::StateInvalid
        | ChallengeError::CodeInvalid
        | ChallengeError::OneTryRemaining
        | ChallengeError::CodeExpired
        | ChallengeError::AlreadyVerified => with(Code::FailedPrecondition, code),
        ChallengeError::RateLimited(limit) => {
            let window = limit.window.map(|window| ("window", window.as_secs().to_string()));
            let metadata: Metadata = [("limit", limit.limit.to_string())].into_iter().chain(window).collect();
            RpcStatus::new(Code::ResourceExhausted.into(), &message, "RATE_LIMITED", domain, metadata)
                .retry_after(limit.wait)
        }
        ChallengeError::Unavailable => RpcStatus::unavailable(domain),
        ChallengeError::Internal => with(Code::Internal, "INTERNAL"),
    }
    .into()
}

fn status(code: Code, message: &str, reason: &str, domain: &str) -> RpcStatus {
    RpcStatus::new(code.into(), message, reason, domain, Metadata::new())
}
