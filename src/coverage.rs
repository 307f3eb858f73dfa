//! Which routes of an app are guarded: listed, and asserted in a test of the app (feature `test-util`).
//!
//! A guard knows no paths, so a route that lost its guard, or was added after it, looks like any other. A test that
//! says which routes are open finds it.
//!
//! # Example
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::{get, post}};
//! use tower_step_up::{Caller, RequireStepUp, StepUp, coverage};
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
//! // In a test. A route that is neither guarded nor named here fails it, and so does one that is both.
//! let open = ["GET /accounts", "/stepup/challenges/*"];
//! coverage::assert_guarded(app, &open, |mut request: Request<Body>| {
//!     request.extensions_mut().insert(Caller::user("alice").session("1")); // or the header of a login
//!     request
//! })
//! .await;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use http::{Method, Request, Response, StatusCode};
use tower::Service;

use crate::guard::refusal::Refusal;

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A method of a route, and whether a guard stands in front.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Covered {
    /// The method.
    pub method: Method,
    /// The path, as the route was written.
    pub path: String,
    /// Whether a guard refused it.
    pub guarded: bool,
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Lists every method of every route of an axum router, and whether a guard refuses it.
///
/// Each is asked once, with an empty body, after `login` has made the request one of a user who has not stepped up: a
/// handler that is not guarded runs. A capture in a path is asked as `1`.
///
/// The paths are those that the router's `Debug` prints, for axum offers no list of them. Its fallback is none.
///
/// # Panics
///
/// Where it prints none, so that a change of that cannot pass for a router without routes; and where the router fails.
pub async fn routes<R, ReqBody, ResBody>(
    mut router: R,
    login: impl Fn(Request<ReqBody>) -> Request<ReqBody>,
) -> Vec<Covered>
where
    R: Service<Request<ReqBody>, Response = Response<ResBody>> + fmt::Debug,
    R::Error: fmt::Debug,
    ReqBody: Default,
{
    let paths = paths(&format!("{router:?}"));
    assert!(!paths.is_empty(), "no path stands in the router's Debug: it has no route, or this axum prints none");
    let mut covered = Vec::new();
    for path in paths {
        for method in METHODS {
            let mut request = Request::new(ReqBody::default());
            *request.method_mut() = method.clone();
            *request.uri_mut() = example(&path).parse().unwrap_or_default();
            std::future::poll_fn(|cx| router.poll_ready(cx)).await.expect("the router is ready");
            let response = router.call(login(request)).await.expect("the router answers");
            if response.status() != StatusCode::METHOD_NOT_ALLOWED {
                let guarded = response.extensions().get::<Refusal>().is_some();
                covered.push(Covered { method, path: path.clone(), guarded });
            }
        }
    }
    covered
}

/// Asserts that every route of an axum router is guarded but those that are named, and that those are not.
///
/// A name is a path as the route was written, with its method in front or without one for all of them, and may end in
/// `/*` for everything below: `GET /accounts`, `/public/*`. See [`routes`] for how it is found out.
///
/// # Panics
///
/// With a list of what is not as it should be.
pub async fn assert_guarded<R, ReqBody, ResBody>(
    router: R,
    open: &[&str],
    login: impl Fn(Request<ReqBody>) -> Request<ReqBody>,
) where
    R: Service<Request<ReqBody>, Response = Response<ResBody>> + fmt::Debug,
    R::Error: fmt::Debug,
    ReqBody: Default,
{
    let covered = routes(router, login).await;
    let mut mistakes: Vec<String> = covered
        .iter()
        .filter_map(|route| match (route.guarded, open.iter().any(|name| names(name, route))) {
            (false, false) => Some(format!("{route} is not guarded: guard it, or name it as open")),
            (true, true) => Some(format!("{route} is named as open, and is guarded")),
            _ => None,
        })
        .collect();
    let unknown = open.iter().filter(|name| !covered.iter().any(|route| names(name, route)));
    mistakes.extend(unknown.map(|name| format!("{name} is named as open, and there is no such route")));
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

/// Whether a name is that of a route.
fn names(name: &str, route: &Covered) -> bool {
    let (method, path) = name.split_once(' ').map_or((None, name), |(method, path)| (Some(method), path));
    let is_path = match path.strip_suffix("/*") {
        Some(above) => route.path.strip_prefix(above).is_some_and(|below| below.is_empty() || below.starts_with('/')),
        None => route.path == path,
    };
    // Who names GET names what answers HEAD.
    let is_method = |method: &str| route.method == method || (method == "GET" && route.method == Method::HEAD);
    is_path && method.is_none_or(is_method)
}

/// The paths in the `Debug` of an axum router: `Node { paths: {RouteId(1): "/a", …} }`.
fn paths(debug: &str) -> Vec<String> {
    // Behind them stands the fallback, which has paths of axum's own.
    let routes = debug.split("fallback_router:").next().unwrap_or_default();
    let entries = routes.split("RouteId(").filter_map(|entry| entry.split_once("): \"")?.1.split_once('"'));
    let mut paths: Vec<String> = entries.map(|(path, _)| path.to_owned()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A path that the route takes.
fn example(path: &str) -> String {
    let segment = |segment: &str| if segment.contains('{') { "1".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}
