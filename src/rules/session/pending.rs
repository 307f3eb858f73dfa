//! What is pending in a session, as its owner is shown it.

use std::time::Duration;

use super::{Session, challenge::SessionChallenge};
use crate::rules::{Key, Policy, SealedOperation, SealedText, Timestamp};

/// A challenge that can still be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) operation: Option<SealedOperation>,
    /// The recipient of its message.
    pub(crate) recipient: Option<Key>,
    /// The id of a push.
    pub(crate) id: Option<SealedText>,
    pub(crate) expires_in: Duration,
    /// How long no other code can be started.
    pub(crate) retry_in: Duration,
}

/// What is pending.
impl Session {
    pub(crate) fn pending_otp(&self, generation: u64, policy: &Policy, now: Timestamp) -> Option<Pending> {
        let otp = self.otp.as_deref().filter(|otp| otp.tries_left(policy.max_attempts) > 0)?;
        let retry_in = otp.started.saturating_add(policy.resend_interval).saturating_since(now);
        Some(Pending { retry_in, ..pending(otp, generation, policy, now)? })
    }

    pub(crate) fn pending_push(&self, generation: u64, policy: &Policy, now: Timestamp) -> Option<Pending> {
        let push = self.push.as_deref()?;
        let id = push.proof.as_deref().map(|proof| proof.shown.clone());
        Some(Pending { id, ..pending(push, generation, policy, now)? })
    }
}

fn pending<P>(challenge: &SessionChallenge<P>, generation: u64, policy: &Policy, now: Timestamp) -> Option<Pending> {
    let is_pending = challenge.is_alive(policy, now) && challenge.generation == generation;
    is_pending.then(|| Pending {
        channel: challenge.channel.clone(),
        scope: challenge.scope.clone(),
        operation: challenge.operation.as_deref().cloned(),
        recipient: challenge.recipient.as_deref().copied(),
        id: None,
        expires_in: challenge.deadline.saturating_since(now),
        retry_in: Duration::ZERO,
    })
}
