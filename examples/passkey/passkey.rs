//! A passkey by webauthn-rs 0.6 as a step-up: run `cargo run -p passkey --example passkey` and open the printed
//! address.
//!
//! The app stores the passkeys, verifies the assertion and passes a proof to `StepUp::record_proof`. The user has no
//! secret to read out to somebody else, and the assertion is valid for this origin only: it is phishing-resistant,
//! which codes and approvals are not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Extension, Json, State};
use axum::{Router, http::StatusCode, middleware::from_fn, response::Html, routing::get, routing::post};
use tower_step_up::{Caller, Clock, Proof, ProofError, RequireStepUp, Requirement, StepUp, Timestamp, discard};
use webauthn_rs::prelude::{
    CreationChallengeResponse, Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, RequestChallengeResponse, Url, Uuid,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

#[path = "../support/local.rs"]
mod local;
use local::{LoggedIn, Session};

/// Time limit for a ceremony.
const CEREMONY: Duration = Duration::from_secs(5 * 60);

struct App {
    step_up: StepUp,
    webauthn: Webauthn,
    clock: Box<dyn Clock>,
    tables: Mutex<Tables>,
}

/// Tables that a real app has in its database.
#[derive(Default)]
struct Tables {
    users: HashMap<String, User>,
    registrations: HashMap<Session, (PasskeyRegistration, Timestamp)>,
    assertions: HashMap<Session, (PasskeyAuthentication, Timestamp)>,
}

struct User {
    id: Uuid,
    passkeys: Vec<Passkey>,
}

pub(crate) fn app(clock: impl Clock + Clone) -> Result<Router, Box<dyn std::error::Error>> {
    let step_up = StepUp::builder().sandbox().clock(clock.clone()).otp("SMS", discard).proof("PASSKEY").build()?;
    // A real app names its own origin, `https://bank.example`, and allows no other port.
    let webauthn = WebauthnBuilder::new("localhost", &Url::parse("http://localhost")?)?.allow_any_port(true).build()?;
    let by_passkey = RequireStepUp::with(&step_up, Requirement::new().channels(["PASSKEY"]))?;
    // Without this guard, an attacker with a stolen session could register their own passkey and step up with it.
    let to_register = Requirement::new().channels(["SMS", "PASSKEY"]).max_age(Duration::from_secs(5 * 60));
    let to_register = RequireStepUp::with(&step_up, to_register)?;
    let challenges = step_up.challenges();
    let app = Arc::new(App { step_up, webauthn, clock: Box::new(clock), tables: Mutex::default() });
    Ok(Router::new()
        .route("/passkeys/register", post(start_registration))
        .route("/passkeys/register/finish", post(finish_registration))
        .route_layer(to_register)
        .merge(Router::new().route("/transfers", post(async || "paid\n")).route_layer(by_passkey))
        .route("/passkeys/assert", post(start_assertion))
        .route("/passkeys/assert/finish", post(finish_assertion))
        .nest_service("/stepup/challenges", challenges)
        .layer(from_fn(local::authenticate))
        .route("/", get(async || Html(include_str!("page.html"))))
        .with_state(app))
}

impl App {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_time(&self, started: Timestamp) -> bool {
        self.clock.now().saturating_since(started) < CEREMONY
    }
}

async fn start_registration(
    State(app): State<Arc<App>>,
    LoggedIn(caller): LoggedIn,
    Extension(session): Extension<Session>,
) -> Result<Json<CreationChallengeResponse>, StatusCode> {
    let name = caller.subject();
    let mut tables = app.tables();
    let new = || User { id: Uuid::new_v4(), passkeys: Vec::new() };
    let user = tables.users.entry(name.into()).or_insert_with(new);
    let known = user.passkeys.iter().map(|passkey| passkey.cred_id().clone()).collect();
    let started = app.webauthn.start_passkey_registration(user.id, name, name, Some(known));
    let (options, state) = started.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    tables.registrations.insert(session, (state, app.clock.now()));
    Ok(Json(options))
}

async fn finish_registration(
    State(app): State<Arc<App>>,
    LoggedIn(caller): LoggedIn,
    Extension(session): Extension<Session>,
    Json(credential): Json<RegisterPublicKeyCredential>,
) -> Result<StatusCode, StatusCode> {
    let mut tables = app.tables();
    // Removed first: a challenge accepts one answer, correct or not.
    let (state, started) = tables.registrations.remove(&session).ok_or(StatusCode::CONFLICT)?;
    let registered = app.webauthn.finish_passkey_registration(&credential, &state);
    let passkey = registered.ok().filter(|_| app.in_time(started)).ok_or(StatusCode::CONFLICT)?;
    let mut known = tables.users.values().flat_map(|user| &user.passkeys);
    if known.any(|known| known.cred_id() == passkey.cred_id()) {
        return Err(StatusCode::CONFLICT); // already registered
    }
    let user = tables.users.get_mut(caller.subject()).ok_or(StatusCode::CONFLICT)?;
    user.passkeys.push(passkey);
    Ok(StatusCode::NO_CONTENT)
}

async fn start_assertion(
    State(app): State<Arc<App>>,
    LoggedIn(caller): LoggedIn,
    Extension(session): Extension<Session>,
) -> Result<Json<RequestChallengeResponse>, StatusCode> {
    let mut tables = app.tables();
    let passkeys = tables.users.get(caller.subject()).map_or(&[][..], |user| &user.passkeys);
    if passkeys.is_empty() {
        return Err(StatusCode::CONFLICT); // none is registered
    }
    let started = app.webauthn.start_passkey_authentication(passkeys);
    let (options, state) = started.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    tables.assertions.insert(session, (state, app.clock.now()));
    Ok(Json(options))
}

async fn finish_assertion(
    State(app): State<Arc<App>>,
    LoggedIn(caller): LoggedIn,
    Extension(session): Extension<Session>,
    Json(credential): Json<PublicKeyCredential>,
) -> Result<StatusCode, StatusCode> {
    app.verify(&caller, &session, &credential).ok_or(StatusCode::CONFLICT)?;
    // No failures are counted: a signature cannot be guessed, and each attempt needs a new challenge.
    match app.step_up.record_proof(&caller, Proof::new("PASSKEY")).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(ProofError::Locked) => Err(StatusCode::FORBIDDEN),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

impl App {
    /// webauthn-rs checks challenge, origin, signature, user verification and counter; this function checks that the
    /// challenge belongs to this session and is answered in time and only once.
    fn verify(&self, caller: &Caller, session: &Session, credential: &PublicKeyCredential) -> Option<()> {
        let mut tables = self.tables();
        let (state, started) = tables.assertions.remove(session)?;
        let verified = self.webauthn.finish_passkey_authentication(credential, &state).ok()?;
        let user = tables.users.get_mut(caller.subject()).filter(|_| self.in_time(started))?;
        // Store the counter to detect a copy of the authenticator. A passkey removed in the meantime is not accepted.
        user.passkeys.iter_mut().find_map(|passkey| passkey.update_credential(&verified)).map(drop)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(local::serve(app(tower_step_up::SystemClock)?, TRY).await?)
}

const TRY: &str = r#"
# A passkey needs a browser: open the address, with localhost in place of 127.0.0.1. What goes without one:
curl -X POST -H "$ALICE" $APP/transfers; echo           # 403: missing, and the channel is a proof: the app's own
curl -X POST -H "$ALICE" $APP/passkeys/register; echo   # 403: to register one takes a step-up by another channel
curl -X POST -H "$ALICE" $APP/stepup/challenges/otp/SMS
curl -H "$ALICE" -H "$JSON" $APP/stepup/challenges/otp/SMS/verify -d '{"verificationCode":"123456"}'
curl -X POST -H "$ALICE" $APP/passkeys/register; echo   # the options for navigator.credentials.create
curl -X POST -H "$ALICE" $APP/transfers; echo           # 403: wrong_channel
"#;
