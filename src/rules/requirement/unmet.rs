//! Why a session does not satisfy a requirement: [`Unmet`] and its [`UnmetReason`].

use std::{fmt, time::Duration};

use crate::rules::Timestamp;

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
    /// There is no step-up, and the user has enrolled no channel for it
    /// ([`StepUpBuilder::report_unenrolled`](crate::StepUpBuilder::report_unenrolled)).
    NoChannel,
}

impl UnmetReason {
    /// Every reason.
    pub(crate) const ALL: [Self; 8] = [
        Self::Missing,
        Self::WrongScope,
        Self::WrongChannel,
        Self::Mismatch,
        Self::Spent,
        Self::Expired,
        Self::TooOld,
        Self::NoChannel,
    ];

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
            Self::NoChannel => "no_channel",
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
    pub(super) spent_at: Option<Timestamp>,
    /// The token, and the text of the operation.
    pub(super) bound: Option<Box<(Box<str>, Box<str>)>>,
    pub(super) page: Option<Box<str>>,
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
        self.bound.as_deref().map(|(token, _)| &**token)
    }

    /// The text of the operation that will be approved, if the route is bound: as the [`Binding`](crate::Binding) has
    /// derived it from this request.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.bound.as_deref().map(|(_, text)| &**text)
    }

    /// When a request has consumed a step-up for this very operation, if the route is bound: it has probably been
    /// carried out, and its response may have been lost. It is known for an hour after the step-up's lifetime, within
    /// one session: a hint, which replaces no `Idempotency-Key`.
    #[must_use]
    pub const fn spent_at(&self) -> Option<Timestamp> {
        self.spent_at
    }

    /// The URL at which a person can step up, where the guard leads there (`RequireStepUp::page`).
    #[must_use]
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    #[cfg(feature = "page")]
    pub(crate) fn with_page(self, url: Box<str>) -> Self {
        Self { page: Some(url), ..self }
    }

    pub(crate) fn bound(self, token: Box<str>, text: Box<str>) -> Self {
        Self { bound: Some(Box::new((token, text))), ..self }
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
        Self { reason, parts: Vec::new(), spent_at: None, bound: None, page: None }
    }
}
