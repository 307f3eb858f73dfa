//! A client of one app: it asks, and holds every answer of the companion and the guard to the rules that have no
//! exception.

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

/// Where the demo, and every further app of these tests, mounts the companion.
pub(crate) const COMPANION: &str = "/stepup/challenges";
/// The code of the sandbox.
pub(crate) const RIGHT: &str = "123456";
pub(crate) const WRONG: &str = "000000";
/// When these tests begin, in milliseconds since the epoch.
pub(crate) const DAWN: u64 = 1_800_000_000_000;
/// What is guarded: by the demo, and by the apps in `vault_app.rs`.
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

/// A request in the making.
#[must_use]
pub(crate) struct Ask {
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
    clock.set(Timestamp::from_millis(DAWN));
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

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask {
            app: self.clone(),
            method: self::method(method),
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Body::empty(),
        }
    }

    /// Logs a user of the demo in; the password is the name.
    pub(crate) async fn login(&self, user: &str) -> Session {
        let answer = self.ask("POST", "/login").json(json!({"username": user, "password": user}).to_string()).send();
        let answer = answer.await;
        assert_eq!(answer.status, StatusCode::OK, "login of {user}");
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        Session { app: self.clone(), token }
    }

    /// A session of an app in `vault_app.rs`, whose token says who it is.
    pub(crate) fn session(&self, user: &str, session: &str) -> Session {
        Session { app: self.clone(), token: format!("{user}/{session}") }
    }

    fn house_rules(&self, path: &str, answer: &Answer) {
        let path = path.split('?').next().expect("a path");
        let refused = matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if !(path.starts_with(COMPANION) || GUARDED.contains(&path) && refused) {
            return;
        }
        let shown = format!("{path}: {answer:?}");
        assert_eq!(answer.header(CACHE_CONTROL), "no-store", "{shown}");
        assert_eq!(answer.header("x-stepup-sandbox"), if self.sandbox { "true" } else { "" }, "{shown}");
        let reference = answer.header("request-ref");
        assert!(reference.len() >= 8, "request-ref is a random id: {shown}");
        assert!(self.refs.lock().unwrap().insert(reference), "request-ref is fresh: {shown}");
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
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        self.app.ask(method, path).header("authorization", &format!("Bearer {}", self.token))
    }

    /// Asks the companion; the path is relative to it, as in the contract.
    pub(crate) fn companion(&self, method: &str, path: &str) -> Ask {
        self.ask(method, &format!("{COMPANION}{path}"))
    }

    pub(crate) async fn start(&self) -> Answer {
        self.companion("POST", "/otp/SMS").send().await
    }

    pub(crate) async fn verify(&self, code: &str) -> Answer {
        self.verify_with(json!({"verificationCode": code}).to_string()).await
    }

    pub(crate) async fn verify_with(&self, body: impl Into<Bytes>) -> Answer {
        self.companion("POST", "/otp/SMS/verify").json(body).send().await
    }

    /// Starts a push that must succeed.
    pub(crate) async fn push(&self) -> String {
        let answer = self.companion("POST", "/push/BIOMETRIC").send().await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn poll(&self, id: &str) -> Answer {
        self.companion("GET", &format!("/push/BIOMETRIC/{id}")).send().await
    }

    /// Answers a push of the demo as the phone would.
    pub(crate) async fn phone(&self, id: &str, answer: &str) -> Answer {
        self.ask("POST", &format!("/simulate/push/{id}/{answer}")).send().await
    }

    pub(crate) async fn status(&self) -> Answer {
        self.companion("GET", "").send().await
    }

    pub(crate) async fn drop_elevation(&self) -> Answer {
        self.companion("DELETE", "").send().await
    }

    pub(crate) async fn logout(&self) -> Answer {
        self.ask("POST", "/logout").send().await
    }

    pub(crate) async fn transfer(&self) -> Answer {
        self.ask("POST", "/transfers").json(r#"{"to":"DE02120300000000202051","amount":10}"#).send().await
    }

    pub(crate) async fn card(&self) -> Answer {
        self.ask("GET", "/cards/1").send().await
    }

    /// What is guarded in the apps of `vault_app.rs`.
    pub(crate) async fn vault(&self) -> Answer {
        self.ask("GET", "/vault").send().await
    }

    /// Starts and verifies a code of the sandbox.
    pub(crate) async fn step_up(&self) {
        assert_eq!(self.start().await.says(), "204");
        assert_eq!(self.verify(RIGHT).await.says(), "204");
    }
}

impl Ask {
    /// Appends a header; the same name may come twice.
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
        self.app.house_rules(&self.path, &answer);
        answer
    }
}

impl Answer {
    /// The one value of a header, or nothing.
    pub(crate) fn header(&self, name: impl AsRef<str>) -> String {
        let name = name.as_ref();
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().expect("text"));
        assert!(values.next().is_none(), "{name} stands once: {self:?}");
        value.to_owned()
    }

    pub(crate) fn seconds(&self, name: &str) -> u64 {
        let value = self.header(name);
        value.parse().unwrap_or_else(|_| panic!("{name} is whole seconds: {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON: {self:?}"))
    }

    pub(crate) fn json_or_null(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The answer in one line: the status; then its `errorCode` (or the `status` of a body) and `reason`; then
    /// `x-ratelimit-limit` and `Retry-After`. Only what is there. The contract names no `errorCode` for a 429.
    pub(crate) fn says(&self) -> String {
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

    /// Everything that a client could tell two answers apart by.
    pub(crate) fn bytes(&self) -> (StatusCode, Vec<(String, Vec<u8>)>, Bytes) {
        let own = |name: &str| name == "request-ref" || name == "date";
        let headers = self.headers.iter().filter(|(name, _)| !own(name.as_str()));
        let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        headers.sort();
        (self.status, headers, self.body.clone())
    }

    /// Whether a text stands anywhere in it, but for `request-ref`, where chance puts the short ones.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let inside = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        let mut headers = self.headers.iter().filter(|(name, _)| *name != "request-ref");
        inside(&self.body) || headers.any(|(_, value)| inside(value.as_bytes()))
    }
}
