//! T24: one master, one replica and three sentinels. The master is killed, and a node finds the next one.

use std::{sync::Arc, time::Instant};

use redis::{
    RedisConnectionInfo,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use tokio::sync::Mutex;
use tower_step_up::{AuthorizeError, Caller, Requirement, Secret, StepUp, UnmetReason, discard, store::RedisStore};

use crate::{
    secured::{PASSWORD, make_user},
    server::{Server, until},
};

struct Watched {
    master: Server,
    replica: Server,
    sentinels: Vec<Server>,
}

impl Watched {
    /// The timeouts are long, so that a busy machine does not make a master look down.
    async fn start() -> Self {
        let master = Server::start();
        let replica = Server::with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
        until(async || replica.say(&["INFO", "replication"]).contains("master_link_status:up")).await;
        for server in [&master, &replica] {
            make_user(server, &["+role"]);
        }
        let configuration = format!(
            "sentinel monitor step-up 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds step-up 5000\n\
             sentinel failover-timeout step-up 10000\n",
            master.port()
        );
        let sentinels: Vec<_> = (0..3).map(|_| Server::sentinel(&configuration)).collect();
        for sentinel in &sentinels {
            until(async || {
                let known = sentinel.say(&["SENTINEL", "MASTER", "step-up"]);
                let says = |name: &str, value: &str| {
                    known.split("\r\n").skip_while(|line| *line != name).nth(2).is_some_and(|line| line == value)
                };
                says("num-slaves", "1") && says("num-other-sentinels", "2")
            })
            .await;
        }
        Self { master, replica, sentinels }
    }

    fn node(&self) -> StepUp {
        let sentinels: Vec<_> = self.sentinels.iter().map(Server::address).collect();
        let user = RedisConnectionInfo::default().set_username("step-up").set_password(PASSWORD);
        let user = SentinelNodeConnectionInfo::default().set_redis_connection_info(user);
        let client = SentinelClient::build(sentinels, "step-up", Some(user), SentinelServerType::Master).unwrap();
        let client = Arc::new(Mutex::new(client));
        let find = move || {
            let client = Arc::clone(&client);
            async move { client.lock().await.async_get_client().await }
        };
        StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .store(RedisStore::discover(find).unwrap())
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([2; 32]).unwrap())
            .build()
            .unwrap()
    }
}

#[tokio::test]
async fn the_master_is_killed_and_the_next_is_found() {
    let mut watched = Watched::start().await;
    let node = watched.node();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| Caller::user(user).session("1"));
    let passes = async |caller: &Caller| node.authorize(caller, &Requirement::new()).await;
    for caller in [&alice, &carol] {
        until(async || node.start_otp(caller, "SMS", None).await.is_ok()).await;
        until(async || node.verify_otp(caller, "SMS", "123456").await.is_ok() || passes(caller).await.is_ok()).await;
    }
    until(async || node.revoke(&carol).await.is_ok()).await;
    watched.master.is_copied_to(&watched.replica).await;

    let killed = Instant::now();
    watched.master.kill();
    let missing = AuthorizeError::StepUpRequired(UnmetReason::Missing.into());
    let refused = |answer: Result<_, AuthorizeError>| {
        let error = answer.map(drop).unwrap_err();
        assert!(error == missing || error == AuthorizeError::Unavailable, "{error:?}");
    };
    until(async || {
        refused(passes(&bob).await);
        refused(passes(&carol).await);
        passes(&alice).await.is_ok()
    })
    .await;
    println!("passes again after {:?}", killed.elapsed());
    assert!(watched.replica.say(&["ROLE"]).contains("master"), "the replica was promoted");
    until(async || node.start_otp(&bob, "SMS", None).await.is_ok()).await;
    until(async || node.verify_otp(&bob, "SMS", "123456").await.is_ok() || passes(&bob).await.is_ok()).await;
    println!("steps up again after {:?}", killed.elapsed());

    // The old one returns, empty, and becomes a replica; new connections go to the new one.
    watched.master.again();
    make_user(&watched.master, &["+role"]);
    until(async || watched.master.say(&["INFO", "replication"]).contains("master_link_status:up")).await;
    for node in [node.clone(), watched.node()] {
        let settled = async |caller: &Caller| loop {
            let answer = node.authorize(caller, &Requirement::new()).await.map(drop);
            if answer != Err(AuthorizeError::Unavailable) {
                return answer;
            }
        };
        assert_eq!(settled(&alice).await, Ok(()));
        assert_eq!(settled(&bob).await, Ok(()));
        assert_eq!(settled(&carol).await, Err(missing.clone()));
    }
}
