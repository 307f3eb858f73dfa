//! Why a challenge endpoint did not do what it was asked.

use std::{error, fmt, time::Duration};

use crate::BoxError;

/// Why a challenge endpoint did not do what it was asked.
///
/// No message contains what was sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The server refused.
    #[non_exhaustive]
    Refused {
        /// The error code, such as `VERIFICATION_CODE_INVALID`: the words of the contract.
        code: String,
        /// How long to wait before the next attempt.
        retry_after: Option<Duration>,
    },
    /// The service inside failed, or the response was too long.
    Unreachable(BoxError),
    /// The response is not one of a challenge endpoint.
    Unexpected,
    /// The refusal does not say where the challenge endpoints are, and neither does
    /// [`StepUpClient::endpoints`](crate::StepUpClient::endpoints).
    NoEndpoints,
    /// No channel has such a name.
    InvalidChannel,
    /// No push has such an id.
    InvalidPushId,
}

impl ChallengeError {
    /// The server's error code, such as `VERIFICATION_CODE_INVALID`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// How long to wait before the next attempt, where waiting helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A refusal with this code, if it is a code: what else a server sends is not repeated.
    pub(crate) fn refused(code: &str, retry_after: Option<Duration>) -> Self {
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=64).contains(&code.len()) || !code.bytes().all(is_code) {
            return Self::Unexpected;
        }
        Self::Refused { code: code.to_owned(), retry_after }
    }
}

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, retry_after: None } => f.write_str(code),
            Self::Refused { code, retry_after: Some(wait) } => write!(f, "{code}; try again in {} s", wait.as_secs()),
            Self::Unreachable(_) => f.write_str("the challenge endpoint could not be reached"),
            Self::Unexpected => f.write_str("the response is not one of a challenge endpoint"),
            Self::NoEndpoints => f.write_str("the challenge endpoints are not known; set `StepUpClient::endpoints`"),
            Self::InvalidChannel => f.write_str("no channel has such a name"),
            Self::InvalidPushId => f.write_str("no push has such an id"),
        }
    }
}

impl error::Error for ChallengeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(&**error),
            _ => None,
        }
    }
}
