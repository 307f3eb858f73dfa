//! The cost of a guard, compared with a layer that does nothing.
//!
//! `cargo bench -p benches --bench guard` (add `-- --quick` to leave out the million sessions). Variants run in
//! alternating batches in one process. Figures are thread CPU time, medians over the rounds; differences are taken per
//! round, so that a drifting machine does not distort them.

use std::{
    convert::Infallible,
    hint::black_box,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, middleware::from_fn_with_state, routing::get};
use cpu_time::ThreadTime;
use http::{Request, Response};
use testkit::NoOp;
use tower::{Service, layer::layer_fn, service_fn};
use tower_step_up::{Caller, ManualClock, RequireStepUp, Requirement, StepUp, discard, store::MemoryStore};

const ROUNDS: usize = 61;

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    routers();
    services();
    parts();
    operations();
    threads();
    if !quick {
        million();
    }
}

/// A name, and the measured function.
type Variant<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Runs the variants in turn and prints the median of each, and of its difference to the first.
fn compare(title: &str, batch: u32, variants: &mut [Variant<'_>]) {
    let mut times = vec![Vec::with_capacity(ROUNDS); variants.len()];
    for round in 0..ROUNDS + 5 {
        for ((_, run), times) in variants.iter_mut().zip(&mut times) {
            let start = ThreadTime::now();
            (0..batch).for_each(|_| run());
            let nanos = start.elapsed().as_secs_f64() * 1e9 / f64::from(batch);
            if round >= 5 {
                times.push(nanos);
            }
        }
    }
    println!("\n{title}");
    println!("| variant | ns | over the first | times the first |");
    println!("|---|---|---|---|");
    for ((name, _), own) in variants.iter().zip(&times) {
        let over = median(own.iter().zip(&times[0]).map(|(own, first)| own - first));
        let ratio = median(own.iter().zip(&times[0]).map(|(own, first)| own / first));
        println!("| {name} | {:.0} | {over:+.0} | {ratio:.2} |", median(own.iter().copied()));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn discard_result<T>(result: T) {
    drop(black_box(result));
}

fn now_or_never<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("everything is at hand"),
    }
}

fn call<S: Service<Request<Body>, Response = Response<Body>>>(service: &mut S, caller: &Caller) -> u16
where
    S::Error: std::fmt::Debug,
{
    // With a header, as every request over HTTP/1.1 has: a refusal reuses the map.
    let mut request = Request::get("/").header("host", "bank.example").body(Body::empty()).unwrap();
    request.extensions_mut().insert(caller.clone());
    now_or_never(service.call(request)).unwrap().status().as_u16()
}

fn step_up() -> StepUp {
    StepUp::builder().sandbox().otp("SMS", discard).build().unwrap()
}

fn verify(step_up: &StepUp, caller: &Caller) {
    now_or_never(step_up.start_otp(caller, "SMS", None)).unwrap();
    now_or_never(step_up.verify_otp(caller, "SMS", "123456")).unwrap();
}

fn routers() {
    let step_up = step_up();
    let (alice, bob) = (Caller::user("alice").session("1"), Caller::user("bob").session("1"));
    verify(&step_up, &alice);
    let guard = RequireStepUp::new(&step_up);
    let router = || Router::new().route("/", get(async || ()));

    let check = from_fn_with_state(
        step_up.clone(),
        async |axum::extract::State(step_up): axum::extract::State<StepUp>,
               request: axum::extract::Request,
               next: axum::middleware::Next| {
            let caller = request.extensions().get::<Caller>().cloned().unwrap();
            match step_up.authorize(&caller, &Requirement::new()).await {
                Ok(_) => next.run(request).await,
                Err(_) => Response::builder().status(403).body(Body::empty()).unwrap(),
            }
        },
    );
    let mut no_op = router().layer(layer_fn(NoOp)).with_state::<()>(());
    let mut hit = router().layer(guard.clone()).with_state::<()>(());
    let mut refuse = hit.clone();
    let mut middleware = router().layer(check).with_state::<()>(());
    let mut bare = router().with_state::<()>(());
    assert_eq!([call(&mut hit, &alice), call(&mut refuse, &bob), call(&mut middleware, &alice)], [200, 403, 200]);
    compare(
        "A route of an axum router, through Router::layer",
        2000,
        &mut [
            ("no-op layer", Box::new(|| discard_result(call(&mut no_op, &alice)))),
            ("bare", Box::new(|| discard_result(call(&mut bare, &alice)))),
            ("guard, passes", Box::new(|| discard_result(call(&mut hit, &alice)))),
            ("guard, refuses (403 JSON)", Box::new(|| discard_result(call(&mut refuse, &bob)))),
            ("axum::middleware::from_fn and check()", Box::new(|| discard_result(call(&mut middleware, &alice)))),
        ],
    );

    let mut no_op = NoOp(router().with_state::<()>(()));
    let mut around = guard.layer(router().with_state::<()>(()));
    compare(
        "Around the whole router",
        2000,
        &mut [
            ("no-op layer", Box::new(|| discard_result(call(&mut no_op, &alice)))),
            ("guard, passes", Box::new(|| discard_result(call(&mut around, &alice)))),
        ],
    );
}

fn services() {
    let step_up = step_up();
    let (alice, bob) = (Caller::user("alice").session("1"), Caller::user("bob").session("1"));
    verify(&step_up, &alice);
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut no_op = NoOp(handler);
    let mut hit = RequireStepUp::new(&step_up).layer(handler);
    let mut refuse = hit.clone();
    compare(
        "A plain service",
        5000,
        &mut [
            ("no-op layer", Box::new(|| discard_result(call(&mut no_op, &alice)))),
            ("guard, passes", Box::new(|| discard_result(call(&mut hit, &alice)))),
            ("guard, refuses (403 JSON)", Box::new(|| discard_result(call(&mut refuse, &bob)))),
        ],
    );
}

fn parts() {
    let step_up = step_up();
    let (alice, bob) = (Caller::user("alice").session("1"), Caller::user("bob").session("1"));
    verify(&step_up, &alice);
    let any = Requirement::new();
    let user = "9f1c3a52-6a5e-4d0b-8c57-0f6a2b1e7d43";
    compare(
        "Parts",
        5000,
        &mut [
            ("nothing", Box::new(|| black_box(()))),
            ("Caller::new, two ids of 36 bytes", Box::new(|| discard_result(Caller::user(user).session(user)))),
            ("decision, with a grant", Box::new(|| discard_result(now_or_never(step_up.authorize(&alice, &any))))),
            ("decision, no record", Box::new(|| discard_result(now_or_never(step_up.authorize(&bob, &any))))),
        ],
    );
}

fn operations() {
    const PAIRS: u32 = 60_000;
    let step_up = step_up();
    let callers: Vec<_> = (0..PAIRS).map(|i| Caller::user(i).session("1")).collect();
    let start = ThreadTime::now();
    for caller in &callers {
        verify(&step_up, caller);
    }
    let pairs = f64::from(PAIRS) / start.elapsed().as_secs_f64();
    println!("\nstart + verify, one core: {pairs:.0} pairs a second (goal 40,000)");

    // One contended challenge: 64 callers in turn on one thread, and then one alone.
    let clock = ManualClock::new();
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).clock(clock).build().unwrap();
    let victim = Caller::user("victim").session("1");
    now_or_never(step_up.start_otp(&victim, "SMS", None)).unwrap();
    for _ in 0..5 {
        let _ = now_or_never(step_up.verify_otp(&victim, "SMS", "000000"));
    }
    let locked = |tasks: usize| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..tasks {
                scope.spawn(|| {
                    for _ in 0..20_000 / tasks {
                        drop(now_or_never(step_up.verify_otp(&victim, "SMS", "123456")));
                    }
                });
            }
        });
        start.elapsed().as_secs_f64() * 1e9 / 20_000.0
    };
    let ratio = median((0..21).map(|_| locked(64) / locked(1)));
    println!("64 threads on one locked challenge, wall time a call over one thread's: {ratio:.2} (goal 2)");
}

fn threads() {
    let step_up = step_up();
    let callers: Vec<_> = (0..1000).map(|i| Caller::user(i).session("1")).collect();
    for caller in &callers {
        verify(&step_up, caller);
    }
    let any = Requirement::new();
    let work = |threads: usize| {
        let until = Instant::now() + Duration::from_millis(200);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let mut done = 0_u32;
                        while Instant::now() < until {
                            for caller in &callers {
                                drop(black_box(now_or_never(step_up.authorize(caller, &any))));
                            }
                            done += 1;
                        }
                        done
                    })
                })
                .collect();
            f64::from(workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u32>())
        })
    };
    let ratio = median((0..11).map(|_| work(2) / work(1)));
    println!("two threads on a hot set of 1,000, over one: {ratio:.2} times the work (goal 1.5)");
}

fn million() {
    const USERS: usize = 1_000_000;
    let store = MemoryStore::with_capacity(2 * USERS + 10);
    let clock = ManualClock::new();
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).store(store.clone()).clock(clock).build().unwrap();
    let before = resident();
    let mut worst = Duration::ZERO;
    for i in 0..USERS {
        let caller = Caller::user(i).session("1");
        let start = Instant::now();
        verify(&step_up, &caller);
        worst = worst.max(start.elapsed());
    }
    let bytes = resident().saturating_sub(before) / USERS as u64;
    println!("\n{} records of {USERS} users: {bytes} bytes a user in all (goal 1,600)", store.len());
    println!("longest start + verify meanwhile: {worst:.1?}");

    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut no_op = NoOp(handler);
    let mut guarded = RequireStepUp::new(&step_up).layer(handler);
    // The callers are created before and used in random order, so that neither variant finds them in the CPU cache.
    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % USERS
    };
    let callers: Vec<_> = (0..400_000).map(|_| Caller::user(random()).session("1")).collect();
    let (mut a, mut b) = (callers.iter().cycle(), callers.iter().cycle());
    // One lookup in the map that the store's index is made of, by keys of half the size and with nothing else to do.
    let key =
        |user: usize| u128::try_from(user).unwrap_or_default().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let map = papaya::HashMap::builder().hasher(foldhash::fast::RandomState::default()).build();
    (0..USERS).for_each(|user| _ = map.pin().insert(key(user), user));
    let keys: Vec<_> = (0..400_000).map(|_| key(random())).collect();
    let mut c = keys.iter().cycle();
    compare(
        "A plain service, a million sessions, uniform (goal 700 over the no-op)",
        5000,
        &mut [
            ("no-op layer", Box::new(|| discard_result(call(&mut no_op, a.next().unwrap())))),
            ("guard, passes", Box::new(|| discard_result(call(&mut guarded, b.next().unwrap())))),
            ("one lookup in a bare map", Box::new(|| discard_result(map.pin().get(c.next().unwrap()).copied()))),
        ],
    );
    let mut worst = Duration::ZERO;
    for caller in &callers {
        let start = Instant::now();
        call(&mut guarded, caller);
        worst = worst.max(start.elapsed());
    }
    println!("longest of 400,000 allowed requests: {worst:.1?}");
}

/// The resident memory of the process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
