//! The bank's own users and logins. Nothing here comes from tower-step-up but the [`Caller`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{FromRequestParts, Request, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts},
    middleware::Next,
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_step_up::Caller;

use super::{Bank, reply::Problem};

/// A login ends by itself after this time …
const LOGIN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// … and of users and of live logins there are at most this many: beyond it nobody can log in.
const LIMIT: usize = 100_000;

#[derive(Clone, Default)]
pub(super) struct Users(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    /// By token.
    logins: HashMap<String, (Caller, Instant)>,
    /// By name: everybody who has ever logged in.
    accounts: HashMap<String, Account>,
}

/// What the bank knows about a user.
#[derive(Clone, Default)]
pub(super) struct Account {
    pub(super) cents_sent: u64,
    pub(super) phone: Option<String>,
    pub(super) unconfirmed_phone: Option<String>,
}

impl Users {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a user in: the token.
    fn login(&self, name: &str) -> Result<String, Problem> {
        let token = random_id()?;
        let mut tables = self.tables();
        if tables.logins.len() >= LIMIT {
            tables.logins.retain(|_, (_, since)| since.elapsed() < LOGIN_LIFE);
        }
        let known = tables.accounts.contains_key(name);
        if tables.logins.len() >= LIMIT || !known && tables.accounts.len() >= LIMIT {
            return Err(Problem::unavailable());
        }
        tables.accounts.entry(name.to_owned()).or_default();
        // + Who is asking, for tower-step-up: the user, and this login of theirs.
        let caller = Caller::new(name, &token);
        tables.logins.insert(token.clone(), (caller, Instant::now()));
        Ok(token)
    }

    fn find(&self, token: &str) -> Option<Caller> {
        let tables = self.tables();
        let (caller, since) = tables.logins.get(token)?;
        (since.elapsed() < LOGIN_LIFE).then(|| caller.clone())
    }

    fn forget(&self, token: &str) {
        self.tables().logins.remove(token);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.tables().accounts.keys().cloned().collect()
    }

    /// Reads or changes what the bank knows about a user.
    pub(super) fn with<T>(&self, name: &str, f: impl FnOnce(&mut Account) -> T) -> Option<T> {
        self.tables().accounts.get_mut(name).map(f)
    }
}

/// 128 random bits.
pub(super) fn random_id() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Problem::unavailable())?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    username: String,
    password: String,
}

/// `POST /login`. The password is the name.
pub(super) async fn login(
    State(bank): State<Bank>,
    credentials: Result<Json<Credentials>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(Credentials { username, password }) = credentials?;
    let is_user = ["alice", "bob", "carol", "dave"].iter().any(|name| username.starts_with(name));
    if !is_user || username.len() > 64 || password != username {
        return Err(Problem::unauthorized("Wrong name or password"));
    }
    Ok(Json(json!({ "token": bank.users.login(&username)? })))
}

/// `POST /logout`.
pub(super) async fn logout(
    State(bank): State<Bank>,
    LoggedIn(caller): LoggedIn,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    // + The elevation goes with the login.
    bank.step_up.revoke(&caller).await.map_err(|_| Problem::unavailable())?;
    if let Some(token) = bearer(&headers) {
        bank.users.forget(token);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Finds out who is asking. Everybody may pass: what needs a login says so itself.
pub(super) async fn authenticate(State(bank): State<Bank>, mut request: Request, next: Next) -> Response {
    if let Some(caller) = bearer(request.headers()).and_then(|token| bank.users.find(token)) {
        // + Guard and companion look for the caller here.
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// The token of the one `Authorization` header. Two are nobody's: proxies differ in which of them counts.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// A handler that takes this needs a login.
pub(super) struct LoggedIn(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for LoggedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().map(Self).ok_or_else(|| Problem::unauthorized("Log in first"))
    }
}
