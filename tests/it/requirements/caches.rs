//! `Cache-Control` of responses that a grant let pass: not to be stored, unless the application opts out.

use std::convert::Infallible;

use axum::{body::Body, response::Response};
use http::{Request, request::Parts};
use testkit::FaultyStore;
use tower::{Layer, service_fn};
use tower_step_up::{Binding, Caller, ManualClock, Proof, Purpose, RequireStepUp, Requirement, StepUp};

use super::{alice, app::oneshot, grant, local, of, remote};

/// A request with this content type, and the `Cache-Control` that the handler sets.
fn request(caller: &Caller, content_type: &str, own: Option<&str>) -> Request<Body> {
    let request = Request::post("/").header("content-type", content_type).body(Body::empty()).unwrap();
    let mut request = of(caller, request);
    if let Some(own) = own {
        request.headers_mut().insert("cache-control", own.parse().unwrap());
    }
    request
}

async fn handler(request: Request<Body>) -> Result<Response, Infallible> {
    let mut response = Response::default();
    if let Some(own) = request.headers().get("cache-control") {
        response.headers_mut().insert("cache-control", own.clone());
    }
    Ok(response)
}

async fn cache_control(guard: &RequireStepUp, request: Request<Body>) -> Option<String> {
    let answer = oneshot(guard.layer(service_fn(handler)), request).await;
    assert_eq!(answer.status, 200);
    answer.headers.get("cache-control").map(|value| value.to_str().unwrap().to_owned())
}

async fn what_a_guard_adds(step_up: &StepUp) {
    let (alice, json, grpc) = (&alice(), "application/json", "application/grpc+proto");
    for _ in 0..2 {
        grant(step_up, alice, "KEY").await;
    }
    let no_store = Some("no-store".to_owned());
    let guard = RequireStepUp::new(step_up);
    assert_eq!(cache_control(&guard, request(alice, json, None)).await, no_store);
    assert_eq!(cache_control(&guard, request(alice, json, Some("private"))).await, Some("private".into()));
    assert_eq!(cache_control(&guard, request(alice, grpc, None)).await, None);
    assert_eq!(cache_control(&guard.clone().keep_cache_control(), request(alice, json, None)).await, None);
    assert_eq!(cache_control(&guard.clone().report_only(), request(alice, json, None)).await, None);
    assert_eq!(cache_control(&guard.keep_cache_control().report_only(), request(alice, json, None)).await, None);
    let with = |requirement: Requirement| RequireStepUp::with(step_up, requirement).unwrap();
    let when = |asks: bool| RequireStepUp::new(step_up).when(move |_| asks);
    assert_eq!(cache_control(&when(false), request(alice, json, None)).await, None);
    assert_eq!(cache_control(&when(true), request(alice, json, None)).await, no_store);
    assert_eq!(cache_control(&with(Requirement::new().once()), request(alice, json, None)).await, no_store);

    let binding = || Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let kept = RequireStepUp::new(step_up).keep_cache_control();
    for (guard, expected) in [(RequireStepUp::new(step_up), no_store), (kept, None)] {
        let guarded = guard.bind(binding()).layer(service_fn(handler));
        let token = oneshot(guarded.clone(), request(alice, json, None)).await.binding();
        step_up.record_proof(alice, Proof::new("KEY").purpose(Purpose::new().binding(&token))).await.unwrap();
        let passed = oneshot(guarded, request(alice, json, None)).await;
        assert_eq!(passed.status, 200);
        assert_eq!(passed.headers.get("cache-control").map(|value| value.to_str().unwrap()), expected.as_deref());
    }
}

#[tokio::test]
async fn responses_that_need_a_grant_are_not_stored() {
    let clock = ManualClock::new();
    what_a_guard_adds(&local(&clock)).await;
    what_a_guard_adds(&remote(&clock, &FaultyStore::default())).await;
}
