//! The bodies of answers: bytes at hand.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;

/// The body of the challenge endpoints' responses.
#[derive(Clone, Default)]
pub struct ResponseBody(Full<Bytes>);

/// Prints nothing of it: it may contain the number of a push.
impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody(..)")
    }
}

impl ResponseBody {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(Full::new(bytes))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body;

    use super::*;

    /// By which a host writes `content-length`, and ends an answer without a body at once.
    #[test]
    fn a_body_knows_its_length_and_its_end() {
        let (empty, four) = (ResponseBody::default(), ResponseBody::new(Bytes::from_static(b"four")));
        assert_eq!([empty.size_hint().exact(), four.size_hint().exact()], [Some(0), Some(4)]);
        assert_eq!([empty.is_end_stream(), four.is_end_stream()], [true, false]);
    }
}
