//! One-time grants while the store fails (T24): nothing passes, and a grant is consumed only if the store's response
//! was lost.

use std::convert::Infallible;

use axum::{body::Body, response::Response};
use http::Request;
use testkit::{Fails, FaultyStore};
use tower::Service;
use tower_step_up::{AuthorizeError, ChallengeError, ManualClock, Refusal, Requirement};

use super::{
    alice,
    app::oneshot,
    get, grant,
    once::{Passed, guarded, passes},
    remote,
    replays::approved,
};

fn once() -> Requirement {
    Requirement::new().once()
}

/// Which operation fails (the load, then the swap) and how, and the response to the next request.
#[tokio::test]
async fn one_operation_fails() {
    let table = [
        (0, Fails::Undone, "200"),
        (0, Fails::Unanswered, "200"),
        (1, Fails::Undone, "200"),
        (1, Fails::Unanswered, "403 spent"),
    ];
    for (skip, how, next) in table {
        let (clock, store, passed) = (ManualClock::new(), FaultyStore::default(), Passed::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let guard = guarded(&step_up, once(), &passed);
        fails_once(guard, &store, &passed, skip, how, next).await;
        let passed = Passed::default();
        let bound = approved(&step_up, &alice(), &passed).await;
        fails_once(bound, &store, &passed, skip, how, next).await;
    }
}

async fn fails_once<T>(guard: T, store: &FaultyStore, passed: &Passed, skip: usize, how: Fails, next: &str)
where
    T: Service<Request<Body>, Response = Response, Error = Infallible> + Clone,
{
    store.fail_after(skip, how);
    let refused = oneshot(guard.clone(), get(&alice())).await;
    assert_eq!(refused.summary(), "503 UNAVAILABLE", "{skip} {how:?}");
    assert_eq!(refused.refusal, Some(Refusal::Unavailable));
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(!store.fail_no_more(), "{skip} {how:?}: it has failed");
    assert_eq!(passes(passed), 0, "{skip} {how:?}");
    assert_eq!(oneshot(guard.clone(), get(&alice())).await.summary(), next, "{skip} {how:?}");
    assert_eq!(oneshot(guard, get(&alice())).await.summary(), "403 spent", "{skip} {how:?}");
}

#[tokio::test(start_paused = true)]
async fn the_store_is_down_or_stuck() {
    for set in [FaultyStore::set_down as fn(&FaultyStore, bool), FaultyStore::set_stuck] {
        let (clock, store, passed) = (ManualClock::new(), FaultyStore::default(), Passed::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let guard = guarded(&step_up, once(), &passed);
        set(&store, true);
        for _ in 0..3 {
            assert_eq!(oneshot(guard.clone(), get(&alice())).await.summary(), "503 UNAVAILABLE");
            assert_eq!(step_up.authorize(&alice(), &once()).await, Err(AuthorizeError::Unavailable));
        }
        set(&store, false);
        assert_eq!(passes(&passed), 0);
        assert_eq!(oneshot(guard, get(&alice())).await.summary(), "200", "no grant was consumed");
    }
}

/// If restoring fails, at most one more request passes.
#[tokio::test]
async fn restoring_fails() {
    // Load of the user's record, load of the session's, and the swap.
    let table = [
        (0, Fails::Undone, false),
        (1, Fails::Undone, false),
        (2, Fails::Undone, false),
        (0, Fails::Unanswered, false),
        (1, Fails::Unanswered, false),
        (2, Fails::Unanswered, true),
    ];
    for (skip, how, is_live) in table {
        let (clock, store) = (ManualClock::new(), FaultyStore::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let spent = step_up.authorize(&alice(), &once()).await.unwrap();
        store.fail_after(skip, how);
        assert_eq!(spent.restore().await, Err(ChallengeError::Unavailable), "{skip} {how:?}");
        assert!(!store.fail_no_more(), "{skip} {how:?}: it has failed");
        assert_eq!(spent.restore().await, Ok(!is_live), "{skip} {how:?}: it can be retried");
        assert!(step_up.authorize(&alice(), &once()).await.is_ok(), "{skip} {how:?}");
        assert!(step_up.authorize(&alice(), &once()).await.is_err(), "{skip} {how:?}");
        assert_eq!(spent.restore().await, Ok(false), "{skip} {how:?}");
    }
}

/// A revocation of all sessions that fails half-way leaves some sessions their grants; consumed grants are not restored
/// from its first swap on.
#[tokio::test]
async fn a_revocation_fails_half_way() {
    // The user's record and its swap, the record again, the session's and its swap. The first swap starts a new
    // generation.
    for (skip, restored) in [(0, true), (1, true), (2, false), (3, false), (4, false)] {
        let (clock, store) = (ManualClock::new(), FaultyStore::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let spent = step_up.authorize(&alice(), &once()).await.unwrap();
        store.fail_after(skip, Fails::Undone);
        assert_eq!(step_up.revoke_all("alice").await, Err(ChallengeError::Unavailable), "{skip}");
        assert!(!store.fail_no_more(), "{skip}: it has failed");
        assert_eq!(spent.restore().await, Ok(restored), "{skip}");
        assert_eq!(step_up.authorize(&alice(), &once()).await.is_ok(), restored, "{skip}");
    }
}
