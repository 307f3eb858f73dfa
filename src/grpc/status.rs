//! What an operation that was refused is in gRPC: code, reason and details.

use tonic::{Code, Status};

use crate::{
    engine::{Field, InvalidField, Rejected},
    rules::ChallengeError,
    wire::{Metadata, RefusalStatus, RpcStatus, Unread},
};

/// An operation that was not performed.
pub(super) fn rejected(rejected: &Rejected, domain: &str) -> Status {
    match rejected {
        Rejected::Invalid(fields) => invalid(fields, domain),
        Rejected::Refused(error) => refused(error, domain),
    }
}

fn invalid(fields: &[InvalidField], domain: &str) -> Status {
    let name = |field| match field {
        Field::Channel => "channel",
        Field::Code => "verification_code",
        Field::Scope => "scope",
        Field::Binding => "binding",
    };
    let fields: Vec<_> = fields.iter().map(|(field, malformed)| (name(*field), malformed.as_str())).collect();
    status(Code::InvalidArgument, "Invalid request", "INVALID_REQUEST", domain).bad_request(&fields).into()
}

pub(super) fn unread(reason: Unread, domain: &str) -> Status {
    RpcStatus::unread(reason, domain).into()
}

pub(super) fn no_caller(domain: &str) -> Status {
    RpcStatus::no_caller(domain).into()
}

pub(super) fn no_such_push(domain: &str) -> Status {
    status(Code::NotFound, "This session has started no such push", "NOT_FOUND", domain).into()
}

/// The reason is the contract's `errorCode`.
pub(super) fn refused(error: &ChallengeError, domain: &str) -> Status {
    let RefusalStatus { code, retry_after, .. } = RefusalStatus::of(error);
    let metadata = match error {
        ChallengeError::RateLimited(limit) => {
            let window = limit.window.map(|window| ("window", window.as_secs().to_string()));
            [("limit", limit.limit.to_string())].into_iter().chain(window).collect()
        }
        _ => Metadata::new(),
    };
    let status = RpcStatus::new(code, &error.to_string(), &error.code(), domain, metadata);
    match retry_after {
        Some(wait) => status.retry_after(wait).into(),
        None => status.into(),
    }
}

fn status(code: Code, message: &str, reason: &str, domain: &str) -> RpcStatus {
    RpcStatus::new(code.into(), message, reason, domain, Metadata::new())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use prost::Message;

    use super::*;
    use crate::rules::{Limited, Malformed, RateLimit};

    /// `google.rpc.Status` and the details in it, as far as they are read here.
    #[derive(Message)]
    struct RpcStatus {
        #[prost(message, repeated, tag = 3)]
        details: Vec<Any>,
    }

    #[derive(Message)]
    struct Any {
        #[prost(string, tag = 1)]
        type_url: String,
        #[prost(bytes = "vec", tag = 2)]
        value: Vec<u8>,
    }

    #[derive(Message)]
    struct ErrorInfo {
        #[prost(string, tag = 1)]
        reason: String,
        #[prost(string, tag = 2)]
        domain: String,
        #[prost(map = "string, string", tag = 3)]
        metadata: HashMap<String, String>,
    }

    #[derive(Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = 1)]
        retry_delay: Option<Delay>,
    }

    #[derive(Message)]
    struct Delay {
        #[prost(int64, tag = 1)]
        seconds: i64,
    }

    #[derive(Message)]
    struct BadRequest {
        #[prost(message, repeated, tag = 1)]
        field_violations: Vec<FieldViolation>,
    }

    #[derive(Message)]
    struct FieldViolation {
        #[prost(string, tag = 1)]
        field: String,
        #[prost(string, tag = 2)]
        description: String,
    }

    fn detail<M: Message + Default>(status: &Status, name: &str) -> Option<M> {
        let details = RpcStatus::decode(status.details()).unwrap().details;
        let any = details.into_iter().find(|any| any.type_url == format!("type.googleapis.com/google.rpc.{name}"))?;
        Some(M::decode(&*any.value).unwrap())
    }

    /// Every error in one place: its code, its reason, how long to wait, and which field is wrong.
    #[test]
    fn every_error_has_its_code() {
        let secs = Duration::from_secs;
        let wait = Duration::from_millis(29_001);
        let lock = |window| ChallengeError::RateLimited(RateLimit::alone(Limited::WrongCodes, 5, window, wait));
        let code = |malformed| ChallengeError::MalformedCode(malformed);
        let invalid = |field, error| (Code::InvalidArgument, "INVALID_REQUEST", None, Some((field, error)));
        let precondition = |reason| (Code::FailedPrecondition, reason, None, None);
        let table = [
            (ChallengeError::UnknownChannel, invalid("channel", "NOT_IN")),
            (code(Malformed::Missing), invalid("verification_code", "REQUIRED")),
            (code(Malformed::Blank), invalid("verification_code", "HAS_TEXT")),
            (code(Malformed::WrongLength), invalid("verification_code", "SIZE")),
            (code(Malformed::InvalidCharacter), invalid("verification_code", "REGEX")),
            (ChallengeError::MalformedScope(Malformed::WrongLength), invalid("scope", "SIZE")),
            (ChallengeError::MalformedBinding(Malformed::Unknown), invalid("binding", "NOT_IN")),
            (ChallengeError::Forbidden, (Code::PermissionDenied, "INSUFFICIENT_PERMISSIONS", None, None)),
            (ChallengeError::ChannelNotSupported, precondition("CHANNEL_NOT_SUPPORTED")),
            (ChallengeError::ChannelNotRegistered, precondition("CHANNEL_NOT_REGISTERED")),
            (ChallengeError::RecipientInvalid, precondition("MOBILE_NUMBER_INVALID")),
            (
                ChallengeError::RetryIn { interval: secs(20), wait: secs(3) },
                (Code::FailedPrecondition, "RETRY_IN_20SEC", Some(3), None),
            ),
            (ChallengeError::ChallengeLimitExceeded, precondition("CHALLENGE_LIMIT_EXCEEDED")),
            (ChallengeError::StateInvalid, precondition("STATE_INVALID")),
            (ChallengeError::CodeInvalid, precondition("VERIFICATION_CODE_INVALID")),
            (ChallengeError::OneTryRemaining, precondition("ONE_CHALLENGE_LIMIT_REMAINING")),
            (ChallengeError::CodeExpired, precondition("VERIFICATION_CODE_EXPIRED")),
            (ChallengeError::AlreadyVerified, precondition("ALREADY_VERIFIED")),
            (lock(None), (Code::ResourceExhausted, "RATE_LIMITED", Some(30), None)),
            (lock(Some(secs(600))), (Code::ResourceExhausted, "RATE_LIMITED", Some(30), None)),
            (ChallengeError::Unavailable, (Code::Unavailable, "UNAVAILABLE", Some(1), None)),
            (ChallengeError::Internal, (Code::Internal, "INTERNAL", None, None)),
        ];
        for (error, (code, reason, wait, field)) in table {
            let status = rejected(&error.clone().into(), "bank.example");
            let info: ErrorInfo = detail(&status, "ErrorInfo").unwrap();
            assert_eq!((status.code(), &*info.reason, &*info.domain), (code, reason, "bank.example"), "{error:?}");
            assert_eq!(status.message(), error.to_string());
            let retry = detail::<RetryInfo>(&status, "RetryInfo").and_then(|retry| retry.retry_delay);
            assert_eq!(retry.map(|delay| delay.seconds), wait, "{error:?}");
            let bad = detail::<BadRequest>(&status, "BadRequest").unwrap_or_default();
            let fields = bad.field_violations.iter().map(|violation| (&*violation.field, &*violation.description));
            assert!(fields.eq(field), "{error:?}");
        }
        let metadata = |window| detail::<ErrorInfo>(&refused(&lock(window), "d"), "ErrorInfo").unwrap().metadata;
        let limit = ("limit".to_owned(), "5".to_owned());
        assert_eq!(metadata(None), [limit.clone()].into());
        assert_eq!(metadata(Some(secs(600))), [limit, ("window".into(), "600".into())].into());
    }
}
