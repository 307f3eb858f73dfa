//! T40: hundreds of requests of one session at once. What they cost the store grows linearly, none is refused for the
//! others, and other users feel no more than the same load spread over as many sessions.

mod counted;
mod storm;

use std::time::{Duration, Instant};

use counted::Counted;
use futures_util::future::join_all;
use storm::{Kind, RIGHT};
use testkit::Elsewhere;
#[cfg(feature = "redis")]
use testkit::server::Server;
use tower_step_up::{Caller, Policy, Requirement, Secret, StepUp, Store, discard, store::MemoryStore};

/// At once.
const MANY: usize = 600;

/// Store operations for one request, on the average over a storm.
const EACH: usize = 20;

type World<S> = (StepUp, Counted<S>);

fn world<S: Store + Clone>(store: S) -> World<S> {
    let store = Counted::new(store);
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .push("BIO", discard)
        .proof("PASSKEY")
        // A machine with many tests on it is no store that is down.
        .policy(Policy::new().store_deadline(Duration::from_secs(10)))
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([7; 32]).unwrap())
        .build()
        .unwrap();
    (step_up, store)
}

/// One session of a new user, as often as it is asked for.
async fn one_session(kind: Kind, step_up: &StepUp, user: &str, many: usize) -> Vec<(Caller, String)> {
    let caller = Caller::user(user).session("1");
    let push = kind.prepare(step_up, &caller).await;
    vec![(caller, push); many]
}

/// What a storm costs, and that nobody is refused for it.
async fn cost<S: Store>((step_up, store): &World<S>, kind: Kind, many: usize) -> usize {
    let sessions = one_session(kind, step_up, &format!("{kind:?} {many}"), many).await;
    let before = store.operations();
    let down = kind.at_once(step_up, &sessions).await;
    let cost = store.operations() - before;
    println!("{kind:?}: {many} at once cost {cost} operations, {} each; {down} were refused", cost / many);
    assert_eq!(down, 0, "{kind:?}: refused by the storm alone");
    cost
}

/// What a storm of one kind costs each of its requests is bounded, whatever their number.
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

/// All take turns, operation by operation, and the same ones each time: nothing conflicts more often.
#[tokio::test(start_paused = true)]
async fn costs_grow_linearly_where_all_take_turns() {
    let world = world(Elsewhere::default());
    for kind in Kind::ALL {
        let (half, all) = (cost(&world, kind, MANY / 2).await, cost(&world, kind, MANY).await);
        assert!(all <= MANY * EACH, "{kind:?}: {all} operations");
        // In some orders they take one more round, of two loads and a swap each.
        assert!(5 * all <= 11 * half + 15 * MANY, "{kind:?}: {half}, and {all} for twice as many");
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
    // A swap is a script, and what that calls is counted, too.
    assert!(calls <= 4 * operations, "{operations} operations were {calls} commands");
}

#[cfg(feature = "redis")]
fn redis(server: &Server) -> tower_step_up::store::RedisStore {
    tower_step_up::store::RedisStore::open(server.address().as_str()).unwrap()
}

/// The commands that a server has run.
#[cfg(feature = "redis")]
fn calls(server: &Server) -> usize {
    let stats = server.say(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<usize>().ok());
    calls.sum()
}

/// What another user waits for, in microseconds.
struct Waits(Vec<u128>);

impl Waits {
    async fn add<T>(&mut self, operation: impl Future<Output = T>) -> T {
        let before = Instant::now();
        let output = operation.await;
        self.0.push(before.elapsed().as_micros());
        output
    }

    /// The median, and what one in a hundred exceeds.
    fn percentiles(mut self) -> [u128; 2] {
        self.0.sort_unstable();
        [50, 99].map(|percent| self.0[(self.0.len() - 1) * percent / 100])
    }
}

/// What another user's checks and verifications take while all that comes at once comes again and again.
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

/// Checks that are measured, and four times as many as verifications.
const SAMPLES: usize = 60;

/// Another user passes and verifies throughout; for how long they wait is printed, because it is the machine's.
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
