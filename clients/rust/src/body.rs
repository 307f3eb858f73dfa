//! Request bodies that can be sent twice, and bodies of which a part was read.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{
    BodyExt, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};

use crate::BoxError;

/// A request body that can be sent twice.
///
/// It is implemented for [`Full`], for the boxed bodies of `http-body-util`, and with the features for the bodies of
/// reqwest and tonic.
pub trait RepeatableBody: Body<Data = Bytes> + Send + Sized + 'static {
    /// A body with this content, for the requests to the challenge endpoints.
    fn whole(content: Bytes) -> Self;

    /// The body to send now, and the same again; `None` where it is a stream, or longer than `limit`.
    ///
    /// A body that may be a stream is read only as far as it is there, so that a stream whose sender waits for the
    /// response goes on.
    fn twice(self, limit: usize) -> impl Future<Output = (Self, Option<Self>)> + Send;
}

impl RepeatableBody for Full<Bytes> {
    fn whole(content: Bytes) -> Self {
        Self::new(content)
    }

    /// It is in memory and costs nothing to repeat, so that the limit does not apply.
    async fn twice(self, _: usize) -> (Self, Option<Self>) {
        (self.clone(), Some(self))
    }
}

impl<E: Into<BoxError> + Send + Sync + 'static> RepeatableBody for BoxBody<Bytes, E> {
    fn whole(content: Bytes) -> Self {
        Self::new(Full::new(content).map_err(|never| match never {}))
    }

    async fn twice(self, limit: usize) -> (Self, Option<Self>) {
        let (now, again) = read(self, limit).await;
        (Self::new(now), again.map(Self::new))
    }
}

impl<E: Into<BoxError> + Send + 'static> RepeatableBody for UnsyncBoxBody<Bytes, E> {
    fn whole(content: Bytes) -> Self {
        Self::new(Full::new(content).map_err(|never| match never {}))
    }

    async fn twice(self, limit: usize) -> (Self, Option<Self>) {
        let (now, again) = read(self, limit).await;
        (Self::new(now), again.map(Self::new))
    }
}

/// Reads a body that may be a stream, up to `limit`: the body to send now, and the same again where it has ended.
pub(crate) async fn read<B>(mut body: B, limit: usize) -> (Partial<B>, Option<Partial<B>>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let ends = body.size_hint().upper().is_some_and(|most| most <= limit as u64);
    let mut now = Partial { size: body.size_hint(), ..Partial::new() };
    let mut length = 0;
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending if ends => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        });
        match frame.await {
            Some(Some(Ok(frame))) => {
                // An empty frame counts, too, so that there is an end to them.
                length += frame.data_ref().map_or(1, |data| data.len().max(1));
                now.frames.extend(Piece::of(frame));
            }
            Some(Some(Err(error))) => {
                now.error = Some(error);
                return (now, None);
            }
            Some(None) => {
                let again = Partial { frames: now.frames.clone(), size: now.size, ..Partial::new() };
                return (now, Some(again));
            }
            None => length = usize::MAX,
        }
        if length > limit {
            now.rest = Some(body);
            return (now, None);
        }
    }
}

/// A frame that can be cloned.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    pub(crate) fn of(frame: Frame<Bytes>) -> Option<Self> {
        match frame.into_data() {
            Ok(data) => Some(Self::Data(data)),
            Err(frame) => frame.into_trailers().ok().map(Self::Trailers),
        }
    }
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

/// A body whose first frames were read.
#[derive(Debug)]
pub(crate) struct Partial<B: Body> {
    pub(crate) frames: VecDeque<Piece>,
    /// The error with which reading ended.
    pub(crate) error: Option<B::Error>,
    /// What was not read.
    pub(crate) rest: Option<B>,
    /// The size of all of it.
    pub(crate) size: SizeHint,
}

impl<B: Body> Partial<B> {
    pub(crate) fn new() -> Self {
        Self { frames: VecDeque::new(), error: None, rest: None, size: SizeHint::default() }
    }

    #[cfg(feature = "tonic")]
    pub(crate) fn whole(content: Bytes) -> Self {
        let size = SizeHint::with_exact(content.len() as u64);
        let frames = if content.is_empty() { VecDeque::new() } else { [Piece::Data(content)].into() };
        Self { frames, size, ..Self::new() }
    }

    pub(crate) fn unread(body: B) -> Self {
        Self { size: body.size_hint(), rest: Some(body), ..Self::new() }
    }

    /// What was handed out is no longer part of the size.
    fn hand_out(&mut self, data: usize) {
        let mut left = SizeHint::new();
        if let Some(most) = self.size.upper() {
            left.set_upper(most.saturating_sub(data as u64));
        }
        left.set_lower(self.size.lower().saturating_sub(data as u64));
        self.size = left;
    }
}

/// An error is moved out as a whole.
impl<B: Body + Unpin> Unpin for Partial<B> {}

impl<B: Body<Data = Bytes> + Unpin> Body for Partial<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(piece) = self.frames.pop_front() {
            if let Piece::Data(data) = &piece {
                let length = data.len();
                self.hand_out(length);
            }
            return Poll::Ready(Some(Ok(piece.into())));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.error.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Some(rest) if self.frames.is_empty() => rest.size_hint(),
            _ => self.size,
        }
    }
}
