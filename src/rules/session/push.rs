//! Pushes of a session: starting, answering, polling and withdrawing them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    NewChallenge, Session,
    challenge::{SessionChallenge, State},
};
use crate::rules::{ChallengeError, ChallengeId, CodeDigest, NUMBER_TRIES, Policy, PushDigest, SealedText, Timestamp};

/// The status of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushStatus {
    /// The user has not answered yet.
    Pending {
        /// The time left to answer it.
        expires_in: Duration,
    },
    /// It was approved.
    Verified,
    /// It was declined.
    Declined,
    /// The user did not answer before the deadline, or the client cancelled it.
    Expired,
}

/// The proof of a push: the digest of its id and user, and with number matching the digest of the number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PushProof {
    pub(crate) id: PushDigest,
    pub(crate) number: Option<Box<CodeDigest>>,
    /// The id itself, for the client that has lost the response to its start; after it, with number matching, a space and
    /// the number, for the page.
    pub(crate) shown: SealedText,
    /// Whether it was sent and its id returned to the client. If the request is dropped before, nobody knows the id.
    pub(crate) sent: bool,
}

/// The phone's answer to a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Yes,
    /// Approval with the number that the user typed (number matching).
    Number {
        typed: &'a str,
        /// The id of this attempt.
        attempt: u64,
    },
    No,
}

/// The result of an answer to a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyOutcome {
    Approved,
    Declined,
    /// The number was wrong. If no attempts are left, the push is declined.
    WrongNumber {
        left: u8,
    },
}

/// Why an answer to a push was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyRejected {
    TooLate,
    /// Number matching is on, and the approval came without a number.
    NumberRequired,
}

/// Pushes.
impl Session {
    /// The id of the push in the slot, in any state.
    pub(crate) fn push_challenge_id(&self) -> Option<ChallengeId> {
        self.push.as_deref().map(|push| push.challenge_id)
    }

    /// Whether a push may be started: not while another is pending. One that was not sent within twice the sender's
    /// deadline does not count.
    pub(crate) fn may_start_push(
        &self,
        generation: u64,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        if let Some(push) = &self.push
            && push.is_alive(policy, now)
            && push.generation == generation
            // Twice the deadline, to include the store's operations before and after the sender.
            && (push.is_sent() || now < push.started.saturating_add(policy.sender_deadline * 2))
        {
            return Err(ChallengeError::StateInvalid);
        }
        self.may_start_more(policy)
    }

    /// Starts a push.
    pub(crate) fn start_push(
        &self,
        new: NewChallenge<PushProof>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, ChallengeError> {
        self.may_start_push(new.generation, policy, now)?;
        let challenge = SessionChallenge::new(new, policy.push_lifetime, now);
        Ok(Self { push: Some(Box::new(challenge)), ..self.started(policy, now) })
    }

    /// The channel and the scope of the push in its slot.
    pub(crate) fn push_is_for(&self) -> Option<(&str, Option<&str>)> {
        self.push.as_deref().map(|push| (&*push.channel, push.scope.as_deref()))
    }

    /// The status of a push of this session; `None` for one that it did not start or no longer remembers.
    pub(crate) fn push_status(
        &self,
        channel: &str,
        id: &PushDigest,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<PushStatus> {
        let push = self.push.as_deref().filter(|push| *push.channel == *channel && push.has_id(id))?;
        let (end, status) = match push.state {
            State::Pending if push.is_alive(policy, now) => {
                let expires_in = push.deadline.saturating_since(now);
                return Some(PushStatus::Pending { expires_in });
            }
            State::Pending => (push.deadline, PushStatus::Expired),
            State::Verified(at) => (at, PushStatus::Verified),
            State::Declined(at) => (at, PushStatus::Declined),
            State::Cancelled(at) => (at, PushStatus::Expired),
            State::Exhausted | State::Dropped | State::Unsent => return None,
        };
        SessionChallenge::<PushProof>::is_remembered(end, now).then_some(status)
    }

    /// Cancels a push. `None`: it has ended already, or this session has not started it.
    pub(crate) fn cancel_push(&self, channel: &str, id: &PushDigest, policy: &Policy, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        let is_it = |push: &&mut SessionChallenge<PushProof>| *push.channel == *channel && push.has_id(id);
        let push = next.push.as_deref_mut().filter(is_it).filter(|push| push.may_live(policy, now))?;
        push.state = State::Cancelled(now);
        Some(next)
    }

    /// The id of the push in the slot, if it was cancelled.
    pub(crate) fn cancelled_push(&self) -> Option<ChallengeId> {
        let push = self.push.as_deref().filter(|push| matches!(push.state, State::Cancelled(_)))?;
        Some(push.challenge_id)
    }

    /// Applies the answer to a push: once, before its deadline, in its generation, and with the number if number
    /// matching is on. The last wrong number declines it.
    ///
    /// # Errors
    ///
    /// [`ReplyRejected`] if the push cannot be answered any more, or the number is missing.
    pub(crate) fn reply_to_push(
        &self,
        id: &PushDigest,
        generation: u64,
        said: Reply<'_>,
        matches: impl FnOnce(&CodeDigest, &str, &str) -> bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Self, ReplyOutcome), ReplyRejected> {
        let mut next = self.pruned(now);
        let is_it = |push: &&mut SessionChallenge<PushProof>| push.has_id(id) && push.generation == generation;
        let push = next.push.as_deref_mut().filter(is_it).ok_or(ReplyRejected::TooLate)?;
        if !push.is_alive(policy, now) {
            return Err(ReplyRejected::TooLate);
        }
        let (right, attempt) = match (said, push.number()) {
            (Reply::No, _) => {
                push.state = State::Declined(now);
                return Ok((next, ReplyOutcome::Declined));
            }
            (Reply::Yes, Some(_)) => return Err(ReplyRejected::NumberRequired),
            (Reply::Yes | Reply::Number { .. }, None) => (true, 0),
            (Reply::Number { attempt, .. }, Some(_)) if push.wrong.contains(&attempt) => {
                // Already compared, although the store's answer was lost.
                let left = push.tries_left(NUMBER_TRIES);
                return Ok((next, ReplyOutcome::WrongNumber { left }));
            }
            (Reply::Number { typed, attempt }, Some(number)) => (matches(number, &push.channel, typed), attempt),
        };
        if right {
            let grant = push.verify(policy, now);
            push.operation = None;
            next.add_grant(grant);
            return Ok((next, ReplyOutcome::Approved));
        }
        push.wrong.push(attempt);
        let left = push.tries_left(NUMBER_TRIES);
        if left == 0 {
            push.state = State::Declined(now);
        }
        Ok((next, ReplyOutcome::WrongNumber { left }))
    }

    /// Marks a push as sent; `None` if it is no longer the one in the slot or was answered already.
    pub(crate) fn push_sent(&self, challenge_id: ChallengeId) -> Option<Self> {
        let mut next = self.clone();
        let is_it =
            |push: &&mut SessionChallenge<PushProof>| push.challenge_id == challenge_id && push.state == State::Pending;
        next.push.as_deref_mut().filter(is_it)?.proof.as_deref_mut()?.sent = true;
        Some(next)
    }

    /// Withdraws a push that was not sent; `None` if it is no longer the one in the slot.
    pub(crate) fn withdraw_push(&self, challenge_id: ChallengeId) -> Option<Self> {
        let mut next = self.clone();
        next.push.as_deref_mut().filter(|push| push.challenge_id == challenge_id)?.drop_pending();
        Some(next)
    }
}

impl SessionChallenge<PushProof> {
    fn has_id(&self, id: &PushDigest) -> bool {
        self.proof.as_deref().is_some_and(|proof| proof.id == *id)
    }

    fn is_sent(&self) -> bool {
        self.proof.as_deref().is_some_and(|proof| proof.sent)
    }

    fn number(&self) -> Option<&CodeDigest> {
        self.proof.as_deref()?.number.as_deref()
    }
}
