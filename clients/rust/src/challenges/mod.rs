//! The challenge endpoints of the server that refused a request.

mod error;
#[cfg(feature = "tonic")]
mod grpc;
mod http;
mod status;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use self::{
    error::ChallengeError,
    status::{Grant, Pending, PendingOtp, PendingPush, PushOutcome, PushStarted, PushStatus, SessionStatus},
};
use crate::{
    Requirement,
    target::{Endpoints, Target},
    transport::Transport,
};

/// How the challenge endpoints are called: as the request was that they refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Http,
    #[cfg(feature = "tonic")]
    Grpc,
}

/// The challenge endpoints of the server that refused a request, over the same service, for the same session.
///
/// A start and a verification say what they are for, as the refusal asks: its scope, and the binding to its operation.
/// Where the refusal was one of gRPC, this calls `stepup.v1.StepUp`; otherwise the HTTP endpoints.
#[derive(Clone)]
pub struct Challenges(Arc<Inner>);

struct Inner {
    wire: Wire,
    transport: Arc<dyn Transport>,
    target: Target,
    endpoints: Endpoints,
    scope: Option<String>,
    binding: Option<String>,
    max_age: Option<Duration>,
}

impl Challenges {
    pub(crate) fn new(
        wire: Wire,
        transport: Arc<dyn Transport>,
        target: Target,
        endpoints: Endpoints,
        requirement: &Requirement,
    ) -> Self {
        Self(Arc::new(Inner {
            wire,
            transport,
            target,
            endpoints,
            scope: requirement.scope().map(str::to_owned),
            binding: requirement.binding().map(str::to_owned),
            max_age: requirement.max_age(),
        }))
    }

    pub(crate) fn wire(&self) -> Wire {
        self.0.wire
    }

    /// Starts a one-time code: the server sends it to the user.
    ///
    /// # Errors
    /// What the server refuses, such as `RETRY_IN_15SEC` or `CHANNEL_NOT_REGISTERED`; see [`ChallengeError`].
    pub async fn start(&self, channel: &str) -> Result<(), ChallengeError> {
        check_channel(channel)?;
        match self.0.wire {
            Wire::Http => self.0.start(channel).await,
            #[cfg(feature = "tonic")]
            Wire::Grpc => self.0.grpc_start(channel).await,
        }
    }

    /// Verifies the code that the user typed. Spaces, dashes and invisible characters in it are stripped.
    ///
    /// Where the server says `ALREADY_VERIFIED`, this succeeds only if the session holds what the refusal asks for.
    ///
    /// # Errors
    /// What the server refuses, such as `VERIFICATION_CODE_INVALID`, after which the user may try again; see
    /// [`ChallengeError`].
    pub async fn verify(&self, channel: &str, code: &str) -> Result<(), ChallengeError> {
        check_channel(channel)?;
        let code = stripped(code);
        let verified = match self.0.wire {
            Wire::Http => self.0.verify(channel, &code).await,
            #[cfg(feature = "tonic")]
            Wire::Grpc => self.0.grpc_verify(channel, &code).await,
        };
        match verified {
            Err(error) if error.code() == Some("ALREADY_VERIFIED") => {
                let holds = self.status().await?.grants.iter().any(|grant| self.0.wants(grant, channel));
                if holds { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Starts a push: the server asks the user on their phone. Then [poll](Self::poll) until it has ended.
    ///
    /// # Errors
    /// What the server refuses, such as `STATE_INVALID` where one is pending already; see [`ChallengeError`].
    pub async fn start_push(&self, channel: &str) -> Result<PushStarted, ChallengeError> {
        check_channel(channel)?;
        let started = match self.0.wire {
            Wire::Http => self.0.start_push(channel).await,
            #[cfg(feature = "tonic")]
            Wire::Grpc => self.0.grpc_start_push(channel).await,
        }?;
        check_id(&started.id).map(|()| started).map_err(|_| ChallengeError::Unexpected)
    }

    /// The outcome of a push, so far. Wait a second or two between polls.
    ///
    /// # Errors
    /// `NOT_FOUND` where this session has no such push; see [`ChallengeError`].
    pub async fn poll(&self, channel: &str, id: &str) -> Result<PushOutcome, ChallengeError> {
        check_channel(channel)?;
        check_id(id)?;
        match self.0.wire {
            Wire::Http => self.0.poll(channel, id).await,
            #[cfg(feature = "tonic")]
            Wire::Grpc => self.0.grpc_poll(channel, id).await,
        }
    }

    /// Cancels the code that is pending on a channel, if there is one.
    ///
    /// # Errors
    /// See [`ChallengeError`].
    pub async fn cancel(&self, channel: &str) -> Result<(), ChallengeError> {
        check_channel(channel)?;
        match self.0.wire {
            Wire::Http => self.0.cancel(channel).await,
            #[cfg(feature = "tonic")]
            Wire::Grpc => self.0.grpc_cancel(channel).await,
        }
    }

    /// Cancels a push.
    ///
    /// # Errors
    /// `NOT_FOUND` where this session has no such push; see [`ChallengeError`].
    pub async fn cancel_push(&self, channel: &str, id: &str) -> Result<(), ChallengeError> {
        check_channel(channel)?;
        check_id(id)?;
        match self.0.wire {
            Wire::Http => self.0.cancel_push(channel, id).await,
            #[cfg(feature = "tonic")]
            Wire::Grpc => self.0.grpc_cancel_push(channel, id).await,
        }
    }

    /// The status of the session: its grants, what is pending, and where each channel leads.
    ///
    /// # Errors
    /// See [`ChallengeError`].
    pub async fn status(&self) -> Result<SessionStatus, ChallengeError> {
        match self.0.wire {
            Wire::Http => self.0.status().await,
            #[cfg(feature = "tonic")]
            Wire::Grpc => self.0.grpc_status().await,
        }
    }
}

impl Inner {
    /// Whether a grant is what the refusal asks for. Which operation a bound grant is for is not known here.
    fn wants(&self, grant: &Grant, channel: &str) -> bool {
        let age = SystemTime::now().duration_since(UNIX_EPOCH + grant.verified_at).unwrap_or_default();
        grant.channel == channel
            && grant.bound == self.binding.is_some()
            && (self.binding.is_some() && self.scope.is_none() || grant.scope == self.scope)
            && !grant.expires_in.is_zero()
            && self.max_age.is_none_or(|most| age <= most)
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { wire, scope, binding, .. } = &*self.0;
        f.debug_struct("Challenges")
            .field("wire", wire)
            .field("scope", scope)
            .field("bound", &binding.is_some())
            .finish_non_exhaustive()
    }
}

/// A channel is part of a path.
fn check_channel(channel: &str) -> Result<(), ChallengeError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let valid = (1..=32).contains(&channel.len()) && channel.bytes().all(is_name);
    if valid { Ok(()) } else { Err(ChallengeError::InvalidChannel) }
}

/// And so is the id of a push.
fn check_id(id: &str) -> Result<(), ChallengeError> {
    let valid = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    if valid { Ok(()) } else { Err(ChallengeError::InvalidPushId) }
}

/// A code without what users type or paste beside it.
fn stripped(code: &str) -> String {
    let is_beside = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '-' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2010}'..='\u{2015}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{2212}' | '\u{feff}')
    };
    code.chars().filter(|c| !is_beside(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stripped() {
        for typed in ["123456", " 123 456\n", "123-456", "123\u{2013}456", "\u{feff}123\u{200b}456\u{a0}"] {
            assert_eq!(stripped(typed), "123456");
        }
        assert_eq!(stripped("12345x"), "12345x");
    }

    #[test]
    fn parts_of_paths_are_checked() {
        for channel in ["", "a/b", "..", "a b", "%41", &"x".repeat(33)] {
            assert!(check_channel(channel).is_err(), "{channel}");
        }
        for id in ["", "1/2", "x", "-1", &"1".repeat(65)] {
            assert!(check_id(id).is_err(), "{id}");
        }
        assert!(check_channel("SMS_2-x").is_ok() && check_id("0123").is_ok());
    }
}
