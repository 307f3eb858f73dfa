//! The record of one session, and what it may do next. Pure: no clock, no lock, no I/O.
//!
//! A session has at most one pending one-time code and one pending push. Each stays in its slot after it
//! ended, so that "expired" and "already verified" can be told from "never was", and so that a new start
//! inherits the tries of a code that is voided while it lives.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    code::{CodeDigest, PushDigest},
    error::ChallengeError,
    policy::{GRANTS_PER_SESSION, Policy, REMEMBRANCE, STARTS_KEPT},
};

/// What a verified challenge gave: by which channel, for what, when, and until when.
///
/// A guard puts it into the request's [`Caller`](crate::Caller). A clone is one atomic increment.
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, Grant};
///
/// fn receipt(caller: &Caller) -> Option<String> {
///     let grant: &Grant = caller.grant()?;
///     Some(format!("approved by {} at {}", grant.channel(), grant.verified_at().as_millis()))
/// }
/// # assert!(receipt(&Caller::new("alice", "1")).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "GrantParts", into = "GrantParts")]
pub struct Grant(Arc<GrantParts>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GrantParts {
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) verified_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Grant {
    pub(crate) fn new(parts: GrantParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The channel by which the caller proved to be there.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.0.channel
    }

    /// What the step-up was for; `None` for the whole session.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref()
    }

    /// When the challenge was verified.
    #[must_use]
    pub fn verified_at(&self) -> Timestamp {
        self.0.verified_at
    }

    /// When the grant ends, whatever happens in between.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    fn is_live(&self, policy: &Policy, now: Timestamp) -> bool {
        now < self.expires_at() && self.verified_at() <= now.saturating_add(policy.skew)
    }
}

impl From<GrantParts> for Grant {
    fn from(parts: GrantParts) -> Self {
        Self::new(parts)
    }
}

impl From<Grant> for GrantParts {
    fn from(grant: Grant) -> Self {
        Arc::unwrap_or_clone(grant.0)
    }
}

/// How a push stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushStatus {
    /// Nobody has answered yet.
    Pending {
        /// How long it can still be answered.
        expires_in: Duration,
    },
    /// It was approved.
    Verified,
    /// It was declined.
    Declined,
    /// Nobody answered in time.
    Expired,
}

/// The record of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    otp: Option<Box<Challenge<CodeDigest>>>,
    push: Option<Box<Challenge<PushDigest>>>,
    grants: Vec<Grant>,
    /// Challenges started, counted only where the policy limits them.
    starts: u32,
}

/// One challenge: `P` is what proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Challenge<P> {
    channel: Box<str>,
    scope: Option<Box<str>>,
    started: Timestamp,
    deadline: Timestamp,
    /// The subject's generation when it was started: another one never verifies.
    generation: u64,
    /// Wrong proofs so far.
    tries: u8,
    state: State,
    proof: P,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Pending,
    Verified(Timestamp),
    Declined(Timestamp),
    /// The last try was wrong.
    Exhausted,
    /// Withdrawn: revoked, or never sent.
    Dropped,
}

/// What a start asks for.
#[derive(Clone, Debug)]
pub(crate) struct Start<P> {
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) generation: u64,
    pub(crate) proof: P,
}

/// What became of a code that was compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Compared {
    Right(Grant),
    Wrong(ChallengeError),
}

impl<P> Challenge<P> {
    fn new(start: Start<P>, life: Duration, now: Timestamp) -> Self {
        Self {
            channel: start.channel,
            scope: start.scope,
            started: now,
            deadline: now.saturating_add(life),
            generation: start.generation,
            tries: 0,
            state: State::Pending,
            proof: start.proof,
        }
    }

    /// Whether it can still be proven in time. A stamp from the future proves nothing (T20).
    fn is_alive(&self, policy: &Policy, now: Timestamp) -> bool {
        self.state == State::Pending && now < self.deadline && self.started <= now.saturating_add(policy.skew)
    }

    fn is_remembered(end: Timestamp, now: Timestamp) -> bool {
        now < end.saturating_add(REMEMBRANCE)
    }

    fn drop_pending(&mut self) {
        if self.state == State::Pending {
            self.state = State::Dropped;
        }
    }

    /// The grant that a proof gives now.
    fn verify(&mut self, policy: &Policy, now: Timestamp) -> Grant {
        self.state = State::Verified(now);
        Grant::new(GrantParts {
            channel: self.channel.clone(),
            scope: self.scope.clone(),
            verified_at: now,
            expires_at: now.saturating_add(policy.grant_life),
        })
    }
}

/// One-time codes.
impl Session {
    /// Whether a code may be started.
    pub(crate) fn may_start_otp(&self, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        if let Some(last) = &self.otp {
            let next = last.started.saturating_add(policy.resend_interval);
            if now < next {
                let wait = next.saturating_since(now);
                return Err(ChallengeError::RetryIn { interval: policy.resend_interval, wait });
            }
        }
        self.may_start_more(policy)
    }

    /// Starts a code. One that is alive is voided, and its tries are inherited.
    pub(crate) fn start_otp(
        &self,
        start: Start<CodeDigest>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, ChallengeError> {
        self.may_start_otp(policy, now)?;
        let inherited = match &self.otp {
            Some(last) if now < last.deadline && matches!(last.state, State::Pending | State::Dropped) => last.tries,
            _ => 0,
        };
        let mut challenge = Challenge::new(start, policy.code_life, now);
        challenge.tries = inherited;
        Ok(Self { otp: Some(Box::new(challenge)), ..self.started(policy, now) })
    }

    /// What stands in the way of comparing a code, if anything. `knows` says whether its secret is at hand.
    pub(crate) fn may_verify(
        &self,
        channel: &str,
        generation: Option<u64>,
        knows: impl FnOnce(&CodeDigest) -> bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        let Some(challenge) = self.otp.as_deref().filter(|challenge| *challenge.channel == *channel) else {
            return Err(ChallengeError::StateInvalid);
        };
        match challenge.state {
            State::Verified(at) if Challenge::<CodeDigest>::is_remembered(at, now) => {
                Err(ChallengeError::AlreadyVerified)
            }
            State::Pending
                if now >= challenge.deadline && Challenge::<CodeDigest>::is_remembered(challenge.deadline, now) =>
            {
                Err(ChallengeError::CodeExpired)
            }
            _ if challenge.is_alive(policy, now)
                && Some(challenge.generation) == generation
                && challenge.tries < policy.tries
                && knows(&challenge.proof) =>
            {
                Ok(())
            }
            _ => Err(ChallengeError::StateInvalid),
        }
    }

    /// Compares a code that [`may_verify`](Self::may_verify) let through: counts the try, or grants.
    pub(crate) fn compare(
        &self,
        matches: impl FnOnce(&CodeDigest) -> bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Self, Compared), ChallengeError> {
        let mut next = self.pruned(now);
        let challenge = next.otp.as_deref_mut().ok_or(ChallengeError::StateInvalid)?;
        if matches(&challenge.proof) {
            let grant = challenge.verify(policy, now);
            next.add_grant(grant.clone());
            return Ok((next, Compared::Right(grant)));
        }
        challenge.tries = challenge.tries.saturating_add(1);
        let error = match policy.tries.saturating_sub(challenge.tries) {
            0 => {
                challenge.state = State::Exhausted;
                ChallengeError::ChallengeLimitExceeded
            }
            1 => ChallengeError::OneTryRemaining,
            _ => ChallengeError::CodeInvalid,
        };
        Ok((next, Compared::Wrong(error)))
    }

    /// Withdraws a code that was not sent; `None` where it is no longer the one in the slot.
    pub(crate) fn withdraw_otp(&self, proof: &CodeDigest) -> Option<Self> {
        let mut next = self.clone();
        next.otp.as_deref_mut().filter(|challenge| challenge.proof == *proof)?.drop_pending();
        Some(next)
    }
}

/// Pushes.
impl Session {
    /// Whether a push may be started: one in flight is enough.
    pub(crate) fn may_start_push(
        &self,
        generation: Option<u64>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        if let Some(push) = &self.push
            && push.is_alive(policy, now)
            && Some(push.generation) == generation
        {
            return Err(ChallengeError::StateInvalid);
        }
        self.may_start_more(policy)
    }

    /// Starts a push.
    pub(crate) fn start_push(
        &self,
        start: Start<PushDigest>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, ChallengeError> {
        self.may_start_push(Some(start.generation), policy, now)?;
        let challenge = Challenge::new(start, policy.push_life, now);
        Ok(Self { push: Some(Box::new(challenge)), ..self.started(policy, now) })
    }

    /// How a push of this session stands; `None` for one that it did not start or no longer remembers.
    pub(crate) fn push_status(
        &self,
        channel: &str,
        id: &PushDigest,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<PushStatus> {
        let push = self.push.as_deref().filter(|push| *push.channel == *channel && push.proof == *id)?;
        let (end, status) = match push.state {
            State::Pending if push.is_alive(policy, now) => {
                let expires_in = push.deadline.saturating_since(now);
                return Some(PushStatus::Pending { expires_in });
            }
            State::Pending => (push.deadline, PushStatus::Expired),
            State::Verified(at) => (at, PushStatus::Verified),
            State::Declined(at) => (at, PushStatus::Declined),
            State::Exhausted | State::Dropped => return None,
        };
        Challenge::<PushDigest>::is_remembered(end, now).then_some(status)
    }

    /// Takes the answer to a push: once, before its deadline, in its generation. `None` where it is too late.
    pub(crate) fn answer_push(
        &self,
        id: &PushDigest,
        generation: u64,
        approved: bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Self> {
        let mut next = self.pruned(now);
        let push = next.push.as_deref_mut().filter(|push| push.proof == *id && push.generation == generation)?;
        if !push.is_alive(policy, now) {
            return None;
        }
        if approved {
            let grant = push.verify(policy, now);
            next.add_grant(grant);
        } else {
            push.state = State::Declined(now);
        }
        Some(next)
    }

    /// Withdraws a push that was not sent; `None` where it is no longer the one in the slot.
    pub(crate) fn withdraw_push(&self, proof: &PushDigest) -> Option<Self> {
        let mut next = self.clone();
        next.push.as_deref_mut().filter(|challenge| challenge.proof == *proof)?.drop_pending();
        Some(next)
    }
}

/// Grants, and the record as a whole.
impl Session {
    pub(crate) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    pub(crate) fn live_grants(&self, policy: &Policy, now: Timestamp) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| grant.is_live(policy, now))
    }

    /// Removes grants and pending challenges; tries, start stamps and counts stay (T4, T15).
    pub(crate) fn revoked(&self) -> Self {
        let mut next = Self { grants: Vec::new(), ..self.clone() };
        if let Some(otp) = next.otp.as_deref_mut() {
            otp.drop_pending();
        }
        if let Some(push) = next.push.as_deref_mut() {
            push.drop_pending();
        }
        next
    }

    /// Until when the record must be kept: its last deadline, and the time in which that is remembered.
    pub(crate) fn keep_until(&self, policy: &Policy) -> Timestamp {
        let challenges = [
            self.otp.as_deref().map(|otp| (otp.started, otp.deadline)),
            self.push.as_deref().map(|push| (push.started, push.deadline)),
        ];
        let mut until = Timestamp::from_millis(0);
        for (started, deadline) in challenges.into_iter().flatten() {
            until = until.max(deadline.saturating_add(REMEMBRANCE)).max(started.saturating_add(policy.resend_interval));
            if policy.starts_per_session.is_some() {
                until = until.max(started.saturating_add(STARTS_KEPT));
            }
        }
        let grants = self.grants.iter().map(|grant| grant.expires_at().saturating_add(REMEMBRANCE));
        grants.fold(until, Timestamp::max)
    }

    fn may_start_more(&self, policy: &Policy) -> Result<(), ChallengeError> {
        match policy.starts_per_session {
            Some(limit) if self.starts >= limit => Err(ChallengeError::ChallengeLimitExceeded),
            _ => Ok(()),
        }
    }

    /// The record with one start more.
    fn started(&self, policy: &Policy, now: Timestamp) -> Self {
        let counted = u32::from(policy.starts_per_session.is_some());
        Self { starts: self.starts.saturating_add(counted), ..self.pruned(now) }
    }

    /// The record without the grants that nobody remembers.
    fn pruned(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.grants.retain(|grant| now < grant.expires_at().saturating_add(REMEMBRANCE));
        next
    }

    /// A new grant takes the place of an older one for the same by the same channel, and of the oldest
    /// where the list is full.
    fn add_grant(&mut self, grant: Grant) {
        self.grants.retain(|old| old.channel() != grant.channel() || old.scope() != grant.scope());
        while self.grants.len() >= GRANTS_PER_SESSION {
            let Some(oldest) = (0..self.grants.len()).min_by_key(|&i| self.grants[i].verified_at()) else { break };
            self.grants.remove(oldest);
        }
        self.grants.push(grant);
        self.grants.shrink_to_fit();
    }
}

#[cfg(test)]
impl Session {
    pub(crate) fn with_grants(grants: Vec<Grant>) -> Self {
        Self { grants, ..Self::default() }
    }
}
