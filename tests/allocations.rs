//! A request that a guard lets through costs no allocation of its own, a refusal three; those of a start and of a
//! verification have a bound, and bytes that are no record cost little memory.
//!
//! This is a separate binary, because its global allocator counts every allocation of the thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    hint::black_box,
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, request::Parts};
use hyper_util::service::TowerToHyperService;
use testkit::NoOp;
use tower::{Service, layer::layer_fn, service_fn};
use tower_step_up::{
    Caller, MemoryStore, Refusal, RefusalTerms, RequireStepUp, Requirement, ResponseForRefusal, Secret, StepUp,
    discard,
    guard::refusal::OAuth,
    store::{Change, Key, Store, StoreError, Stored, Swapped},
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is forwarded to the system's allocator; only a counter is added.
#[allow(unsafe_code, reason = "a global allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES.with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract.
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

fn now_or_never<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("nothing is awaited")
}

/// A hyper service as a tower service.
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

/// With the one header that every request over HTTP/1.1 has.
fn request(caller: &Caller) -> Request<Body> {
    let mut request = Request::get("/").header("host", "bank.example").body(Body::empty()).unwrap();
    request.extensions_mut().insert(caller.clone());
    request
}

/// The allocations of one call after a warm-up.
fn of_call<S>(service: &mut S, caller: &Caller) -> usize
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: std::fmt::Debug,
{
    of_request(service, || request(caller))
}

fn of_request<S>(service: &mut S, request: impl Fn() -> Request<Body>) -> usize
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: std::fmt::Debug,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut once = |request| {
        assert!(service.poll_ready(&mut cx).is_ready());
        now_or_never(service.call(request)).unwrap()
    };
    (0..100).for_each(|_| drop(once(request())));
    let request = request();
    count(|| once(request))
}

fn stepped_up() -> (StepUp, Caller) {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let alice = Caller::user("alice").session("session");
    now_or_never(step_up.start_otp(&alice, "SMS", None)).unwrap();
    now_or_never(step_up.verify_otp(&alice, "SMS", "123456")).unwrap();
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

    // A response without headers gets a header map, two allocations, for `no-store`.
    let empty = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    assert_eq!(of_call(&mut guard.layer(empty), &alice), of_call(&mut NoOp(empty), &alice) + 2, "no header");
    let kept = guard.clone().keep_cache_control();
    assert_eq!(of_call(&mut kept.layer(empty), &alice), of_call(&mut NoOp(empty), &alice), "left alone");

    // As hyper's servers call it.
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

/// The allocations of a refusal, over those of a layer that does nothing at the same place.
fn of_refusal<R: ResponseForRefusal<Body>>(guard: &RequireStepUp<R>, request: impl Fn() -> Request<Body>) -> usize {
    let empty = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    of_request(&mut guard.layer(empty), &request) - of_request(&mut NoOp(empty), &request) - of_event()
}

/// The allocations of the refusal's event for the `metrics` facade, which is on in tests: its macro collects labels
/// even without a recorder.
fn of_event() -> usize {
    let word = black_box("word");
    count(|| metrics::counter!("events", "event" => word, "channel" => word, "reason" => word).increment(1))
}

fn at_most(limit: usize, what: &str, counted: usize) {
    assert!(counted <= limit, "{what}: {counted} allocations instead of {limit}");
}

/// The JSON was built with the guard, and the maps of headers and extensions are those of the request. What is left is
/// new for each response: the box in which axum keeps a body, the text of `request-ref`, and the box in which `http`
/// keeps the `Refusal`.
#[test]
fn a_refusal_costs_three_allocations() {
    let step_up = StepUp::builder().proof("PASSKEY").build().unwrap();
    let bob = Caller::user("bob").session("session");
    let guard = RequireStepUp::new(&step_up);
    let get = || request(&bob);
    let nobody = || {
        let mut request = request(&bob);
        request.extensions_mut().remove::<Caller>();
        request
    };
    let grpc = || {
        let mut request = request(&bob);
        *request.method_mut() = Method::POST;
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        request
    };
    at_most(3, "403", of_refusal(&guard, get));
    at_most(3, "401", of_refusal(&guard, nobody));
    at_most(3, "gRPC", of_refusal(&guard, grpc));
    at_most(2, "gRPC, with an empty body, which axum does not box", of_refusal(&guard.clone().grpc(), grpc));

    let oauth = || OAuth::new().acr_values(["urn:example:gold"]).unwrap();
    let recent = RequireStepUp::with(&step_up, Requirement::new().max_age(Duration::from_secs(60))).unwrap();
    at_most(3, "OAuth", of_refusal(&guard.clone().with_refusal_response(oauth()), get));
    at_most(5, "OAuth, with the guard's age", of_refusal(&recent.with_refusal_response(oauth()), get));

    // A closure is given the request to read, so it makes a header map: two allocations. It boxes no body here.
    let closure = guard.clone().with_refusal_response(|_: &Refusal, _: &RefusalTerms, _: &Parts| Response::default());
    at_most(4, "a closure", of_refusal(&closure, get));

    // Two allocations for each map that the request does not have.
    at_most(7, "a request without headers and extensions", of_refusal(&guard, || Request::new(Body::empty())));
}

#[test]
fn a_refusal_is_cheaper_than_a_handler() {
    let (step_up, _) = stepped_up();
    let bob = Caller::user("bob").session("session");
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut router = Router::new().route("/", get(async || ())).with_state::<()>(());
    let refused = of_call(&mut RequireStepUp::new(&step_up).layer(handler), &bob);
    assert!(refused < of_call(&mut router, &bob), "the cheapest handler");
}

/// A store in another process: empty, or down.
struct Remote {
    down: bool,
}

impl Store for Remote {
    async fn load(&self, _: Key) -> Result<Option<Stored>, StoreError> {
        if self.down { Err(StoreError::new(io::Error::from(io::ErrorKind::ConnectionRefused))) } else { Ok(None) }
    }

    async fn swap(&self, _: &[Change]) -> Result<Swapped, StoreError> {
        Err(StoreError::new("down"))
    }
}

/// 503. What the request waits in costs the same whatever the store answers.
#[test]
fn a_refusal_for_a_store_that_is_down_costs_no_more() {
    let bob = Caller::user("bob").session("session");
    let of_store = |down| {
        let [record_key, secret] = [[6; 32], [7; 32]].map(|bytes| Secret::new(bytes).unwrap());
        let builder = StepUp::builder().proof("PASSKEY").record_key(record_key).secret(secret);
        let step_up = builder.store(Remote { down }).build().unwrap();
        of_refusal(&RequireStepUp::new(&step_up), || request(&bob))
    };
    let (empty, down) = (of_store(false), of_store(true));
    assert!(down <= empty + 1, "{down} instead of {empty} and the box of the store's error");
}

/// Takes the changes of an operation, and makes none.
#[derive(Clone, Default)]
struct Takes(Arc<Mutex<Vec<Change>>>);

impl Store for Takes {
    async fn load(&self, _: Key) -> Result<Option<Stored>, StoreError> {
        Ok(None)
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        self.0.lock().unwrap().extend_from_slice(changes);
        Err(StoreError::new("full"))
    }
}

/// T18: what a full store refuses leaves no garbage that has to be freed later.
#[test]
fn an_insert_without_a_place_allocates_nothing() {
    let takes = Takes::default();
    let secret = |byte| Secret::new([byte; 32]).unwrap();
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).store(takes.clone());
    let step_up = step_up.secret(secret(1)).record_key(secret(2)).build().unwrap();
    assert!(now_or_never(step_up.start_otp(&Caller::user("alice").session("1"), "SMS", None)).is_err());
    let changes = std::mem::take(&mut *takes.0.lock().unwrap());
    let full = MemoryStore::with_capacity(0);
    let refused = || assert_eq!(now_or_never(full.swap(&changes[..1])).unwrap(), Swapped::Full { at: 0 });
    // Some of the calls look for expired records first.
    assert_eq!((0..10).map(|_| count(refused)).min(), Some(0));
}

/// The median over many users: an operation may also grow one of the tables of the store.
#[test]
fn a_start_and_a_verification_allocate_within_bounds() {
    const USERS: usize = 4_001;
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let (starts, verifications): (Vec<_>, Vec<_>) = (0..USERS)
        .map(|user| {
            let caller = Caller::user(user).session("session");
            let start = count(|| now_or_never(step_up.start_otp(&caller, "SMS", None)).unwrap());
            (start, count(|| now_or_never(step_up.verify_otp(&caller, "SMS", "123456")).unwrap()))
        })
        .unzip();
    let median = |mut counts: Vec<usize>| *counts.select_nth_unstable(USERS / 2).1;
    at_most(38, "a start", median(starts));
    at_most(59, "a verification", median(verifications));
}

#[test]
fn a_caller_costs_one_allocation() {
    assert_eq!(count(|| Caller::user("alice").session("session")), 1);
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

/// An entry takes more memory than its bytes, so reading ends with the longest list that a record may have.
#[test]
fn a_list_that_is_far_too_long_is_not_read_to_its_end() {
    const ENTRIES: [u8; 3] = [0xc0, 0x84, 0x3d]; // 1,000,000
    // A user's record: generation, three empty lists, the rare part, no lock, and the channels with failures.
    let front = [&[0; 16][..], &[2, 1], &[0, 0, 0, 0, 1, 0], &ENTRIES].concat();
    let record = [front, vec![0; 2_000_000]].concat();
    let before = BYTES.with(Cell::get);
    let decoded = Stored::decode(&record);
    let bytes = BYTES.with(Cell::get) - before;
    assert!(decoded.is_err());
    assert!(bytes < 2_000_000, "{bytes} bytes");
}
