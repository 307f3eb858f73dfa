//! The server: every variant on a route of its own, in one process, on one thread that is pinned to one core.

use std::{
    collections::HashMap,
    io::{self, BufWriter, Write},
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use axum::{Router, extract::Request, routing::get, serve::ListenerExt};
use cpu_time::ProcessTime;
use http::header::AUTHORIZATION;
use tokio::net::TcpListener;
use tower::{Service, layer::layer_fn, util::MapRequestLayer};
use tower_step_up::{Caller, Policy, RequireStepUp, StepUp, discard};

use crate::{
    machine,
    peers::{self, LIFETIME},
    random,
};

/// The argument that makes the process the server; the number of sessions, and of those that are requested, follow.
pub(crate) const COMMAND: &str = "serve";

/// Creates `sessions` of every kind, and prints the port and, in the order of `Known`, the headers by which `used` of
/// them are known, one a line. Then serves until the standard input ends, and answers every line there with the CPU
/// time that the process has used, in nanoseconds.
pub(crate) fn run(sessions: usize, used: usize) {
    machine::pin(machine::Side::Server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut headers = Headers { out: BufWriter::new(io::stdout()), every: sessions / used };
        writeln!(headers.out, "{}", listener.local_addr().unwrap().port()).unwrap();
        let app = Router::new()
            .route("/bare", get(handler))
            .merge(ours(sessions, &mut headers).await)
            .merge(peers::jwt::routes(sessions, &mut headers))
            .merge(peers::tower_sessions::routes(sessions, &mut headers).await)
            .merge(peers::axum_login::routes(sessions, &mut headers).await)
            .merge(peers::session_guard::routes(sessions, &mut headers).await);
        headers.out.flush().unwrap();
        drop(headers);
        thread::spawn(answer);
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        axum::serve(listener, app).await.unwrap();
    });
}

/// Answers every line of the standard input with the CPU time of the process, and ends the process with the input.
fn answer() {
    for _ in io::stdin().lines() {
        println!("{}", ProcessTime::now().as_duration().as_nanos());
    }
    std::process::exit(0);
}

/// Where the load learns by which headers the sessions are known.
pub(crate) struct Headers {
    out: BufWriter<io::Stdout>,
    every: usize,
}

impl Headers {
    /// Prints the header of the session if it is one of those that are requested. They are evenly spread, and printed
    /// as they are made, so that their memory is not between that of the sessions.
    pub(crate) fn print(&mut self, index: usize, header: std::fmt::Arguments<'_>) {
        if index.is_multiple_of(self.every) {
            writeln!(self.out, "{header}").unwrap();
        }
    }
}

/// What every route answers.
pub(crate) async fn handler() -> &'static str {
    "paid"
}

/// What the application knows about a token: the ids, in the usual length.
struct Login {
    user: String,
    session: String,
}

impl Login {
    fn caller(&self) -> Caller {
        Caller::user(&self.user).session(&self.session)
    }
}

/// `/noop` and `/guard`. The second half of the sessions is not stepped up.
async fn ours(sessions: usize, headers: &mut Headers) -> Router {
    let policy = Policy::new().grant_lifetime(LIFETIME);
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).policy(policy).build().unwrap();
    let mut logins = HashMap::with_capacity(2 * sessions);
    for index in 0..2 * sessions {
        let token = format!("{:043x}", random::number(index));
        let login = Login { user: format!("user-{index:031x}"), session: format!("session-{index:028x}") };
        if index < sessions {
            step_up.start_otp(&login.caller(), "SMS", None).await.unwrap();
            step_up.verify_otp(&login.caller(), "SMS", "123456").await.unwrap();
        }
        headers.print(index, format_args!("authorization: Bearer {token}"));
        logins.insert(token, login);
    }
    let logins = Arc::new(logins);
    let authenticate = MapRequestLayer::new(move |mut request: Request| {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if let Some(login) = token.and_then(|token| logins.get(token)) {
            let caller = login.caller();
            request.extensions_mut().insert(caller);
        }
        request
    });
    Router::new()
        .route("/noop", get(handler).layer(layer_fn(NoOp)))
        .route("/guard", get(handler).layer(RequireStepUp::new(&step_up)))
        .route_layer(authenticate)
}

/// A layer that does nothing.
#[derive(Clone)]
pub(crate) struct NoOp<S>(pub(crate) S);

impl<S: Service<R>, R> Service<R> for NoOp<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}
