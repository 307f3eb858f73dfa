//! Requests in text form, and the ways in which their bodies may arrive.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame};

/// Parses a line, headers, an empty line and a body. `ID` at the end of the path is replaced by `id`.
///
/// `None` for requests that no server would pass on.
#[must_use]
pub fn request<'a>(text: &'a [u8], id: &str) -> Option<Request<&'a [u8]>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n").unwrap_or(text.len());
    let mut lines = text[..end].split(|&byte| byte == b'\n');
    let (method, path) = halves(lines.next()?, b' ')?;
    let request = Request::builder().method(method);
    let mut request = match path.strip_suffix(b"/ID") {
        Some(path) => request.uri([path, b"/", id.as_bytes()].concat().as_slice()),
        None => request.uri(path),
    };
    for line in lines {
        let (name, value) = halves(line, b':')?;
        request = request.header(name, value.trim_ascii());
    }
    request.body(text.get(end + 2..).unwrap_or_default()).ok()
}

fn halves(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == at)?;
    Some((&text[..at], &text[at + 1..]))
}

/// What follows a body's last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    End,
    Trailers,
    BreakOff,
    /// Nothing: the body stalls.
    Hang,
    /// More data than any limit.
    Flood,
}

impl Ending {
    #[must_use]
    pub fn of(byte: u8) -> Self {
        [Self::End, Self::BreakOff, Self::Hang, Self::Flood, Self::Trailers]
            .get(usize::from(byte % 8))
            .copied()
            .unwrap_or(Self::End)
    }

    /// Whether the body ends correctly.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::End | Self::Trailers)
    }
}

/// A body, frame by frame.
#[derive(Debug)]
pub struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, std::io::Error>>,
    hangs: bool,
}

impl Frames {
    #[must_use]
    pub fn new(body: &[u8], length: usize, ending: Ending) -> Self {
        let frames = body.chunks(length).map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk))));
        let last = match ending {
            Ending::End | Ending::Hang => None,
            Ending::Trailers => Some(Ok(Frame::trailers(HeaderMap::new()))),
            Ending::BreakOff => Some(Err(std::io::Error::other("broken off"))),
            Ending::Flood => Some(Ok(Frame::data(Bytes::from_static(&[b' '; 4097])))),
        };
        Self { frames: frames.chain(last).collect(), hangs: ending == Ending::Hang }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.frames.pop_front() {
            None if self.hangs => Poll::Pending,
            frame => Poll::Ready(frame),
        }
    }
}
