//! Bodies that can be repeated, and those that cannot.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::{Layer, Service, ServiceExt};
use tower_step_up_client::{BoxError, Error, StepUpClient};

use crate::support::{Bank, code_prompt, post};

type Boxed = UnsyncBoxBody<Bytes, BoxError>;

/// The bank, for boxed bodies.
#[derive(Clone)]
struct OfBoxes(Bank);

impl Service<Request<Boxed>> for OfBoxes {
    type Response = Response<axum::body::Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Boxed>) -> Self::Future {
        let mut bank = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(bank.call(Request::from_parts(parts, Full::new(body))).await?)
        })
    }
}

const JSON: &str = r#"{"to":"bob","amount":10}"#;

/// Sends this body to be transferred; the status, how often the user was asked, and what has reached the bank.
async fn transfer(body: Boxed) -> (Result<u16, Error>, usize, Vec<String>) {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let prompt = code_prompt(&bank);
    let calls = Arc::clone(&prompt.calls);
    let client = StepUpClient::new(prompt).repeat_up_to(64).layer(OfBoxes(bank.clone()));
    let request = post("/transfers", &token, 10).map(|_| body);
    let answer = client.oneshot(request).await.map(|response| response.status().as_u16());
    let passed = bank.passed.lock().unwrap();
    let transfers = passed.iter().filter(|passed| passed.path == "/transfers");
    let bodies = transfers.map(|passed| String::from_utf8(passed.body.to_vec()).unwrap()).collect();
    (answer, calls.load(Ordering::SeqCst), bodies)
}

fn frames<const N: usize>(parts: [&'static str; N]) -> impl stream::Stream<Item = Result<Frame<Bytes>, BoxError>> {
    stream::iter(parts.map(|part| Ok(Frame::data(part.into()))))
}

#[tokio::test]
async fn frames_that_are_there_are_repeated() {
    let (first, rest) = JSON.split_at(5);
    let body = StreamBody::new(frames([first, "", rest])).boxed_unsync();
    let (answer, calls, bodies) = transfer(body).await;
    assert_eq!((answer.unwrap(), calls, &*bodies), (201, 1, &[JSON.to_owned(), JSON.into()][..]));
}

/// It is sent as it is, and the user is not asked.
#[tokio::test]
async fn what_is_over_the_limit_is_an_error_with_the_requirement() {
    for parts in [[JSON, "                                                  "], ["{\"to\":\"", TOO_LONG]] {
        let (answer, calls, bodies) = transfer(StreamBody::new(frames(parts)).boxed_unsync()).await;
        let Err(Error::NotRepeatable(requirement)) = &answer else { panic!("{answer:?}") };
        assert_eq!((requirement.max_age().unwrap().as_secs(), calls), (120, 0));
        assert_eq!(bodies, [parts.concat()]);
    }
}

const TOO_LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// Its sender may wait for the response before it goes on, so that nobody waits for its end.
#[tokio::test]
async fn a_stream_is_an_error_with_the_requirement() {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let body = ReceiverStream::new(receiver).map(|data| Ok(Frame::data(data)));
    let send = async {
        for part in [&JSON[..3], &JSON[3..]] {
            sender.send(part.into()).await.unwrap();
        }
        drop(sender);
    };
    let ((answer, calls, bodies), ()) = tokio::join!(transfer(StreamBody::new(body).boxed_unsync()), send);
    assert!(matches!(answer, Err(Error::NotRepeatable(_))), "{answer:?}");
    assert_eq!((calls, &*bodies), (0, &[JSON.to_owned()][..]));
}

/// A body of a known size that is not there at once.
struct Slow(Mutex<u8>);

impl Body for Slow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut polls = self.0.lock().unwrap();
        *polls += 1;
        match *polls {
            1 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            2 => Poll::Ready(Some(Ok(Frame::data(JSON.into())))),
            _ => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(JSON.len() as u64)
    }
}

#[tokio::test]
async fn a_body_that_is_known_to_end_is_waited_for() {
    let (answer, calls, bodies) = transfer(Slow(Mutex::new(0)).boxed_unsync()).await;
    assert_eq!((answer.unwrap(), calls, bodies.len()), (201, 1, 2));
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_the_service_inside() {
    let broken = frames([JSON]).chain(stream::iter([Err("broken".into())]));
    let (answer, calls, bodies) = transfer(StreamBody::new(broken).boxed_unsync()).await;
    let Err(Error::Inner(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.to_string(), calls, bodies.len()), ("broken".into(), 0, 0));
}
