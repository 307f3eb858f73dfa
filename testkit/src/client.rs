//! An in-process client for a user in one session.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use serde_json::{Value, json};
use tower::ServiceExt;

#[derive(Clone)]
pub struct Client {
    app: Router,
    session: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Client {
    /// `alice-1` is alice in her session 1, where no token names her.
    pub fn new(app: &Router, session: impl Into<String>) -> Self {
        Self { app: app.clone(), session: session.into() }
    }

    pub async fn send(&self, request: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !self.session.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.session));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().into()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], ()).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.send(&format!("POST {path}"), &[], ()).await
    }

    pub async fn post_json(&self, path: &str, json: &Value) -> Answer {
        self.send(&format!("POST {path}"), &[("content-type", "application/json")], json.to_string()).await
    }

    /// Starts a code for this purpose and verifies it.
    pub async fn step_up(&self, purpose: &Value, code: impl AsyncFnOnce() -> String) {
        let started = self.post_json("/stepup/challenges/otp/SMS", purpose).await;
        assert_eq!(started.status, 204, "{started:?}");
        let code = json!({ "verificationCode": code().await });
        let verified = self.post_json("/stepup/challenges/otp/SMS/verify", &code).await;
        assert_eq!(verified.status, 204, "{verified:?}");
    }

    pub async fn step_up_in_the_sandbox(&self, purpose: &Value) {
        self.step_up(purpose, async || "123456".into()).await;
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The status, and why a guard refused.
    pub fn why(&self) -> (u16, String) {
        (self.status, self.json()["reason"].as_str().unwrap_or_default().to_owned())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The status and reason of a guard's response.
pub fn refused(reason: &str) -> (u16, String) {
    (403, reason.to_owned())
}
