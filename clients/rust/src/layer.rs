//! The layer.

use std::{fmt, sync::Arc};

use http::HeaderName;
use tower_layer::Layer;

use crate::{Prompt, StepUpService, target::is_path, turns::Turns};

/// How much of a request's body is kept for its repetition, unless set.
const REPEAT: usize = 1 << 20;

/// A layer that steps up where a request is refused, and repeats the request once.
///
/// The services that one layer makes, and their clones, share their prompts. See the [crate](crate) for an example.
pub struct StepUpClient<P> {
    prompt: Arc<P>,
    turns: Arc<Turns>,
    settings: Settings,
}

/// What the application has set.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) repeat: usize,
    pub(crate) endpoints: Option<Arc<str>>,
    pub(crate) carried: Arc<[HeaderName]>,
}

/// A path that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidPath;

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of the challenge endpoints begins with one slash and has no query")
    }
}

impl std::error::Error for InvalidPath {}

impl<P: Prompt> StepUpClient<P> {
    /// A layer that steps up by this prompt.
    pub fn new(prompt: P) -> Self {
        let settings = Settings { repeat: REPEAT, endpoints: None, carried: Arc::new([]) };
        Self { prompt: Arc::new(prompt), turns: Arc::default(), settings }
    }

    /// How many bytes of a request's body are kept for its repetition; 1 MiB unless set. A longer body is sent as it
    /// is, and refused as [`Error::NotRepeatable`](crate::Error::NotRepeatable).
    #[must_use]
    pub fn repeat_up_to(mut self, bytes: usize) -> Self {
        self.settings.repeat = bytes;
        self
    }

    /// Where the challenge endpoints are, such as `/stepup/challenges`, for servers whose refusals do not say it.
    ///
    /// # Errors
    /// [`InvalidPath`] where it is not the path of a URL.
    pub fn endpoints(mut self, path: &str) -> Result<Self, InvalidPath> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.is_empty() && !is_path(path) {
            return Err(InvalidPath);
        }
        self.settings.endpoints = Some(path.into());
        Ok(self)
    }

    /// More headers of the refused request that the requests to the challenge endpoints have, too, because they say who
    /// asks. `Authorization`, `Proxy-Authorization`, `Cookie`, `Host` and `Accept-Language` always are among them.
    #[must_use]
    pub fn carry(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings.carried = self.settings.carried.iter().cloned().chain(headers).collect();
        self
    }
}

impl<P, S> Layer<S> for StepUpClient<P> {
    type Service = StepUpService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        StepUpService::new(inner, Arc::clone(&self.prompt), Arc::clone(&self.turns), self.settings.clone())
    }
}

impl<P> Clone for StepUpClient<P> {
    fn clone(&self) -> Self {
        Self { prompt: Arc::clone(&self.prompt), turns: Arc::clone(&self.turns), settings: self.settings.clone() }
    }
}

impl<P> fmt::Debug for StepUpClient<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUpClient")
            .field("repeat_up_to", &self.settings.repeat)
            .field("endpoints", &self.settings.endpoints)
            .field("carry", &self.settings.carried)
            .finish_non_exhaustive()
    }
}
