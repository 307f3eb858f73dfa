//! One call in process, with caches that are hot, or swept before the call.

use std::{
    convert::Infallible,
    hint::black_box,
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use axum::body::Body;
use http::{Request, Response};
use tower::{Service, service_fn};
use tower_step_up::{Caller, RequireStepUp, StepUp, discard};

use crate::{machine, random, server::NoOp, stats};

const SESSIONS: usize = 200_000;
/// Calls before the one that is timed, to make the code hot.
const BEFORE: usize = 500;

/// What the caches hold when the call is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caches {
    /// Everything, the session as well.
    Hot,
    /// The code and what all sessions share. The session was swept out of the core's own caches.
    SessionInLastLevel,
    /// The same, but the session was swept out of all caches.
    SessionInMemory,
    /// Nothing but the request.
    Nothing,
}

impl Caches {
    const ALL: [Caches; 4] = [Caches::Hot, Caches::SessionInLastLevel, Caches::SessionInMemory, Caches::Nothing];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Caches::Hot => "hot",
            Caches::SessionInLastLevel => "code hot, session out of L2",
            Caches::SessionInMemory => "code hot, session out of all caches",
            Caches::Nothing => "code and session out of all caches",
        }
    }
}

/// Nanoseconds of one call: through the layer that does nothing, and what the guard takes more.
#[derive(Debug)]
pub(crate) struct Cold {
    pub(crate) caches: Caches,
    pub(crate) no_op: stats::Summary,
    pub(crate) passes: stats::Summary,
    pub(crate) refuses: stats::Summary,
}

/// Times one call of each layer in turn, `repetitions` times for each state of the caches.
pub(crate) fn measure(repetitions: usize) -> Vec<Cold> {
    // Pinned, so on a thread of its own.
    thread::scope(|scope| scope.spawn(|| all(repetitions)).join().expect("nothing panics"))
}

fn all(repetitions: usize) -> Vec<Cold> {
    machine::pin(machine::Side::Load);
    eprintln!("in process: logging in");
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    for index in 0..SESSIONS {
        now_or_never(step_up.start_otp(&caller(index), "SMS", None)).unwrap();
        now_or_never(step_up.verify_otp(&caller(index), "SMS", "123456")).unwrap();
    }
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut no_op = NoOp(handler);
    let mut guard = RequireStepUp::new(&step_up).layer(handler);
    assert_eq!([call(&mut guard, 0).1, call(&mut guard, SESSIONS).1], [200, 403]);

    let mut sweeper = Sweeper::new();
    // Sessions in an order that looks random, each of them once.
    let mut next = 0;
    let mut session = || {
        next += 1;
        random::below(SESSIONS, next)
    };
    let measure = |caches: Caches| {
        eprintln!("in process: {}", caches.title());
        let mut times: [Vec<f64>; 3] = Default::default();
        for _ in 0..repetitions {
            let (a, b, c) = (session(), session(), session() + SESSIONS);
            times[0].push(time(&mut no_op, caches, a, &mut session, &mut sweeper));
            times[1].push(time(&mut guard, caches, b, &mut session, &mut sweeper));
            times[2].push(time(&mut guard, caches, c, &mut || session() + SESSIONS, &mut sweeper));
        }
        let more = |guard| stats::paired(guard, &times[0], |guard, no_op| guard - no_op);
        let (passes, refuses) = (more(&times[1]), more(&times[2]));
        Cold { caches, no_op: stats::summary(times[0].iter().copied()), passes, refuses }
    };
    Caches::ALL.map(measure).into()
}

/// Nanoseconds of one call for a session, with the caches as given.
fn time<S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>>(
    service: &mut S,
    caches: Caches,
    index: usize,
    others: &mut impl FnMut() -> usize,
    sweeper: &mut Sweeper,
) -> f64 {
    match caches {
        Caches::Hot => {}
        Caches::SessionInLastLevel => {
            call(service, index); // there are more sessions than even the last level holds
            sweeper.sweep(4 * machine::level_two_cache());
        }
        Caches::SessionInMemory | Caches::Nothing => sweeper.sweep(usize::MAX),
    }
    match caches {
        Caches::Hot => (0..BEFORE).for_each(|_| _ = call(service, index)),
        Caches::SessionInLastLevel | Caches::SessionInMemory => (0..BEFORE).for_each(|_| _ = call(service, others())),
        Caches::Nothing => {}
    }
    call(service, index).0
}

/// Makes a request, and takes the time of the call alone.
fn call<S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>>(
    service: &mut S,
    index: usize,
) -> (f64, u16) {
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    request.extensions_mut().insert(caller(index));
    black_box(Instant::now()); // its code is not what is measured
    let start = Instant::now();
    let response = black_box(now_or_never(service.call(black_box(request)))).expect("infallible");
    let nanos = start.elapsed().as_secs_f64() * 1e9;
    (nanos, response.status().as_u16())
}

/// Those from `SESSIONS` on are not stepped up.
fn caller(index: usize) -> Caller {
    Caller::user(format_args!("user-{index:031x}")).session(format_args!("session-{index:028x}"))
}

fn now_or_never<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("everything is at hand"),
    }
}

/// A buffer larger than the last cache.
struct Sweeper(Vec<[u64; 8]>);

impl Sweeper {
    fn new() -> Sweeper {
        // A line has 64 bytes. Half as much again, since caches do not drop strictly the oldest line.
        Sweeper(vec![[1; 8]; machine::last_level_cache() / 64 * 3 / 2])
    }

    /// Writes to each cache line in the first `bytes` of the buffer.
    fn sweep(&mut self, bytes: usize) {
        for line in self.0.iter_mut().take(bytes / 64) {
            line[0] = line[0].wrapping_add(1);
        }
        black_box(&mut self.0);
    }
}
