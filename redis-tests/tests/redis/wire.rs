//! What goes over the wire, and what stands in the database.

use std::time::Duration;

use tower_step_up::{Caller, Policy, PushAnswer, Requirement};

use crate::server::Server;

/// The commands that a server has taken so far, by its own count, those that asked for it left out.
fn commands(server: &Server, name: &str) -> u64 {
    let stats = server.say(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// A start and a verification take 3 and 4 round trips: both loads go together. A guard takes one. A
/// push takes 5: it is noted as sent afterwards. Its approval takes 5 as well.
#[tokio::test]
async fn round_trips_are_few() {
    let server = Server::start();
    let node = server.node_with(Policy::new().store_deadline(Duration::from_secs(10)));
    // The connection, and both scripts, which the server learns once: for what is new, and for what exists.
    let first = Caller::new("first", "1");
    node.start_otp(&first, "SMS", None).await.unwrap();
    node.verify_otp(&first, "SMS", "123456").await.unwrap();
    let alice = Caller::new("alice", "1");
    let count = |name| commands(&server, name);
    let before = (count("get"), count("evalsha"));
    node.start_otp(&alice, "SMS", None).await.unwrap();
    node.verify_otp(&alice, "SMS", "123456").await.unwrap();
    let after = (count("get"), count("evalsha"));
    // Two pairs of loads, two swaps of the start, three of the verification.
    assert_eq!((after.0 - before.0, after.1 - before.1), (4, 5), "that is 2 + 5 round trips");
    node.check(&alice, &Requirement::new()).await.unwrap();
    assert_eq!((count("get"), count("evalsha")), (after.0 + 1, after.1), "a guard is one GET");

    let bob = Caller::new("bob", "1");
    let mut last = (count("get"), count("evalsha"));
    let mut since = || {
        let before = std::mem::replace(&mut last, (count("get"), count("evalsha")));
        (last.0 - before.0, last.1 - before.1)
    };
    let push = node.start_push(&bob, "BIO", None).await.unwrap();
    assert_eq!(since(), (3, 3), "a push is started: a pair of loads, two swaps, and it is noted as sent");
    node.push_status(&bob, "BIO", &push.id).await.unwrap();
    assert_eq!(since(), (1, 0), "it is polled");
    node.answer_push("bob", &push.id, PushAnswer::Approve).await.unwrap();
    assert_eq!(since(), (3, 2), "it is approved: the user's record is looked at again once the session's was read");
}

/// As long as the application's lock is kept, in milliseconds.
const TEN_YEARS: i64 = 315_360_000_000;

/// T25: every key ends by itself. T12: no user, session or code stands in a name or a value.
#[tokio::test]
async fn every_key_ends_and_names_nobody() {
    let server = Server::start();
    let node = server.node_with(Policy::new().store_deadline(Duration::from_secs(10)));
    let alice = Caller::new("canary-user", "canary-session");
    let look = |step: &str| {
        let keys = server.keys();
        assert!(!keys.is_empty(), "{step}");
        for key in keys {
            assert!(server.number(&["PTTL", &key]) > 0, "{step}: {key} has no end");
            let value = server.say(&["GET", &key]);
            for canary in ["canary-user", "canary-session", "123456"] {
                assert!(!key.contains(canary) && !value.contains(canary), "{step}: {canary}");
            }
        }
    };
    node.start_otp(&alice, "SMS", None).await.unwrap();
    look("started");
    let _ = node.verify_otp(&alice, "SMS", "000000").await;
    look("wrong");
    node.verify_otp(&alice, "SMS", "123456").await.unwrap();
    look("verified");
    node.start_push(&alice, "BIO", None).await.unwrap();
    look("push");
    node.lock("canary-user").await.unwrap();
    look("locked");
    let longest = server.keys().iter().map(|key| server.number(&["PTTL", key])).max().unwrap();
    assert!((TEN_YEARS - 60_000..=TEN_YEARS).contains(&longest), "a lock is kept for {longest} ms");
    node.revoke_all("canary-user").await.unwrap();
    look("revoked");
}
