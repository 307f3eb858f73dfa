//! The record of one user, over all their sessions. Pure: no clock, no lock, no I/O.
//!
//! It holds what denies: failures and compared codes, which no new code, session, channel or success
//! elsewhere may reset. Locks are derived from the failures and never stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    code::PushDigest,
    error::{ChallengeError, RateLimit},
    key::Key,
    policy::{DAY, FAILURES_KEPT, OPEN_PUSHES_PER_SUBJECT, Policy, SESSIONS_PER_SUBJECT},
};

/// The record of one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// A number that changes when everything of this user is revoked.
    generation: u64,
    /// Consecutive failures, of the channels that have any.
    failures: Vec<Failures>,
    /// Codes compared in the last 24 hours that were not right, over all channels.
    wrong: Vec<Attempt>,
    /// Pushes that may be answered: the phone knows the user and the id, not the session.
    pushes: Vec<OpenPush>,
    /// Sessions that may hold a grant.
    sessions: Vec<LiveSession>,
}

/// The consecutive failures of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Failures {
    channel: Box<str>,
    attempts: Vec<Attempt>,
}

/// One comparison, counted before it was made, under an id by which it can be taken out again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Attempt {
    id: u64,
    at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OpenPush {
    id: PushDigest,
    session: Key,
    deadline: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LiveSession {
    key: Key,
    until: Timestamp,
}

/// What listing a session came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listed {
    /// There is room, or it was listed before.
    Done,
    /// The list was full: the grants of this session must go before the record is written.
    Displaced(Key),
}

impl Subject {
    pub(crate) fn new(generation: u64) -> Self {
        Self { generation, failures: Vec::new(), wrong: Vec::new(), pushes: Vec::new(), sessions: Vec::new() }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Until when the record must be kept.
    pub(crate) fn keep_until(&self) -> Timestamp {
        let failures = self.failures.iter().filter_map(Failures::last).map(|at| at.saturating_add(FAILURES_KEPT));
        let wrong = self.wrong.iter().map(|attempt| attempt.at.saturating_add(DAY));
        let pushes = self.pushes.iter().map(|push| push.deadline);
        let sessions = self.sessions.iter().map(|session| session.until);
        failures.chain(wrong).chain(pushes).chain(sessions).fold(Timestamp::from_millis(0), Timestamp::max)
    }
}

/// Failures and locks.
impl Subject {
    /// Refuses a user who has failed so often that only the application can unlock them.
    pub(crate) fn check_disabled(&self, channel: &str, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        let failures = self.failures(channel, now);
        if failures.len() >= usize::from(policy.disable_at) { Err(ChallengeError::Forbidden) } else { Ok(()) }
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
        let mut ends: Vec<_> = self.wrong.iter().map(|wrong| wrong.at.saturating_add(DAY)).collect();
        ends.retain(|end| now < *end);
        ends.sort_unstable();
        // The next code may be compared once fewer than the cap are left in the window.
        let surplus = ends.len().checked_sub(usize::from(policy.wrong_codes_a_day));
        surplus.and_then(|i| ends.get(i)).map_or(Duration::ZERO, |end| end.saturating_since(now))
    }
}

/// Sessions and pushes.
impl Subject {
    /// Lists a session before its record is written, so that everything of a user can be revoked.
    pub(crate) fn list(&mut self, session: &Key, until: Timestamp, now: Timestamp) -> Listed {
        self.sessions.retain(|live| now < live.until);
        if let Some(live) = self.sessions.iter_mut().find(|live| live.key == *session) {
            live.until = live.until.max(until);
            return Listed::Done;
        }
        let mut displaced = Listed::Done;
        if self.sessions.len() >= SESSIONS_PER_SUBJECT
            && let Some(oldest) = (0..self.sessions.len()).min_by_key(|&i| self.sessions[i].until)
        {
            displaced = Listed::Displaced(self.sessions.remove(oldest).key);
        }
        self.sessions.reserve_exact(1);
        self.sessions.push(LiveSession { key: *session, until });
        displaced
    }

    /// Notes a push, so that its answer finds the session.
    ///
    /// An earlier one of the same session stays: two starts may race, and which of them the session took is
    /// known only afterwards. Where the list is full, the one that ends first goes.
    pub(crate) fn open_push(&mut self, id: PushDigest, session: &Key, deadline: Timestamp, now: Timestamp) {
        self.pushes.retain(|push| now < push.deadline && push.id != id);
        if self.pushes.len() >= OPEN_PUSHES_PER_SUBJECT
            && let Some(first) = (0..self.pushes.len()).min_by_key(|&i| self.pushes[i].deadline)
        {
            self.pushes.remove(first);
        }
        self.pushes.push(OpenPush { id, session: *session, deadline });
    }

    /// The session that a push belongs to.
    pub(crate) fn find_push(&self, id: &PushDigest) -> Option<&Key> {
        self.pushes.iter().find(|push| push.id == *id).map(|push| &push.session)
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
            assert_eq!(subject.list(&key(i), at(100 + i), at(0)), Listed::Done);
        }
        assert_eq!(subject.list(&key(0), at(200), at(0)), Listed::Done, "listed already");
        assert_eq!(subject.list(&key(16), at(300), at(0)), Listed::Displaced(key(1)));
        assert_eq!(subject.sessions.len(), SESSIONS_PER_SUBJECT);
        assert_eq!(subject.list(&key(17), at(300), at(150)), Listed::Done, "the ended ones made room");
        assert_eq!(subject.sessions.len(), 3);
    }

    #[test]
    fn pushes_are_found_while_they_are_open_and_bounded() {
        let mut subject = Subject::new(1);
        let (user, session) = (Key::subject("a"), Key::session("a", b"1"));
        let id = |i: u64| PushDigest::new(&user, &i.to_string());
        for i in 0..20 {
            subject.open_push(id(i), &session, at(300 + i), at(i));
        }
        assert_eq!(subject.pushes.len(), OPEN_PUSHES_PER_SUBJECT);
        assert_eq!(subject.find_push(&id(3)), None);
        assert_eq!(subject.find_push(&id(19)), Some(&session));
        subject.open_push(id(20), &session, at(700), at(320));
        assert_eq!(subject.pushes.len(), 1);
    }
}
