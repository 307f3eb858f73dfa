//! One challenge of a session, a code or a push: its state, its deadline, its attempts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Granted, Use};
use crate::rules::{Key, OperationDigest, Policy, REMEMBRANCE, Timestamp};

/// What a start asks for.
#[derive(Clone, Debug)]
pub(crate) struct NewChallenge<P> {
    pub(crate) id: u64,
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) operation: Option<OperationDigest>,
    pub(crate) recipient: Option<Key>,
    pub(crate) generation: u64,
    pub(crate) proof: P,
}

/// One challenge: `P` is what proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SessionChallenge<P> {
    /// The id of its start, by which the user's record knows it.
    pub(super) challenge_id: u64,
    pub(super) channel: Box<str>,
    pub(super) scope: Option<Box<str>>,
    pub(super) operation: Option<OperationDigest>,
    /// Where its message goes: once the user has enrolled another destination, it never verifies (T38).
    pub(super) recipient: Option<Key>,
    pub(super) started: Timestamp,
    pub(super) deadline: Timestamp,
    /// The subject's generation when it was started: another one never verifies.
    pub(super) generation: u64,
    /// The attempts that were wrong so far. By its id an attempt knows that it was compared, whatever the store has
    /// answered (T33).
    pub(super) wrong: Vec<u64>,
    pub(super) state: State,
    pub(super) proof: P,
    /// The one that it took the place of, until it is proven: it comes back where this one was not sent.
    pub(super) earlier: Option<Box<Self>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum State {
    Pending,
    Verified(Timestamp),
    Declined(Timestamp),
    /// The last try was wrong.
    Exhausted,
    /// Revoked, or a push that was never sent.
    Dropped,
    /// A code that was never sent: it does not hold the resend interval.
    Unsent,
}

impl<P> SessionChallenge<P> {
    pub(super) fn new(new: NewChallenge<P>, life: Duration, now: Timestamp) -> Self {
        Self {
            challenge_id: new.id,
            channel: new.channel,
            scope: new.scope,
            operation: new.operation,
            recipient: new.recipient,
            started: now,
            deadline: now.saturating_add(life),
            generation: new.generation,
            wrong: Vec::new(),
            state: State::Pending,
            proof: new.proof,
            earlier: None,
        }
    }

    /// How many more may be wrong.
    pub(super) fn tries_left(&self, allowed: u8) -> u8 {
        allowed.saturating_sub(u8::try_from(self.wrong.len()).unwrap_or(u8::MAX))
    }

    /// Whether it can still be proven in time. A stamp from the future proves nothing (T20).
    pub(super) fn is_alive(&self, policy: &Policy, now: Timestamp) -> bool {
        self.state == State::Pending && now < self.deadline && self.started <= now.saturating_add(policy.clock_skew)
    }

    pub(super) fn is_remembered(end: Timestamp, now: Timestamp) -> bool {
        now < end.saturating_add(REMEMBRANCE)
    }

    /// Ends what is pending; what it took the place of does not come back.
    pub(super) fn drop_pending(&mut self) {
        self.earlier = None;
        if self.state == State::Pending {
            self.state = State::Dropped;
        }
    }

    /// Whether it still matters: it is alive, its end is reported, or its attempts are inherited.
    pub(super) fn matters(&self, now: Timestamp) -> bool {
        match self.state {
            State::Pending => Self::is_remembered(self.deadline, now),
            State::Verified(at) => Self::is_remembered(at, now),
            State::Dropped | State::Unsent => now < self.deadline,
            State::Declined(_) | State::Exhausted => false,
        }
    }

    /// Whether the challenge that takes its place inherits its attempts.
    pub(super) fn is_voided(&self, now: Timestamp) -> bool {
        now < self.deadline && matches!(self.state, State::Pending | State::Dropped | State::Unsent)
    }

    /// The grant that a proof gives now.
    pub(super) fn verify(&mut self, policy: &Policy, now: Timestamp) -> Granted {
        self.state = State::Verified(now);
        self.earlier = None;
        Granted {
            id: self.challenge_id,
            channel: self.channel.clone(),
            scope: self.scope.clone(),
            operation: self.operation,
            verified_at: now,
            expires_at: now.saturating_add(policy.grant_lifetime),
            generation: self.generation,
            usage: Use::Fresh,
        }
    }
}
