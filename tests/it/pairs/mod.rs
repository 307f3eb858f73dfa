//! Every pair of operations on one user, the second run to its end at every await point of the first: in no order is a
//! grant of an older generation live, or one in a revoked session (T32).

mod all;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use testkit::FaultyStore;
use tower_step_up::{
    Caller, ChallengeError, ManualClock, Policy, Proof, PushReply, PushReplyError, Requirement, Secret, StepUp, Store,
};

type Engine = StepUp;
type Act<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One user, who has stepped up in other sessions and has pending challenges in this one.
struct World {
    /// Two nodes on one store.
    nodes: [Engine; 2],
    clock: ManualClock,
    here: Caller,
    next: Caller,
    push: String,
    store: FaultyStore,
}

/// What the session holds before the two operations.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Pending,
    Granted,
}

const BEFORE: [Before; 3] = [Before::Nothing, Before::Pending, Before::Granted];

impl World {
    async fn new(before: Before) -> Self {
        let (clock, store) = (ManualClock::new(), FaultyStore::default());
        let node = || {
            StepUp::builder()
                .sandbox()
                .otp("SMS", tower_step_up::discard)
                .push("BIO", tower_step_up::discard)
                .proof("PASSKEY")
                .clock(clock.clone())
                // Long, so that a busy machine does not look like a store that is down.
                .policy(Policy::new().store_deadline(Duration::from_secs(10)))
                .store(store.clone())
                .record_key(Secret::new([1; 32]).unwrap())
                .secret(Secret::new([7; 32]).unwrap())
                .build()
                .unwrap()
        };
        let nodes = [node(), node()];
        let [here, next, other] = ["here", "next", "other"].map(|session| Caller::user("alice").session(session));
        nodes[0].record_proof(&other, Proof::new("PASSKEY")).await.unwrap();
        let mut push = String::new();
        if before != Before::Nothing {
            nodes[0].start_otp(&here, "SMS", None).await.unwrap();
            push = nodes[0].start_push(&here, "BIO", None).await.unwrap().id;
        }
        if before == Before::Granted {
            nodes[0].record_proof(&here, Proof::new("PASSKEY")).await.unwrap();
        }
        Self { nodes, clock, here, next, push, store }
    }
}

/// Starts an operation on one of the nodes.
type Begin = fn(&World, usize) -> Act<'_>;

/// Operations that may leave a grant.
const GRANTING: [(&str, Begin); 7] = [
    ("record a proof", |world, node| {
        Box::pin(async move { drop(world.nodes[node].record_proof(&world.here, Proof::new("PASSKEY")).await) })
    }),
    ("verify", |world, node| {
        Box::pin(async move { drop(world.nodes[node].verify_otp(&world.here, "SMS", "123456").await) })
    }),
    ("approve", |world, node| {
        Box::pin(async move {
            let _ = world.nodes[node].answer_push("alice", &world.push, PushReply::Approve).await;
        })
    }),
    ("transfer", |world, node| {
        Box::pin(async move { drop(world.nodes[node].transfer(&world.here, &world.next).await) })
    }),
    ("start a code", |world, node| {
        Box::pin(async move { drop(world.nodes[node].start_otp(&world.here, "SMS", None).await) })
    }),
    ("start a push", |world, node| {
        Box::pin(async move { drop(world.nodes[node].start_push(&world.here, "BIO", None).await) })
    }),
    ("spend", |world, node| {
        Box::pin(async move {
            if let Ok(grant) = world.nodes[node].authorize(&world.here, &Requirement::new().once()).await {
                let _ = grant.restore().await;
            }
        })
    }),
];

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn to_the_end<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context()) {
            return output;
        }
    }
    panic!("the future does not complete");
}

/// Runs `first` up to its `polls`th await point, then `second` to its end, then `first` to its end; returns whether the
/// first was still running.
fn interleave(polls: usize, mut first: Act<'_>, second: impl FnOnce()) -> bool {
    let early = (0..polls).any(|_| first.as_mut().poll(&mut context()).is_ready());
    second();
    if !early {
        to_the_end(first);
    }
    !early
}

/// Runs two operations in turns, each for the given polls, and then the second (unless it is dropped) and the first to
/// their ends. Returns the first turn in which an operation completed.
fn take_turns<'a>(polls: &[usize], mut first: Act<'a>, mut second: Act<'a>, is_dropped: bool) -> Option<usize> {
    let ended = polls.iter().enumerate().find_map(|(turn, polls)| {
        let act = if turn % 2 == 1 { &mut second } else { &mut first };
        (0..*polls).any(|_| act.as_mut().poll(&mut context()).is_ready()).then_some(turn)
    });
    let has_ended = |first: usize| ended.is_some_and(|turn| turn % 2 == first);
    if is_dropped {
        drop(second);
    } else if !has_ended(1) {
        to_the_end(second);
    }
    if !has_ended(0) {
        to_the_end(first);
    }
    ended
}

/// Whether a grant of an older generation is live: such a grant cannot be restored.
async fn alive_of_an_old_generation(node: &StepUp, caller: &Caller) -> bool {
    match node.authorize(caller, &Requirement::new().once()).await {
        Ok(grant) => grant.restore().await == Ok(false),
        Err(_) => false,
    }
}

#[tokio::test]
async fn no_grant_of_an_older_generation_outlives_revoke_all() {
    let mut orders = 0;
    for before in BEFORE {
        for (name, act) in GRANTING {
            for node in [0, 1] {
                for polls in 0.. {
                    let world = World::new(before).await;
                    let revoke = || to_the_end(world.nodes[0].revoke_all("alice")).unwrap();
                    let under_way = interleave(polls, act(&world, node), revoke);
                    for caller in [&world.here, &world.next] {
                        let old = alive_of_an_old_generation(&world.nodes[0], caller).await;
                        assert!(!old, "{before:?}, {name} on node {node}, revoked after {polls} polls");
                    }
                    if !under_way {
                        break;
                    }
                    orders += 1;
                }
            }
        }
    }
    assert!(orders > 300, "{orders} orders");
}

/// The reverse: the revocation is stopped, and the operation runs to its end.
#[tokio::test]
async fn a_revocation_in_progress_ends_concurrent_grants() {
    let mut orders = 0;
    for before in BEFORE {
        for (name, act) in GRANTING {
            for polls in 0.. {
                let world = World::new(before).await;
                let revoke: Act<'_> = Box::pin(async { world.nodes[0].revoke_all("alice").await.unwrap() });
                let under_way = interleave(polls, revoke, || to_the_end(act(&world, 1)));
                for caller in [&world.here, &world.next] {
                    let old = alive_of_an_old_generation(&world.nodes[0], caller).await;
                    assert!(!old, "{before:?}, {name} after {polls} polls of revoke_all");
                }
                if !under_way {
                    break;
                }
                orders += 1;
            }
        }
    }
    assert!(orders > 100, "{orders} orders");
}

/// B5: a proof that has read a record of its user or session before a revocation grants nothing after it.
#[tokio::test]
async fn a_proof_is_not_retried_after_a_revocation() {
    for everywhere in [true, false] {
        for polls in 2.. {
            let world = World::new(Before::Granted).await;
            let node = &world.nodes[0];
            let revoke = || {
                let revoked: Pin<Box<dyn Future<Output = _>>> =
                    if everywhere { Box::pin(node.revoke_all("alice")) } else { Box::pin(node.revoke(&world.here)) };
                to_the_end(&mut { revoked }).unwrap();
            };
            let proof: Act<'_> = Box::pin(async { drop(node.record_proof(&world.here, Proof::new("PASSKEY")).await) });
            let under_way = interleave(polls, proof, revoke);
            let left = node.authorize(&world.here, &Requirement::new()).await.is_ok();
            assert!(!left, "everywhere {everywhere}, revoked after {polls} polls");
            if !under_way {
                break;
            }
        }
    }
}

/// A2: a session displaced by sixteen others keeps no grant that a revocation would miss.
#[tokio::test]
async fn a_displaced_session_keeps_no_grant() {
    for (name, act) in GRANTING {
        for before in BEFORE {
            for polls in 0.. {
                let world = World::new(before).await;
                let node = &world.nodes[0];
                let displace = || {
                    for i in 0..16 {
                        world.clock.advance(Duration::from_millis(1));
                        let other = Caller::user("alice").session(format_args!("other {i}"));
                        to_the_end(node.record_proof(&other, Proof::new("PASSKEY"))).unwrap();
                    }
                };
                let under_way = interleave(polls, act(&world, 1), displace);
                node.revoke_all("alice").await.unwrap();
                for caller in [&world.here, &world.next] {
                    let left = node.authorize(caller, &Requirement::new()).await.is_ok();
                    assert!(!left, "{before:?}, {name}, displaced after {polls} polls");
                }
                if !under_way {
                    break;
                }
            }
        }
    }
}

/// A2 for a push: approved in a session that was displaced before its record was written.
#[tokio::test]
async fn a_push_of_a_displaced_session_cannot_be_approved() {
    let world = World::new(Before::Pending).await;
    let node = &world.nodes[0];
    for i in 0..17 {
        world.clock.advance(Duration::from_millis(1));
        node.record_proof(&Caller::user("alice").session(format_args!("other {i}")), Proof::new("PASSKEY"))
            .await
            .unwrap();
    }
    let approved = node.answer_push("alice", &world.push, PushReply::Approve).await;
    assert_eq!(approved, Err(PushReplyError::Closed));
}

/// B2: operations in progress grant nothing after a lock, and existing grants stay valid.
#[tokio::test]
async fn nothing_is_granted_after_a_lock() {
    for (name, act) in GRANTING {
        if name == "transfer" || name == "spend" {
            continue;
        }
        for polls in 1.. {
            let world = World::new(Before::Pending).await;
            let node = &world.nodes[0];
            let mut before = false;
            let lock = || {
                to_the_end(node.lock("alice")).unwrap();
                before = to_the_end(node.authorize(&world.here, &Requirement::new())).is_ok();
            };
            let under_way = interleave(polls, act(&world, 1), lock);
            let after = node.authorize(&world.here, &Requirement::new()).await.is_ok();
            assert_eq!(after, before, "{name}, locked after {polls} polls");
            if !under_way {
                break;
            }
        }
    }
    let world = World::new(Before::Granted).await;
    world.nodes[0].lock("alice").await.unwrap();
    assert!(world.nodes[1].authorize(&world.here, &Requirement::new()).await.is_ok(), "a lock ends no grant (T26)");
    world.nodes[0].unlock("alice").await.unwrap();
    let verified = world.nodes[1].verify_otp(&world.here, "SMS", "123456").await.map(drop);
    assert_eq!(verified, Ok(()), "a pending code can be verified after the unlock");
}

/// B4: an attacker's `DELETE` before the victim declines does not prevent the pause.
#[tokio::test]
async fn a_denial_counts_in_any_state_of_the_push() {
    type End = for<'a> fn(&'a World) -> Act<'a>;
    let ends: [(&str, End); 3] = [
        ("revoked", |world| Box::pin(async { world.nodes[0].revoke(&world.here).await.unwrap() })),
        ("all revoked", |world| Box::pin(async { world.nodes[0].revoke_all("alice").await.unwrap() })),
        ("pending", |_| Box::pin(async {})),
    ];
    for (name, end) in ends {
        let world = World::new(Before::Nothing).await;
        let node = &world.nodes[0];
        for _ in 0..3 {
            let push = node.start_push(&world.here, "BIO", None).await.unwrap();
            end(&world).await;
            for _ in 0..2 {
                let _ = node.answer_push("alice", &push.id, PushReply::Decline).await;
            }
            world.clock.advance(Duration::from_secs(210));
        }
        let paused = node.start_push(&world.here, "BIO", None).await.map(drop);
        assert!(
            matches!(paused, Err(ChallengeError::RateLimited(limit)) if limit.window.is_none()),
            "{name}: {paused:?}"
        );
    }
}

/// A4: a sandbox on the production store grants, counts and revokes nothing outside the sandbox.
#[tokio::test]
async fn a_sandbox_shares_nothing_with_production() {
    let store = FaultyStore::default();
    let builder = || {
        let builder = StepUp::builder().otp("SMS", async |_| Ok(())).proof("PASSKEY");
        store.on(builder)
    };
    let (production, sandbox) = (builder().build().unwrap(), builder().sandbox().build().unwrap());
    let (alice, bob) = (Caller::user("alice").session("1"), Caller::user("bob").session("1"));
    production.record_proof(&bob, Proof::new("PASSKEY")).await.unwrap();
    sandbox.start_otp(&alice, "SMS", None).await.unwrap();
    sandbox.verify_otp(&alice, "SMS", "123456").await.unwrap();
    assert!(sandbox.authorize(&alice, &Requirement::new()).await.is_ok());
    assert!(production.authorize(&alice, &Requirement::new()).await.is_err());
    sandbox.revoke_all("bob").await.unwrap();
    sandbox.lock("bob").await.unwrap();
    assert!(production.authorize(&bob, &Requirement::new()).await.is_ok());
    production.start_otp(&bob, "SMS", None).await.unwrap();
}

/// T32: a proof or a transfer interleaved with a revocation leaves no grant in an unlisted session: revoking all
/// sessions ends it.
#[tokio::test]
async fn revoking_all_ends_what_a_revocation_missed() {
    type Revoked = fn(&World) -> &Caller;
    let pairs: [(usize, Revoked); 2] = [(0, |world| &world.here), (3, |world| &world.next)];
    let mut orders = 0;
    for (granting, revoked) in pairs {
        let (name, act) = GRANTING[granting];
        'first: for first in 1.. {
            'second: for second in 1.. {
                for third in 1.. {
                    let world = World::new(Before::Granted).await;
                    let node = &world.nodes[0];
                    // Keeps the record when its grants are removed.
                    node.start_otp(&world.next, "SMS", None).await.unwrap();
                    let revoke = Box::pin(async { node.revoke(revoked(&world)).await.unwrap() });
                    let ended = take_turns(&[first, second, third], act(&world, 1), revoke, false);
                    if ended == Some(0) {
                        break 'first;
                    }
                    orders += 1;
                    node.revoke_all("alice").await.unwrap();
                    for caller in [&world.here, &world.next] {
                        let left = node.authorize(caller, &Requirement::new()).await.is_ok();
                        assert!(!left, "{name}, after {first}, {second} and {third} polls");
                    }
                    match ended {
                        Some(1) => break 'second,
                        Some(_) => break,
                        None => {}
                    }
                }
            }
        }
    }
    assert!(orders > 100, "{orders}");
}

/// B2: a verification retried after a conflict sees a lock, also if the session's record is loaded after the user's.
#[tokio::test]
async fn nothing_is_granted_after_a_lock_with_slow_loads() {
    let mut orders = 0;
    'first: for first in 1.. {
        for second in 1.. {
            let world = World::new(Before::Pending).await;
            let node = &world.nodes[0];
            world.store.load_late("Session");
            let mut verify = Box::pin(world.nodes[1].verify_otp(&world.here, "SMS", "123456"));
            let mut ends_within = |polls| (0..polls).any(|_| verify.as_mut().poll(&mut context()).is_ready());
            if ends_within(first) {
                break 'first;
            }
            // This causes the conflict.
            node.record_proof(&world.here, Proof::new("PASSKEY")).await.unwrap();
            if ends_within(second) {
                break;
            }
            node.lock("alice").await.unwrap();
            orders += 1;
            let by_code = async || node.authorize(&world.here, &Requirement::new().channels(["SMS"])).await.is_ok();
            let before = by_code().await;
            let _ = verify.await;
            assert_eq!(by_code().await, before, "locked after {first} and {second} polls");
        }
    }
    // One that writes both records in one swap stops in fewer places.
    let least = if FaultyStore::default().is_atomic() { 50 } else { 100 };
    assert!(orders > least, "{orders}");
}

/// The same if the revocation is dropped half-way.
#[tokio::test]
async fn revoking_all_ends_what_a_dropped_revocation_left() {
    let proof = GRANTING[0].1;
    let some = || (2..=12).step_by(2);
    for first in some() {
        for (second, third) in some().flat_map(|second| some().map(move |third| (second, third))) {
            for fourth in [3, 6, 9] {
                let world = World::new(Before::Granted).await;
                let node = &world.nodes[0];
                let revoke = Box::pin(async { node.revoke(&world.here).await.unwrap() });
                let polls = [first, second, third, fourth];
                take_turns(&polls, proof(&world, 1), revoke, true);
                node.revoke_all("alice").await.unwrap();
                let left = node.authorize(&world.here, &Requirement::new()).await.is_ok();
                assert!(!left, "after {polls:?} polls");
            }
        }
    }
}

/// T32, T33: if the response to starting a generation is lost, and another revocation has ended that generation, it is
/// not started again: operations in progress grant nothing.
#[tokio::test]
async fn an_ended_generation_does_not_come_back() {
    let mut orders = 0;
    for changed_polls in 1.. {
        // The first poll of a proof reads nothing.
        for proof_polls in 2..20 {
            let world = World::new(Before::Granted).await;
            let [node, other] = &world.nodes;
            let late = Caller::user("alice").session("late");
            let swaps = world.store.swaps();
            world.store.conflict_after(0);
            let mut changed = Box::pin(node.factors_changed(&world.here));
            let is_over = (0..changed_polls).any(|_| changed.as_mut().poll(&mut context()).is_ready());
            if is_over {
                assert!(orders > 20, "{orders}");
                return;
            }
            if world.store.swaps() != swaps + 1 {
                break;
            }
            let mut proof = Box::pin(other.record_proof(&late, Proof::new("PASSKEY")));
            if (0..proof_polls).any(|_| proof.as_mut().poll(&mut context()).is_ready()) {
                break;
            }
            orders += 1;
            other.revoke_all("alice").await.unwrap();
            changed.await.unwrap();
            let _ = proof.await;
            let left = node.authorize(&late, &Requirement::new()).await.is_ok();
            assert!(!left, "after {changed_polls} and {proof_polls} polls");
        }
    }
}
