//! Limits on messages sent by one process, in total and per group of recipients: sliding window logs.
//!
//! A window keeps the times of the messages within it, at most as many as its limit, so no interval of that length ever
//! contains more. Returning an entry removes its own time, or nothing once that has left the window: an evenly refilled
//! token bucket would be credited twice for it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::rules::{Limited, Policy, Rate, RateLimit, Timestamp};

#[cfg(test)]
mod tests;

/// Limit of groups. While all of them are in use, a message to another group is refused, since it could not be counted.
const GROUPS: usize = 100_000;

/// The windows of one process.
#[derive(Debug, Default)]
pub(super) struct RateLimits(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    process: Window,
    groups: Groups,
}

/// The windows of the groups that have sent a message recently: none is empty.
///
/// Nothing iterates over all of them under the lock, which takes 2 to 6 ms for 100,000: neither a search for unused
/// ones nor the growth of a hash table.
#[derive(Debug, Default)]
struct Groups {
    windows: BTreeMap<Arc<str>, Window>,
    /// The groups by their newest time: the first becomes unused before the others.
    by_newest: BTreeSet<(u64, Arc<str>)>,
}

/// The times of the messages, oldest first, in milliseconds since the epoch.
#[derive(Debug, Default)]
struct Window(VecDeque<u64>);

/// Entries that were taken, to be returned if nothing is sent.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Taken {
    process: Option<u64>,
    group: Option<(Arc<str>, u64)>,
}

impl RateLimits {
    /// Takes an entry of each configured window, or none. Recipients without an address form one group.
    pub(super) fn take(&self, recipient: Option<&str>, policy: &Policy, now: Timestamp) -> Result<Taken, RateLimit> {
        let mut taken = Taken::default();
        if policy.sends_in_process.is_none() && policy.sends_per_prefix.is_none() {
            return Ok(taken);
        }
        // A panic elsewhere leaves the windows valid.
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

    /// Returns entries that were taken.
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

    /// Removes up to two unused groups, the oldest first: each call adds at most one, so unused groups become fewer.
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

    /// Changes the window of a group; creates it if absent, removes it if empty.
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

    /// Refuses while the window is full, until its oldest entry has left it.
    fn check(&self, rate: Rate, now: u64) -> Result<(), RateLimit> {
        let gone = self.gone(rate, now);
        match self.0.get(gone) {
            Some(oldest) if self.0.len() - gone >= usize::try_from(rate.sends).unwrap_or(usize::MAX) => {
                Err(refusal(*oldest, rate, now))
            }
            _ => Ok(()),
        }
    }

    /// The number of entries that have left the window.
    fn gone(&self, rate: Rate, now: u64) -> usize {
        self.0.partition_point(|at| leaves(*at, rate) <= now)
    }

    /// Adds an entry, never before the newest: of two concurrent requests, the later may take the lock first.
    fn push(&mut self, rate: Rate, now: u64) -> u64 {
        self.0.drain(..self.gone(rate, now));
        let at = self.newest().map_or(now, |newest| now.max(newest));
        self.0.push_back(at);
        at
    }

    /// Removes one entry of that time, if still present: entries of the same millisecond are interchangeable.
    fn remove(&mut self, at: u64) {
        if let Ok(index) = self.0.binary_search(&at) {
            self.0.remove(index);
        }
    }
}

/// The refusal until an entry taken at `at` has left the window.
fn refusal(at: u64, rate: Rate, now: u64) -> RateLimit {
    let wait = Duration::from_millis(leaves(at, rate).saturating_sub(now));
    RateLimit::alone(Limited::Messages, rate.sends, Some(rate.per), wait)
}

/// When an entry taken at `at` leaves the window.
fn leaves(at: u64, rate: Rate) -> u64 {
    at.saturating_add(u64::try_from(rate.per.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}
