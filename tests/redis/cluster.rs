//! Three masters that divide the keys, over a connection of the crate `redis`.

use std::{collections::BTreeSet, time::Duration};

use redis::{cluster::ClusterClientBuilder, cluster_async::ClusterConnection};
use tower_step_up::{
    Caller, ChallengeError, CheckError, Policy, Reason, Requirement, Secret, StepUp, discard,
    store::{RedisStore, conformance},
};

use crate::{
    faults::until,
    nodes::{one_truth, patient},
    server::Server,
};

const SLOTS: usize = 16_384;

struct Cluster([Server; 3]);

impl Cluster {
    async fn start() -> Self {
        // What is not lost goes on, whoever is down.
        let options =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"];
        let servers = [(); 3].map(|()| Server::with(&options));
        for (number, server) in servers.iter().enumerate() {
            let slots = (number * SLOTS / 3..(number + 1) * SLOTS / 3).map(|slot| slot.to_string());
            let add: Vec<_> = ["CLUSTER".to_owned(), "ADDSLOTS".to_owned()].into_iter().chain(slots).collect();
            assert_eq!(server.say(&add.iter().map(String::as_str).collect::<Vec<_>>()), "+OK\r\n");
            server.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        for server in &servers[1..] {
            server.say(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port().to_string()]);
        }
        let cluster = Self(servers);
        cluster.is_whole().await;
        cluster
    }

    /// Every node knows of every slot.
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

    /// As `docs/operations.md` says.
    async fn connection(&self) -> ClusterConnection {
        ClusterClientBuilder::new(self.0.iter().map(Server::address))
            .connection_timeout(Duration::from_millis(200))
            .response_timeout(Duration::from_secs(2))
            .retries(2)
            .build()
            .unwrap()
            .get_async_connection()
            .await
            .unwrap()
    }

    async fn store(&self) -> RedisStore<ClusterConnection> {
        RedisStore::over(self.connection().await, Secret::new([1; 32]).unwrap())
    }

    async fn node(&self, policy: Policy) -> StepUp<RedisStore<ClusterConnection>> {
        StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .push("BIO", discard)
            .policy(policy)
            .store(self.store().await)
            .secret(Secret::new([2; 32]).unwrap())
            .build()
            .unwrap()
    }

    fn keys(&self) -> [BTreeSet<String>; 3] {
        self.0.each_ref().map(|server| server.keys().into_iter().collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_the_contract_of_stores() {
    let cluster = Cluster::start().await;
    conformance::all(cluster.store().await).await;
}

#[tokio::test]
async fn two_nodes_are_one_truth() {
    let cluster = Cluster::start().await;
    one_truth(cluster.node(patient()).await, cluster.node(patient()).await).await;
}

/// One master is killed: who has a record there is refused in time, and nobody else.
#[tokio::test]
async fn one_master_of_three_is_killed() {
    let mut cluster = Cluster::start().await;
    let node = cluster.node(patient()).await;
    let (mut lost, mut kept) = (None, None);
    for number in 0..1000 {
        let caller = Caller::new(format!("user {number}"), "1");
        let before = cluster.keys();
        node.start_otp(&caller, "SMS", None).await.unwrap();
        node.verify_otp(&caller, "SMS", "123456").await.unwrap();
        let after = cluster.keys();
        let new: Vec<_> = (0..3).map(|server| after[server].difference(&before[server]).count()).collect();
        assert_eq!(new.iter().sum::<usize>(), 2, "a session and a user");
        match new[0] {
            0 => kept = Some(caller),
            2 => lost = Some(caller),
            _ => {}
        }
        if lost.is_some() && kept.is_some() && after.iter().all(|keys| !keys.is_empty()) {
            break;
        }
    }
    let (lost, kept) = (lost.unwrap(), kept.unwrap());

    // A node with the deadline that is the default.
    let hasty = cluster.node(Policy::new()).await;
    let check = async |caller: &Caller| hasty.check(caller, &Requirement::new()).await.map(drop);
    until(async || check(&lost).await.is_ok() && check(&kept).await.is_ok()).await;
    cluster.0[0].kill();
    for _ in 0..5 {
        let refused = async {
            assert_eq!(check(&lost).await, Err(CheckError::Unavailable));
            let started = hasty.start_otp(&Caller::new(lost.subject(), "2"), "SMS", None).await;
            assert_eq!(started, Err(ChallengeError::Unavailable));
        };
        tokio::time::timeout(Duration::from_secs(5), refused).await.expect("it is answered in time");
    }
    until(async || check(&kept).await.is_ok()).await;

    cluster.0[0].again();
    let missing = CheckError::StepUpRequired(Reason::Missing.into());
    until(async || check(&lost).await == Err(missing.clone())).await;
    until(async || hasty.start_otp(&lost, "SMS", None).await.is_ok()).await;
    until(async || hasty.verify_otp(&lost, "SMS", "123456").await.is_ok() || check(&lost).await.is_ok()).await;
    until(async || check(&kept).await.is_ok()).await;
}
