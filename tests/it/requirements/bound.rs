//! A step-up that is bound to one request (T27): what the user is shown, the very request that it opens, once, and
//! every other, which it does not.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, routing::any};
use http::{HeaderName, Request, request::Parts};
use serde_json::{Value, json};
use tower_step_up::{
    BindStepUp, Binding, DeliveryError, ManualClock, OtpMessage, PushMessage, PushReply, RequireStepUp, StepUp,
    guard::Replayed, guard::refusal::Negotiate,
};

use super::{
    COMPANION,
    app::{Answer, App, ask, companion},
};

/// What was sent: by which channel, what it says of the operation, and the code or the push's id.
type Sent = Arc<Mutex<Vec<(String, Option<String>, String)>>>;

const PAYOUT: &str = r#"{"amount":10,"to":"DE1"}"#;

pub(crate) type Bound = BindStepUp<Negotiate, fn(Replayed) -> Body>;

/// Binds a header beside the rest, and describes payouts in the language that the request asks for.
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

/// An app that sends its messages to a list: everything below `/pay` is bound, `/any` is guarded.
fn app(clock: &ManualClock) -> (StepUp, App, Sent) {
    let sent = Sent::default();
    let (codes, pushes) = (sent.clone(), sent.clone());
    let step_up = StepUp::builder()
        .otp("SMS", move |message: OtpMessage| {
            let says = message.operation().map(Into::into);
            codes.lock().unwrap().push((message.channel().into(), says, message.code().expose().into()));
            async { Ok::<_, DeliveryError>(()) }
        })
        .push("BIO", move |message: PushMessage| {
            let says = message.operation().map(Into::into);
            pushes.lock().unwrap().push((message.channel().into(), says, message.id().into()));
            async { Ok::<_, DeliveryError>(()) }
        })
        .public_path(COMPANION)
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
    with(ask("POST", "/pay/out?x=1", who, PAYOUT), &[("currency", "EUR")])
}

fn with(mut request: Request<Body>, headers: &[(&'static str, &'static str)]) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// Starts with what a refusal says, and does what the message asks for.
async fn approve(step_up: &StepUp, app: &App, sent: &Sent, who: &str, factor: &str, start: &Value) -> String {
    let user = who.split('/').next().unwrap();
    let started = app.ask(companion("POST", factor, who, start)).await;
    let (channel, says, secret) = sent.lock().unwrap().pop().unwrap();
    assert!(factor.ends_with(&channel), "{channel}");
    if factor.starts_with("/otp") {
        assert_eq!(started.says(), "204");
        let code = json!({ "verificationCode": secret });
        assert_eq!(app.ask(companion("POST", &format!("{factor}/verify"), who, &code)).await.says(), "204");
    } else {
        assert_eq!(started.json()["id"], secret);
        step_up.answer_push(user, &secret, PushReply::Approve).await.unwrap();
    }
    says.unwrap_or_default()
}

/// Any one thing that is bound is another.
fn others() -> Vec<(&'static str, Request<Body>)> {
    let post = |path: &str, json: &str| with(ask("POST", path, "alice/1", json), &[("currency", "EUR")]);
    let same = |path: &str| post(path, PAYOUT);
    vec![
        ("method", with(ask("PUT", "/pay/out?x=1", "alice/1", PAYOUT), &[("currency", "EUR")])),
        ("path", same("/pay/ouT?x=1")),
        ("host", with(payout("alice/1"), &[("host", "us.example")])),
        ("slash", same("/pay/out/?x=1")),
        ("slashes", same("/pay//out?x=1")),
        ("percent-spelling", same("/pay/%6fut?x=1")),
        ("query", same("/pay/out?x=2")),
        ("more query", same("/pay/out?x=1&x=1")),
        ("empty query", same("/pay/out?")),
        ("no query", same("/pay/out")),
        ("header", with(ask("POST", "/pay/out?x=1", "alice/1", PAYOUT), &[("currency", "USD")])),
        ("no header", ask("POST", "/pay/out?x=1", "alice/1", PAYOUT)),
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

/// From the refusal to the one success, in process and over a socket, by a code and by a push.
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
    let refused = app.ask(payout("alice/1")).await;
    assert_eq!(refused.says(), "403 missing");
    let start = json!({ "binding": refused.binding() });
    assert_eq!(approve(step_up, app, sent, "alice/1", factor, &start).await, "Pay 10 EUR to DE1");

    let standing = app.ask(companion("GET", "", "alice/1", &Value::Null)).await.json();
    assert_eq!(standing["grants"][0]["bound"], true, "{standing}");
    for (what, request) in others() {
        let refused = app.ask(request).await;
        assert_eq!(refused.says(), "403 mismatch", "{what}");
        assert!(!refused.binding().is_empty(), "{what}");
    }
    for who in ["alice/2", "bob/1"] {
        assert_eq!(app.ask(payout(who)).await.says(), "403 missing", "{who}");
    }
    assert_eq!(app.ask(ask("GET", "/any", "alice/1", "")).await.says(), "403 mismatch", "it opens no other route");

    let passed = app.ask(payout("alice/1")).await;
    assert_eq!((passed.says().as_str(), &*passed.body), ("200", PAYOUT.as_bytes()), "and nothing was spent");
    assert!(!passed.headers.contains_key("request-ref"), "an answer of the application is left alone");
    for _ in 0..2 {
        assert_eq!(app.ask(payout("alice/1")).await.says(), "403 spent");
    }
    let standing = app.ask(companion("GET", "", "alice/1", &Value::Null)).await.json();
    assert_eq!(standing["status"], "STANDARD", "{standing}");
}

/// What is not bound may be another: a header that is not named, and where the request was sent.
#[tokio::test]
async fn what_is_not_bound_may_change() {
    let clock = ManualClock::new();
    let (step_up, app, sent) = app(&clock);
    let here = || with(payout("alice/1"), &[("host", "bank.example")]);
    let start = json!({ "binding": app.ask(here()).await.binding() });
    approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await;
    let at = |uri: &str, mut request: Request<Body>| {
        *request.uri_mut() = uri.parse().unwrap();
        app.ask(request)
    };
    assert_eq!(at("http://us.example/pay/out?x=1", here()).await.says(), "400", "another authority beside Host");
    let there = at("http://us.example/pay/out?x=1", payout("alice/1")).await;
    assert_eq!(there.says(), "403 mismatch", "another authority");
    assert_eq!(app.ask(with(here(), &[("host", "bank.example")])).await.says(), "400", "two of them");
    let forwarded = with(payout("alice/1"), &[("x-forwarded-host", "bank.example")]);
    assert_eq!(app.ask(forwarded).await.says(), "403 mismatch", "none at all");
    let other = with(payout("alice/1"), &[("user-agent", "another"), ("x-forwarded-host", "us.example")]);
    assert_eq!(at("http://BANK.example:80/pay/out?x=1", other).await.says(), "200");
}

/// A step-up of the whole session opens no bound route, however fresh; each opens its own.
#[tokio::test]
async fn neither_opens_what_is_the_others() {
    let clock = ManualClock::new();
    let (step_up, app, sent) = app(&clock);
    let any = || ask("GET", "/any", "alice/1", "");
    let start = json!({ "binding": app.ask(payout("alice/1")).await.binding() });
    assert_eq!(approve(&step_up, &app, &sent, "alice/1", "/push/BIO", &json!({})).await, "", "nothing to show");
    let standing = app.ask(companion("GET", "", "alice/1", &Value::Null)).await.json();
    assert_eq!(standing["grants"][0]["bound"], Value::Null, "{standing}");
    assert_eq!(app.ask(payout("alice/1")).await.says(), "403 mismatch");
    assert_eq!(app.ask(any()).await.says(), "200");
    approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await;
    assert_eq!([app.ask(payout("alice/1")).await.says(), app.ask(any()).await.says()], ["200", "200"]);
    assert_eq!([app.ask(payout("alice/1")).await.says(), app.ask(any()).await.says()], ["403 spent", "200"]);
}

/// Two operations side by side: each is approved for itself, and a code proves the one that it was started for.
#[tokio::test]
async fn two_operations_do_not_mix() {
    let clock = ManualClock::new();
    let (step_up, app, sent) = app(&clock);
    let large = || with(ask("POST", "/pay/out", "alice/1", r#"{"amount":9000,"to":"DE9"}"#), &[("currency", "EUR")]);
    let small = app.ask(payout("alice/1")).await.binding();
    let start = json!({ "binding": app.ask(large()).await.binding() });
    assert_eq!(approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await, "Pay 9000 EUR to DE9");
    assert_eq!(app.ask(payout("alice/1")).await.says(), "403 mismatch");
    // A start for the other voids no grant, and its token has stayed good.
    let start = json!({ "binding": small });
    assert_eq!(approve(&step_up, &app, &sent, "alice/1", "/push/BIO", &start).await, "Pay 10 EUR to DE1");
    let both: [Answer; 2] = [app.ask(large()).await, app.ask(payout("alice/1")).await];
    assert_eq!(both.map(|answer| answer.says()), ["200", "200"]);
    let both: [Answer; 2] = [app.ask(large()).await, app.ask(payout("alice/1")).await];
    assert_eq!(both.map(|answer| answer.says()), ["403 spent", "403 spent"]);
}

/// An approval ends like any other: with its life, its session, and all of the user's.
#[tokio::test]
async fn an_approval_ends_with_its_cause() {
    for end in ["expired", "revoked", "revoked everywhere"] {
        let clock = ManualClock::new();
        let (step_up, app, sent) = app(&clock);
        let start = json!({ "binding": app.ask(payout("alice/1")).await.binding() });
        approve(&step_up, &app, &sent, "alice/1", "/otp/SMS", &start).await;
        let expected = match end {
            "expired" => {
                clock.advance(super::secs(600));
                "403 expired"
            }
            "revoked" => {
                assert_eq!(app.ask(companion("DELETE", "", "alice/1", &Value::Null)).await.says(), "204");
                "403 missing"
            }
            _ => {
                step_up.revoke_all("alice").await.unwrap();
                "403 missing"
            }
        };
        assert_eq!(app.ask(payout("alice/1")).await.says(), expected, "{end}");
    }
}
