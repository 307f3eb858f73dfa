//! What a route requires ([`Requirement`]), and the check that rejects a requirement nothing can satisfy.

mod decide;
mod summary;
#[cfg(test)]
mod tests;
mod unmet;

pub use self::unmet::{Unmet, UnmetPart, UnmetReason};
pub(crate) use self::{
    decide::{Satisfied, decide},
    summary::{CompiledRequirement, Summary},
};

use std::time::Duration;

use crate::rules::{ConfigError, Policy, REMEMBRANCE, check_scope};

/// What a route requires of a step-up. The default accepts a step-up for the whole session, by any channel, of any
/// age within the grant's lifetime.
///
/// The maximum age belongs to the requirement: a grant only records when it was verified, by which channel, and for
/// what.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_step_up::{RequireStepUp, Requirement, StepUp};
///
/// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// let fresh_payment = Requirement::new().scope("payments").max_age(Duration::from_secs(120)).once();
/// let layer = RequireStepUp::with(&step_up, fresh_payment)?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Requirement {
    pub(crate) scope: Option<Box<str>>,
    or_session: bool,
    pub(crate) max_age: Option<Duration>,
    factors: Option<Factors>,
    once: bool,
    stream_for: Option<Duration>,
}

impl Requirement {
    /// Accepts any step-up for the whole session.
    pub const fn new() -> Self {
        Self { scope: None, or_session: false, max_age: None, factors: None, once: false, stream_for: None }
    }

    /// Only a step-up that was started for this scope: 1 to 128 visible ASCII characters. A step-up for the whole
    /// session is not accepted, unless [`or_session`](Self::or_session) is set.
    pub fn scope(mut self, scope: impl Into<Box<str>>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Also accepts a step-up for the whole session, in addition to one for the [`scope`](Self::scope).
    pub const fn or_session(mut self) -> Self {
        self.or_session = true;
        self
    }

    /// Only a step-up that was verified at most this long ago; at least one second. The grant's own lifetime still
    /// applies.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Only a step-up by one of these channels, at most 16, each with its own maximum age where it is a [`Factor`].
    pub fn channels<F: Into<Factor>>(mut self, any_of: impl IntoIterator<Item = F>) -> Self {
        self.factors = Some(Factors { list: any_of.into_iter().map(Into::into).collect(), all: false });
        self
    }

    /// A step-up by each of these channels, at most 16, for example a code and an approval. They may be verified in any
    /// order.
    pub fn all_of<F: Into<Factor>>(mut self, factors: impl IntoIterator<Item = F>) -> Self {
        self.factors = Some(Factors { list: factors.into_iter().map(Into::into).collect(), all: true });
        self
    }

    /// A step-up that one request consumes. It is consumed before the handler runs, so only one of several concurrent
    /// requests passes; a handler that fails before any effect can [restore it](crate::Grant::restore). A consumed
    /// grant opens no other route either.
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// How long after its step-up was verified a response may go on, where the guard
    /// [ends](crate::RequireStepUp::ending) responses; whole seconds, at least one. By default it goes on as long as the
    /// grant lives; it may also be longer, by almost an hour. Stepping up again restarts the time.
    ///
    /// It is a rule of its own: the maximum age only says when a response may begin, and a grant that the request itself
    /// has consumed ([`once`](Self::once), or bound to it) lets its response go on like any other.
    pub const fn stream_for(mut self, lifetime: Duration) -> Self {
        self.stream_for = Some(lifetime);
        self
    }

    /// How long a response may go on; `None` as long as the grant lives.
    #[must_use]
    pub const fn get_stream_for(&self) -> Option<Duration> {
        self.stream_for
    }

    /// The required scope; `None` for the whole session.
    #[must_use]
    pub fn get_scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The maximum age of a step-up, for all channels.
    #[must_use]
    pub const fn get_max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// The accepted channels, each with its own maximum age; empty if any channel is accepted.
    pub fn get_factors(&self) -> impl Iterator<Item = &Factor> {
        self.factors.iter().flat_map(|factors| &factors.list)
    }

    /// Whether one request consumes the step-up.
    #[must_use]
    pub const fn is_once(&self) -> bool {
        self.once
    }

    /// The maximum age of a step-up by this channel: the lower of the channel's own limit and the requirement's. The
    /// outer `None` means that the channel is not accepted.
    #[expect(clippy::option_option, reason = "a channel that is not accepted, and one of any age")]
    fn max_age_by(&self, channel: &str) -> Option<Option<Duration>> {
        let Some(factors) = &self.factors else { return Some(self.max_age) };
        let factor = factors.list.iter().find(|factor| *factor.channel == *channel)?;
        Some([self.max_age, factor.max_age].into_iter().flatten().min())
    }

    /// Whether a step-up by this channel can satisfy the requirement.
    #[must_use]
    pub fn accepts(&self, channel: &str) -> bool {
        self.max_age_by(channel).is_some()
    }

    /// Whether a step-up by each of the channels is required.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.factors.as_ref().is_some_and(|factors| factors.all)
    }

    /// Whether a step-up for the whole session is accepted beside one for the scope.
    pub(crate) const fn takes_session(&self) -> bool {
        self.or_session
    }

    /// Rejects a requirement that no grant could ever satisfy.
    pub(crate) fn check<'a>(
        &self,
        registered: impl Iterator<Item = &'a str> + Clone,
        scopes: Option<&[Box<str>]>,
        policy: &Policy,
    ) -> Result<(), ConfigError> {
        // Later, nobody knows whether the grant was revoked.
        let longest = (policy.grant_lifetime + REMEMBRANCE).saturating_sub(policy.clock_skew);
        if self.stream_for.is_some_and(|lifetime| lifetime < Duration::from_secs(1) || lifetime > longest) {
            return Err(ConfigError::StreamLifetime { longest });
        }
        match &self.scope {
            Some(scope) if check_scope(scope).is_err() => {
                return Err(ConfigError::InvalidScope { scope: scope.to_string() });
            }
            Some(scope) if scopes.is_some_and(|known| !known.contains(scope)) => {
                return Err(ConfigError::UnknownScope { scope: scope.to_string() });
            }
            None if self.or_session => return Err(ConfigError::OrSessionWithoutScope),
            _ => {}
        }
        let factors = self.factors.as_ref().map_or(&[][..], |factors| &factors.list);
        let ages = factors.iter().map(|factor| factor.max_age).chain([self.max_age]).flatten();
        if ages.into_iter().any(|age| age < Duration::from_secs(1)) {
            return Err(ConfigError::MaxAgeTooShort);
        }
        if self.factors.as_ref().is_some_and(|factors| factors.list.is_empty()) {
            return Err(ConfigError::NoChannel);
        }
        if factors.len() > FACTOR_LIMIT {
            return Err(ConfigError::TooManyChannels);
        }
        for (i, Factor { channel, .. }) in factors.iter().enumerate() {
            if registered.clone().all(|known| *known != **channel) {
                return Err(ConfigError::UnknownChannel { channel: channel.to_string() });
            }
            if factors[..i].iter().any(|before| before.channel == *channel) {
                return Err(ConfigError::RepeatedChannel { channel: channel.to_string() });
            }
        }
        Ok(())
    }
}

/// A channel, and the maximum age of a step-up by it.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_step_up::{Factor, Requirement};
///
/// // A code of the last ten minutes, and an approval of the last minute.
/// let both = Requirement::new().all_of([
///     Factor::new("SMS").max_age(Duration::from_secs(600)),
///     Factor::new("BIOMETRIC").max_age(Duration::from_secs(60)),
/// ]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Factor {
    channel: Box<str>,
    max_age: Option<Duration>,
}

impl Factor {
    /// A step-up by this channel.
    pub fn new(channel: impl Into<Box<str>>) -> Self {
        Self { channel: channel.into(), max_age: None }
    }

    /// Verified at most this long ago; at least one second. The requirement's own maximum age also applies.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The maximum age of a step-up by this channel.
    #[must_use]
    pub const fn get_max_age(&self) -> Option<Duration> {
        self.max_age
    }
}

impl<C: Into<Box<str>>> From<C> for Factor {
    fn from(channel: C) -> Self {
        Self::new(channel)
    }
}

/// Maximum number of channels that a requirement names.
const FACTOR_LIMIT: usize = 16;

/// The channels that a requirement names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Factors {
    list: Vec<Factor>,
    /// Whether a step-up by each of them is required.
    all: bool,
}
