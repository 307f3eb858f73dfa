//! Shared code of the small examples: authentication, and a server on this machine.

use std::{
    env,
    io::{self, Write},
};

use axum::{
    Router,
    extract::{FromRequestParts, Request},
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
    middleware::Next,
    response::Response,
};
use tokio::net::TcpListener;
use tower_step_up::Caller;

/// `authorization: Bearer alice-1` is alice in her session 1. A real app verifies a token here.
pub(crate) async fn authenticate(mut request: Request, next: Next) -> Response {
    if let Some((session, caller)) = caller(&request) {
        request.extensions_mut().insert(session);
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// The id of the session, as a key for the app's own data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Session(Box<str>);

fn caller(request: &Request) -> Option<(Session, Caller)> {
    let mut values = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
    let (user, session) = token.rsplit_once('-')?;
    session.parse::<u32>().ok().map(|_| (Session(token.into()), Caller::user(user).session(token)))
}

/// The logged-in user; 401 without a login.
#[allow(dead_code, reason = "where a handler asks for it")]
pub(crate) struct LoggedIn(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for LoggedIn {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().cloned().map(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// Serves on 127.0.0.1:3000, or on `EXAMPLE_ADDR`, and prints commands to try.
pub(crate) async fn serve(app: Router, what_to_try: &str) -> io::Result<()> {
    let address = env::var("EXAMPLE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(&address).await.map_err(|error| {
        let hint = format!("{address}: {error}; EXAMPLE_ADDR=127.0.0.1:0 takes any free port");
        io::Error::new(error.kind(), hint)
    })?;
    let address = listener.local_addr()?;
    let mut out = io::stdout();
    // Ignore a closed stdout: the server keeps running.
    let _ = write!(
        out,
        "listening on http://{address}\n\n\
         # Paste these lines into a shell, one by one.\n\
         APP=http://{address}; ALICE='authorization: Bearer alice-1'; JSON='content-type: application/json'\n\
         {what_to_try}"
    );
    let _ = out.flush();
    axum::serve(listener, app).await
}
