//! TOTP (RFC 6238) by totp-rs 6 as a step-up: `cargo run -p totp --example totp`, then paste the lines it prints.
//!
//! The app verifies the code and passes a proof to `StepUp::record_proof`. For proofs tower-step-up counts no failures
//! and stores no used codes, so the app does: both are checked under one lock, before anything is granted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Json, State};
use axum::{Router, http::StatusCode, middleware::from_fn, routing::get, routing::post};
use serde::Deserialize;
use totp_rs::{Builder, Secret, Totp};
use tower_step_up::{Clock, Proof, ProofError, RequireStepUp, Requirement, StepUp};

#[path = "../support/local.rs"]
mod local;
use local::LoggedIn;

/// Consecutive wrong codes until the user is locked. Of a million codes, three are valid at any time.
const TRIES: u8 = 5;

/// A row of the user table. It is in memory here; a real app must persist it.
struct Enrolled {
    totp: Totp,
    /// The time step of the last accepted code. No code of this or an earlier step is accepted again (RFC 6238 §5.2).
    last_step: u64,
    failures: u8,
}

struct App {
    step_up: StepUp,
    users: Mutex<HashMap<String, Enrolled>>,
    clock: Box<dyn Clock>,
}

pub(crate) fn app(clock: impl Clock + Clone) -> Result<(Router, StepUp), Box<dyn std::error::Error>> {
    let step_up = StepUp::builder().proof("TOTP").clock(clock.clone()).build()?;
    let by_totp = RequireStepUp::with(&step_up, Requirement::new().channels(["TOTP"]))?;
    let users = Mutex::new(HashMap::from([("alice".into(), enrol()?), ("bob".into(), enrol()?)]));
    let app = Arc::new(App { step_up: step_up.clone(), users, clock: Box::new(clock) });
    let router = Router::new()
        .route("/transfers", post(async || "paid\n"))
        .route_layer(by_totp)
        .route("/totp", post(verify))
        .route("/simulate/phone", get(phone))
        .layer(from_fn(local::authenticate))
        .with_state(app);
    Ok((router, step_up))
}

/// A secret of 160 random bits (RFC 4226 §4). A real app shows it as a QR code, once.
fn enrol() -> Result<Enrolled, Box<dyn std::error::Error>> {
    let mut secret = [0; 20];
    getrandom::fill(&mut secret)?;
    let totp = Builder::new().with_secret(Secret::new(Box::new(secret))).build()?;
    Ok(Enrolled { totp, last_step: 0, failures: 0 })
}

#[derive(Deserialize)]
struct Given {
    code: String,
}

async fn verify(
    State(app): State<Arc<App>>,
    LoggedIn(caller): LoggedIn,
    Json(given): Json<Given>,
) -> Result<StatusCode, StatusCode> {
    match app.take(caller.subject(), &given.code) {
        Taken::Yes => {}
        Taken::No { and_lock: false } => return Err(StatusCode::CONFLICT),
        Taken::No { and_lock: true } => {
            // No step-up of this user passes, by any channel, until the app calls `unlock` and resets the failures.
            // If the store is unavailable, the app's count still applies.
            let _ = app.step_up.lock(caller.subject()).await;
            return Err(StatusCode::FORBIDDEN);
        }
    }
    // The code is consumed even if this fails: the user waits for the next one.
    match app.step_up.record_proof(&caller, Proof::new("TOTP")).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(ProofError::Locked) => Err(StatusCode::FORBIDDEN),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

enum Taken {
    Yes,
    No { and_lock: bool },
}

impl App {
    /// Accepts a code, or counts a failure; of concurrent requests with the same code, one is accepted. The library
    /// compares in constant time, and returns the time step of the code.
    fn take(&self, user: &str, code: &str) -> Taken {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(user) = users.get_mut(user) else { return Taken::No { and_lock: false } };
        if user.failures >= TRIES {
            return Taken::No { and_lock: true }; // without comparing
        }
        match user.totp.check(code, self.clock.now().as_millis() / 1000) {
            Some(step) if step > user.last_step => {
                (user.last_step, user.failures) = (step, 0);
                Taken::Yes
            }
            _ => {
                user.failures += 1;
                Taken::No { and_lock: user.failures >= TRIES }
            }
        }
    }
}

/// Simulates the authenticator app on the user's phone: the current code.
async fn phone(State(app): State<Arc<App>>, LoggedIn(caller): LoggedIn) -> Result<String, StatusCode> {
    let users = app.users.lock().unwrap_or_else(PoisonError::into_inner);
    let user = users.get(caller.subject()).ok_or(StatusCode::NOT_FOUND)?;
    Ok(user.totp.generate(app.clock.now().as_millis() / 1000).to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(local::serve(app(tower_step_up::SystemClock)?.0, TRY).await?)
}

const TRY: &str = r#"
totp() { curl -i -H "$ALICE" -H "$JSON" $APP/totp -d '{"code":"'$1'"}'; }
curl -X POST -H "$ALICE" $APP/transfers; echo  # 403: missing, and the channel is a proof: the app's own
CODE=$(curl -s -H "$ALICE" $APP/simulate/phone)
totp $CODE                                     # 204
curl -X POST -H "$ALICE" $APP/transfers        # paid
totp $CODE                                     # 409: a code is taken once. After five of these: 403, locked
"#;
