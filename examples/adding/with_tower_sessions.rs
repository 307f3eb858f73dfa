//! An app with sessions by tower-sessions 0.15. The lines marked `// +` add a step-up to it.
//! The choice of session id is explained in docs/sessions.md.

use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Response, Result};
use axum::{Router, http::StatusCode, routing::post};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, session::Error};
use tower_step_up::{Binding, Caller, ConfigError, Page, RequireStepUp, StepUp, discard}; // +

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(MemoryStore::default())?).await?)
}

pub(crate) fn app(sessions: MemoryStore) -> Result<Router, ConfigError> {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).public_path("/stepup/challenges").build()?; // +
    Ok(Router::new()
        .route("/transfers", post(async || "paid"))
        .route_layer(RequireStepUp::new(&step_up).page(Binding::uri_as_received)?) // +
        .nest_service("/stepup/challenges", step_up.challenges().with_page(Page::new())?) // +
        .route("/accounts", post(accounts))
        .route("/login/{user}", post(login))
        .route("/rotate", post(async |session: Session| session.cycle_id().await.map_err(failed)))
        .route("/logout", post(async |session: Session| session.flush().await.map_err(failed)))
        .layer(from_fn_with_state(step_up, identify)) // +
        .layer(SessionManagerLayer::new(sessions)))
}

// + this function: a logged-in user is the caller; a session that ends or changes its id is revoked
async fn identify(session: Session, step_up: State<StepUp>, mut request: Request, next: Next) -> Result<Response> {
    let user = session.get::<String>("user").await; // loads it; until then the id is unverified
    let (Ok(Some(user)), Some(id)) = (user, session.id()) else { return Ok(next.run(request).await) };
    let caller = Caller::user(user).session_bytes(id.0.to_le_bytes());
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    let revoked = if session.id() == Some(id) { Ok(()) } else { step_up.revoke(&caller).await };
    revoked.map(|()| response).map_err(|_| StatusCode::SERVICE_UNAVAILABLE.into())
}

async fn accounts(session: Session) -> Result<String, StatusCode> {
    session.get("user").await.map_err(failed)?.ok_or(StatusCode::UNAUTHORIZED)
}

/// Logs in any name: your check goes here.
async fn login(Path(user): Path<String>, session: Session) -> Result<(), StatusCode> {
    session.cycle_id().await.map_err(failed)?; // the id from before the login may be known to an attacker
    session.insert("user", user).await.map_err(failed)
}

fn failed(_: Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
