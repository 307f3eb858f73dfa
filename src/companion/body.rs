//! Bodies: requests are read up to a limit and a deadline, answers are bytes at hand.

use std::{
    convert::Infallible,
    fmt,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};

use crate::{
    policy::{BODY_DEADLINE, BODY_LIMIT},
    step_up::within,
};

/// The body of the companion's answers.
#[derive(Clone, Default)]
pub struct AnswerBody(Full<Bytes>);

/// Prints nothing of it: the number of a push may stand there.
impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerBody(..)")
    }
}

impl AnswerBody {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(Full::new(bytes))
    }
}

impl http_body::Body for AnswerBody {
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

/// Why a request's body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    /// It broke off.
    Broken,
}

/// The whole body, at most 4 KiB, within 5 seconds.
pub(crate) async fn read<B: http_body::Body>(body: B) -> Result<Vec<u8>, Unread> {
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(Unread::TooLarge);
    }
    within(BODY_DEADLINE, collect(body)).await.unwrap_or(Err(Unread::TooSlow))
}

async fn collect<B: http_body::Body>(body: B) -> Result<Vec<u8>, Unread> {
    let mut body = pin!(body);
    let mut read = Vec::new();
    while let Some(frame) = body.as_mut().frame().await {
        // Trailers are no part of the body.
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if read.len() + data.remaining() > BODY_LIMIT {
            return Err(Unread::TooLarge);
        }
        read.put(data);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn the_limit_is_inclusive() {
        let full = |len: usize| Full::new(Bytes::from(vec![b'x'; len]));
        assert_eq!(read(full(BODY_LIMIT)).await.map(|body| body.len()), Ok(BODY_LIMIT));
        assert_eq!(read(full(BODY_LIMIT + 1)).await, Err(Unread::TooLarge));
    }

    /// A body of unknown length, frame by frame.
    struct Frames(Vec<Result<Frame<Bytes>, ()>>, bool);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = ();

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
            match self.0.pop() {
                None if self.1 => Poll::Pending,
                frame => Poll::Ready(frame),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_counted_timed_and_may_break() {
        let data = |len: usize| Ok(Frame::data(Bytes::from(vec![b'x'; len])));
        let trailers = || Ok(Frame::trailers(http::HeaderMap::new()));
        assert_eq!(read(Frames(vec![data(1), data(BODY_LIMIT)], false)).await, Err(Unread::TooLarge));
        assert_eq!(read(Frames(vec![trailers(), data(1), data(1)], false)).await, Ok(b"xx".to_vec()));
        assert_eq!(read(Frames(vec![Err(()), data(1)], false)).await, Err(Unread::Broken));
        let start = tokio::time::Instant::now();
        assert_eq!(read(Frames(vec![data(1)], true)).await, Err(Unread::TooSlow));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        let _ = StreamBody::new(());
    }
}
