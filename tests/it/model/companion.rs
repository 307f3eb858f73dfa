//! The challenge endpoints and guarded routes, called through tower; responses are summarized as lines. Several nodes
//! take turns.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{ServiceExt as _, service_fn};
use tower_step_up::{
    Caller, DeliveryError, ManualClock, OtpMessage, PushMessage, PushReply, PushReplyError, Recipient, RequireStepUp,
    Requirement, StepUp, StepUpBuilder,
};

use super::{
    command::{Channel, Guess, Post, Route, SESSIONS, Say},
    rules::Rules,
};

/// What the senders got last, and the results they report.
#[derive(Default)]
struct Outbox {
    post: Post,
    sent: Option<String>,
}

pub(crate) struct Companion {
    nodes: Vec<StepUp>,
    /// Number of requests, which selects the node.
    turn: AtomicUsize,
    pub(crate) clock: ManualClock,
    outbox: Arc<Mutex<Outbox>>,
    callers: Vec<Caller>,
    /// Every code given to a sender, by session.
    codes: HashMap<usize, Vec<String>>,
    /// Every push given to a sender: its id and its number.
    pushes: Vec<(String, String)>,
    rotations: usize,
}

fn caller(session: usize, users: usize, rotation: usize) -> Caller {
    Caller::user(format_args!("user {}", session % users)).session(format_args!("session {session}.{rotation}"))
}

impl Outbox {
    fn take(&mut self, sent: &str) -> Result<(), DeliveryError> {
        self.sent = Some(sent.to_owned());
        match self.post {
            Post::Arrives => Ok(()),
            Post::Fails => Err(DeliveryError::Failed),
            Post::NoSuchNumber => Err(DeliveryError::RecipientInvalid),
        }
    }
}

impl Companion {
    pub(crate) fn in_process(rules: Rules) -> Self {
        Self::new(rules, 1, |builder| builder.build().unwrap())
    }
}

impl Companion {
    /// With this many nodes, which share the clock.
    pub(crate) fn new(rules: Rules, nodes: usize, node: impl Fn(StepUpBuilder) -> StepUp) -> Self {
        let (clock, outbox) = (ManualClock::new(), Arc::<Mutex<Outbox>>::default());
        let text = || {
            let outbox = outbox.clone();
            move |message: OtpMessage| ready(outbox.lock().unwrap().take(message.code().expose()))
        };
        let push = || {
            let outbox = outbox.clone();
            move |message: PushMessage| ready(outbox.lock().unwrap().take(message.id()))
        };
        let builder = || {
            StepUp::builder()
                .otp(Channel::Sms.name(), text())
                .otp(Channel::Email.name(), text())
                .push(Channel::Biometric.name(), push())
                .push(Channel::Authy.name(), push())
                .enrollment(async |_: Caller, _: String| Ok(Recipient::new("the family's telephone")))
                .policy(rules.policy())
                .clock(clock.clone())
        };
        let nodes = (0..nodes).map(|_| node(builder())).collect();
        let callers = (0..SESSIONS).map(|session| caller(session, rules.users, 0)).collect();
        Self {
            nodes,
            turn: AtomicUsize::new(0),
            clock,
            outbox,
            callers,
            codes: HashMap::new(),
            pushes: Vec::new(),
            rotations: 0,
        }
    }

    /// The node whose turn it is.
    fn step_up(&self) -> &StepUp {
        &self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len()]
    }

    /// Calls a challenge endpoint; returns the summary of the response, and its body.
    async fn send(&self, session: usize, method: Method, path: &str, body: Value) -> (String, Value) {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert(CONTENT_TYPE, "application/json".parse().unwrap());
        request.extensions_mut().insert(self.callers[session].clone());
        let response = self.step_up().challenges().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        (line(parts.status, &parts.headers, &body), body)
    }

    pub(crate) async fn start(&mut self, session: usize, channel: Channel, payments: bool, post: Post) -> String {
        *self.outbox.lock().unwrap() = Outbox { post, sent: None };
        let kind = if channel.is_push() { "push" } else { "otp" };
        let scope = if payments { serde_json::json!({"scope": "payments"}) } else { Value::Null };
        let (mut line, body) = self.send(session, Method::POST, &format!("/{kind}/{}", channel.name()), scope).await;
        let Some(sent) = self.outbox.lock().unwrap().sent.take() else { return line };
        if channel.is_push() {
            assert!(!line.starts_with('2') || body["id"] == sent, "the sent id is the returned one");
            let number = body["number"].as_str().map(str::to_owned);
            line += number.as_ref().map_or("", |_| " number");
            self.pushes.push((sent, number.unwrap_or_else(|| "00".into())));
        } else {
            let codes = self.codes.entry(session).or_default();
            // The unsent code is the older of two: the other is restored.
            let place = codes.len().saturating_sub(usize::from(post != Post::Arrives));
            codes.insert(place, sent);
        }
        line
    }

    pub(crate) async fn verify(&self, session: usize, channel: Channel, guess: Guess) -> String {
        let last = |session: usize, back| self.codes.get(&session)?.iter().rev().nth(back).cloned();
        let right = last(session, 0).unwrap_or("123456".into());
        let code = match guess {
            Guess::Right => Some(right.clone()),
            Guess::TooShort => Some("12345".into()),
            Guess::Wrong => None,
            Guess::Old => last(session, 1).filter(|old| *old != right),
            Guess::OfAnother => last((session + 1) % SESSIONS, 0).filter(|other| *other != right),
        };
        let code = code.unwrap_or_else(|| another(&right));
        let path = format!("/otp/{}/verify", channel.name());
        let body = serde_json::json!({"verificationCode": code});
        self.send(session, Method::POST, &path, body).await.0
    }

    /// `push` is numbered from the first one given to a sender.
    pub(crate) async fn poll(&self, session: usize, channel: Channel, push: usize) -> String {
        let path = format!("/push/{}/{}", channel.name(), self.pushes[push].0);
        let (line, body) = self.send(session, Method::GET, &path, Value::Null).await;
        let Some(status) = body["status"].as_str() else { return line };
        format!("{line} {status} {}", body["expiresIn"])
    }

    pub(crate) async fn answer(&self, push: usize, user: usize, say: Say) -> String {
        let (id, number) = &self.pushes[push];
        let answer = match say {
            Say::Approve => PushReply::Approve,
            Say::RightNumber => PushReply::Number(number.clone()),
            Say::WrongNumber => PushReply::Number(another(number)),
            Say::Decline => PushReply::Decline,
        };
        match self.step_up().answer_push(&format!("user {user}"), id, answer).await {
            Ok(()) => "taken".into(),
            // How long an answered push is remembered is not specified.
            Err(PushReplyError::Unknown | PushReplyError::Closed) => "gone".into(),
            Err(PushReplyError::NumberRequired) => "number required".into(),
            Err(PushReplyError::WrongNumber { left }) => format!("wrong number, {left} left"),
            Err(other) => other.to_string(),
        }
    }

    pub(crate) async fn status(&self, session: usize) -> String {
        let (line, body) = self.send(session, Method::GET, "/", Value::Null).await;
        let mut words = vec![line, body["status"].as_str().unwrap().to_owned()];
        for grant in body["grants"].as_array().unwrap() {
            let scope = grant["scope"].as_str().map_or(String::new(), |scope| format!("/{scope}"));
            let channel = grant["channel"].as_str().unwrap();
            words.push(format!("{channel}{scope} {} {}", grant["verifiedAt"], grant["expiresIn"]));
        }
        words.join(" ")
    }

    /// A request to a guarded route.
    pub(crate) async fn guarded(&self, session: usize, route: Route) -> String {
        let requirement = match route {
            Route::Any => Requirement::new(),
            Route::Payments => Requirement::new().scope("payments"),
            Route::Fresh => Requirement::new().max_age(std::time::Duration::from_secs(120)),
            Route::Biometric => Requirement::new().channels([Channel::Biometric.name()]),
        };
        let inside = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) });
        let guarded = RequireStepUp::with(self.step_up(), requirement).unwrap().json().layer(inside);
        let mut request = Request::new(Full::<Bytes>::default());
        request.extensions_mut().insert(self.callers[session].clone());
        let (parts, body) = guarded.oneshot(request).await.unwrap().into_parts();
        if parts.status == StatusCode::OK {
            return "200".into();
        }
        let body = body.collect().await.unwrap().to_bytes();
        line(parts.status, &parts.headers, &serde_json::from_slice(&body).unwrap())
    }

    pub(crate) async fn drop_elevation(&self, session: usize) -> String {
        self.send(session, Method::DELETE, "/", Value::Null).await.0
    }

    pub(crate) async fn revoke(&self, session: usize) {
        self.step_up().revoke(&self.callers[session]).await.unwrap();
    }

    /// The session continues under another id, and the old one has nothing.
    pub(crate) async fn rotate(&mut self, session: usize, users: usize) -> String {
        self.rotations += 1;
        let new = caller(session, users, self.rotations);
        self.step_up().transfer(&self.callers[session], &new).await.unwrap();
        let left = self.status(session).await;
        self.callers[session] = new;
        left
    }

    pub(crate) async fn revoke_all(&self, user: usize) {
        self.step_up().revoke_all(&format!("user {user}")).await.unwrap();
    }

    pub(crate) async fn lock(&self, user: usize) {
        self.step_up().lock(&format!("user {user}")).await.unwrap();
    }

    pub(crate) async fn unlock(&self, user: usize) {
        self.step_up().unlock(&format!("user {user}")).await.unwrap();
    }
}

/// Another code or number of the same length.
fn another(code: &str) -> String {
    let (front, last) = code.split_at(code.len() - 1);
    format!("{front}{}", (last.parse::<u8>().unwrap() + 1) % 10)
}

/// The status, the error code, and its parameters.
fn line(status: StatusCode, headers: &HeaderMap, body: &Value) -> String {
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap());
    let mut words = vec![status.as_str().to_owned()];
    words.extend(body["errorCode"].as_str().map(str::to_owned));
    for field in body["syntaxErrors"]["invalidFields"].as_array().into_iter().flatten() {
        words.push(format!("{} {}", field["fieldName"].as_str().unwrap(), field["error"].as_str().unwrap()));
    }
    if let Some(limit) = header("x-ratelimit-limit") {
        assert_eq!(header("x-ratelimit-reset"), header("retry-after"));
        words.push(format!("limit {limit}"));
    }
    words.extend(header("retry-after").map(|wait| format!("after {wait}")));
    words.join(" ")
}
