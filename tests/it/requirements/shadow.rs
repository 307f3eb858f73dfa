//! Shadow mode: it tells what it would refuse, and changes no byte of an answer and no grant.

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
use testkit::Elsewhere;
use tower::{Layer, Service, service_fn};
use tower_step_up::{
    Binding, Caller, Event, Factor, ManualClock, Proof, Purpose, RequireStepUp, Requirement, StepUp, UnmetReason,
    guard::{Replayed, refusal::OAuth},
};

use super::{
    alice,
    app::{Answer, hear},
    builder, get, grant, of,
    once::reason,
    secs,
};

/// What the guards would have refused.
type Told = Arc<Mutex<Vec<UnmetReason>>>;

fn step_up(clock: &ManualClock, store: &Elsewhere, told: &Told) -> StepUp {
    let told = told.clone();
    let observe = move |event: &Event<'_>| match event {
        Event::WouldRefuse { reason, .. } => told.lock().unwrap().push(*reason),
        Event::GuardRefused { .. } | Event::Spent { .. } => panic!("in the shadow: {event:?}"),
        _ => {}
    };
    let secret = tower_step_up::Secret::new([7; 32]).unwrap();
    builder(clock)
        .observe(observe)
        .store(store.clone())
        .record_key(tower_step_up::Secret::new([1; 32]).unwrap())
        .secret(secret)
        .build()
        .unwrap()
}

/// An application with an opinion on everything: it repeats the body, the headers and the trailers that it got.
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

/// A request whose every part shows in the answer.
fn request(caller: Option<&Caller>, content_type: &str) -> Request<Body> {
    let trailers = HeaderMap::from_iter([("checksum".parse().unwrap(), "1".parse().unwrap())]);
    let body = http_body_util::Full::new(Bytes::from("data")).with_trailers(std::future::ready(Some(Ok(trailers))));
    let request = Request::post("/pay?x=1").header("content-type", content_type).header("x", "1");
    let request = request.body(Body::new(body)).unwrap();
    if let Some(caller) = caller { of(caller, request) } else { request }
}

/// How a session stands, what is asked of it, and what a guard would say.
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

/// Brings a session there, through a guard that is no shadow where it takes one.
async fn bring(step_up: &StepUp, clock: &ManualClock, store: &Elsewhere, to: &str) {
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
    hear(guard, get(&alice())).await.binding()
}

/// Whoever builds the refusals, and whatever the client speaks.
#[tokio::test]
async fn no_byte_of_an_answer_changes() {
    let mut seen = 0;
    for (to, requirement, would_refuse) in rows() {
        for content_type in ["application/json", "application/grpc"] {
            let (clock, store, told) = (ManualClock::new(), Elsewhere::default(), Told::default());
            // Another one of the same store, for what must not be told here.
            let others = super::remote(&clock, &store);
            bring(&others, &clock, &store, to).await;
            let step_up = step_up(&clock, &store, &told);
            let swaps = store.swaps();
            let guard = RequireStepUp::with(&step_up, requirement.clone()).unwrap().report_only();
            let asks = || request((to != "nobody").then(alice).as_ref(), content_type);
            let plain = hear(app(), asks()).await;
            let through: [Answer; 5] = [
                hear(guard.layer(app()), asks()).await,
                hear(guard.clone().json().layer(app()), asks()).await,
                hear(guard.clone().grpc().layer(app()), asks()).await,
                hear(guard.clone().with_refusal_response(OAuth::new()).layer(app()), asks()).await,
                hear(guard.clone().report_only().layer(guard.layer(app())), asks()).await,
            ];
            for answer in &through {
                assert_eq!(answer.bytes(), plain.bytes(), "{to} {requirement:?}");
                assert!(!answer.headers.contains_key("request-ref") && answer.refusal.is_none());
            }
            // The last one went through two.
            let expected = would_refuse.map_or(Vec::new(), |reason| vec![reason; through.len() + 1]);
            assert_eq!(*told.lock().unwrap(), expected, "{to} {requirement:?}");
            assert_eq!(store.swaps(), swaps, "{to}: nothing is written");
            seen += through.len();
        }
    }
    assert!(seen >= 160, "{seen}");
}

/// What is in order stays so, and passes once where the guard is none any more.
#[tokio::test]
async fn nothing_is_spent() {
    let (clock, store, told) = (ManualClock::new(), Elsewhere::default(), Told::default());
    let (others, step_up) = (super::remote(&clock, &store), step_up(&clock, &store, &told));
    let once = Requirement::new().once();
    grant(&others, &alice(), "KEY").await;
    let shadow = RequireStepUp::with(&step_up, once.clone()).unwrap().report_only();
    for _ in 0..3 {
        assert_eq!(hear(shadow.layer(app()), get(&alice())).await.status, 418);
    }
    assert!(told.lock().unwrap().is_empty());
    assert_eq!(reason(&others, &alice(), once.clone()).await, None);
    assert_eq!(reason(&others, &alice(), once).await, Some(UnmetReason::Spent));
}

/// The extractor in the shadow lets everything pass, with the grant that there is.
#[tokio::test]
async fn check_in_the_shadow() {
    let (clock, store, told) = (ManualClock::new(), Elsewhere::default(), Told::default());
    let step_up = step_up(&clock, &store, &told);
    let shadow = RequireStepUp::with(&step_up, Requirement::new().once()).unwrap().report_only();
    let check = async |caller: Option<&Caller>| {
        let mut parts = request(caller, "application/json").into_parts().0;
        shadow.authorize::<Body>(&mut parts).await.map(|grant| grant.is_some()).map_err(|_| "refused")
    };
    assert_eq!(check(None).await, Ok(false));
    assert_eq!(check(Some(&alice())).await, Ok(false));
    grant(&step_up, &alice(), "KEY").await;
    for _ in 0..3 {
        assert_eq!(check(Some(&alice())).await, Ok(true));
    }
    store.set_down(true);
    assert_eq!(check(Some(&alice())).await, Ok(false));
    assert_eq!(*told.lock().unwrap(), [UnmetReason::Missing]);
}

/// Inside another guard, the grant of that guard is not the one that this guard reports.
#[tokio::test]
async fn a_report_only_guard_inside_another_returns_no_grant_of_the_outer_one() {
    let (clock, store, told) = (ManualClock::new(), Elsewhere::default(), Told::default());
    let step_up = step_up(&clock, &store, &told);
    let outer = RequireStepUp::new(&step_up);
    let inner = RequireStepUp::with(&step_up, Requirement::new().scope("pay")).unwrap().report_only();
    grant(&step_up, &alice(), "KEY").await;
    let mut parts = request(Some(&alice()), "application/json").into_parts().0;
    assert!(outer.authorize::<Body>(&mut parts).await.unwrap().is_some());
    assert!(inner.authorize::<Body>(&mut parts).await.unwrap().is_none());
    assert!(parts.extensions.get::<Caller>().unwrap().grant().is_some(), "the outer guard's stays for the handler");
    assert_eq!(*told.lock().unwrap(), [UnmetReason::WrongScope]);
}

/// A body that ends only once somebody else has read what came of it.
struct Endless(u8);

impl http_body::Body for Endless {
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

/// A bound guard in the shadow leaves the body as it is: too large, broken off, or not to be described.
#[tokio::test]
async fn a_bound_guard_in_the_shadow_touches_no_body() {
    let (clock, store, told) = (ManualClock::new(), Elsewhere::default(), Told::default());
    let step_up = step_up(&clock, &store, &told);
    let indescribable = Binding::new(|_: &Parts| None, |_: &Parts, _: &[u8]| None);
    for binding in [binding(), indescribable.clone(), indescribable.without_body()] {
        let rebuild = |_: Replayed| -> Body { panic!("a body was read") };
        let guard = RequireStepUp::new(&step_up).report_only().bind(binding).rebuild_with(rebuild);
        for caller in [Some(alice()), None] {
            let asks = || request(caller.as_ref(), "application/json");
            assert_eq!(hear(guard.layer(app()), asks()).await.bytes(), hear(app(), asks()).await.bytes());
            let mut broken = Request::new(Body::new(Endless(0)));
            if let Some(caller) = &caller {
                broken.extensions_mut().insert(caller.clone());
            }
            let mut guarded = guard.layer(app());
            let mut body = guarded.call(broken).await.unwrap().into_body();
            for number in 1..=200 {
                let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
                assert_eq!((data.len(), data[0]), (1024, number));
            }
            assert!(body.frame().await.unwrap().is_err(), "as it broke off");
        }
    }
    assert_eq!(*told.lock().unwrap(), [UnmetReason::Mismatch; 6], "where there is a caller");
}

/// Where the body is left out, the guard in the shadow can tell what was approved from what was not, and spends none.
#[tokio::test]
async fn a_bound_guard_without_body_in_the_shadow() {
    let (clock, store, told) = (ManualClock::new(), Elsewhere::default(), Told::default());
    let (others, step_up) = (super::remote(&clock, &store), step_up(&clock, &store, &told));
    let guard = RequireStepUp::new(&step_up).report_only().bind(binding().without_body());
    let ask = async || hear(guard.layer(app()), get(&alice())).await.status;
    assert_eq!(ask().await, 418);
    let binding = token(&others).await;
    others.record_proof(&alice(), Proof::new("KEY").purpose(Purpose::new().binding(&binding))).await.unwrap();
    assert_eq!([ask().await, ask().await], [418, 418]);
    store.set_down(true);
    assert_eq!(ask().await, 418);
    assert_eq!(*told.lock().unwrap(), [UnmetReason::Missing]);
}
