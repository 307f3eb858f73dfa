//! [`EndingBody`]: a response's body until the step-up ends, and then what its client understands as an end.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, Version,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    engine::{Caller, StepUp, StepUpEnded},
    guard::refusal::{Refusal, RefusalTerms},
    rules::{Ended, UnmetReason},
};

/// A body that has sent as much is watched, though it never keeps its client waiting.
const LONG: u64 = 64 * 1024;

pin_project! {
    /// A body that ends with the step-up. Made by [`Ending`](crate::guard::Ending).
    #[derive(Debug)]
    pub struct EndingBody<B> {
        #[pin]
        inner: B,
        state: State,
    }
}

#[derive(Debug)]
enum State {
    /// A refusal, or a response that passed without a grant.
    Free,
    Watched(Box<Watching>),
    Ended,
}

/// A response that is watched.
pub(super) struct Watching {
    ended: StepUpEnded,
    /// Whether the end is waited for: a short body mostly ends by itself.
    waits: bool,
    sent: u64,
    how: How,
    /// Whether the last bytes have ended an event: one that is cut off must not be taken for a whole one.
    between_events: bool,
    terms: Arc<RefusalTerms>,
}

/// What the client understands as the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// An event of `text/event-stream`.
    Event,
    /// The status of gRPC, in trailers.
    Status,
    /// Anything else breaks off.
    Error,
}

/// The step-up has ended that let a response begin, and the response with it: the error of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUpLost(Ended);

impl StepUpLost {
    /// Why it has ended.
    #[must_use]
    pub const fn why(&self) -> Ended {
        self.0
    }
}

impl fmt::Display for StepUpLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Ended::Expired => "the step-up has expired",
            Ended::Revoked => "the step-up was revoked",
            Ended::StoreLost => "the store of step-ups cannot be reached",
        })
    }
}

impl Error for StepUpLost {}

impl Watching {
    pub(super) fn new<B: Body>(
        step_up: &StepUp,
        caller: &Caller,
        terms: &Arc<RefusalTerms>,
        version: Version,
        response: &Response<B>,
    ) -> Self {
        let header = |name| response.headers().get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let is = |essence: &[u8], ends: &[u8]| {
            header(CONTENT_TYPE).split_at_checked(essence.len()).is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(essence) && rest.first().is_none_or(|next| ends.contains(next))
            })
        };
        let is_plain = matches!(header(CONTENT_ENCODING), b"" | b"identity");
        let of_any_length = header(CONTENT_LENGTH).is_empty() && response.body().size_hint().exact().is_none();
        let how = if is(b"text/event-stream", b"; ") && is_plain && of_any_length {
            How::Event
        } else if is(b"application/grpc", b"+; ") && version >= Version::HTTP_2 {
            How::Status
        } else {
            How::Error
        };
        let (ended, terms) = (step_up.ended(caller, terms.requirement()), Arc::clone(terms));
        Self { ended, waits: false, sent: 0, how, between_events: true, terms }
    }

    /// Notes what was sent.
    fn sent(&mut self, data: &[u8]) {
        self.sent = self.sent.saturating_add(data.len() as u64);
        self.waits |= self.sent >= LONG;
        self.between_events = [&b"\n\n"[..], b"\r\r", b"\r\n\r\n"].iter().any(|end| data.ends_with(end));
    }

    /// The last frame; `None` where the body breaks off.
    fn last(&self, why: Ended) -> Option<Frame<Bytes>> {
        let refusal = match why {
            Ended::Expired => Refusal::StepUpRequired(UnmetReason::Expired.into()),
            Ended::Revoked => Refusal::StepUpRequired(UnmetReason::Missing.into()),
            Ended::StoreLost => Refusal::Unavailable,
        };
        match self.how {
            How::Event if self.between_events => {
                let mut event = b"event: step-up\ndata: ".to_vec();
                event.extend_from_slice(&self.terms.json(&refusal));
                event.extend_from_slice(b"\n\n");
                Some(Frame::data(event.into()))
            }
            How::Status => Some(Frame::trailers(self.terms.grpc_trailers(&refusal))),
            How::Event | How::Error => None,
        }
    }
}

impl<B> EndingBody<B> {
    pub(super) fn new(inner: B, watching: Option<Watching>) -> Self {
        let state = watching.map_or(State::Free, |watching| State::Watched(Box::new(watching)));
        Self { inner, state }
    }
}

impl<B> Body for EndingBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        let watching = match this.state {
            State::Ended => return Poll::Ready(None),
            State::Free => return this.inner.poll_frame(cx).map_err(Into::into),
            State::Watched(watching) => watching,
        };
        let mut polled = None;
        if !watching.waits {
            polled = Some(this.inner.as_mut().poll_frame(cx));
            watching.waits = matches!(polled, Some(Poll::Pending));
        }
        if watching.waits
            && let Poll::Ready(why) = Pin::new(&mut watching.ended).poll(cx)
        {
            let last = watching.last(why);
            *this.state = State::Ended;
            return Poll::Ready(Some(last.ok_or_else(|| StepUpLost(why).into())));
        }
        let next = ready!(polled.unwrap_or_else(|| this.inner.poll_frame(cx)));
        match next.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            Some(data) => watching.sent(data),
            // The end, trailers or an error, after which nothing comes: it is not watched any longer.
            None => *this.state = State::Ended,
        }
        Poll::Ready(next.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            // What is added at the end is not known; a body of known length that breaks off is shorter than it said.
            State::Watched(watching) if watching.how != How::Error => SizeHint::new(),
            State::Ended => SizeHint::with_exact(0),
            State::Watched(_) | State::Free => self.inner.size_hint(),
        }
    }
}

/// A refusal.
impl<B: From<Bytes>> From<Bytes> for EndingBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self { inner: bytes.into(), state: State::Free }
    }
}

/// A refusal without content.
impl<B: Default> Default for EndingBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), state: State::Free }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("how", &self.how).finish_non_exhaustive()
    }
}
