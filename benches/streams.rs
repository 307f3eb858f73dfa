//! What responses cost that go on: memory each, CPU of the task that watches them, and how late they end.
//! `cargo bench -p benches --bench streams`, or `-- 50000` for another number than 10,000.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    convert::Infallible,
    fs,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, response::Response, routing::get};
use cpu_time::ProcessTime;
use futures_util::{StreamExt, future::join_all, stream};
use tokio::{runtime::Builder, task::JoinHandle, time::sleep};
use tower::ServiceExt;
use tower_step_up::{Caller, RequireStepUp, StepUp, discard};

/// How long the watch is measured.
const WATCHED: Duration = Duration::from_secs(15);

fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN) * 1024.0
}

fn events() -> Response {
    let first = stream::iter([Ok::<_, Infallible>("data: 1\n\n")]);
    let body = Body::from_stream(first.chain(stream::pending()));
    Response::builder().header("content-type", "text/event-stream").body(body).expect("a header of letters")
}

/// Opens a response and reads it to its end; returns when that was.
fn follow(app: Router, caller: Caller) -> JoinHandle<Instant> {
    tokio::spawn(async move {
        let mut request = http::Request::new(Body::empty());
        request.extensions_mut().insert(caller);
        let Ok(response) = app.oneshot(request).await;
        assert_eq!(response.status(), 200);
        let mut frames = response.into_body().into_data_stream();
        while frames.next().await.is_some_and(|frame| frame.is_ok()) {}
        Instant::now()
    })
}

struct Row {
    bytes: f64,
    cpu: f64,
}

async fn opened(step_up: &StepUp, callers: &[Caller], ending: bool) -> (Row, Vec<JoinHandle<Instant>>) {
    let routes = Router::new().route("/", get(async || events()));
    let guard = RequireStepUp::new(step_up);
    let app = if ending { routes.layer(guard.ending()) } else { routes.layer(guard) };
    let before = resident();
    let open: Vec<_> = callers.iter().map(|caller| follow(app.clone(), caller.clone())).collect();
    sleep(Duration::from_secs(4)).await;
    let bytes = (resident() - before) / callers.len() as f64;
    let began = ProcessTime::now();
    sleep(WATCHED).await;
    (Row { bytes, cpu: began.elapsed().as_secs_f64() / WATCHED.as_secs_f64() }, open)
}

async fn run(number: usize) {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().expect("a valid configuration");
    let callers: Vec<_> = (0..number).map(|user| Caller::user(user).session(user)).collect();
    for caller in &callers {
        step_up.start_otp(caller, "SMS", None).await.expect("there is room");
        step_up.verify_otp(caller, "SMS", "123456").await.expect("the code of the sandbox");
    }
    println!("| {number} responses | bytes each | CPU of a core |");
    println!("|---|---|---|");
    let (without, open) = opened(&step_up, &callers, false).await;
    println!("| that do not end | {:.0} | {:.3} % |", without.bytes, without.cpu * 100.0);
    open.iter().for_each(JoinHandle::abort);
    drop(join_all(open).await);
    let (with, open) = opened(&step_up, &callers, true).await;
    println!("| that end | {:.0} | {:.3} % |", with.bytes, with.cpu * 100.0);
    let revoked = Instant::now();
    let mut revocations = Vec::new();
    for user in 0..number {
        step_up.revoke_all(&user.to_string()).await.expect("the store works");
        revocations.push(Instant::now());
    }
    let took = revoked.elapsed();
    let ends: Vec<_> = join_all(open).await.into_iter().map(|end| end.expect("it has not panicked")).collect();
    let late = ends.iter().zip(&revocations).map(|(end, revoked)| end.saturating_duration_since(*revoked));
    println!("\nall revoked in {took:.1?}; the latest end {:.1?} after its revocation", late.max().unwrap_or_default());
}

fn main() {
    let number = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime").block_on(run(number));
}
