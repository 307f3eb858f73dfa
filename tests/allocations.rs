//! A request that a guard lets through costs no allocation of its own, and bytes that are no record cost little memory.
//!
//! A binary of its own, because it counts every allocation of the thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    hint::black_box,
    task::{Context, Poll, Waker},
};

use axum::{Router, body::Body, routing::get};
use http::{Request, Response, request::Parts};
use hyper_util::service::TowerToHyperService;
use tower::{Service, layer::layer_fn, service_fn};
use tower_step_up::{Caller, Refusal, RefusalTerms, RequireStepUp, StepUp, discard, store::Stored};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it hands every call on to the system's allocator and keeps a number beside it.
#[allow(unsafe_code, reason = "a global allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES.with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count<T>(run: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    drop(black_box(run()));
    ALLOCATIONS.with(Cell::get) - before
}

/// A layer that does nothing, at the same place.
#[derive(Clone)]
struct NoOp<S>(S);

impl<S: Service<R>, R> Service<R> for NoOp<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

/// A service of hyper, called as one of tower.
struct OnHyper<S>(S);

impl<S: hyper::service::Service<R>, R> Service<R> for OnHyper<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

fn request(caller: &Caller) -> Request<Body> {
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    request.extensions_mut().insert(caller.clone());
    request
}

/// The allocations of one call, with everything warm.
fn of_call<S>(service: &mut S, caller: &Caller) -> usize
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: std::fmt::Debug,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut once = |request| {
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut future = std::pin::pin!(service.call(request));
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(response) => response.unwrap(),
            Poll::Pending => panic!("everything is at hand"),
        }
    };
    (0..100).for_each(|_| drop(once(request(caller))));
    let request = request(caller);
    count(|| once(request))
}

fn stepped_up() -> (StepUp, Caller) {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let alice = Caller::user("alice").session("session");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        step_up.verify_otp(&alice, "SMS", "123456").await.unwrap();
    });
    (step_up, alice)
}

#[test]
fn an_allowed_request_allocates_as_much_as_without_a_guard() {
    let (step_up, alice) = stepped_up();
    let guard = RequireStepUp::new(&step_up);

    let bare = service_fn(async |_: Request<Body>| {
        let response = Response::builder().header("content-type", "text/plain").body(Body::empty()).unwrap();
        Ok::<_, Infallible>(response)
    });
    assert_eq!(of_call(&mut guard.layer(bare), &alice), of_call(&mut NoOp(bare), &alice), "a plain service");
    let grpc = guard.clone().grpc().exempt("bank.v1.Bank", "Accounts").unwrap();
    assert_eq!(of_call(&mut grpc.layer(bare), &alice), of_call(&mut NoOp(bare), &alice), "with an exemption");

    // An answer without any header gets a header map, which takes two, for its one header: `no-store`.
    let empty = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    assert_eq!(of_call(&mut guard.layer(empty), &alice), of_call(&mut NoOp(empty), &alice) + 2, "no header");
    let kept = guard.clone().keep_cache_control();
    assert_eq!(of_call(&mut kept.layer(empty), &alice), of_call(&mut NoOp(empty), &alice), "left alone");

    // As hyper's own servers call it.
    let mut guarded = OnHyper(TowerToHyperService::new(guard.layer(bare)));
    let mut no_op = OnHyper(TowerToHyperService::new(NoOp(bare)));
    assert_eq!(of_call(&mut guarded, &alice), of_call(&mut no_op, &alice), "on hyper");

    let router = || Router::new().route("/", get(async || ()));
    let mut around = guard.layer(router().with_state::<()>(()));
    let mut bare = router().with_state::<()>(());
    assert_eq!(of_call(&mut around, &alice), of_call(&mut bare, &alice), "around a router");

    let mut layered = router().layer(guard.clone()).with_state::<()>(());
    let mut no_op = router().layer(layer_fn(NoOp)).with_state::<()>(());
    assert_eq!(of_call(&mut layered, &alice), of_call(&mut no_op, &alice), "through Router::layer");

    let mut layered = router().route_layer(guard).with_state::<()>(());
    let mut no_op = router().route_layer(layer_fn(NoOp)).with_state::<()>(());
    assert_eq!(of_call(&mut layered, &alice), of_call(&mut no_op, &alice), "through Router::route_layer");
}

/// A refusal costs the header map and the reference; what stands in the extensions, for a layer outside, costs
/// `http` three more. The body was built with the guard.
#[test]
fn a_refusal_is_cheaper_than_a_handler() {
    let (step_up, _) = stepped_up();
    let bob = Caller::user("bob").session("session");
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let guard = RequireStepUp::new(&step_up);
    let json = of_call(&mut guard.layer(handler), &bob);
    let empty = guard.with_refusal_response(|_: &Refusal, _: &RefusalTerms, _: &Parts| Response::new(Body::empty()));
    println!("allocations of a refusal: JSON {json}, an empty one {}", of_call(&mut empty.layer(handler), &bob));
    let mut router = Router::new().route("/", get(async || ())).with_state::<()>(());
    assert!(json <= of_call(&mut router, &bob), "the cheapest handler");
}

#[test]
fn a_caller_costs_two_allocations() {
    assert!(count(|| Caller::user("alice").session("session")) <= 2);
    let (step_up, alice) = stepped_up();
    assert_eq!(count(|| alice.clone()), 0);
    assert_eq!(count(|| step_up.clone()), 0);
}

/// A list or a text that claims to be longer than the record is.
#[test]
fn a_length_without_its_bytes_allocates_little() {
    let lengths: [&[u8]; 3] =
        [&[0x7f], &[0xff, 0xff, 0xff, 0xff, 7], &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]];
    for kind in 0..3 {
        for (at, length) in (0..64).flat_map(|at| lengths.map(|length| (at, length))) {
            let record = [&[0; 16][..], &[2, kind], &vec![0; at], length, &[0; 64]].concat();
            let before = BYTES.with(Cell::get);
            let decoded = Stored::decode(&record);
            let bytes = BYTES.with(Cell::get) - before;
            assert!(decoded.is_err(), "kind {kind}, {at}, {length:?}");
            assert!(bytes < 16 * 1024, "kind {kind}, {at}, {length:?}: {bytes} bytes");
        }
    }
}
