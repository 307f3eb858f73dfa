//! T33: the client of a cluster sends a script again where its connection breaks before the answer.

use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, Secret, StepUp, discard, store::RedisStore};

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

/// Of every guess one answer of the server is lost, whichever of its writes it is of: no more guesses are compared than
/// the policy allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_makes_no_guess_free() {
    const DISABLE_AT: u8 = 5;
    let (_server, proxy) = cluster().await;
    let connection = ClusterClientBuilder::new([proxy.address()])
        .connection_timeout(Duration::from_secs(2))
        .response_timeout(Duration::from_secs(2))
        .build()
        .unwrap()
        .get_async_connection()
        .await
        .unwrap();
    let (clock, policy) = (ManualClock::new(), Policy::new().store_deadline(Duration::from_secs(10)));
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .clock(clock.clone())
        .policy(policy.tries(1).sends(1000, 1000, 1000, 1000).disable_at(DISABLE_AT))
        .store(RedisStore::over(connection))
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([2; 32]).unwrap())
        .build()
        .unwrap();
    // The server has both scripts from here on.
    let first = Caller::new("first", "1");
    step_up.start_otp(&first, "SMS", None).await.unwrap();
    step_up.verify_otp(&first, "SMS", "123456").await.unwrap();

    // The user's record, the session's, and the user's again, for the challenge is over.
    for nth in 1..=3 {
        let mallory = Caller::new(format!("mallory {nth}"), "1");
        let (lost, mut compared) = (proxy.lost(), 0);
        for _ in 0..4 * DISABLE_AT {
            clock.advance(Duration::from_secs(15));
            if step_up.start_otp(&mallory, "SMS", None).await.is_err() {
                break;
            }
            proxy.lose_answer_to_script(nth);
            let answer = step_up.verify_otp(&mallory, "SMS", "000000").await.map(drop);
            // Right after its start a code is compared, whatever is answered, unless the user is locked.
            let refused = matches!(answer, Err(ChallengeError::RateLimited(_) | ChallengeError::Forbidden));
            compared += u8::from(!refused);
        }
        proxy.lose_answer_to_script(0);
        assert_eq!(compared, DISABLE_AT, "the answer to write {nth} is lost");
        assert_eq!(proxy.lost() - lost, u32::from(compared), "one of each guess, write {nth}");
    }
}
