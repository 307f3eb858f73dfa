//! Coverage: a route that lost its guard, or came after it, fails the test that says which are open.

use std::collections::BTreeSet;

use axum::{
    Router,
    body::Body,
    http::Request,
    routing::{any, get, post},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_step_up::{
    Binding, Caller, ManualClock, RequireStepUp, Requirement, StepUp,
    coverage::{assert_guarded, routes},
};

use super::{COMPANION, bank, local};

const OPEN: [&str; 3] = ["GET /accounts", "/public/*", "/stepup/challenges/*"];

fn login(mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Caller::user("alice").session("1"));
    request
}

/// What the assertion says, or nothing where it holds.
async fn says(app: Router, open: &'static [&'static str]) -> String {
    let asserted = tokio::spawn(async move { assert_guarded(app, open, login).await }).await;
    match asserted {
        Ok(()) => String::new(),
        Err(error) => {
            let panic = error.into_panic();
            let constant = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            constant.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a message")
        }
    }
}

fn guarded() -> Router {
    Router::new()
        .route("/transfers", post(async || "paid").get(async || "list"))
        .route("/cards/{id}", get(async || "4242"))
        .route("/files/{*path}", any(async || "file"))
}

fn open(step_up: &StepUp) -> Router {
    Router::new()
        .route("/accounts", get(async || "accounts"))
        .route("/public/rates", get(async || "rates"))
        .nest_service(COMPANION, step_up.challenges())
}

#[tokio::test]
async fn a_router_in_order() {
    let step_up = local(&ManualClock::new());
    let guard = RequireStepUp::new(&step_up);
    let bound = guard.clone().bind(Binding::new(Binding::uri_as_received, |_, _| Some("Pay".into())));
    let once = RequireStepUp::with(&step_up, Requirement::new().scope("pay").once()).unwrap();
    let apps = [
        guarded().route_layer(guard.clone()).merge(open(&step_up)),
        guarded().layer(guard.clone()).merge(open(&step_up)),
        guarded().route_layer(once).merge(open(&step_up)),
        guarded().route_layer(bound.rebuild_with(Body::new)).merge(open(&step_up)),
        guarded().route_layer(guard.json()).merge(open(&step_up)),
    ];
    for app in apps {
        assert_eq!(says(app, &OPEN).await, "");
    }
}

/// What went wrong, and what the message names.
#[tokio::test]
async fn mistakes_are_named() {
    let step_up = local(&ManualClock::new());
    let guard = || RequireStepUp::new(&step_up);
    let whole = || guarded().route_layer(guard()).merge(open(&step_up));
    let shadow = guarded().route_layer(guard().report_only()).merge(open(&step_up));
    let condition = guard().when(|request| request.method != http::Method::GET);
    let later = |method| whole().route("/later", method);
    let table: [(&str, Router, &'static [&'static str], &[&str]); 9] = [
        (
            "a guard is gone",
            guarded().merge(open(&step_up)),
            &OPEN,
            &[
                "GET /transfers is not guarded",
                "POST /transfers is not guarded",
                "DELETE /files/{*path} is not guarded",
            ],
        ),
        ("a route came after it", later(get(async || "")), &OPEN, &["GET /later is not guarded"]),
        ("and any method of it", later(post(async || "")), &OPEN, &["POST /later is not guarded"]),
        ("the guard is a shadow", shadow, &OPEN, &["GET /cards/{id} is not guarded"]),
        (
            "it asks of some methods only",
            guarded().route_layer(condition).merge(open(&step_up)),
            &OPEN,
            &["GET /transfers is not guarded", "GET /cards/{id} is not guarded", "GET /files/{*path} is not guarded"],
        ),
        (
            "a guarded one is named",
            whole(),
            &["GET /accounts", "/public/*", "/stepup/challenges/*", "/cards/{id}"],
            &["GET /cards/{id} is named as open, and is guarded", "HEAD /cards/{id} is named as open"],
        ),
        (
            "an unknown one is named",
            whole(),
            &["GET /accounts", "/public/*", "/stepup/challenges/*", "POST /accounts", "/publi/*"],
            &["POST /accounts is named as open, and there is no such route", "/publi/* is named as open, and there is"],
        ),
        (
            "one is named by a part",
            whole(),
            &["GET /account", "/public/*", "/stepup/challenges/*"],
            &["GET /accounts is not"],
        ),
        ("nothing is named", whole(), &[], &["GET /accounts is not guarded", "GET /public/rates is not guarded"]),
    ];
    for (what, app, open, names) in table {
        let said = says(app, open).await;
        for name in names {
            assert!(said.contains(name), "{what}: {said}");
        }
        assert!(!said.is_empty(), "{what}");
        assert!(
            !said.contains("POST /transfers is not") || ["a guard is gone", "the guard is a shadow"].contains(&what)
        );
    }
}

/// Without routes there is nothing to assert, which must not pass for being guarded.
#[tokio::test]
async fn a_router_without_routes() {
    assert!(says(Router::new(), &[]).await.contains("no path"), "and says why");
}

/// The demo's bank: what is open is named here, and all else is guarded.
#[tokio::test]
async fn the_demo() {
    let app = bank::app(ManualClock::new());
    let ask = Request::post("/login").header("content-type", "application/json");
    let ask = ask.body(Body::from(r#"{"username":"alice","password":"alice"}"#)).unwrap();
    let answer = app.clone().oneshot(ask).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let bearer = format!("Bearer {}", answer["token"].as_str().unwrap());
    let login = |mut request: Request<Body>| {
        request.headers_mut().insert("authorization", bearer.parse().unwrap());
        // Logging out would leave nobody to ask the others.
        if request.uri() == "/logout" {
            request.headers_mut().remove("authorization");
        }
        request
    };
    let guarded = routes(app.clone(), login).await.into_iter().filter(|route| route.guarded);
    let paths: BTreeSet<_> = guarded.map(|route| route.path).collect();
    assert_eq!(paths, ["/cards/1", "/payouts", "/transfers"].map(String::from).into());
    let open = [
        "/",
        "/page.css",
        "/page.js",
        "/login",
        "/logout",
        "/accounts",
        "/authentication_factors/otp/*",
        "/simulate/push/*",
        "/stepup/challenges/*",
    ];
    assert_guarded(app, &open, login).await;
}
