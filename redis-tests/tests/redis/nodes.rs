//! Several nodes share the state on one server.

use std::time::Duration;

use futures_util::future::join_all;
use testkit::alice;
use tower_step_up::{
    Caller, ChallengeError, ConfigError, ManualClock, Policy, PushReply, Requirement, Secret, StepUp, discard,
};

use crate::server::Server;

/// Deadlines long enough for a busy machine.
pub(crate) fn patient() -> Policy {
    Policy::new().store_deadline(Duration::from_secs(10))
}

#[tokio::test]
async fn what_one_node_writes_every_other_sees_at_once() {
    let server = Server::start();
    share_one_state(server.node_with(patient()), server.node_with(patient())).await;
}

pub(crate) async fn share_one_state(a: StepUp, b: StepUp) {
    let any = Requirement::new();
    a.start_otp(&alice(), "SMS", None).await.unwrap();
    assert!(b.authorize(&alice(), &any).await.is_err());
    b.verify_otp(&alice(), "SMS", "123456").await.unwrap();
    assert!(a.authorize(&alice(), &any).await.is_ok());
    b.revoke(&alice()).await.unwrap();
    assert!(a.authorize(&alice(), &any).await.is_err());

    let push = a.start_push(&alice(), "BIO", None).await.unwrap();
    b.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
    assert!(a.authorize(&alice(), &any).await.is_ok());
    b.revoke_all("alice").await.unwrap();
    assert!(a.authorize(&alice(), &any).await.is_err());
    a.lock("alice").await.unwrap();
    assert_eq!(b.start_otp(&alice(), "SMS", None).await, Err(ChallengeError::Forbidden));
}

/// T1: 32 concurrent attempts on two nodes are counted as on one, and then the right code fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_on_two_nodes_count_together() {
    let server = Server::start();
    let nodes = [server.node_with(patient()), server.node_with(patient())];
    for round in 0..10 {
        let caller = Caller::user(format_args!("user {round}")).session("1");
        nodes[0].start_otp(&caller, "SMS", None).await.unwrap();
        let guesses = (0..32).map(|i| {
            let (node, caller) = (nodes[i % 2].clone(), caller.clone());
            tokio::spawn(async move { node.verify_otp(&caller, "SMS", "000000").await.map(drop) })
        });
        let wrong = join_all(guesses).await.into_iter().map(Result::unwrap).filter(|answer| {
            use ChallengeError::{ChallengeLimitExceeded, CodeInvalid, OneTryRemaining};
            matches!(answer, Err(CodeInvalid | OneTryRemaining | ChallengeLimitExceeded))
        });
        assert_eq!(wrong.count(), 5, "round {round}");
        let right = nodes[1].verify_otp(&caller, "SMS", "123456").await.map(drop);
        assert!(right.is_err(), "round {round}: {right:?}");
    }
}

/// T2, T27: of many right codes on two nodes one succeeds, and of many requests one consumes the grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_grants_are_consumed_once_over_all_nodes() {
    let server = Server::start();
    let nodes = [server.node_with(patient()), server.node_with(patient())];
    let once = Requirement::new().once();
    for round in 0..10 {
        let caller = Caller::user(format_args!("user {round}")).session("1");
        nodes[0].start_otp(&caller, "SMS", None).await.unwrap();
        let codes = (0..16).map(|i| {
            let (node, caller) = (nodes[i % 2].clone(), caller.clone());
            tokio::spawn(async move { node.verify_otp(&caller, "SMS", "123456").await.is_ok() })
        });
        assert_eq!(join_all(codes).await.into_iter().filter(|ok| *ok.as_ref().unwrap()).count(), 1, "round {round}");
        let spent = (0..32).map(|i| {
            let (node, caller, once) = (nodes[i % 2].clone(), caller.clone(), once.clone());
            tokio::spawn(async move { node.authorize(&caller, &once).await.is_ok() })
        });
        assert_eq!(join_all(spent).await.into_iter().filter(|ok| *ok.as_ref().unwrap()).count(), 1, "round {round}");
    }
}

/// T16: verifying on one node while another revokes leaves no grant, in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_on_one_node_races_verifying_on_another() {
    let server = Server::start();
    let (a, b) = (server.node_with(patient()), server.node_with(patient()));
    for round in 0..50 {
        let caller = Caller::user(format_args!("user {round}")).session("1");
        a.start_otp(&caller, "SMS", None).await.unwrap();
        let verify = {
            let (a, caller) = (a.clone(), caller.clone());
            tokio::spawn(async move { drop(a.verify_otp(&caller, "SMS", "123456").await) })
        };
        b.revoke_all(caller.subject()).await.unwrap();
        verify.await.unwrap();
        assert!(a.authorize(&caller, &Requirement::new()).await.is_err(), "round {round}: a grant is left");
    }
}

/// The secret of the codes is rotated node by node, as documented in `docs/operations.md`: pending codes and step-ups
/// stay valid, and no lock or count is lost.
#[tokio::test]
async fn the_secret_is_rotated_node_by_node() {
    let (server, clock) = (Server::start(), ManualClock::new());
    let secret = |byte| Secret::new([byte; 32]).unwrap();
    let (old, new) = (10, 11);
    let node = |current, previous: Option<u8>| {
        let builder = server.builder(patient().wrong_codes_a_day(8)).clock(clock.clone()).secret(secret(current));
        let builder = match previous {
            Some(previous) => builder.previous_secret(secret(previous)),
            None => builder,
        };
        builder.build().unwrap()
    };
    let steps = [(old, None), (old, Some(new)), (new, Some(old)), (new, None)];
    let user = |name: &str, step: usize| Caller::user(format_args!("{name}{step}")).session("1");
    let (mallory, stepped_up) = (Caller::user("mallory").session("1"), Caller::user("carol").session("1"));
    let mut nodes = [node(old, None), node(old, None)];
    nodes[0].lock("locked").await.unwrap();
    nodes[0].start_otp(&stepped_up, "SMS", None).await.unwrap();
    nodes[1].verify_otp(&stepped_up, "SMS", "123456").await.unwrap();
    let (mut wrong, mut number) = (0, 0);
    for (current, previous) in steps.into_iter().skip(1) {
        for which in [0, 1] {
            number += 1;
            // Codes that each node created before one of them is replaced.
            let (by_a, by_b) = (user("a", number), user("b", number));
            nodes[0].start_otp(&by_a, "SMS", None).await.unwrap();
            nodes[1].start_otp(&by_b, "SMS", None).await.unwrap();
            nodes[which] = node(current, previous);
            // Each is verified by the other node or its successor.
            nodes[1].verify_otp(&by_a, "SMS", "123456").await.unwrap();
            nodes[0].verify_otp(&by_b, "SMS", "123456").await.unwrap();

            // Wrong codes are counted over both nodes.
            clock.advance(Duration::from_secs(100));
            nodes[which].start_otp(&mallory, "SMS", None).await.unwrap_or_default();
            for node in &nodes {
                use ChallengeError::{ChallengeLimitExceeded, CodeInvalid, OneTryRemaining};
                let answer = node.verify_otp(&mallory, "SMS", "000000").await.map(drop);
                wrong += i32::from(matches!(answer, Err(CodeInvalid | OneTryRemaining | ChallengeLimitExceeded)));
            }
            for node in &nodes {
                assert!(node.authorize(&stepped_up, &Requirement::new()).await.is_ok(), "the step-up stays valid");
                let locked = Caller::user("locked").session("1");
                assert_eq!(node.start_otp(&locked, "SMS", None).await, Err(ChallengeError::Forbidden));
            }
            // The lifetime of a code passes before the old secret is removed.
            if (current, which) == (new, 1) && previous.is_some() {
                clock.advance(Duration::from_secs(300));
                nodes[0].start_otp(&stepped_up, "SMS", None).await.unwrap();
                nodes[0].verify_otp(&stepped_up, "SMS", "123456").await.unwrap();
            }
        }
    }
    assert_eq!(wrong, 8, "the limit of a day, over all nodes and secrets");
}

/// Without a secret, a node on a shared store is not built.
#[tokio::test]
async fn without_a_secret_no_node_is_built() {
    let server = Server::start();
    let built = StepUp::builder().sandbox().otp("SMS", discard).store(server.store()).build();
    let error = built.err().unwrap();
    assert_eq!(error, ConfigError::SecretRequired);
    assert!(error.to_string().contains("call .secret("), "{error}");
    let builder = StepUp::builder().sandbox().otp("SMS", discard).secret(Secret::new([2; 32]).unwrap());
    let error = builder.store(server.store()).build().unwrap_err();
    assert_eq!(error, ConfigError::RecordKeyRequired);
}
