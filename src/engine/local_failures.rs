//! Failures that this process remembers itself, for shared stores that may lose their last writes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::rules::{Attempt, DAY, Key, Timestamp};

/// Limit of users. Beyond it, a user's wrong codes are counted in the store alone.
const USERS: usize = 100_000;
/// Minimum interval between searches for expired entries, when there is no room.
const SWEEP: Duration = Duration::from_secs(60);

/// The attempts of the last 24 hours that this process has compared and that were wrong, or that it could not write,
/// right or wrong: counting the wrong ones alone would tell them apart. A store that was restarted empty, or has failed
/// over to a lagging replica, gives an attacker no second limit: lost failures are written to it again (T24).
#[derive(Debug, Default)]
pub(super) struct LocalFailures(Mutex<Users>);

#[derive(Debug, Default)]
struct Users {
    wrong: HashMap<Key, Vec<Attempt>>,
    swept: Option<Timestamp>,
}

impl LocalFailures {
    /// Adds an attempt. Adding the same attempt twice counts once.
    pub(super) fn add(&self, subject: &Key, id: u64, now: Timestamp) {
        let mut users = self.users();
        if users.wrong.len() >= USERS && !users.wrong.contains_key(subject) {
            users.sweep(now);
            if users.wrong.len() >= USERS {
                return;
            }
        }
        let wrong = users.wrong.entry(*subject).or_default();
        wrong.retain(|attempt| attempt.id != id && now < attempt.at.saturating_add(DAY));
        wrong.push(Attempt { id, at: now });
    }

    /// The attempts of a user.
    pub(super) fn of(&self, subject: &Key) -> Vec<Attempt> {
        self.users().wrong.get(subject).cloned().unwrap_or_default()
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Users {
    fn sweep(&mut self, now: Timestamp) {
        if self.swept.is_some_and(|swept| now < swept.saturating_add(SWEEP)) {
            return;
        }
        self.swept = Some(now);
        self.wrong.retain(|_, wrong| wrong.iter().any(|attempt| now < attempt.at.saturating_add(DAY)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn an_attempt_counts_once_and_for_a_day() {
        let (floor, alice, bob) = (LocalFailures::default(), Key::subject("alice"), Key::subject("bob"));
        floor.add(&alice, 1, at(0));
        floor.add(&alice, 1, at(1));
        floor.add(&alice, 2, at(2));
        assert_eq!(floor.of(&alice).len(), 2);
        assert_eq!(floor.of(&bob), []);
        floor.add(&alice, 3, at(86_401));
        assert_eq!(floor.of(&alice).iter().map(|attempt| attempt.id).collect::<Vec<_>>(), [2, 3]);
    }

    /// A sweep over all users takes milliseconds, so it runs at most once a minute.
    #[test]
    fn room_is_looked_for_once_a_minute() {
        let floor = LocalFailures::default();
        let user = |i: usize| Key::subject(&i.to_string());
        (0..USERS).for_each(|i| floor.add(&user(i), 1, at(10)));
        for (now, added) in [(86_405, 0), (86_410, 0), (86_464, 0), (86_465, 1)] {
            floor.add(&user(USERS), 1, at(now));
            assert_eq!(floor.of(&user(USERS)).len(), added, "{now}");
        }
    }

    #[test]
    fn users_are_bounded_and_those_of_yesterday_make_room() {
        let floor = LocalFailures::default();
        let user = |i: usize| Key::subject(&i.to_string());
        (0..USERS).for_each(|i| floor.add(&user(i), 1, at(0)));
        floor.add(&user(USERS), 1, at(1));
        assert_eq!(floor.of(&user(USERS)), []);
        floor.add(&user(0), 2, at(1));
        assert_eq!(floor.of(&user(0)).len(), 2, "whoever is known goes on being counted");
        floor.add(&user(USERS), 1, at(86_400));
        assert_eq!(floor.of(&user(USERS)).len(), 1);
        assert_eq!((floor.of(&user(0)).len(), floor.of(&user(1)).len()), (2, 0));
    }
}
