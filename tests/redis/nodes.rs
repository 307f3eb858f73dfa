//! Several nodes on one server: one truth.

use std::time::Duration;

use futures_util::future::join_all;
use tower_step_up::{Caller, ChallengeError, Policy, PushAnswer, Requirement};

use crate::server::Server;

/// Long enough for a machine with many tests on it.
fn patient() -> Policy {
    Policy::new().store_deadline(Duration::from_secs(10))
}

fn alice() -> Caller {
    Caller::new("alice", "1")
}

#[tokio::test]
async fn what_one_node_does_every_other_sees_at_once() {
    let server = Server::start();
    let (a, b) = (server.node_with(patient()), server.node_with(patient()));
    let any = Requirement::new();
    a.start_otp(&alice(), "SMS", None).await.unwrap();
    assert!(b.check(&alice(), &any).await.is_err());
    b.verify_otp(&alice(), "SMS", "123456").await.unwrap();
    assert!(a.check(&alice(), &any).await.is_ok());
    b.revoke(&alice()).await.unwrap();
    assert!(a.check(&alice(), &any).await.is_err());

    let push = a.start_push(&alice(), "BIO", None).await.unwrap();
    b.answer_push("alice", &push.id, PushAnswer::Approve).await.unwrap();
    assert!(a.check(&alice(), &any).await.is_ok());
    b.revoke_all("alice").await.unwrap();
    assert!(a.check(&alice(), &any).await.is_err());
    a.lock("alice").await.unwrap();
    assert_eq!(b.start_otp(&alice(), "SMS", None).await, Err(ChallengeError::Forbidden));
}

/// T1: 32 guesses on two nodes at once count as on one, and then the right code fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_on_two_nodes_count_together() {
    let server = Server::start();
    let nodes = [server.node_with(patient()), server.node_with(patient())];
    for round in 0..10 {
        let caller = Caller::new(format!("user {round}"), "1");
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

/// T2, T27: one of many right codes on two nodes succeeds, and one of many requests spends the grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_grants_are_spent_once_over_all_nodes() {
    let server = Server::start();
    let nodes = [server.node_with(patient()), server.node_with(patient())];
    let once = Requirement::new().once();
    for round in 0..10 {
        let caller = Caller::new(format!("user {round}"), "1");
        nodes[0].start_otp(&caller, "SMS", None).await.unwrap();
        let codes = (0..16).map(|i| {
            let (node, caller) = (nodes[i % 2].clone(), caller.clone());
            tokio::spawn(async move { node.verify_otp(&caller, "SMS", "123456").await.is_ok() })
        });
        assert_eq!(join_all(codes).await.into_iter().filter(|ok| *ok.as_ref().unwrap()).count(), 1, "round {round}");
        let spent = (0..32).map(|i| {
            let (node, caller, once) = (nodes[i % 2].clone(), caller.clone(), once.clone());
            tokio::spawn(async move { node.check(&caller, &once).await.is_ok() })
        });
        assert_eq!(join_all(spent).await.into_iter().filter(|ok| *ok.as_ref().unwrap()).count(), 1, "round {round}");
    }
}

/// T16: whoever comes first, nothing is left of what was verified while it was revoked elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_on_one_node_races_verifying_on_another() {
    let server = Server::start();
    let (a, b) = (server.node_with(patient()), server.node_with(patient()));
    for round in 0..50 {
        let caller = Caller::new(format!("user {round}"), "1");
        a.start_otp(&caller, "SMS", None).await.unwrap();
        let verify = {
            let (a, caller) = (a.clone(), caller.clone());
            tokio::spawn(async move { drop(a.verify_otp(&caller, "SMS", "123456").await) })
        };
        b.revoke_all(caller.subject()).await.unwrap();
        verify.await.unwrap();
        assert!(a.check(&caller, &Requirement::new()).await.is_err(), "round {round}: a grant is left");
    }
}
