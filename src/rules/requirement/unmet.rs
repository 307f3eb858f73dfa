//! Why a session does not satisfy a requirement: [`Unmet`] and its [`UnmetReason`].

use std::{fmt, time::Duration};

/// Why a session does not satisfy a [`Requirement`](crate::Requirement).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UnmetReason {
    /// There is no step-up.
    Missing,
    /// There is one, for another scope.
    WrongScope,
    /// There is one, by another channel.
    WrongChannel,
    /// There is one, bound to another operation.
    Mismatch,
    /// There was one, and a request has consumed it.
    Spent,
    /// There was one, and its lifetime has ended.
    Expired,
    /// There is one, verified longer ago than the route allows.
    TooOld,
}

impl UnmetReason {
    /// Every reason.
    pub(crate) const ALL: [Self; 7] =
        [Self::Missing, Self::WrongScope, Self::WrongChannel, Self::Mismatch, Self::Spent, Self::Expired, Self::TooOld];

    /// The word on the wire.
    ///
    /// # Example
    ///
    /// ```
    /// assert_eq!(tower_step_up::UnmetReason::TooOld.as_str(), "too_old");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongScope => "wrong_scope",
            Self::WrongChannel => "wrong_channel",
            Self::Mismatch => "mismatch",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::TooOld => "too_old",
        }
    }
}

impl fmt::Display for UnmetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a session does not satisfy a [`Requirement`](crate::Requirement), and by which channels it could.
#[derive(Clone, PartialEq, Eq)]
pub struct Unmet {
    pub(super) reason: UnmetReason,
    pub(super) parts: Vec<UnmetPart>,
    pub(super) binding: Option<Box<str>>,
}

/// One channel of a requirement, and why no grant by it satisfies the requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetPart {
    pub(super) channel: Box<str>,
    pub(super) reason: UnmetReason,
    pub(super) max_age: Option<Duration>,
}

impl Unmet {
    /// The reason. If several grants fail, that of the one that passed the most checks.
    #[must_use]
    pub const fn reason(&self) -> UnmetReason {
        self.reason
    }

    /// The channels that lack a step-up, if the requirement asks for all of several channels or sets an age for one.
    /// The requirement says whether all of them are needed or one.
    #[must_use]
    pub fn parts(&self) -> &[UnmetPart] {
        &self.parts
    }

    /// The token that binds a step-up to this request, if the route is [bound](crate::Binding). The client sends it
    /// when it starts the challenge.
    #[must_use]
    pub fn binding(&self) -> Option<&str> {
        self.binding.as_deref()
    }

    pub(crate) fn bound(self, binding: Box<str>) -> Self {
        Self { binding: Some(binding), ..self }
    }
}

impl UnmetPart {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The reason. If several grants by this channel fail, that of the one that passed the most checks.
    #[must_use]
    pub const fn reason(&self) -> UnmetReason {
        self.reason
    }

    /// The greatest age of a step-up by this channel: the stricter of the channel's and the requirement's.
    #[must_use]
    pub const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }
}

/// Does not print the binding, whose text contains data such as payer and payee.
impl fmt::Debug for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unmet").field("reason", &self.reason).field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl From<UnmetReason> for Unmet {
    fn from(reason: UnmetReason) -> Self {
        Self { reason, parts: Vec::new(), binding: None }
    }
}
