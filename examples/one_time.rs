//! A step-up that one request consumes: run `cargo run --example one_time` and paste the lines it prints.
//!
//! It is consumed before the handler runs, so only one of several concurrent requests passes. It stays consumed if the
//! handler returns an error or panics, the client disconnects or the process ends. The user then steps up again, and
//! nothing is paid twice. Only a handler that knows that it had no effect restores it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use axum::{Router, extract::State, http::StatusCode, middleware::from_fn, routing::post};
use tower_step_up::{Clock, ConfigError, Grant, RequireStepUp, Requirement, StepUp, discard};

#[path = "support/local.rs"]
mod local;

/// A ledger that can be unavailable, and whose receipts can fail.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) down: AtomicBool,
    pub(crate) no_receipts: AtomicBool,
    pub(crate) paid: AtomicU32,
}

pub(crate) fn app(clock: impl Clock, ledger: Arc<Ledger>) -> Result<Router, ConfigError> {
    let step_up = StepUp::builder().sandbox().clock(clock).otp("SMS", discard).build()?;
    Ok(Router::new()
        .route("/transfers", post(transfer))
        .route_layer(RequireStepUp::with(&step_up, Requirement::new().once())?)
        .route("/ledger/break", post(async |ledger: State<Arc<Ledger>>| ledger.down.store(true, SeqCst)))
        .route("/ledger/mend", post(async |ledger: State<Arc<Ledger>>| ledger.down.store(false, SeqCst)))
        .with_state(ledger)
        .nest_service("/stepup/challenges", step_up.challenges())
        .layer(from_fn(local::authenticate)))
}

async fn transfer(ledger: State<Arc<Ledger>>, grant: Grant) -> Result<String, StatusCode> {
    if ledger.down.load(SeqCst) {
        // Before any effect: the grant can be used for one more attempt, until its original expiry. It stays consumed
        // if the user has logged out in the meantime or the store is unavailable: then they step up again.
        let _ = grant.restore().await;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let paid = ledger.paid.fetch_add(1, SeqCst) + 1;
    if ledger.no_receipts.load(SeqCst) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR); // after an effect: it stays consumed
    }
    Ok(format!("paid, number {paid}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(local::serve(app(tower_step_up::SystemClock, Arc::default())?, TRY).await?)
}

const TRY: &str = r#"
curl -X POST -H "$ALICE" $APP/stepup/challenges/otp/SMS
curl -H "$ALICE" -H "$JSON" $APP/stepup/challenges/otp/SMS/verify -d '{"verificationCode":"123456"}'
curl -X POST $APP/ledger/break
curl -i -X POST -H "$ALICE" $APP/transfers; echo  # 503, and the step-up is restored
curl -X POST $APP/ledger/mend
curl -X POST -H "$ALICE" $APP/transfers           # paid
curl -X POST -H "$ALICE" $APP/transfers; echo     # 403: spent
"#;
