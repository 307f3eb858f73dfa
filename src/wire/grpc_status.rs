//! A gRPC status: a code, a message and `google.rpc` details, and their form in headers.

use std::{fmt::Write as _, time::Duration};

use base64ct::{Base64Unpadded, Encoding};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};

use super::protobuf::Message;
use crate::{
    rules::wait_secs,
    wire::{Problem, SOON, Unread},
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const PERMISSION_DENIED: i32 = 7;
const OUT_OF_RANGE: i32 = 11;
#[cfg(feature = "grpc")]
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// `google.rpc.Status`.
#[derive(Clone, Debug)]
pub(crate) struct RpcStatus {
    code: i32,
    message: String,
    details: Vec<Message>,
}

/// What an `ErrorInfo` says beside its reason.
pub(crate) type Metadata = Vec<(&'static str, String)>;

impl RpcStatus {
    /// `reason` is the contract's `errorCode`; metadata is written in the order of its keys.
    pub(crate) fn new(code: i32, message: &str, reason: &str, domain: &str, mut metadata: Metadata) -> Self {
        metadata.sort();
        let info = Message::default().string(1, reason).string(2, domain);
        let info = metadata.iter().fold(info, |info, (key, value)| info.entry(3, key, value));
        Self { code, message: message.into(), details: Vec::new() }.with("google.rpc.ErrorInfo", &info)
    }

    pub(crate) fn step_up_required(domain: &str, metadata: Metadata) -> Self {
        Self::new(PERMISSION_DENIED, "STEP_UP_REQUIRED", "STEP_UP_REQUIRED", domain, metadata)
    }

    pub(crate) fn no_caller(domain: &str) -> Self {
        Self::problem(UNAUTHENTICATED, &Problem::UNAUTHORIZED, domain)
    }

    pub(crate) fn unavailable(domain: &str) -> Self {
        Self::problem(UNAVAILABLE, &Problem::UNAVAILABLE, domain).retry_after(Duration::from_secs(SOON))
    }

    /// A message that was not read.
    pub(crate) fn unread(reason: Unread, domain: &str) -> Self {
        let (code, problem) = match reason {
            Unread::TooLarge => (OUT_OF_RANGE, Problem::TOO_LARGE),
            Unread::TooSlow => (DEADLINE_EXCEEDED, Problem::TOO_SLOW),
            Unread::Broken => (INVALID_ARGUMENT, Problem::INVALID),
        };
        Self::problem(code, &problem, domain)
    }

    /// Adds details to a refusal that the generated server made without any: of an unknown method, a compression it
    /// does not have, or a message that cannot be decoded.
    #[cfg(feature = "grpc")]
    pub(crate) fn explain(headers: &mut HeaderMap, domain: &str) {
        let Some(code) = headers.get(GRPC_STATUS).filter(|code| *code != "0") else { return };
        if headers.contains_key(GRPC_STATUS_DETAILS) {
            return;
        }
        let status = if *code == HeaderValue::from(UNIMPLEMENTED) {
            Self::new(UNIMPLEMENTED, "Not implemented", "UNIMPLEMENTED", domain, Metadata::new())
        } else {
            Self::unread(Unread::Broken, domain)
        };
        status.trailers().insert(headers);
    }

    fn problem(code: i32, problem: &Problem<'_>, domain: &str) -> Self {
        Self::new(code, problem.message, &problem.error_code, domain, Metadata::new())
    }

    /// How long to wait, in whole seconds as in HTTP.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        let delay = Message::default().uint(1, wait_secs(wait));
        self.with("google.rpc.RetryInfo", &Message::default().message(1, &delay))
    }

    /// Which fields are wrong, and how.
    #[cfg(feature = "grpc")]
    pub(crate) fn bad_request(self, fields: &[(&str, &str)]) -> Self {
        let violations = fields.iter().fold(Message::default(), |list, (field, error)| {
            list.message(1, &Message::default().string(1, field).string(2, error))
        });
        self.with("google.rpc.BadRequest", &violations)
    }

    fn with(mut self, name: &str, detail: &Message) -> Self {
        let any = Message::default().string(1, &format!("type.googleapis.com/{name}")).message(2, detail);
        self.details.push(any);
        self
    }

    fn encode(&self) -> Message {
        let code = u64::try_from(self.code).unwrap_or_default();
        let status = Message::default().uint(1, code).string(2, &self.message);
        self.details.iter().fold(status, |status, any| status.message(3, any))
    }

    /// Its form in headers.
    pub(crate) fn trailers(&self) -> Trailers {
        // All three are visible ASCII by the way they are made.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        Trailers {
            status: self.code.into(),
            message: value(percent_encoded(&self.message)),
            // Without padding, as gRPC wants it of a header whose name ends in `-bin`.
            details: value(Base64Unpadded::encode_string(self.encode().as_bytes())),
        }
    }
}

#[cfg(feature = "grpc")]
impl From<RpcStatus> for tonic::Status {
    fn from(status: RpcStatus) -> Self {
        let details = bytes::Bytes::copy_from_slice(status.encode().as_bytes());
        Self::with_details(status.code.into(), status.message, details)
    }
}

/// A trailers-only refusal: its status is in the headers, for there is no body that trailers could follow.
#[derive(Clone, Debug)]
pub(crate) struct Trailers {
    status: HeaderValue,
    message: HeaderValue,
    details: HeaderValue,
}

impl Trailers {
    /// The whole response, in a header map that is empty: trailers-only, status 200 for every refusal.
    pub(crate) fn response<B>(&self, empty: B, mut headers: HeaderMap) -> Response<B> {
        // Room for what the guard adds, except in the sandbox, so that the map grows only once.
        headers.reserve(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        self.insert(&mut headers);
        let mut response = Response::new(empty);
        *response.headers_mut() = headers;
        response
    }

    /// The trailers of a response that has begun.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        self.insert(&mut headers);
        headers
    }

    fn insert(&self, headers: &mut HeaderMap) {
        headers.insert(GRPC_STATUS, self.status.clone());
        headers.insert(GRPC_MESSAGE, self.message.clone());
        headers.insert(GRPC_STATUS_DETAILS, self.details.clone());
    }
}

/// `grpc-message`: percent encoding of what is not allowed there, and of what tonic escapes beyond that.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'#' | b'%' | b'<' | b'>' | b'`' | b'?' | b'{' | b'}' => _ = write!(encoded, "%{byte:02X}"),
            b'!'..=b'~' => encoded.push(char::from(byte)),
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("STEP_UP_REQUIRED"), "STEP_UP_REQUIRED");
        assert_eq!(percent_encoded("100 %; \"ü\"\n"), "100%20%25;%20%22%C3%BC%22%0A");
    }
}
