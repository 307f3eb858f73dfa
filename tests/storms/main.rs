//! T40: hundreds of concurrent requests of one session. Their store operations grow linearly, none is refused because
//! of the others, and other users are affected no more than by the same load over as many sessions.

mod counted;
mod storm;

use std::time::{Duration, Instant};

use counted::Counted;
use futures_util::future::join_all;
use storm::{Kind, RIGHT};
use testkit::FaultyStore;
#[cfg(feature = "redis")]
use testkit::server::Server;
use tower_step_up::{Caller, Policy, Requirement, Secret, StepUp, Store, discard, store::MemoryStore};

/// Concurrent requests.
const MANY: usize = 600;

/// The maximum of store operations per request, on average.
const EACH: usize = 20;

type World<S> = (StepUp, Counted<S>);

fn world<S: Store + Clone>(store: S) -> World<S> {
    let store = Counted::new(store);
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .push("BIO", discard)
        .proof("PASSKEY")
        // Long, so that a busy machine does not look like a store that is down.
        .policy(Policy::new().store_deadline(Duration::from_secs(10)))
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([7; 32]).unwrap())
        .build()
        .unwrap();
    (step_up, store)
}

/// One session of a new user, repeated for every request.
async fn one_session(kind: Kind, step_up: &StepUp, user: &str, many: usize) -> Vec<(Caller, String)> {
    let caller = Caller::user(user).session("1");
    let push = kind.prepare(step_up, &caller).await;
    vec![(caller, push); many]
}

/// The store operations of a storm; asserts that no request is refused.
async fn cost<S: Store>((step_up, store): &World<S>, kind: Kind, many: usize) -> usize {
    let sessions = one_session(kind, step_up, &format!("{kind:?} {many}"), many).await;
    let before = store.operations();
    let down = kind.at_once(step_up, &sessions).await;
    let cost = store.operations() - before;
    println!("{kind:?}: {many} concurrent requests took {cost} operations, {} each; {down} were refused", cost / many);
    assert_eq!(down, 0, "{kind:?}: refused because of the storm");
    cost
}

/// The store operations per request are bounded, for any number of requests.
async fn costs_are_bounded<S: Store>(world: &World<S>) {
    for kind in Kind::ALL {
        let cost = cost(world, kind, MANY).await;
        assert!(cost <= MANY * EACH, "{kind:?}: {cost} operations");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_are_bounded_in_process() {
    costs_are_bounded(&world(MemoryStore::default())).await;
}

/// On one thread all requests take turns after each operation: the worst case for conflicts, and deterministic.
#[tokio::test(start_paused = true)]
async fn costs_grow_linearly_if_all_take_turns() {
    let world = world(FaultyStore::default());
    for kind in Kind::ALL {
        let (half, all) = (cost(&world, kind, MANY / 2).await, cost(&world, kind, MANY).await);
        assert!(all <= MANY * EACH, "{kind:?}: {all} operations");
        // In some orders they need one more round of two loads and a swap each.
        assert!(5 * all <= 11 * half + 15 * MANY, "{kind:?}: {half} operations, and {all} for twice as many requests");
    }
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis or Valkey server: cargo test --features redis -- --ignored in_redis"]
async fn costs_are_bounded_in_redis() {
    let server = Server::start();
    let world = world(redis(&server));
    costs_are_bounded(&world).await;
    let (calls, operations) = (calls(&server), world.1.operations());
    println!("{operations} operations were {calls} commands");
    // A swap is a script, whose commands are counted, too.
    assert!(calls <= 4 * operations, "{operations} operations were {calls} commands");
}

#[cfg(feature = "redis")]
fn redis(server: &Server) -> tower_step_up::store::RedisStore {
    tower_step_up::store::RedisStore::open(server.address().as_str()).unwrap()
}

/// The number of commands that a server has run.
#[cfg(feature = "redis")]
fn calls(server: &Server) -> usize {
    let stats = server.say(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<usize>().ok());
    calls.sum()
}

/// Latencies of another user, in microseconds.
struct Waits(Vec<u128>);

impl Waits {
    async fn add<T>(&mut self, operation: impl Future<Output = T>) -> T {
        let before = Instant::now();
        let output = operation.await;
        self.0.push(before.elapsed().as_micros());
        output
    }

    /// The median and the 99th percentile.
    fn percentiles(mut self) -> [u128; 2] {
        self.0.sort_unstable();
        [50, 99].map(|percent| self.0[(self.0.len() - 1) * percent / 100])
    }
}

/// The latencies of another user's checks and verifications while the storm is repeated.
async fn another_user(step_up: &StepUp, kind: Kind, name: &str, sessions: &[(Caller, String)]) -> [[u128; 2]; 2] {
    let bob = Caller::user(format_args!("bob {name}")).session("1");
    step_up.start_otp(&bob, "SMS", None).await.unwrap();
    step_up.verify_otp(&bob, "SMS", RIGHT).await.unwrap();
    let (mut checks, mut verifications) = (Waits(Vec::new()), Waits(Vec::new()));
    let storm = tokio::spawn({
        let (step_up, sessions) = (step_up.clone(), sessions.to_vec());
        async move {
            loop {
                kind.at_once(&step_up, &sessions).await;
            }
        }
    });
    for number in 0..SAMPLES {
        checks.add(step_up.authorize(&bob, &Requirement::new())).await.unwrap();
        if number % 4 == 0 {
            let carol = Caller::user(format_args!("carol {name} {number}")).session("1");
            step_up.start_otp(&carol, "SMS", None).await.unwrap();
            verifications.add(step_up.verify_otp(&carol, "SMS", RIGHT)).await.unwrap();
        }
    }
    storm.abort();
    [checks.percentiles(), verifications.percentiles()]
}

/// Number of measured checks; four times the number of verifications.
const SAMPLES: usize = 60;

/// Another user passes and verifies during a storm; the latencies are only printed, because they depend on the machine.
async fn others_are_served<S: Store>((step_up, _): World<S>, kinds: &[Kind]) {
    println!("p50 and p99 in microseconds, of another user's checks and verifications");
    for &kind in kinds {
        let one = one_session(kind, &step_up, &format!("one {kind:?}"), MANY).await;
        let names: Vec<_> = (0..MANY).map(|number| format!("{kind:?} of {number}")).collect();
        let spread = join_all(names.iter().map(|name| one_session(kind, &step_up, name, 1))).await.concat();
        let [check, verify] = another_user(&step_up, kind, &format!("one {kind:?}"), &one).await;
        let [check_spread, verify_spread] = another_user(&step_up, kind, &format!("{kind:?}"), &spread).await;
        println!(
            "{kind:?}: check {check:?}, over {MANY} sessions {check_spread:?}; verify {verify:?}, {verify_spread:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_in_process() {
    others_are_served(world(MemoryStore::default()), &Kind::ALL).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis or Valkey server: cargo test --features redis -- --ignored in_redis"]
async fn others_are_served_with_redis() {
    let server = Server::start();
    let kinds = [Kind::VerifyWrong, Kind::Grant, Kind::Revoke, Kind::RevokeAll, Kind::Lock];
    Box::pin(others_are_served(world(redis(&server)), &kinds)).await;
}
