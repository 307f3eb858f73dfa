//! The response of `Status`: where a session stands.

use super::v1;
use crate::{
    engine::{PendingOtp, PendingPush, StepUpStatus},
    rules::secs_up,
};

impl From<StepUpStatus> for v1::StatusResponse {
    fn from(status: StepUpStatus) -> Self {
        let level = if status.is_stepped_up() { v1::Level::SteppedUp } else { v1::Level::Standard };
        let StepUpStatus { grants, otp, push, proof, to, pending_otp, pending_push, now } = status;
        let grants = grants.iter().map(|grant| v1::Grant {
            channel: grant.channel().to_owned(),
            scope: grant.scope().map(ToOwned::to_owned),
            bound: grant.is_bound(),
            verified_at: grant.verified_at().as_millis(),
            expires_in: grant.expires_at().saturating_since(now).as_secs(),
        });
        let pending = v1::Pending { otp: pending_otp.map(Into::into), push: pending_push.map(Into::into) };
        Self {
            status: level.into(),
            grants: grants.collect(),
            channels: Some(v1::Channels { otp, push, proof }),
            pending: (pending.otp.is_some() || pending.push.is_some()).then_some(pending),
            to: to.into_iter().collect(),
        }
    }
}

impl From<PendingOtp> for v1::PendingOtp {
    fn from(pending: PendingOtp) -> Self {
        let PendingOtp { channel, scope, operation, to, expires_in, retry_in } = pending;
        Self { channel, scope, operation, to, expires_in: expires_in.as_secs(), retry_in: secs_up(retry_in) }
    }
}

impl From<PendingPush> for v1::PendingPush {
    fn from(pending: PendingPush) -> Self {
        let PendingPush { id, channel, scope, operation, to, expires_in, .. } = pending;
        Self { id, channel, scope, operation, to, expires_in: expires_in.as_secs() }
    }
}
