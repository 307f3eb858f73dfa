//! Tests of the limits on what one process sends.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + secs * 1000)
}

/// How many can be taken, and for how many seconds the next is refused.
fn take_all(rates: &RateLimits, recipient: Option<&str>, policy: &Policy, now: u64) -> (u32, u64) {
    for taken in 0..10_000 {
        if let Err(limit) = rates.take(recipient, policy, at(now)) {
            return (taken, limit.wait.as_secs());
        }
    }
    (10_000, 0)
}

/// How many groups are kept, with the index by newest time consistent.
fn groups(rates: &RateLimits) -> usize {
    let groups = &rates.0.lock().unwrap().groups;
    assert_eq!(groups.windows.len(), groups.by_newest.len());
    groups.windows.len()
}

#[test]
fn the_limit_at_once_and_again_when_the_oldest_leaves_the_window() {
    let (rates, policy) = (RateLimits::default(), Policy::new().sends_in_process(6, MINUTE));
    for (now, expected) in [(0, (6, 60)), (10, (0, 50)), (59, (0, 1)), (60, (6, 60)), (10_000, (6, 60))] {
        assert_eq!(take_all(&rates, None, &policy, now), expected, "after {now} s");
    }
    assert_eq!(take_all(&RateLimits::default(), None, &Policy::new(), 0), (10_000, 0), "off unless set");
}

#[test]
fn each_leaves_the_window_by_itself() {
    let (rates, policy) = (RateLimits::default(), Policy::new().sends_in_process(2, MINUTE));
    assert!(rates.take(None, &policy, at(0)).is_ok());
    assert!(rates.take(None, &policy, at(40)).is_ok());
    assert_eq!(take_all(&rates, None, &policy, 59), (0, 1));
    assert_eq!(take_all(&rates, None, &policy, 60), (1, 40));
    assert_eq!(take_all(&rates, None, &policy, 100), (1, 20));
}

/// B11: returning an entry that has left the window makes no room.
#[test]
fn no_window_holds_more_than_the_limit_whatever_is_given_back() {
    let policy = Policy::new().sends_in_process(5, MINUTE).sends_per_prefix(3, 5, MINUTE);
    let rates = RateLimits::default();
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
    let rates = RateLimits::default();
    assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 60));
    assert_eq!(take_all(&rates, Some("+49 2"), &policy, 0), (0, 60), "the same group");
    assert_eq!(take_all(&rates, Some("+43 1"), &policy, 0), (2, 60), "another");
    assert_eq!(take_all(&rates, Some("ü"), &policy, 10), (1, 50), "one was left in the process");
    assert_eq!(take_all(&rates, Some("ü"), &policy, 60), (1, 10), "and the group has lost one only");
}

#[test]
fn what_was_not_sent_is_given_back() {
    let policy = Policy::new().sends_in_process(2, MINUTE).sends_per_prefix(3, 2, MINUTE);
    let rates = RateLimits::default();
    for _ in 0..10 {
        let taken = rates.take(Some("+49 1"), &policy, at(0)).unwrap();
        rates.give_back(taken);
    }
    assert_eq!(groups(&rates), 0, "an empty group is not kept");
    assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 60));
}

#[test]
fn the_earlier_of_two_requests_may_come_second() {
    let (rates, policy) = (RateLimits::default(), Policy::new().sends_in_process(2, MINUTE));
    assert!(rates.take(None, &policy, at(50)).is_ok());
    let second = rates.take(None, &policy, at(20)).unwrap();
    assert_eq!(take_all(&rates, None, &policy, 81), (0, 29));
    rates.give_back(second);
    assert_eq!(take_all(&rates, None, &policy, 81), (1, 29));
}

#[test]
fn recipients_without_a_name_are_one_group() {
    let (rates, policy) = (RateLimits::default(), Policy::new().sends_per_prefix(3, 2, MINUTE));
    assert_eq!(take_all(&rates, None, &policy, 0), (2, 60));
    assert_eq!(take_all(&rates, Some("+49 1"), &policy, 0), (2, 60));
}

#[test]
fn groups_are_bounded_and_what_cannot_be_counted_is_refused() {
    let policy = Policy::new().sends_per_prefix(8, 1, MINUTE);
    let rates = RateLimits::default();
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

/// Returning an entry from the middle of a group's window leaves the index by newest time consistent.
#[test]
fn a_group_is_kept_as_long_as_its_newest_counts() {
    let (rates, policy) = (RateLimits::default(), Policy::new().sends_per_prefix(3, 2, MINUTE));
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
