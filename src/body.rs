//! Request bodies: read up to a limit and a deadline.

use std::pin::pin;

use bytes::{Buf, BufMut};
use http::HeaderMap;
use http_body_util::BodyExt;

use crate::{policy::BODY_DEADLINE, step_up::within};

/// Why a request's body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    /// It broke off.
    Broken,
}

/// A body that was read to its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// The whole body, at most so many bytes, within 5 seconds.
pub(crate) async fn read<B: http_body::Body>(body: B, limit: usize) -> Result<Read, Unread> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLarge);
    }
    within(BODY_DEADLINE, collect(body, limit)).await.unwrap_or(Err(Unread::TooSlow))
}

async fn collect<B: http_body::Body>(body: B, limit: usize) -> Result<Read, Unread> {
    let mut body = pin!(body);
    let mut read = Read::default();
    while let Some(frame) = body.as_mut().frame().await {
        match frame.map_err(|_| Unread::Broken)?.into_data() {
            Ok(data) if read.data.len() + data.remaining() > limit => return Err(Unread::TooLarge),
            Ok(data) => read.data.put(data),
            // Trailers are no part of the data.
            Err(other) => read.trailers = other.into_trailers().ok(),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
        time::Duration,
    };

    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::Full;

    use super::*;

    const LIMIT: usize = 4096;

    async fn read(body: impl http_body::Body) -> Result<Read, Unread> {
        super::read(body, LIMIT).await
    }

    #[tokio::test]
    async fn the_limit_is_inclusive() {
        let full = |len: usize| Full::new(Bytes::from(vec![b'x'; len]));
        assert_eq!(read(full(LIMIT)).await.map(|read| read.data.len()), Ok(LIMIT));
        assert_eq!(read(full(LIMIT + 1)).await, Err(Unread::TooLarge));
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
        assert_eq!(read(Frames(vec![data(1), data(LIMIT)], false)).await, Err(Unread::TooLarge));
        let whole = Read { data: b"xx".to_vec(), trailers: Some(HeaderMap::new()) };
        assert_eq!(read(Frames(vec![trailers(), data(1), data(1)], false)).await, Ok(whole));
        assert_eq!(read(Frames(vec![Err(()), data(1)], false)).await, Err(Unread::Broken));
        let start = tokio::time::Instant::now();
        assert_eq!(read(Frames(vec![data(1)], true)).await, Err(Unread::TooSlow));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
