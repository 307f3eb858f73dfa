//! The store in Redis, on servers started by the tests: conformance, several nodes, and faults.

#[path = "../../../examples/demo/bank.rs"]
#[allow(dead_code, reason = "only other tests use the demo of one process")]
mod bank;
mod cluster;
mod demo;
mod discovery;
mod dump;
mod eviction;
mod faults;
mod loads;
mod nodes;
mod proxy;
mod resent;
mod secured;
mod sentinel;
mod streams;
mod wire;

use testkit::{life, server, server::Server};
use tower_step_up::store::{RedisStore, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    conformance::all(Server::start().store()).await;
}

/// Mistakes in the address are found when the store is opened.
#[test]
fn mistakes_are_found_when_opened() {
    let outside = RedisStore::open("redis://127.0.0.1/").unwrap_err();
    assert!(outside.to_string().contains("runtime"), "{outside}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    assert!(RedisStore::open("http://user:canary@127.0.0.1/").is_err_and(|e| !e.to_string().contains("canary")));
    assert!(RedisStore::open("redis://127.0.0.1/").is_ok());
}

/// Conformance over a connection that the application has opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance_over_the_applications_own_connection() {
    let server = Server::start();
    let client = redis::Client::open(("127.0.0.1", server.port())).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let store = RedisStore::over(connection).prefix("step-up:own:");
    conformance::one_swap_of_many_is_done(store.clone()).await;
    conformance::records_are_kept_whole(store).await;
    assert!(server.keys().iter().all(|key| key.starts_with("step-up:own:")));
}
