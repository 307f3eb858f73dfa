//! The demo's page, and the JavaScript client that it uses, as `clients/js/src` has it: nothing has to be installed.

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};

/// A page may load what this origin serves, and nothing else. `same-origin` below lets a form's request say where it
/// comes from, which is where the page of tower-step-up leads back to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

macro_rules! client {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../clients/js/src/", $name)))),*]
    };
}

/// The modules of the client.
const CLIENT: [(&str, &str); 21] = client! {
    "challenges.js" "code.js" "errors.js" "fetch.js" "grants.js" "index.js" "refusal.js" "replay.js" "step-up.js"
    "tabs.js" "dialog/dialog.css" "dialog/index.js" "dialog/languages.js" "dialog/otp.js" "dialog/push.js" "dialog/texts.js"
    "dialog/view.js" "dialog/texts/en.js" "dialog/texts/de.js" "dialog/texts/es.js" "dialog/texts/fr.js"
};

/// The only one that is no script.
const STYLE: &str = "dialog/dialog.css";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", file(HTML, include_str!("page.html")))
        .route("/page.css", file(CSS, include_str!("page.css")))
        .route("/page.js", file(SCRIPT, include_str!("page.js")))
        .route("/phone.js", file(SCRIPT, include_str!("phone.js")))
        .route("/wire.js", file(SCRIPT, include_str!("wire.js")))
        .route("/words.js", file(SCRIPT, include_str!("words.js")))
        .route("/client/{*name}", get(client))
}

/// The headers of everything that a browser shows.
pub(super) fn headers(content_type: &'static str) -> [(HeaderName, &'static str); 4] {
    [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ]
}

/// A page that the server has written.
pub(super) fn html(status: StatusCode, text: String) -> Response {
    (status, headers(HTML), text).into_response()
}

fn file<S: Clone + Send + Sync + 'static>(content_type: &'static str, text: &'static str) -> MethodRouter<S> {
    get(move || std::future::ready((headers(content_type), text)))
}

async fn client(Path(name): Path<String>) -> Result<impl IntoResponse, StatusCode> {
    let (name, text) = CLIENT.into_iter().find(|(known, _)| *known == name).ok_or(StatusCode::NOT_FOUND)?;
    Ok((headers(if name == STYLE { CSS } else { SCRIPT }), text))
}
