//! Requirements, tested from outside: scope, age, channels, once, bound. The clock is stepped by hand; nothing sleeps.

#[path = "../../../examples/demo/bank.rs"]
mod bank;

mod app;

mod bodies;
mod bound;
mod caches;
mod client;
mod extractors;
mod guarded_routes;
mod marks;
mod nested;
mod oauth;
mod once;
mod once_store;
mod panics;
mod proofs;
mod replays;
mod report_only;
mod table;
mod tokens;

use std::time::Duration;

use axum::body::Body;
use http::Request;
use testkit::{FaultyStore, alice, together};
use tower_step_up::{Caller, ManualClock, Policy, Proof, StepUp, StepUpBuilder, discard};

/// Path of the challenge endpoints.
const CHALLENGES: &str = "/stepup/challenges";
/// The code that the sandbox accepts.
const CODE: &str = "123456";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Two code channels, one push channel, and two channels for proofs that the application verifies itself.
fn builder(clock: &ManualClock) -> StepUpBuilder {
    StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .otp("EMAIL", discard)
        .push("BIO", discard)
        .proof("KEY")
        .proof("CARD")
        .clock(clock.clone())
        .public_path(CHALLENGES)
        // Long, so that a busy machine does not look like a store that is down.
        .policy(Policy::new().store_deadline(secs(10)))
}

fn local(clock: &ManualClock) -> StepUp {
    builder(clock).build().unwrap()
}

fn remote(clock: &ManualClock, store: &FaultyStore) -> StepUp {
    store.on(builder(clock)).build().unwrap()
}

async fn grant(step_up: &StepUp, caller: &Caller, channel: &str) {
    step_up.record_proof(caller, Proof::new(channel)).await.unwrap();
}

/// Adds the caller to a request.
fn of(caller: &Caller, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(caller.clone());
    request
}

fn get(caller: &Caller) -> Request<Body> {
    of(caller, Request::new(Body::empty()))
}
