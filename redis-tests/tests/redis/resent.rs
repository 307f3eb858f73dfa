//! T33: the cluster client resends a script if its connection breaks before the response.

use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, SendBudget, StepUp, store::RedisStore};

use crate::{
    proxy::Proxy,
    server::{Server, until},
};

/// A cluster of one master, behind a proxy that can lose a response.
async fn cluster() -> (Server, Proxy) {
    let server = Server::with(&["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]);
    let proxy = Proxy::start(server.port()).await;
    for command in [
        &["CONFIG", "SET", "cluster-announce-port", &proxy.port().to_string()][..],
        &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"],
    ] {
        assert_eq!(server.say(command), "+OK\r\n", "{command:?}");
    }
    until(async || server.say(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
    (server, proxy)
}

const DISABLE_AT: u8 = 5;

/// A node with a cluster client. Both scripts are loaded on the server afterwards.
async fn node(proxy: &Proxy, clock: &ManualClock, max_attempts: u8) -> StepUp {
    let connection = ClusterClientBuilder::new([proxy.address()])
        .connection_timeout(Duration::from_secs(5))
        .response_timeout(Duration::from_secs(5))
        .build()
        .unwrap()
        .get_async_connection()
        .await
        .unwrap();
    let store = RedisStore::over(connection);
    let node =
        Server::builder_at(&proxy.address(), policy(max_attempts)).clock(clock.clone()).store(store).build().unwrap();
    let first = Caller::user("first").session("1");
    node.start_otp(&first, "SMS", None).await.unwrap();
    node.verify_otp(&first, "SMS", "123456").await.unwrap();
    node
}

fn policy(max_attempts: u8) -> Policy {
    let policy = Policy::new()
        .max_attempts(max_attempts)
        .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
        .disable_after(DISABLE_AT);
    policy.store_deadline(Duration::from_secs(10))
}

/// Whether a code was compared: after a start it is, with any response, unless the user is locked out.
fn was_compared(answer: &Result<(), ChallengeError>) -> bool {
    !matches!(answer, Err(ChallengeError::RateLimited(_) | ChallengeError::Forbidden))
}

/// If the response to the write of each attempt is lost, no more attempts are compared than the policy allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_response_leaves_no_attempt_uncounted() {
    let (_server, proxy) = cluster().await;
    let clock = ManualClock::new();
    let step_up = node(&proxy, &clock, 1).await;
    let mallory = Caller::user("mallory").session("1");
    let (lost, mut compared) = (proxy.lost(), 0);
    for _ in 0..4 * DISABLE_AT {
        clock.advance(Duration::from_secs(15));
        if step_up.start_otp(&mallory, "SMS", None).await.is_err() {
            break;
        }
        proxy.lose_response_to_script(1);
        let answer = step_up.verify_otp(&mallory, "SMS", "000000").await.map(drop);
        compared += u8::from(was_compared(&answer));
    }
    assert_eq!(compared, DISABLE_AT, "the answer to each write is lost");
    assert_eq!(proxy.lost() - lost, u32::from(compared), "one of each guess");
}

/// Before the script is resent, the last attempt of the challenge is made in the same session: the first one then finds
/// no challenge, but stays counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_response_leaves_no_attempt_uncounted_with_a_concurrent_one() {
    let (server, proxy) = cluster().await;
    let clock = ManualClock::new();
    let loses = node(&proxy, &clock, 2).await;
    let other = server.builder(policy(2)).clock(clock.clone()).build().unwrap();
    let mallory = Caller::user("mallory").session("1");
    let mut compared = 0;
    for _ in 0..4 * DISABLE_AT {
        clock.advance(Duration::from_secs(15));
        if other.start_otp(&mallory, "SMS", None).await.is_err() {
            break;
        }
        let lost = proxy.lost();
        proxy.hold(true);
        // Its result is written, but the response is outstanding.
        proxy.lose_response_to_script(1);
        let (first, second) =
            tokio::join!(async { loses.verify_otp(&mallory, "SMS", "000000").await.map(drop) }, async {
                until(async || proxy.lost() > lost).await;
                let answer = other.verify_otp(&mallory, "SMS", "000000").await.map(drop);
                proxy.hold(false);
                answer
            });
        compared += u8::from(was_compared(&first)) + u8::from(was_compared(&second));
    }
    // Two concurrent attempts may exceed the limit by one.
    assert!((DISABLE_AT..=DISABLE_AT + 1).contains(&compared), "{compared} attempts were compared");
}
