//! An app with JWTs in a bearer header, by jsonwebtoken 11. The lines marked `// +` add a step-up to it.
//! The choice of session id is explained in docs/sessions.md.

use axum::extract::{Extension, Path, Request};
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::{Router, middleware::Next, middleware::from_fn, response::Response, routing::post};
use tower_step_up::{Caller, ConfigError, RequireStepUp, StepUp, discard}; // +

#[path = "support/tokens.rs"]
pub(crate) mod tokens; // the claims, signed and verified by jsonwebtoken
use tokens::{Claims, Tokens};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(Tokens::default())?).await?)
}

pub(crate) fn app(tokens: Tokens) -> Result<Router, ConfigError> {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build()?; // +
    Ok(Router::new()
        .route("/transfers", post(async || "paid"))
        .route_layer(RequireStepUp::new(&step_up)) // +
        .nest_service("/stepup/challenges", step_up.challenges()) // +
        .route("/accounts", post(async |Extension(claims): Extension<Claims>| claims.sub))
        .route("/refresh", post(refresh))
        .route("/logout", post(logout)) // +
        .layer(Extension(step_up)) // +
        .route_layer(from_fn(authenticate))
        .route("/login/{user}", post(login))
        .layer(Extension(tokens)))
}

async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let tokens = request.extensions().get::<Tokens>().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    let token = bearer(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    let claims = tokens.verify(token).ok_or(StatusCode::UNAUTHORIZED)?;
    request.extensions_mut().insert(Caller::user(&claims.sub).session(&claims.sid)); // +
    request.extensions_mut().insert(claims);
    Ok(next.run(request).await)
}

/// The token of the only `Authorization` header. Two are refused: proxies differ in which one they use.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()?.strip_prefix("Bearer ")
}

async fn login(tokens: Extension<Tokens>, Path(user): Path<String>) -> String {
    tokens.issue(user, tokens::random_id())
}

async fn refresh(tokens: Extension<Tokens>, Extension(claims): Extension<Claims>) -> String {
    tokens.issue(claims.sub, claims.sid) // another token of the same login
}

// + this function
async fn logout(step_up: Extension<StepUp>, caller: Extension<Caller>) -> Result<(), StatusCode> {
    step_up.revoke(&caller).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}
