//! A bank in process, a service that counts what passes, and a prompt made of a closure.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_step_up::ManualClock;
use tower_step_up_client::{
    BoxError, Challenges, Error, Prompt, PromptError, Requirement, ResponseBody, StepUpClient, StepUpService,
};

use crate::bank;

pub(crate) const CODE: &str = "123456";

/// A request that reached the bank, and its status.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) status: StatusCode,
}

/// The demo's bank, and everything that reached it.
#[derive(Clone)]
pub(crate) struct Bank {
    pub(crate) router: Router,
    pub(crate) clock: ManualClock,
    pub(crate) passed: Arc<Mutex<Vec<Passed>>>,
}

impl Bank {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        // A client compares the age of a grant with its own clock.
        clock.set(SystemTime::now().into());
        Self::of(bank::app(clock.clone()), clock)
    }

    pub(crate) fn of(router: Router, clock: ManualClock) -> Self {
        Self { router, clock, passed: Arc::default() }
    }

    /// Logs in; returns the token.
    pub(crate) async fn login(&self, name: &str) -> String {
        let credentials = json!({ "username": name, "password": name }).to_string();
        let request = Request::post("/login").header("content-type", "application/json");
        let response = self.router.clone().oneshot(request.body(Body::from(credentials)).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()["token"].as_str().expect("a token").to_owned()
    }

    /// The user's phone.
    pub(crate) async fn phone(&self, id: &str, answer: &str) {
        let request = Request::post(format!("/simulate/push/{id}/{answer}")).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }

    /// How many requests of this line have reached the bank, with this status.
    pub(crate) fn count(&self, line: &str, status: u16) -> usize {
        let is = |passed: &&Passed| format!("{} {}", passed.method, passed.path) == line && passed.status == status;
        self.passed.lock().unwrap().iter().filter(is).count()
    }

    /// Waits until as many have.
    pub(crate) async fn reached(&self, times: usize, line: &str, status: u16) {
        until(|| self.count(line, status) >= times).await;
    }

    /// The lines of all that has reached the bank.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |Passed { method, path, status, .. }: &Passed| format!("{method} {path} {}", status.as_u16());
        self.passed.lock().unwrap().iter().map(line).collect()
    }
}

/// Lets other tasks run until this is so.
pub(crate) async fn until(is: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if is() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never is");
}

impl Service<Request<Full<Bytes>>> for Bank {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let Self { router, passed, .. } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let (method, headers) = (parts.method.clone(), parts.headers.clone());
            let path = parts.uri.path().to_owned();
            let response = router.oneshot(Request::from_parts(parts, Body::from(body.clone()))).await?;
            let status = response.status();
            passed.lock().unwrap().push(Passed { method, path, headers, body, status });
            Ok(response)
        })
    }
}

/// A prompt made of a closure. It counts how often it is called.
pub(crate) struct Ask<F> {
    step_up: F,
    /// What it says to a step-up that was consumed.
    spent: bool,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) confirmations: Arc<Mutex<Vec<Option<SystemTime>>>>,
}

impl<F, Fut> Ask<F>
where
    F: Fn(Requirement, Challenges) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), PromptError>> + Send,
{
    pub(crate) fn new(step_up: F) -> Self {
        Self { step_up, spent: false, calls: Arc::default(), confirmations: Arc::default() }
    }

    pub(crate) fn again_if_spent(self) -> Self {
        Self { spent: true, ..self }
    }
}

impl<F, Fut> Prompt for Ask<F>
where
    F: Fn(Requirement, Challenges) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), PromptError>> + Send,
{
    async fn prompt(&self, requirement: &Requirement, challenges: &Challenges) -> Result<(), PromptError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.step_up)(requirement.clone(), challenges.clone()).await
    }

    async fn confirm_spent(&self, spent_at: Option<SystemTime>, _: &Requirement) -> bool {
        self.confirmations.lock().unwrap().push(spent_at);
        self.spent
    }
}

/// Steps up by a code. Another code can be started 15 seconds later, which pass before.
pub(crate) async fn by_code(clock: ManualClock, challenges: Challenges) -> Result<(), PromptError> {
    clock.advance(Duration::from_secs(15));
    challenges.start("SMS").await?;
    Ok(challenges.verify("SMS", CODE).await?)
}

/// A prompt that steps up by a code.
pub(crate) fn code_prompt(
    bank: &Bank,
) -> Ask<impl Fn(Requirement, Challenges) -> BoxFuture<'static, Result<(), PromptError>> + Send + Sync + use<>> {
    let clock = bank.clock.clone();
    Ask::new(move |_, challenges| Box::pin(by_code(clock.clone(), challenges)) as BoxFuture<'static, _>)
}

pub(crate) fn client<P: Prompt>(bank: &Bank, prompt: P) -> StepUpService<Bank, P> {
    StepUpClient::new(prompt).layer(bank.clone())
}

/// A guarded request of this login.
pub(crate) fn post(path: &str, token: &str, amount: u32) -> Request<Full<Bytes>> {
    let body = json!({ "to": "bob", "amount": amount }).to_string();
    let request = Request::post(path).header("content-type", "application/json");
    request.header("authorization", format!("Bearer {token}")).body(Full::new(body.into())).unwrap()
}

pub(crate) type Answer = Result<(u16, Value), Error>;

/// Sends a request; returns the status and the body.
pub(crate) async fn send<S, P, B>(client: &StepUpService<S, P>, request: Request<Full<Bytes>>) -> Answer
where
    P: Prompt,
    S: Clone,
    StepUpService<S, P>: Service<Request<Full<Bytes>>, Response = Response<ResponseBody<B>>, Error = Error>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let response = client.clone().oneshot(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Error::Inner)?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}
