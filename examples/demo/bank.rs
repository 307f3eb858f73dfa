//! A small bank before the step-up: users and logins, accounts, transfers, a card.
//!
//! The code for tower-step-up is marked with a plus (`// +`), here and in the other files of this folder.

#[path = "phones.rs"]
mod phones;
#[path = "plain.rs"]
mod plain;
#[path = "reply.rs"]
mod reply;
#[cfg_attr(feature = "redis", path = "shared.rs")]
#[cfg_attr(not(feature = "redis"), path = "alone.rs")]
mod shared;
#[path = "site.rs"]
mod site;
#[path = "users.rs"]
mod users;

use std::{error::Error, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{State, rejection::JsonRejection},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{from_fn_with_state, map_response},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::csrf::CsrfLayer;
use tower_step_up::{
    Binding, Caller, Clock, ConfigError, MemoryStore, Page, RequireStepUp, Requirement, Secret, StepUp, Store,
};

use self::{
    reply::Problem,
    users::{Account, LoggedIn, Users},
};

#[derive(Clone)]
struct Bank {
    users: Users,
    step_up: StepUp, // +
}

/// The bank, in one process.
pub(crate) fn app(clock: impl Clock) -> Router {
    build(clock, Users::default(), MemoryStore::new()).expect("names, paths and ages are valid constants")
}

/// One of several banks that share their logins and step-ups in Redis (feature `redis`).
#[allow(dead_code, reason = "tests of the bank alone have no Redis")]
pub(crate) fn app_on(clock: impl Clock, redis: &str) -> Result<Router, Box<dyn Error>> {
    let (shared, store) = shared::open(redis)?;
    Ok(build(clock, Users::shared(shared), store)?)
}

/// + All demos on one Redis need the same secrets. Real secrets are random and not in the source.
fn secret(of: u8) -> Secret {
    Secret::new([of; 32]).expect("a secret of 32 bytes is long enough")
}

fn build(clock: impl Clock, users: Users, store: impl Store) -> Result<Router, ConfigError> {
    // + The step-up. The sandbox sends nothing, and its code is always 123456: never use it outside development. A
    //   real bank passes its senders instead of `discard`.
    let step_up = StepUp::builder()
        .sandbox()
        .clock(clock)
        .otp("SMS", tower_step_up::discard)
        .push("BIOMETRIC", tower_step_up::discard)
        .enrollment(users.clone())
        .public_path("/stepup/challenges")
        .store(store)
        .record_key(secret(1))
        .secret(secret(2))
        .build()?;

    let bank = Bank { users, step_up };

    // + The requirements of the routes. A transfer: a step-up of the last two minutes.
    let any = RequireStepUp::new(&bank.step_up);
    let fresh = Requirement::new().max_age(Duration::from_secs(2 * 60));
    let fresh = RequireStepUp::with(&bank.step_up, fresh)?;
    // + A payout: a step-up bound to this payout, which consumes it. The body is axum's type and keeps its trailers.
    let of_payouts = Binding::new(Binding::uri_as_received, describe_payout);
    let this_payout = |guard: RequireStepUp| guard.bind(of_payouts.clone()).rebuild_with(Body::new);
    // + Where people navigate, the guard leads them to a page on which they step up, and back.
    let with_page = |guard: &RequireStepUp| guard.clone().page(Binding::uri_as_received);

    let guarded = Router::new()
        .route("/cards/1", get(card))
        // + 403 until the session has stepped up. Each of these guards only the routes above it.
        .route_layer(any.clone())
        .route_layer(with_page(&any)?.when(navigates))
        .merge(Router::new().route("/transfers", post(transfer)).route_layer(fresh.clone()))
        .merge(Router::new().route("/payouts", post(payout)).route_layer(this_payout(any.clone())));

    let plain = Router::new()
        .merge(Router::new().route("/transfers/form", post(plain::pay)).route_layer(with_page(&fresh)?))
        .merge(Router::new().route("/payouts/form", post(plain::pay)).route_layer(this_payout(with_page(&any)?)))
        .route("/login/form", get(plain::login_form).post(plain::login))
        .route("/logout/form", post(plain::logout))
        .route("/transfers/form", get(plain::forms))
        .route("/phone", get(plain::phone));

    Ok(Router::new()
        .route("/healthz", get(healthz))
        .route("/login", post(users::login))
        .route("/logout", post(users::logout))
        .route("/accounts", get(accounts))
        .route("/authentication_factors/otp/{channel}", post(phones::enrol))
        .route("/authentication_factors/otp/{channel}/verify", post(phones::confirm))
        .route("/simulate/push/{id}/accept", post(phones::accept))
        .route("/simulate/push/{id}/decline", post(phones::decline))
        .merge(guarded)
        .merge(plain)
        // + The challenge endpoints: outside the guard, inside the authentication. With the page that steps up.
        .nest_service("/stepup/challenges", bank.step_up.challenges().with_page(Page::new().title("Small Bank"))?)
        .layer(from_fn_with_state(bank.clone(), users::authenticate))
        .merge(site::routes())
        .layer(map_response(no_store))
        // Refuses cross-site requests, because a browser sends the session cookie by itself. The page's forms check that
        // themselves: a browser without `Sec-Fetch-Site` sends them with `Origin: null`.
        .layer(CsrfLayer::new().with_insecure_bypass(|_, uri| uri.path().starts_with("/stepup/challenges/page/")))
        .with_state(bank))
}

// + Whether a browser goes to another page, and no script asks.
fn navigates(request: &Parts) -> bool {
    request.headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
}

impl Bank {
    /// What is left on the current account.
    async fn balance(&self, caller: &Caller) -> Result<String, Problem> {
        let sent = self.users.with(caller.subject(), |account| account.cents_sent).await?;
        let left = 1_250_000_u64.saturating_sub(sent);
        Ok(format!("{}.{:02}", left / 100, left % 100))
    }
}

/// `GET /healthz`: whether guarded requests can be served.
async fn healthz(State(bank): State<Bank>) -> Result<Json<Value>, Problem> {
    bank.step_up.ping().await.map_err(|_| Problem::unavailable())?;
    Ok(Json(json!({ "status": "ok" })))
}

/// `GET /accounts`: a login is enough.
async fn accounts(State(bank): State<Bank>, LoggedIn(caller): LoggedIn) -> Result<Json<Value>, Problem> {
    let balance = bank.balance(&caller).await?;
    Ok(Json(json!({ "user": caller.subject(), "accounts": [
        { "id": "1", "name": "Current account", "balance": balance, "currency": "EUR" },
        { "id": "2", "name": "Savings", "balance": "48000.00", "currency": "EUR" },
    ] })))
}

#[derive(Deserialize)]
struct Transfer {
    to: String,
    amount: Value,
}

/// `POST /transfers`: guarded, by a step-up no older than two minutes.
async fn transfer(
    bank: State<Bank>,
    caller: LoggedIn,
    transfer: Result<Json<Transfer>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    send(bank, caller, transfer?).await
}

/// `POST /payouts`: guarded by a step-up bound to this request, which consumes it.
async fn payout(
    bank: State<Bank>,
    LoggedIn(caller): LoggedIn,
    payout: Result<Json<Transfer>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let grant = caller.grant().cloned();
    let sent = match payout {
        Ok(payout) => send(bank, LoggedIn(caller), payout).await,
        Err(rejection) => Err(rejection.into()),
    };
    // + Nothing was paid, so the step-up is restored. After any other error a payment may have been made.
    if let (Err(problem), Some(grant)) = (&sent, grant)
        && problem.is_of_the_request()
    {
        let _ = grant.restore().await;
    }
    sent
}

// + The text that the user approves: recipient and amount of the payout. Two payouts with the same text have different
//   bindings if the bytes of their requests differ.
fn describe_payout(request: &Parts, body: &[u8]) -> Option<String> {
    if request.method != Method::POST {
        return Some("Ask for payouts".into()); // no handler reads it
    }
    let is_form = request.uri.path().ends_with("/form");
    let payment = if is_form { plain::payment(body) } else { serde_json::from_slice(body).ok() };
    let Transfer { to, amount } = payment?;
    let cents = cents(&amount)?;
    is_payee(&to).then(|| format!("Pay {}.{:02} EUR to {to}", cents / 100, cents % 100))
}

fn is_payee(to: &str) -> bool {
    !to.trim().is_empty() && to.len() <= 128
}

async fn send(
    State(bank): State<Bank>,
    LoggedIn(caller): LoggedIn,
    Json(Transfer { to, amount }): Json<Transfer>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if to.trim().is_empty() {
        return Err(Problem::invalid("to", "HAS_TEXT"));
    }
    if to.len() > 128 {
        return Err(Problem::invalid("to", "SIZE"));
    }
    let cents = cents(&amount).ok_or_else(|| Problem::invalid("amount", "RANGE"))?;
    let id = users::random_id()?;
    let add = |account: &mut Account| account.cents_sent = account.cents_sent.saturating_add(cents);
    bank.users.with(caller.subject(), add).await?;
    // + The channel of the approval, for the records.
    let approved_by = caller.grant().map(tower_step_up::Grant::channel);
    let transfer = json!({ "id": id, "to": to, "amount": amount, "approvedBy": approved_by });
    Ok((StatusCode::CREATED, Json(transfer)))
}

/// The cents of an amount such as `10`, `10.5` or `"10.50"`; `None` for less than a cent or more than ten million.
fn cents(amount: &Value) -> Option<u64> {
    let text = match amount {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let is_number = |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    if !is_number(whole, 7) || !is_number(part, 2) {
        return None;
    }
    let cents = format!("{whole}{part:0<2}").parse().ok()?;
    (cents > 0).then_some(cents)
}

/// `GET /cards/1`: guarded. The number is reserved for tests by the card networks.
async fn card() -> Json<Value> {
    Json(json!({ "id": "1", "number": "4242424242424242", "expires": "12/30", "securityCode": "123" }))
}

/// Tokens and account data must not be cached.
async fn no_store(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
