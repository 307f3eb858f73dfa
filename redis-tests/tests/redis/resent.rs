//! T33: the client of a cluster sends a script again where its connection breaks before the answer.

use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, SendBudget, StepUp, store::RedisStore};

use crate::{
    proxy::Proxy,
    server::{Server, until},
};

/// A cluster of one master, which its clients reach by a network that may lose an answer.
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

/// A node over the client of a cluster. The server has both scripts from here on.
async fn node(proxy: &Proxy, clock: &ManualClock, tries: u8) -> StepUp {
    let connection = ClusterClientBuilder::new([proxy.address()])
        .connection_timeout(Duration::from_secs(5))
        .response_timeout(Duration::from_secs(5))
        .build()
        .unwrap()
        .get_async_connection()
        .await
        .unwrap();
    let store = RedisStore::over(connection);
    let node = Server::builder_at(&proxy.address(), policy(tries)).clock(clock.clone()).store(store).build().unwrap();
    let first = Caller::user("first").session("1");
    node.start_otp(&first, "SMS", None).await.unwrap();
    node.verify_otp(&first, "SMS", "123456").await.unwrap();
    node
}

fn policy(tries: u8) -> Policy {
    let policy = Policy::new()
        .max_attempts(tries)
        .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
        .disable_after(DISABLE_AT);
    policy.store_deadline(Duration::from_secs(10))
}

/// Whether a code was compared: after a start it is, whatever is answered, unless the user is locked.
fn was_compared(answer: &Result<(), ChallengeError>) -> bool {
    !matches!(answer, Err(ChallengeError::RateLimited(_) | ChallengeError::Forbidden))
}

/// Of every guess one answer of the server is lost, whichever of its writes it is of: no more guesses are compared than
/// the policy allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_makes_no_guess_free() {
    let (_server, proxy) = cluster().await;
    let clock = ManualClock::new();
    let step_up = node(&proxy, &clock, 1).await;
    // The user's record, the session's, and the user's again, for the challenge is over.
    for nth in 1..=3 {
        let mallory = Caller::user(format_args!("mallory {nth}")).session("1");
        let (lost, mut compared) = (proxy.lost(), 0);
        for _ in 0..4 * DISABLE_AT {
            clock.advance(Duration::from_secs(15));
            if step_up.start_otp(&mallory, "SMS", None).await.is_err() {
                break;
            }
            proxy.lose_answer_to_script(nth);
            let answer = step_up.verify_otp(&mallory, "SMS", "000000").await.map(drop);
            compared += u8::from(was_compared(&answer));
        }
        proxy.lose_answer_to_script(0);
        assert_eq!(compared, DISABLE_AT, "the answer to write {nth} is lost");
        assert_eq!(proxy.lost() - lost, u32::from(compared), "one of each guess, write {nth}");
    }
}

/// Before the script is sent again, another guess in the same session is compared, the last of its challenge: the first
/// finds no challenge any more, and stays counted all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_makes_no_guess_free_where_another_one_is_written_meanwhile() {
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
        // Its session's record is written, and nobody has said so yet.
        proxy.lose_answer_to_script(2);
        let (first, second) =
            tokio::join!(async { loses.verify_otp(&mallory, "SMS", "000000").await.map(drop) }, async {
                until(async || proxy.lost() > lost).await;
                let answer = other.verify_otp(&mallory, "SMS", "000000").await.map(drop);
                proxy.hold(false);
                answer
            });
        compared += u8::from(was_compared(&first)) + u8::from(was_compared(&second));
    }
    // Of two that are compared at once, the second is counted when the first one is already.
    assert!((DISABLE_AT..=DISABLE_AT + 1).contains(&compared), "{compared} guesses were compared");
}
