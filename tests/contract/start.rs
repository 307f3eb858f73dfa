//! Starting a one-time code.

use axum::body::Body;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};

use crate::app::{Answer, App, Session};
use crate::script::{Line, Right, Start, Wait, Wrong, play};

/// A body without a declared length.
pub(crate) fn streamed(chunks: Vec<Bytes>) -> Body {
    let frames = chunks.into_iter().map(|chunk| Ok::<_, std::convert::Infallible>(Frame::data(chunk)));
    Body::new(StreamBody::new(Frames(frames.collect::<Vec<_>>().into_iter())).boxed_unsync())
}

/// The frames of a body, one after the other.
pub(crate) struct Frames(pub(crate) std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>);

impl tokio_stream::Stream for Frames {
    type Item = Result<Frame<Bytes>, std::convert::Infallible>;
}
