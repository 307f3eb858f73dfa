//! The bank's own users and logins. Only the [`Caller`] comes from tower-step-up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{FromRequestParts, Request, State, rejection::JsonRejection},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{AUTHORIZATION, COOKIE, SET_COOKIE},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_step_up::Caller;

use super::{Bank, reply::Problem, shared::Shared};

/// Lifetime of a login.
pub(super) const LOGIN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Maximum number of users and of active logins; beyond it logins are refused.
const LIMIT: usize = 100_000;
/// The name of the session cookie.
const NAME: &str = "bank-session=";

/// Users and logins: in this process, or shared with other demos.
#[derive(Clone, Default)]
pub(super) struct Users {
    here: Arc<Mutex<Tables>>,
    shared: Option<Shared>,
}

#[derive(Default)]
struct Tables {
    /// By token.
    logins: HashMap<String, (Caller, Instant)>,
    /// By name: every user who has ever logged in.
    accounts: HashMap<String, Account>,
}

/// The bank's data about a user.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) cents_sent: u64,
    pub(super) phone: Option<String>,
    pub(super) unconfirmed_phone: Option<String>,
}

impl Users {
    pub(super) fn shared(shared: Shared) -> Self {
        Self { here: Arc::default(), shared: Some(shared) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a user in and returns the token.
    async fn login(&self, name: &str) -> Result<String, Problem> {
        let token = random_id()?;
        if let Some(shared) = &self.shared {
            shared.login(&token, name).await?;
            return Ok(token);
        }
        let mut tables = self.tables();
        if tables.logins.len() >= LIMIT {
            tables.logins.retain(|_, (_, since)| since.elapsed() < LOGIN_LIFE);
        }
        let known = tables.accounts.contains_key(name);
        if tables.logins.len() >= LIMIT || !known && tables.accounts.len() >= LIMIT {
            return Err(Problem::unavailable());
        }
        tables.accounts.entry(name.to_owned()).or_default();
        // + The caller for tower-step-up: the user and this login.
        let caller = Caller::user(name).session(&token);
        tables.logins.insert(token.clone(), (caller, Instant::now()));
        Ok(token)
    }

    async fn find(&self, token: &str) -> Result<Option<Caller>, Problem> {
        if let Some(shared) = &self.shared {
            return Ok(shared.find(token).await?.map(|name| Caller::user(name).session(token)));
        }
        let tables = self.tables();
        let login = tables.logins.get(token).filter(|(_, since)| since.elapsed() < LOGIN_LIFE);
        Ok(login.map(|(caller, _)| caller.clone()))
    }

    async fn forget(&self, token: &str) -> Result<(), Problem> {
        if let Some(shared) = &self.shared {
            shared.forget(token).await?;
        }
        self.tables().logins.remove(token);
        Ok(())
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, Problem> {
        match &self.shared {
            Some(shared) => Ok(shared.names().await?),
            None => Ok(self.tables().accounts.keys().cloned().collect()),
        }
    }

    /// Reads or changes the bank's data about a user.
    pub(super) async fn with<T>(&self, name: &str, f: impl FnOnce(&mut Account) -> T) -> Result<T, Problem> {
        match &self.shared {
            Some(shared) => Ok(shared.with(name, f).await?),
            None => Ok(f(self.tables().accounts.entry(name.to_owned()).or_default())),
        }
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
    pub(super) username: String,
    pub(super) password: String,
}

/// Checks a password, which is the name, and returns the token of a new login.
pub(super) async fn enter(bank: &Bank, Credentials { username, password }: Credentials) -> Result<String, Problem> {
    let is_user = ["alice", "bob", "carol", "dave"].iter().any(|name| username.starts_with(name));
    if !is_user || username.len() > 64 || password != username {
        return Err(Problem::unauthorized("Wrong name or password"));
    }
    bank.users.login(&username).await
}

/// A header of a response.
type SetCookie = [(HeaderName, String); 1];

/// The session cookie, for pages. A real bank adds `Secure`, and the prefix `__Host-` to its name.
pub(super) fn cookie(token: &str) -> SetCookie {
    [(SET_COOKIE, format!("{NAME}{token}; HttpOnly; SameSite=Lax; Path=/"))]
}

/// `POST /login`: the token is in the body for programs, and for a page of this origin in a cookie, too.
pub(super) async fn login(
    State(bank): State<Bank>,
    headers: HeaderMap,
    credentials: Result<Json<Credentials>, JsonRejection>,
) -> Result<(Option<SetCookie>, Json<Value>), Problem> {
    let token = enter(&bank, credentials?.0).await?;
    let is_page = headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    Ok((is_page.then(|| cookie(&token)), Json(json!({ "token": token }))))
}

/// `POST /logout`.
pub(super) async fn logout(
    State(bank): State<Bank>,
    LoggedIn(caller): LoggedIn,
    headers: HeaderMap,
) -> Result<(StatusCode, SetCookie), Problem> {
    // + The elevation ends with the login.
    bank.step_up.revoke(&caller).await.map_err(|_| Problem::unavailable())?;
    if let Some(token) = token(&headers) {
        bank.users.forget(token).await?;
    }
    Ok((StatusCode::NO_CONTENT, cookie("; Max-Age=0")))
}

/// Identifies the caller. Every request passes: handlers that need a login check it themselves.
pub(super) async fn authenticate(State(bank): State<Bank>, mut request: Request, next: Next) -> Response {
    let found = match token(request.headers()) {
        Some(token) => bank.users.find(token).await,
        None => Ok(None),
    };
    match found {
        // + Guards and challenge endpoints read the caller from here.
        Ok(Some(caller)) => drop(request.extensions_mut().insert(caller)),
        Ok(None) => {}
        Err(down) => return down.into_response(),
    }
    next.run(request).await
}

/// The token of a request: of its `Authorization` header, or else of its cookie.
fn token(headers: &HeaderMap) -> Option<&str> {
    if headers.contains_key(AUTHORIZATION) { bearer(headers) } else { of_cookie(headers) }
}

/// The token of the only session cookie.
fn of_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().strip_prefix(NAME));
    let (Some(token), None) = (tokens.next(), tokens.next()) else { return None };
    Some(token)
}

/// The token of the only `Authorization` header. Two are refused: proxies differ in which one they use.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// An extractor for handlers that need a login.
pub(super) struct LoggedIn(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for LoggedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().map(Self).ok_or_else(|| Problem::unauthorized("Log in first"))
    }
}
