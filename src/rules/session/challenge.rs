//! One challenge of a session, a code or a push: its state, deadline and attempts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Granted, Use};
use crate::rules::{ChallengeId, Key, List, Policy, REMEMBRANCE, SealedOperation, Timestamp};

/// The challenge that a start asks for.
#[derive(Clone, Debug)]
pub(crate) struct NewChallenge<P> {
    pub(crate) id: ChallengeId,
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) operation: Option<SealedOperation>,
    pub(crate) recipient: Option<Key>,
    pub(crate) generation: u64,
    pub(crate) proof: P,
}

/// One challenge. `P` is the proof to compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
// For the field that is skipped, the macro would ask for a default of `P`.
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
pub(super) struct SessionChallenge<P> {
    /// Its id, the same as in the user's record.
    pub(super) challenge_id: ChallengeId,
    pub(super) channel: Box<str>,
    pub(super) scope: Option<Box<str>>,
    pub(super) operation: Option<Box<SealedOperation>>,
    /// The recipient of its message. After the user has enrolled another one, it is never verified (T38).
    pub(super) recipient: Option<Box<Key>>,
    pub(super) started: Timestamp,
    pub(super) deadline: Timestamp,
    /// The user's generation when it was started. In any other generation it is never verified.
    pub(super) generation: u64,
    /// The ids of the wrong attempts so far. They show whether an attempt was compared if the store's answer was lost
    /// (T33).
    pub(super) wrong: List<u64>,
    pub(super) state: State,
    /// `None` once a code was verified: nothing is compared with it any more.
    pub(super) proof: Option<Box<P>>,
    /// The code that it replaced, until it is verified. It is restored if this one was not sent. Encoded by
    /// [`chain`](super::chain).
    #[serde(skip)]
    pub(super) earlier: Option<Box<Self>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum State {
    Pending,
    Verified(Timestamp),
    Declined(Timestamp),
    /// The last attempt was wrong.
    Exhausted,
    /// Revoked, a code that was cancelled, or a push that was never sent.
    Dropped,
    /// A push that was cancelled.
    Cancelled(Timestamp),
    /// A code that was never sent: the resend interval does not apply to it.
    Unsent,
}

impl<P> SessionChallenge<P> {
    pub(super) fn new(new: NewChallenge<P>, life: Duration, now: Timestamp) -> Self {
        Self {
            challenge_id: new.id,
            channel: new.channel,
            scope: new.scope,
            operation: new.operation.map(Box::new),
            recipient: new.recipient.map(Box::new),
            started: now,
            deadline: now.saturating_add(life),
            generation: new.generation,
            wrong: List::default(),
            state: State::Pending,
            proof: Some(Box::new(new.proof)),
            earlier: None,
        }
    }

    /// How many attempts remain.
    pub(super) fn tries_left(&self, allowed: u8) -> u8 {
        allowed.saturating_sub(u8::try_from(self.wrong.len()).unwrap_or(u8::MAX))
    }

    /// Whether it is pending and within its lifetime. One started beyond the clock skew in the future is not (T20).
    pub(super) fn is_alive(&self, policy: &Policy, now: Timestamp) -> bool {
        self.state == State::Pending && now < self.deadline && self.started <= now.saturating_add(policy.clock_skew)
    }

    /// Whether it is pending and within its lifetime on some node's clock, within the clock skew.
    pub(super) fn may_live(&self, policy: &Policy, now: Timestamp) -> bool {
        self.state == State::Pending && now < self.deadline.saturating_add(policy.clock_skew)
    }

    pub(super) fn is_remembered(end: Timestamp, now: Timestamp) -> bool {
        now < end.saturating_add(REMEMBRANCE)
    }

    /// Drops a pending challenge. The one that it replaced is not restored.
    pub(super) fn drop_pending(&mut self) {
        self.earlier = None;
        if self.state == State::Pending {
            self.state = State::Dropped;
        }
    }

    /// Whether it must be kept: it is pending, its end is still reported, or its attempts are inherited.
    pub(super) fn matters(&self, now: Timestamp) -> bool {
        match self.state {
            State::Pending => Self::is_remembered(self.deadline, now),
            State::Verified(at) => Self::is_remembered(at, now),
            State::Dropped | State::Unsent => now < self.deadline,
            State::Declined(_) | State::Cancelled(_) | State::Exhausted => false,
        }
    }

    /// Whether the challenge that replaces it inherits its attempts.
    pub(super) fn is_voided(&self, now: Timestamp) -> bool {
        now < self.deadline && matches!(self.state, State::Pending | State::Dropped | State::Unsent)
    }

    /// Marks it as verified and returns the grant.
    pub(super) fn verify(&mut self, policy: &Policy, now: Timestamp) -> Granted {
        self.state = State::Verified(now);
        self.earlier = None;
        Granted {
            id: self.challenge_id.0,
            channel: self.channel.clone(),
            scope: self.scope.clone(),
            operation: self.operation.as_deref().map(|operation| operation.digest),
            verified_at: now,
            expires_at: now.saturating_add(policy.grant_lifetime),
            generation: self.generation,
            usage: Use::Fresh,
        }
    }
}
