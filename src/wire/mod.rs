//! What every edge writes: headers, the JSON problem, a gRPC status; and how a body is read.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;

mod body;
mod grpc_status;
mod protobuf;
mod refusal;
mod settings;

pub(crate) use self::{
    body::{Read, Unread, read},
    grpc_status::{Metadata, RpcStatus, Trailers},
    refusal::RefusalStatus,
    settings::{Settings, check_path},
};

const REQUEST_REF: HeaderName = HeaderName::from_static("request-ref");

const SANDBOX: HeaderName = HeaderName::from_static("x-stepup-sandbox");

/// Seconds that a client waits by default.
pub(crate) const RETRY_SOON: HeaderValue = HeaderValue::from_static("1");

/// A refusal: `message`, and `errorCode` where there is one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<Cow<'a, str>>,
    pub(crate) message: &'a str,
}

/// The message of every 400.
pub(crate) const INVALID: &str = "Invalid request";

impl Problem<'_> {
    pub(crate) const TOO_LARGE: Problem<'static> = Problem { error_code: None, message: "Request body too large" };
    pub(crate) const TOO_SLOW: Problem<'static> = Problem { error_code: None, message: "Request body timed out" };
    pub(crate) const INVALID: Problem<'static> = Problem { error_code: None, message: INVALID };
    pub(crate) const UNAUTHORIZED: Problem<'static> =
        Problem { error_code: Some(Cow::Borrowed("UNAUTHORIZED")), message: "Authentication required" };
    pub(crate) const UNAVAILABLE: Problem<'static> =
        Problem { error_code: Some(Cow::Borrowed("UNAVAILABLE")), message: "Temporarily unavailable; try again" };
}

/// The channels of each operation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChannelNames<T> {
    pub(crate) otp: Vec<T>,
    pub(crate) push: Vec<T>,
    /// Of what the application verifies itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) proof: Vec<T>,
}

/// JSON as bytes. The values are our own structs of strings, numbers and lists, which always serialize.
pub(crate) fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Declares a body as JSON.
pub(crate) fn declare_json(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

/// `Cache-Control: no-store`, the reference in 32 hexadecimal digits, and the mark of the sandbox.
pub(crate) fn stamp(headers: &mut HeaderMap, settings: &Settings, mut reference: u128) {
    let digits: [u8; 32] = std::array::from_fn(|_| {
        reference = reference.rotate_left(4);
        b"0123456789abcdef"[usize::from(reference.to_le_bytes()[0] & 0xf)]
    });
    let reference = HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_REF, reference);
    if settings.sandbox {
        headers.insert(SANDBOX, HeaderValue::from_static("true"));
    }
}
