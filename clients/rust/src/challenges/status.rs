//! What the challenge endpoints say.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer};

use crate::Channels;

/// A push that was started.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushStarted {
    /// Its id: digits.
    pub id: String,
    /// The number to show, which the user types on their phone, where the server uses number matching.
    #[serde(default)]
    pub number: Option<String>,
}

/// Prints neither the id nor the number: who knows both can answer the push.
impl fmt::Debug for PushStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushStarted").field("has_number", &self.number.is_some()).finish_non_exhaustive()
    }
}

/// The outcome of a push, so far.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PushOutcome {
    /// Whether it was answered.
    pub status: PushStatus,
    /// How long it can still be answered.
    #[serde(default, deserialize_with = "seconds")]
    pub expires_in: Duration,
}

/// Whether a push was answered.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum PushStatus {
    /// Not yet.
    Pending,
    /// The user has approved.
    Verified,
    /// The user has declined.
    Declined,
    /// Nobody has answered in time, or it was cancelled.
    Expired,
}

/// The status of a session.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionStatus {
    /// Whether the session holds a grant that is not bound to one operation.
    #[serde(rename = "status", deserialize_with = "stepped_up")]
    pub stepped_up: bool,
    /// The grants that are alive.
    pub grants: Vec<Grant>,
    /// The channels that this user has enrolled.
    pub channels: Channels,
    /// What can be verified or answered now.
    pub pending: Pending,
    /// Where each channel leads, masked.
    pub to: BTreeMap<String, String>,
}

/// What a verified challenge has left in the session.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Grant {
    /// The channel of the challenge.
    pub channel: String,
    /// What it is for; `None` for the whole session.
    pub scope: Option<String>,
    /// When the challenge was verified, since the Unix epoch.
    #[serde(deserialize_with = "millis")]
    pub verified_at: Duration,
    /// How long it is still alive.
    #[serde(deserialize_with = "seconds")]
    pub expires_in: Duration,
    /// Whether it is bound to one operation.
    pub bound: bool,
}

/// What can be verified or answered now.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[non_exhaustive]
pub struct Pending {
    /// The code.
    pub otp: Option<PendingOtp>,
    /// The push.
    pub push: Option<PendingPush>,
}

/// A code that can be verified.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct PendingOtp {
    /// Its channel.
    pub channel: String,
    /// What it is for; `None` for the whole session.
    pub scope: Option<String>,
    /// The text of the operation that it approves.
    pub operation: Option<String>,
    /// Where it was sent, masked.
    pub to: Option<String>,
    /// How long it can be verified.
    #[serde(deserialize_with = "seconds")]
    pub expires_in: Duration,
    /// How long until another code can be started.
    #[serde(deserialize_with = "seconds")]
    pub retry_in: Duration,
}

/// A push that can be answered.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct PendingPush {
    /// Its id.
    pub id: String,
    /// Its channel.
    pub channel: String,
    /// What it is for; `None` for the whole session.
    pub scope: Option<String>,
    /// The text of the operation that it approves.
    pub operation: Option<String>,
    /// Where it was sent, masked.
    pub to: Option<String>,
    /// How long it can be answered.
    #[serde(deserialize_with = "seconds")]
    pub expires_in: Duration,
}

fn seconds<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    u64::deserialize(value).map(Duration::from_secs)
}

fn millis<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    u64::deserialize(value).map(Duration::from_millis)
}

fn stepped_up<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    String::deserialize(value).map(|level| level == "STEPPED_UP")
}
