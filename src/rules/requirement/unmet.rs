//! What a session lacks to satisfy a requirement: [`Unmet`], and the [`UnmetReason`] that it gives.

use std::{fmt, time::Duration};

/// Why a session does not satisfy a [`Requirement`](crate::Requirement).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UnmetReason {
    /// There is no step-up.
    Missing,
    /// There is one, for something else.
    WrongScope,
    /// There is one, by another channel.
    WrongChannel,
    /// There is one, bound to another operation.
    Mismatch,
    /// There was one, and it has been used.
    Spent,
    /// There was one, and its life has ended.
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

/// What a session lacks to satisfy a [`Requirement`](crate::Requirement), and where that can be had.
#[derive(Clone, PartialEq, Eq)]
pub struct Unmet {
    pub(super) reason: UnmetReason,
    pub(super) parts: Vec<UnmetPart>,
    pub(super) binding: Option<Box<str>>,
}

/// One channel that a requirement names, and why no grant by it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetPart {
    pub(super) channel: Box<str>,
    pub(super) reason: UnmetReason,
    pub(super) max_age: Option<Duration>,
}

impl Unmet {
    /// Why: of several grants that do not do, the reason of the one that came furthest.
    #[must_use]
    pub const fn reason(&self) -> UnmetReason {
        self.reason
    }

    /// The channels that lack a step-up, where the requirement asks for each of several or has an age for one: each of
    /// them is needed, or one, as it says.
    #[must_use]
    pub fn parts(&self) -> &[UnmetPart] {
        &self.parts
    }

    /// The token that binds a step-up to this very request, where the route is [bound](crate::Binding): it goes into
    /// the start of the challenge.
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

    /// Why: of several grants by this channel, the reason of the one that came furthest.
    #[must_use]
    pub const fn reason(&self) -> UnmetReason {
        self.reason
    }

    /// How old a step-up by this channel may be, by the stricter of its own rule and the requirement's.
    #[must_use]
    pub const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }
}

/// Prints no binding: its text says who pays whom.
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
