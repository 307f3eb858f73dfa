//! What a refusal asks for.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::Value;

/// The word by which a refusal is recognised.
const STEP_UP_REQUIRED: &str = "STEP_UP_REQUIRED";

/// What a refusal asks for: the fields of its JSON, or the metadata of its `ErrorInfo`.
///
/// Its `Debug` output leaves the binding out.
#[derive(Clone, PartialEq, Eq)]
pub struct Requirement {
    reason: Reason,
    scope: Option<String>,
    max_age: Option<Duration>,
    channels: Channels,
    all: bool,
    unmet: Vec<Unmet>,
    start: Vec<String>,
    binding: Option<String>,
    operation: Option<String>,
    spent_at: Option<SystemTime>,
    enroll: Option<String>,
    page: Option<String>,
}

/// Why a request was refused: the reason of the grant that came closest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There is no step-up.
    Missing,
    /// There is one, for another scope.
    WrongScope,
    /// There is one, by a channel that is not accepted.
    WrongChannel,
    /// There is one, and it is bound to another operation, or has to be bound and is not.
    Mismatch,
    /// There was one, and a request has consumed it.
    Spent,
    /// There was one, and its lifetime has ended.
    Expired,
    /// There is one, and it is too old.
    TooOld,
    /// The user has enrolled no channel for it.
    NoChannel,
    /// The server gave no reason, or one that this version does not know.
    Other,
}

/// Names of channels, by what they are for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(default)]
#[non_exhaustive]
pub struct Channels {
    /// One-time codes.
    pub otp: Vec<String>,
    /// Pushes.
    pub push: Vec<String>,
    /// Proofs that the application verifies itself.
    pub proof: Vec<String>,
}

/// One of several channels that are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmet {
    /// The channel that is lacking.
    pub channel: String,
    /// Why it is.
    pub reason: Reason,
    /// How old a step-up by this channel may be.
    pub max_age: Option<Duration>,
}

impl Requirement {
    /// Why the request was refused.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// What the step-up has to be for; `None` for the whole session.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// How old a step-up may be.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// The channels that are accepted; those that are lacking where [all](Self::all) are needed.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Whether a step-up by each of the channels is needed.
    #[must_use]
    pub fn all(&self) -> bool {
        self.all
    }

    /// The channels that are lacking, where several are needed or one has its own age.
    #[must_use]
    pub fn unmet(&self) -> &[Unmet] {
        &self.unmet
    }

    /// Where a challenge starts, by the server's account.
    #[must_use]
    pub fn start(&self) -> &[String] {
        &self.start
    }

    /// The token that binds the step-up to this operation. [`Challenges`](crate::Challenges) sends it by itself.
    ///
    /// # Security
    /// Keep it out of logs.
    #[must_use]
    pub fn binding(&self) -> Option<&str> {
        self.binding.as_deref()
    }

    /// The text of the operation that is approved: show it.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.operation.as_deref()
    }

    /// When a request with these very bytes has passed.
    #[must_use]
    pub fn spent_at(&self) -> Option<SystemTime> {
        self.spent_at
    }

    /// Where the user enrolls a channel: a path or a URL.
    #[must_use]
    pub fn enroll(&self) -> Option<&str> {
        self.enroll.as_deref()
    }

    /// Where the server shows a page for the step-up: a path or a URL.
    #[must_use]
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    /// The requirement in the JSON of a refusal; `None` where it is not one of ours.
    pub(crate) fn from_json(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let is_ours = ["errorCode", "message"].iter().any(|field| body[*field] == STEP_UP_REQUIRED);
        is_ours.then(|| Self::from_value(&body))
    }

    /// The requirement in the metadata of an `ErrorInfo`, in which everything is a string.
    #[cfg(feature = "tonic")]
    pub(crate) fn from_error_info(reason: &str, metadata: std::collections::HashMap<String, String>) -> Option<Self> {
        let field = |(key, text): (String, String)| {
            let is_json = matches!(&*key, "maxAge" | "channels" | "all" | "unmet" | "start" | "spentAt");
            let value = if is_json { serde_json::from_str(&text).unwrap_or_default() } else { Value::String(text) };
            (key, value)
        };
        (reason == STEP_UP_REQUIRED).then(|| Self::from_value(&metadata.into_iter().map(field).collect()))
    }

    /// A field of another type than expected counts as absent.
    fn from_value(body: &Value) -> Self {
        let text = |field: &str| body[field].as_str().map(str::to_owned);
        let unmet = |unmet: &Value| {
            Some(Unmet {
                channel: unmet["channel"].as_str()?.to_owned(),
                reason: Reason::of(&unmet["reason"]),
                max_age: unmet["maxAge"].as_u64().map(Duration::from_secs),
            })
        };
        let millis = body["spentAt"].as_u64().map(Duration::from_millis);
        Self {
            reason: Reason::of(&body["reason"]),
            scope: text("scope"),
            max_age: body["maxAge"].as_u64().map(Duration::from_secs),
            channels: Channels {
                otp: texts(&body["channels"]["otp"]),
                push: texts(&body["channels"]["push"]),
                proof: texts(&body["channels"]["proof"]),
            },
            all: body["all"] == true,
            unmet: body["unmet"].as_array().into_iter().flatten().filter_map(unmet).collect(),
            start: texts(&body["start"]),
            binding: text("binding"),
            operation: text("operation"),
            spent_at: millis.and_then(|millis| SystemTime::UNIX_EPOCH.checked_add(millis)),
            enroll: text("enroll"),
            page: text("page"),
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

impl Reason {
    fn of(value: &Value) -> Self {
        match value.as_str() {
            Some("missing") => Self::Missing,
            Some("wrong_scope") => Self::WrongScope,
            Some("wrong_channel") => Self::WrongChannel,
            Some("mismatch") => Self::Mismatch,
            Some("spent") => Self::Spent,
            Some("expired") => Self::Expired,
            Some("too_old") => Self::TooOld,
            Some("no_channel") => Self::NoChannel,
            _ => Self::Other,
        }
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requirement")
            .field("reason", &self.reason)
            .field("scope", &self.scope)
            .field("max_age", &self.max_age)
            .field("channels", &self.channels)
            .field("all", &self.all)
            .field("unmet", &self.unmet)
            .field("start", &self.start)
            .field("bound", &self.binding.is_some())
            .field("operation", &self.operation)
            .field("spent_at", &self.spent_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_word_is_enough() {
        for ours in [r#"{"errorCode":"STEP_UP_REQUIRED"}"#, r#"{"errorCode":"X","message":"STEP_UP_REQUIRED"}"#] {
            assert!(Requirement::from_json(ours.as_bytes()).is_some(), "{ours}");
        }
        for other in ["", "null", "[]", "{}", r#"{"errorCode":"X"}"#, r#"["STEP_UP_REQUIRED"]"#, r#"{"errorCode":1}"#] {
            assert_eq!(Requirement::from_json(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_has_another_type_is_absent() {
        let odd = r#"{"message":"STEP_UP_REQUIRED","reason":1,"scope":[],"maxAge":-1,"channels":["SMS"],"all":"true",
            "unmet":[{"reason":"expired"},3],"start":"x","spentAt":18446744073709551615}"#;
        let read = Requirement::from_json(odd.as_bytes()).expect("one of ours");
        assert_eq!((read.reason(), read.scope(), read.max_age()), (&Reason::Other, None, None));
        assert_eq!((read.channels(), read.all()), (&Channels::default(), false));
        assert!(read.unmet().is_empty() && read.start().is_empty());
    }

    /// The metadata of an `ErrorInfo` and the JSON of the same refusal.
    #[cfg(feature = "tonic")]
    #[test]
    fn metadata_say_what_the_json_says() {
        let json = r#"{"errorCode":"STEP_UP_REQUIRED","reason":"spent","scope":"120","maxAge":120,"all":true,
            "channels":{"otp":["SMS"],"push":["BIO"]},"unmet":[{"channel":"SMS","reason":"too_old","maxAge":60}],
            "start":["/otp/SMS"],"binding":"b","operation":"{}","spentAt":1800000000000,"enroll":"/e","page":"/p"}"#;
        let metadata = [
            ("reason", "spent"),
            ("scope", "120"),
            ("maxAge", "120"),
            ("all", "true"),
            ("channels", r#"{"otp":["SMS"],"push":["BIO"]}"#),
            ("unmet", r#"[{"channel":"SMS","reason":"too_old","maxAge":60}]"#),
            ("start", r#"["/otp/SMS"]"#),
            ("binding", "b"),
            ("operation", "{}"),
            ("spentAt", "1800000000000"),
            ("enroll", "/e"),
            ("page", "/p"),
        ];
        let metadata = || metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let read = Requirement::from_error_info("STEP_UP_REQUIRED", metadata()).expect("one of ours");
        assert_eq!(Some(&read), Requirement::from_json(json.as_bytes()).as_ref());
        assert_eq!((read.reason(), read.scope(), read.operation()), (&Reason::Spent, Some("120"), Some("{}")));
        assert_eq!((read.unmet().len(), read.all(), read.page()), (1, true, Some("/p")));
        assert_eq!(Requirement::from_error_info("UNAUTHORIZED", metadata()), None);
    }

    #[test]
    fn debug_leaves_the_binding_out() {
        let bound = r#"{"message":"STEP_UP_REQUIRED","binding":"canary"}"#;
        let read = Requirement::from_json(bound.as_bytes()).expect("one of ours");
        assert_eq!(read.binding(), Some("canary"));
        assert!(!format!("{read:?}").contains("canary"));
    }
}
