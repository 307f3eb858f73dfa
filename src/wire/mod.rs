//! What every edge writes: headers, the JSON problem, a gRPC status; and how a body is read.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Serialize;

mod body;
mod grpc_status;
mod language;
mod protobuf;
mod refusal;
mod settings;

#[cfg(feature = "page")]
pub(crate) use self::language::language_ranges;
pub(crate) use self::{
    body::{Read, Unread, read},
    grpc_status::{Metadata, RpcStatus, Trailers},
    language::language,
    refusal::RefusalStatus,
    settings::{Settings, check_path},
};

const REQUEST_REF: HeaderName = HeaderName::from_static("request-ref");

const SANDBOX: HeaderName = HeaderName::from_static("x-stepup-sandbox");

/// Seconds that a client waits where nobody knows better.
pub(crate) const SOON: u64 = 1;

/// The same as a header.
pub(crate) const RETRY_SOON: HeaderValue = HeaderValue::from_static("1");

/// The body of a refusal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem<'a> {
    pub(crate) error_code: Cow<'a, str>,
    pub(crate) message: &'a str,
    /// Whole seconds, as in the header: a page of another origin reads no header that is not exposed to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
}

impl<'a> Problem<'a> {
    pub(crate) const fn new(error_code: &'a str, message: &'a str) -> Self {
        Self { error_code: Cow::Borrowed(error_code), message, retry_after: None }
    }
}

impl Problem<'static> {
    pub(crate) const INVALID: Self = Self::new("INVALID_REQUEST", "Invalid request");
    pub(crate) const NOT_JSON: Self = Self::new("UNSUPPORTED_MEDIA_TYPE", "Send the body as application/json");
    pub(crate) const UNAUTHORIZED: Self = Self::new("UNAUTHORIZED", "Authentication required");
    pub(crate) const NOT_FOUND: Self = Self::new("NOT_FOUND", "There is nothing here");
    pub(crate) const METHOD_NOT_ALLOWED: Self = Self::new("METHOD_NOT_ALLOWED", "Another method is needed here");
    pub(crate) const TOO_SLOW: Self = Self::new("REQUEST_TIMEOUT", "Request body timed out");
    pub(crate) const TOO_LARGE: Self = Self::new("CONTENT_TOO_LARGE", "Request body too large");
    pub(crate) const UNAVAILABLE: Self = Self {
        error_code: Cow::Borrowed("UNAVAILABLE"),
        message: "Temporarily unavailable; try again",
        retry_after: Some(SOON),
    };
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

/// The content of a response: none to `HEAD` (RFC 9110 §9.3.2; over HTTP/2 not every server removes it), with the
/// `Content-Length` of that to `GET` (§8.6).
pub(crate) fn content(method: &Method, content: Bytes, headers: &mut HeaderMap) -> Bytes {
    if *method != Method::HEAD {
        return content;
    }
    if !content.is_empty() {
        headers.insert(CONTENT_LENGTH, content.len().into());
    }
    Bytes::new()
}

/// The media type of a `Content-Type`, without its parameters (RFC 9110 §8.3.1). It is compared whatever the case.
pub(crate) fn media_type(declared: &[u8]) -> &[u8] {
    declared.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
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
