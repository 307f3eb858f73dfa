//! `testing::assert_guarded` and `assert_open` name each route that lacks a guard or has an unexpected one.

use std::future::Future;

use axum::{
    Router,
    body::Body,
    http::Request,
    routing::{any, get, post},
};
use tower_step_up::{
    Binding, Caller, ManualClock, RequireStepUp, Requirement, StepUp,
    testing::{self, assert_guarded, assert_guarded_for, assert_open},
};

use super::{CHALLENGES, bank, local};

const GUARDED: [&str; 4] = ["POST /transfers", "GET /transfers", "GET /cards/{id}", "DELETE /files/{*path}"];
const OPEN: [&str; 3] = ["GET /accounts", "GET /public/rates", "GET /stepup/challenges/"];

/// The panic message of an assertion, empty if it holds.
async fn panic_message(assertion: impl Future<Output = ()> + Send + 'static) -> String {
    match tokio::spawn(assertion).await {
        Ok(()) => String::new(),
        Err(error) => {
            let panic = error.into_panic();
            let constant = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            constant.or_else(|| panic.downcast_ref::<String>().cloned()).expect("the panic has a message")
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
        .nest_service(CHALLENGES, step_up.challenges())
}

fn login(mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Caller::user("alice").session("1"));
    request
}

#[tokio::test]
async fn a_correct_router_passes() {
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
        assert_guarded::<_, Body, _>(app.clone(), GUARDED).await;
        assert_guarded_for(app.clone(), GUARDED, login).await;
        assert_open::<_, Body, _>(app, OPEN).await;
    }
}

/// Mistakes, and what the message names.
#[tokio::test]
async fn mistakes_are_named() {
    let step_up = local(&ManualClock::new());
    let guard = || RequireStepUp::new(&step_up);
    let report_only = guarded().route_layer(guard().report_only());
    let conditional = guarded().route_layer(guard().when(|request| request.method != http::Method::GET));
    let whole = || guarded().route_layer(guard()).merge(open(&step_up));
    let late = whole().route("/late", get(async || ""));
    let unauthorized = Router::new().route("/transfers", get(async || http::StatusCode::UNAUTHORIZED));
    let table: [(&str, Router, &[&'static str], &[&str]); 6] = [
        (
            "the guard is missing",
            guarded(),
            &GUARDED,
            &["POST /transfers: not guarded: it answered 200", "DELETE /files/"],
        ),
        ("a route added after the guard", late, &["GET /late"], &["GET /late: not guarded"]),
        ("the guard only reports", report_only, &GUARDED, &["GET /cards/{id}: not guarded"]),
        ("a guard for some methods only", conditional, &GUARDED, &["GET /transfers: not guarded", "GET /cards/{id}"]),
        ("an unknown route", whole(), &["PUT /accounts", "GET /none"], &["PUT /accounts: there is no such", "/none"]),
        ("another layer refuses first", unauthorized, &["GET /transfers"], &["assert_guarded_for"]),
    ];
    for (what, app, routes, names) in table {
        let routes = routes.to_vec();
        let message = panic_message(async move { assert_guarded::<_, Body, _>(app, routes).await }).await;
        for name in names {
            assert!(message.contains(name), "{what}: {message}");
        }
        assert!(!message.contains("PATCH"), "{what}: {message}");
    }
    let message =
        panic_message(assert_open::<_, Body, _>(whole(), ["GET /accounts", "GET /cards/{id}", "PUT /accounts"])).await;
    assert!(message.contains("GET /cards/{id}: guarded: authentication required"), "{message}");
    assert!(
        message.contains("PUT /accounts: there is no such route") && !message.contains("GET /accounts"),
        "{message}"
    );
}

/// Empty lists and malformed routes fail.
#[tokio::test]
async fn empty_and_malformed_lists_fail() {
    let step_up = local(&ManualClock::new());
    let app = || open(&step_up);
    assert!(panic_message(assert_guarded::<_, Body, _>(app(), [""; 0])).await.contains("no route is named"));
    for route in ["/transfers", "GET transfers", "G T /transfers", "GET /a b"] {
        let message = panic_message(assert_open::<_, Body, _>(app(), [route])).await;
        assert!(message.contains("name a route as `POST /transfers`"), "{route}: {message}");
    }
}

#[tokio::test]
async fn the_routes_of_the_demo() {
    let app = || bank::app(ManualClock::new());
    assert_guarded::<_, Body, _>(app(), ["GET /cards/1", "POST /transfers", "POST /payouts"]).await;
    assert_open::<_, Body, _>(
        app(),
        [
            "GET /",
            "GET /page.css",
            "GET /page.js",
            "POST /login",
            "POST /logout",
            "GET /accounts",
            "POST /authentication_factors/otp/SMS",
            "POST /simulate/push/{id}/accept",
            "POST /stepup/challenges/otp/SMS",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_step_up_in_one_line() {
    let step_up = local(&ManualClock::new());
    let caller = Caller::user("alice").session("1");
    let grant = testing::step_up(&step_up, &caller, "SMS").await.unwrap();
    assert_eq!(grant.channel(), "SMS");
    assert!(step_up.authorize(&caller, &Requirement::new()).await.is_ok());
}
