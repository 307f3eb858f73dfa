use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use serde_json::json;
use tower_step_up::ManualClock;

use self::example::Ledger;
use testkit::client::{Client, refused};

#[path = "../../../examples/one_time.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

#[tokio::test]
async fn restored_before_an_effect_and_consumed_after_one() {
    let (clock, ledger) = (ManualClock::new(), Arc::<Ledger>::default());
    let app = example::app(clock.clone(), Arc::clone(&ledger)).unwrap();
    let alice = Client::new(&app, "alice-1");
    assert_eq!(alice.post("/transfers").await.why(), refused("missing"));
    alice.step_up_in_the_sandbox(&json!({})).await;

    alice.post("/ledger/break").await;
    assert_eq!(alice.post("/transfers").await.status, 503);
    alice.post("/ledger/mend").await;
    assert_eq!(alice.post("/transfers").await.body, "paid, number 1\n");
    assert_eq!(alice.post("/transfers").await.why(), refused("spent"));

    clock.advance(Duration::from_secs(20));
    alice.step_up_in_the_sandbox(&json!({})).await;
    ledger.no_receipts.store(true, SeqCst);
    assert_eq!(alice.post("/transfers").await.status, 500);
    ledger.no_receipts.store(false, SeqCst);
    assert_eq!(alice.post("/transfers").await.why(), refused("spent"), "it failed after it had paid");
    assert_eq!(ledger.paid.load(SeqCst), 2);
}

/// A ledger that stays down is called twice, not forever.
#[tokio::test]
async fn restored_once() {
    let app = example::app(ManualClock::new(), Arc::default()).unwrap();
    let alice = Client::new(&app, "alice-1");
    alice.step_up_in_the_sandbox(&json!({})).await;
    alice.post("/ledger/break").await;
    for _ in 0..2 {
        assert_eq!(alice.post("/transfers").await.status, 503);
    }
    assert_eq!(alice.post("/transfers").await.why(), refused("spent"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_requests_one_is_paid() {
    let ledger = Arc::<Ledger>::default();
    let app = example::app(ManualClock::new(), Arc::clone(&ledger)).unwrap();
    let alice = Client::new(&app, "alice-1");
    alice.step_up_in_the_sandbox(&json!({})).await;
    let many = (0..16).map(|_| {
        let alice = alice.clone();
        tokio::spawn(async move { alice.post("/transfers").await.status })
    });
    let mut passed = 0;
    for one in many.collect::<Vec<_>>() {
        passed += usize::from(one.await.unwrap() == 200);
    }
    assert_eq!((passed, ledger.paid.load(SeqCst)), (1, 1));
}
