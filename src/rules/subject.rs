//! The record of one user, over all their sessions. Pure: no clock, no lock, no I/O.
//!
//! It holds what denies: failures, compared codes, messages sent and pushes declined, which no new code, session,
//! channel or success elsewhere may reset. Locks are derived from them; only the application's own is stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rules::{
    CameBack, ChallengeError, DAY, FAILURES_KEPT, KNOWN_RECIPIENTS, Key, Kind, LOCK_KEPT, Policy, PushDigest,
    RECIPIENT_KNOWN, RECORD_LIST_LIMIT, RateLimit, SESSIONS_PER_SUBJECT, Sends, TEN_MINUTES, Timestamp, UNSENT_STARTS,
    wait, wait_for,
};

/// The record of one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// A number that changes when everything of this user is revoked.
    generation: u64,
    /// When the application locked the user.
    locked: Option<Timestamp>,
    /// Consecutive failures, of the channels that have any.
    failures: Vec<Failures>,
    /// Codes compared in the last 24 hours that were not right, over all channels.
    wrong: Vec<Attempt>,
    /// When the application unlocked the user last, in the last 24 hours: what was wrong before counts no more.
    forgiven: Option<Timestamp>,
    /// Messages of the last 24 hours.
    sends: Sends,
    /// Starts of the last ten minutes whose sender said that nothing was sent.
    unsent: Vec<Attempt>,
    /// The destinations that a challenge was verified with, the newest last.
    known: Vec<KnownRecipient>,
    /// Pushes declined since the last that was approved.
    denials: Option<Denials>,
    /// Challenges that may be alive; answered pushes stay until their deadline.
    challenges: Vec<Challenge>,
    /// Sessions that may hold a grant.
    sessions: Vec<LiveSession>,
}

/// A destination that the user has proven to be theirs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct KnownRecipient {
    key: Key,
    verified: Timestamp,
}

/// The consecutive failures of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Failures {
    channel: Box<str>,
    attempts: Vec<Attempt>,
}

/// What counts against a user, such as a comparison that was counted before it was made, under an id by which it is
/// found again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) at: Timestamp,
}

/// Pushes that were declined in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Denials {
    /// Since the last that made a pause.
    count: u8,
    last: Timestamp,
    /// The last that made a pause.
    paused: Option<Timestamp>,
}

/// A challenge, under the id of its start. One of another start stays in the list beside it: two may race, and which
/// of them the session took is known only afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Challenge {
    start: u64,
    session: Key,
    deadline: Timestamp,
    /// Of a push: the phone knows the user and this id, not the session.
    push: Option<PushDigest>,
    /// Where its message was counted.
    recipient: Option<Key>,
    /// Whether it can still be verified.
    open: bool,
    /// Of a push: whether the user's answer to it has been counted.
    answered: bool,
}

/// A challenge that is about to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) start: u64,
    pub(crate) session: &'a Key,
    pub(crate) deadline: Timestamp,
    pub(crate) push: Option<PushDigest>,
    pub(crate) recipient: Option<Key>,
    /// The start whose challenge it takes the place of.
    pub(crate) replaces: Option<u64>,
}

impl Opening<'_> {
    fn kind(&self) -> Kind {
        if self.push.is_some() { Kind::Push } else { Kind::Code }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LiveSession {
    key: Key,
    until: Timestamp,
    /// The start that has listed it, as long as no other operation relies on that.
    by: Option<u64>,
    /// The last revocation of this session, or zero: what was under way before it grants nothing after it.
    revocation: u64,
    /// Revoked, and not listed again since: the first to make room.
    idle: bool,
}

/// Which operation lists a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListedBy {
    /// A start, which takes the entry back where it comes to nothing.
    Start(u64),
    /// An operation that may write a grant.
    Grant,
}

impl ListedBy {
    const fn start(self) -> Option<u64> {
        match self {
            Self::Start(id) => Some(id),
            Self::Grant => None,
        }
    }
}

/// What listing a session came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listed {
    /// There is room, or it was listed before.
    Done,
    /// The list was full: the grants of this session must go before the record is written.
    Displaced(Key),
}

/// What an operation that is about to write a grant has found of its user and session, once that is listed: a revocation
/// since then has changed it (T32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) generation: u64,
    /// As of [`Subject::revocation`].
    revocation: Option<u64>,
}

impl Seen {
    pub(crate) fn of(subject: &Subject, session: &Key) -> Self {
        Self { generation: subject.generation(), revocation: subject.revocation(session) }
    }

    /// Whether nothing was revoked since. A session that was not listed yet may be by now.
    pub(crate) fn still_holds(self, subject: &Subject, session: &Key) -> bool {
        let now = Self::of(subject, session);
        self.generation == now.generation && (self.revocation.is_none() || self.revocation == now.revocation)
    }
}

impl Subject {
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            generation,
            locked: None,
            failures: Vec::new(),
            wrong: Vec::new(),
            forgiven: None,
            sends: Sends::default(),
            unsent: Vec::new(),
            known: Vec::new(),
            denials: None,
            challenges: Vec::new(),
            sessions: Vec::new(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Until when the record must be kept.
    pub(crate) fn keep_until(&self) -> Timestamp {
        let failures = self.failures.iter().filter_map(Failures::last).map(|at| at.saturating_add(FAILURES_KEPT));
        let wrong = self.wrong.iter().map(|attempt| attempt.at.saturating_add(DAY));
        let forgiven = self.forgiven.map(|at| at.saturating_add(DAY));
        let locked = self.locked.map(|at| at.saturating_add(LOCK_KEPT));
        let denials = self.denials.map(|denials| denials.last.saturating_add(DAY));
        let challenges = self.challenges.iter().map(|challenge| challenge.deadline);
        let sessions = self.sessions.iter().map(|session| session.until);
        let unsent = self.unsent.iter().map(|unsent| unsent.at.saturating_add(TEN_MINUTES));
        let known = self.known.iter().map(KnownRecipient::until);
        let denies = failures.chain(wrong).chain(forgiven).chain(locked).chain(denials).chain(unsent);
        denies.chain(challenges).chain(sessions).chain(known).fold(self.sends.keep_until(), Timestamp::max)
    }
}

/// Failures and locks.
impl Subject {
    /// Refuses a user whom only the application can unlock: it locked them, or they have failed too often.
    pub(crate) fn check_disabled(&self, channel: &str, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        let failed = self.failures(channel, now).len() >= usize::from(policy.disable_at);
        if failed || self.is_locked() { Err(ChallengeError::Forbidden) } else { Ok(()) }
    }

    /// Whether the application has locked the user.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked.is_some()
    }

    pub(crate) fn lock(&mut self, now: Timestamp) {
        self.locked = Some(now);
    }

    /// Lifts every lock: the application's, failures, wrong codes and denials. Messages stay counted: they cost
    /// money, not guesses. What a clock that was ahead has left goes all the same: it would deny until then.
    pub(crate) fn unlock(&mut self, policy: &Policy, now: Timestamp) {
        self.locked = None;
        self.failures = Vec::new();
        self.wrong = Vec::new();
        self.forgiven = Some(now);
        self.denials = None;
        let latest = now.saturating_add(policy.skew);
        self.sends.forget_after(latest);
        self.unsent.retain(|unsent| unsent.at <= latest);
        let deadline = latest.saturating_add(policy.code_life.max(policy.push_life));
        self.challenges.retain(|challenge| challenge.deadline <= deadline);
    }

    /// Whether an unlocking of then or later has left nothing to lift.
    pub(crate) fn is_unlocked_since(&self, then: Timestamp, policy: &Policy, now: Timestamp) -> bool {
        let mut unlocked = self.clone();
        unlocked.unlock(policy, now);
        unlocked.forgiven = self.forgiven;
        self.forgiven.is_some_and(|forgiven| then <= forgiven) && unlocked == *self
    }

    /// Refuses a user who has to wait: after every few consecutive failures on this channel, and after too
    /// many wrong codes in a day over all of them.
    ///
    /// A stamp from the future goes on denying.
    pub(crate) fn check_locked(&self, channel: &str, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        let consecutive = self.consecutive_wait(channel, policy, now);
        let day = self.day_wait(policy, now);
        let consecutive = RateLimit { limit: policy.wait_every.into(), window: None, wait: consecutive };
        let day = RateLimit { limit: policy.wrong_codes_a_day.into(), window: Some(DAY), wait: day };
        let limit = if day.wait > consecutive.wait { day } else { consecutive };
        if limit.wait.is_zero() { Ok(()) } else { Err(ChallengeError::RateLimited(limit)) }
    }

    /// Counts a code that is about to be compared as a failure.
    pub(crate) fn count(&mut self, channel: &str, attempt: u64, now: Timestamp) {
        let attempt = Attempt { id: attempt, at: now };
        self.wrong.retain(|wrong| now < wrong.at.saturating_add(DAY));
        self.wrong.push(attempt);
        self.failures.retain(|failures| failures.is_remembered(now));
        match self.failures.iter_mut().find(|failures| *failures.channel == *channel) {
            Some(failures) => failures.attempts.push(attempt),
            None => self.failures.push(Failures { channel: channel.into(), attempts: vec![attempt] }),
        }
    }

    /// Whether an attempt is counted.
    pub(crate) fn counts(&self, attempt: u64) -> bool {
        self.wrong.iter().any(|wrong| wrong.id == attempt)
    }

    /// Counts wrong codes again that somebody remembers and this record does not: it has lost them.
    pub(crate) fn remember(&mut self, wrong: Vec<Attempt>, now: Timestamp) {
        let counts = |attempt: &Attempt| {
            now < attempt.at.saturating_add(DAY) && self.forgiven.is_none_or(|forgiven| forgiven < attempt.at)
        };
        let lost =
            wrong.into_iter().filter(counts).filter(|attempt| !self.wrong.iter().any(|known| known.id == attempt.id));
        let lost: Vec<_> = lost.collect();
        self.wrong.extend(lost);
    }

    /// Takes an attempt out again that turned out to have nothing to compare with.
    pub(crate) fn uncount(&mut self, attempt: u64) {
        self.wrong.retain(|wrong| wrong.id != attempt);
        for failures in &mut self.failures {
            failures.attempts.retain(|failure| failure.id != attempt);
        }
        self.failures.retain(|failures| !failures.attempts.is_empty());
        self.wrong.shrink_to_fit();
        self.failures.shrink_to_fit();
    }

    /// A code was right: it was no failure, and the channel's failures are over. The day's count of wrong
    /// codes stays, and so does every other channel's (T4).
    pub(crate) fn succeeded(&mut self, channel: &str, attempt: u64) {
        self.uncount(attempt);
        self.failures.retain(|failures| *failures.channel != *channel);
        self.failures.shrink_to_fit();
    }

    fn failures(&self, channel: &str, now: Timestamp) -> &[Attempt] {
        let of_channel = |failures: &&Failures| *failures.channel == *channel && failures.is_remembered(now);
        self.failures.iter().find(of_channel).map_or(&[], |failures| &failures.attempts)
    }

    fn consecutive_wait(&self, channel: &str, policy: &Policy, now: Timestamp) -> Duration {
        let failures = self.failures(channel, now);
        let rounds = failures.len() / usize::from(policy.wait_every);
        let Some(last) = failures.iter().map(|failure| failure.at).max() else { return Duration::ZERO };
        if rounds == 0 || !failures.len().is_multiple_of(policy.wait_every.into()) {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(rounds - 1).unwrap_or(u32::MAX);
        let wait = 2_u32
            .checked_pow(doublings)
            .and_then(|factor| policy.first_wait.checked_mul(factor))
            .map_or(policy.longest_wait, |wait| wait.min(policy.longest_wait));
        last.saturating_add(wait).saturating_since(now)
    }

    fn day_wait(&self, policy: &Policy, now: Timestamp) -> Duration {
        wait(policy.wrong_codes_a_day.into(), DAY, self.wrong.iter().map(|wrong| wrong.at), now)
    }
}

/// Sessions.
impl Subject {
    /// Lists a session before its record is written, so that everything of a user can be revoked.
    pub(crate) fn list(&mut self, session: &Key, by: ListedBy, until: Timestamp, now: Timestamp) -> Listed {
        let by = by.start();
        self.sessions.retain(|live| now < live.until);
        if let Some(live) = self.sessions.iter_mut().find(|live| live.key == *session) {
            live.until = live.until.max(until);
            live.by = live.by.filter(|_| live.by == by);
            live.idle = false;
            return Listed::Done;
        }
        let mut displaced = Listed::Done;
        if self.sessions.len() >= SESSIONS_PER_SUBJECT
            && let Some(oldest) =
                (0..self.sessions.len()).min_by_key(|&i| (!self.sessions[i].idle, self.sessions[i].until))
        {
            let oldest = self.sessions.remove(oldest).key;
            self.close_session(&oldest);
            displaced = Listed::Displaced(oldest);
        }
        self.sessions.reserve_exact(1);
        self.sessions.push(LiveSession { key: *session, until, by, revocation: 0, idle: false });
        displaced
    }

    /// A start came to nothing before its session's record was written.
    pub(crate) fn unlist(&mut self, start: u64) {
        self.sessions.retain(|live| live.by != Some(start));
        self.sessions.shrink_to_fit();
    }

    /// Whether a session is listed: only then is a grant in it found by whoever revokes everything (T32).
    pub(crate) fn lists(&self, session: &Key) -> bool {
        self.listed(session).is_some()
    }

    /// The last revocation of a session that is listed, or zero; `None` where it is not listed.
    pub(crate) fn revocation(&self, session: &Key) -> Option<u64> {
        self.listed(session).map(|live| live.revocation)
    }

    fn listed(&self, session: &Key) -> Option<&LiveSession> {
        self.sessions.iter().find(|live| live.key == *session)
    }

    /// Notes that a session is revoked, before its own record is changed. It stays listed: until that is done, and where
    /// it fails, it may hold a grant.
    pub(crate) fn revoke(&mut self, session: &Key, revocation: u64) {
        if let Some(live) = self.sessions.iter_mut().find(|live| live.key == *session) {
            live.revocation = revocation;
            live.idle = true;
        }
    }

    /// Begins a new generation, in which nothing that was started before verifies. Pushes stay in the list, closed: the
    /// phone's "No" to one of them counts all the same.
    pub(crate) fn revoke_all(&mut self, generation: u64) {
        self.generation = generation;
        self.close_where(|_| true);
    }

    /// The user's destinations have changed: none counts as proven any more.
    pub(crate) fn forget_recipients(&mut self) {
        self.known = Vec::new();
    }

    /// The sessions that may hold a grant or a challenge.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = Key> {
        self.sessions.iter().map(|session| session.key)
    }
}

/// Challenges and their messages.
impl Subject {
    /// Counts a challenge and its message, or refuses: after too many denials, messages or live challenges.
    ///
    /// The same start may be counted again, where its first writing met another's.
    pub(crate) fn open(&mut self, opening: &Opening, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        self.withdraw(opening.start);
        self.challenges.retain(|challenge| now < challenge.deadline);
        let kind = opening.kind();
        if kind == Kind::Push {
            self.check_denials(policy, now).map_err(ChallengeError::RateLimited)?;
        }
        self.sends.check(kind, 1, policy, now).map_err(ChallengeError::RateLimited)?;
        self.check_unsent(policy, now).map_err(ChallengeError::RateLimited)?;
        self.check_live(opening, policy, now).map_err(ChallengeError::RateLimited)?;
        self.sends.add(opening.start, kind, now);
        if let Some(replaced) = opening.replaces {
            self.close(replaced);
        }
        self.challenges.push(Challenge {
            start: opening.start,
            session: *opening.session,
            deadline: opening.deadline,
            push: opening.push,
            recipient: opening.recipient,
            open: true,
            answered: false,
        });
        Ok(())
    }

    /// Takes a start back that came to nothing before its message was handed to its sender.
    pub(crate) fn withdraw(&mut self, start: u64) {
        self.sends.remove(start);
        self.challenges.retain(|challenge| challenge.start != start);
    }

    /// Takes a start back whose sender said that nothing was sent, and counts it in a budget of its own, from which
    /// nothing is given back: a provider that fails is no call free of charge (T13). A code that came back in its place
    /// is alive again.
    pub(crate) fn not_sent(&mut self, start: u64, session: &Key, came_back: Option<CameBack>, now: Timestamp) {
        self.withdraw(start);
        self.unsent.retain(|unsent| unsent.id != start && now < unsent.at.saturating_add(TEN_MINUTES));
        self.unsent.push(Attempt { id: start, at: now });
        if let Some(CameBack { start, deadline, recipient }) = came_back {
            self.close(start);
            let (session, push) = (*session, None);
            self.challenges.push(Challenge { start, session, deadline, push, recipient, open: true, answered: false });
        }
    }

    /// Whether the user has proven before that this destination is theirs. A stamp from the future proves nothing (T20).
    pub(crate) fn knows(&self, recipient: &Key, policy: &Policy, now: Timestamp) -> bool {
        let latest = now.saturating_add(policy.skew);
        self.known.iter().any(|known| known.key == *recipient && now < known.until() && known.verified <= latest)
    }

    /// A challenge was verified: its message is given back, its destination is known to be the user's, and the denials
    /// before it are over.
    pub(crate) fn verified(&mut self, start: u64, recipient: Option<&Key>, now: Timestamp) {
        self.sends.verified(start);
        if let Some(recipient) = recipient {
            self.known.retain(|known| known.key != *recipient && now < known.until());
            let surplus = (self.known.len() + 1).saturating_sub(KNOWN_RECIPIENTS);
            self.known.drain(..surplus);
            self.known.reserve_exact(1);
            self.known.push(KnownRecipient { key: *recipient, verified: now });
        }
        let is_push = self.challenges.iter().any(|challenge| challenge.start == start && challenge.push.is_some());
        if is_push {
            self.denials = None;
        }
        self.close(start);
        self.answer(start, Timestamp::from_millis(0));
    }

    /// A push was declined; whether pushes pause from now on. A "No" counts whatever became of the push meanwhile, and
    /// once: an attacker who drops the push before it is declined must not keep it from counting (T13).
    pub(crate) fn declined(&mut self, start: u64, policy: &Policy, now: Timestamp) -> bool {
        if !self.answer(start, now) {
            return false;
        }
        let before = self.denials.filter(|denials| now < denials.last.saturating_add(DAY));
        let before = before.unwrap_or(Denials { count: 0, last: now, paused: None });
        let count = before.count.saturating_add(1);
        let denials = Denials { count, last: now, ..before };
        let pauses = count >= policy.denials;
        self.denials = Some(if pauses { Denials { count: 0, paused: Some(now), ..denials } } else { denials });
        self.close(start);
        pauses
    }

    /// Notes that a push was answered; whether this is the first answer, before its deadline.
    fn answer(&mut self, start: u64, now: Timestamp) -> bool {
        let is_open_to_answers =
            |challenge: &&mut Challenge| challenge.start == start && !challenge.answered && now < challenge.deadline;
        self.challenges.iter_mut().find(is_open_to_answers).map(|challenge| challenge.answered = true).is_some()
    }

    /// A challenge that can no longer be verified makes room for another.
    pub(crate) fn close(&mut self, start: u64) {
        self.close_where(|challenge| challenge.start == start);
    }

    /// As [`close`](Self::close), for all of a session.
    pub(crate) fn close_session(&mut self, session: &Key) {
        self.close_where(|challenge| challenge.session == *session);
    }

    /// Whether a challenge counts as alive.
    #[cfg(test)]
    pub(crate) fn is_open(&self, start: u64) -> bool {
        self.challenges.iter().any(|challenge| challenge.open && challenge.start == start)
    }

    /// Where the message of a challenge went.
    pub(crate) fn recipient_of(&self, start: u64) -> Option<Key> {
        self.challenges.iter().find(|challenge| challenge.start == start)?.recipient
    }

    /// The session that a push belongs to, and the id of its start.
    pub(crate) fn find_push(&self, id: &PushDigest) -> Option<(&Key, u64)> {
        let push = self.challenges.iter().find(|challenge| challenge.push.as_ref() == Some(id))?;
        Some((&push.session, push.start))
    }

    /// A push that was answered stays in the list, so that a second answer is told so.
    fn close_where(&mut self, which: impl Fn(&Challenge) -> bool) {
        self.challenges.iter_mut().filter(|challenge| which(challenge)).for_each(|challenge| challenge.open = false);
        self.challenges.retain(|challenge| challenge.open || challenge.push.is_some());
        self.challenges.shrink_to_fit();
    }

    /// Refuses a push for a while after every few that were declined in a row.
    fn check_denials(&self, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let paused = self.denials.and_then(|denials| denials.paused);
        let wait = paused.map_or(Duration::ZERO, |at| at.saturating_add(policy.denial_pause).saturating_since(now));
        if wait.is_zero() { Ok(()) } else { Err(RateLimit { limit: policy.denials.into(), window: None, wait }) }
    }

    /// Refuses where too many starts of the last ten minutes sent nothing. From the first on, one whose sender may still
    /// say so counts with them, so that asking in parallel gets nobody more.
    fn check_unsent(&self, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let unsent = || self.unsent.iter().map(|unsent| unsent.at.saturating_add(TEN_MINUTES));
        if !unsent().any(|end| now < end) {
            return Ok(());
        }
        let limit = UNSENT_STARTS;
        let wait = wait_for(limit, unsent().chain(self.sends.in_flight(policy.sender_deadline)), now);
        if wait.is_zero() { Ok(()) } else { Err(RateLimit { limit, window: Some(TEN_MINUTES), wait }) }
    }

    /// Refuses one challenge more than may be alive. A session's code is one however often it was started anew, and
    /// so is its push.
    fn check_live(&self, opening: &Opening, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let mut live: Vec<(Key, bool, Timestamp)> = Vec::new();
        let same = |challenge: &&Challenge| {
            challenge.session == *opening.session && challenge.push.is_some() == opening.push.is_some()
        };
        for challenge in self.challenges.iter().filter(|challenge| challenge.open && !same(challenge)) {
            let place = (challenge.session, challenge.push.is_some());
            match live.iter_mut().find(|(session, is_push, _)| (*session, *is_push) == place) {
                Some((_, _, deadline)) => *deadline = challenge.deadline.max(*deadline),
                None => live.push((place.0, place.1, challenge.deadline)),
            }
        }
        let limit = u32::from(policy.live_challenges);
        match live.iter().map(|(_, _, deadline)| *deadline).min() {
            Some(first) if live.len() >= usize::from(policy.live_challenges) => {
                Err(RateLimit { limit, window: None, wait: first.saturating_since(now) })
            }
            _ => Ok(()),
        }
    }
}

impl KnownRecipient {
    fn until(&self) -> Timestamp {
        self.verified.saturating_add(RECIPIENT_KNOWN)
    }
}

impl Subject {
    /// Whether its lists are no longer than what is ever written.
    pub(crate) fn is_within_bounds(&self) -> bool {
        let lists = [self.failures.len(), self.wrong.len(), self.challenges.len(), self.unsent.len()];
        let attempts = self.failures.iter().map(|failures| failures.attempts.len());
        self.sessions.len() <= SESSIONS_PER_SUBJECT
            && self.known.len() <= KNOWN_RECIPIENTS
            && self.sends.is_within_bounds()
            && lists.into_iter().chain(attempts).all(|length| length <= RECORD_LIST_LIMIT)
    }
}

impl Failures {
    fn last(&self) -> Option<Timestamp> {
        self.attempts.iter().map(|attempt| attempt.at).max()
    }

    fn is_remembered(&self, now: Timestamp) -> bool {
        self.last().is_some_and(|last| now < last.saturating_add(FAILURES_KEPT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + secs * 1000)
    }

    fn after(failures: u64, every: u64) -> Subject {
        let mut subject = Subject::new(1);
        (0..failures).for_each(|i| subject.count("SMS", i, at(i * every)));
        subject
    }

    fn wait(subject: &Subject, channel: &str, now: u64) -> Option<(u32, u64)> {
        match subject.check_locked(channel, &Policy::new(), at(now)) {
            Ok(()) => None,
            Err(ChallengeError::RateLimited(limit)) => Some((limit.limit, limit.wait.as_secs())),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn waits_double_after_every_five_failures() {
        let table = [(5, 30), (10, 60), (15, 120), (20, 240), (25, 480), (30, 960), (35, 1920), (40, 3600), (45, 3600)];
        for (failures, expected) in table {
            let subject = after(failures, 0);
            assert_eq!(wait(&subject, "SMS", 0), Some((5, expected)), "{failures}");
            assert_eq!(wait(&subject, "SMS", expected - 1), Some((5, 1)), "{failures}");
            assert_eq!(wait(&subject, "SMS", expected), None, "{failures}");
            assert_eq!(wait(&subject, "EMAIL", 0), None, "another channel");
            assert_eq!(wait(&after(failures - 1, 0), "SMS", 0), None, "{failures} less one");
        }
    }

    #[test]
    fn fifty_failures_disable_until_unlocked() {
        let disabled = |subject: &Subject, channel, now| subject.check_disabled(channel, &Policy::new(), now).is_err();
        assert!(!disabled(&after(49, 1), "SMS", at(49)));
        let subject = after(50, 1);
        assert!(disabled(&subject, "SMS", at(50)));
        assert!(disabled(&subject, "SMS", at(399 * 24 * 3600)));
        assert!(!disabled(&subject, "EMAIL", at(50)));
        assert!(!disabled(&subject, "SMS", at(49).saturating_add(FAILURES_KEPT)));
        assert_eq!(subject.keep_until(), at(49).saturating_add(FAILURES_KEPT));
        // A stamp from the future goes on denying.
        assert!(disabled(&subject, "SMS", Timestamp::from_millis(0)));
        assert!(wait(&after(5, 0), "SMS", 0).is_some());
    }

    #[test]
    fn a_hundred_wrong_codes_a_day_whatever_succeeds() {
        let mut subject = Subject::new(1);
        for i in 0..100 {
            assert_eq!(wait(&subject, "SMS", i * 100), None, "{i}");
            subject.count(if i % 2 == 0 { "SMS" } else { "EMAIL" }, i, at(i * 100));
            subject.succeeded("SMS", 1000);
            subject.succeeded("EMAIL", 1000);
        }
        let day = DAY.as_secs();
        for channel in ["SMS", "EMAIL", "OTHER"] {
            assert_eq!(wait(&subject, channel, 9900), Some((100, day - 9900)), "{channel}");
        }
        assert_eq!(wait(&subject, "SMS", day - 1), Some((100, 1)));
        assert_eq!(wait(&subject, "SMS", day), None);
        subject.count("SMS", 2000, at(day));
        assert_eq!(subject.wrong.len(), 100, "the oldest was forgotten");
        assert_eq!(wait(&subject, "SMS", day), Some((100, 100)));
    }

    /// Five wrong codes are a day's here: the fifth makes a wait that ends when the first is a day old.
    #[test]
    fn of_two_waits_as_long_the_consecutive_one_is_told() {
        let policy = Policy::new().wrong_codes_a_day(5);
        let mut subject = after(4, 0);
        let day = DAY.as_secs();
        for (last, expected) in [(day - 31, (5, Some(DAY))), (day - 30, (5, None)), (day - 29, (5, None))] {
            let mut subject = subject.clone();
            subject.count("SMS", 4, at(last));
            match subject.check_locked("SMS", &policy, at(last)) {
                Err(ChallengeError::RateLimited(limit)) => assert_eq!((limit.limit, limit.window), expected, "{last}"),
                other => panic!("{other:?}"),
            }
        }
        subject.count("SMS", 4, at(1));
        subject.uncount(4);
        assert_eq!(subject.check_locked("SMS", &policy, at(1)), Ok(()));
    }

    #[test]
    fn what_a_record_has_lost_is_counted_again_unless_it_is_old_forgiven_or_known() {
        let attempts = |stamps: &[(u64, u64)]| stamps.iter().map(|&(id, secs)| Attempt { id, at: at(secs) }).collect();
        let remembered = |subject: &Subject, stamps: &[(u64, u64)], now| {
            let mut subject = subject.clone();
            subject.remember(attempts(stamps), at(now));
            subject.wrong.iter().map(|attempt| attempt.id).collect::<Vec<_>>()
        };
        let day = DAY.as_secs();
        let empty = Subject::new(1);
        assert_eq!(remembered(&empty, &[(1, 0), (2, 10)], day - 1), [1, 2]);
        assert_eq!(remembered(&empty, &[(1, 0), (2, 10)], day), [2], "a day has gone by");
        assert_eq!(remembered(&after(2, 0), &[(1, 0), (7, 0)], 0), [0, 1, 7], "one was known");
        let mut forgiven = empty;
        forgiven.unlock(&Policy::new(), at(5));
        assert_eq!(remembered(&forgiven, &[(1, 4), (2, 5), (3, 6)], 7), [3]);
    }

    #[test]
    fn an_attempt_is_taken_out_alone_and_a_success_clears_its_channel() {
        let mut subject = after(4, 0);
        subject.count("EMAIL", 50, at(0));
        subject.uncount(2);
        subject.uncount(99);
        assert_eq!(subject.failures("SMS", at(0)).len(), 3);
        assert_eq!(subject.wrong.len(), 4);
        subject.count("SMS", 60, at(1));
        subject.succeeded("SMS", 60);
        assert_eq!(subject.failures("SMS", at(1)), []);
        assert_eq!(subject.failures("EMAIL", at(1)).len(), 1);
        assert_eq!(subject.wrong.len(), 4, "wrong codes stay, the right one was none");
    }

    #[test]
    fn the_list_of_sessions_is_bounded_and_displaces_the_oldest() {
        let mut subject = Subject::new(1);
        let key = |i: u64| Key::session("a", &i.to_be_bytes());
        for i in 0..16 {
            assert_eq!(subject.list(&key(i), ListedBy::Grant, at(100 + i), at(0)), Listed::Done);
        }
        assert_eq!(subject.list(&key(0), ListedBy::Grant, at(200), at(0)), Listed::Done, "listed already");
        assert_eq!(subject.list(&key(16), ListedBy::Grant, at(300), at(0)), Listed::Displaced(key(1)));
        assert_eq!(subject.sessions.len(), SESSIONS_PER_SUBJECT);
        let ended = subject.clone();
        assert_eq!(subject.list(&key(17), ListedBy::Grant, at(300), at(150)), Listed::Done, "the ended ones made room");
        assert_eq!(subject.sessions.len(), 3);
        for (now, left) in [(114, 4), (115, 3)] {
            let mut subject = ended.clone();
            subject.list(&key(17), ListedBy::Grant, at(300), at(now));
            assert_eq!(subject.sessions.len(), left, "the last of them ends at 115, and it is {now}");
        }
    }

    /// T32: what was under way finds a revocation; the session stays listed, and is the first to make room.
    #[test]
    fn a_revocation_is_noted_and_its_session_stays_listed_until_there_is_no_room() {
        let mut subject = Subject::new(1);
        let key = |i: u64| Key::session("a", &i.to_be_bytes());
        let before = Seen::of(&subject, &key(5));
        for i in 0..16 {
            subject.list(&key(i), ListedBy::Grant, at(100 + i), at(0));
        }
        let seen = Seen::of(&subject, &key(5));
        assert!(before.still_holds(&subject, &key(5)) && seen.still_holds(&subject, &key(5)));
        subject.revoke(&key(5), 7);
        subject.revoke(&key(99), 7);
        assert!(!seen.still_holds(&subject, &key(5)) && subject.lists(&key(5)));
        assert!(Seen::of(&subject, &key(4)).still_holds(&subject, &key(4)), "another session");
        let mut again = subject.clone();
        again.list(&key(5), ListedBy::Grant, at(200), at(0));
        assert!(!seen.still_holds(&again, &key(5)), "listed again, it was revoked all the same");
        assert_eq!(again.list(&key(16), ListedBy::Grant, at(300), at(0)), Listed::Displaced(key(0)));
        assert_eq!(subject.list(&key(16), ListedBy::Grant, at(300), at(0)), Listed::Displaced(key(5)));
        let seen = Seen::of(&subject, &key(4));
        subject.revoke_all(2);
        assert!(!seen.still_holds(&subject, &key(4)));
    }

    #[test]
    fn a_start_takes_its_session_from_the_list_unless_another_relies_on_it() {
        let mut subject = Subject::new(1);
        let key = |i: u64| Key::session("a", &i.to_be_bytes());
        let listed =
            [(1, Some(7)), (1, Some(7)), (2, Some(7)), (2, Some(8)), (3, Some(7)), (3, None), (4, None), (4, Some(7))];
        for (session, by) in listed {
            subject.list(&key(session), by.map_or(ListedBy::Grant, ListedBy::Start), at(300), at(0));
        }
        subject.unlist(9);
        assert_eq!(subject.sessions.len(), 4);
        subject.unlist(7);
        subject.unlist(8);
        assert_eq!(subject.sessions().collect::<Vec<_>>(), [key(2), key(3), key(4)]);
    }

    fn id(push: u64) -> PushDigest {
        PushDigest::new(&Key::subject("a"), &push.to_string())
    }

    /// Starts a code, or a push, in a session; it lives 300 seconds.
    fn open(subject: &mut Subject, start: u64, session: u64, push: bool, now: u64) -> Result<(), (u32, u64)> {
        let session = &Key::session("a", &session.to_be_bytes());
        let opening = Opening {
            start,
            session,
            deadline: at(now + 300),
            push: push.then(|| id(start)),
            recipient: None,
            replaces: None,
        };
        subject.open(&opening, &Policy::new(), at(now)).map_err(|error| match error {
            ChallengeError::RateLimited(limit) => (limit.limit, limit.wait.as_secs()),
            other => panic!("{other:?}"),
        })
    }

    type Make = fn(&mut Subject);

    #[test]
    fn three_challenges_live_at_once_whatever_became_of_the_others() {
        let mut subject = Subject::new(1);
        assert_eq!(open(&mut subject, 1, 1, false, 0), Ok(()));
        assert_eq!(open(&mut subject, 2, 1, true, 10), Ok(()));
        assert_eq!(open(&mut subject, 3, 2, false, 20), Ok(()));
        assert_eq!(open(&mut subject, 4, 3, true, 30), Err((3, 270)), "a fourth");
        assert_eq!(open(&mut subject.clone(), 5, 1, false, 30), Ok(()), "in the place of its like");
        assert_eq!(open(&mut subject.clone(), 3, 2, false, 30), Ok(()), "the same start, counted again");
        let makes: [(&str, Make); 5] = [
            ("verified", |subject| subject.verified(1, None, at(0))),
            ("closed", |subject| subject.close(2)),
            ("not sent", |subject| subject.withdraw(3)),
            ("its session is no more", |subject| subject.close_session(&Key::session("a", &2_u64.to_be_bytes()))),
            ("all revoked", |subject| subject.revoke_all(2)),
        ];
        for (name, make) in makes {
            let mut subject = subject.clone();
            make(&mut subject);
            assert_eq!(open(&mut subject, 4, 3, true, 30), Ok(()), "{name}");
        }
        subject.close_session(&Key::session("a", &9_u64.to_be_bytes()));
        assert!([1, 2, 3].iter().all(|start| subject.is_open(*start)), "another session's end closes none");
        assert_eq!(open(&mut subject, 4, 3, true, 299), Err((3, 1)));
        assert_eq!(open(&mut subject, 4, 3, true, 300), Ok(()), "the first has expired");
    }

    #[test]
    fn a_start_counts_its_message_once_and_gives_it_back() {
        let mut subject = Subject::new(1);
        for start in 1..=3 {
            assert_eq!(open(&mut subject, start, 1, false, start), Ok(()));
            assert_eq!(open(&mut subject, start, 1, false, start), Ok(()), "its second round");
        }
        assert_eq!(open(&mut subject, 4, 1, false, 3), Err((3, 298)));
        subject.verified(2, None, at(0));
        assert_eq!(open(&mut subject, 4, 1, false, 3), Ok(()));
        subject.withdraw(4);
        assert_eq!(open(&mut subject, 5, 1, false, 3), Ok(()));
    }

    #[test]
    fn a_push_is_found_until_its_deadline_also_when_it_was_answered() {
        let mut subject = Subject::new(1);
        let session = Key::session("a", &1_u64.to_be_bytes());
        open(&mut subject, 7, 1, true, 0).unwrap();
        assert_eq!(subject.find_push(&id(7)), Some((&session, 7)));
        assert_eq!(subject.find_push(&id(8)), None);
        subject.verified(7, None, at(0));
        assert_eq!(subject.find_push(&id(7)), Some((&session, 7)));
        open(&mut subject, 8, 1, true, 300).unwrap();
        assert_eq!(subject.find_push(&id(7)), None);
        subject.revoke_all(2);
        assert_eq!(subject.find_push(&id(8)), Some((&session, 8)), "its refusal counts all the same");
        assert!(!subject.is_open(8));
    }

    /// A push that is declined; the budgets of messages are not at stake here.
    fn decline(subject: &mut Subject, start: u64, now: u64) {
        let session = Key::session("a", b"1");
        let deadline = at(now + 300);
        subject.challenges.push(Challenge {
            start,
            session,
            deadline,
            push: Some(id(start)),
            recipient: None,
            open: true,
            answered: false,
        });
        subject.declined(start, &Policy::new(), at(now));
    }

    #[test]
    fn three_denials_pause_and_an_approval_ends_their_row() {
        let policy = Policy::new();
        let paused =
            |subject: &Subject, now| subject.check_denials(&policy, at(now)).err().map(|hit| hit.wait.as_secs());
        let mut subject = Subject::new(1);
        decline(&mut subject, 1, 0);
        decline(&mut subject, 2, 2);
        subject.declined(1, &policy, at(2));
        subject.declined(2, &policy, at(2));
        subject.declined(99, &policy, at(2));
        assert_eq!(paused(&subject, 2), None, "one of them was said twice");
        let mut approved = subject.clone();
        open(&mut approved, 9, 1, true, 2).unwrap();
        approved.verified(9, None, at(2));
        decline(&mut approved, 10, 3);
        assert_eq!(paused(&approved, 3), None);
        decline(&mut subject, 3, 3);
        assert_eq!(paused(&subject, 3), Some(1800));
        let mut late = subject.clone();
        decline(&mut late, 4, 10);
        assert_eq!(paused(&late, 10), Some(1793), "one that was out already ends no pause");
        assert_eq!(open(&mut subject, 4, 1, true, 1802), Err((3, 1)));
        assert_eq!(open(&mut subject.clone(), 4, 1, false, 3), Ok(()), "a code is no push");
        assert_eq!(paused(&subject, 1803), None);
        decline(&mut subject, 4, 1803);
        decline(&mut subject, 5, 1803);
        assert_eq!(paused(&subject, 1803), None);
        decline(&mut subject, 6, 1803);
        assert_eq!(paused(&subject, 1803), Some(1800), "after every three");
        decline(&mut subject, 7, 1803 + 86_400);
        decline(&mut subject, 8, 1803 + 86_400);
        assert_eq!(paused(&subject, 1803 + 86_400), None, "a day forgets them");
        assert_eq!(subject.keep_until(), at(1803 + 2 * 86_400));
        let mut slow = Subject::new(1);
        (1..=3).for_each(|i| decline(&mut slow, i, i * 80_000));
        assert_eq!(paused(&slow, 240_000), Some(1800), "each came within a day of the one before");
    }

    #[test]
    fn the_applications_lock_holds_until_it_unlocks_and_unlocking_lifts_every_lock() {
        let policy = Policy::new();
        let disabled = |subject: &Subject| subject.check_disabled("SMS", &policy, at(0)).is_err();
        let mut subject = after(50, 0);
        open(&mut subject, 2, 1, true, 0).unwrap();
        subject.declined(2, &policy, at(0));
        subject.lock(at(0));
        open(&mut subject, 1, 1, false, 0).unwrap();
        assert!(disabled(&subject) && subject.is_locked());
        assert_eq!(subject.keep_until(), at(0).saturating_add(LOCK_KEPT));
        subject.unlock(&policy, at(0));
        assert!(!disabled(&subject) && !subject.is_locked());
        assert_eq!(wait(&subject, "SMS", 0), None);
        assert_eq!((subject.wrong.len(), subject.denials), (0, None));
        assert_eq!(subject.sends.keep_until(), at(86_400), "messages stay counted");
        open(&mut subject, 3, 1, false, 2).unwrap();
        open(&mut subject, 4, 2, true, 3).unwrap();
        subject.unlock(&policy, at(0));
        assert_eq!(subject.sends.keep_until(), at(2 + 86_400), "what two nodes may differ by is not the future");
        assert!(subject.is_open(3) && !subject.is_open(4));
    }

    /// T20: a clock that was ahead proves nothing, and what it denies is lifted with the rest.
    #[test]
    fn stamps_from_the_future_prove_nothing_and_can_be_lifted() {
        let (policy, recipient) = (Policy::new(), Key::subject("a recipient"));
        let mut subject = Subject::new(1);
        subject.verified(1, Some(&recipient), at(2));
        let month = RECIPIENT_KNOWN.as_secs();
        let known = |now| subject.knows(&recipient, &policy, at(now));
        assert!(known(0) && known(2 + month - 1), "within the skew, and for thirty days");
        assert!(!known(2 + month));
        subject.verified(1, Some(&recipient), at(3));
        assert!(!subject.knows(&recipient, &policy, at(0)));

        let session = Key::session("a", b"1");
        for start in 0..5 {
            subject.not_sent(start, &session, None, at(1000));
            subject.not_sent(start, &session, None, at(1000));
        }
        let refused = |subject: &Subject| subject.check_unsent(&policy, at(0)).map_err(|refused| refused.limit);
        assert_eq!((subject.unsent.len(), refused(&subject)), (5, Err(5)), "each start counts once");
        subject.unlock(&policy, at(0));
        assert_eq!(refused(&subject), Ok(()));
    }
}
