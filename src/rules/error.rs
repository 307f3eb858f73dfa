//! Why a challenge was not started or not verified: [`ChallengeError`], with [`Malformed`] and [`RateLimit`].

use std::{borrow::Cow, error::Error, fmt, num::NonZeroU32, time::Duration};

/// What is wrong with the format of a code, a scope or a binding. The value itself is neither kept nor echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// It is absent.
    Missing,
    /// It is empty or blank.
    Blank,
    /// It has the wrong length.
    WrongLength,
    /// It has a character that is not allowed, or is not a string.
    InvalidCharacter,
    /// It is not a known value; a binding was not issued for this session, or is too old.
    Unknown,
}

impl Malformed {
    /// The contract's error code.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "REQUIRED",
            Self::Blank => "HAS_TEXT",
            Self::WrongLength => "SIZE",
            Self::InvalidCharacter => "REGEX",
            Self::Unknown => "NOT_IN",
        }
    }
}

/// A rate limit that has been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// What is limited.
    pub of: Limited,
    /// The number that the limit allows.
    pub limit: u32,
    /// The window of the limit; `None` for a lockout, which has no window.
    pub window: Option<Duration>,
    /// How long until the next attempt is allowed.
    pub wait: Duration,
    /// The limits in force with their windows, the shortest first; none where this is the only one.
    pub(crate) in_force: InForce,
}

/// Limits, each with its window in seconds.
pub(crate) type InForce = [Option<(u32, NonZeroU32)>; 4];

/// What a [`RateLimit`] limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limited {
    /// Wrong codes: the user is locked out.
    WrongCodes,
    /// Messages of the user, to the recipient, or of the whole process.
    Messages,
    /// Pending challenges of the user.
    Challenges,
    /// Pushes after the user has declined several.
    DeclinedPushes,
}

impl RateLimit {
    /// A limit that is the only one of its kind.
    pub(crate) fn alone(of: Limited, limit: u32, window: Option<Duration>, wait: Duration) -> Self {
        Self { of, limit, window, wait, in_force: InForce::default() }
    }

    /// The limits in force and their windows, the shortest first; none for a lockout, which has no window.
    pub fn in_force(&self) -> impl Iterator<Item = (u32, Duration)> {
        let alone =
            self.window.map(|window| (self.limit, window)).filter(|_| self.in_force.iter().all(Option::is_none));
        let seconds = |window: NonZeroU32| Duration::from_secs(window.get().into());
        self.in_force.into_iter().flatten().map(move |(limit, window)| (limit, seconds(window))).chain(alone)
    }
}

/// Why a challenge was not started or not verified.
///
/// [`code`](Self::code) is the contract's `errorCode`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The channel is not registered for this operation.
    UnknownChannel,
    /// The code is malformed. No attempt was counted.
    MalformedCode(Malformed),
    /// The scope is malformed, is not registered, or differs from the binding's.
    MalformedScope(Malformed),
    /// The binding is malformed, was not issued for this session, or is too old.
    MalformedBinding(Malformed),
    /// The application's policy forbids this caller to step up, or the user is locked until the application
    /// unlocks them.
    Forbidden,
    /// The application has switched this channel off for this user.
    ChannelNotSupported,
    /// The user has not enrolled this channel.
    ChannelNotRegistered,
    /// The provider refused the recipient.
    RecipientInvalid,
    /// The last code was started less than the resend interval ago.
    #[non_exhaustive]
    RetryIn {
        /// The resend interval, which is part of the error code.
        interval: Duration,
        /// How long until a start is possible.
        wait: Duration,
    },
    /// This session may start no more challenges; or, on verify, this was the last attempt and the challenge
    /// has ended.
    ChallengeLimitExceeded,
    /// No challenge is active, or it has ended; on the start of a push, one is already active.
    StateInvalid,
    /// The code is wrong, and more than one attempt is left.
    CodeInvalid,
    /// The code is wrong, and exactly one attempt is left.
    OneTryRemaining,
    /// The code has expired.
    CodeExpired,
    /// The challenge has been verified already.
    AlreadyVerified,
    /// A rate limit is reached, or the user is locked out temporarily.
    RateLimited(RateLimit),
    /// The store or the sender is down, too slow or full. Nothing was granted.
    Unavailable,
    /// The operating system's random generator failed.
    Internal,
}

impl ChallengeError {
    /// The contract's `errorCode`.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::ChallengeError;
    ///
    /// assert_eq!(ChallengeError::CodeInvalid.code(), "VERIFICATION_CODE_INVALID");
    /// ```
    #[must_use]
    pub fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Forbidden => "INSUFFICIENT_PERMISSIONS",
            Self::ChannelNotSupported => "CHANNEL_NOT_SUPPORTED",
            Self::ChannelNotRegistered => "CHANNEL_NOT_REGISTERED",
            Self::RecipientInvalid => "MOBILE_NUMBER_INVALID",
            Self::RetryIn { interval, .. } => {
                return Cow::Owned(format!("RETRY_IN_{}SEC", interval.as_secs()));
            }
            Self::ChallengeLimitExceeded => "CHALLENGE_LIMIT_EXCEEDED",
            Self::StateInvalid => "STATE_INVALID",
            Self::CodeInvalid => "VERIFICATION_CODE_INVALID",
            Self::OneTryRemaining => "ONE_CHALLENGE_LIMIT_REMAINING",
            Self::CodeExpired => "VERIFICATION_CODE_EXPIRED",
            Self::AlreadyVerified => "ALREADY_VERIFIED",
            Self::RateLimited(_) => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
            Self::UnknownChannel | Self::MalformedCode(_) | Self::MalformedScope(_) | Self::MalformedBinding(_) => {
                "INVALID_REQUEST"
            }
        })
    }
}

/// The kind of response that a [`ChallengeError`] produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Invalid,
    Forbidden,
    Precondition,
    RateLimited,
    Unavailable,
    Internal,
}

impl ChallengeError {
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownChannel | Self::MalformedCode(_) | Self::MalformedScope(_) | Self::MalformedBinding(_) => {
                ErrorKind::Invalid
            }
            Self::Forbidden => ErrorKind::Forbidden,
            Self::ChannelNotSupported
            | Self::ChannelNotRegistered
            | Self::RecipientInvalid
            | Self::RetryIn { .. }
            | Self::ChallengeLimitExceeded
            | Self::StateInvalid
            | Self::CodeInvalid
            | Self::OneTryRemaining
            | Self::CodeExpired
            | Self::AlreadyVerified => ErrorKind::Precondition,
            Self::RateLimited(_) => ErrorKind::RateLimited,
            Self::Unavailable => ErrorKind::Unavailable,
            Self::Internal => ErrorKind::Internal,
        }
    }

    /// One word, for logs and metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownChannel => "unknown_channel",
            Self::MalformedCode(_) => "malformed_code",
            Self::MalformedScope(_) => "malformed_scope",
            Self::MalformedBinding(_) => "malformed_binding",
            Self::Forbidden => "forbidden",
            Self::ChannelNotSupported => "channel_not_supported",
            Self::ChannelNotRegistered => "channel_not_registered",
            Self::RecipientInvalid => "recipient_invalid",
            Self::RetryIn { .. } => "retry_in",
            Self::ChallengeLimitExceeded => "challenge_limit_exceeded",
            Self::StateInvalid => "state_invalid",
            Self::CodeInvalid => "code_invalid",
            Self::OneTryRemaining => "one_try_remaining",
            Self::CodeExpired => "code_expired",
            Self::AlreadyVerified => "already_verified",
            Self::RateLimited(_) => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownChannel | Self::MalformedCode(_) | Self::MalformedScope(_) | Self::MalformedBinding(_) => {
                "Invalid request"
            }
            Self::Forbidden => "Step-up is not allowed for this caller",
            Self::ChannelNotSupported => "This channel is not available to this user",
            Self::ChannelNotRegistered => "This channel is not enrolled",
            Self::RecipientInvalid => "The enrolled recipient was refused; enroll it again",
            Self::RetryIn { .. } => "A code was sent recently; wait before requesting another",
            Self::ChallengeLimitExceeded => "No attempts left; start a new challenge",
            Self::StateInvalid => "No challenge is in a state that allows this",
            Self::CodeInvalid => "The code is wrong",
            Self::OneTryRemaining => "The code is wrong; one attempt left",
            Self::CodeExpired => "The code has expired; start a new challenge",
            Self::AlreadyVerified => "The challenge is already verified",
            Self::RateLimited(limit) => match limit.of {
                Limited::WrongCodes => "Too many wrong codes; wait",
                Limited::Messages => "Too many messages; wait",
                Limited::Challenges => "Too many pending challenges; wait",
                Limited::DeclinedPushes => "Too many declined pushes; wait",
            },
            Self::Unavailable => "Temporarily unavailable; try again",
            Self::Internal => "Internal error",
        })
    }
}

impl Error for ChallengeError {}
