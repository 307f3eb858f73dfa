//! Responses of one node that another node ends.

use std::time::Duration;

use axum::{Router, body::Body, response::Response, routing::get};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use testkit::alice;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;
use tower_step_up::{RequireStepUp, Requirement, StepUp};

use crate::{nodes::patient, server::Server};

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
