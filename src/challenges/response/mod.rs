//! Answers on the wire: status, headers and body of everything that can come of an operation.

mod status;

use std::{iter, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use self::status::StatusBody;
use super::{request::Unparsed, route::NoOperation};
use crate::{
    engine::{Field, InvalidField, Outcome, PushStarted, Rejected},
    rules::{ChallengeError, PushStatus, RateLimit, wait_secs},
    wire::{Problem, RefusalStatus, Unread, declare_json, json},
};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

pub(super) type Answer = Response<Bytes>;

/// A field that is invalid, as `syntaxErrors` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldError {
    /// The path of the enclosing objects: all fields are at the top level.
    params: [&'static str; 0],
    field_name: &'static str,
    error: &'static str,
}

impl From<&InvalidField> for FieldError {
    fn from((field, malformed): &InvalidField) -> Self {
        let field_name = match field {
            Field::Channel => "channel",
            Field::Code => "verificationCode",
            Field::Scope => "scope",
            Field::Binding => "binding",
        };
        Self { params: [], field_name, error: malformed.as_str() }
    }
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

fn with_json(status: StatusCode, body: &impl Serialize) -> Answer {
    let mut answer = Response::new(json(body));
    *answer.status_mut() = status;
    declare_json(answer.headers_mut());
    answer
}

/// The answer to an operation that was performed.
pub(super) fn outcome(outcome: &Outcome<'_>) -> Answer {
    match outcome {
        Outcome::Status(current) => with_json(StatusCode::OK, &StatusBody::from(&**current)),
        Outcome::Dropped
        | Outcome::OtpStarted
        | Outcome::OtpVerified
        | Outcome::OtpCancelled
        | Outcome::PushCancelled(true) => empty(StatusCode::NO_CONTENT),
        Outcome::PushCancelled(false) => with_json(StatusCode::NOT_FOUND, &Problem::NOT_FOUND),
        Outcome::PushStarted(push) => push_started(push),
        Outcome::PushStatus { id, status } => push_outcome(id, *status),
    }
}

/// The answer to an operation that was not performed.
pub(super) fn rejected(rejected: &Rejected) -> Answer {
    match rejected {
        Rejected::Invalid(fields) => invalid(fields),
        Rejected::Refused(error) => refused(error),
    }
}

fn push_started(push: &PushStarted) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<&'a str>,
    }
    with_json(StatusCode::OK, &Body { id: &push.id, number: push.number.as_deref() })
}

/// The state of a push; 404 for one that the session did not start.
fn push_outcome(id: &str, status: Option<PushStatus>) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        id: &'a str,
        status: &'static str,
        expires_in: u64,
    }
    let (status, left) = match status {
        None => return with_json(StatusCode::NOT_FOUND, &Problem::NOT_FOUND),
        Some(PushStatus::Pending { expires_in }) => ("PENDING", expires_in),
        Some(PushStatus::Verified) => ("VERIFIED", Duration::ZERO),
        Some(PushStatus::Declined) => ("DECLINED", Duration::ZERO),
        Some(PushStatus::Expired) => ("EXPIRED", Duration::ZERO),
    };
    with_json(StatusCode::OK, &Body { id, status, expires_in: left.as_secs() })
}

pub(super) fn no_operation(reason: NoOperation) -> Answer {
    match reason {
        NoOperation::NotFound => with_json(StatusCode::NOT_FOUND, &Problem::NOT_FOUND),
        NoOperation::MethodNotAllowed(allow) => {
            let mut answer = with_json(StatusCode::METHOD_NOT_ALLOWED, &Problem::METHOD_NOT_ALLOWED);
            answer.headers_mut().insert(ALLOW, allow);
            answer
        }
    }
}

pub(super) fn no_caller(authenticate: &HeaderValue) -> Answer {
    let mut answer = with_json(StatusCode::UNAUTHORIZED, &Problem::UNAUTHORIZED);
    answer.headers_mut().insert(WWW_AUTHENTICATE, authenticate.clone());
    answer
}

pub(super) fn unread(reason: Unread) -> Answer {
    match reason {
        Unread::TooLarge => with_json(StatusCode::PAYLOAD_TOO_LARGE, &Problem::TOO_LARGE),
        Unread::TooSlow => with_json(StatusCode::REQUEST_TIMEOUT, &Problem::TOO_SLOW),
        Unread::Broken => with_json(StatusCode::BAD_REQUEST, &Problem::INVALID),
    }
}

/// The specification knows no 415.
pub(super) fn unparsed(reason: Unparsed) -> Answer {
    match reason {
        Unparsed::NotDeclared => with_json(StatusCode::BAD_REQUEST, &Problem::NOT_JSON),
        Unparsed::NotAnObject => with_json(StatusCode::BAD_REQUEST, &Problem::INVALID),
    }
}

/// 400 that names the invalid fields.
fn invalid(fields: &[InvalidField]) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        #[serde(flatten)]
        problem: Problem<'static>,
        syntax_errors: SyntaxErrors,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct SyntaxErrors {
        invalid_fields: Vec<FieldError>,
    }
    let syntax_errors = SyntaxErrors { invalid_fields: fields.iter().map(FieldError::from).collect() };
    with_json(StatusCode::BAD_REQUEST, &Body { problem: Problem::INVALID, syntax_errors })
}

/// A refusal: its code and message, and how long to wait.
fn refused(error: &ChallengeError) -> Answer {
    let RefusalStatus { status, retry_after, .. } = RefusalStatus::of(error);
    let wait = retry_after.map(wait_secs);
    let problem = Problem { error_code: error.code(), message: &error.to_string(), retry_after: wait };
    let mut answer = with_json(status, &problem);
    let headers = answer.headers_mut();
    let wait = wait.map(HeaderValue::from);
    if let (ChallengeError::RateLimited(limit), Some(wait)) = (error, &wait) {
        headers.insert(LIMIT, limit_header(limit));
        headers.insert(RESET, wait.clone());
    }
    if let Some(wait) = wait {
        headers.insert(RETRY_AFTER, wait);
    }
    answer
}

/// The limit hit, then those in force with their windows: `3, 3;w=300, 5;w=600`. A lock-out has no window: `5`.
fn limit_header(limit: &RateLimit) -> HeaderValue {
    let in_force = limit.in_force().map(|(limit, window)| format!("{limit};w={}", window.as_secs()));
    let texts: Vec<_> = iter::once(limit.limit.to_string()).chain(in_force).collect();
    HeaderValue::try_from(texts.join(", ")).unwrap_or_else(|_| limit.limit.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Limited;

    #[test]
    fn limits_name_their_window() {
        let header = |limit, window: Option<u64>| {
            let window = window.map(Duration::from_secs);
            let limit = RateLimit::alone(Limited::Messages, limit, window, Duration::ZERO);
            limit_header(&limit).to_str().unwrap().to_owned()
        };
        assert_eq!(header(5, Some(600)), "5, 5;w=600");
        assert_eq!(header(5, None), "5");
        let second = |seconds| Some((5, std::num::NonZeroU32::new(seconds)?));
        let hit = RateLimit::alone(Limited::Messages, 5, Some(Duration::from_secs(2)), Duration::ZERO);
        let limit = RateLimit { in_force: [second(1), None, second(2), second(3)], ..hit };
        assert_eq!(limit_header(&limit), "5, 5;w=1, 5;w=2, 5;w=3");
    }

    #[test]
    fn a_fault_of_the_server_tells_nothing_internal() {
        let answer = refused(&ChallengeError::Internal);
        assert_eq!(answer.status(), 500);
        let expected = json(&Problem::new("INTERNAL", "Internal error"));
        assert_eq!(answer.into_body(), expected);
    }

    #[test]
    fn waits_stand_in_both_headers() {
        let limit = RateLimit::alone(Limited::WrongCodes, 5, None, Duration::from_millis(29_001));
        let answer = refused(&ChallengeError::RateLimited(limit));
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "30");
        assert_eq!(answer.headers()["x-ratelimit-reset"], "30");
    }
}
