//! Apps for what the demo cannot show: a guarded `/vault`, and callers from an unverified header.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use tower_step_up::{Caller, DeliveryError, ManualClock, OtpMessage, PushMessage, RequireStepUp, StepUp};

use crate::app::{App, CHALLENGES};

/// The guarded body.
pub(crate) const TREASURE: &str = "the treasure of the vault";

pub(crate) fn app(step_up: &StepUp, clock: ManualClock, sandbox: bool) -> App {
    let vault = Router::new().route("/vault", any(async || TREASURE)).route_layer(RequireStepUp::new(step_up));
    around(vault, step_up, clock, sandbox)
}

/// An app around a router that is guarded already.
pub(crate) fn around(vault: Router, step_up: &StepUp, clock: ManualClock, sandbox: bool) -> App {
    let router = vault.nest_service(CHALLENGES, step_up.challenges()).layer(from_fn(authenticate));
    App::over(router, clock, sandbox)
}

/// `Authorization: Bearer USER/SESSION`
async fn authenticate(mut request: Request, next: Next) -> Response {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if let Some((user, session)) = token.and_then(|token| token.strip_prefix("Bearer ")?.split_once('/')) {
        let caller = Caller::user(user).session(session);
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// A provider that delivers everything.
pub(crate) async fn send(_: OtpMessage) -> Result<(), DeliveryError> {
    Ok(())
}

pub(crate) async fn notify(_: PushMessage) -> Result<(), DeliveryError> {
    Ok(())
}
