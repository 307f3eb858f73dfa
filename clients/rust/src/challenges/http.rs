//! The challenge endpoints over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ChallengeError, Inner, PushOutcome, PushStarted, SessionStatus};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a start or a verification is for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<&'a str>,
}

impl Inner {
    pub(super) async fn start(&self, channel: &str) -> Result<(), ChallengeError> {
        self.call(Method::POST, &self.at("otp", channel)?, self.body(None)).await.map(drop)
    }

    pub(super) async fn verify(&self, channel: &str, code: &str) -> Result<(), ChallengeError> {
        let path = format!("{}/verify", self.at("otp", channel)?);
        self.call(Method::POST, &path, self.body(Some(code))).await.map(drop)
    }

    pub(super) async fn start_push(&self, channel: &str) -> Result<PushStarted, ChallengeError> {
        read(&self.call(Method::POST, &self.at("push", channel)?, self.body(None)).await?)
    }

    pub(super) async fn poll(&self, channel: &str, id: &str) -> Result<PushOutcome, ChallengeError> {
        let path = format!("{}/{id}", self.at("push", channel)?);
        read(&self.call(Method::GET, &path, Bytes::new()).await?)
    }

    pub(super) async fn cancel(&self, channel: &str) -> Result<(), ChallengeError> {
        self.call(Method::DELETE, &self.at("otp", channel)?, Bytes::new()).await.map(drop)
    }

    pub(super) async fn cancel_push(&self, channel: &str, id: &str) -> Result<(), ChallengeError> {
        let path = format!("{}/{id}", self.at("push", channel)?);
        self.call(Method::DELETE, &path, Bytes::new()).await.map(drop)
    }

    pub(super) async fn status(&self) -> Result<SessionStatus, ChallengeError> {
        let base = self.endpoints.base().ok_or(ChallengeError::NoEndpoints)?;
        let path = if base.is_empty() { "/" } else { base };
        read(&self.call(Method::GET, path, Bytes::new()).await?)
    }

    fn at(&self, kind: &str, channel: &str) -> Result<String, ChallengeError> {
        self.endpoints.start(kind, channel).ok_or(ChallengeError::NoEndpoints)
    }

    /// Empty where there is nothing to say, as older servers of the contract expect it.
    fn body(&self, verification_code: Option<&str>) -> Bytes {
        let body = Body { verification_code, scope: self.scope.as_deref(), binding: self.binding.as_deref() };
        if matches!(body, Body { verification_code: None, scope: None, binding: None }) {
            return Bytes::new();
        }
        // Strings alone are always written.
        serde_json::to_vec(&body).unwrap_or_default().into()
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ChallengeError> {
        let mut request = self.target.request(path, body).ok_or(ChallengeError::NoEndpoints)?;
        *request.method_mut() = method;
        if !request.body().is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        request.headers_mut().insert(ACCEPT, JSON);
        let response = self.transport.send(request).await.map_err(ChallengeError::Unreachable)?;
        let (parts, body) = response.into_parts();
        if matches!(parts.status, StatusCode::OK | StatusCode::NO_CONTENT) {
            return Ok(body.data);
        }
        let refusal: Value = serde_json::from_slice(&body.data).unwrap_or_default();
        let header = parts.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
        let wait = refusal["retryAfter"].as_u64().or(header).map(Duration::from_secs);
        Err(ChallengeError::refused(refusal["errorCode"].as_str().unwrap_or_default(), wait))
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ChallengeError> {
    serde_json::from_slice(body).map_err(|_| ChallengeError::Unexpected)
}
