//! Webhooks: signatures that others verify, and requests that are sent again.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use testkit::alice;
use tower_step_up::{
    PushReply, Recipient,
    senders::{Webhook, WebhookSecret},
};

use crate::{
    App,
    python::{python, script},
};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What the receiver answers: each in turn, and the last again and again. 0 hangs, 1 breaks the connection, 460 refuses the
/// recipient, 598 asks for no wait, and 599 for one without end.
type Answers = &'static [u16];

/// Headers and bodies.
type Requests = Arc<Mutex<Vec<(HeaderMap, Vec<u8>)>>>;

/// A service of the application's own, and what it was sent.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    answers: Answers,
    pub(crate) requests: Requests,
}

impl Receiver {
    pub(crate) async fn start(answers: Answers) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/step-up", listener.local_addr().unwrap());
        let receiver = Self { url, answers, requests: Requests::default() };
        let app = Router::new().route("/step-up", post(Self::receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    async fn receive(State(receiver): State<Self>, headers: HeaderMap, body: Bytes) -> Response {
        let at = {
            let mut requests = receiver.requests.lock().unwrap();
            requests.push((headers, body.to_vec()));
            requests.len() - 1
        };
        match receiver.answers[at.min(receiver.answers.len() - 1)] {
            0 => std::future::pending().await,
            1 => panic!("the connection breaks"),
            460 => (StatusCode::BAD_REQUEST, [("step-up-recipient", "invalid")]).into_response(),
            598 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
            599 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "18446744073709551615")]).into_response(),
            429 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
            status => StatusCode::from_u16(status).unwrap().into_response(),
        }
    }

    pub(crate) fn sender(&self) -> Webhook<Client<HttpConnector, Full<Bytes>>, Full<Bytes>> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Webhook::new(client, &self.url, WebhookSecret::new(SECRET).unwrap()).unwrap()
    }

    fn last(&self) -> (HeaderMap, Value) {
        let requests = self.requests.lock().unwrap();
        let (headers, body) = requests.last().unwrap();
        (headers.clone(), serde_json::from_slice(body).unwrap())
    }
}

/// Whether the libraries of Rust and Python accept a request, by a secret.
fn verdicts(secret: &str, headers: &HeaderMap, body: &[u8]) -> [bool; 2] {
    let rust = standardwebhooks::Webhook::new(secret).unwrap().verify(body, headers).is_ok();
    let headers: Value = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let line = json!({ "secret": secret, "body": String::from_utf8_lossy(body), "headers": headers }).to_string();
    let mut process =
        Command::new(python()).arg(script("verify.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    [rust, output.stdout == b"verified\n"]
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_others_verify_what_is_sent() {
    let receiver = Receiver::start(&[204]).await;
    let webhook = receiver.sender().previous_secret(WebhookSecret::new(OLD).unwrap());
    let app = App::new(|builder| builder.otp("CODE", webhook.clone()).push("APP", webhook));
    *app.recipient.lock().unwrap() = Recipient::phone("+43 660 1230111").unwrap();
    app.step_up.start_otp(&alice(), "CODE", "payments").await.unwrap();
    let (headers, sent) = receiver.last();
    let code = sent["data"]["code"].as_str().unwrap().to_owned();
    let data = json!({ "channel": "CODE", "subject": "alice", "recipient": "+436601230111", "code": code,
        "expiresIn": 300, "scope": "payments" });
    assert_eq!(sent, json!({ "type": "step_up.code", "data": data }));
    assert_eq!(headers["content-type"], "application/json");

    let body = receiver.requests.lock().unwrap()[0].1.clone();
    for secret in [SECRET, OLD] {
        assert_eq!(verdicts(secret, &headers, &body), [true, true], "{secret}");
    }
    let another = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(verdicts(another, &headers, &body), [false, false], "another secret");
    let tampered = String::from_utf8(body.clone()).unwrap().replace("+436601230111", "+436609999999");
    assert_eq!(verdicts(SECRET, &headers, tampered.as_bytes()), [false, false], "another recipient");
    for (name, value) in
        [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", "v1,AAAA")]
    {
        let mut tampered = headers.clone();
        tampered.insert(name, value.parse().unwrap());
        assert_eq!(verdicts(SECRET, &tampered, &body), [false, false], "{name}");
    }

    app.step_up.verify_otp(&alice(), "CODE", &code).await.unwrap();
    let push = app.step_up.start_push(&alice(), "APP", None).await.unwrap();
    let (_, sent) = receiver.last();
    assert_eq!((&sent["type"], &sent["data"]["id"]), (&"step_up.push".into(), &push.id.clone().into()));
    assert!(sent["data"]["code"].is_null());
    app.step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
}

/// The receiver knows a request that is sent again by its id.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_has_the_same_id() {
    let receiver = Receiver::start(&[500, 1, 204]).await;
    let app = App::new(|builder| builder.otp("CODE", receiver.sender()));
    app.step_up.start_otp(&alice(), "CODE", None).await.unwrap();
    let sent = receiver.requests.lock().unwrap().clone();
    assert_eq!(sent.len(), 3);
    for (headers, body) in &sent {
        assert_eq!((&headers["webhook-id"], body), (&sent[0].0["webhook-id"], &sent[0].1));
        assert!(standardwebhooks::Webhook::new(SECRET).unwrap().verify(body, headers).is_ok());
    }
    let other = Receiver::start(&[429, 204]).await;
    let app = App::new(|builder| builder.otp("CODE", other.sender()));
    let began = std::time::Instant::now();
    app.step_up.start_otp(&alice(), "CODE", None).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "after `Retry-After`");
    assert_ne!(other.last().0["webhook-id"], sent[0].0["webhook-id"]);
}

#[test]
fn what_cannot_be_used_fails_when_built() {
    for secret in ["", "whsec_", "whsec_AAAA", "whsec_not base64", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!"] {
        assert!(WebhookSecret::new(secret).unwrap_err().to_string().contains("24 to 64 bytes"), "{secret}");
    }
    for url in ["", "/step-up", "bank.example/step-up", "http://bank.example/", "ftp://localhost/"] {
        let refused = Webhook::<(), Full<Bytes>>::new((), url, WebhookSecret::new(SECRET).unwrap()).unwrap_err();
        assert!(refused.to_string().contains("absolute"), "{url}: {refused}");
    }
    let printed = format!("{:?}", WebhookSecret::new(SECRET).unwrap());
    assert!(!printed.contains("MfKQ"), "{printed}");
}
