//! Request bodies: read up to a limit and a deadline.

use std::{error::Error, pin::pin};

use bytes::{Buf, BufMut};
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError};

use crate::{rules::BODY_DEADLINE, timeout::within};

/// What a body's error must become, so that its cause can be found.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request's body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    /// It broke off, for another reason than a limit outside.
    Broken,
}

/// A body that was read to its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// The whole body, up to `limit` bytes, within 5 seconds.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Read, Unread>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLarge);
    }
    within(BODY_DEADLINE, collect(body, limit)).await.unwrap_or(Err(Unread::TooSlow))
}

async fn collect<B>(body: B, limit: usize) -> Result<Read, Unread>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut read = Read::default();
    while let Some(frame) = body.as_mut().frame().await {
        match frame.map_err(|error| why(&*error.into()))?.into_data() {
            Ok(data) if read.data.len() + data.remaining() > limit => return Err(Unread::TooLarge),
            Ok(data) => read.data.put(data),
            // Trailers are no part of the data.
            Err(other) => read.trailers = other.into_trailers().ok(),
        }
    }
    Ok(read)
}

/// A body limit outside, such as axum's `DefaultBodyLimit`, breaks a body of unknown length off with an error of its
/// own, which frameworks wrap.
fn why(error: &(dyn Error + 'static)) -> Unread {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if causes.any(<dyn Error>::is::<LengthLimitError>) { Unread::TooLarge } else { Unread::Broken }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        pin::Pin,
        task::{Context, Poll},
        time::Duration,
    };

    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::Full;

    use super::*;

    const LIMIT: usize = 4096;

    async fn read(body: impl http_body::Body<Error: Into<BoxError>>) -> Result<Read, Unread> {
        super::read(body, LIMIT).await
    }

    #[tokio::test]
    async fn the_limit_is_inclusive() {
        let full = |len: usize| Full::new(Bytes::from(vec![b'x'; len]));
        assert_eq!(read(full(LIMIT)).await.map(|read| read.data.len()), Ok(LIMIT));
        assert_eq!(read(full(LIMIT + 1)).await, Err(Unread::TooLarge));
    }

    /// However often a framework has wrapped its error.
    #[tokio::test]
    async fn a_limit_outside_is_too_large() {
        let limited = || http_body_util::Limited::new(Full::new(Bytes::from("four")), 3);
        assert_eq!(read(limited()).await, Err(Unread::TooLarge));
        let wrapped = limited().map_err(|error| io::Error::other(axum::Error::new(error)));
        assert_eq!(read(wrapped).await, Err(Unread::TooLarge));
    }

    /// A body of unknown length, frame by frame.
    struct Frames(Vec<Result<Frame<Bytes>, io::Error>>, bool);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
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
        assert_eq!(read(Frames(vec![Err(io::Error::other("broken")), data(1)], false)).await, Err(Unread::Broken));
        let start = tokio::time::Instant::now();
        assert_eq!(read(Frames(vec![data(1)], true)).await, Err(Unread::TooSlow));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
