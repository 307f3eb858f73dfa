//! How an operation that was refused is answered: one table for HTTP and gRPC.

use std::time::Duration;

use http::StatusCode;

use super::SOON;
use crate::rules::{ChallengeError, ErrorKind};

/// What HTTP and gRPC say of a refused operation beside its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusalStatus {
    pub(crate) status: StatusCode,
    /// The code of `google.rpc.Status`.
    #[cfg_attr(not(feature = "grpc"), allow(dead_code, reason = "only gRPC's endpoints read it"))]
    pub(crate) code: i32,
    /// How long to wait before the next try, where waiting helps.
    pub(crate) retry_after: Option<Duration>,
}

impl RefusalStatus {
    pub(crate) fn of(error: &ChallengeError) -> Self {
        let (status, code) = match error.kind() {
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, 3),
            ErrorKind::Forbidden => (StatusCode::FORBIDDEN, 7),
            ErrorKind::Precondition => (StatusCode::CONFLICT, 9),
            ErrorKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, 8),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 14),
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 13),
        };
        let retry_after = match error {
            ChallengeError::RetryIn { wait, .. } => Some(*wait),
            ChallengeError::RateLimited(limit) => Some(limit.wait),
            ChallengeError::Unavailable => Some(Duration::from_secs(SOON)),
            _ => None,
        };
        Self { status, code, retry_after }
    }
}
