//! A shared store that loses records: restarted empty, or failed over to a replica that lagged. It does not raise the
//! limit of attempts within one process (T24).

use testkit::{FaultyStore, alice};
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, StepUp, discard};

use super::{passes, secs};

const RIGHT: &str = "123456";
const WRONG: &str = "000000";

fn node(store: &FaultyStore, clock: &ManualClock) -> StepUp {
    let policy = Policy::new().wrong_codes_a_day(12).lockout_every(10).store_deadline(secs(10));
    let builder = StepUp::builder().sandbox().otp("SMS", discard).policy(policy).clock(clock.clone());
    store.on(builder).build().unwrap()
}

/// Starts a code and tries five wrong ones; returns how many were compared.
async fn guesses(node: &StepUp, clock: &ManualClock) -> usize {
    clock.advance(secs(400));
    if node.start_otp(&alice(), "SMS", None).await.is_err() {
        return 0;
    }
    let mut compared = 0;
    for _ in 0..5 {
        compared += usize::from(super::was_wrong(&node.verify_otp(&alice(), "SMS", WRONG).await));
    }
    compared
}

#[tokio::test]
async fn wrong_codes_are_remembered_by_each_process() {
    let (store, clock) = (FaultyStore::default(), ManualClock::new());
    let (first, second) = (node(&store, &clock), node(&store, &clock));
    for (node, name) in [(&first, "one process"), (&second, "another process counts separately")] {
        let mut compared = 0;
        for _ in 0..10 {
            compared += guesses(node, &clock).await;
            store.forget();
        }
        assert_eq!(compared, 12, "the limit of a day: {name}");
    }
    first.unlock("alice").await.unwrap();
    assert_eq!(guesses(&first, &clock).await, 5, "unlocking clears the remembered attempts, too");
}

#[tokio::test]
async fn a_right_code_is_not_counted() {
    let (store, clock) = (FaultyStore::default(), ManualClock::new());
    let node = node(&store, &clock);
    for round in 0..20 {
        node.start_otp(&alice(), "SMS", None).await.unwrap();
        node.verify_otp(&alice(), "SMS", RIGHT).await.unwrap_or_else(|error| panic!("{round}: {error}"));
        assert!(passes(&node, &alice()).await);
        store.forget();
    }
    assert_eq!(node.verify_otp(&alice(), "SMS", RIGHT).await, Err(ChallengeError::StateInvalid), "the code is gone");
}

/// Not remembered by a process, only in the store: locks by the application, failures in a row, and messages.
#[tokio::test]
async fn everything_else_is_lost_with_the_store() {
    let (store, clock) = (FaultyStore::default(), ManualClock::new());
    let node = node(&store, &clock);
    let start = async |session: usize| node.start_otp(&Caller::user("alice").session(session), "SMS", None).await;
    for session in 0..3 {
        start(session).await.unwrap();
    }
    assert!(matches!(start(3).await, Err(ChallengeError::RateLimited(limit)) if limit.limit == 3));
    store.forget();
    start(3).await.unwrap();
    for _ in 0..5 {
        assert!(super::was_wrong(&node.verify_otp(&Caller::user("alice").session("3"), "SMS", WRONG).await));
    }
    start(4).await.unwrap();
    for _ in 0..5 {
        assert!(super::was_wrong(&node.verify_otp(&Caller::user("alice").session("4"), "SMS", WRONG).await));
    }
    assert!(matches!(start(5).await, Err(ChallengeError::RateLimited(limit)) if limit.limit == 10), "ten in a row");
    node.lock("alice").await.unwrap();
    store.forget();
    start(5).await.unwrap();
}
