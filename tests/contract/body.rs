//! Bodies in frames, without a declared length.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http::HeaderMap;
use http_body::Frame;

pub(crate) fn chunks(chunks: &[&'static str]) -> Body {
    let frames = chunks.iter().map(|chunk| Frame::data(Bytes::from_static(chunk.as_bytes())));
    Body::new(Frames { frames: frames.collect(), hangs: false })
}

/// Sends this text and then stalls.
pub(crate) fn hanging(start: &'static str) -> Body {
    Body::new(Frames { frames: [Frame::data(Bytes::from_static(start.as_bytes()))].into(), hangs: true })
}

pub(crate) fn with_trailers(text: &'static str, trailers: HeaderMap) -> Body {
    let text = Frame::data(Bytes::from_static(text.as_bytes()));
    Body::new(Frames { frames: [text, Frame::trailers(trailers)].into(), hangs: false })
}

struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    hangs: bool,
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            None if self.hangs => Poll::Pending,
            frame => Poll::Ready(frame.map(Ok)),
        }
    }
}
