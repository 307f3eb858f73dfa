//! Responses of one node that another node ends.

use std::time::Duration;

use axum::{Router, body::Body, response::Response, routing::get};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use testkit::alice;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;
use tower_step_up::{Caller, RequireStepUp, Requirement, StepUp, Store, store::RedisStore};

use crate::{
    nodes::patient,
    proxy::Proxy,
    server::{Server, until},
};

async fn open(node: &StepUp) -> Body {
    let events = || {
        let first = stream::iter([Ok::<_, std::convert::Infallible>("data: 1\n\n")]);
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(first.chain(stream::pending())))
    };
    let guard = RequireStepUp::new(node).ending();
    let app = Router::new().route("/", get(async move || events().unwrap())).layer(guard);
    let mut request = http::Request::new(Body::empty());
    request.extensions_mut().insert(alice());
    let mut body = app.oneshot(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    body
}

/// Within three seconds and the time of a load, as documented, with room for a busy machine.
#[tokio::test]
async fn another_node_ends_a_response_within_the_bound() {
    let server = Server::start();
    let nodes = [server.node_with(patient()), server.node_with(patient())];
    for node in [0, 1] {
        nodes[1].start_otp(&alice(), "SMS", None).await.unwrap();
        nodes[1].verify_otp(&alice(), "SMS", "123456").await.unwrap();
        let mut body = open(&nodes[0]).await;
        nodes[node].lock("alice").await.unwrap();
        nodes[node].unlock("alice").await.unwrap();
        assert!(timeout(Duration::from_secs(4), body.frame()).await.is_err(), "a lock ends nothing");
        let began = Instant::now();
        nodes[node].revoke_all("alice").await.unwrap();
        let last = timeout(Duration::from_secs(10), body.frame()).await.unwrap().unwrap().unwrap();
        assert!(last.into_data().unwrap().starts_with(b"event: step-up"));
        println!("revoked on {}: {:?}", if node == 0 { "the same node" } else { "another node" }, began.elapsed());
        let bound = if node == 0 { 1 } else { 5 };
        assert!(began.elapsed() < Duration::from_secs(bound));
        assert!(nodes[0].authorize(&alice(), &Requirement::new()).await.is_err());
        tokio::time::sleep(Duration::from_secs(16)).await; // the resend interval
    }
}

/// Each way to end a session's grants is told to the other nodes; what ends none is not.
#[tokio::test]
async fn what_ends_grants_is_told() {
    let server = Server::start();
    let node = server.node_with(patient());
    let (heard, mut keys) = tokio::sync::mpsc::unbounded_channel();
    let listening = server.store();
    let listening = tokio::spawn(async move { listening.listen(|key| heard.send(key).unwrap()).await });
    let subscribed = || async { server.say(&["PUBSUB", "NUMSUB", "step-up:ended"]).contains(":1\r\n") };
    until(subscribed).await;
    let session = |user: &str, id: &str| Caller::user(user).session(id);
    for user in ["alice", "bob", "carol", "dave"] {
        let caller = session(user, "1");
        node.start_otp(&caller, "SMS", None).await.unwrap();
        node.verify_otp(&caller, "SMS", "123456").await.unwrap();
        node.lock(user).await.unwrap();
        node.unlock(user).await.unwrap();
    }
    node.revoke(&session("alice", "1")).await.unwrap();
    node.revoke_all("bob").await.unwrap();
    node.transfer(&session("carol", "1"), &session("carol", "2")).await.unwrap();
    // Its own grants stay.
    node.factors_changed(&session("dave", "1")).await.unwrap();
    node.revoke_all("dave").await.unwrap();
    let mut told = std::collections::HashSet::new();
    for _ in 0..4 {
        told.insert(*timeout(Duration::from_secs(10), keys.recv()).await.unwrap().unwrap().as_bytes());
    }
    assert_eq!(told.len(), 4);
    assert!(keys.try_recv().is_err(), "nothing else ends a grant");
    listening.abort();
}

/// A firewall that forgets a connection tells nobody: a subscription that stays quiet is asked whether it is alive.
#[tokio::test]
async fn a_subscription_that_was_forgotten_ends() {
    let server = Server::start();
    let proxy = Proxy::start(server.port()).await;
    let forgotten = RedisStore::open(proxy.address()).unwrap();
    let forgotten = tokio::spawn(async move { forgotten.listen(|_| {}).await });
    let (heard, mut keys) = tokio::sync::mpsc::unbounded_channel();
    let alive = server.store();
    let alive = tokio::spawn(async move { alive.listen(|key| heard.send(key).unwrap()).await });
    let subscribed = || async { server.say(&["PUBSUB", "NUMSUB", "step-up:ended"]).contains(":2\r\n") };
    until(subscribed).await;
    // The proxy forwards nothing more of this connection.
    proxy.delay(Duration::from_secs(600));
    server.say(&["PUBLISH", "step-up:ended", "not a key"]);
    assert!(timeout(Duration::from_secs(30), forgotten).await.unwrap().unwrap().is_err());
    server.say(&["PUBLISH", "step-up:ended", &"k".repeat(32)]);
    let key = timeout(Duration::from_secs(10), keys.recv()).await.unwrap().unwrap();
    assert_eq!(key.as_bytes(), &[b'k'; 32], "one that is alive goes on");
    alive.abort();
}
