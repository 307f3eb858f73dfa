//! A client for HTTP/1 and HTTP/2 over a socket that can send arbitrary requests, and the responses it receives.

use std::{convert::Infallible, net::SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, TE, TRAILER},
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic_types::StatusExt;
use tower_step_up::StepUp;

use crate::host::{Arrangement, COMPANION, Host, SECRET};

type Body = BoxBody<Bytes, Infallible>;

/// A served host and its address.
#[derive(Clone, Copy)]
pub(crate) struct Served {
    pub(crate) host: Host,
    address: SocketAddr,
}

/// A received response.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// A request, independent of the protocol.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Served {
    pub(crate) async fn new(host: Host, step_up: &StepUp, arrangement: Arrangement) -> Self {
        Self { host, address: host.serve(step_up, arrangement).await }
    }

    /// A call of the guarded route.
    pub(crate) fn pay(self, token: &str) -> Call {
        self.call(self.host.guarded(), token)
    }

    /// A call of the route added after the guard.
    pub(crate) fn later(self, token: &str) -> Call {
        self.call(self.host.later(), token)
    }

    /// A call of one of the app's own routes.
    pub(crate) fn call(self, path: &str, token: &str) -> Call {
        if self.host.speaks_grpc() { Call::grpc(path, token, &[]) } else { Call::json(path, token, "") }
    }

    /// A start of a one-time code.
    pub(crate) fn start(self, token: &str) -> Call {
        if self.host.has_grpc_companion() {
            Call::grpc("/stepup.v1.StepUp/StartOtp", token, &["SMS"])
        } else {
            Call::json(&format!("{COMPANION}/otp/SMS"), token, "")
        }
    }

    /// A verification.
    pub(crate) fn verify(self, token: &str, code: &str) -> Call {
        if self.host.has_grpc_companion() {
            Call::grpc("/stepup.v1.StepUp/VerifyOtp", token, &["SMS", code])
        } else {
            let json = format!(r#"{{"verificationCode":"{code}"}}"#);
            Call::json(&format!("{COMPANION}/otp/SMS/verify"), token, &json)
        }
    }

    /// A request that drops the elevation.
    pub(crate) fn give_up(self, token: &str) -> Call {
        if self.host.has_grpc_companion() {
            Call::grpc("/stepup.v1.StepUp/Drop", token, &[])
        } else {
            Call { method: Method::DELETE, ..Call::json(COMPANION, token, "") }
        }
    }

    pub(crate) async fn connect(self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let io = TokioIo::new(stream);
        if self.host.speaks_http2() {
            let (send, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Connection::Http2(send)
        } else {
            let (send, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Connection::Http1(send)
        }
    }

    /// Sends over a new connection and returns the word for the response.
    pub(crate) async fn ask(self, call: Call) -> String {
        self.hear(call).await.word()
    }

    /// Sends over a new connection.
    pub(crate) async fn hear(self, call: Call) -> Heard {
        self.connect().await.send(call).await.unwrap()
    }
}

impl Call {
    fn new(path: &str, token: &str, content_type: &'static str, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert(AUTHORIZATION, bearer(token));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { method: Method::POST, path: path.into(), headers, body, trailers: None }
    }

    fn json(path: &str, token: &str, json: &str) -> Self {
        Self::new(path, token, "application/json", Bytes::copy_from_slice(json.as_bytes()))
    }

    /// One message with text fields, numbered from one.
    fn grpc(path: &str, token: &str, fields: &[&str]) -> Self {
        let mut message = BytesMut::new();
        for (number, field) in (1_u8..).zip(fields) {
            message.put_u8(number << 3 | 2);
            message.put_u8(u8::try_from(field.len()).unwrap());
            message.put_slice(field.as_bytes());
        }
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put_slice(&message);
        let mut call = Self::new(path, token, "application/grpc", body.freeze());
        call.headers.insert(TE, HeaderValue::from_static("trailers"));
        call
    }

    pub(crate) fn method(self, method: &Method) -> Self {
        Self { method: method.clone(), ..self }
    }

    pub(crate) fn path(self, path: &str) -> Self {
        Self { path: path.into(), ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// Adds a second identity header.
    pub(crate) fn also_from(mut self, token: &str) -> Self {
        self.headers.append(AUTHORIZATION, bearer(token));
        self
    }

    /// Adds the identity as a trailer.
    pub(crate) fn at_last_from(mut self, token: &str) -> Self {
        self.headers.insert(TRAILER, HeaderValue::from_static("authorization"));
        self.trailers = Some(HeaderMap::from_iter([(AUTHORIZATION, bearer(token))]));
        self
    }

    fn body(self) -> Body {
        let body = Full::new(self.body);
        match self.trailers {
            Some(trailers) => body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed(),
            None => body.boxed(),
        }
    }
}

fn bearer(token: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("Bearer {token}")).unwrap()
}

/// A connection. Over HTTP/2 its clones share the connection, and a dropped call resets its stream; over HTTP/1 it
/// closes the connection.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    pub(crate) async fn send(&mut self, call: Call) -> hyper::Result<Heard> {
        let mut request = Request::builder().method(call.method.clone());
        *request.headers_mut().unwrap() = call.headers.clone();
        let response = match self {
            Self::Http1(send) => {
                let request = request.uri(&call.path).header(HOST, "bank.example").body(call.body()).unwrap();
                send.ready().await?;
                send.send_request(request).await?
            }
            Self::Http2(send) => {
                let uri = format!("http://bank.example{}", call.path);
                let request = request.uri(uri).body(call.body()).unwrap();
                send.ready().await?;
                send.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Heard { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers })
    }

    /// A clone of the connection, if the protocol has streams.
    pub(crate) fn stream(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(send) => Some(Self::Http2(send.clone())),
        }
    }
}

impl Heard {
    /// `passed`, `not found`, `limited`, an error code of the contract, or another description.
    pub(crate) fn word(&self) -> String {
        let status = self.trailers.as_ref().and_then(tonic::Status::from_header_map);
        if let Some(status) = status.or_else(|| tonic::Status::from_header_map(&self.headers)) {
            return match (status.code(), status.get_details_error_info()) {
                (tonic::Code::Ok, _) => "passed".into(),
                (tonic::Code::Unimplemented, _) => "not found".into(),
                (tonic::Code::ResourceExhausted, _) => "limited".into(),
                (_, Some(info)) => info.reason,
                (code, None) => format!("{code:?}"),
            };
        }
        match self.status.as_u16() {
            200..300 => "passed".into(),
            404 => "not found".into(),
            429 => "limited".into(),
            status => {
                let body = serde_json::from_slice::<serde_json::Value>(&self.body).unwrap_or_default();
                body["errorCode"].as_str().map_or_else(|| status.to_string(), Into::into)
            }
        }
    }

    /// Whether the response contains any guarded content.
    pub(crate) fn leaks(&self) -> bool {
        let all = format!("{:?} {:?} {}", self.headers, self.trailers, String::from_utf8_lossy(&self.body));
        all.contains(SECRET)
    }
}
