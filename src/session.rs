//! The record of one session, and what it may do next. Pure: no clock, no lock, no I/O.
//!
//! A session has at most one pending one-time code and one pending push. Each stays in its slot after it
//! ended, so that "expired" and "already verified" can be told from "never was", and so that a new start
//! inherits the tries of a code that is voided while it lives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    code::{CodeDigest, PushDigest},
    error::ChallengeError,
    policy::{GRANTS_PER_SESSION, Policy, REMEMBRANCE, STARTS_KEPT},
};

/// What a verified challenge gave, as a session's record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) verified_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Granted {
    pub(crate) fn is_live(&self, policy: &Policy, now: Timestamp) -> bool {
        now < self.expires_at && self.verified_at <= now.saturating_add(policy.skew)
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
    /// The newest stands last.
    grants: Vec<Granted>,
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

impl<P> Start<P> {
    pub(crate) fn new(channel: &str, scope: Option<&str>, generation: u64, proof: P) -> Self {
        Self { channel: channel.into(), scope: scope.map(Into::into), generation, proof }
    }
}

/// What became of a code that was compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Compared {
    /// It was right, and the record's newest grant is of it.
    Right,
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
    fn verify(&mut self, policy: &Policy, now: Timestamp) -> Granted {
        self.state = State::Verified(now);
        Granted {
            channel: self.channel.clone(),
            scope: self.scope.clone(),
            verified_at: now,
            expires_at: now.saturating_add(policy.grant_life),
        }
    }
}

/// One-time codes.
impl Session {
    /// Whether a code may be started.
    fn may_start_otp(&self, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
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
            next.add_grant(grant);
            return Ok((next, Compared::Right));
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
    fn may_start_push(&self, generation: u64, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        if let Some(push) = &self.push
            && push.is_alive(policy, now)
            && push.generation == generation
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
        self.may_start_push(start.generation, policy, now)?;
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
    pub(crate) fn grants(&self) -> &[Granted] {
        &self.grants
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
        self.grants.retain(|old| old.channel != grant.channel || old.scope != grant.scope);
        while self.grants.len() >= GRANTS_PER_SESSION {
            let Some(oldest) = (0..self.grants.len()).min_by_key(|&i| self.grants[i].verified_at) else { break };
            self.grants.remove(oldest);
        }
        self.grants.reserve_exact(1);
        self.grants.push(grant);
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
    use super::*;
    use crate::{
        code::{Keyring, OneTimeCode, Secret, system_random},
        key::Key,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    fn policy() -> Policy {
        Policy::new()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + secs * 1000)
    }

    fn otp(channel: &str, scope: Option<&str>) -> Start<CodeDigest> {
        let ring = Keyring::new(&Secret::new([1; 32]).unwrap(), None).unwrap();
        let proof = ring.digest(&Key::subject("a"), channel, &OneTimeCode::sandbox(6), system_random).unwrap();
        Start { channel: channel.into(), scope: scope.map(Into::into), generation: 1, proof }
    }

    fn push(id: &str) -> Start<PushDigest> {
        let proof = PushDigest::new(&Key::subject("a"), id);
        Start { channel: "BIO".into(), scope: None, generation: 1, proof }
    }

    fn may_verify(session: &Session, channel: &str, now: u64) -> Result<(), ChallengeError> {
        session.may_verify(channel, Some(1), |_| true, &policy(), at(now))
    }

    fn guess(session: &mut Session, right: bool, now: u64) -> Option<ChallengeError> {
        let (next, compared) = session.compare(|_| right, &policy(), at(now)).unwrap();
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
            ("revoked", started(0).revoked(), "SMS", 1, Err(ChallengeError::StateInvalid)),
            ("within the skew", started(2), "SMS", 0, Ok(())),
            ("from the future", started(3), "SMS", 0, Err(ChallengeError::StateInvalid)),
        ];
        for (name, session, channel, now, expected) in table {
            assert_eq!(may_verify(&session, channel, now), expected, "{name}");
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
        let revoked = spent(1).revoked();
        assert_eq!(first_after(&revoked, 15), Some(ChallengeError::ChallengeLimitExceeded), "dropped");
        let again = revoked.start_otp(otp("SMS", None), &policy(), at(15)).unwrap().revoked();
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
        assert!(session.revoked().may_start_otp(&policy(), at(14)).is_err());
        assert!(started(1_000_000).may_start_otp(&policy(), at(0)).is_err());

        let twice = policy().starts_per_session(2);
        let session = Session::default().start_push(push("1"), &twice, at(0)).unwrap();
        let session = session.start_otp(otp("SMS", None), &twice, at(0)).unwrap();
        let refused = Err(ChallengeError::ChallengeLimitExceeded);
        assert_eq!(session.may_start_otp(&twice, at(15)), refused);
        assert_eq!(session.revoked().may_start_push(1, &twice, at(15)), refused);
        assert!(session.keep_until(&twice) >= at(30 * 24 * 3600));
    }

    #[test]
    fn a_push_is_answered_once_in_time_by_its_id() {
        let policy = policy();
        let session = Session::default().start_push(push("1"), &policy, at(0)).unwrap();
        let id = |id| PushDigest::new(&Key::subject("a"), id);
        let answer = |session: &Session, name, generation, now| {
            session.answer_push(&id(name), generation, true, &policy, at(now))
        };
        assert_eq!(session.may_start_push(1, &policy, at(299)), Err(ChallengeError::StateInvalid));
        assert_eq!(session.may_start_push(2, &policy, at(1)), Ok(()), "another generation is not in flight");
        assert_eq!(session.may_start_push(1, &policy, at(300)), Ok(()));
        assert!(answer(&session, "2", 1, 1).is_none(), "foreign id");
        assert!(answer(&session, "1", 2, 1).is_none(), "another generation");
        assert!(answer(&session, "1", 1, 300).is_none(), "late");
        assert!(answer(&session.revoked(), "1", 1, 1).is_none(), "revoked");
        let approved = answer(&session, "1", 1, 299).unwrap();
        assert_eq!(approved.grants().len(), 1);
        assert!(answer(&approved, "1", 1, 299).is_none(), "twice");
        let declined = session.answer_push(&id("1"), 1, false, &policy, at(1)).unwrap();
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
        assert_eq!(status(&session.revoked(), "BIO", "1", 1), None);
    }

    #[test]
    fn grants_replace_their_like_and_the_oldest() {
        let mut session = Session::default();
        let grant = |scope: &str, secs| Granted {
            channel: "SMS".into(),
            scope: Some(scope.into()),
            verified_at: at(secs),
            expires_at: at(secs).saturating_add(10 * MINUTE),
        };
        for i in 0..20 {
            session.add_grant(grant(&i.to_string(), i));
        }
        let scopes: Vec<_> = session.grants().iter().filter_map(|grant| grant.scope.as_deref()).collect();
        assert_eq!(scopes, (4..20).map(|i| i.to_string()).collect::<Vec<_>>());
        session.add_grant(grant("5", 100));
        assert_eq!(session.grants().len(), GRANTS_PER_SESSION);
        assert_eq!(session.grants().last(), Some(&grant("5", 100)));
        assert_eq!(session.keep_until(&policy()), at(100).saturating_add(10 * MINUTE + REMEMBRANCE));
        assert!(session.revoked().grants().is_empty());
        let forgotten = session.pruned(at(10_000));
        assert!(forgotten.grants().is_empty());
    }

    #[test]
    fn only_what_was_not_sent_is_withdrawn() {
        let start = otp("SMS", None);
        let proof = start.proof.clone();
        let session = Session::default().start_otp(start, &policy(), at(0)).unwrap();
        let withdrawn = session.withdraw_otp(&proof).unwrap();
        assert_eq!(may_verify(&withdrawn, "SMS", 1), Err(ChallengeError::StateInvalid));
        assert!(withdrawn.may_start_otp(&policy(), at(14)).is_err(), "the start stays");
        assert!(started(0).withdraw_otp(&proof).is_none(), "another code");
    }

    #[test]
    fn records_survive_their_encoding() {
        let mut session = started(0).start_push(push("1"), &policy(), at(0)).unwrap();
        guess(&mut session, true, 1);
        let json = serde_json::to_string(&session).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session);
    }
}
