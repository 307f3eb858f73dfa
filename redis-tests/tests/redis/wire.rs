//! Round trips, and the contents of the database.

use std::time::Duration;

use tower_step_up::{Caller, Policy, PushReply, Recipient, Requirement, StepUp};

use crate::server::Server;

/// The number of commands that a server has run, by its own statistics.
fn commands(server: &Server, name: &str) -> u64 {
    let stats = server.say(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// A start and a verification take two round trips each: both loads are sent together, and one script writes both
/// records. A guard takes one. A push takes three, because it is marked as sent afterwards; its approval takes five.
#[tokio::test]
async fn round_trips_are_few() {
    let server = Server::start();
    let node = server.node_with(Policy::new().store_deadline(Duration::from_secs(10)));
    // Opens the connection and loads both scripts, for new and for existing records.
    let first = Caller::user("first").session("1");
    node.start_otp(&first, "SMS", None).await.unwrap();
    node.verify_otp(&first, "SMS", "123456").await.unwrap();
    let alice = Caller::user("alice").session("1");
    let count = |name| commands(&server, name);
    let before = (count("get"), count("evalsha"));
    node.start_otp(&alice, "SMS", None).await.unwrap();
    node.verify_otp(&alice, "SMS", "123456").await.unwrap();
    let after = (count("get"), count("evalsha"));
    assert_eq!((after.0 - before.0, after.1 - before.1), (4, 2), "two pairs of loads, and a swap each");
    node.authorize(&alice, &Requirement::new()).await.unwrap();
    assert_eq!((count("get"), count("evalsha")), (after.0 + 1, after.1), "a guard is one GET");
    node.authorize(&alice, &Requirement::new().once()).await.unwrap();
    assert_eq!((count("get"), count("evalsha")), (after.0 + 2, after.1 + 1), "a one-time guard also writes");

    let bob = Caller::user("bob").session("1");
    let mut last = (count("get"), count("evalsha"));
    let mut since = || {
        let before = std::mem::replace(&mut last, (count("get"), count("evalsha")));
        (last.0 - before.0, last.1 - before.1)
    };
    let push = node.start_push(&bob, "BIO", None).await.unwrap();
    assert_eq!(since(), (2, 2), "starting a push: a pair of loads, a swap, and the mark that it was sent");
    node.push_status(&bob, "BIO", &push.id).await.unwrap();
    assert_eq!(since(), (1, 0), "a poll");
    node.answer_push("bob", &push.id, PushReply::Approve).await.unwrap();
    assert_eq!(since(), (3, 2), "an approval: the user's record is loaded again after the session's");

    enrolled(&server).start_otp(&Caller::user("carol").session("1"), "SMS", None).await.unwrap();
    assert_eq!(since(), (3, 2), "a code to a named recipient: one more record");
}

/// A node whose enrollment names every user's recipient.
fn enrolled(server: &Server) -> StepUp {
    server
        .builder(Policy::new().store_deadline(Duration::from_secs(10)))
        .enrollment(async |caller: Caller, _: String| Ok(Recipient::new(caller.subject())))
        .build()
        .unwrap()
}

/// How long a lock by the application is kept, in milliseconds.
const TEN_YEARS: i64 = 315_360_000_000;

/// T25: every key expires. T12: no key or value contains a user, session or code.
#[tokio::test]
async fn every_key_expires_and_names_no_user() {
    let server = Server::start();
    let node = server.node_with(Policy::new().store_deadline(Duration::from_secs(10)));
    let alice = Caller::user("canary-user").session("canary-session");
    let look = |step: &str| {
        let keys = server.keys();
        assert!(!keys.is_empty(), "{step}");
        for key in keys {
            assert!(server.number(&["PTTL", &key]) > 0, "{step}: {key} does not expire");
            assert_eq!(key.len(), "step-up:{}".len() + 43, "{step}: {key}");
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

/// The lifetimes of a user's records, by their contents.
#[tokio::test]
async fn records_are_kept_as_long_as_documented() {
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    let kept = |server: &Server| {
        let mut kept: Vec<_> = server.keys().iter().map(|key| server.number(&["PTTL", key])).collect();
        kept.sort_unstable();
        kept
    };
    let are = |server: &Server, expected: &[i64], what: &str| {
        let kept = kept(server);
        assert_eq!(kept.len(), expected.len(), "{what}: {kept:?}");
        // A busy machine takes longer.
        let is = kept.iter().zip(expected).all(|(kept, expected)| (expected - 2 * MINUTE..=*expected).contains(kept));
        assert!(is, "{what}: {kept:?}");
    };
    let alice = Caller::user("alice").session("1");
    let server = Server::start();
    let node = server.node_with(Policy::new().store_deadline(Duration::from_secs(10)));
    node.start_otp(&alice, "SMS", None).await.unwrap();
    are(&server, &[65 * MINUTE, DAY], "a code");
    node.verify_otp(&alice, "SMS", "123456").await.unwrap();
    are(&server, &[70 * MINUTE, DAY], "stepped up");

    let server = Server::start();
    let policy = Policy::new().store_deadline(Duration::from_secs(10)).starts_per_session(1);
    server.node_with(policy).start_otp(&alice, "SMS", None).await.unwrap();
    are(&server, &[DAY, 30 * DAY], "a code in a session whose starts are limited");

    let server = Server::start();
    let node = enrolled(&server);
    node.start_otp(&alice, "SMS", None).await.unwrap();
    node.verify_otp(&alice, "SMS", "000000").await.unwrap_err();
    are(&server, &[65 * MINUTE, DAY, 400 * DAY], "a wrong code; the recipient's record is between the two others");
    node.verify_otp(&alice, "SMS", "123456").await.unwrap();
    are(&server, &[70 * MINUTE, DAY, 30 * DAY], "the right code, after which the recipient is known");
}
