//! Helpers for an application's tests (feature `test-util`): assertions on guarded routes, a manual clock, a step-up in
//! one call, and the conformance suite for stores.
//!
//! # Example
//!
//! A guard does not know its routes, so a route that has lost its guard goes unnoticed. A test with a list of routes
//! detects it:
//!
//! ```
//! use axum::{Router, body::Body, routing::{get, post}};
//! use tower_step_up::{RequireStepUp, StepUp, testing};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
//! let app: Router = Router::new()
//!     .route("/transfers", post(async || "paid"))
//!     .route("/cards/{id}", get(async || "4242"))
//!     .route_layer(RequireStepUp::new(&step_up))
//!     .route("/accounts", get(async || "accounts"))
//!     .nest_service("/stepup/challenges", step_up.challenges());
//!
//! testing::assert_guarded::<_, Body, _>(app.clone(), ["POST /transfers", "GET /cards/{id}"]).await;
//! testing::assert_open::<_, Body, _>(app, ["GET /accounts", "GET /stepup/challenges/"]).await;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use http::{Method, Request, Response, StatusCode};
use tower::Service;

#[doc(inline)]
pub use crate::{engine::ManualClock, store::conformance};
use crate::{
    engine::{Caller, Grant, StepUp},
    guard::refusal::Refusal,
    rules::ChallengeError,
};

/// Asserts that a guard refuses an unauthenticated request to each of these routes.
///
/// A route is a method and a path, such as `DELETE /notes/{id}`; a capture in the path is replaced by `1`. The list can
/// be generated from an `OpenAPI` document. Each route gets one request with an empty body. The check looks for the
/// [`Refusal`] in the response's extensions, so the response itself may be built by the application.
///
/// # Panics
///
/// Panics with a list of the routes that no guard refused.
pub async fn assert_guarded<S, ReqBody, ResBody>(app: S, routes: impl IntoIterator<Item = impl AsRef<str>>)
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: fmt::Debug>,
    ReqBody: Default,
{
    assert_guarded_for(app, routes, |request| request).await;
}

/// As [`assert_guarded`], with requests that `login` authenticates as a user who has not stepped up: for an app whose
/// authentication refuses unauthenticated requests before they reach a guard.
///
/// # Panics
///
/// Panics with a list of the routes that no guard refused.
pub async fn assert_guarded_for<S, ReqBody, ResBody>(
    app: S,
    routes: impl IntoIterator<Item = impl AsRef<str>>,
    login: impl Fn(Request<ReqBody>) -> Request<ReqBody>,
) where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: fmt::Debug>,
    ReqBody: Default,
{
    let wrong = |answer: &Answer| match (&answer.refusal, answer.status) {
        (Some(_), _) => None,
        (None, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => Some("there is no such route".to_owned()),
        (None, StatusCode::UNAUTHORIZED) => {
            Some("401, and not by a guard: use assert_guarded_for, with a user who is logged in".to_owned())
        }
        (None, status) => Some(format!("not guarded: it answered {status}")),
    };
    assert_each(app, routes, login, wrong).await;
}

/// Asserts that no guard refuses an unauthenticated request to any of these routes; see [`assert_guarded`] for the
/// format of a route. The handlers run.
///
/// # Panics
///
/// Panics with a list of the routes that a guard refused.
pub async fn assert_open<S, ReqBody, ResBody>(app: S, routes: impl IntoIterator<Item = impl AsRef<str>>)
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: fmt::Debug>,
    ReqBody: Default,
{
    let wrong = |answer: &Answer| match (&answer.refusal, answer.status) {
        (Some(refusal), _) => Some(format!("guarded: {refusal}")),
        (None, StatusCode::METHOD_NOT_ALLOWED) => Some("there is no such route".to_owned()),
        (None, _) => None,
    };
    assert_each(app, routes, |request| request, wrong).await;
}

/// Steps a caller up in the [sandbox](crate::StepUpBuilder::sandbox), with a code on this channel: for tests of what
/// follows a step-up.
///
/// # Errors
///
/// Those of [`StepUp::start_otp`] and [`StepUp::verify_otp`].
pub async fn step_up(step_up: &StepUp, caller: &Caller, channel: &str) -> Result<Grant, ChallengeError> {
    step_up.start_otp(caller, channel, None).await?;
    step_up.verify_otp(caller, channel, &"123456789012"[..usize::from(step_up.0.policy.code_digits)]).await
}

struct Answer {
    status: StatusCode,
    refusal: Option<Refusal>,
}

async fn assert_each<S, ReqBody, ResBody>(
    mut app: S,
    routes: impl IntoIterator<Item = impl AsRef<str>>,
    login: impl Fn(Request<ReqBody>) -> Request<ReqBody>,
    wrong: impl Fn(&Answer) -> Option<String>,
) where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: fmt::Debug>,
    ReqBody: Default,
{
    let (mut mistakes, mut asked) = (Vec::new(), 0);
    for route in routes {
        let route = route.as_ref();
        let request = login(request(route));
        std::future::poll_fn(|cx| app.poll_ready(cx)).await.expect("the app is ready");
        let response = app.call(request).await.expect("the app answers");
        let refusal = response.extensions().get::<Refusal>().cloned();
        mistakes.extend(wrong(&Answer { status: response.status(), refusal }).map(|why| format!("{route}: {why}")));
        asked += 1;
    }
    assert!(asked > 0, "no route is named");
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

/// A request for a route, with an empty body.
fn request<B: Default>(route: &str) -> Request<B> {
    let named = route.split_once(' ').and_then(|(method, path)| {
        let segment = |segment: &str| if segment.contains('{') { "1".to_owned() } else { segment.to_owned() };
        let path = path.split('/').map(segment).collect::<Vec<_>>().join("/");
        Some((method.parse::<Method>().ok()?, path.parse().ok().filter(|_| path.starts_with('/'))?))
    });
    let Some((method, uri)) = named else { panic!("name a route as `POST /transfers`, not {route:?}") };
    let mut request = Request::new(B::default());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    request
}
