//! The record of one session, and what it may do next. Pure: no clock, no lock, no I/O.
//!
//! A session has at most one pending one-time code and one pending push. Each stays in its slot after it
//! ended, so that "expired" and "already verified" can be told from "never was", and so that a new start
//! inherits the tries of a code that is voided while it lives. A code that was voided comes back where the message of
//! the one in its place was not sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rules::{
    ChallengeError, CodeDigest, GRANTS_PER_SESSION, Key, NUMBER_TRIES, OperationDigest, Policy, PushDigest,
    RECORD_LIST_LIMIT, REMEMBRANCE, STARTS_KEPT, Timestamp,
};

/// What a verified challenge gave, as a session's record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// By which it is found again, to be given back.
    pub(crate) id: u64,
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    /// The only operation that it opens.
    pub(crate) operation: Option<OperationDigest>,
    pub(crate) verified_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// That of its challenge: a session that gets another id takes along no grant of an older one.
    pub(crate) generation: u64,
    pub(crate) usage: Usage,
}

/// Whether a grant has been spent by a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Usage {
    #[default]
    Unused,
    Spent,
    /// The handler gave it back, which it can do once.
    GivenBack,
    SpentAgain,
}

impl Usage {
    pub(crate) const fn is_spent(self) -> bool {
        matches!(self, Self::Spent | Self::SpentAgain)
    }

    const fn spent(self) -> Self {
        match self {
            Self::Unused | Self::Spent => Self::Spent,
            Self::GivenBack | Self::SpentAgain => Self::SpentAgain,
        }
    }
}

impl Granted {
    pub(crate) fn is_live(&self, policy: &Policy, now: Timestamp) -> bool {
        now < self.expires_at && self.verified_at <= now.saturating_add(policy.skew) && !self.usage.is_spent()
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
    push: Option<Box<Challenge<PushProof>>>,
    /// The newest stands last.
    grants: Vec<Granted>,
    /// Challenges started, counted only where the policy limits them.
    starts: u32,
}

/// One challenge: `P` is what proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Challenge<P> {
    /// The id of its start, by which the user's record knows it.
    start: u64,
    channel: Box<str>,
    scope: Option<Box<str>>,
    operation: Option<OperationDigest>,
    /// Where its message goes: once the user has enrolled another destination, it never verifies (T38).
    recipient: Option<Key>,
    started: Timestamp,
    deadline: Timestamp,
    /// The subject's generation when it was started: another one never verifies.
    generation: u64,
    /// The attempts that were wrong so far. By its id an attempt knows that it was compared, whatever the store has
    /// answered (T33).
    wrong: Vec<u64>,
    state: State,
    proof: P,
    /// The one that it took the place of, until it is proven: it comes back where this one was not sent.
    earlier: Option<Box<Self>>,
}

/// Codes that one slot keeps: the one in it, and those that may come back.
const CODES_KEPT: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum State {
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

/// What proves a push: whose it is, and, where the policy asks for one, the number that is shown beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PushProof {
    pub(crate) id: PushDigest,
    pub(crate) number: Option<Box<CodeDigest>>,
    /// Whether it was sent and its id told. Where the request is dropped before, nobody knows the id.
    pub(crate) sent: bool,
}

/// What a start asks for.
#[derive(Clone, Debug)]
pub(crate) struct Start<P> {
    pub(crate) id: u64,
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) operation: Option<OperationDigest>,
    pub(crate) recipient: Option<Key>,
    pub(crate) generation: u64,
    pub(crate) proof: P,
}

/// What became of a code that was compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Compared {
    /// It was right, and the record's newest grant is of it.
    Right,
    Wrong(ChallengeError),
}

/// A code that came back: the user's record counts it as alive again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CameBack {
    pub(crate) start: u64,
    pub(crate) deadline: Timestamp,
    pub(crate) recipient: Option<Key>,
}

/// What the phone said to a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    Yes,
    /// Yes, and the number that the user typed.
    Number {
        typed: &'a str,
        /// The id of this attempt.
        attempt: u64,
    },
    No,
}

/// What became of the answer to a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Approved,
    Declined,
    /// Where none is left, this one has declined it.
    WrongNumber {
        left: u8,
    },
}

/// Why the answer to a push was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnswered {
    TooLate,
    /// It has to be approved with the number.
    NumberRequired,
}

impl<P> Challenge<P> {
    fn new(start: Start<P>, life: Duration, now: Timestamp) -> Self {
        Self {
            start: start.id,
            channel: start.channel,
            scope: start.scope,
            operation: start.operation,
            recipient: start.recipient,
            started: now,
            deadline: now.saturating_add(life),
            generation: start.generation,
            wrong: Vec::new(),
            state: State::Pending,
            proof: start.proof,
            earlier: None,
        }
    }

    /// How many more may be wrong.
    fn tries_left(&self, allowed: u8) -> u8 {
        allowed.saturating_sub(u8::try_from(self.wrong.len()).unwrap_or(u8::MAX))
    }

    /// Whether it can still be proven in time. A stamp from the future proves nothing (T20).
    fn is_alive(&self, policy: &Policy, now: Timestamp) -> bool {
        self.state == State::Pending && now < self.deadline && self.started <= now.saturating_add(policy.skew)
    }

    fn is_remembered(end: Timestamp, now: Timestamp) -> bool {
        now < end.saturating_add(REMEMBRANCE)
    }

    /// Ends what is pending; what it took the place of does not come back.
    fn drop_pending(&mut self) {
        self.earlier = None;
        if self.state == State::Pending {
            self.state = State::Dropped;
        }
    }

    /// Whether it still matters: it is alive, its end is told of, or its tries go on.
    fn matters(&self, now: Timestamp) -> bool {
        match self.state {
            State::Pending => Self::is_remembered(self.deadline, now),
            State::Verified(at) => Self::is_remembered(at, now),
            State::Dropped | State::Unsent => now < self.deadline,
            State::Declined(_) | State::Exhausted => false,
        }
    }

    /// Whether its tries go on in the one that takes its place.
    fn is_voided(&self, now: Timestamp) -> bool {
        now < self.deadline && matches!(self.state, State::Pending | State::Dropped | State::Unsent)
    }

    /// The grant that a proof gives now.
    fn verify(&mut self, policy: &Policy, now: Timestamp) -> Granted {
        self.state = State::Verified(now);
        self.earlier = None;
        Granted {
            id: self.start,
            channel: self.channel.clone(),
            scope: self.scope.clone(),
            operation: self.operation,
            verified_at: now,
            expires_at: now.saturating_add(policy.grant_life),
            generation: self.generation,
            usage: Usage::Unused,
        }
    }
}

/// One-time codes.
impl Session {
    /// The start of the code that stands in its slot, whatever became of it.
    pub(crate) fn otp_start(&self) -> Option<u64> {
        self.otp.as_deref().map(|otp| otp.start)
    }

    /// Whether a code may be started. The last one holds the interval if its message may have gone out.
    pub(crate) fn may_start_otp(&self, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        if let Some(last) = self.otp.as_deref().filter(|last| last.state != State::Unsent) {
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
        let mut challenge = Challenge::new(start, policy.code_life, now);
        if let Some(last) = self.otp.as_ref().filter(|last| last.is_voided(now)) {
            challenge.wrong.clone_from(&last.wrong);
        }
        challenge.earlier = self.otp.clone().filter(|last| last.matters(now));
        // Of messages that may be out at once there are few, and a record has an end.
        if let Some(second) = challenge.earlier.as_mut().and_then(|first| first.earlier.as_mut()) {
            second.earlier = None;
        }
        Ok(Self { otp: Some(Box::new(challenge)), ..self.started(policy, now) })
    }

    /// What stands in the way of comparing a code that [`may_verify`](Self::may_verify) would let through: it was sent
    /// to another recipient than the channel leads to now (T38).
    pub(crate) fn was_sent_to(&self, recipient: Option<&Key>) -> Result<(), ChallengeError> {
        let is_it = self.otp.as_deref().is_some_and(|otp| otp.recipient.as_ref() == recipient);
        if is_it { Ok(()) } else { Err(ChallengeError::StateInvalid) }
    }

    /// How a code was wrong that was compared already, though the store has not said so.
    pub(crate) fn was_wrong(&self, attempt: u64, policy: &Policy) -> Option<ChallengeError> {
        let challenge = self.otp.as_deref().filter(|otp| otp.wrong.contains(&attempt))?;
        Some(wrong(challenge.tries_left(policy.tries)))
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
                && challenge.tries_left(policy.tries) > 0
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
        attempt: u64,
        matches: impl FnOnce(&CodeDigest) -> bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Self, Compared), ChallengeError> {
        let mut next = self.pruned(now);
        let challenge = next.otp.as_deref_mut().ok_or(ChallengeError::StateInvalid)?;
        if matches(&challenge.proof) {
            let grant = challenge.verify(policy, now);
            next.add_grant(grant);
            return Ok((next, Compared::Right));
        }
        challenge.wrong.push(attempt);
        let left = challenge.tries_left(policy.tries);
        if left == 0 {
            challenge.state = State::Exhausted;
        }
        Ok((next, Compared::Wrong(wrong(left))))
    }

    /// Withdraws a code that was not sent. The one that it took the place of comes back as it was, with all that was
    /// wrong since, unless this one was revoked or used up meanwhile, or `comes_back` says no. `None` where nothing is
    /// left to withdraw.
    pub(crate) fn withdraw_otp(
        &self,
        start: u64,
        comes_back: bool,
        now: Timestamp,
    ) -> Option<(Self, Option<CameBack>)> {
        let mut next = self.clone();
        let mut slot = next.otp.take()?;
        if slot.start != start {
            // Another has replaced it meanwhile, which must not bring it back.
            let mut replaced = &mut slot;
            while replaced.earlier.as_ref()?.start != start {
                replaced = replaced.earlier.as_mut()?;
            }
            replaced.earlier = replaced.earlier.take()?.earlier;
            return Some((Self { otp: Some(slot), ..next }, None));
        }
        let mut came_back = None;
        match (slot.state, slot.earlier.take().filter(|_| comes_back)) {
            (State::Pending, Some(earlier)) if earlier.is_voided(slot.started) => {
                slot = Box::new(Challenge { wrong: slot.wrong, ..*earlier });
                if slot.state == State::Pending && now < slot.deadline {
                    let Challenge { start, deadline, recipient, .. } = *slot;
                    came_back = Some(CameBack { start, deadline, recipient });
                }
            }
            (State::Pending, Some(earlier)) if slot.wrong.is_empty() => slot = earlier,
            (State::Pending | State::Dropped, _) => slot.state = State::Unsent,
            (State::Verified(_) | State::Declined(_) | State::Exhausted | State::Unsent, _) => {}
        }
        Some((Self { otp: Some(slot), ..next }, came_back))
    }
}

/// How a code was wrong after which so many may follow.
const fn wrong(left: u8) -> ChallengeError {
    match left {
        0 => ChallengeError::ChallengeLimitExceeded,
        1 => ChallengeError::OneTryRemaining,
        _ => ChallengeError::CodeInvalid,
    }
}

/// Pushes.
impl Session {
    /// The start of the push that stands in its slot, whatever became of it.
    pub(crate) fn push_start(&self) -> Option<u64> {
        self.push.as_deref().map(|push| push.start)
    }

    /// Whether a push may be started: one in flight is enough. One that is not sent by the time at which its sender
    /// was given up is none.
    pub(crate) fn may_start_push(
        &self,
        generation: u64,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        if let Some(push) = &self.push
            && push.is_alive(policy, now)
            && push.generation == generation
            // Twice, for what is read and written around it.
            && (push.proof.sent || now < push.started.saturating_add(policy.sender_deadline * 2))
        {
            return Err(ChallengeError::StateInvalid);
        }
        self.may_start_more(policy)
    }

    /// Starts a push.
    pub(crate) fn start_push(
        &self,
        start: Start<PushProof>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, ChallengeError> {
        self.may_start_push(start.generation, policy, now)?;
        let challenge = Challenge::new(start, policy.push_life, now);
        Ok(Self { push: Some(Box::new(challenge)), ..self.started(policy, now) })
    }

    /// The channel and the scope of the push in its slot.
    pub(crate) fn push_is_for(&self) -> Option<(&str, Option<&str>)> {
        self.push.as_deref().map(|push| (&*push.channel, push.scope.as_deref()))
    }

    /// How a push of this session stands; `None` for one that it did not start or no longer remembers.
    pub(crate) fn push_status(
        &self,
        channel: &str,
        id: &PushDigest,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<PushStatus> {
        let push = self.push.as_deref().filter(|push| *push.channel == *channel && push.proof.id == *id)?;
        let (end, status) = match push.state {
            State::Pending if push.is_alive(policy, now) => {
                let expires_in = push.deadline.saturating_since(now);
                return Some(PushStatus::Pending { expires_in });
            }
            State::Pending => (push.deadline, PushStatus::Expired),
            State::Verified(at) => (at, PushStatus::Verified),
            State::Declined(at) => (at, PushStatus::Declined),
            State::Exhausted | State::Dropped | State::Unsent => return None,
        };
        Challenge::<PushProof>::is_remembered(end, now).then_some(status)
    }

    /// Takes the answer to a push: once, before its deadline, in its generation, and with the number where it has one.
    /// The last number that is wrong declines it.
    pub(crate) fn answer_push(
        &self,
        id: &PushDigest,
        generation: u64,
        said: Said<'_>,
        matches: impl FnOnce(&CodeDigest, &str, &str) -> bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Self, Answered), NotAnswered> {
        let mut next = self.pruned(now);
        let is_it = |push: &&mut Challenge<PushProof>| push.proof.id == *id && push.generation == generation;
        let push = next.push.as_deref_mut().filter(is_it).ok_or(NotAnswered::TooLate)?;
        if !push.is_alive(policy, now) {
            return Err(NotAnswered::TooLate);
        }
        let (right, attempt) = match (said, &push.proof.number) {
            (Said::No, _) => {
                push.state = State::Declined(now);
                return Ok((next, Answered::Declined));
            }
            (Said::Yes, Some(_)) => return Err(NotAnswered::NumberRequired),
            (Said::Yes | Said::Number { .. }, None) => (true, 0),
            (Said::Number { attempt, .. }, Some(_)) if push.wrong.contains(&attempt) => {
                // Compared already, though the store has not said so.
                let left = push.tries_left(NUMBER_TRIES);
                return Ok((next, Answered::WrongNumber { left }));
            }
            (Said::Number { typed, attempt }, Some(number)) => (matches(number, &push.channel, typed), attempt),
        };
        if right {
            let grant = push.verify(policy, now);
            next.add_grant(grant);
            return Ok((next, Answered::Approved));
        }
        push.wrong.push(attempt);
        let left = push.tries_left(NUMBER_TRIES);
        if left == 0 {
            push.state = State::Declined(now);
        }
        Ok((next, Answered::WrongNumber { left }))
    }

    /// A push was sent; `None` where it is no longer the one in the slot, or was answered already.
    pub(crate) fn push_sent(&self, start: u64) -> Option<Self> {
        let mut next = self.clone();
        let is_it = |push: &&mut Challenge<PushProof>| push.start == start && push.state == State::Pending;
        next.push.as_deref_mut().filter(is_it)?.proof.sent = true;
        Some(next)
    }

    /// Withdraws a push that was not sent; `None` where it is no longer the one in the slot.
    pub(crate) fn withdraw_push(&self, start: u64) -> Option<Self> {
        let mut next = self.clone();
        next.push.as_deref_mut().filter(|push| push.start == start)?.drop_pending();
        Some(next)
    }
}

/// Grants, and the record as a whole.
impl Session {
    pub(crate) fn grants(&self) -> &[Granted] {
        &self.grants
    }

    /// The record with a grant that was not made by a challenge of its own.
    pub(crate) fn granted(&self, grant: Granted, now: Timestamp) -> Self {
        let mut next = self.pruned(now);
        next.add_grant(grant);
        next
    }

    /// Spends some of the grants. Each keeps its place.
    pub(crate) fn spend(&self, which: impl Fn(usize) -> bool) -> Self {
        let mut next = self.clone();
        for (_, grant) in next.grants.iter_mut().enumerate().filter(|(index, _)| which(*index)) {
            grant.usage = grant.usage.spent();
        }
        next
    }

    /// Gives back what one request has spent, in its life and generation and for the first time; `None` where that
    /// cannot be done for all of it.
    pub(crate) fn give_back(&self, ids: &[u64], generation: u64, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        for id in ids {
            let is_it = |grant: &&mut Granted| grant.id == *id && grant.generation == generation;
            let could_be_used = |grant: &&mut Granted| grant.usage == Usage::Spent && now < grant.expires_at;
            let grant = next.grants.iter_mut().find(is_it).filter(could_be_used)?;
            grant.usage = Usage::GivenBack;
        }
        Some(next)
    }

    /// Removes pending challenges; tries and start stamps stay. One that has expired by every node's clock is not
    /// pending any more, and goes on being told so.
    pub(crate) fn without_pending(&self, policy: &Policy, now: Timestamp) -> Self {
        let mut next = self.clone();
        let may_live = |deadline: Timestamp| now < deadline.saturating_add(policy.skew);
        if let Some(otp) = next.otp.as_deref_mut().filter(|otp| may_live(otp.deadline)) {
            otp.drop_pending();
        }
        if let Some(push) = next.push.as_deref_mut().filter(|push| may_live(push.deadline)) {
            push.drop_pending();
        }
        next
    }

    /// The record of a session that goes on under another id, with its grants of this generation. What the new one has
    /// already stays.
    pub(crate) fn carrying(&self, old: &Self, generation: u64) -> Self {
        let mut next = self.clone();
        next.otp = next.otp.or_else(|| old.otp.clone());
        next.push = next.push.or_else(|| old.push.clone());
        next.starts = next.starts.saturating_add(old.starts);
        let grants = old.grants.iter().filter(|grant| grant.generation == generation);
        grants.for_each(|grant| next.add_grant(grant.clone()));
        next
    }

    /// Removes grants and pending challenges; tries, start stamps and counts stay (T4, T15).
    pub(crate) fn revoked(&self, policy: &Policy, now: Timestamp) -> Self {
        Self { grants: Vec::new(), ..self.without_pending(policy, now) }
    }

    /// The record without pending challenges, in which these grants go on in the next generation.
    pub(crate) fn in_generation(&self, kept: &[u64], next: u64, policy: &Policy, now: Timestamp) -> Self {
        let mut session = self.without_pending(policy, now);
        session.grants.retain(|grant| kept.contains(&grant.id));
        session.grants.iter_mut().for_each(|grant| grant.generation = next);
        session
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
        let grants = self.grants.iter().map(|grant| grant.expires_at.saturating_add(REMEMBRANCE));
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
        next.grants.retain(|grant| now < grant.expires_at.saturating_add(REMEMBRANCE));
        next
    }

    /// A new grant takes the place of an older one for the same by the same channel, and of the oldest
    /// where the list is full.
    fn add_grant(&mut self, grant: Granted) {
        let is_like = |old: &Granted| {
            old.channel == grant.channel && old.scope == grant.scope && old.operation == grant.operation
        };
        self.grants.retain(|old| !is_like(old));
        while self.grants.len() >= GRANTS_PER_SESSION {
            let Some(oldest) = (0..self.grants.len()).min_by_key(|&i| self.grants[i].verified_at) else { break };
            self.grants.remove(oldest);
        }
        self.grants.reserve_exact(1);
        self.grants.push(grant);
    }

    /// Whether it has no more grants than are ever written: the decision counts them by place.
    pub(crate) fn is_within_bounds(&self) -> bool {
        let codes = std::iter::successors(self.otp.as_deref(), |otp| otp.earlier.as_deref());
        let pushes = self.push.as_deref().into_iter();
        self.grants.len() <= GRANTS_PER_SESSION
            && codes.clone().count() <= CODES_KEPT
            && pushes.clone().all(|push| push.earlier.is_none())
            && codes
                .map(|otp| otp.wrong.len())
                .chain(pushes.map(|push| push.wrong.len()))
                .all(|wrong| wrong <= RECORD_LIST_LIMIT)
    }
}

#[cfg(test)]
impl Session {
    pub(crate) fn with_grants(grants: Vec<Granted>) -> Self {
        Self { grants, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::rules::{Key, Keyring, OneTimeCode, Secret, system_random};

    const MINUTE: Duration = Duration::from_secs(60);

    fn grant_of(channel: &str, scope: Option<&str>, secs: u64) -> Granted {
        Granted {
            id: secs,
            channel: channel.into(),
            scope: scope.map(Into::into),
            operation: None,
            verified_at: at(secs),
            expires_at: at(secs).saturating_add(10 * MINUTE),
            generation: 1,
            usage: Usage::Unused,
        }
    }

    fn policy() -> Policy {
        Policy::new()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + secs * 1000)
    }

    fn otp(channel: &str, scope: Option<&str>) -> Start<CodeDigest> {
        let ring = Keyring::new(&Secret::new([1; 32]).unwrap(), None);
        let proof = ring.digest(&Key::subject("a"), channel, &OneTimeCode::sandbox(6), system_random).unwrap();
        Start {
            id: 1,
            channel: channel.into(),
            scope: scope.map(Into::into),
            operation: None,
            recipient: None,
            generation: 1,
            proof,
        }
    }

    fn push(id: &str) -> Start<PushProof> {
        let proof = PushProof { id: PushDigest::new(&Key::subject("a"), id), number: None, sent: true };
        Start { id: 1, channel: "BIO".into(), scope: None, operation: None, recipient: None, generation: 1, proof }
    }

    fn may_verify(session: &Session, channel: &str, now: u64) -> Result<(), ChallengeError> {
        session.may_verify(channel, Some(1), |_| true, &policy(), at(now))
    }

    thread_local! {
        static ATTEMPTS: Cell<u64> = const { Cell::new(0) };
    }

    fn guess(session: &mut Session, right: bool, now: u64) -> Option<ChallengeError> {
        let attempt = ATTEMPTS.replace(ATTEMPTS.get() + 1);
        let (next, compared) = session.compare(attempt, |_| right, &policy(), at(now)).unwrap();
        *session = next;
        match compared {
            Compared::Right => None,
            Compared::Wrong(error) => Some(error),
        }
    }

    fn guesses(session: &mut Session, wrong: usize, now: u64) {
        for _ in 0..wrong {
            assert!(guess(session, false, now).is_some());
        }
    }

    fn started(now: u64) -> Session {
        Session::default().start_otp(otp("SMS", None), &policy(), at(now)).unwrap()
    }

    #[test]
    fn what_may_be_verified_is_a_table() {
        let verified = {
            let mut session = started(0);
            guess(&mut session, true, 10);
            session
        };
        let dead = {
            let mut session = started(0);
            guesses(&mut session, 5, 1);
            session
        };
        let revoked = |now| started(0).revoked(&policy(), at(now));
        let table = [
            ("nothing", Session::default(), "SMS", 0, Err(ChallengeError::StateInvalid)),
            ("alive", started(0), "SMS", 0, Ok(())),
            ("last moment", started(0), "SMS", 299, Ok(())),
            ("other channel", started(0), "EMAIL", 0, Err(ChallengeError::StateInvalid)),
            ("expired", started(0), "SMS", 300, Err(ChallengeError::CodeExpired)),
            ("expired, remembered", started(0), "SMS", 300 + 3599, Err(ChallengeError::CodeExpired)),
            ("expired, forgotten", started(0), "SMS", 300 + 3600, Err(ChallengeError::StateInvalid)),
            ("verified", verified.clone(), "SMS", 10, Err(ChallengeError::AlreadyVerified)),
            ("verified, remembered", verified.clone(), "SMS", 10 + 3599, Err(ChallengeError::AlreadyVerified)),
            ("verified, forgotten", verified.clone(), "SMS", 10 + 3600, Err(ChallengeError::StateInvalid)),
            ("verified elsewhere", verified, "EMAIL", 10, Err(ChallengeError::StateInvalid)),
            ("dead", dead, "SMS", 2, Err(ChallengeError::StateInvalid)),
            ("revoked", revoked(1), "SMS", 1, Err(ChallengeError::StateInvalid)),
            ("revoked when it had expired", revoked(302), "SMS", 302, Err(ChallengeError::CodeExpired)),
            ("where another clock may be behind", revoked(301), "SMS", 302, Err(ChallengeError::StateInvalid)),
            ("within the skew", started(2), "SMS", 0, Ok(())),
            ("from the future", started(3), "SMS", 0, Err(ChallengeError::StateInvalid)),
        ];
        for (name, session, channel, now, expected) in table {
            assert_eq!(may_verify(&session, channel, now), expected, "{name}");
        }
        let mut spent = started(0);
        guesses(&mut spent, 4, 1);
        for (tries, expected) in [(5, Ok(())), (4, Err(ChallengeError::StateInvalid))] {
            let allowed = policy().tries(tries);
            assert_eq!(spent.may_verify("SMS", Some(1), |_| true, &allowed, at(1)), expected, "a policy of {tries}");
        }
        let session = started(0);
        for (generation, knows) in [(Some(2), true), (None, true), (Some(1), false)] {
            let refused = session.may_verify("SMS", generation, |_| knows, &policy(), at(0));
            assert_eq!(refused, Err(ChallengeError::StateInvalid), "{generation:?} {knows}");
        }
    }

    #[test]
    fn five_tries_and_the_right_code_on_the_fifth() {
        let mut session = started(0);
        for expected in [
            ChallengeError::CodeInvalid,
            ChallengeError::CodeInvalid,
            ChallengeError::CodeInvalid,
            ChallengeError::OneTryRemaining,
        ] {
            assert_eq!(guess(&mut session, false, 1), Some(expected));
        }
        assert_eq!(guess(&mut session.clone(), true, 1), None);
        assert_eq!(guess(&mut session, false, 1), Some(ChallengeError::ChallengeLimitExceeded));
    }

    #[test]
    fn a_guess_and_a_read_leave_the_deadline() {
        let mut session = started(0);
        for now in [1, 100, 299] {
            guess(&mut session, false, now);
            may_verify(&session, "SMS", now).unwrap();
        }
        assert_eq!(may_verify(&session, "SMS", 300), Err(ChallengeError::CodeExpired));
    }

    #[test]
    fn tries_are_inherited_while_the_code_lives() {
        let spent = |now| {
            let mut session = started(0);
            guesses(&mut session, 4, now);
            session
        };
        let first_after = |session: &Session, now| {
            let mut next = session.start_otp(otp("EMAIL", None), &policy(), at(now)).unwrap();
            guess(&mut next, false, now)
        };
        assert_eq!(first_after(&spent(1), 15), Some(ChallengeError::ChallengeLimitExceeded), "alive");
        let revoked = spent(1).revoked(&Policy::new(), at(1));
        assert_eq!(first_after(&revoked, 15), Some(ChallengeError::ChallengeLimitExceeded), "dropped");
        let again = revoked.start_otp(otp("SMS", None), &policy(), at(15)).unwrap().revoked(&Policy::new(), at(1));
        assert_eq!(first_after(&again, 30), Some(ChallengeError::ChallengeLimitExceeded), "dropped twice");
        assert_eq!(first_after(&spent(1), 300), Some(ChallengeError::CodeInvalid), "expired");
        let mut dead = spent(1);
        guess(&mut dead, false, 1);
        assert_eq!(first_after(&dead, 15), Some(ChallengeError::CodeInvalid), "dead");
        let mut verified = spent(1);
        guess(&mut verified, true, 1);
        assert_eq!(first_after(&verified, 15), Some(ChallengeError::CodeInvalid), "verified");
    }

    #[test]
    fn starts_keep_their_distance_and_their_number() {
        let session = started(0);
        let wait = |now| match session.may_start_otp(&policy(), at(now)) {
            Err(ChallengeError::RetryIn { wait, .. }) => wait.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!([wait(0), wait(14)], [15, 1]);
        assert_eq!(session.may_start_otp(&policy(), at(15)), Ok(()));
        // Whatever became of it, and however far ahead its stamp is.
        assert!(session.revoked(&Policy::new(), at(1)).may_start_otp(&policy(), at(14)).is_err());
        assert!(started(1_000_000).may_start_otp(&policy(), at(0)).is_err());

        let twice = policy().starts_per_session(2);
        let session = Session::default().start_push(push("1"), &twice, at(0)).unwrap();
        let session = session.start_otp(otp("SMS", None), &twice, at(0)).unwrap();
        let refused = Err(ChallengeError::ChallengeLimitExceeded);
        assert_eq!(session.may_start_otp(&twice, at(15)), refused);
        assert_eq!(session.revoked(&Policy::new(), at(1)).may_start_push(1, &twice, at(15)), refused);
        assert!(session.keep_until(&twice) >= at(30 * 24 * 3600));
    }

    #[test]
    fn a_push_is_answered_once_in_time_by_its_id() {
        let policy = policy();
        let session = Session::default().start_push(push("1"), &policy, at(0)).unwrap();
        let id = |id| PushDigest::new(&Key::subject("a"), id);
        let answer = |session: &Session, name, generation, now| {
            let answered = session.answer_push(&id(name), generation, Said::Yes, |_, _, _| false, &policy, at(now));
            answered.ok().map(|(next, answered)| {
                assert_eq!(answered, Answered::Approved);
                next
            })
        };
        assert_eq!(session.may_start_push(1, &policy, at(299)), Err(ChallengeError::StateInvalid));
        assert_eq!(session.may_start_push(2, &policy, at(1)), Ok(()), "another generation is not in flight");
        assert_eq!(session.may_start_push(1, &policy, at(300)), Ok(()));
        assert!(answer(&session, "2", 1, 1).is_none(), "foreign id");
        assert!(answer(&session, "1", 2, 1).is_none(), "another generation");
        assert!(answer(&session, "1", 1, 300).is_none(), "late");
        assert!(answer(&session.revoked(&Policy::new(), at(1)), "1", 1, 1).is_none(), "revoked");
        let approved = answer(&session, "1", 1, 299).unwrap();
        assert_eq!(approved.grants().len(), 1);
        assert!(answer(&approved, "1", 1, 299).is_none(), "twice");
        let (declined, answered) = session.answer_push(&id("1"), 1, Said::No, |_, _, _| true, &policy, at(1)).unwrap();
        assert_eq!(answered, Answered::Declined);
        assert!(declined.grants().is_empty());
        assert!(answer(&declined, "1", 1, 2).is_none(), "approved after it was declined");

        let status = |session: &Session, channel, name, now| session.push_status(channel, &id(name), &policy, at(now));
        let expires_in = Duration::from_secs(299);
        assert_eq!(status(&session, "BIO", "1", 1), Some(PushStatus::Pending { expires_in }));
        assert_eq!(status(&session, "BIO", "2", 1), None);
        assert_eq!(status(&session, "OTHER", "1", 1), None);
        assert_eq!(status(&session, "BIO", "1", 300), Some(PushStatus::Expired));
        assert_eq!(status(&session, "BIO", "1", 300 + 3600), None);
        assert_eq!(status(&approved, "BIO", "1", 299 + 3599), Some(PushStatus::Verified));
        assert_eq!(status(&declined, "BIO", "1", 1), Some(PushStatus::Declined));
        assert_eq!(status(&session.revoked(&Policy::new(), at(1)), "BIO", "1", 1), None);
        assert_eq!(status(&session.revoked(&policy, at(302)), "BIO", "1", 302), Some(PushStatus::Expired));
    }

    #[test]
    fn a_push_is_sent_while_it_is_pending_and_the_one_in_its_slot() {
        let session = Session::default().start_push(push("1"), &policy(), at(0)).unwrap();
        let id = PushDigest::new(&Key::subject("a"), "1");
        let (declined, _) = session.answer_push(&id, 1, Said::No, |_, _, _| true, &policy(), at(1)).unwrap();
        let table =
            [("pending", &session, 1, true), ("another", &session, 2, false), ("answered", &declined, 1, false)];
        for (name, session, start, expected) in table {
            assert_eq!(session.push_sent(start).is_some(), expected, "{name}");
        }
        assert!(Session::default().push_sent(1).is_none());
    }

    #[test]
    fn a_push_with_a_number_takes_that_number_three_times_wrong_at_most() {
        let policy = policy();
        let mut start = push("1");
        let number = Box::new(otp("BIO", None).proof);
        start.proof.number = Some(number);
        let session = Session::default().start_push(start, &policy, at(0)).unwrap();
        let id = PushDigest::new(&Key::subject("a"), "1");
        let attempts = Cell::new(0);
        let number = |typed| Said::Number { typed, attempt: attempts.replace(attempts.get() + 1) };
        let answer =
            |session: &Session, said| session.answer_push(&id, 1, said, |_, _, typed| typed == "47", &policy, at(1));
        assert_eq!(answer(&session, Said::Yes), Err(NotAnswered::NumberRequired));
        assert_eq!(answer(&session, Said::No).unwrap().1, Answered::Declined);
        let (approved, answered) = answer(&session, number("47")).unwrap();
        assert_eq!((answered, approved.grants().len()), (Answered::Approved, 1));
        let (once, answered) = answer(&session, number("48")).unwrap();
        assert_eq!(answered, Answered::WrongNumber { left: 2 });
        let (twice, answered) = answer(&once, number("")).unwrap();
        assert_eq!(answered, Answered::WrongNumber { left: 1 });
        assert_eq!(answer(&twice, number("47")).unwrap().1, Answered::Approved);
        let late = twice.answer_push(&id, 1, number("47"), |_, _, _| true, &policy, at(300));
        assert_eq!(late, Err(NotAnswered::TooLate), "a wrong one leaves the deadline");
        let (declined, answered) = answer(&twice, number("47 ")).unwrap();
        assert_eq!(answered, Answered::WrongNumber { left: 0 });
        assert_eq!(answer(&declined, number("47")), Err(NotAnswered::TooLate));
        assert_eq!(declined.push_status("BIO", &id, &policy, at(1)), Some(PushStatus::Declined));
        let again = |attempt| answer(&twice, Said::Number { typed: "49", attempt });
        let second = twice.push.as_ref().unwrap().wrong[1];
        assert_eq!(again(second).unwrap(), (twice.clone(), Answered::WrongNumber { left: 1 }), "the same attempt");
        assert_eq!(again(99).unwrap().1, Answered::WrongNumber { left: 0 }, "another");
    }

    #[test]
    fn a_session_under_another_id_keeps_grants_tries_and_stamps_and_no_pending_code() {
        let mut old = started(0);
        guesses(&mut old, 4, 1);
        let mut grant = grant_of("A", None, 1);
        old.add_grant(grant.clone());
        assert!(
            Session::default().carrying(&old.without_pending(&Policy::new(), at(1)), 2).grants().is_empty(),
            "revoked meanwhile"
        );
        let next = Session::default().carrying(&old.without_pending(&Policy::new(), at(1)), 1);
        assert_eq!(next.grants(), old.grants());
        grant.channel = "B".into();
        assert_eq!(Session::with_grants(vec![grant]).carrying(&old, 1).grants().len(), 2);
        assert_eq!(may_verify(&next, "SMS", 1), Err(ChallengeError::StateInvalid));
        assert!(next.may_start_otp(&policy(), at(14)).is_err());
        let mut again = next.start_otp(otp("SMS", None), &policy(), at(15)).unwrap();
        assert_eq!(guess(&mut again, false, 15), Some(ChallengeError::ChallengeLimitExceeded));
        let kept = started(5).carrying(&old.without_pending(&Policy::new(), at(1)), 1);
        assert_eq!(may_verify(&kept, "SMS", 6), Ok(()), "the new session's own code");
    }

    #[test]
    fn grants_replace_their_like_and_the_oldest() {
        let mut session = Session::default();
        let grant = |scope: &str, secs| grant_of("SMS", Some(scope), secs);
        for i in 0..20 {
            session.add_grant(grant(&i.to_string(), i));
        }
        let scopes: Vec<_> = session.grants().iter().filter_map(|grant| grant.scope.as_deref()).collect();
        assert_eq!(scopes, (4..20).map(|i| i.to_string()).collect::<Vec<_>>());
        session.add_grant(grant("5", 100));
        assert_eq!(session.grants().len(), GRANTS_PER_SESSION);
        assert_eq!(session.grants().last(), Some(&grant("5", 100)));
        assert_eq!(session.keep_until(&policy()), at(100).saturating_add(10 * MINUTE + REMEMBRANCE));
        assert!(session.revoked(&Policy::new(), at(1)).grants().is_empty());
        let forgotten = session.pruned(at(10_000));
        assert!(forgotten.grants().is_empty());
    }

    #[test]
    fn a_grant_lives_until_its_end_unless_it_is_spent_or_from_the_future() {
        let is_live = |usage, now: Timestamp| Granted { usage, ..grant_of("A", None, 0) }.is_live(&policy(), now);
        let table = [
            (Usage::Unused, at(0), true),
            (Usage::GivenBack, at(0), true),
            (Usage::Spent, at(0), false),
            (Usage::SpentAgain, at(0), false),
            (Usage::Unused, Timestamp::from_millis(at(600).as_millis() - 1), true),
            (Usage::Unused, at(600), false),
            (Usage::Unused, Timestamp::from_millis(at(0).as_millis() - 2000), true),
            (Usage::Unused, Timestamp::from_millis(at(0).as_millis() - 2001), false),
        ];
        for (usage, now, expected) in table {
            assert_eq!(is_live(usage, now), expected, "{usage:?} {now:?}");
        }
    }

    #[test]
    fn grants_are_spent_by_their_places_and_given_back_once_by_their_ids() {
        let session =
            Session::with_grants(vec![grant_of("A", None, 1), grant_of("B", None, 2), grant_of("C", None, 3)]);
        let usages = |session: &Session| session.grants().iter().map(|grant| grant.usage).collect::<Vec<_>>();
        let spent = session.spend(|index| index != 1);
        assert_eq!(usages(&spent), [Usage::Spent, Usage::Unused, Usage::Spent]);
        let given = spent.give_back(&[1, 3], 1, at(5)).unwrap();
        assert_eq!(usages(&given), [Usage::GivenBack, Usage::Unused, Usage::GivenBack]);
        let again = given.spend(|index| index == 0);
        assert_eq!(usages(&again), [Usage::SpentAgain, Usage::Unused, Usage::GivenBack]);
        for (session, ids, generation) in
            [(&spent, &[1_u64, 2][..], 1), (&spent, &[1], 2), (&spent, &[9], 1), (&again, &[1], 1), (&given, &[1], 1)]
        {
            assert_eq!(session.give_back(ids, generation, at(5)), None, "{ids:?} {generation}");
        }
    }

    /// A code of `start`, sent to `recipient`, in the place of what `session` has.
    fn next(session: &Session, start: u64, recipient: &str, now: u64) -> Session {
        let otp = Start { id: start, recipient: Some(Key::subject(recipient)), ..otp("SMS", None) };
        session.start_otp(otp, &policy(), at(now)).unwrap()
    }

    fn wrong_since(session: &Session) -> usize {
        session.otp.as_ref().map_or(0, |otp| otp.wrong.len())
    }

    #[test]
    fn a_code_that_was_not_sent_verifies_nothing_and_holds_no_interval() {
        let mut session = started(0);
        guesses(&mut session, 2, 1);
        let (withdrawn, came_back) = session.withdraw_otp(1, true, at(1)).unwrap();
        assert_eq!(came_back, None);
        assert_eq!(may_verify(&withdrawn, "SMS", 1), Err(ChallengeError::StateInvalid));
        assert_eq!(
            wrong_since(&next(&withdrawn, 2, "a", 1)),
            2,
            "the next one may start at once and inherits the tries"
        );
        assert!(session.withdraw_otp(2, true, at(1)).is_none(), "another start");
        assert!(Session::default().withdraw_otp(1, true, at(1)).is_none());
    }

    #[test]
    fn the_earlier_code_comes_back_with_all_that_was_wrong_since() {
        let mut first = next(&Session::default(), 1, "a", 0);
        guesses(&mut first, 1, 1);
        let mut second = next(&first, 2, "b", 20);
        guesses(&mut second, 2, 21);
        let (back, came_back) = second.withdraw_otp(2, true, at(22)).unwrap();
        let recipient = Some(Key::subject("a"));
        assert_eq!(came_back, Some(CameBack { start: 1, deadline: at(300), recipient }));
        assert_eq!((may_verify(&back, "SMS", 22), wrong_since(&back)), (Ok(()), 3));
        assert_eq!(may_verify(&back, "SMS", 300), Err(ChallengeError::CodeExpired), "its own deadline");
        assert!(back.was_sent_to(recipient.as_ref()).is_ok() && second.was_sent_to(recipient.as_ref()).is_err());
        assert_eq!(back.may_start_otp(&policy(), at(22)), Ok(()));
        let (late, came_back) = second.withdraw_otp(2, true, at(300)).unwrap();
        assert_eq!((may_verify(&late, "SMS", 300), came_back), (Err(ChallengeError::CodeExpired), None));
    }

    #[test]
    fn the_earlier_code_stays_away_where_it_must() {
        let first = next(&Session::default(), 1, "a", 0);
        let second = next(&first, 2, "a", 20);
        let mut used_up = second.clone();
        guesses(&mut used_up, 5, 21);
        let mut verified = second.clone();
        guess(&mut verified, true, 21);
        let revoked = second.revoked(&policy(), at(21));
        let state_invalid = Err(ChallengeError::StateInvalid);
        let table = [
            ("used up", &used_up, true, state_invalid.clone()),
            ("verified", &verified, true, Err(ChallengeError::AlreadyVerified)),
            ("revoked", &revoked, true, state_invalid.clone()),
            ("locked", &second, false, state_invalid),
        ];
        for (name, session, comes_back, expected) in table {
            let (withdrawn, came_back) = session.withdraw_otp(2, comes_back, at(22)).unwrap();
            assert_eq!((may_verify(&withdrawn, "SMS", 22), came_back), (expected, None), "{name}");
        }
    }

    #[test]
    fn of_three_codes_those_that_were_not_sent_go_in_any_order() {
        let third = next(&next(&next(&Session::default(), 1, "a", 0), 2, "a", 20), 3, "a", 40);
        let starts = |session: &Session| session.otp_start();
        for (order, left) in [
            (&[3][..], Some(2)),
            (&[3, 2], Some(1)),
            (&[2, 3], Some(1)),
            (&[2], Some(3)),
            (&[1, 3], Some(2)),
            (&[1, 2], Some(3)),
        ] {
            let withdraw = |session: Session, start: &u64| session.withdraw_otp(*start, true, at(41)).unwrap().0;
            let session = order.iter().fold(third.clone(), withdraw);
            assert_eq!((starts(&session), may_verify(&session, "SMS", 41)), (left, Ok(())), "{order:?}");
        }
    }

    #[test]
    fn few_codes_are_kept_however_many_are_started() {
        let started = (0..100).fold(Session::default(), |session, i| next(&session, i, "a", i * 20));
        let codes = std::iter::successors(started.otp.as_deref(), |otp| otp.earlier.as_deref());
        assert_eq!(codes.map(|otp| otp.start).collect::<Vec<_>>(), [99, 98, 97]);
        assert!(started.is_within_bounds());
        let mut longer = next(&Session::default(), 0, "a", 0);
        longer.otp.as_mut().unwrap().earlier = started.otp.clone();
        assert!(!longer.is_within_bounds());
    }

    #[test]
    fn of_changed_factors_only_grants_from_before_go_on() {
        let session = Session::with_grants(vec![grant_of("A", None, 1), grant_of("B", None, 2)]);
        let next = session.in_generation(&[1], 7, &policy(), at(3));
        assert_eq!(next.grants(), [Granted { generation: 7, ..grant_of("A", None, 1) }]);
        assert_eq!(next.in_generation(&[1], 7, &policy(), at(3)), next, "however often it is written");
    }

    #[test]
    fn what_is_over_comes_back_as_it_was_told_of() {
        let mut verified = next(&Session::default(), 1, "a", 0);
        guess(&mut verified, true, 1);
        let second = next(&verified, 2, "a", 20);
        let (back, came_back) = second.withdraw_otp(2, true, at(21)).unwrap();
        assert_eq!((may_verify(&back, "SMS", 21), came_back), (Err(ChallengeError::AlreadyVerified), None));
        let mut guessed = second;
        guesses(&mut guessed, 1, 21);
        let (unsent, _) = guessed.withdraw_otp(2, true, at(22)).unwrap();
        assert_eq!(wrong_since(&next(&unsent, 3, "a", 22)), 1, "but no try is forgotten");
    }

    #[test]
    fn an_attempt_knows_that_it_was_wrong() {
        let (session, _) = started(0).compare(7, |_| false, &policy(), at(1)).unwrap();
        assert_eq!(session.was_wrong(7, &policy()), Some(ChallengeError::CodeInvalid));
        assert_eq!(session.was_wrong(8, &policy()), None);
        assert_eq!(session.revoked(&policy(), at(2)).was_wrong(7, &policy()), Some(ChallengeError::CodeInvalid));
        let next = next(&session, 2, "a", 20);
        assert_eq!(next.was_wrong(7, &policy()), Some(ChallengeError::CodeInvalid), "whose code was replaced since");
    }

    #[test]
    fn records_survive_their_encoding() {
        let mut session = started(0).start_push(push("1"), &policy(), at(0)).unwrap();
        guess(&mut session, true, 1);
        let json = serde_json::to_string(&session).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session);
    }
}
