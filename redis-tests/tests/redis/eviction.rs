//! A server that evicts records loses locks: a node reports that, and continues.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_step_up::{
    Caller, Event, ManualClock, Policy, Requirement, StepUp,
    store::{RedisStore, Store as _, StoreWarning},
};

use crate::{
    secured::{PASSWORD, make_user},
    server::{Server, until},
};

fn evicts(policy: &str) -> Result<(), StoreWarning> {
    Err(StoreWarning::Evicts { policy: policy.into() })
}

/// The store warnings and store errors of a node, in full.
#[derive(Clone, Default)]
struct Reported(Arc<Mutex<Vec<String>>>);

impl Reported {
    fn node(&self, address: &str, clock: &ManualClock) -> StepUp {
        let reported = self.clone();
        let policy = Policy::new().store_deadline(Duration::from_secs(10));
        Server::builder_at(address, policy)
            .clock(clock.clone())
            .observe(move |event: &Event<'_>| match event {
                Event::StoreWarning { warning, .. } => reported.0.lock().unwrap().push(warning.to_string()),
                Event::StoreFailed { error, .. } => reported.0.lock().unwrap().push(error.to_string()),
                _ => {}
            })
            .build()
            .unwrap()
    }

    fn reported(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Asserts that a user can step up and pass.
async fn passes(node: &StepUp, user: &str) {
    let caller = Caller::user(user).session("1");
    node.start_otp(&caller, "SMS", None).await.unwrap();
    node.verify_otp(&caller, "SMS", "123456").await.unwrap();
    for _ in 0..50 {
        node.authorize(&caller, &Requirement::new()).await.unwrap();
    }
}

#[tokio::test]
async fn every_policy_but_one_is_reported_once() {
    for policy in ["allkeys-lru", "volatile-ttl", "noeviction"] {
        let server = Server::with(&["--maxmemory-policy", policy]);
        let expected = if policy == "noeviction" { Ok(()) } else { evicts(policy) };
        assert_eq!(server.store().check().await, expected);

        let (reported, clock) = (Reported::default(), ManualClock::new());
        let node = reported.node(&server.address(), &clock);
        passes(&node, "alice").await;
        if expected.is_err() {
            until(async || !reported.reported().is_empty()).await;
        }
        clock.advance(Duration::from_secs(2 * 60 * 60));
        passes(&node, "bob").await;
        // Time for any late event.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let reported = reported.reported();
        assert_eq!(reported.len(), usize::from(expected.is_err()), "{policy}: {reported:?}");
        for reported in reported {
            assert!(reported.contains(policy) && reported.contains("set maxmemory-policy noeviction"), "{reported}");
        }
    }
}

#[tokio::test]
async fn a_user_with_one_of_the_two_rights_is_enough() {
    for (right, without) in [("+info", "-config|get"), ("+config|get", "-info")] {
        let server = Server::with(&["--maxmemory-policy", "allkeys-lfu"]);
        make_user(&server, &[right, without]);
        let address = format!("redis://step-up:{PASSWORD}@127.0.0.1:{}/", server.port());
        assert_eq!(RedisStore::open(&*address).unwrap().check().await, evicts("allkeys-lfu"), "{right}");
    }
}

#[tokio::test]
async fn without_either_right_it_is_unknown_and_checked_again_after_a_minute() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lru"]);
    make_user(&server, &["-info"]);
    let address = format!("redis://step-up:{PASSWORD}@127.0.0.1:{}/", server.port());
    let (reported, clock) = (Reported::default(), ManualClock::new());
    let node = reported.node(&address, &clock);
    passes(&node, "alice").await;
    until(async || reported.reported().len() == 1).await;
    clock.advance(Duration::from_secs(59));
    passes(&node, "bob").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reported.reported().len(), 1, "{:?}", reported.reported());
    clock.advance(Duration::from_secs(1));
    passes(&node, "carol").await;
    until(async || reported.reported().len() == 2).await;
    let is_it = |reported: &String| {
        reported.contains("did not say") && reported.contains("NOPERM") && !reported.contains("canary")
    };
    assert!(reported.reported().iter().all(is_it), "{:?}", reported.reported());
}
