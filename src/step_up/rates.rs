//! What one process sends at most, in all and to each group of recipients: buckets that refill evenly.
//!
//! Each is kept as the one moment at which it is full again (the generic cell rate algorithm, ITU-T I.371): taking one
//! puts it off, giving one back brings it nearer. The crates that have it give nothing back.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    error::RateLimit,
    policy::{Policy, Rate},
};

/// Groups that are kept at most. Where they are all in use, another is not counted by itself: the process's own rate
/// bounds the sum.
const GROUPS: usize = 100_000;

/// The buckets of one process.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    process: Full,
    groups: HashMap<Box<str>, Full>,
}

/// Nanoseconds since the epoch at which a bucket is full again.
type Full = u128;

/// What was taken, to be given back where nothing was sent.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Taken {
    process: bool,
    group: Option<Box<str>>,
}

impl Rates {
    /// Takes one of each, or none.
    pub(super) fn take(&self, recipient: Option<&str>, policy: &Policy, now: Timestamp) -> Result<Taken, RateLimit> {
        let mut taken = Taken::default();
        if policy.sends_in_process.is_none() && policy.sends_per_prefix.is_none() {
            return Ok(taken);
        }
        // Whoever panicked here left numbers, and each of them is one that can stand.
        let buckets = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = nanos(Duration::from_millis(now.as_millis()));
        let process = policy.sends_in_process.map(|rate| after(buckets.process, rate, now)).transpose()?;
        if let (Some((characters, rate)), Some(recipient)) = (policy.sends_per_prefix, recipient) {
            let group: Box<str> = recipient.chars().take(characters.into()).collect();
            let full = after(buckets.groups.get(&group).copied().unwrap_or(0), rate, now)?;
            if buckets.groups.len() >= GROUPS {
                buckets.groups.retain(|_, full| *full > now);
            }
            if buckets.groups.len() < GROUPS || buckets.groups.contains_key(&group) {
                buckets.groups.insert(group.clone(), full);
                taken.group = Some(group);
            }
        }
        if let Some(full) = process {
            buckets.process = full;
            taken.process = true;
        }
        Ok(taken)
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, taken: Taken, policy: &Policy) {
        let buckets = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = policy.sends_in_process.filter(|_| taken.process) {
            buckets.process = buckets.process.saturating_sub(interval(rate));
        }
        let full = taken.group.and_then(|group| buckets.groups.get_mut(&group));
        if let (Some((_, rate)), Some(full)) = (policy.sends_per_prefix, full) {
            *full = full.saturating_sub(interval(rate));
        }
    }
}

/// When a bucket is full again if one is taken now.
fn after(full: Full, rate: Rate, now: u128) -> Result<Full, RateLimit> {
    let full = full.max(now).saturating_add(interval(rate));
    match full.saturating_sub(now).saturating_sub(nanos(rate.per)) {
        0 => Ok(full),
        wait => {
            let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
            Err(RateLimit { limit: rate.sends, window: Some(rate.per), wait })
        }
    }
}

/// How long one takes to come back.
fn interval(rate: Rate) -> u128 {
    nanos(rate.per) / u128::from(rate.sends.max(1))
}

fn nanos(duration: Duration) -> u128 {
    duration.as_nanos()
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

    #[test]
    fn so_many_at_once_and_as_many_again_evenly() {
        let (rates, policy) = (Rates::default(), Policy::new().sends_in_process(6, MINUTE));
        assert_eq!(take_all(&rates, None, &policy, 0), (6, 10));
        assert_eq!(take_all(&rates, Some("+49 1"), &policy, 9), (0, 1));
        assert_eq!(take_all(&rates, None, &policy, 10), (1, 10));
        assert_eq!(take_all(&rates, None, &policy, 40), (3, 10));
        assert_eq!(take_all(&rates, None, &policy, 10_000), (6, 10), "and no more than full");
        assert_eq!(take_all(&Rates::default(), None, &Policy::new(), 0), (10_000, 0), "off unless set");
    }

    #[test]
    fn groups_are_apart_and_a_refusal_of_one_takes_nothing_of_the_other() {
        let policy = Policy::new().sends_in_process(5, MINUTE).sends_per_prefix(3, 2, MINUTE);
        let rates = Rates::default();
        assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 30));
        assert_eq!(take_all(&rates, Some("+49 2"), &policy, 0), (0, 30), "the same group");
        assert_eq!(take_all(&rates, Some("+43 1"), &policy, 0), (2, 30), "another");
        assert_eq!(take_all(&rates, Some("ü"), &policy, 0), (1, 12), "one was left in the process");
        assert_eq!(take_all(&rates, Some("ü"), &policy, 12), (1, 12), "and the group has lost one only");
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let policy = Policy::new().sends_in_process(2, MINUTE).sends_per_prefix(3, 2, MINUTE);
        let rates = Rates::default();
        for _ in 0..10 {
            let taken = rates.take(Some("+49 1"), &policy, at(0)).unwrap();
            rates.give_back(taken, &policy);
        }
        assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 30));
    }

    #[test]
    fn groups_are_bounded() {
        let policy = Policy::new().sends_per_prefix(8, 1, MINUTE);
        let rates = Rates::default();
        let groups = || rates.0.lock().unwrap().groups.len();
        for group in 0..=GROUPS {
            assert!(rates.take(Some(&format!("{group:08}")), &policy, at(0)).is_ok());
        }
        assert_eq!(groups(), GROUPS);
        assert!(rates.take(Some("00000000"), &policy, at(0)).is_err(), "those that are kept go on counting");
        assert!(rates.take(Some("new"), &policy, at(60)).is_ok());
        assert_eq!(groups(), 1, "and go when they are full");
    }
}
