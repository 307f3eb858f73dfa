//! Custom refusal responses by closures: run `cargo run --example refusals` and paste the lines it prints.
//!
//! `/transfers` refuses with `application/problem+json` (RFC 9457). `/statements` redirects browser navigation to a
//! step-up page, and back; a script that fetches it gets the default JSON.

use axum::extract::{OriginalUri, Query};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use axum::response::{Html, IntoResponse, Response};
use axum::{Router, body::Body, middleware::from_fn, routing::get, routing::post};
use serde::Deserialize;
use serde_json::{Map, Value};
use tower_step_up::guard::refusal::Json;
use tower_step_up::{ConfigError, Refusal, RefusalTerms, RequireStepUp, ResponseForRefusal, StepUp, discard};

#[path = "support/local.rs"]
mod local;

pub(crate) fn app() -> Result<Router, ConfigError> {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).public_path("/stepup/challenges").build()?;
    let guard = RequireStepUp::new(&step_up);
    let statements = Router::new().route("/{year}", get(async || "statements\n"));
    Ok(Router::new()
        .route("/transfers", post(async || "paid\n"))
        .route_layer(guard.clone().with_refusal_response(problem))
        .nest("/statements", statements.route_layer(guard.with_refusal_response(page_or_json)))
        .route("/step-up", get(page))
        .nest_service("/stepup/challenges", step_up.challenges())
        .layer(from_fn(local::authenticate)))
}

/// A problem with the fields of the default body as extension members, so that a client still finds `reason`, `start`
/// and `binding`. Status and headers, including `WWW-Authenticate` and `Retry-After`, are those of the default.
fn problem(refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response {
    let (mut parts, ()) = ResponseForRefusal::<Body>::response_for_refusal(&Json::default(), refusal, terms, request)
        .map(drop)
        .into_parts();
    let mut problem: Map<String, Value> = serde_json::from_slice(&terms.json(refusal)).unwrap_or_default();
    if let Refusal::StepUpRequired(_) = refusal {
        problem.insert("type".into(), "https://bank.example/problems/step-up-required".into());
        problem.insert("title".into(), "This takes a step-up".into());
    } // others have the type `about:blank`: no meaning beyond the status
    problem.insert("status".into(), parts.status.as_u16().into());
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.remove(header::CONTENT_LENGTH); // the body is longer now
    let is_head = request.method == Method::HEAD;
    let body = if is_head { Body::empty() } else { Value::from(problem).to_string().into() };
    Response::from_parts(parts, body)
}

/// 303 to the page for browser navigation, and JSON for everything else: a script would follow the redirect and treat
/// the page as the response, and the page cannot repeat a form's POST.
pub(crate) fn page_or_json(refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response {
    match refusal {
        Refusal::StepUpRequired(_) if navigates(request) => {
            // In a nested router the request's own URI lacks the prefix.
            let uri = request.extensions.get::<OriginalUri>().map_or(&request.uri, |original| &original.0);
            let back = uri.path_and_query().map_or("/", |path| path.as_str());
            let back = if is_local(back) { back } else { "/" };
            let page = format!("/step-up?return_to={}", encoded(back));
            (StatusCode::SEE_OTHER, [(header::LOCATION, page)]).into_response()
        }
        _ => Json::default().response_for_refusal(refusal, terms, request),
    }
}

/// Whether the request is browser navigation: by Fetch Metadata, or by `Accept` if the browser does not send it.
fn navigates(request: &Parts) -> bool {
    let has = |headers: &HeaderMap, name: &str, value: &str| {
        headers.get(name).and_then(|given| given.to_str().ok()).map(|given| given.contains(value))
    };
    let html = || has(&request.headers, "accept", "text/html").unwrap_or(false);
    request.method == Method::GET && has(&request.headers, "sec-fetch-mode", "navigate").unwrap_or_else(html)
}

/// Whether the path is within this app: one leading slash, not two, since `//evil.example` is another host, and no
/// character that a browser treats as a slash (a backslash) or ignores (a tab, a line break).
fn is_local(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|c| c.is_ascii_graphic() && c != b'\\')
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3).
fn encoded(path: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(byte).collect()
}

#[derive(Deserialize)]
struct Back {
    return_to: Option<String>,
}

/// The step-up page; a real one has a script that calls the challenge endpoints. Anybody can link to this page, so it
/// checks the path again.
async fn page(Query(Back { return_to }): Query<Back>) -> Html<String> {
    let back = return_to.filter(|path| is_local(path)).unwrap_or_else(|| "/".into());
    let back = back.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    Html(format!("<!doctype html><title>Step up</title><p>Type your code, then <a href=\"{back}\">go on</a>.\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(local::serve(app()?, TRY).await?)
}

const TRY: &str = r#"
curl -i -X POST -H "$ALICE" $APP/transfers; echo                           # 403 application/problem+json
curl -i -H "$ALICE" -H 'sec-fetch-mode: navigate' "$APP/statements/2026?page=2"  # 303 to the page, and from there back
curl -i -H "$ALICE" -H 'sec-fetch-mode: cors' $APP/statements/2026; echo   # 403 with JSON
curl "$APP/step-up?return_to=%2Fstatements%2F2026%3Fpage%3D2"
curl "$APP/step-up?return_to=//evil.example"                               # leads to / instead
"#;
