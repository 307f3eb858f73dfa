//! Responses: whether one is a refusal, and the body of one that is not.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::{
    BoxError, Requirement,
    body::{Partial, Piece},
    challenges::Wire,
    transport::RESPONSE_LIMIT,
};

/// A response of another server than the one that was asked, such as after a redirect: its refusal is not followed.
#[cfg(feature = "reqwest")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromElsewhere;

/// What a response is.
pub(crate) enum Seen<B: Body> {
    /// One of our refusals.
    Refusal(Wire, Requirement),
    /// Anything else.
    Other(Response<ResponseBody<B>>),
    /// A response of gRPC whose status is still to come.
    #[cfg(feature = "tonic")]
    Open(Response<ResponseBody<B>>),
}

pub(crate) async fn see<B>(response: Response<B>) -> Seen<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    #[cfg(feature = "reqwest")]
    if response.extensions().get::<FromElsewhere>().is_some() {
        return Seen::Other(response.map(ResponseBody::unread));
    }
    #[cfg(feature = "tonic")]
    if response.status() == StatusCode::OK && has_type(response.headers(), "application/grpc") {
        return match crate::grpc::refusal(response.headers()) {
            Some(requirement) => Seen::Refusal(Wire::Grpc, requirement),
            None if response.headers().contains_key(crate::grpc::GRPC_STATUS) => {
                Seen::Other(response.map(ResponseBody::unread))
            }
            None => Seen::Open(response.map(ResponseBody::unread)),
        };
    }
    let refuses = matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED);
    if !refuses || !has_type(response.headers(), "application/json") {
        return Seen::Other(response.map(ResponseBody::unread));
    }
    let (parts, body) = response.into_parts();
    let read = read(body).await;
    let data = |piece: &Piece| match piece {
        Piece::Data(data) => data.clone(),
        Piece::Trailers(_) => Bytes::new(),
    };
    if read.rest.is_none() && read.error.is_none() {
        let whole = read.frames.iter().map(data).collect::<Vec<_>>().concat();
        if let Some(requirement) = Requirement::from_json(&whole) {
            return Seen::Refusal(Wire::Http, requirement);
        }
    }
    Seen::Other(Response::from_parts(parts, ResponseBody::new(read)))
}

/// Whether the media type is this one, whatever its parameters; gRPC's may name an encoding after a plus.
fn has_type(headers: &HeaderMap, expected: &str) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim();
    let (media, _) =
        if expected == "application/grpc" { media.split_once('+').unwrap_or((media, "")) } else { (media, "") };
    media.eq_ignore_ascii_case(expected)
}

/// Reads a body to its end, or until it is longer than any refusal.
async fn read<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Partial<B> {
    let mut read = Partial { size: body.size_hint(), ..Partial::new() };
    let mut length = 0;
    if body.size_hint().lower() > RESPONSE_LIMIT as u64 {
        return Partial { rest: Some(body), ..read };
    }
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                length += frame.data_ref().map_or(1, |data| data.len().max(1));
                read.frames.extend(Piece::of(frame));
            }
            Err(error) => return Partial { error: Some(error), ..read },
        }
        if length > RESPONSE_LIMIT {
            return Partial { rest: Some(body), ..read };
        }
    }
    read
}

/// The body of a response: that of the service inside.
pub struct ResponseBody<B: Body> {
    body: Partial<B>,
    #[cfg(feature = "tonic")]
    later: later::Later<B>,
}

impl<B: Body<Data = Bytes> + Unpin> ResponseBody<B> {
    fn new(body: Partial<B>) -> Self {
        Self {
            body,
            #[cfg(feature = "tonic")]
            later: later::Later::default(),
        }
    }

    fn unread(body: B) -> Self {
        Self::new(Partial::unread(body))
    }
}

/// Errors and continuations are moved as a whole.
impl<B: Body + Unpin> Unpin for ResponseBody<B> {}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        #[cfg(feature = "tonic")]
        if self.later.is_waiting() {
            return self.poll_later(cx);
        }
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        #[cfg(feature = "tonic")]
        if self.later.is_running() {
            return false;
        }
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        #[cfg(feature = "tonic")]
        if self.later.is_waiting() {
            return SizeHint::default();
        }
        self.body.size_hint()
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

#[cfg(feature = "tonic")]
pub(crate) mod later {
    //! A refusal in trailers: the response has been handed on by then, so its body continues with the repeated one.

    use std::{
        pin::Pin,
        sync::{Mutex, PoisonError},
        task::{Context, Poll, ready},
    };

    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use http::{Response, StatusCode};
    use http_body::{Body, Frame};

    use super::ResponseBody;
    use crate::{
        BoxError, Error, Requirement,
        body::{Partial, Piece},
        grpc,
    };

    type Repeated<B> = BoxFuture<'static, Result<Response<ResponseBody<B>>, Error>>;
    type Repeat<B> = Box<dyn FnOnce(Requirement) -> Repeated<B> + Send>;

    enum State<B: Body> {
        /// The first frame is not there yet.
        Armed(Repeat<B>),
        Running(Repeated<B>),
    }

    /// In a mutex to be `Sync`; it is never locked.
    pub(super) struct Later<B: Body>(Mutex<Option<State<B>>>, bool);

    impl<B: Body> Default for Later<B> {
        fn default() -> Self {
            Self(Mutex::new(None), false)
        }
    }

    impl<B: Body> Later<B> {
        pub(super) fn is_waiting(&self) -> bool {
            self.1
        }

        pub(super) fn is_running(&self) -> bool {
            self.1 && matches!(self.0.try_lock().as_deref(), Ok(Some(State::Running(_))))
        }

        fn set(&mut self, state: Option<State<B>>) {
            self.1 = state.is_some();
            *self.0.get_mut().unwrap_or_else(PoisonError::into_inner) = state;
        }

        fn take(&mut self) -> Option<State<B>> {
            self.1 = false;
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take()
        }
    }

    impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> ResponseBody<B> {
        /// What to do if the first frame is a refusal.
        pub(crate) fn arm(&mut self, repeat: impl FnOnce(Requirement) -> Repeated<B> + Send + 'static) {
            if !self.body.is_end_stream() {
                self.later.set(Some(State::Armed(Box::new(repeat))));
            }
        }

        pub(super) fn poll_later(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            loop {
                match self.later.take() {
                    None => return Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into),
                    Some(State::Armed(repeat)) => {
                        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                            self.later.set(Some(State::Armed(repeat)));
                            return Poll::Pending;
                        };
                        let trailers = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref());
                        match trailers.and_then(grpc::refusal) {
                            Some(requirement) => self.later.set(Some(State::Running(repeat(requirement)))),
                            None => return Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
                        }
                    }
                    Some(State::Running(mut repeated)) => {
                        let Poll::Ready(repeated) = repeated.as_mut().poll(cx) else {
                            self.later.set(Some(State::Running(repeated)));
                            return Poll::Pending;
                        };
                        match repeated.and_then(continued) {
                            Ok(body) => *self = body,
                            Err(error) => {
                                self.body = Partial::new();
                                return Poll::Ready(Some(Err(error.into())));
                            }
                        }
                        return ready!(Pin::new(self).poll_frame(cx)).into();
                    }
                }
            }
        }
    }

    /// The body of the repeated response. A status in its headers becomes one in trailers: headers were sent already.
    fn continued<B>(response: Response<ResponseBody<B>>) -> Result<ResponseBody<B>, Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (parts, mut body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(Error::Inner(
                format!("the repeated call was answered with HTTP status {}", parts.status).into(),
            ));
        }
        if parts.headers.contains_key(grpc::GRPC_STATUS) {
            body.body = Partial { frames: [Piece::Trailers(parts.headers)].into(), ..Partial::new() };
        }
        Ok(body)
    }
}
