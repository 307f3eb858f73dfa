//! A client of one app. It checks every response of the challenge endpoints and the guard for the headers and fields
//! that have no exception.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_step_up::{ManualClock, Timestamp};

use crate::bank;

/// Path of the challenge endpoints in the demo and in every other app of these tests.
pub(crate) const CHALLENGES: &str = "/stepup/challenges";
/// The code that the sandbox accepts.
pub(crate) const RIGHT: &str = "123456";
pub(crate) const WRONG: &str = "000000";
/// Time at the start of a test, in milliseconds since the epoch.
pub(crate) const START: u64 = 1_800_000_000_000;
/// Guarded paths of the demo and of the apps in `vault_app.rs`.
const GUARDED: [&str; 4] = ["/transfers", "/payouts", "/cards/1", "/vault"];

#[derive(Clone)]
pub(crate) struct App {
    router: Router,
    clock: ManualClock,
    sandbox: bool,
    refs: Arc<Mutex<HashSet<String>>>,
}

/// One logged-in session of one user.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) app: App,
    pub(crate) token: String,
}

/// Builds a request.
#[must_use]
pub(crate) struct RequestBuilder {
    app: App,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) fn clock() -> ManualClock {
    let clock = ManualClock::new();
    clock.set(Timestamp::from_millis(START));
    clock
}

pub(crate) fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

impl App {
    /// The demo's bank.
    pub(crate) fn demo() -> Self {
        let clock = clock();
        Self::over(bank::app(clock.clone()), clock, true)
    }

    pub(crate) fn over(router: Router, clock: ManualClock, sandbox: bool) -> Self {
        Self { router, clock, sandbox, refs: Arc::default() }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn wait_millis(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        RequestBuilder {
            app: self.clone(),
            method: self::method(method),
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Body::empty(),
        }
    }

    /// Logs in a user of the demo; the password is the name.
    pub(crate) async fn login(&self, user: &str) -> Session {
        let answer =
            self.request("POST", "/login").json(json!({"username": user, "password": user}).to_string()).send();
        let answer = answer.await;
        assert_eq!(answer.status, StatusCode::OK, "login of {user}");
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        Session { app: self.clone(), token }
    }

    /// A session of an app in `vault_app.rs`, whose token contains user and session.
    pub(crate) fn session(&self, user: &str, session: &str) -> Session {
        Session { app: self.clone(), token: format!("{user}/{session}") }
    }

    fn check_invariants(&self, path: &str, answer: &Answer) {
        let path = path.split('?').next().expect("a path");
        let refused = matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if !(path.starts_with(CHALLENGES) || GUARDED.contains(&path) && refused) {
            return;
        }
        let shown = format!("{path}: {answer:?}");
        assert_eq!(answer.header(CACHE_CONTROL), "no-store", "{shown}");
        assert_eq!(answer.header("x-stepup-sandbox"), if self.sandbox { "true" } else { "" }, "{shown}");
        let reference = answer.header("request-ref");
        assert!(reference.len() >= 8, "request-ref is too short: {shown}");
        assert!(self.refs.lock().unwrap().insert(reference), "request-ref is not unique: {shown}");
        if !answer.body.is_empty() {
            let kind = answer.header(CONTENT_TYPE);
            assert!(kind == "application/json" || kind.starts_with("application/json;"), "{shown}");
            assert!(answer.json().is_object(), "{shown}");
        }
        match answer.status.as_u16() {
            204 => assert!(answer.body.is_empty(), "{shown}"),
            401 => assert_eq!(answer.header(WWW_AUTHENTICATE), "StepUpSession", "{shown}"),
            429 => {
                assert!(!answer.header("x-ratelimit-limit").is_empty(), "{shown}");
                assert!(answer.seconds("x-ratelimit-reset") > 0, "{shown}");
                assert!(answer.seconds("retry-after") > 0, "{shown}");
            }
            500.. => assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{shown}"),
            _ => {}
        }
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(answer.seconds("retry-after") > 0, "{shown}");
        }
    }
}

impl Session {
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.app.request(method, path).header("authorization", &format!("Bearer {}", self.token))
    }

    /// A request to a challenge endpoint; the path is relative, as in the contract.
    pub(crate) fn challenge(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, &format!("{CHALLENGES}{path}"))
    }

    pub(crate) async fn start(&self) -> Answer {
        self.challenge("POST", "/otp/SMS").send().await
    }

    pub(crate) async fn verify(&self, code: &str) -> Answer {
        self.verify_with(json!({"verificationCode": code}).to_string()).await
    }

    pub(crate) async fn verify_with(&self, body: impl Into<Bytes>) -> Answer {
        self.challenge("POST", "/otp/SMS/verify").json(body).send().await
    }

    /// Starts a push, which must succeed; returns its id.
    pub(crate) async fn push(&self) -> String {
        let answer = self.challenge("POST", "/push/BIOMETRIC").send().await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn poll(&self, id: &str) -> Answer {
        self.challenge("GET", &format!("/push/BIOMETRIC/{id}")).send().await
    }

    /// Answers a push of the demo, as the phone does.
    pub(crate) async fn phone(&self, id: &str, answer: &str) -> Answer {
        self.request("POST", &format!("/simulate/push/{id}/{answer}")).send().await
    }

    pub(crate) async fn status(&self) -> Answer {
        self.challenge("GET", "").send().await
    }

    pub(crate) async fn drop_elevation(&self) -> Answer {
        self.challenge("DELETE", "").send().await
    }

    pub(crate) async fn logout(&self) -> Answer {
        self.request("POST", "/logout").send().await
    }

    pub(crate) async fn transfer(&self) -> Answer {
        self.request("POST", "/transfers").json(r#"{"to":"DE02120300000000202051","amount":10}"#).send().await
    }

    pub(crate) async fn card(&self) -> Answer {
        self.request("GET", "/cards/1").send().await
    }

    /// The guarded route of the apps in `vault_app.rs`.
    pub(crate) async fn vault(&self) -> Answer {
        self.request("GET", "/vault").send().await
    }

    /// Starts and verifies a code of the sandbox.
    pub(crate) async fn step_up(&self) {
        assert_eq!(self.start().await.summary(), "204");
        assert_eq!(self.verify(RIGHT).await.summary(), "204");
    }
}

impl RequestBuilder {
    /// Appends a header; a name may be repeated.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(name, value.parse().expect("a header value"));
        self
    }

    pub(crate) fn no_token(mut self) -> Self {
        self.headers.remove(AUTHORIZATION);
        self
    }

    pub(crate) fn json(self, body: impl Into<Bytes>) -> Self {
        self.header("content-type", "application/json").body(Body::from(body.into()))
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().expect("a path");
        *request.headers_mut() = self.headers;
        let response = self.app.router.clone().oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        self.app.check_invariants(&self.path, &answer);
        answer
    }
}

impl Answer {
    /// The value of a header, empty if it is absent; it must not be repeated.
    pub(crate) fn header(&self, name: impl AsRef<str>) -> String {
        let name = name.as_ref();
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().expect("text"));
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        value.to_owned()
    }

    pub(crate) fn seconds(&self, name: &str) -> u64 {
        let value = self.header(name);
        value.parse().unwrap_or_else(|_| panic!("{name} is not in whole seconds: {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn json_or_null(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The response in one line: the status, then, if present, `errorCode` (or the `status` of the body), `reason`,
    /// `x-ratelimit-limit` and `Retry-After`. The contract names no `errorCode` for a 429.
    pub(crate) fn summary(&self) -> String {
        let mut words = vec![self.status.as_str().to_owned()];
        let json = self.json_or_null();
        if self.status != StatusCode::TOO_MANY_REQUESTS {
            let fields = ["errorCode", "status", "reason"];
            words.extend(fields.iter().filter_map(|field| json[*field].as_str()).map(str::to_owned));
        }
        words.extend([self.header("x-ratelimit-limit"), self.header(RETRY_AFTER)]);
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }

    /// Everything by which a client can distinguish two responses.
    pub(crate) fn bytes(&self) -> (StatusCode, Vec<(String, Vec<u8>)>, Bytes) {
        let own = |name: &str| name == "request-ref" || name == "date";
        let headers = self.headers.iter().filter(|(name, _)| !own(name.as_str()));
        let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        headers.sort();
        (self.status, headers, self.body.clone())
    }

    /// Whether a text occurs in the response, except in `request-ref`, which contains short texts by chance.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let inside = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        let mut headers = self.headers.iter().filter(|(name, _)| *name != "request-ref");
        inside(&self.body) || headers.any(|(_, value)| inside(value.as_bytes()))
    }
}
