//! Bodies of bound requests that a negotiating guard refuses to a gRPC client.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::{HeaderMap, Request, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use testkit::alice;
use tonic_types::StatusExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_step_up::{Binding, Proof, Purpose, RequireStepUp, StepUp, discard, guard::Replayed};

const LIMIT: usize = 64 * 1024;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// Sends a request to a bound guard around an echo handler.
async fn call(step_up: &StepUp, request: Request<Body>) -> Answer {
    let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Approve this".into()));
    let echo = service_fn(async |request: Request<Body>| Ok::<_, Infallible>(Response::new(request.into_body())));
    let guarded = RequireStepUp::new(step_up).bind(binding).rebuild_with(Body::new::<Replayed>).layer(echo);
    let Ok(response) = guarded.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), trailers }
}

/// Bytes of unknown length, in frames of a kibibyte.
fn stream(bytes: usize) -> Body {
    let frames = (0..bytes.div_ceil(1024)).map(move |at| (bytes - at * 1024).min(1024));
    let frames = frames.map(|len| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; len]))));
    Body::new(StreamBody::new(tokio_stream::iter(frames)))
}

/// A body that must not be polled.
struct Untouched;

impl http_body::Body for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was polled")
    }
}

/// A gRPC client gets every refusal as a gRPC status, with the token in the metadata.
#[tokio::test(start_paused = true)]
async fn grpc_clients_get_grpc_refusals() {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).proof("KEY").build().unwrap();
    let nobody = |body: Body| {
        let request = Request::post("/bank.v1.Bank/Pay").header("content-type", "application/grpc").body(body);
        request.unwrap()
    };
    let message = |body: Body| {
        let mut request = nobody(body);
        request.extensions_mut().insert(alice());
        request
    };
    let broken = StreamBody::new(tokio_stream::once(Err::<Frame<Bytes>, _>(std::io::Error::other("broken"))));
    let slow = StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let table = [
        (nobody(Body::new(Untouched)), 16, "UNAUTHORIZED"),
        (message(stream(LIMIT + 1)), 11, "CONTENT_TOO_LARGE"),
        (message(Body::new(slow)), 4, "REQUEST_TIMEOUT"),
        (message(Body::new(broken)), 3, "INVALID_REQUEST"),
        (message(Body::from("\0\0\0\0\0")), 7, "STEP_UP_REQUIRED"),
    ];
    for (request, code, reason) in table {
        let refused = call(&step_up, request).await;
        assert_eq!((refused.status, &*refused.body, &refused.trailers), (200, &b""[..], &None), "{reason}");
        assert_eq!(refused.headers["content-type"], "application/grpc");
        let status = tonic::Status::from_header_map(&refused.headers).unwrap();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((i32::from(status.code()), info.reason.as_str()), (code, reason));
        let Some(binding) = info.metadata.get("binding") else {
            assert_ne!(code, 7, "a step-up is needed, and nothing says for what");
            continue;
        };
        let purpose = Purpose::new().binding(binding);
        step_up.record_proof(&alice(), Proof::new("KEY").purpose(purpose)).await.unwrap();
        let request = || message(Body::from("\0\0\0\0\0"));
        let passed = call(&step_up, request()).await;
        assert_eq!(&*passed.body, b"\0\0\0\0\0");
        let replayed = call(&step_up, request()).await;
        let status = tonic::Status::from_header_map(&replayed.headers).unwrap();
        let metadata = status.get_details_error_info().unwrap().metadata;
        assert_eq!(metadata["reason"], "spent");
        assert!(metadata["spentAt"].parse::<u64>().is_ok_and(|at| at > 1_700_000_000_000), "{metadata:?}");
        assert!(!metadata["operation"].is_empty());
    }
}
