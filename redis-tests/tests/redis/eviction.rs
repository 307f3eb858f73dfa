//! A server that evicts records when its memory is full forgets locks: a node says so, and goes on.

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

/// What a node has told of its store's configuration, in full, and how its store failed.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn node(&self, address: &str, clock: &ManualClock) -> StepUp {
        let told = self.clone();
        let policy = Policy::new().store_deadline(Duration::from_secs(10));
        Server::builder_at(address, policy)
            .clock(clock.clone())
            .observe(move |event: &Event<'_>| match event {
                Event::StoreWarning { warning, .. } => told.0.lock().unwrap().push(warning.to_string()),
                Event::StoreFailed { error, .. } => told.0.lock().unwrap().push(error.to_string()),
                _ => {}
            })
            .build()
            .unwrap()
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A user is stepped up: each request passes.
async fn goes_on(node: &StepUp, user: &str) {
    let caller = Caller::user(user).session("1");
    node.start_otp(&caller, "SMS", None).await.unwrap();
    node.verify_otp(&caller, "SMS", "123456").await.unwrap();
    for _ in 0..50 {
        node.authorize(&caller, &Requirement::new()).await.unwrap();
    }
}

#[tokio::test]
async fn every_policy_but_one_is_told_once() {
    for policy in ["allkeys-lru", "volatile-ttl", "noeviction"] {
        let server = Server::with(&["--maxmemory-policy", policy]);
        let expected = if policy == "noeviction" { Ok(()) } else { evicts(policy) };
        assert_eq!(server.store().check().await, expected);

        let (told, clock) = (Told::default(), ManualClock::new());
        let node = told.node(&server.address(), &clock);
        goes_on(&node, "alice").await;
        if expected.is_err() {
            until(async || !told.told().is_empty()).await;
        }
        clock.advance(Duration::from_secs(2 * 60 * 60));
        goes_on(&node, "bob").await;
        // Whatever is still on its way would come by now.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let told = told.told();
        assert_eq!(told.len(), usize::from(expected.is_err()), "{policy}: {told:?}");
        for told in told {
            assert!(told.contains(policy) && told.contains("set maxmemory-policy noeviction"), "{told}");
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
async fn without_either_right_it_is_unknown_and_asked_for_again_after_a_minute() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lru"]);
    make_user(&server, &["-info"]);
    let address = format!("redis://step-up:{PASSWORD}@127.0.0.1:{}/", server.port());
    let (told, clock) = (Told::default(), ManualClock::new());
    let node = told.node(&address, &clock);
    goes_on(&node, "alice").await;
    until(async || told.told().len() == 1).await;
    clock.advance(Duration::from_secs(59));
    goes_on(&node, "bob").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(told.told().len(), 1, "{:?}", told.told());
    clock.advance(Duration::from_secs(1));
    goes_on(&node, "carol").await;
    until(async || told.told().len() == 2).await;
    let is_it = |told: &String| told.contains("did not say") && told.contains("NOPERM") && !told.contains("canary");
    assert!(told.told().iter().all(is_it), "{:?}", told.told());
}
