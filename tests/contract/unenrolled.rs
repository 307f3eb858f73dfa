//! `no_channel`: the refusal for a user who has enrolled nothing, where the application wants to report that.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use axum::Router;
use axum::routing::any;
use serde_json::{Value, json};
use tower_step_up::{
    Binding, Caller, ConfigError, EnrollmentError, Policy, Proof, Recipient, RequireStepUp, Requirement, StepUp,
    StepUpBuilder, discard,
};

use crate::app::{App, RIGHT, clock};
use crate::vault_app;

/// The users by what the application says of their channels; how often it was asked is counted.
fn builder(asked: &Arc<AtomicUsize>) -> StepUpBuilder {
    let asked = Arc::clone(asked);
    let enrollment = move |caller: Caller, channel: String| {
        asked.fetch_add(1, Relaxed);
        async move {
            match (caller.subject(), &*channel) {
                ("alice", _) | ("sms", "SMS") | ("totp", "TOTP") => Ok(Recipient::known_to_sender()),
                ("forbidden", _) => Err(EnrollmentError::Forbidden),
                ("down", "BIOMETRIC") => Err(EnrollmentError::Unavailable),
                ("late", "BIOMETRIC") => std::future::pending().await,
                ("panics", "BIOMETRIC") => panic!("the application's own"),
                ("off", _) => Err(EnrollmentError::NotSupported),
                _ => Err(EnrollmentError::NotEnrolled),
            }
        }
    };
    let builder = StepUp::builder().sandbox().otp("SMS", discard).push("BIOMETRIC", discard).proof("TOTP");
    builder.enrollment(enrollment).public_path("/stepup/challenges").policy(Policy::new())
}

fn app_of(builder: StepUpBuilder) -> (App, StepUp) {
    let clock = clock();
    let step_up = builder.clock(clock.clone()).build().unwrap();
    (vault_app::app(&step_up, clock, true), step_up)
}

#[tokio::test(start_paused = true)]
async fn who_has_no_channel() {
    let asked = Arc::default();
    let (app, _) = app_of(builder(&asked).report_unenrolled());
    let users = ["bob", "off", "alice", "sms", "totp", "forbidden", "down", "late", "panics"];
    for (user, reason) in users.into_iter().zip(["no_channel"; 2].into_iter().chain(["missing"; 7])) {
        let refused = app.session(user, "1").vault().await;
        assert_eq!(refused.summary(), format!("403 STEP_UP_REQUIRED {reason}"), "{user}");
        let (channels, start) = if reason == "no_channel" {
            (json!({"otp": [], "push": []}), Value::Null)
        } else {
            let start = ["/stepup/challenges/otp/SMS", "/stepup/challenges/push/BIOMETRIC"];
            (json!({"otp": ["SMS"], "push": ["BIOMETRIC"], "proof": ["TOTP"]}), json!(start))
        };
        assert_eq!((&refused.json()["channels"], &refused.json()["start"]), (&channels, &start), "{user}");
        assert!(refused.json()["enroll"].is_null(), "{user}");
    }
}

/// The application is asked on a refusal for a missing step-up only, and never unless it wants to be.
#[tokio::test]
async fn only_where_a_step_up_is_missing() {
    let asked = Arc::<AtomicUsize>::default();
    let (app, step_up) = app_of(builder(&asked));
    assert_eq!(app.session("bob", "1").vault().await.summary(), "403 STEP_UP_REQUIRED missing");
    let (caller, ask) = (Caller::user("bob").session("1"), Requirement::new());
    assert!(step_up.authorize(&caller, &ask).await.unwrap_err().to_string().contains("missing"));
    assert_eq!(asked.load(Relaxed), 0);

    let (app, step_up) = app_of(builder(&asked).report_unenrolled());
    assert!(step_up.authorize(&caller, &ask).await.unwrap_err().to_string().contains("no_channel"));
    // Somebody who has stepped up, and then removed every factor.
    step_up.record_proof(&caller, Proof::new("TOTP")).await.unwrap();
    asked.store(0, Relaxed);
    let bob = app.session("bob", "1");
    assert_eq!(bob.vault().await.status, 200);
    app.wait(601);
    assert_eq!(bob.vault().await.summary(), "403 STEP_UP_REQUIRED expired");
    assert_eq!(asked.load(Relaxed), 0, "neither a pass nor another reason asks");
}

/// Every kind of guard says the same, with the page on which to enroll.
#[tokio::test]
async fn every_guard() {
    let (asked, clock) = (Arc::default(), clock());
    let step_up = builder(&asked).enroll_url("/settings/phone?from=bank").clock(clock.clone()).build().unwrap();
    let with = |requirement| RequireStepUp::with(&step_up, requirement).unwrap();
    let describe = |_: &http::request::Parts, _: &[u8]| Some("Pay 5 EUR".to_owned());
    let bound = with(Requirement::new()).bind(Binding::new(Binding::uri_as_received, describe));
    let route = |path: &str| Router::new().route(path, any(async || ""));
    let router = route("/once")
        .route_layer(with(Requirement::new().once()))
        .merge(route("/bound").route_layer(bound.rebuild_with(axum::body::Body::new)))
        .merge(route("/both").route_layer(with(Requirement::new().all_of(["SMS", "BIOMETRIC"]))))
        .merge(route("/vault").route_layer(with(Requirement::new().channels(["SMS"]))))
        .merge(route("/report").route_layer(with(Requirement::new()).report_only()));
    let app = vault_app::around(router, &step_up, clock, true);
    for path in ["/once", "/bound", "/both", "/vault"] {
        let refused = app.session("bob", "1").request("GET", path).send().await.json();
        assert_eq!(refused["reason"], "no_channel", "{path}");
        assert_eq!(refused["channels"], json!({"otp": [], "push": []}), "{path}");
        assert_eq!(refused["enroll"], "/settings/phone?from=bank", "{path}");
        assert!(refused["start"].is_null() && refused["unmet"].is_null(), "{path}: {refused}");
    }
    let sms = app.session("sms", "1");
    let refused = async |path: &str| sms.request("GET", path).send().await.json()["reason"].clone();
    assert_eq!(refused("/both").await, "no_channel", "both are needed");
    assert_eq!(refused("/vault").await, "missing");
    sms.step_up().await;
    assert_eq!(sms.verify(RIGHT).await.summary(), "409 ALREADY_VERIFIED");
    assert_eq!(sms.vault().await.status, 200);
    assert_eq!(app.session("bob", "1").request("GET", "/report").send().await.status, 200);
}

#[test]
fn what_cannot_be_reported_is_refused_when_built() {
    let bare = || StepUp::builder().sandbox().otp("SMS", discard);
    assert_eq!(bare().report_unenrolled().build().unwrap_err(), ConfigError::NoEnrollment);
    assert_eq!(bare().enroll_url("/phone").build().unwrap_err(), ConfigError::NoEnrollment);
    for url in ["", "phone", "//evil.example", "javascript:alert(1)", "https://", "/a b", "/\u{e9}", "/a\r\nb", "/<"] {
        let refused = builder(&Arc::default()).enroll_url(url).build().unwrap_err();
        assert_eq!(refused, ConfigError::InvalidUrl { setting: "enroll_url", url: url.into() });
    }
    for url in ["/", "/phone?a=b#c", "https://bank.example/phone", "http://localhost:3000"] {
        assert!(builder(&Arc::default()).enroll_url(url).build().is_ok(), "{url}");
    }
}

/// T40: a caller who is refused, and whose channels are being asked for, takes none of the service's capacity.
#[tokio::test(start_paused = true)]
async fn asking_holds_no_capacity() {
    use tower::{Layer, Service, ServiceExt};
    let (step_up, bob) =
        (builder(&Arc::default()).report_unenrolled().build().unwrap(), Caller::user("bob").session("1"));
    step_up.record_proof(&bob, Proof::new("TOTP")).await.unwrap();
    let inner = tower::service_fn(async |_: http::Request<axum::body::Body>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(axum::body::Body::empty()))
    });
    for requirement in [Requirement::new(), Requirement::new().scope("once").once()] {
        let guard = RequireStepUp::with(&step_up, requirement.clone()).unwrap();
        let service = guard.layer(tower::limit::ConcurrencyLimitLayer::new(1).layer(inner));
        let request = |caller: &Caller| {
            let mut request = http::Request::new(axum::body::Body::empty());
            request.extensions_mut().insert(caller.clone());
            request
        };
        let late = service.clone().oneshot(request(&Caller::user("late").session("1")));
        let late = tokio::spawn(late);
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        let mut other = service.clone();
        other.ready().await.unwrap().call(request(&bob)).await.unwrap();
        assert!(began.elapsed().is_zero() || requirement.is_once(), "{:?}", began.elapsed());
        assert_eq!(late.await.unwrap().unwrap().status(), 403);
    }
}
