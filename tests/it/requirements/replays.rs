//! Concurrent requests for one grant, and requests that are dropped half-way (T27): one passes, at any entry point.

use std::{convert::Infallible, pin::Pin, sync::atomic::Ordering};

use axum::{Router, body::Body, response::Response, routing::get as on_get};
use http::{Request, request::Parts};
use testkit::{FaultyStore, poll_at_most};
use tower::{Layer, Service, service_fn};
use tower_step_up::{
    Binding, Caller, ManualClock, Proof, Purpose, RequireStepUp, Requirement, StepUp, extract::SteppedUp,
};

use super::{
    app::oneshot,
    get, grant, local,
    once::{Passed, guarded, passes, reason},
    remote, together,
};

fn once() -> Requirement {
    Requirement::new().once()
}

fn alice(number: usize) -> Caller {
    Caller::user(format_args!("alice {number}")).session("1")
}

/// Sends a request to one of the entry points: the layer, `StepUp::authorize` or the extractor.
fn send(
    entry_point: usize,
    step_up: &StepUp,
    requirement: &Requirement,
    caller: &Caller,
    passed: &Passed,
) -> Pin<Box<dyn Future<Output = String> + Send>> {
    let (step_up, requirement, passed) = (step_up.clone(), requirement.clone(), passed.clone());
    let (caller, request) = (caller.clone(), get(caller));
    match entry_point % 3 {
        0 => Box::pin(async move { oneshot(guarded(&step_up, requirement, &passed), request).await.summary() }),
        1 => Box::pin(async move {
            let Some(reason) = reason(&step_up, &caller, requirement).await else {
                passed.fetch_add(1, Ordering::SeqCst);
                return "200".into();
            };
            format!("403 {reason}")
        }),
        _ => Box::pin(async move {
            let handler = async move |_: SteppedUp<RequireStepUp>| {
                passed.fetch_add(1, Ordering::SeqCst);
            };
            let guard = RequireStepUp::with(&step_up, requirement).unwrap();
            let app: Router = Router::new().route("/", on_get(handler)).with_state(guard);
            oneshot(app, request).await.summary()
        }),
    }
}

/// Concurrent requests with one grant for each of the channels: one passes, and all others find the grant consumed.
async fn race(step_up: &StepUp, round: usize, channels: &[&str], requests: &[(usize, Requirement)]) {
    let caller = alice(round);
    for channel in channels {
        grant(step_up, &caller, channel).await;
    }
    let passed = Passed::default();
    let all: Vec<_> = requests.iter().flat_map(|(times, requirement)| vec![requirement; *times]).collect();
    let responses = together(all.len(), |task| send(task, step_up, all[task], &caller, &passed)).await;
    let responses = |summary: &str| responses.iter().filter(|responses| *responses == summary).count();
    assert_eq!((responses("200"), responses("403 spent")), (1, all.len() - 1), "round {round}");
    assert_eq!(passes(&passed), 1, "round {round}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_replays_one_passes() {
    let clock = ManualClock::new();
    let (local, remote) = (local(&clock), remote(&clock, &FaultyStore::default()));
    for round in 0..6 {
        race(&local, round, &["KEY"], &[(1_000, once())]).await;
    }
    for round in 0..4 {
        race(&remote, round, &["KEY"], &[(1_000, once())]).await;
    }
}

/// Two routes consume the same grant, one of them along with another: only the first request passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_grant_that_two_routes_need_is_consumed_by_one() {
    let clock = ManualClock::new();
    let (local, remote) = (local(&clock), remote(&clock, &FaultyStore::default()));
    let both = || once().all_of(["KEY", "CARD"]);
    for round in 0..8 {
        let requests = [(50, both()), (50, once().channels(["KEY"]))];
        race(&local, round, &["KEY", "CARD"], &requests).await;
        race(&remote, round, &["KEY", "CARD"], &requests).await;
    }
}

/// A bound guard around a handler that counts its runs, and a grant that passes it once.
pub(crate) async fn approved(
    step_up: &StepUp,
    caller: &Caller,
    passed: &Passed,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + use<> {
    let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let passed = passed.clone();
    let handler = service_fn(move |_: Request<Body>| {
        passed.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Response::default())
        }
    });
    let guarded = RequireStepUp::new(step_up).bind(binding).layer(handler);
    let token = oneshot(guarded.clone(), get(caller)).await.binding();
    step_up.record_proof(caller, Proof::new("KEY").purpose(Purpose::new().binding(&token))).await.unwrap();
    guarded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_replays_of_an_approved_request_one_passes() {
    let clock = ManualClock::new();
    let (local, remote) = (local(&clock), remote(&clock, &FaultyStore::default()));
    for round in 0..4 {
        bound_race(&local, round).await;
        bound_race(&remote, round).await;
    }
}

async fn bound_race(step_up: &StepUp, round: usize) {
    let (caller, passed) = (alice(round), Passed::default());
    let guarded = approved(step_up, &caller, &passed).await;
    let responses = together(1_000, |_| {
        let (guarded, request) = (guarded.clone(), get(&caller));
        async move { oneshot(guarded, request).await.summary() }
    })
    .await;
    let responses = |summary: &str| responses.iter().filter(|responses| *responses == summary).count();
    assert_eq!((responses("200"), responses("403 spent"), passes(&passed)), (1, 999, 1), "round {round}");
}

/// A request dropped at any point lets none pass twice. `make` grants each time to a new session.
async fn dropped<T>(make: impl AsyncFn(&Caller, &Passed) -> T)
where
    T: Service<Request<Body>, Response = Response, Error = Infallible> + Clone,
{
    let (mut unspent, mut lost, mut ran) = (0, 0, 0);
    for polls in 0.. {
        let (caller, passed) = (alice(polls), Passed::default());
        let guarded = make(&caller, &passed).await;
        let ended = poll_at_most(polls, oneshot(guarded.clone(), get(&caller))).is_some();
        let ran_at_first = passes(&passed);
        let summary = oneshot(guarded.clone(), get(&caller)).await.summary();
        assert_eq!(oneshot(guarded, get(&caller)).await.summary(), "403 spent", "{polls}");
        match (ran_at_first, summary.as_str()) {
            (0, "200") => unspent += 1,
            (0, "403 spent") => lost += 1,
            (1, "403 spent") => ran += 1,
            other => panic!("{polls}: {other:?}"),
        }
        assert!(passes(&passed) <= 1, "{polls}");
        if ended {
            break;
        }
    }
    assert!(unspent > 0 && lost > 0 && ran > 1, "before, during and after: {unspent} {lost} {ran}");
}

#[tokio::test]
async fn a_dropped_request_passes_at_most_once() {
    let clock = ManualClock::new();
    let step_up = remote(&clock, &FaultyStore::default());
    dropped(async |caller: &Caller, passed: &Passed| {
        grant(&step_up, caller, "KEY").await;
        guarded(&step_up, once(), passed)
    })
    .await;
    dropped(async |caller: &Caller, passed: &Passed| approved(&step_up, caller, passed).await).await;
}
