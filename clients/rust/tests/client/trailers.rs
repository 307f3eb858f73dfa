//! A refusal of gRPC whose status comes in trailers, as proxies send it.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::{Status, body::Body, transport::Channel};
use tower::{Layer, Service};
use tower_step_up_client::{Error, StepUpClient};

use crate::{
    grpc::{by, by_code, channel, transfer},
    support::Ask,
    tonic_bank::bank::bank_client::BankClient,
};

/// Moves a status from the headers to trailers. Challenges keep theirs.
#[derive(Clone)]
struct InTrailers(Channel);

impl Service<Request<Body>> for InTrailers {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_bank = request.uri().path().starts_with("/bank");
        let response = self.0.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            let status = ["grpc-status", "grpc-message", "grpc-status-details-bin"].into_iter();
            if !is_bank || !response.headers().contains_key("grpc-status") {
                return Ok(response);
            }
            let move_out = |name| Some((http::HeaderName::from_static(name), response.headers_mut().remove(name)?));
            let trailers: HeaderMap = status.filter_map(move_out).collect();
            let frames = [Ok::<_, Status>(Frame::<Bytes>::trailers(trailers))];
            Ok(response.map(|_| Body::new(StreamBody::new(stream::iter(frames)))))
        })
    }
}

#[tokio::test]
async fn a_call_goes_on_with_the_repeated_response() {
    let prompt = Ask::new(async |_, challenges| by_code(challenges).await);
    let calls = Arc::clone(&prompt.calls);
    let mut bank = BankClient::new(StepUpClient::new(prompt).layer(InTrailers(channel().await)));
    let answer = bank.transfer(by("alice-1", transfer(10))).await.unwrap().into_inner();
    assert_eq!((&*answer.id, &*answer.approved_by, calls.load(Ordering::SeqCst)), ("10 to bob", "SMS", 1));
    // Another refusal than ours, after the repetition and without one.
    for login in ["alice-1", "alice-2"] {
        let status = bank.transfer(by(login, transfer(0))).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "say to whom, and how much"));
    }
}

#[tokio::test]
async fn a_second_refusal_is_an_error() {
    let mut bank = BankClient::new(StepUpClient::new(Ask::new(async |_, _| Ok(()))).layer(InTrailers(channel().await)));
    let status = bank.transfer(by("alice-1", transfer(10))).await.unwrap_err();
    assert!(matches!(Error::find(&status), Some(Error::StillRefused(_))), "{status:?}");
}
