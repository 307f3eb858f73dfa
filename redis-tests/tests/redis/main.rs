//! The store in Redis, on servers that these tests start: the same contract as in process, several nodes, and faults.

#[path = "../../../examples/demo/bank.rs"]
#[allow(dead_code, reason = "the demo of one process is another test's")]
mod bank;
mod cluster;
mod demo;
mod discovery;
mod dump;
mod eviction;
mod faults;
mod nodes;
mod proxy;
mod resent;
mod secured;
mod sentinel;
mod wire;

use testkit::{life, server, server::Server};
use tower_step_up::store::{RedisStore, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_the_contract_of_stores() {
    conformance::all(Server::start().store()).await;
}

/// A mistake that would show at the first request shows when the store is opened.
#[test]
fn mistakes_are_found_when_opened() {
    let outside = RedisStore::open("redis://127.0.0.1/").unwrap_err();
    assert!(outside.to_string().contains("runtime"), "{outside}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    assert!(RedisStore::open("http://user:canary@127.0.0.1/").is_err_and(|e| !e.to_string().contains("canary")));
    assert!(RedisStore::open("redis://127.0.0.1/").is_ok());
}

/// Any other way of connecting has the same contract.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_it_over_a_connection_of_the_applications_own() {
    let server = Server::start();
    let client = redis::Client::open(("127.0.0.1", server.port())).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let store = RedisStore::over(connection).prefix("step-up:own:");
    conformance::one_swap_of_many_is_done(store.clone()).await;
    conformance::records_are_kept_whole(store).await;
    assert!(server.keys().iter().all(|key| key.starts_with("step-up:own:")));
}
