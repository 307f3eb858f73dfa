//! Instruction counts of requests, starts and verifications. `.ci/instructions` runs this and compares the counts with
//! `baseline.json`.
//!
//! Each benchmark makes [`CALLS`] calls, spread over [`STORES`] stores: the hash maps of each have random seeds, and
//! over many of them the collisions average out. Setup and drop are not counted.

#![allow(missing_docs, reason = "of what the macros generate")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use http::{Request, Response};
use testkit::NoOp;
use tower::{
    Service,
    layer::layer_fn,
    util::{ServiceFn, service_fn},
};
use tower_step_up::{Caller, ManualClock, OtpMessage, Proof, RequireStepUp, StepUp, guard::GuardedService};

/// Calls of one benchmark. `.ci/instructions` divides by it.
const CALLS: usize = 1_000;
const STORES: usize = 250;

/// Longer than the 300 ms after which moka does its maintenance on the next write: each store then does it on its first
/// write that is counted, and on no other.
const MAINTENANCE: Duration = Duration::from_millis(350);

/// A stack size that no thread can have. Otherwise the store's own thread would do the maintenance at times that differ
/// from run to run; without one, writes do it.
const NO_THREADS: &str = "1152921504606846976";

/// What is called, and by whom.
type Calls<T> = Vec<(T, Caller)>;
type Handler = ServiceFn<fn(Request<Body>) -> Ready<Result<Response<Body>, Infallible>>>;

/// The same callers for every store. The clone of a caller costs no allocation.
fn for_each_store<T: Clone>(user: &str, make: impl Fn() -> T) -> Calls<T> {
    let callers = callers(user);
    let each = |made: T| callers.iter().map(move |caller| (made.clone(), caller.clone()));
    (0..STORES).flat_map(|_| each(make())).collect()
}

fn callers(user: &str) -> Vec<Caller> {
    (0..CALLS / STORES).map(|i| Caller::user(format_args!("{user}-{i}")).session("session")).collect()
}

fn now_or_never<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing is awaited"),
    }
}

/// A handler whose response has a header, as nearly every response has.
fn handler() -> Handler {
    service_fn(|_| {
        let response = Response::builder().header("content-type", "text/plain").body(Body::empty());
        ready(Ok(response.expect("the header is valid")))
    })
}

fn router() -> Router {
    Router::new().route("/", get(async || ()))
}

/// A guard, on a store of its own in which the sessions of `alice` have grants. Not in the sandbox, where a guard
/// computes a digest that it does not compute in production.
fn guard() -> RequireStepUp {
    let step_up = StepUp::builder().proof("PASSKEY").clock(ManualClock::new()).build().expect("a proof is enough");
    for caller in callers("alice") {
        now_or_never(step_up.record_proof(&caller, Proof::new("PASSKEY"))).expect("the channel is known");
    }
    RequireStepUp::new(&step_up)
}

fn call_each<S>(mut calls: Calls<S>, status: u16) -> Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    for (service, caller) in &mut calls {
        let mut request =
            Request::get("/").header("host", "bank.example").body(Body::empty()).expect("the request is valid");
        request.extensions_mut().insert(caller.clone());
        let Ok(response) = now_or_never(service.call(request));
        assert_eq!(black_box(response).status(), status);
    }
    calls
}

/// Services that have been called once.
fn services<S>(user: &str, status: u16, make: impl Fn() -> S) -> Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    call_each(for_each_store(user, make), status)
}

/// One-time codes by a sender that keeps the last one.
#[derive(Clone)]
struct Otp {
    step_up: StepUp,
    sent: Arc<Mutex<String>>,
}

impl Otp {
    fn new() -> Self {
        let sent = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&sent);
        let sender = move |message: OtpMessage| {
            message.code().expose().clone_into(&mut kept.lock().expect("nothing panics"));
            ready(Ok(()))
        };
        let step_up = StepUp::builder().otp("SMS", sender).clock(ManualClock::new()).build();
        Self { step_up: step_up.expect("one channel is enough"), sent }
    }

    fn start(&self, caller: &Caller) {
        now_or_never(self.step_up.start_otp(caller, "SMS", None)).expect("no limit is reached");
    }

    fn code(&self) -> String {
        self.sent.lock().expect("nothing panics").clone()
    }
}

fn verify_code(step_up: &StepUp, caller: &Caller, code: &str) {
    black_box(now_or_never(step_up.verify_otp(caller, "SMS", code)).expect("the code is right"));
}

/// Callers without a challenge, on stores that hold another user already.
fn not_started() -> Calls<Otp> {
    let other = Caller::user("other").session("session");
    let calls = for_each_store("alice", || {
        let otp = Otp::new();
        otp.start(&other);
        verify_code(&otp.step_up, &other, &otp.code());
        otp
    });
    thread::sleep(MAINTENANCE);
    calls
}

/// Callers with a challenge, and its code.
fn started() -> Calls<(StepUp, String)> {
    let start = |(otp, caller): (Otp, Caller)| {
        otp.start(&caller);
        ((otp.step_up.clone(), otp.code()), caller)
    };
    let calls = not_started().into_iter().map(start).collect();
    thread::sleep(MAINTENANCE);
    calls
}

// Each returns its argument, so that the drop is not counted.

#[library_benchmark]
#[bench::calls(services("alice", 200, || NoOp(handler())))]
fn no_op(calls: Calls<NoOp<Handler>>) -> Calls<NoOp<Handler>> {
    call_each(calls, 200)
}

#[library_benchmark]
#[bench::calls(services("alice", 200, || guard().layer(handler())))]
fn pass(calls: Calls<GuardedService<Handler>>) -> Calls<GuardedService<Handler>> {
    call_each(calls, 200)
}

#[library_benchmark]
#[bench::calls(services("bob", 403, || guard().layer(handler())))]
fn refuse(calls: Calls<GuardedService<Handler>>) -> Calls<GuardedService<Handler>> {
    call_each(calls, 403)
}

#[library_benchmark]
#[bench::calls(services("alice", 200, || router().layer(layer_fn(NoOp))))]
fn no_op_in_router(calls: Calls<Router>) -> Calls<Router> {
    call_each(calls, 200)
}

#[library_benchmark]
#[bench::calls(services("alice", 200, || router().layer(guard())))]
fn pass_in_router(calls: Calls<Router>) -> Calls<Router> {
    call_each(calls, 200)
}

#[library_benchmark]
#[bench::calls(not_started())]
fn start(calls: Calls<Otp>) -> Calls<Otp> {
    for (otp, caller) in &calls {
        otp.start(caller);
    }
    calls
}

#[library_benchmark]
#[bench::calls(started())]
fn verify(calls: Calls<(StepUp, String)>) -> Calls<(StepUp, String)> {
    for ((step_up, code), caller) in &calls {
        verify_code(step_up, caller, code);
    }
    calls
}

library_benchmark_group!(
    name = instructions,
    benchmarks = [no_op, pass, refuse, no_op_in_router, pass_in_router, start, verify]
);

main!(
    config = LibraryBenchmarkConfig::default()
        .env("RUST_MIN_STACK", NO_THREADS)
        // Simulated caches would only take time.
        .tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = instructions
);
