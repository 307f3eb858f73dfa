//! What is spent while the store fails (T24): nothing passes, and nothing is spent but where its answer was lost.

use std::convert::Infallible;

use axum::{body::Body, response::Response};
use http::Request;
use testkit::{Elsewhere, Fails};
use tower::Service;
use tower_step_up::{AuthorizeError, ChallengeError, ManualClock, Refusal, Requirement};

use super::{
    alice,
    app::hear,
    get, grant,
    once::{Passed, guarded, passes},
    remote,
    replays::approved,
};

fn once() -> Requirement {
    Requirement::new().once()
}

/// Which operation fails and how (a load comes first, then the swap), and what the next request is told.
#[tokio::test]
async fn one_operation_fails() {
    let table = [
        (0, Fails::Undone, "200"),
        (0, Fails::Unanswered, "200"),
        (1, Fails::Undone, "200"),
        (1, Fails::Unanswered, "403 spent"),
    ];
    for (skip, how, next) in table {
        let (clock, store, passed) = (ManualClock::new(), Elsewhere::default(), Passed::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let guard = guarded(&step_up, once(), &passed);
        fails_once(guard, &store, &passed, skip, how, next).await;
        let passed = Passed::default();
        let bound = approved(&step_up, &alice(), &passed).await;
        fails_once(bound, &store, &passed, skip, how, next).await;
    }
}

async fn fails_once<T>(guard: T, store: &Elsewhere, passed: &Passed, skip: usize, how: Fails, next: &str)
where
    T: Service<Request<Body>, Response = Response, Error = Infallible> + Clone,
{
    store.fail_after(skip, how);
    let refused = hear(guard.clone(), get(&alice())).await;
    assert_eq!(refused.says(), "503 UNAVAILABLE", "{skip} {how:?}");
    assert_eq!(refused.refusal, Some(Refusal::Unavailable));
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(!store.fail_no_more(), "{skip} {how:?}: it has failed");
    assert_eq!(passes(passed), 0, "{skip} {how:?}");
    assert_eq!(hear(guard.clone(), get(&alice())).await.says(), next, "{skip} {how:?}");
    assert_eq!(hear(guard, get(&alice())).await.says(), "403 spent", "{skip} {how:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_down_or_stuck_for_a_while() {
    for set in [Elsewhere::set_down as fn(&Elsewhere, bool), Elsewhere::set_stuck] {
        let (clock, store, passed) = (ManualClock::new(), Elsewhere::default(), Passed::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let guard = guarded(&step_up, once(), &passed);
        set(&store, true);
        for _ in 0..3 {
            assert_eq!(hear(guard.clone(), get(&alice())).await.says(), "503 UNAVAILABLE");
            assert_eq!(step_up.authorize(&alice(), &once()).await, Err(AuthorizeError::Unavailable));
        }
        set(&store, false);
        assert_eq!(passes(&passed), 0);
        assert_eq!(hear(guard, get(&alice())).await.says(), "200", "nothing was spent");
    }
}

/// Where giving back fails, at most one request more passes, and never two.
#[tokio::test]
async fn giving_back_fails() {
    // The user's record, the session's, and the swap.
    let table = [
        (0, Fails::Undone, false),
        (1, Fails::Undone, false),
        (2, Fails::Undone, false),
        (0, Fails::Unanswered, false),
        (1, Fails::Unanswered, false),
        (2, Fails::Unanswered, true),
    ];
    for (skip, how, is_live) in table {
        let (clock, store) = (ManualClock::new(), Elsewhere::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let spent = step_up.authorize(&alice(), &once()).await.unwrap();
        store.fail_after(skip, how);
        assert_eq!(spent.restore().await, Err(ChallengeError::Unavailable), "{skip} {how:?}");
        assert!(!store.fail_no_more(), "{skip} {how:?}: it has failed");
        assert_eq!(spent.restore().await, Ok(!is_live), "{skip} {how:?}: it can be tried again");
        assert!(step_up.authorize(&alice(), &once()).await.is_ok(), "{skip} {how:?}");
        assert!(step_up.authorize(&alice(), &once()).await.is_err(), "{skip} {how:?}");
        assert_eq!(spent.restore().await, Ok(false), "{skip} {how:?}");
    }
}

/// Where everything was revoked and the store failed half-way, some sessions keep what they have; what was spent is
/// not given back there.
#[tokio::test]
async fn a_revocation_fails_half_way() {
    // The user's record and its swap, the record again, the session's and its swap. From the first swap on it is
    // another generation.
    for (skip, gives) in [(0, true), (1, true), (2, false), (3, false), (4, false)] {
        let (clock, store) = (ManualClock::new(), Elsewhere::default());
        let step_up = remote(&clock, &store);
        grant(&step_up, &alice(), "KEY").await;
        let spent = step_up.authorize(&alice(), &once()).await.unwrap();
        store.fail_after(skip, Fails::Undone);
        assert_eq!(step_up.revoke_all("alice").await, Err(ChallengeError::Unavailable), "{skip}");
        assert!(!store.fail_no_more(), "{skip}: it has failed");
        assert_eq!(spent.restore().await, Ok(gives), "{skip}");
        assert_eq!(step_up.authorize(&alice(), &once()).await.is_ok(), gives, "{skip}");
    }
}
