//! Three masters with sharded keys, over a cluster connection of the crate `redis`.

use std::{collections::BTreeSet, time::Duration};

use redis::{cluster::ClusterClientBuilder, cluster_async::ClusterConnection};
use tower_step_up::{
    AuthorizeError, Caller, ChallengeError, Policy, Requirement, Secret, StepUp, UnmetReason, discard,
    store::{RedisStore, Store as _, StoreWarning, conformance},
};

use crate::{
    nodes::{patient, share_one_state},
    secured::{PASSWORD, make_user},
    server::{Server, until},
};

const SLOTS: usize = 16_384;

/// Options: the remaining slots are served if a master is down, and nodes have a minute to meet.
const OPTIONS: [&str; 6] =
    ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000", "--cluster-require-full-coverage", "no"];
/// The rights that a cluster connection needs besides those of the documented user.
const BESIDES: [&str; 3] = ["+cluster|slots", "+ping", "+asking"];

struct Cluster([Server; 3]);

impl Cluster {
    async fn start() -> Self {
        let servers = [(); 3].map(|()| Server::with(&OPTIONS));
        for (number, server) in servers.iter().enumerate() {
            let slots = (number * SLOTS / 3..(number + 1) * SLOTS / 3).map(|slot| slot.to_string());
            let add: Vec<_> = ["CLUSTER".to_owned(), "ADDSLOTS".to_owned()].into_iter().chain(slots).collect();
            assert_eq!(server.say(&add.iter().map(String::as_str).collect::<Vec<_>>()), "+OK\r\n");
            server.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            make_user(server, &BESIDES);
        }
        for server in &servers[1..] {
            server.say(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port().to_string()]);
        }
        let cluster = Self(servers);
        cluster.is_whole().await;
        cluster
    }

    /// Waits until every node knows every slot.
    async fn is_whole(&self) {
        for server in &self.0 {
            until(async || {
                let info = server.say(&["CLUSTER", "INFO"]);
                ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"]
                    .iter()
                    .all(|is| info.contains(is))
            })
            .await;
        }
    }

    /// As documented in `docs/operations.md`.
    async fn connection(&self) -> ClusterConnection {
        let addresses = self.0.iter().map(|server| format!("redis://step-up:{PASSWORD}@127.0.0.1:{}/", server.port()));
        ClusterClientBuilder::new(addresses)
            .connection_timeout(Duration::from_millis(200))
            .response_timeout(Duration::from_millis(200))
            .build()
            .unwrap()
            .get_async_connection()
            .await
            .unwrap()
    }

    async fn store(&self) -> RedisStore<ClusterConnection> {
        RedisStore::over(self.connection().await)
    }

    async fn node(&self, policy: Policy) -> StepUp {
        StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .push("BIO", discard)
            .policy(policy)
            .store(self.store().await)
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([2; 32]).unwrap())
            .build()
            .unwrap()
    }

    fn keys(&self) -> [BTreeSet<String>; 3] {
        self.0.each_ref().map(|server| server.keys().into_iter().collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    let cluster = Cluster::start().await;
    conformance::all(cluster.store().await).await;
}

/// The configuration of each master is checked.
#[tokio::test]
async fn one_master_of_three_evicts() {
    let cluster = Cluster::start().await;
    let store = cluster.store().await;
    assert_eq!(store.check().await, Ok(()));
    for server in &cluster.0 {
        assert_eq!(server.say(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]), "+OK\r\n");
        assert_eq!(store.check().await, Err(StoreWarning::Evicts { policy: "volatile-lru".into() }));
        assert_eq!(server.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]), "+OK\r\n");
    }
    assert_eq!(store.check().await, Ok(()));
}

#[tokio::test]
async fn two_nodes_share_one_state() {
    let cluster = Cluster::start().await;
    share_one_state(cluster.node(patient()).await, cluster.node(patient()).await).await;
}

/// Two stepped-up users: all records of one are on the first master, and none of the other's.
async fn two_users(cluster: &Cluster) -> [Caller; 2] {
    let node = cluster.node(patient()).await;
    let (mut there, mut other) = (None, None);
    for number in 0.. {
        let caller = Caller::user(format_args!("user {number}")).session("1");
        let before = cluster.keys();
        until(async || node.start_otp(&caller, "SMS", None).await.is_ok()).await;
        node.verify_otp(&caller, "SMS", "123456").await.unwrap();
        let after = cluster.keys();
        let new = [0, 1, 2].map(|server| after[server].difference(&before[server]).count());
        assert_eq!(new.iter().sum::<usize>(), 2, "a session and a user");
        match new[0] {
            0 => other = Some(caller),
            2 => there = Some(caller),
            _ => {}
        }
        if after.iter().all(|keys| !keys.is_empty())
            && let (Some(there), Some(other)) = (&there, &other)
        {
            return [there.clone(), other.clone()];
        }
    }
    unreachable!("some user has all records there")
}

type Node = StepUp;

async fn check(node: &Node, caller: &Caller) -> Result<(), AuthorizeError> {
    node.authorize(caller, &Requirement::new()).await.map(drop)
}

/// Asserts a refusal in bounded time.
async fn is_refused(node: &Node, caller: &Caller) {
    let refused = async {
        assert_eq!(check(node, caller).await, Err(AuthorizeError::Unavailable));
        let started = node.start_otp(&Caller::user(caller.subject()).session("2"), "SMS", None).await;
        assert_eq!(started, Err(ChallengeError::Unavailable));
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("a response in time");
}

/// One master is killed: users with a record there are refused in time, others are not affected.
#[tokio::test]
async fn one_master_of_three_is_killed() {
    let mut cluster = Cluster::start().await;
    let [lost, kept] = two_users(&cluster).await;
    let node = cluster.node(Policy::new()).await;
    until(async || check(&node, &lost).await.is_ok() && check(&node, &kept).await.is_ok()).await;
    cluster.0[0].kill();
    for _ in 0..5 {
        is_refused(&node, &lost).await;
    }
    until(async || check(&node, &kept).await.is_ok()).await;

    cluster.0[0].again();
    make_user(&cluster.0[0], &BESIDES);
    let missing = AuthorizeError::StepUpRequired(UnmetReason::Missing.into());
    until(async || check(&node, &lost).await == Err(missing.clone())).await;
    until(async || node.start_otp(&lost, "SMS", None).await.is_ok()).await;
    until(async || node.verify_otp(&lost, "SMS", "123456").await.is_ok() || check(&node, &lost).await.is_ok()).await;
    until(async || check(&node, &kept).await.is_ok()).await;
}

/// One master hangs: users with a record there are refused in time, others are not affected.
#[tokio::test]
async fn one_master_of_three_hangs() {
    let cluster = Cluster::start().await;
    let [lost, kept] = two_users(&cluster).await;
    let node = cluster.node(Policy::new()).await;
    until(async || check(&node, &lost).await.is_ok() && check(&node, &kept).await.is_ok()).await;
    cluster.0[0].signal("STOP");
    for _ in 0..5 {
        is_refused(&node, &lost).await;
    }
    until(async || check(&node, &kept).await.is_ok()).await;
    cluster.0[0].signal("CONT");
    until(async || check(&node, &lost).await.is_ok()).await;
}

/// One master is killed: its replica takes over, and is found.
#[tokio::test]
async fn one_master_of_three_is_killed_and_its_replica_takes_over() {
    let mut cluster = Cluster::start().await;
    let replica = Server::with(&OPTIONS);
    make_user(&replica, &BESIDES);
    let id = cluster.0[0].say(&["CLUSTER", "MYID"]).split("\r\n").nth(1).unwrap().to_owned();
    replica.say(&["CLUSTER", "MEET", "127.0.0.1", &cluster.0[0].port().to_string()]);
    until(async || replica.say(&["CLUSTER", "REPLICATE", &id]) == "+OK\r\n").await;
    until(async || replica.say(&["INFO", "replication"]).contains("master_link_status:up")).await;
    let [lost, kept] = two_users(&cluster).await;
    let node = cluster.node(Policy::new()).await;
    until(async || check(&node, &lost).await.is_ok() && check(&node, &kept).await.is_ok()).await;
    cluster.0[0].is_copied_to(&replica).await;
    // Every master knows the replica, so that it can be elected.
    for server in &cluster.0 {
        until(async || server.say(&["CLUSTER", "NODES"]).contains(&format!("slave {id}"))).await;
    }
    for server in cluster.0.iter().chain([&replica]) {
        assert_eq!(server.say(&["CONFIG", "SET", "cluster-node-timeout", "5000"]), "+OK\r\n");
    }

    cluster.0[0].kill();
    is_refused(&node, &lost).await;
    until(async || check(&node, &lost).await.is_ok()).await;
    assert!(replica.say(&["ROLE"]).contains("master"), "the replica was promoted");
    until(async || check(&node, &kept).await.is_ok()).await;
    until(async || node.revoke(&lost).await.is_ok()).await;
    cluster.0[0].again();
    make_user(&cluster.0[0], &BESIDES);
    until(async || cluster.0[0].say(&["ROLE"]).contains("slave")).await;
    // No node revives what was revoked.
    let missing = AuthorizeError::StepUpRequired(UnmetReason::Missing.into());
    until(async || {
        let checked = check(&node, &lost).await;
        assert!(checked.is_err());
        checked == Err(missing.clone())
    })
    .await;
}
