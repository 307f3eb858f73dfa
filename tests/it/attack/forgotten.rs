//! A store outside that forgets: restarted empty, or failed over to a replica that lagged. It gives nobody a second
//! limit of guesses, as far as this process goes (T24).

use testkit::{Elsewhere, alice};
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, Secret, StepUp, discard};

use super::{passes, secs};

const RIGHT: &str = "123456";
const WRONG: &str = "000000";

fn node(store: &Elsewhere, clock: &ManualClock) -> StepUp {
    let policy = Policy::new().wrong_codes_a_day(12).lockout_every(10).store_deadline(secs(10));
    let builder = StepUp::builder().sandbox().otp("SMS", discard).policy(policy).clock(clock.clone());
    builder
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([7; 32]).unwrap())
        .build()
        .unwrap()
}

/// A code and five guesses, and how many of them were compared.
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
    let (store, clock) = (Elsewhere::default(), ManualClock::new());
    let (first, second) = (node(&store, &clock), node(&store, &clock));
    for (node, name) in [(&first, "one process"), (&second, "another has its own")] {
        let mut compared = 0;
        for _ in 0..10 {
            compared += guesses(node, &clock).await;
            store.forget();
        }
        assert_eq!(compared, 12, "the limit of a day: {name}");
    }
    first.unlock("alice").await.unwrap();
    assert_eq!(guesses(&first, &clock).await, 5, "the application's word counts for what is remembered, too");
}

#[tokio::test]
async fn a_right_code_is_no_guess() {
    let (store, clock) = (Elsewhere::default(), ManualClock::new());
    let node = node(&store, &clock);
    for round in 0..20 {
        node.start_otp(&alice(), "SMS", None).await.unwrap();
        node.verify_otp(&alice(), "SMS", RIGHT).await.unwrap_or_else(|error| panic!("{round}: {error}"));
        assert!(passes(&node, &alice()).await);
        store.forget();
    }
    assert_eq!(node.verify_otp(&alice(), "SMS", RIGHT).await, Err(ChallengeError::StateInvalid), "nothing is left");
}

/// What no process remembers: the application's lock, failures in a row and messages. They are only in the store.
#[tokio::test]
async fn the_rest_is_forgotten_with_the_store() {
    let (store, clock) = (Elsewhere::default(), ManualClock::new());
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
