//! A step-up that is bound to one request (T27): the text shown to the user; exactly this request passes, once.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, routing::any};
use http::{HeaderName, Request, request::Parts};
use serde_json::{Value, json};
use tower_step_up::{
    BindStepUp, Binding, DeliveryError, ManualClock, OtpMessage, PushMessage, PushReply, RequireStepUp, StepUp,
    guard::Replayed, guard::refusal::Negotiate,
};

use super::{
    CHALLENGES,
    app::{Answer, App, challenge_request, json_request},
};

/// Sent messages: the channel, the text of the operation, and the code or the push id.
type Sent = Arc<Mutex<Vec<(String, Option<String>, String)>>>;

const PAYOUT: &str = r#"{"amount":10,"to":"DE1"}"#;

pub(crate) type Bound = BindStepUp<Negotiate, fn(Replayed) -> Body>;

/// Binds the header `currency`, too, and describes payouts in the language of the request.
pub(crate) fn bound(step_up: &StepUp) -> Bound {
    let describe = |request: &Parts, body: &[u8]| {
        let payout: Value = serde_json::from_slice(body).unwrap_or_default();
        let (amount, to) = (payout["amount"].as_u64().unwrap_or(0), payout["to"].as_str().unwrap_or("nobody"));
        let words = if request.headers.contains_key("in-german") { ("Zahle", "an") } else { ("Pay", "to") };
        Some(format!("{} {amount} EUR {} {to}", words.0, words.1))
    };
    let binding = Binding::new(Binding::uri_as_received, describe).header(HeaderName::from_static("currency"));
    RequireStepUp::new(step_up).bind(binding).rebuild_with(Body::new as fn(Replayed) -> Body)
}

/// An app that collects its messages in a list: everything below `/pay` is bound, `/any` is guarded.
fn app(clock: &ManualClock) -> (StepUp, App, Sent) {
    let sent = Sent::default();
    let (codes, pushes) = (sent.clone(), sent.clone());
    let step_up = StepUp::builder()
        .otp("SMS", move |message: OtpMessage| {
            let text = message.operation().map(Into::into);
            codes.lock().unwrap().push((message.channel().into(), text, message.code().expose().into()));
            async { Ok::<_, DeliveryError>(()) }
        })
        .push("BIO", move |message: PushMessage| {
            let text = message.operation().map(Into::into);
            pushes.lock().unwrap().push((message.channel().into(), text, message.id().into()));
            async { Ok::<_, DeliveryError>(()) }
        })
        .public_path(CHALLENGES)
        .clock(clock.clone())
        .build()
        .unwrap();
    let echo = async |body: String| body;
    let routes = Router::new()
        .route("/pay/{*any}", any(echo))
        .route_layer(bound(&step_up))
        .merge(Router::new().route("/any", any(echo)).route_layer(RequireStepUp::new(&step_up)));
    (step_up.clone(), App::new(&step_up, routes), sent)
}

fn payout(who: &str) -> Request<Body> {
    with(json_request("POST", "/pay/out?x=1", who, PAYOUT), &[("currency", "EUR")])
}

fn with(mut request: Request<Body>, headers: &[(&'static str, &'static str)]) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// Starts a challenge and completes it with the message that was sent; returns the text of the message.
async fn approve(step_up: &StepUp, app: &App, sent: &Sent, who: &str, factor: &str, start: &Value) -> String {
    let user = who.split('/').next().unwrap();
    let started = app.send(challenge_request("POST", factor, who, start)).await;
    let (channel, text, secret) = sent.lock().unwrap().pop().unwrap();
    assert!(factor.ends_with(&channel), "{channel}");
    if factor.starts_with("/otp") {
        assert_eq!(started.summary(), "204");
        let code = json!({ "verificationCode": secret });
        assert_eq!(app.send(challenge_request("POST", &format!("{factor}/verify"), who, &code)).await.summary(), "204");
    } else {
        assert_eq!(started.json()["id"], secret);
        step_up.answer_push(user, &secret, PushReply::Approve).await.unwrap();
    }
    text.unwrap_or_default()
}

/// Requests that differ from the approved one in one bound part.
fn changed_requests() -> Vec<(&'static str, Request<Body>)> {
    let post = |path: &str, json: &str| with(json_request("POST", path, "alice/1", json), &[("currency", "EUR")]);
    let same = |path: &str| post(path, PAYOUT);
    vec![
        ("method", with(json_request("PUT", "/pay/out?x=1", "alice/1", PAYOUT), &[("currency", "EUR")])),
        ("path", same("/pay/ouT?x=1")),
        ("host", with(payout("alice/1"), &[("host", "us.example")])),
        ("slash", same("/pay/out/?x=1")),
        ("slashes", same("/pay//out?x=1")),
        ("percent-spelling", same("/pay/%6fut?x=1")),
        ("query", same("/pay/out?x=2")),
        ("more query", same("/pay/out?x=1&x=1")),
        ("empty query", same("/pay/out?")),
        ("no query", same("/pay/out")),
        ("header", with(json_request("POST", "/pay/out?x=1", "alice/1", PAYOUT), &[("currency", "USD")])),
        ("no header", json_request("POST", "/pay/out?x=1", "alice/1", PAYOUT)),
        ("header twice", with(payout("alice/1"), &[("currency", "EUR")])),
        ("content type", with(payout("alice/1"), &[("content-type", "text/plain")])),
        ("content encoding", with(payout("alice/1"), &[("content-encoding", "gzip")])),
        ("amount", post("/pay/out?x=1", r#"{"amount":11,"to":"DE1"}"#)),
        ("payee", post("/pay/out?x=1", r#"{"amount":10,"to":"DE2"}"#)),
        ("a space", post("/pay/out?x=1", r#"{"amount":10, "to":"DE1"}"#)),
        ("a byte more", post("/pay/out?x=1", "{\"amount\":10,\"to\":\"DE1\"}\n")),
        ("no body", post("/pay/out?x=1", "")),
        ("text", with(payout("alice/1"), &[("in-german", "1")])),
    ]
}

/// From the refusal to the single success, in process and over a socket, with a code and with a push.
#[tokio::test]
async fn the_very_request_passes_once() {
    for factor in ["/otp/SMS", "/push/BIO"] {
        let clock = ManualClock::new();
        let (step_up, here, sent) = app(&clock);
        passes_once(&step_up, &here, &sent, factor).await;
        let (step_up, here, sent) = app(&clock);
        passes_once(&step_up, &here.served().await, &sent, factor).await;
    }
}

async fn passes_once(step_up: &StepUp, app: &App, sent: &Sent, factor: &str) {
    let refused = app.send(payout("alice/1")).await;
    assert_eq!(refused.summary(), "403 missing");
    let start = json!({ "binding": refused.binding() });
    assert_eq!(approve(step_up, app, sent, "alice/1", factor, &start).await, "Pay 10 EUR to DE1");

    let status = app.send(challenge_request("GET", "", "alice/1", &Value::Null)).await.json();
    assert_eq!(status["grants"][0]["bound"], true, "{status}");
    for (what, request) in changed_requests() {
        let refused = app.send(request).await;
        assert_eq!(refused.summary(), "403 mismatch", "{what}");
        assert!(!refused.binding().is_empty(), "{what}");
    }
    for who in ["alice/2", "bob/1"] {
        assert_eq!(app.send(payout(who)).await.summary(), "403 missing", "{who}");
    }
    assert_eq!(app.send(json_request("GET", "/any", "alice/1", "")).await.summary(), "403 mismatch", "no other route");

    let passed = app.send(payout("alice/1")).await;
    assert_eq!(
        (passed.summary().as_str(), &*passed.body),
        ("200", PAYOUT.as_bytes()),
        "no other request has consumed it"
    );
    assert!(!passed.headers.contains_key("request-ref"), "the application's response is unchanged");
    for _ in 0..2 {
        assert_eq!(app.send(payout("alice/1")).await.summary(), "403 spent");
    }
    let status = app.send(challenge_request("GET", "", "alice/1", &Value::Null)).await.json();
    assert_eq!(status["status"], "STANDARD", "{status}");
}

/// Unbound parts may change: headers that are not named, and the address the request was sent to.
#[tokio::test]
async fn what_is_not_bound_may_change() {
    let clock = ManualClock::new();
    let (step_up, app, sent) = app(&clock);
    let here = || with(payout("alice/1"), &[("host", "bank.example")]);
    let start = json!({ "binding": app.send(here()).await.binding() });
    approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await;
    let at = |uri: &str, mut request: Request<Body>| {
        *request.uri_mut() = uri.parse().unwrap();
        app.send(request)
    };
    assert_eq!(
        at("http://us.example/pay/out?x=1", here()).await.summary(),
        "400 INVALID_REQUEST",
        "URI and Host differ"
    );
    let there = at("http://us.example/pay/out?x=1", payout("alice/1")).await;
    assert_eq!(there.summary(), "403 mismatch", "another authority");
    assert_eq!(
        app.send(with(here(), &[("host", "bank.example")])).await.summary(),
        "400 INVALID_REQUEST",
        "two Host headers"
    );
    let forwarded = with(payout("alice/1"), &[("x-forwarded-host", "bank.example")]);
    assert_eq!(app.send(forwarded).await.summary(), "403 mismatch", "no Host header");
    let other = with(payout("alice/1"), &[("user-agent", "another"), ("x-forwarded-host", "us.example")]);
    assert_eq!(at("http://BANK.example:80/pay/out?x=1", other).await.summary(), "200");
}

/// A session-wide step-up passes no bound route, and a bound one no other route.
#[tokio::test]
async fn a_session_grant_and_a_bound_grant_do_not_replace_each_other() {
    let clock = ManualClock::new();
    let (step_up, app, sent) = app(&clock);
    let any = || json_request("GET", "/any", "alice/1", "");
    let start = json!({ "binding": app.send(payout("alice/1")).await.binding() });
    assert_eq!(approve(&step_up, &app, &sent, "alice/1", "/push/BIO", &json!({})).await, "", "no text");
    let status = app.send(challenge_request("GET", "", "alice/1", &Value::Null)).await.json();
    assert_eq!(status["grants"][0]["bound"], Value::Null, "{status}");
    assert_eq!(app.send(payout("alice/1")).await.summary(), "403 mismatch");
    assert_eq!(app.send(any()).await.summary(), "200");
    approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await;
    assert_eq!([app.send(payout("alice/1")).await.summary(), app.send(any()).await.summary()], ["200", "200"]);
    assert_eq!([app.send(payout("alice/1")).await.summary(), app.send(any()).await.summary()], ["403 spent", "200"]);
}

/// Two concurrent operations are approved separately: each challenge proves the operation that it was started for.
#[tokio::test]
async fn two_operations_do_not_mix() {
    let clock = ManualClock::new();
    let (step_up, app, sent) = app(&clock);
    let large =
        || with(json_request("POST", "/pay/out", "alice/1", r#"{"amount":9000,"to":"DE9"}"#), &[("currency", "EUR")]);
    let small = app.send(payout("alice/1")).await.binding();
    let start = json!({ "binding": app.send(large()).await.binding() });
    assert_eq!(approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await, "Pay 9000 EUR to DE9");
    assert_eq!(app.send(payout("alice/1")).await.summary(), "403 mismatch");
    // Starting the second operation voids no grant, and its token is still valid.
    let start = json!({ "binding": small });
    assert_eq!(approve(&step_up, &app, &sent, "alice/1", "/push/BIO", &start).await, "Pay 10 EUR to DE1");
    let both: [Answer; 2] = [app.send(large()).await, app.send(payout("alice/1")).await];
    assert_eq!(both.map(|answer| answer.summary()), ["200", "200"]);
    let both: [Answer; 2] = [app.send(large()).await, app.send(payout("alice/1")).await];
    assert_eq!(both.map(|answer| answer.summary()), ["403 spent", "403 spent"]);
}

/// A bound grant ends like any other: when it expires, or its session or all of the user's sessions are revoked.
#[tokio::test]
async fn an_approval_ends_with_its_cause() {
    for end in ["expired", "revoked", "revoked everywhere"] {
        let clock = ManualClock::new();
        let (step_up, app, sent) = app(&clock);
        let start = json!({ "binding": app.send(payout("alice/1")).await.binding() });
        approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await;
        let expected = match end {
            "expired" => {
                clock.advance(super::secs(600));
                "403 expired"
            }
            "revoked" => {
                assert_eq!(app.send(challenge_request("DELETE", "", "alice/1", &Value::Null)).await.summary(), "204");
                "403 missing"
            }
            _ => {
                step_up.revoke_all("alice").await.unwrap();
                "403 missing"
            }
        };
        assert_eq!(app.send(payout("alice/1")).await.summary(), expected, "{end}");
    }
}
