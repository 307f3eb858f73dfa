//! Report-only guards emit what they would refuse, and change no byte of a response and no grant.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::{HeaderMap, Request, request::Parts};
use http_body::Frame;
use http_body_util::BodyExt;
use testkit::FaultyStore;
use tower::{Layer, Service, service_fn};
use tower_step_up::{
    Binding, Caller, Event, Factor, ManualClock, Proof, Purpose, RequireStepUp, Requirement, StepUp, UnmetReason,
    guard::{Replayed, refusal::OAuth},
};

use super::{
    alice,
    app::{Answer, oneshot},
    builder, get, grant, of,
    once::reason,
    secs,
};

/// The reasons of the `WouldRefuse` events.
type Reported = Arc<Mutex<Vec<UnmetReason>>>;

fn step_up(clock: &ManualClock, store: &FaultyStore, reported: &Reported) -> StepUp {
    let reported = reported.clone();
    let observe = move |event: &Event<'_>| match event {
        Event::WouldRefuse { reason, .. } => reported.lock().unwrap().push(*reason),
        Event::GuardRefused { .. } | Event::Spent { .. } => panic!("a report-only guard emitted {event:?}"),
        _ => {}
    };
    store.on(builder(clock).observe(observe)).build().unwrap()
}

/// An application that echoes the body, the headers and the trailers, with the status 418.
fn app() -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(async |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let mut response = Response::new(body);
        *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
        *response.headers_mut() = parts.headers;
        response.headers_mut().insert("method", parts.method.as_str().parse().unwrap());
        Ok(response)
    })
}

/// A request whose every part appears in the response.
fn request(caller: Option<&Caller>, content_type: &str) -> Request<Body> {
    let trailers = HeaderMap::from_iter([("checksum".parse().unwrap(), "1".parse().unwrap())]);
    let body = http_body_util::Full::new(Bytes::from("data")).with_trailers(std::future::ready(Some(Ok(trailers))));
    let request = Request::post("/pay?x=1").header("content-type", content_type).header("x", "1");
    let request = request.body(Body::new(body)).unwrap();
    if let Some(caller) = caller { of(caller, request) } else { request }
}

/// State of a session, requirement, and the reason for which a guard would refuse.
fn rows() -> Vec<(&'static str, Requirement, Option<UnmetReason>)> {
    let any = Requirement::new;
    vec![
        ("nothing", any(), Some(UnmetReason::Missing)),
        ("scoped", any(), Some(UnmetReason::WrongScope)),
        ("granted", any().scope("pay"), Some(UnmetReason::WrongScope)),
        ("granted", any().channels(["CARD"]), Some(UnmetReason::WrongChannel)),
        (
            "granted",
            any().all_of([Factor::new("KEY"), Factor::new("CARD").max_age(secs(9))]),
            Some(UnmetReason::Missing),
        ),
        ("bound", any(), Some(UnmetReason::Mismatch)),
        ("spent", any(), Some(UnmetReason::Spent)),
        ("spent", any().once(), Some(UnmetReason::Spent)),
        ("expired", any(), Some(UnmetReason::Expired)),
        ("old", any().max_age(secs(60)), Some(UnmetReason::TooOld)),
        ("granted", any(), None),
        ("granted", any().once(), None),
        ("nobody", any(), None),
        ("nobody", any().once(), None),
        ("down", any(), None),
        ("down", any().once(), None),
    ]
}

/// Brings a session into this state, if necessary through a guard that enforces.
async fn bring(step_up: &StepUp, clock: &ManualClock, store: &FaultyStore, to: &str) {
    match to {
        "nothing" | "nobody" => {}
        "scoped" => drop(step_up.record_proof(&alice(), Proof::new("KEY").purpose(Some("x"))).await.unwrap()),
        "bound" => {
            let binding = token(step_up).await;
            let purpose = Purpose::new().binding(&binding);
            step_up.record_proof(&alice(), Proof::new("KEY").purpose(purpose)).await.unwrap();
        }
        _ => grant(step_up, &alice(), "KEY").await,
    }
    match to {
        "spent" => drop(step_up.authorize(&alice(), &Requirement::new().once()).await.unwrap()),
        "expired" => clock.advance(secs(600)),
        "old" => clock.advance(secs(61)),
        "down" => store.set_down(true),
        _ => {}
    }
}

fn binding() -> Binding {
    Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()))
}

async fn token(step_up: &StepUp) -> String {
    let guard = RequireStepUp::new(step_up).bind(binding().without_body()).layer(app());
    oneshot(guard, get(&alice())).await.binding()
}

/// With every kind of refusal response, for HTTP and gRPC clients.
#[tokio::test]
async fn no_byte_of_a_response_changes() {
    let mut seen = 0;
    for (to, requirement, would_refuse) in rows() {
        for content_type in ["application/json", "application/grpc"] {
            let (clock, store, reported) = (ManualClock::new(), FaultyStore::default(), Reported::default());
            // A second engine on the same store, whose events are not recorded.
            let enforcing = super::remote(&clock, &store);
            bring(&enforcing, &clock, &store, to).await;
            let step_up = step_up(&clock, &store, &reported);
            let swaps = store.swaps();
            let guard = RequireStepUp::with(&step_up, requirement.clone()).unwrap().report_only();
            let send = || request((to != "nobody").then(alice).as_ref(), content_type);
            let plain = oneshot(app(), send()).await;
            let through: [Answer; 5] = [
                oneshot(guard.layer(app()), send()).await,
                oneshot(guard.clone().json().layer(app()), send()).await,
                oneshot(guard.clone().grpc().layer(app()), send()).await,
                oneshot(guard.clone().with_refusal_response(OAuth::new()).layer(app()), send()).await,
                oneshot(guard.clone().report_only().layer(guard.layer(app())), send()).await,
            ];
            for answer in &through {
                assert_eq!(answer.bytes(), plain.bytes(), "{to} {requirement:?}");
                assert!(!answer.headers.contains_key("request-ref") && answer.refusal.is_none());
            }
            // The last request passed two guards.
            let expected = would_refuse.map_or(Vec::new(), |reason| vec![reason; through.len() + 1]);
            assert_eq!(*reported.lock().unwrap(), expected, "{to} {requirement:?}");
            assert_eq!(store.swaps(), swaps, "{to}: no write");
            seen += through.len();
        }
    }
    assert!(seen >= 160, "{seen}");
}

/// A one-time grant is not consumed, and passes an enforcing guard once.
#[tokio::test]
async fn no_grant_is_consumed() {
    let (clock, store, reported) = (ManualClock::new(), FaultyStore::default(), Reported::default());
    let (enforcing, step_up) = (super::remote(&clock, &store), step_up(&clock, &store, &reported));
    let once = Requirement::new().once();
    grant(&enforcing, &alice(), "KEY").await;
    let guard = RequireStepUp::with(&step_up, once.clone()).unwrap().report_only();
    for _ in 0..3 {
        assert_eq!(oneshot(guard.layer(app()), get(&alice())).await.status, 418);
    }
    assert!(reported.lock().unwrap().is_empty());
    assert_eq!(reason(&enforcing, &alice(), once.clone()).await, None);
    assert_eq!(reason(&enforcing, &alice(), once).await, Some(UnmetReason::Spent));
}

/// A report-only extractor lets every request pass, with its grant if there is one.
#[tokio::test]
async fn the_extractor_lets_every_request_pass() {
    let (clock, store, reported) = (ManualClock::new(), FaultyStore::default(), Reported::default());
    let step_up = step_up(&clock, &store, &reported);
    let guard = RequireStepUp::with(&step_up, Requirement::new().once()).unwrap().report_only();
    let check = async |caller: Option<&Caller>| {
        let mut parts = request(caller, "application/json").into_parts().0;
        guard.authorize::<Body>(&mut parts).await.map(|grant| grant.is_some()).map_err(|_| "refused")
    };
    assert_eq!(check(None).await, Ok(false));
    assert_eq!(check(Some(&alice())).await, Ok(false));
    grant(&step_up, &alice(), "KEY").await;
    for _ in 0..3 {
        assert_eq!(check(Some(&alice())).await, Ok(true));
    }
    store.set_down(true);
    assert_eq!(check(Some(&alice())).await, Ok(false));
    assert_eq!(*reported.lock().unwrap(), [UnmetReason::Missing]);
}

/// Inside another guard, the grant of that guard is not the one that this guard reports.
#[tokio::test]
async fn a_report_only_guard_inside_another_returns_no_grant_of_the_outer_one() {
    let (clock, store, reported) = (ManualClock::new(), FaultyStore::default(), Reported::default());
    let step_up = step_up(&clock, &store, &reported);
    let outer = RequireStepUp::new(&step_up);
    let inner = RequireStepUp::with(&step_up, Requirement::new().scope("pay")).unwrap().report_only();
    grant(&step_up, &alice(), "KEY").await;
    let mut parts = request(Some(&alice()), "application/json").into_parts().0;
    assert!(outer.authorize::<Body>(&mut parts).await.unwrap().is_some());
    assert!(inner.authorize::<Body>(&mut parts).await.unwrap().is_none());
    assert!(parts.extensions.get::<Caller>().unwrap().grant().is_some(), "the handler sees the outer guard's grant");
    assert_eq!(*reported.lock().unwrap(), [UnmetReason::WrongScope]);
}

/// A body of 200 KiB that fails at its end.
struct Failing(u8);

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0 += 1;
        Poll::Ready(Some(match self.0 {
            1..=200 => Ok(Frame::data(Bytes::from(vec![self.0; 1024]))),
            _ => Err(std::io::Error::other("broken off")),
        }))
    }
}

/// A bound report-only guard leaves bodies alone: also too large, failing or indescribable ones.
#[tokio::test]
async fn a_bound_guard_reads_no_body() {
    let (clock, store, reported) = (ManualClock::new(), FaultyStore::default(), Reported::default());
    let step_up = step_up(&clock, &store, &reported);
    let indescribable = Binding::new(|_: &Parts| None, |_: &Parts, _: &[u8]| None);
    for binding in [binding(), indescribable.clone(), indescribable.without_body()] {
        let rebuild = |_: Replayed| -> Body { panic!("the body was read") };
        let guard = RequireStepUp::new(&step_up).report_only().bind(binding).rebuild_with(rebuild);
        for caller in [Some(alice()), None] {
            let send = || request(caller.as_ref(), "application/json");
            assert_eq!(oneshot(guard.layer(app()), send()).await.bytes(), oneshot(app(), send()).await.bytes());
            let mut broken = Request::new(Body::new(Failing(0)));
            if let Some(caller) = &caller {
                broken.extensions_mut().insert(caller.clone());
            }
            let mut guarded = guard.layer(app());
            let mut body = guarded.call(broken).await.unwrap().into_body();
            for number in 1..=200 {
                let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
                assert_eq!((data.len(), data[0]), (1024, number));
            }
            assert!(body.frame().await.unwrap().is_err(), "the error is passed on");
        }
    }
    assert_eq!(*reported.lock().unwrap(), [UnmetReason::Mismatch; 6], "only with a caller");
}

/// Without the body, a bound report-only guard recognizes an approved request, and consumes no grant.
#[tokio::test]
async fn a_bound_guard_without_body_recognizes_an_approved_request() {
    let (clock, store, reported) = (ManualClock::new(), FaultyStore::default(), Reported::default());
    let (enforcing, step_up) = (super::remote(&clock, &store), step_up(&clock, &store, &reported));
    let guard = RequireStepUp::new(&step_up).report_only().bind(binding().without_body());
    let send = async || oneshot(guard.layer(app()), get(&alice())).await.status;
    assert_eq!(send().await, 418);
    let binding = token(&enforcing).await;
    enforcing.record_proof(&alice(), Proof::new("KEY").purpose(Purpose::new().binding(&binding))).await.unwrap();
    assert_eq!([send().await, send().await], [418, 418]);
    store.set_down(true);
    assert_eq!(send().await, 418);
    assert_eq!(*reported.lock().unwrap(), [UnmetReason::Missing]);
}
