//! tonic's body. Its `Channel` is a service already.

use bytes::Bytes;
use http_body_util::Full;
use tonic::body::Body;

use crate::{RepeatableBody, body::read};

/// A unary call has its message at once, and so has a client stream whose messages are all there; any other client
/// stream cannot be repeated.
impl RepeatableBody for Body {
    fn whole(content: Bytes) -> Self {
        Self::new(Full::new(content))
    }

    async fn twice(self, limit: usize) -> (Self, Option<Self>) {
        let (now, again) = read(self, limit).await;
        (Self::new(now), again.map(Self::new))
    }
}
