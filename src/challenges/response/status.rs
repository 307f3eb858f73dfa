//! The body of `GET /`: where a session stands.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    engine::{Grant, PendingOtp, PendingPush, StepUpStatus},
    rules::{Timestamp, secs_up},
};

#[derive(Serialize)]
pub(super) struct StatusBody<'a> {
    status: &'static str,
    grants: Vec<GrantBody<'a>>,
    channels: Channels<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<PendingBody<'a>>,
    to: &'a BTreeMap<String, String>,
}

/// Those that the user has enrolled.
#[derive(Serialize)]
struct Channels<'a> {
    otp: &'a [String],
    push: &'a [String],
    proof: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GrantBody<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bound: bool,
    verified_at: u64,
    expires_in: u64,
}

#[derive(Serialize)]
struct PendingBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    otp: Option<ChallengeBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<ChallengeBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_in: Option<u64>,
}

impl<'a> From<&'a StepUpStatus> for StatusBody<'a> {
    fn from(status: &'a StepUpStatus) -> Self {
        let StepUpStatus { grants, otp, push, proof, to, pending_otp, pending_push, now } = status;
        let pending = (pending_otp.is_some() || pending_push.is_some()).then(|| PendingBody {
            otp: pending_otp.as_ref().map(ChallengeBody::from),
            push: pending_push.as_ref().map(ChallengeBody::from),
        });
        Self {
            status: if status.is_stepped_up() { "STEPPED_UP" } else { "STANDARD" },
            grants: grants.iter().map(|grant| GrantBody::new(grant, *now)).collect(),
            channels: Channels { otp, push, proof },
            pending,
            to,
        }
    }
}

impl<'a> GrantBody<'a> {
    fn new(grant: &'a Grant, now: Timestamp) -> Self {
        Self {
            channel: grant.channel(),
            scope: grant.scope(),
            bound: grant.is_bound(),
            verified_at: grant.verified_at().as_millis(),
            expires_in: grant.expires_at().saturating_since(now).as_secs(),
        }
    }
}

impl<'a> From<&'a PendingOtp> for ChallengeBody<'a> {
    fn from(pending: &'a PendingOtp) -> Self {
        let PendingOtp { channel, scope, operation, to, expires_in, retry_in } = pending;
        Self {
            id: None,
            channel,
            scope: scope.as_deref(),
            operation: operation.as_deref(),
            to: to.as_deref(),
            expires_in: expires_in.as_secs(),
            // Rounded up, as `Retry-After`; 0 where a code can be started at once.
            retry_in: Some(secs_up(*retry_in)),
        }
    }
}

impl<'a> From<&'a PendingPush> for ChallengeBody<'a> {
    fn from(pending: &'a PendingPush) -> Self {
        let PendingPush { id, channel, scope, operation, to, expires_in, .. } = pending;
        Self {
            id: Some(id),
            channel,
            scope: scope.as_deref(),
            operation: operation.as_deref(),
            to: to.as_deref(),
            expires_in: expires_in.as_secs(),
            retry_in: None,
        }
    }
}
