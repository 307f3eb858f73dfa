//! The bank's error responses: JSON, in the same format as step-up refusals.

use axum::{
    Json,
    extract::rejection::JsonRejection,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::shared::Down;

/// An error response of the bank.
pub(super) struct Problem(StatusCode, Value);

impl Problem {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        Self(status, json!({ "errorCode": code, "message": message }))
    }

    /// Whether the request itself was rejected, so that nothing was done.
    pub(super) fn is_of_the_request(&self) -> bool {
        self.0.is_client_error()
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    pub(super) fn conflict(code: &str, message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(super) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "Temporarily unavailable; try again")
    }

    /// An invalid field. Its value is not echoed.
    pub(super) fn invalid(field: &str, error: &str) -> Self {
        let invalid = json!({ "params": [], "fieldName": field, "error": error });
        let body = json!({ "message": "Invalid request", "syntaxErrors": { "invalidFields": [invalid] } });
        Self(StatusCode::BAD_REQUEST, body)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, json!({ "message": "Invalid request" }))
    }
}

impl From<Down> for Problem {
    fn from(_: Down) -> Self {
        Self::unavailable()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, body) = self;
        let mut response = (status, Json(body)).into_response();
        let (name, value) = match status {
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer"),
            StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, "5"),
            _ => return response,
        };
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
        response
    }
}
