//! Limits on what one process sends, in total and to each group of recipients: sliding window logs.
//!
//! Each window keeps the times of what was taken within it, at most as many as its limit, so no interval of that length
//! ever holds more. Giving one back removes its own time, and nothing once that has left the window: a bucket that
//! refills evenly gave back room that it had already regained.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::rules::{Policy, Rate, RateLimit, Timestamp};

/// Groups kept at most. While all of them are in use, a message to another group is refused: it could not be counted.
const GROUPS: usize = 100_000;

/// The windows of one process.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    process: Window,
    groups: Groups,
}

/// The windows of the groups that have sent something: none is empty.
///
/// Nothing here visits all of them under the lock, which takes 2 to 6 ms for 100,000: neither a search for those out of
/// use nor the growth of a hash table.
#[derive(Debug, Default)]
struct Groups {
    windows: BTreeMap<Arc<str>, Window>,
    /// The newest time of each group: the first is out of use before the others.
    by_newest: BTreeSet<(u64, Arc<str>)>,
}

/// The times of what was taken, oldest first, in milliseconds since the epoch.
#[derive(Debug, Default)]
struct Window(VecDeque<u64>);

/// What was taken, to be given back where nothing was sent.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Taken {
    process: Option<u64>,
    group: Option<(Arc<str>, u64)>,
}

impl Rates {
    /// Takes one of each, or none. Recipients that have no name are one group.
    pub(super) fn take(&self, recipient: Option<&str>, policy: &Policy, now: Timestamp) -> Result<Taken, RateLimit> {
        let mut taken = Taken::default();
        if policy.sends_in_process.is_none() && policy.sends_per_prefix.is_none() {
            return Ok(taken);
        }
        // A panic elsewhere leaves valid windows behind.
        let windows = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.as_millis();
        if let Some(rate) = policy.sends_in_process {
            windows.process.check(rate, now)?;
        }
        if let Some((characters, rate)) = policy.sends_per_prefix {
            let group: String = recipient.unwrap_or_default().chars().take(characters.into()).collect();
            let group = group.into();
            let at = windows.groups.take(&group, rate, now)?;
            taken.group = Some((group, at));
        }
        if let Some(rate) = policy.sends_in_process {
            taken.process = Some(windows.process.push(rate, now));
        }
        Ok(taken)
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, taken: Taken) {
        if taken.process.is_none() && taken.group.is_none() {
            return;
        }
        let windows = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = taken.process {
            windows.process.remove(at);
        }
        if let Some((group, at)) = taken.group {
            windows.groups.change(&group, |window| window.remove(at));
        }
    }
}

impl Groups {
    fn take(&mut self, group: &Arc<str>, rate: Rate, now: u64) -> Result<u64, RateLimit> {
        match self.windows.get_mut(group) {
            Some(window) => window.check(rate, now)?,
            None => self.make_room(rate, now)?,
        }
        Ok(self.change(group, |window| window.push(rate, now)))
    }

    /// Removes the two groups out of use longest: each call adds one at most, so that those out of use become fewer.
    fn make_room(&mut self, rate: Rate, now: u64) -> Result<(), RateLimit> {
        for _ in 0..2 {
            let Some((_, group)) = self.by_newest.first().filter(|(newest, _)| leaves(*newest, rate) <= now) else {
                break;
            };
            self.windows.remove(group);
            self.by_newest.pop_first();
        }
        match self.by_newest.first() {
            Some((newest, _)) if self.windows.len() >= GROUPS => Err(refusal(*newest, rate, now)),
            _ => Ok(()),
        }
    }

    /// Changes the window of a group, a new one where there is none.
    fn change<T>(&mut self, group: &Arc<str>, change: impl FnOnce(&mut Window) -> T) -> T {
        let window = self.windows.entry(Arc::clone(group)).or_default();
        let before = window.newest();
        let changed = change(window);
        let after = window.newest();
        if before != after {
            before.map(|newest| self.by_newest.remove(&(newest, Arc::clone(group))));
            after.map(|newest| self.by_newest.insert((newest, Arc::clone(group))));
        }
        if after.is_none() {
            self.windows.remove(group);
        }
        changed
    }
}

impl Window {
    fn newest(&self) -> Option<u64> {
        self.0.back().copied()
    }

    /// Refuses while the window is full, until its oldest has left it.
    fn check(&self, rate: Rate, now: u64) -> Result<(), RateLimit> {
        let gone = self.gone(rate, now);
        match self.0.get(gone) {
            Some(oldest) if self.0.len() - gone >= usize::try_from(rate.sends).unwrap_or(usize::MAX) => {
                Err(refusal(*oldest, rate, now))
            }
            _ => Ok(()),
        }
    }

    /// How many have left it.
    fn gone(&self, rate: Rate, now: u64) -> usize {
        self.0.partition_point(|at| leaves(*at, rate) <= now)
    }

    /// Adds one, never before the newest: of two requests at once, the later may take the lock first.
    fn push(&mut self, rate: Rate, now: u64) -> u64 {
        self.0.drain(..self.gone(rate, now));
        let at = self.newest().map_or(now, |newest| now.max(newest));
        self.0.push_back(at);
        at
    }

    /// Removes one of that time, where it is still there: those of one millisecond are alike.
    fn remove(&mut self, at: u64) {
        if let Ok(index) = self.0.binary_search(&at) {
            self.0.remove(index);
        }
    }
}

/// Refused until what was taken at `at` has left the window.
fn refusal(at: u64, rate: Rate, now: u64) -> RateLimit {
    let wait = Duration::from_millis(leaves(at, rate).saturating_sub(now));
    RateLimit { limit: rate.sends, window: Some(rate.per), wait }
}

/// When what was taken at `at` leaves the window.
fn leaves(at: u64, rate: Rate) -> u64 {
    at.saturating_add(u64::try_from(rate.per.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + secs * 1000)
    }

    /// How many can be taken, and for how many seconds the next is refused.
    fn take_all(rates: &Rates, recipient: Option<&str>, policy: &Policy, now: u64) -> (u32, u64) {
        for taken in 0..10_000 {
            if let Err(limit) = rates.take(recipient, policy, at(now)) {
                return (taken, limit.wait.as_secs());
            }
        }
        (10_000, 0)
    }

    /// How many groups are kept, and found again by their newest time.
    fn groups(rates: &Rates) -> usize {
        let groups = &rates.0.lock().unwrap().groups;
        assert_eq!(groups.windows.len(), groups.by_newest.len());
        groups.windows.len()
    }

    #[test]
    fn the_limit_at_once_and_again_when_the_oldest_leaves_the_window() {
        let (rates, policy) = (Rates::default(), Policy::new().sends_in_process(6, MINUTE));
        for (now, expected) in [(0, (6, 60)), (10, (0, 50)), (59, (0, 1)), (60, (6, 60)), (10_000, (6, 60))] {
            assert_eq!(take_all(&rates, None, &policy, now), expected, "after {now} s");
        }
        assert_eq!(take_all(&Rates::default(), None, &Policy::new(), 0), (10_000, 0), "off unless set");
    }

    #[test]
    fn each_leaves_the_window_by_itself() {
        let (rates, policy) = (Rates::default(), Policy::new().sends_in_process(2, MINUTE));
        assert!(rates.take(None, &policy, at(0)).is_ok());
        assert!(rates.take(None, &policy, at(40)).is_ok());
        assert_eq!(take_all(&rates, None, &policy, 59), (0, 1));
        assert_eq!(take_all(&rates, None, &policy, 60), (1, 40));
        assert_eq!(take_all(&rates, None, &policy, 100), (1, 20));
    }

    /// B11: what is given back after it has left the window makes no room.
    #[test]
    fn no_window_holds_more_than_the_limit_whatever_is_given_back() {
        let policy = Policy::new().sends_in_process(5, MINUTE).sends_per_prefix(3, 5, MINUTE);
        let rates = Rates::default();
        let late: Vec<_> = (0..5).map(|_| rates.take(Some("+49 1"), &policy, at(0)).unwrap()).collect();
        assert_eq!(take_all(&rates, Some("+49 1"), &policy, 60), (5, 60));
        for taken in late {
            rates.give_back(taken);
            assert_eq!(take_all(&rates, Some("+49 1"), &policy, 60), (0, 60));
        }
    }

    #[test]
    fn groups_are_apart_and_a_refusal_of_one_takes_nothing_of_the_other() {
        let policy = Policy::new().sends_in_process(5, MINUTE).sends_per_prefix(3, 2, MINUTE);
        let rates = Rates::default();
        assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 60));
        assert_eq!(take_all(&rates, Some("+49 2"), &policy, 0), (0, 60), "the same group");
        assert_eq!(take_all(&rates, Some("+43 1"), &policy, 0), (2, 60), "another");
        assert_eq!(take_all(&rates, Some("ü"), &policy, 10), (1, 50), "one was left in the process");
        assert_eq!(take_all(&rates, Some("ü"), &policy, 60), (1, 10), "and the group has lost one only");
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let policy = Policy::new().sends_in_process(2, MINUTE).sends_per_prefix(3, 2, MINUTE);
        let rates = Rates::default();
        for _ in 0..10 {
            let taken = rates.take(Some("+49 1"), &policy, at(0)).unwrap();
            rates.give_back(taken);
        }
        assert_eq!(groups(&rates), 0, "an empty group is not kept");
        assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 60));
    }

    #[test]
    fn the_earlier_of_two_requests_may_come_second() {
        let (rates, policy) = (Rates::default(), Policy::new().sends_in_process(2, MINUTE));
        assert!(rates.take(None, &policy, at(50)).is_ok());
        let second = rates.take(None, &policy, at(20)).unwrap();
        assert_eq!(take_all(&rates, None, &policy, 81), (0, 29));
        rates.give_back(second);
        assert_eq!(take_all(&rates, None, &policy, 81), (1, 29));
    }

    #[test]
    fn recipients_without_a_name_are_one_group() {
        let (rates, policy) = (Rates::default(), Policy::new().sends_per_prefix(3, 2, MINUTE));
        assert_eq!(take_all(&rates, None, &policy, 0), (2, 60));
        assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 60));
    }

    #[test]
    fn groups_are_bounded_and_what_cannot_be_counted_is_refused() {
        let policy = Policy::new().sends_per_prefix(8, 1, MINUTE);
        let rates = Rates::default();
        for group in 0..GROUPS {
            assert!(rates.take(Some(&format!("{group:08}")), &policy, at(group as u64 / 50_000)).is_ok());
        }
        let refused = rates.take(Some("new"), &policy, at(1)).unwrap_err();
        let first_leaves = Duration::from_secs(59);
        assert_eq!((refused.limit, refused.window, refused.wait), (1, Some(MINUTE), first_leaves));
        assert_eq!(groups(&rates), GROUPS);
        assert!(rates.take(Some("00000000"), &policy, at(1)).is_err(), "those that are kept go on counting");
        assert!(rates.take(Some("00000000"), &policy, at(60)).is_ok(), "and need no room");
        for (new, kept) in [("new 1", GROUPS - 1), ("new 2", GROUPS - 2)] {
            assert!(rates.take(Some(new), &policy, at(60)).is_ok());
            assert_eq!(groups(&rates), kept, "each removes two that have left the window");
        }
        assert!(rates.take(Some("00000000"), &policy, at(60)).is_err(), "and none that is in use");
    }

    /// What is given back from the middle of a group's window leaves the group findable by its newest.
    #[test]
    fn a_group_is_kept_as_long_as_its_newest_counts() {
        let (rates, policy) = (Rates::default(), Policy::new().sends_per_prefix(3, 2, MINUTE));
        let first = rates.take(Some("+49 1"), &policy, at(0)).unwrap();
        let second = rates.take(Some("+49 1"), &policy, at(30)).unwrap();
        rates.give_back(first);
        assert_eq!(groups(&rates), 1);
        assert!(rates.take(Some("+43 1"), &policy, at(61)).is_ok());
        assert_eq!(groups(&rates), 2, "the second counts");
        rates.give_back(second);
        assert!(rates.take(Some("+44 1"), &policy, at(121)).is_ok());
        assert_eq!(groups(&rates), 1);
    }
}
