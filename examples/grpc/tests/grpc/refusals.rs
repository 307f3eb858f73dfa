//! A refusal has exactly the headers that tonic sends for the same `Status`.

use std::{collections::HashMap, time::Duration};

use http::{HeaderMap, Request};
use testkit::FaultyStore;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetail, ErrorInfo, RetryInfo, StatusExt};
use tower::{ServiceExt, service_fn};
use tower_step_up::{Caller, Refusal, RequireStepUp, Requirement, Secret, StepUp, StepUpBuilder, discard};

use crate::{DOMAIN, alice};

/// The headers of a guard's refusal, without those that tonic does not set.
async fn refusal(step_up: &StepUp, requirement: Requirement, caller: Option<Caller>) -> HeaderMap {
    let never = service_fn(async |_: Request<Body>| -> Result<http::Response<Body>, ()> { Err(()) });
    let guarded = RequireStepUp::with(step_up, requirement).unwrap().grpc().layer(never);
    let mut request = Request::new(Body::empty());
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let response = guarded.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.extensions().get::<Refusal>().is_some());
    assert!(http_body::Body::is_end_stream(response.body()), "trailers only");
    let mut headers = response.headers().clone();
    assert_eq!(headers.remove("cache-control").unwrap(), "no-store");
    assert_eq!(headers.remove("request-ref").unwrap().len(), 32);
    assert_eq!(headers.remove("x-stepup-sandbox").unwrap(), "true");
    headers
}

/// Compares with tonic's response. The metadata comes from a `HashMap` with random order, so the response is rebuilt
/// until the order matches.
fn is_what_tonic_sends(ours: &HeaderMap, code: Code, message: &str, details: impl Fn() -> Vec<ErrorDetail>) -> bool {
    (0..100_000).any(|_| {
        let status = Status::with_error_details_vec(code, message, details());
        status.into_http::<Body>().headers() == ours
    })
}

fn info(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetail {
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ErrorInfo::new(reason, DOMAIN, metadata).into()
}

fn builder() -> StepUpBuilder {
    StepUp::builder().sandbox().otp("SMS", discard).push("BIO", discard).grpc_domain(DOMAIN)
}

/// A guard and the metadata of its refusal.
type Row<'a> = (&'a StepUp, Requirement, &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn step_up_required() {
    let step_up = builder().otp("EMAIL", discard).public_path("/stepup/challenges").build().unwrap();
    let full = Requirement::new().scope("payments").max_age(Duration::from_secs(120));
    let narrow = full.clone().channels(["SMS"]);
    let plain = builder().build().unwrap();
    let table: [Row<'_>; 3] = [
        (&plain, Requirement::new(), &[("reason", "missing"), ("channels", r#"{"otp":["SMS"],"push":["BIO"]}"#)]),
        (
            &step_up,
            full,
            &[
                ("reason", "missing"),
                ("scope", "payments"),
                ("maxAge", "120"),
                ("channels", r#"{"otp":["SMS","EMAIL"],"push":["BIO"]}"#),
                (
                    "start",
                    r#"["/stepup/challenges/otp/SMS","/stepup/challenges/otp/EMAIL","/stepup/challenges/push/BIO"]"#,
                ),
            ],
        ),
        (
            &step_up,
            narrow,
            &[
                ("reason", "missing"),
                ("scope", "payments"),
                ("maxAge", "120"),
                ("channels", r#"{"otp":["SMS"],"push":[]}"#),
                ("start", r#"["/stepup/challenges/otp/SMS"]"#),
            ],
        ),
    ];
    for (step_up, requirement, metadata) in table {
        let ours = refusal(step_up, requirement, Some(alice())).await;
        let read = Status::from_header_map(&ours).unwrap();
        let read = read.get_details_error_info().unwrap().metadata;
        assert_eq!(read, metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let details = || vec![info("STEP_UP_REQUIRED", metadata)];
        assert!(is_what_tonic_sends(&ours, Code::PermissionDenied, "STEP_UP_REQUIRED", details), "{ours:?}");
    }
}

#[tokio::test]
async fn no_caller() {
    let ours = refusal(&builder().build().unwrap(), Requirement::new(), None).await;
    let details = || vec![info("UNAUTHORIZED", &[])];
    assert!(is_what_tonic_sends(&ours, Code::Unauthenticated, "Authentication required", details), "{ours:?}");
}

#[tokio::test]
async fn store_down() {
    let store = FaultyStore::default();
    store.set_down(true);
    let step_up = builder()
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([7; 32]).unwrap())
        .build()
        .unwrap();
    let ours = refusal(&step_up, Requirement::new(), Some(alice())).await;
    let soon = || RetryInfo::new(Some(Duration::from_secs(1))).into();
    let details = || vec![info("UNAVAILABLE", &[]), soon()];
    assert!(is_what_tonic_sends(&ours, Code::Unavailable, "Temporarily unavailable; try again", details), "{ours:?}");
}
