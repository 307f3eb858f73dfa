//! Concurrent operations on the same records: in any order, nothing is granted wrongly, and no count is lost.
//!
//! Each race runs in threads that a barrier releases together, on the store in process and on one that yields before
//! and after each operation; on the latter also in every order in which two tasks can take turns up to three times,
//! which is deterministic. With the feature `redis` it also runs on a server. On a shared store the tasks are divided
//! over two nodes: two engines with one store and one secret.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use testkit::FaultyStore;
#[cfg(feature = "redis")]
use testkit::server::Server;
use tokio::sync::Barrier;
use tower_step_up::{
    Caller, ChallengeError, Policy, PushReply, PushReplyError, PushStatus, Requirement, Secret, SendBudget, StepUp,
    Store, discard,
};

#[cfg(feature = "redis")]
use tower_step_up::store::RedisStore;

const RIGHT: &str = "123456";

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The tasks, and the check afterwards, which gets their results.
struct Race {
    runners: Vec<Task<bool>>,
    check: Box<dyn FnOnce(Vec<bool>) -> Task<()> + Send>,
}

impl Race {
    fn new<F: Future<Output = ()> + Send + 'static>(
        runners: Vec<Task<bool>>,
        check: impl FnOnce(Vec<bool>) -> F + Send + 'static,
    ) -> Self {
        Self { runners, check: Box::new(|succeeded| Box::pin(check(succeeded))) }
    }
}

fn run<F: Future<Output = bool> + Send + 'static>(future: F) -> Task<bool> {
    Box::pin(future)
}

/// Generous budgets and deadlines, for what is not under test.
fn policy() -> Policy {
    Policy::new()
        .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
        .live_challenges(10)
        .store_deadline(Duration::from_secs(10))
}

/// Two nodes on one store.
type Nodes = [StepUp; 2];

/// In process there is one engine, shared by both.
fn in_process(policy: Policy) -> Nodes {
    let step_up = builder(policy).build().unwrap();
    [step_up.clone(), step_up]
}

fn on_a_slow_store(policy: Policy) -> Nodes {
    nodes_with(&FaultyStore::default(), policy)
}

fn nodes_with(store: &FaultyStore, policy: Policy) -> Nodes {
    nodes_on(policy, || store.clone())
}

#[cfg(feature = "redis")]
fn in_redis(server: &Server, policy: Policy) -> Nodes {
    nodes_on(policy, || RedisStore::open(server.address().as_str()).unwrap())
}

fn nodes_on<S: Store>(policy: Policy, store: impl Fn() -> S) -> Nodes {
    let secret = || Secret::new([7; 32]).unwrap();
    [(); 2].map(|()| {
        builder(policy.clone())
            .store(store())
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(secret())
            .build()
            .unwrap()
    })
}

fn builder(policy: Policy) -> tower_step_up::StepUpBuilder {
    StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).push("BIO", discard).policy(policy)
}

fn session(user: &str, number: usize) -> Caller {
    Caller::user(user).session(number)
}

/// Whether a guard lets the caller pass; asserts that both nodes agree.
async fn passes(nodes: &Nodes, caller: &Caller) -> bool {
    passes_with(nodes, caller, &Requirement::new()).await
}

async fn passes_with([a, b]: &Nodes, caller: &Caller, requirement: &Requirement) -> bool {
    let one = a.authorize(caller, requirement).await.is_ok();
    assert_eq!(b.authorize(caller, requirement).await.is_ok(), one, "the nodes agree");
    one
}

async fn step_up_by_email(step_up: &StepUp, caller: &Caller) {
    step_up.start_otp(caller, "EMAIL", None).await.unwrap();
    step_up.verify_otp(caller, "EMAIL", RIGHT).await.unwrap();
}

/// Runs a race this many times, each time in threads that are released together.
async fn by_threads(rounds: usize, mut prepare: impl AsyncFnMut(usize) -> Race) {
    let mut outcomes = BTreeSet::new();
    for round in 0..rounds {
        let Race { runners, check } = prepare(round).await;
        let barrier = Arc::new(Barrier::new(runners.len()));
        let handles: Vec<_> = runners
            .into_iter()
            .map(|runner| {
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    barrier.wait().await;
                    runner.await
                })
            })
            .collect();
        let mut succeeded = Vec::new();
        for handle in handles {
            succeeded.push(handle.await.unwrap());
        }
        outcomes.insert(succeeded.clone());
        check(succeeded).await;
    }
    println!("{rounds} rounds: {outcomes:?}");
}

/// Polls a task at most this many times; returns whether it has completed.
fn poll(task: &mut Task<bool>, times: usize, ended: &mut Option<bool>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..times {
        if ended.is_some() {
            break;
        }
        if let std::task::Poll::Ready(output) = task.as_mut().poll(&mut cx) {
            *ended = Some(output);
        }
    }
    ended.is_some()
}

const TO_THE_END: usize = 10_000;

/// A store operation takes three polls and is applied in the second, so the state changes at most at every second poll.
const A_STEP: usize = 2;

/// Runs a race of two tasks in every order of this form: one for some polls, the other for some polls, the first to its
/// end, the other to its end.
async fn in_every_order(mut prepare: impl AsyncFnMut(usize) -> Race) {
    let (mut orders, mut outcomes) = (0, BTreeSet::new());
    for first in [0, 1] {
        for polls in (0..).step_by(A_STEP) {
            let mut first_ended = false;
            for polls_of_second in (0..).step_by(A_STEP) {
                let Race { mut runners, check } = prepare(orders).await;
                orders += 1;
                let mut ended = [None, None];
                let second = 1 - first;
                first_ended = poll(&mut runners[first], polls, &mut ended[first]);
                let second_ended = poll(&mut runners[second], polls_of_second, &mut ended[second]);
                assert!(poll(&mut runners[first], TO_THE_END, &mut ended[first]), "it ends");
                assert!(poll(&mut runners[second], TO_THE_END, &mut ended[second]), "it ends");
                let succeeded: Vec<_> = ended.into_iter().flatten().collect();
                println!("{first} first, after {polls} and {polls_of_second} polls: {succeeded:?}");
                outcomes.insert(succeeded.clone());
                check(succeeded).await;
                if second_ended || first_ended {
                    break;
                }
            }
            if first_ended {
                break;
            }
        }
    }
    println!("{orders} orders: {outcomes:?}");
    assert!(orders > 20, "{orders}");
}

/// The tests of each race; the numbers are the rounds in process, on a slow store, and in Redis.
macro_rules! races {
    ($($(#[$attribute:meta])* $race:ident: $in_process:literal, $on_a_slow_store:literal, $in_redis:literal;)*) => {$(
        mod $race {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_process() {
                let nodes = super::in_process(super::policy());
                super::by_threads($in_process, async |round| super::$race(nodes.clone(), round).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_a_slow_store() {
                let nodes = super::on_a_slow_store(super::policy());
                super::by_threads($on_a_slow_store, async |round| super::$race(nodes.clone(), round).await).await;
            }

            #[cfg(feature = "redis")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs a Redis or Valkey server: cargo test --features redis -- --ignored in_redis"]
            async fn in_redis() {
                let server = super::Server::start();
                let nodes = super::in_redis(&server, super::policy());
                super::by_threads($in_redis, async |round| super::$race(nodes.clone(), round).await).await;
            }

            #[tokio::test]
            $(#[$attribute])*
            async fn in_every_order() {
                let nodes = super::on_a_slow_store(super::policy());
                super::in_every_order(async |round| super::$race(nodes.clone(), round).await).await;
            }
        }
    )*};
}

races! {
    revoke_and_verify: 10_000, 200, 50;
    revoke_and_approve: 1_000, 200, 50;
    revoke_all_and_verify: 500, 100, 50;
    revoke_all_and_approve: 1_000, 200, 50;
    revoke_all_and_transfer: 1_000, 200, 50;
    revoke_and_transfer: 500, 100, 50;
    transfer_and_verify: 500, 100, 50;
    transfer_and_approve: 500, 100, 50;
    transfer_and_transfer: 500, 100, 50;
    lock_and_start: 500, 100, 50;
    lock_and_verify: 500, 100, 50;
    decline_and_approve: 500, 100, 50;
    approve_and_approve: 500, 100, 50;
    start_and_wrong_code: 500, 100, 50;
    displace_and_verify: 50, 10, 20;
}

/// T16: in any order, no grant is left.
async fn revoke_and_verify(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    a.start_otp(&alice, "SMS", None).await.unwrap();
    let runners = vec![revoke(a, &alice), verify(b, &alice)];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        assert!(!passes(&nodes, &alice).await);
    })
}

/// T16 for a push.
async fn revoke_and_approve(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    let push = a.start_push(&alice, "BIO", None).await.unwrap();
    let runners = vec![revoke(a, &alice), answer(b, &alice, &push.id, PushReply::Approve)];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        assert!(!passes(&nodes, &alice).await);
    })
}

/// One session is stepped up already, another verifies.
async fn revoke_all_and_verify(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let user = format!("alice{round}");
    let sessions: Vec<_> = (0..2).map(|number| session(&user, number)).collect();
    step_up_by_email(a, &sessions[0]).await;
    a.start_otp(&sessions[1], "SMS", None).await.unwrap();
    let runners = vec![revoke_all(a, &user), verify(b, &sessions[1])];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        for session in &sessions {
            assert!(!passes(&nodes, session).await);
        }
    })
}

async fn revoke_all_and_approve(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    let push = a.start_push(&alice, "BIO", None).await.unwrap();
    let runners = vec![revoke_all(a, alice.subject()), answer(b, &alice, &push.id, PushReply::Approve)];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        assert!(!passes(&nodes, &alice).await);
    })
}

/// The session with the new id may have a record already.
async fn revoke_all_and_transfer(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let user = format!("alice{round}");
    let (old, new) = (session(&user, 1), session(&user, 2));
    step_up_by_email(a, &old).await;
    if round % 2 == 1 {
        a.start_otp(&new, "SMS", None).await.unwrap();
    }
    let runners = vec![revoke_all(a, &user), transfer(b, &old, &new)];
    Race::new(runners, async move |succeeded| {
        assert_eq!(succeeded, [true, true]);
        assert!(!passes(&nodes, &old).await, "the old id");
        assert!(!passes(&nodes, &new).await, "the new id");
    })
}

/// Revoking the old id ends the elevation there; if it was transferred before, it is under the new id, which can be
/// revoked.
async fn revoke_and_transfer(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let user = format!("alice{round}");
    let (old, new) = (session(&user, 1), session(&user, 2));
    step_up_by_email(a, &old).await;
    let runners = vec![revoke(a, &old), transfer(b, &old, &new)];
    Race::new(runners, async move |_| {
        assert!(!passes(&nodes, &old).await, "the old id");
        nodes[0].revoke(&new).await.unwrap();
        assert!(!passes(&nodes, &new).await, "the new id");
    })
}

/// An existing grant is transferred; one granted concurrently is transferred or not granted.
async fn transfer_and_approve(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let user = format!("alice{round}");
    let (old, new) = (session(&user, 1), session(&user, 2));
    step_up_by_email(a, &old).await;
    let push = a.start_push(&old, "BIO", Some("pay")).await.unwrap();
    let runners = vec![transfer(a, &old, &new), answer(b, &old, &push.id, PushReply::Approve)];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        assert!(!passes(&nodes, &old).await, "the old id");
        assert!(passes(&nodes, &new).await, "the new id");
        let scoped = Requirement::new().scope("pay");
        assert!(!passes_with(&nodes, &old, &scoped).await);
        assert_eq!(passes_with(&nodes, &new, &scoped).await, succeeded[1]);
        nodes[1].revoke_all(old.subject()).await.unwrap();
        assert!(!passes(&nodes, &new).await, "it was listed");
    })
}

/// A code is verified while its session is transferred to another id.
async fn transfer_and_verify(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let user = format!("alice{round}");
    let (old, new) = (session(&user, 1), session(&user, 2));
    a.start_otp(&old, "SMS", None).await.unwrap();
    let runners = vec![transfer(a, &old, &new), verify(b, &old)];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        assert!(!passes(&nodes, &old).await, "the old id");
        assert_eq!(passes(&nodes, &new).await, succeeded[1], "the new id");
    })
}

/// Two transfers of one elevation leave one.
async fn transfer_and_transfer(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let user = format!("alice{round}");
    let (old, one, other) = (session(&user, 1), session(&user, 2), session(&user, 3));
    step_up_by_email(a, &old).await;
    let runners = vec![transfer(a, &old, &one), transfer(b, &old, &other)];
    Race::new(runners, async move |_| {
        assert!(!passes(&nodes, &old).await);
        assert!(passes(&nodes, &one).await != passes(&nodes, &other).await);
        nodes[0].revoke_all(old.subject()).await.unwrap();
        assert!(!passes(&nodes, &one).await && !passes(&nodes, &other).await);
    })
}

/// After a lock nothing starts and nothing verifies; a code sent before can be verified after the unlock.
async fn lock_and_start(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    let start = run({
        let (node, alice) = (b.clone(), alice.clone());
        async move { node.start_otp(&alice, "SMS", None).await.is_ok() }
    });
    let runners = vec![lock(a, &alice), start];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        let forbidden = Err(ChallengeError::Forbidden);
        assert_eq!(nodes[1].start_otp(&session(alice.subject(), 2), "SMS", None).await, forbidden);
        assert_eq!(nodes[0].verify_otp(&alice, "SMS", RIGHT).await.map(drop), forbidden);
        assert!(!passes(&nodes, &alice).await);
        nodes[1].unlock(alice.subject()).await.unwrap();
        assert_eq!(nodes[0].verify_otp(&alice, "SMS", RIGHT).await.is_ok(), succeeded[1]);
    })
}

async fn lock_and_verify(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    a.start_otp(&alice, "SMS", None).await.unwrap();
    let runners = vec![lock(a, &alice), verify(b, &alice)];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        assert_eq!(passes(&nodes, &alice).await, succeeded[1]);
        let again = session(alice.subject(), 2);
        assert_eq!(nodes[1].start_otp(&again, "SMS", None).await, Err(ChallengeError::Forbidden));
    })
}

/// T14: a push has one answer.
async fn decline_and_approve(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    let push = a.start_push(&alice, "BIO", None).await.unwrap();
    let runners =
        vec![answer(a, &alice, &push.id, PushReply::Decline), answer(b, &alice, &push.id, PushReply::Approve)];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0] != succeeded[1], "{succeeded:?}");
        assert_eq!(passes(&nodes, &alice).await, succeeded[1]);
        let status = nodes[0].push_status(&alice, "BIO", &push.id).await.unwrap();
        assert_eq!(status, Some(if succeeded[1] { PushStatus::Verified } else { PushStatus::Declined }));
        let late = nodes[1].answer_push(alice.subject(), &push.id, PushReply::Approve).await;
        assert_eq!(late, Err(PushReplyError::Closed));
    })
}

/// T14: approving twice creates one grant.
async fn approve_and_approve(nodes: Nodes, round: usize) -> Race {
    let [a, _] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    let push = a.start_push(&alice, "BIO", None).await.unwrap();
    let runners = nodes.iter().map(|node| answer(node, &alice, &push.id, PushReply::Approve)).collect();
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0] != succeeded[1], "{succeeded:?}");
        assert_eq!(nodes[0].status(&alice).await.unwrap().grants.len(), 1);
    })
}

/// T4: a concurrent wrong code and start lose no count, whichever code was compared.
async fn start_and_wrong_code(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let alice = session(&format!("alice{round}"), 1);
    let other = session(alice.subject(), 2);
    a.start_otp(&alice, "SMS", None).await.unwrap();
    a.start_otp(&other, "SMS", None).await.unwrap();
    let wrong = run({
        let (node, alice) = (b.clone(), alice.clone());
        async move { node.verify_otp(&alice, "SMS", "000000").await == Err(ChallengeError::CodeInvalid) }
    });
    let start = run({
        let (node, alice) = (a.clone(), session(alice.subject(), 3));
        async move { node.start_otp(&alice, "SMS", None).await.is_ok() }
    });
    Race::new(vec![wrong, start], async move |succeeded| {
        assert_eq!(succeeded, [true, true]);
        for _ in 0..4 {
            nodes[1].verify_otp(&other, "SMS", "000000").await.unwrap_err();
        }
        let locked = nodes[0].verify_otp(&other, "SMS", RIGHT).await;
        assert!(matches!(locked, Err(ChallengeError::RateLimited(limit)) if limit.limit == 5), "{locked:?}");
    })
}

/// A user's record lists sixteen sessions. The one displaced by the seventeenth verifies concurrently: it has no grant,
/// or one that revoking all sessions ends.
async fn displace_and_verify(nodes: Nodes, round: usize) -> Race {
    let [a, b] = &nodes;
    let user = format!("alice{round}");
    let sessions: Vec<_> = (0..17).map(|number| session(&user, number)).collect();
    a.start_otp(&sessions[0], "SMS", None).await.unwrap();
    for session in &sessions[1..16] {
        step_up_by_email(a, session).await;
    }
    let start = run({
        let (node, last) = (a.clone(), sessions[16].clone());
        async move { node.start_otp(&last, "SMS", None).await.is_ok() }
    });
    let runners = vec![start, verify(b, &sessions[0])];
    Race::new(runners, async move |succeeded| {
        assert!(succeeded[0]);
        assert!(succeeded[1] || !passes(&nodes, &sessions[0]).await);
        nodes[1].revoke_all(&user).await.unwrap();
        for session in &sessions {
            assert!(!passes(&nodes, session).await);
        }
    })
}

/// With more sessions than are listed: the displaced ones have no grant, the others lose theirs.
async fn revoke_all_and_verify_with_more_sessions_than_are_listed(nodes: Nodes, rounds: usize) {
    by_threads(rounds, async |round| {
        let (nodes, user) = (nodes.clone(), format!("alice{round}"));
        let [a, b] = &nodes;
        let sessions: Vec<_> = (0..20).map(|number| session(&user, number)).collect();
        for session in &sessions[..18] {
            step_up_by_email(a, session).await;
        }
        a.start_otp(&sessions[18], "SMS", None).await.unwrap();
        b.start_otp(&sessions[19], "SMS", None).await.unwrap();
        let runners = vec![
            revoke_all(a, &user),
            verify(a, &sessions[18]),
            verify(b, &sessions[19]),
            transfer(b, &sessions[17], &session(&user, 20)),
        ];
        Race::new(runners, async move |succeeded| {
            assert!(succeeded[0]);
            for session in &sessions {
                assert!(!passes(&nodes, session).await);
            }
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_all_and_verify_with_more_sessions_than_are_listed_in_process() {
    revoke_all_and_verify_with_more_sessions_than_are_listed(in_process(policy()), 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_all_and_verify_with_more_sessions_than_are_listed_on_a_slow_store() {
    revoke_all_and_verify_with_more_sessions_than_are_listed(on_a_slow_store(policy()), 10).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis or Valkey server: cargo test --features redis -- --ignored in_redis"]
async fn revoke_all_and_verify_with_more_sessions_than_are_listed_in_redis() {
    let server = Server::start();
    revoke_all_and_verify_with_more_sessions_than_are_listed(in_redis(&server, policy()), 20).await;
}

/// Declining a push counts in any order with a concurrent revocation.
#[tokio::test]
async fn a_denial_counts_with_a_concurrent_revocation() {
    let nodes = on_a_slow_store(policy().pause_after_declines(1, Duration::from_secs(1800)));
    let [a, b] = &nodes;
    for known in [false, true] {
        in_every_order(async |round| {
            let alice = session(&format!("alice{known}{round}"), 1);
            if known {
                a.start_otp(&alice, "SMS", None).await.unwrap();
            }
            let id = Arc::new(Mutex::new(None));
            let start = run({
                let (node, alice, id) = (b.clone(), alice.clone(), Arc::clone(&id));
                async move {
                    let started = node.start_push(&alice, "BIO", None).await.unwrap();
                    *id.lock().unwrap() = Some(started.id);
                    true
                }
            });
            let (runners, [a, b]) = (vec![revoke(a, &alice), start], nodes.clone());
            Race::new(runners, async move |_| {
                let id = id.lock().unwrap().take().unwrap();
                let _ = a.answer_push(alice.subject(), &id, PushReply::Decline).await;
                let next = b.start_push(&session(alice.subject(), 2), "BIO", None).await.map(drop);
                let paused = matches!(next, Err(ChallengeError::RateLimited(limit)) if limit.limit == 1);
                assert!(paused, "{next:?}");
            })
        })
        .await;
    }
}

/// T15: a new session begins while all sessions are revoked. A remaining grant is of the new generation, and can be
/// revoked.
#[tokio::test]
async fn no_grant_of_the_old_generation_outlives_revoking_all() {
    for push in [false, true] {
        in_every_order(async |_| {
            let store = FaultyStore::default();
            let nodes = nodes_with(&store, policy());
            let [a, b] = &nodes;
            let (known, new) = (session("alice", 1), session("alice", 2));
            step_up_by_email(a, &known).await;
            let steps = run({
                let (node, new) = (b.clone(), new.clone());
                async move {
                    if push {
                        let Ok(push) = node.start_push(&new, "BIO", None).await else { return false };
                        node.answer_push("alice", &push.id, PushReply::Approve).await.is_ok()
                    } else {
                        node.start_otp(&new, "SMS", None).await.is_ok()
                            && node.verify_otp(&new, "SMS", RIGHT).await.is_ok()
                    }
                }
            });
            Race::new(vec![revoke_all(a, "alice"), steps], async move |succeeded| {
                assert!(succeeded[0]);
                let user = &store.records("Subject")[0];
                let sessions = store.records("Session");
                let grants = sessions.iter().flat_map(|session| session["grants"].as_array().unwrap());
                assert!(grants.clone().all(|grant| grant["generation"] == user["generation"]), "{sessions:?}");
                assert_eq!(grants.count(), usize::from(passes(&nodes, &new).await));
                nodes[0].revoke_all("alice").await.unwrap();
                assert!(!passes(&nodes, &new).await, "it is listed");
            })
        })
        .await;
    }
}

/// Of 64 starts in one session one succeeds. Only its message is counted, and the others leave no challenge that would
/// block starts in other sessions.
async fn one_of_many_starts(nodes: Nodes, rounds: usize) {
    by_threads(rounds, async |round| {
        let alice = session(&format!("alice{round}"), 1);
        let starts = (0..64).map(|number| {
            let (node, alice) = (nodes[number % 2].clone(), alice.clone());
            run(async move { node.start_otp(&alice, "SMS", None).await.is_ok() })
        });
        let (runners, [a, b]) = (starts.collect(), nodes.clone());
        Race::new(runners, async move |succeeded| {
            assert_eq!(succeeded.iter().filter(|succeeded| **succeeded).count(), 1);
            for other in [2, 3] {
                a.start_otp(&session(alice.subject(), other), "SMS", None).await.unwrap();
            }
            let fourth = b.start_otp(&session(alice.subject(), 4), "SMS", None).await;
            assert!(matches!(fourth, Err(ChallengeError::RateLimited(limit)) if limit.limit == 3), "{fourth:?}");
            b.verify_otp(&alice, "SMS", RIGHT).await.unwrap();
        })
    })
    .await;
}

/// The defaults: three messages in five minutes, three live challenges.
fn defaults() -> Policy {
    Policy::new().store_deadline(Duration::from_secs(10))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_starts_in_process() {
    one_of_many_starts(in_process(defaults()), 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_starts_on_a_slow_store() {
    one_of_many_starts(on_a_slow_store(defaults()), 5).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis or Valkey server: cargo test --features redis -- --ignored in_redis"]
async fn one_of_many_starts_in_redis() {
    let server = Server::start();
    one_of_many_starts(in_redis(&server, defaults()), 20).await;
}

fn revoke(step_up: &StepUp, caller: &Caller) -> Task<bool> {
    let (step_up, caller) = (step_up.clone(), caller.clone());
    run(async move { step_up.revoke(&caller).await.is_ok() })
}

fn revoke_all(step_up: &StepUp, user: &str) -> Task<bool> {
    let (step_up, user) = (step_up.clone(), user.to_owned());
    run(async move { step_up.revoke_all(&user).await.is_ok() })
}

fn lock(step_up: &StepUp, caller: &Caller) -> Task<bool> {
    let (step_up, caller) = (step_up.clone(), caller.clone());
    run(async move { step_up.lock(caller.subject()).await.is_ok() })
}

fn verify(step_up: &StepUp, caller: &Caller) -> Task<bool> {
    let (step_up, caller) = (step_up.clone(), caller.clone());
    run(async move { step_up.verify_otp(&caller, "SMS", RIGHT).await.is_ok() })
}

fn transfer(step_up: &StepUp, old: &Caller, new: &Caller) -> Task<bool> {
    let (step_up, old, new) = (step_up.clone(), old.clone(), new.clone());
    run(async move { step_up.transfer(&old, &new).await.is_ok() })
}

fn answer(step_up: &StepUp, caller: &Caller, id: &str, answer: PushReply) -> Task<bool> {
    let (step_up, caller, id) = (step_up.clone(), caller.clone(), id.to_owned());
    run(async move { step_up.answer_push(caller.subject(), &id, answer).await.is_ok() })
}
