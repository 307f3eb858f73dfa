//! Requirements, from outside: what a route asks for, and what lets a request pass, once and for what it was approved.
//! Time is stepped by hand and nothing sleeps.

#[path = "../../../examples/demo/bank.rs"]
mod bank;

mod app;

mod bodies;
mod bound;
mod caches;
mod client;
mod extractors;
mod guarded_routes;
mod nested;
mod oauth;
mod once;
mod once_store;
mod panics;
mod proofs;
mod replays;
mod shadow;
mod table;
mod tokens;

use std::time::Duration;

use axum::body::Body;
use http::Request;
use testkit::{Elsewhere, alice, together};
use tower_step_up::{Caller, ManualClock, Policy, Proof, Secret, StepUp, StepUpBuilder, discard};

/// Where the companion is mounted.
const COMPANION: &str = "/stepup/challenges";
/// The code of the sandbox.
const CODE: &str = "123456";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Two channels for codes, one for pushes, two for what the application verifies itself.
fn builder(clock: &ManualClock) -> StepUpBuilder {
    StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .otp("EMAIL", discard)
        .push("BIO", discard)
        .proof("KEY")
        .proof("CARD")
        .clock(clock.clone())
        .public_path(COMPANION)
        // A machine that is busy is no store that is down.
        .policy(Policy::new().store_deadline(secs(10)))
}

fn local(clock: &ManualClock) -> StepUp {
    builder(clock).build().unwrap()
}

fn remote(clock: &ManualClock, store: &Elsewhere) -> StepUp {
    builder(clock)
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([7; 32]).unwrap())
        .build()
        .unwrap()
}

/// Steps a session up.
async fn grant(step_up: &StepUp, caller: &Caller, channel: &str) {
    step_up.record_proof(caller, Proof::new(channel)).await.unwrap();
}

/// A request of a caller.
fn of(caller: &Caller, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(caller.clone());
    request
}

fn get(caller: &Caller) -> Request<Body> {
    of(caller, Request::new(Body::empty()))
}
