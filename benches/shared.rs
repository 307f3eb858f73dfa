//! A guarded route on Redis compared with the store in process, in alternating batches; and the memory of a stepped-up
//! user in Redis: `cargo bench -p benches --bench shared --features servers`. It starts its own server.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::body::Body;
use futures_util::future::join_all;
use http::{Request, Response};
use testkit::server::Server;
use tower::{Service, service_fn};
use tower_step_up::{Caller, Policy, RequireStepUp, StepUp, discard};

/// Concurrent requests.
const TASKS: usize = 64;
const REQUESTS: usize = 20_000;
const BATCHES: usize = 7;
const USERS: usize = 2_000;

fn user(i: usize) -> Caller {
    Caller::user(format_args!("user {i}")).session(format_args!("session {i}"))
}

async fn step_up(node: &StepUp, users: usize) {
    for i in 0..users {
        node.start_otp(&user(i), "SMS", None).await.expect("it starts");
        node.verify_otp(&user(i), "SMS", "123456").await.expect("it is right");
    }
}

/// Requests per second.
async fn rate(node: &StepUp) -> f64 {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let guarded = RequireStepUp::new(node).layer(inner);
    let began = Instant::now();
    let tasks = (0..TASKS).map(|task| {
        let mut guarded = guarded.clone();
        tokio::spawn(async move {
            for i in 0..REQUESTS / TASKS {
                let mut request = Request::new(Body::empty());
                request.extensions_mut().insert(user((task * 31 + i) % 100));
                let Ok(response) = guarded.call(request).await;
                assert_eq!(response.status(), 200);
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|done| done.expect("it passes"));
    #[expect(clippy::cast_precision_loss, reason = "twenty thousand")]
    let requests = REQUESTS as f64;
    requests / began.elapsed().as_secs_f64()
}

fn used(server: &Server) -> i64 {
    let info = server.say(&["INFO", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it says so");
    line.trim().parse().expect("it is a number")
}

#[tokio::main]
async fn main() {
    let server = Server::start();
    let patient = Policy::new().store_deadline(Duration::from_secs(10));
    let shared = server.node_with(patient);
    let here = StepUp::builder().sandbox().otp("SMS", discard).build().expect("it is sound");
    step_up(&here, 100).await;
    step_up(&shared, 100).await;
    let before = used(&server);
    let began = Instant::now();
    for i in 100..100 + USERS {
        shared.start_otp(&user(i), "SMS", None).await.expect("it starts");
        shared.verify_otp(&user(i), "SMS", "123456").await.expect("it is right");
    }
    let pairs = began.elapsed().as_secs_f64() / f64::from(u32::try_from(USERS).unwrap_or(u32::MAX));
    let bytes = (used(&server) - before) / i64::try_from(USERS).unwrap_or(i64::MAX);
    println!("a stepped-up user in Redis: {bytes} bytes; start and verify one after the other: {:.2} ms", pairs * 1e3);

    let mut ratios = Vec::new();
    for _ in 0..BATCHES {
        let (a, b) = (rate(&here).await, rate(&shared).await);
        println!("guarded requests a second: {a:9.0} in process, {b:9.0} on Redis");
        ratios.push(a / b);
    }
    ratios.sort_by(f64::total_cmp);
    println!("in process is {:.0} times as fast (median of {BATCHES})", ratios[BATCHES / 2]);
}
