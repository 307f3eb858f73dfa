//! T24: faults of the server, and the responses to a client. No request passes wrongly or hangs, and every fault heals.
//!
//! | fault | guard | start | afterwards |
//! |---|---|---|---|
//! | killed | 503 | 503 | with its log: passes again, and locks stand; restarted empty: `missing` |
//! | stopped (`SIGSTOP`) | 503 within the deadline | 503 | passes again |
//! | `CLIENT PAUSE` | 503 within the deadline | 503 | passes again |
//! | made a replica (read-only) | passes: it reads | 503 | starts again, once it is a master |
//! | the same, with `replica-serve-stale-data no` | 503 | 503 | passes again, once it is a master |
//! | out of memory | passes: it reads; revocations and locks are written | 503 for new users | starts again, once there is room |
//! | scripts flushed | passes | starts: the script is sent again | – |
//! | slow network | 503 within the deadline | 503 | passes again |
//! | a replica that lagged is promoted | `missing` for what it has not seen | starts | guesses count on |
//! | everything forgotten, again and again | `missing` | refused at the day's limit, which the process remembers | – |

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use testkit::alice;
use tower_step_up::{
    AuthorizeError, Caller, ChallengeError, Event, ManualClock, Policy, Requirement, StepUp, UnmetReason,
};

use crate::{
    proxy::Proxy,
    server::{Server, until},
};

async fn stepped_up(server: &Server) -> StepUp {
    let node = server.node();
    until(async || node.start_otp(&alice(), "SMS", None).await.is_ok()).await;
    until(async || node.verify_otp(&alice(), "SMS", "123456").await.is_ok() || passes(&node).await).await;
    node
}

async fn passes(node: &StepUp) -> bool {
    node.authorize(&alice(), &Requirement::new()).await.is_ok()
}

/// Asserts refusals in bounded time, also on a busy machine.
async fn is_down(node: &StepUp, what: &str) {
    for _ in 0..3 {
        let both = async {
            let checked = node.authorize(&alice(), &Requirement::new()).await;
            assert_eq!(checked.unwrap_err(), AuthorizeError::Unavailable, "{what}");
            let started = node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await;
            assert_eq!(started, Err(ChallengeError::Unavailable), "{what}");
        };
        // Two operations with a deadline of 250 ms each.
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("a response in time");
    }
}

#[tokio::test]
async fn killed_and_restarted_empty() {
    let mut server = Server::start();
    let node = stepped_up(&server).await;
    server.kill();
    is_down(&node, "killed").await;
    server.again();
    until(async || {
        let missing = AuthorizeError::StepUpRequired(UnmetReason::Missing.into());
        node.authorize(&alice(), &Requirement::new()).await == Err(missing)
    })
    .await;
    until(async || node.start_otp(&alice(), "SMS", None).await.is_ok()).await;
}

/// With its log (`appendonly yes`), as documented.
#[tokio::test]
async fn killed_and_restarted_with_its_log() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let node = stepped_up(&server).await;
    until(async || node.lock("locked").await.is_ok()).await;
    server.kill();
    is_down(&node, "killed").await;
    server.again();
    until(async || passes(&node).await).await;
    let locked = || async { node.start_otp(&Caller::user("locked").session("1"), "SMS", None).await };
    until(async || locked().await != Err(ChallengeError::Unavailable)).await;
    assert_eq!(locked().await, Err(ChallengeError::Forbidden));
}

#[tokio::test]
async fn stopped_and_continued() {
    let server = Server::start();
    let node = stepped_up(&server).await;
    server.signal("STOP");
    is_down(&node, "stopped").await;
    server.signal("CONT");
    until(async || passes(&node).await).await;
}

#[tokio::test]
async fn paused() {
    let server = Server::start();
    let node = stepped_up(&server).await;
    server.say(&["CLIENT", "PAUSE", "3000", "ALL"]);
    is_down(&node, "paused").await;
    until(async || passes(&node).await).await;
}

#[tokio::test]
async fn made_a_replica_and_a_master_again() {
    let server = Server::start();
    let node = stepped_up(&server).await;
    // A replica of a server that does not exist: it keeps its data and refuses writes.
    server.say(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    server.say(&["REPLICAOF", "127.0.0.1", "1"]);
    let started = node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await;
    assert_eq!(started, Err(ChallengeError::Unavailable));
    server.say(&["REPLICAOF", "NO", "ONE"]);
    until(async || passes(&node).await).await;
    until(async || node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await.is_ok()).await;
}

/// With `replica-serve-stale-data no`, as documented, because the data of a replica without its master may be stale.
#[tokio::test]
async fn a_replica_without_its_master_is_not_read() {
    let server = Server::start();
    let node = stepped_up(&server).await;
    server.say(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    server.say(&["REPLICAOF", "127.0.0.1", "1"]);
    is_down(&node, "MASTERDOWN").await;
    server.say(&["REPLICAOF", "NO", "ONE"]);
    until(async || passes(&node).await).await;
}

#[tokio::test]
async fn out_of_memory() {
    let server = Server::start();
    let node = stepped_up(&server).await;
    server.say(&["CONFIG", "SET", "maxmemory", "1"]);
    until(async || passes(&node).await).await;
    let started = node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await;
    assert_eq!(started, Err(ChallengeError::Unavailable));
    // The error of any full store.
    let errors = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&errors);
    let patient = server.builder(Policy::new().store_deadline(Duration::from_secs(10)));
    let patient = patient.observe(move |event: &Event<'_>| {
        if let Event::StoreFailed { error, .. } = event {
            observed.lock().unwrap().push(error.to_string());
        }
    });
    let started = patient.build().unwrap().start_otp(&Caller::user("bob").session("1"), "SMS", None).await;
    assert_eq!(started, Err(ChallengeError::Unavailable));
    assert_eq!(*errors.lock().unwrap(), ["the store has no room for another record"]);
    // A session that is new, of a user who is not: neither record is written.
    let records = || server.keys().into_iter().map(|key| server.say(&["GET", &key])).collect::<Vec<_>>();
    let before = records();
    let started = node.start_otp(&Caller::user("alice").session("another"), "SMS", None).await;
    assert_eq!(started, Err(ChallengeError::Unavailable));
    assert_eq!(records(), before);
    for answer in [node.lock("bob").await, node.unlock("bob").await] {
        assert_eq!(answer, Err(ChallengeError::Unavailable), "a new user");
    }
    // T36: existing records can be updated, so that revocations and locks work.
    until(async || node.revoke(&alice()).await.is_ok()).await;
    assert!(!passes(&node).await, "it was revoked");
    node.revoke_all("alice").await.unwrap();
    node.lock("alice").await.unwrap();
    assert_eq!(node.start_otp(&alice(), "SMS", None).await, Err(ChallengeError::Forbidden));
    server.say(&["CONFIG", "SET", "maxmemory", "0"]);
    until(async || node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await.is_ok()).await;
}

#[tokio::test]
async fn scripts_flushed() {
    let server = Server::start();
    let node = stepped_up(&server).await;
    server.say(&["SCRIPT", "FLUSH"]);
    until(async || node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await.is_ok()).await;
}

/// The process remembers what the server has lost: a restart of the server does not raise the limit of attempts.
#[tokio::test]
async fn a_server_that_loses_records_allows_no_more_attempts() {
    let (server, clock) = (Server::start(), ManualClock::new());
    let policy = Policy::new().store_deadline(Duration::from_secs(10)).wrong_codes_a_day(12).lockout_every(10);
    let node = || server.builder(policy.clone()).clock(clock.clone()).build().unwrap();
    let guess = async |node: &StepUp| {
        clock.advance(Duration::from_secs(400));
        if node.start_otp(&alice(), "SMS", None).await.is_err() {
            return 0;
        }
        let mut evaluated = 0;
        for _ in 0..5 {
            let answer = node.verify_otp(&alice(), "SMS", "000000").await.map(drop);
            evaluated +=
                usize::from(!matches!(answer, Err(ChallengeError::RateLimited(_) | ChallengeError::StateInvalid)));
        }
        evaluated
    };
    let first = node();
    let mut evaluated = 0;
    for _ in 0..10 {
        evaluated += guess(&first).await;
        server.say(&["FLUSHALL"]);
    }
    assert_eq!(evaluated, 12, "the limit of a day");
    let second = node();
    for _ in 0..10 {
        evaluated += guess(&second).await;
        server.say(&["FLUSHALL"]);
    }
    assert_eq!(evaluated, 24, "another process counts separately");
    // The second sees what the first writes again.
    assert_eq!(guess(&first).await, 0);
    first.unlock("alice").await.unwrap();
    assert!(guess(&first).await > 0, "unlocking clears the remembered attempts, too");
}

#[tokio::test]
async fn a_slow_network() {
    let server = Server::start();
    let proxy = Proxy::start(server.port()).await;
    let node = Server::builder_at(&proxy.address(), Policy::new()).build().unwrap();
    until(async || node.start_otp(&alice(), "SMS", None).await.is_ok()).await;
    until(async || node.verify_otp(&alice(), "SMS", "123456").await.is_ok() || passes(&node).await).await;
    proxy.delay(Duration::from_millis(400));
    is_down(&node, "slow").await;
    proxy.delay(Duration::ZERO);
    until(async || passes(&node).await).await;
}

/// The promoted replica lacks the last writes: missing grants are refused, and attempts stay counted.
#[tokio::test]
async fn a_replica_that_lagged_is_promoted() {
    let mut master = Server::start();
    let replica = Server::start();
    let between = Proxy::start(master.port()).await;
    replica.say(&["REPLICAOF", "127.0.0.1", &between.port().to_string()]);
    until(async || replica.say(&["INFO", "replication"]).contains("master_link_status:up")).await;
    let proxy = Proxy::start(master.port()).await;
    let clock = ManualClock::new();
    let policy = Policy::new().store_deadline(Duration::from_secs(5)).wrong_codes_a_day(5);
    let node = Server::builder_at(&proxy.address(), policy).clock(clock.clone()).build().unwrap();
    node.start_otp(&alice(), "SMS", None).await.unwrap();
    master.is_copied_to(&replica).await;
    between.delay(Duration::from_secs(3600));
    for _ in 0..4 {
        assert!(matches!(
            node.verify_otp(&alice(), "SMS", "000000").await.map(drop),
            Err(ChallengeError::CodeInvalid | ChallengeError::OneTryRemaining)
        ));
    }
    let bob = Caller::user("bob").session("1");
    node.start_otp(&bob, "SMS", None).await.unwrap();
    node.verify_otp(&bob, "SMS", "123456").await.unwrap();

    master.kill();
    replica.say(&["REPLICAOF", "NO", "ONE"]);
    proxy.switch_to(replica.port());
    let missing = || AuthorizeError::StepUpRequired(UnmetReason::Missing.into());
    until(async || node.authorize(&bob, &Requirement::new()).await == Err(missing())).await;
    // Four of the day's five attempts are missing in the store, but not in this process.
    let fifth = node.verify_otp(&alice(), "SMS", "000000").await.map(drop);
    assert!(matches!(fifth, Err(ChallengeError::CodeInvalid)), "{fifth:?}");
    let right = node.verify_otp(&alice(), "SMS", "123456").await.map(drop);
    assert!(matches!(right, Err(ChallengeError::RateLimited(_))), "{right:?}");
}
