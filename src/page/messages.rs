//! What the page says after a form, in the words of its catalogue.

use super::{form::Query, service::Visit, texts::minutes};
use crate::{
    engine::{Field, InvalidField},
    rules::ChallengeError,
};

/// How a message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Problem,
    Note,
}

/// The text that the last form has led to.
pub(super) fn message(visit: Visit<'_>, query: &Query<'_>) -> Option<(Kind, String)> {
    let name = query.message.as_deref().filter(|name| is_message(name) && visit.texts.has(name))?;
    let kind = if matches!(name, "resent" | "cancelled" | "next") { Kind::Note } else { Kind::Problem };
    let time = minutes(query.wait.unwrap_or_default());
    let digits = visit.step_up.0.policy.code_digits.to_string();
    Some((kind, visit.texts.with(name, &[("time", &time), ("length", &digits)])))
}

/// The name of the text for an error.
pub(super) fn message_of(error: &ChallengeError) -> &'static str {
    match error {
        ChallengeError::RetryIn { .. } => "RETRY_IN",
        error => known(&error.code()).unwrap_or("failed"),
    }
}

/// Texts that may follow a form.
fn is_message(name: &str) -> bool {
    known(name).is_some()
        || ["RETRY_IN", "codeLength", "failed", "resent", "cancelled", "next", "linkInvalid"].contains(&name)
}

/// The text for fields that the server does not take: the user has typed the code alone.
pub(super) fn invalid(fields: &[InvalidField]) -> &'static str {
    match fields.first() {
        Some((Field::Code, _)) => "codeLength",
        Some((Field::Binding | Field::Scope, _)) => "linkInvalid",
        Some((Field::Channel, _)) => "CHANNEL_NOT_SUPPORTED",
        None => "failed",
    }
}

/// A code of an error for which there is a text.
fn known(code: &str) -> Option<&'static str> {
    const CODES: [&str; 14] = [
        "VERIFICATION_CODE_INVALID",
        "ONE_CHALLENGE_LIMIT_REMAINING",
        "CHALLENGE_LIMIT_EXCEEDED",
        "VERIFICATION_CODE_EXPIRED",
        "ALREADY_VERIFIED",
        "STATE_INVALID",
        "CHANNEL_NOT_SUPPORTED",
        "CHANNEL_NOT_REGISTERED",
        "MOBILE_NUMBER_INVALID",
        "INSUFFICIENT_PERMISSIONS",
        "RATE_LIMITED",
        "UNAVAILABLE",
        "pushDeclined",
        "pushExpired",
    ];
    CODES.into_iter().find(|known| *known == code)
}
