//! An app with users by axum-login 0.18, on tower-sessions 0.14. The lines marked `// +` add a step-up to it.
//! The choice of session id is explained in docs/sessions.md.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Response, Result};
use axum::{Json, Router, http::StatusCode, routing::post};
use axum_login::tower_sessions::{MemoryStore, SessionManagerLayer};
use axum_login::{AuthManagerLayerBuilder, AuthSession, Error, login_required};
use tower_step_up::{Binding, Caller, ConfigError, Page, RequireStepUp, StepUp, discard}; // +

#[path = "support/users.rs"]
pub(crate) mod users; // the `AuthUser` and `AuthnBackend`
use users::{Credentials, Users};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(Users::default())?).await?)
}

pub(crate) fn app(users: Users) -> Result<Router, ConfigError> {
    let sessions = SessionManagerLayer::new(MemoryStore::default());
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).public_path("/stepup/challenges").build()?; // +
    Ok(Router::new()
        .route("/transfers", post(async || "paid"))
        .route_layer(RequireStepUp::new(&step_up).page(Binding::uri_as_received)?) // +
        .nest_service("/stepup/challenges", step_up.challenges().with_page(Page::new())?) // +
        .route("/accounts", post(async || "accounts").layer(login_required!(Users)))
        .route("/login", post(login))
        .route("/logout", post(async |mut auth: Auth| auth.logout().await.map(drop).map_err(failed)))
        .layer(from_fn_with_state(step_up, identify)) // +
        .layer(AuthManagerLayerBuilder::new(users, sessions).build()))
}

type Auth = AuthSession<Users>;

// + this function: a logged-in user is the caller; a session that ends or changes its id is revoked
async fn identify(auth: Auth, step_up: State<StepUp>, mut request: Request, next: Next) -> Result<Response> {
    let (Some(user), Some(id)) = (&auth.user, auth.session.id()) else { return Ok(next.run(request).await) };
    let caller = Caller::user(&user.name).session_bytes(id.0.to_le_bytes());
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    let revoked = if auth.session.id() == Some(id) { Ok(()) } else { step_up.revoke(&caller).await };
    revoked.map(|()| response).map_err(|_| StatusCode::SERVICE_UNAVAILABLE.into())
}

async fn login(mut auth: Auth, Json(given): Json<Credentials>) -> Result<(), StatusCode> {
    let user = auth.authenticate(given).await.map_err(failed)?.ok_or(StatusCode::UNAUTHORIZED)?;
    auth.session.cycle_id().await.map_err(|error| failed(error.into()))?; // + login() does not if already logged in
    auth.login(&user).await.map_err(failed)
}

fn failed(_: Error<Users>) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
