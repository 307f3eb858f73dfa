//! The guard's refusal, byte for byte; and that no spelling of a guarded path and no method bypasses it.

use axum::Router;
use axum::routing::{any, post};
use serde_json::json;
use tower_step_up::{RequireStepUp, StepUp};

use crate::app::{Answer, App, Session, clock};
use crate::vault_app;

const METHODS: [&str; 13] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "get", "post", "FOO"];

fn refusal(path: &str, reason: &str) -> serde_json::Value {
    let mut refusal = json!({
        "errorCode": "STEP_UP_REQUIRED",
        "message": "STEP_UP_REQUIRED",
        "reason": reason,
        "channels": {"otp": ["SMS"], "push": ["BIOMETRIC"]},
        "start": ["/stepup/challenges/otp/SMS", "/stepup/challenges/push/BIOMETRIC"],
    });
    if path == "/transfers" {
        refusal["maxAge"] = json!(120);
    }
    refusal
}

#[tokio::test]
async fn refusals() {
    let app = App::demo();
    let alice = app.login("alice").await;
    for (path, answer) in [("/cards/1", alice.card().await), ("/transfers", alice.transfer().await)] {
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json(), refusal(path, "missing"));
    }
    alice.step_up().await;
    app.wait(601);
    for (path, answer) in [("/cards/1", alice.card().await), ("/transfers", alice.transfer().await)] {
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json(), refusal(path, "expired"));
    }
}

/// 403 for every method, including those without a handler; 401 without a caller.
#[tokio::test]
async fn every_method() {
    let alice = App::demo().login("alice").await;
    for path in ["/transfers", "/cards/1"] {
        for method in METHODS {
            let answer = alice.request(method, path).send().await;
            assert_eq!(answer.status, 403, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(answer.json(), refusal(path, "missing"), "{method} {path}");
            }
            let answer = alice.request(method, path).no_token().send().await;
            assert_eq!(answer.status, 401, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(answer.json()["errorCode"], "UNAUTHORIZED", "{method} {path}");
            }
        }
    }
}

/// Routes that need only a login are not guarded.
#[tokio::test]
async fn unguarded_routes() {
    let app = App::demo();
    for user in ["alice", "bob", "dave"] {
        assert_eq!(app.login(user).await.request("GET", "/accounts").send().await.status, 200);
    }
    assert_eq!(app.request("GET", "/accounts").send().await.status, 401);
}

/// T22: spellings × methods × callers. No combination reads the card or moves money.
#[tokio::test]
async fn spellings() {
    let app = App::demo();
    let (alice, secret) = (app.login("alice").await, card_number(&app.login("alice-too").await).await);
    let bob = app.login("bob").await;
    let paths = [
        "/cards/1",
        "//cards/1",
        "/cards//1",
        "/cards/1/",
        "/cards/1//",
        "/cards/%31",
        "/%63ards/1",
        "/%2563ards/1",
        "/./cards/1",
        "/cards/./1",
        "/x/../cards/1",
        "/cards/../cards/1",
        "/%2e/cards/1",
        "/x/%2e%2e/cards/1",
        "/cards%2f1",
        "/cards%2F1",
        "/%2fcards/1",
        "/cards\\1",
        "/cards/1;x",
        "/cards;x/1",
        "/cards/1.json",
        "/cards/01",
        "/cards/+1",
        "/cards/1%20",
        "/cards/1%00",
        "/cards/1%0a",
        "/Cards/1",
        "/CARDS/1",
        "/cards/1?x=1",
        "/cards/1?",
        "/cards/1?stepup=true",
        "/accounts/../cards/1",
        "/stepup/challenges/../../cards/1",
        "/stepup/challenges/cards/1",
        "/transfers",
        "//transfers",
        "/transfers/",
        "/%74ransfers",
        "/transfers%2f",
        "/./transfers",
        "/x/../transfers",
        "/transfers;x",
        "/TRANSFERS",
        "/transfers?x",
        "/transfers%20",
        "/accounts/../transfers",
        "/stepup/challenges/transfers",
        "/stepup/challenges/../transfers",
    ];
    for path in paths {
        for method in METHODS {
            for session in [&alice, &bob] {
                let request = || session.request(method, path).json(r#"{"to":"DE02120300000000202051","amount":10}"#);
                let overridden = request().header("x-http-method-override", "GET").header("x-original-url", "/cards/1");
                let rewritten = request().header("x-forwarded-prefix", "/public").header("x-rewrite-url", "/transfers");
                let requests = [request(), request().no_token(), overridden, rewritten];
                for request in requests {
                    let answer = request.send().await;
                    assert!(!is_guarded_body(&answer, &secret), "{method} {path}: {answer:?}");
                }
            }
        }
    }
}

/// T22: the guard covers everything it is applied to: routes, methods, fallbacks, services.
#[tokio::test]
async fn places() {
    async fn vault() -> &'static str {
        vault_app::TREASURE
    }
    type Place = fn(&RequireStepUp) -> Router;
    let places: [(&str, &str, Place); 9] = [
        ("route_layer", "/vault", |guard| Router::new().route("/vault", any(vault)).route_layer(guard.clone())),
        ("layer", "/vault", |guard| Router::new().route("/vault", any(vault)).layer(guard.clone())),
        ("around a method router", "/vault", |guard| Router::new().route("/vault", any(vault).layer(guard.clone()))),
        ("nested", "/in/vault", |guard| {
            Router::new().nest("/in", Router::new().route("/vault", any(vault)).layer(guard.clone()))
        }),
        ("merged", "/vault", |guard| {
            let guarded = Router::new().route("/vault", any(vault)).route_layer(guard.clone());
            Router::new().route("/open", any(async || "open")).merge(guarded)
        }),
        ("a fallback", "/no/such/route", |guard| Router::new().fallback(vault).layer(guard.clone())),
        ("a fallback of a method", "/vault", |guard| {
            Router::new().route("/vault", post(vault).fallback(vault)).route_layer(guard.clone())
        }),
        ("a service", "/vault", |guard| {
            let service = guard.layer(Router::new().fallback(vault));
            Router::new().route_service("/vault", service)
        }),
        ("a service below", "/in/vault", |guard| {
            let service = guard.layer(Router::new().route("/vault", any(vault)));
            Router::new().nest_service("/in", service)
        }),
    ];
    for (name, path, place) in places {
        let clock = clock();
        let builder = StepUp::builder().otp("SMS", vault_app::send).sandbox().clock(clock.clone());
        let step_up = builder.build().expect("a valid configuration");
        let app = vault_app::around(place(&RequireStepUp::new(&step_up)), &step_up, clock, true);
        let (alice, bob) = (app.session("alice", "1"), app.session("bob", "1"));
        alice.step_up().await;
        for method in METHODS {
            assert_eq!(app.request(method, path).send().await.status, 401, "{name}: {method}");
            let refused = bob.request(method, path).send().await;
            assert_eq!(refused.status, 403, "{name}: {method}");
            assert!(!refused.contains(vault_app::TREASURE), "{name}: {method}");
            assert_eq!(alice.request(method, path).send().await.status, 200, "{name}: {method}");
        }
        assert_eq!(alice.request("POST", path).send().await.body, vault_app::TREASURE, "{name}");
    }
}

fn is_guarded_body(answer: &Answer, secret: &str) -> bool {
    answer.contains(secret) || answer.status == 201
}

/// The full card number, by which a guarded body is recognized.
async fn card_number(session: &Session) -> String {
    session.step_up().await;
    let answer = session.card().await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    let texts = body.as_object().expect("an object").values().filter_map(|value| value.as_str());
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    texts.max_by_key(|text| digits(text)).expect("a number").to_owned()
}
