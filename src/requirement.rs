//! What a route asks for ([`Requirement`]), and the one function that decides whether a session has it.

use std::{fmt, time::Duration};

use crate::{
    clock::Timestamp,
    error::{ConfigError, Malformed},
    policy::Policy,
    session::{Granted, Session},
};

/// Bytes of a scope at most.
const SCOPE_LIMIT: usize = 128;

/// What a route asks of a step-up. The default asks for one of the whole session, by any channel, of any
/// age within the grant's life.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_step_up::{RequireStepUp, Requirement, StepUp};
///
/// # let step_up = StepUp::builder().otp("SMS", tower_step_up::discard).build()?;
/// let fresh_payment = Requirement::new().scope("payments").max_age(Duration::from_secs(120));
/// let layer = RequireStepUp::with(&step_up, fresh_payment)?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Requirement {
    pub(crate) scope: Option<Box<str>>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) channels: Option<Vec<Box<str>>>,
}

impl Requirement {
    /// Any step-up of the whole session.
    pub const fn new() -> Self {
        Self { scope: None, max_age: None, channels: None }
    }

    /// Only a step-up that was started for this scope: 1 to 128 visible ASCII characters. One of the whole
    /// session does not do.
    pub fn scope(mut self, scope: impl Into<Box<str>>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Only a step-up that was verified at most this long ago. The grant's own life still ends it.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Only a step-up by one of these channels.
    pub fn channels<C: Into<Box<str>>>(mut self, channels: impl IntoIterator<Item = C>) -> Self {
        self.channels = Some(channels.into_iter().map(Into::into).collect());
        self
    }

    /// Whether a channel is accepted.
    pub(crate) fn accepts(&self, channel: &str) -> bool {
        self.channels.as_ref().is_none_or(|channels| channels.iter().any(|c| **c == *channel))
    }

    /// Refuses what no grant could ever satisfy.
    pub(crate) fn check<'a>(&self, registered: impl Iterator<Item = &'a str> + Clone) -> Result<(), ConfigError> {
        if let Some(scope) = &self.scope
            && check_scope(scope).is_err()
        {
            return Err(ConfigError::Scope { scope: scope.to_string() });
        }
        if self.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            return Err(ConfigError::MaxAge);
        }
        if let Some(channels) = &self.channels {
            if channels.is_empty() {
                return Err(ConfigError::NoChannel);
            }
            if let Some(unknown) = channels.iter().find(|c| registered.clone().all(|known| *known != ***c)) {
                return Err(ConfigError::UnknownChannel { channel: unknown.to_string() });
            }
        }
        Ok(())
    }
}

/// Checks a scope by its form: visible ASCII, so that it can stand in a header (RFC 6749 §3.3 is narrower
/// by quotes and backslash, which are refused too).
pub(crate) fn check_scope(scope: &str) -> Result<(), Malformed> {
    if scope.chars().all(char::is_whitespace) {
        return Err(Malformed::HasText);
    }
    if scope.len() > SCOPE_LIMIT {
        return Err(Malformed::Size);
    }
    if !scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
        return Err(Malformed::Regex);
    }
    Ok(())
}

/// Why a session does not satisfy a [`Requirement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
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

impl Reason {
    /// Every reason.
    pub(crate) const ALL: [Self; 7] =
        [Self::Missing, Self::WrongScope, Self::WrongChannel, Self::Mismatch, Self::Spent, Self::Expired, Self::TooOld];

    /// The word on the wire.
    ///
    /// # Example
    ///
    /// ```
    /// assert_eq!(tower_step_up::Reason::TooOld.as_str(), "too_old");
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

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decides: which of the session's grants satisfies the requirement, or what stood nearest to it.
///
/// Of several grants that do not satisfy it, the reason is that of the one that came furthest, so that the
/// answer to a grant grown old is "too old" and not "wrong scope" because of another.
pub(crate) fn decide(
    session: Option<&Session>,
    requirement: &Requirement,
    policy: &Policy,
    now: Timestamp,
) -> Result<usize, Reason> {
    let mut nearest = Reason::Missing;
    for (index, grant) in session.map_or(&[][..], Session::grants).iter().enumerate() {
        match judge(grant, requirement, policy, now) {
            Ok(()) => return Ok(index),
            Err(reason) => nearest = nearest.max(reason),
        }
    }
    Err(nearest)
}

/// The order of the checks is the order of [`Reason`].
fn judge(grant: &Granted, requirement: &Requirement, policy: &Policy, now: Timestamp) -> Result<(), Reason> {
    // A stamp from the future is no proof of anything (T20).
    if grant.verified_at > now.saturating_add(policy.skew) {
        return Err(Reason::Missing);
    }
    if grant.scope != requirement.scope {
        return Err(Reason::WrongScope);
    }
    if !requirement.accepts(&grant.channel) {
        return Err(Reason::WrongChannel);
    }
    if now >= grant.expires_at {
        return Err(Reason::Expired);
    }
    if requirement.max_age.is_some_and(|most| now.saturating_since(grant.verified_at) > most) {
        return Err(Reason::TooOld);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_000_000_000;

    fn at(offset: i64) -> Timestamp {
        Timestamp::from_millis(T0.checked_add_signed(offset).unwrap())
    }

    fn grant(channel: &str, scope: Option<&str>, verified: i64) -> Granted {
        Granted {
            channel: channel.into(),
            scope: scope.map(Into::into),
            verified_at: at(verified),
            expires_at: at(verified + 600_000),
            generation: 1,
        }
    }

    /// A name, the grants, what is asked, when, and which grant decides it.
    type Row = (&'static str, Vec<Granted>, Requirement, i64, Result<usize, Reason>);

    #[test]
    fn decide_is_a_table() {
        let any = Requirement::new;
        let pay = || any().scope("pay");
        let fresh = || any().max_age(Duration::from_secs(120));
        let sms = || grant("SMS", None, 0);
        let table: [Row; 20] = [
            ("no grant", vec![], any(), 0, Err(Reason::Missing)),
            ("fits", vec![sms()], any(), 0, Ok(0)),
            ("last moment", vec![sms()], any(), 599_999, Ok(0)),
            ("deadline", vec![sms()], any(), 600_000, Err(Reason::Expired)),
            ("scope unasked", vec![grant("SMS", Some("pay"), 0)], any(), 0, Err(Reason::WrongScope)),
            ("scope missing", vec![sms()], pay(), 0, Err(Reason::WrongScope)),
            ("scope fits", vec![grant("SMS", Some("pay"), 0)], pay(), 0, Ok(0)),
            ("scope other case", vec![grant("SMS", Some("Pay"), 0)], pay(), 0, Err(Reason::WrongScope)),
            ("scope prefix", vec![grant("SMS", Some("pay2"), 0)], pay(), 0, Err(Reason::WrongScope)),
            ("second fits", vec![sms(), grant("SMS", Some("pay"), 0)], pay(), 0, Ok(1)),
            ("channel fits", vec![sms()], any().channels(["SMS"]), 0, Ok(0)),
            ("channel other", vec![sms()], any().channels(["BIO"]), 0, Err(Reason::WrongChannel)),
            ("channel case", vec![sms()], any().channels(["sms"]), 0, Err(Reason::WrongChannel)),
            ("age at bound", vec![sms()], fresh(), 120_000, Ok(0)),
            ("age past bound", vec![sms()], fresh(), 120_001, Err(Reason::TooOld)),
            ("expired before old", vec![sms()], fresh(), 600_000, Err(Reason::Expired)),
            ("nearest wins", vec![sms(), grant("SMS", Some("pay"), -600_000)], pay(), 0, Err(Reason::Expired)),
            ("skew counts as now", vec![grant("SMS", None, 2_000)], fresh(), 0, Ok(0)),
            ("from the future", vec![grant("SMS", None, 2_001)], any(), 0, Err(Reason::Missing)),
            ("end of time", vec![sms()], any(), i64::MAX - 1_000_000_001, Err(Reason::Expired)),
        ];
        for (name, grants, requirement, now, expected) in table {
            let session = Session::with_grants(grants);
            let decided = decide(Some(&session), &requirement, &Policy::new(), at(now));
            assert_eq!(decided, expected, "{name}");
        }
        assert_eq!(decide(None, &any(), &Policy::new(), at(0)), Err(Reason::Missing));
    }

    #[test]
    fn requirements_that_nothing_satisfies_are_refused() {
        let check = |requirement: Requirement| requirement.check(["SMS", "BIO"].into_iter());
        let any = Requirement::new;
        assert_eq!(check(any()), Ok(()));
        assert_eq!(check(any().scope("pay:eur").max_age(Duration::from_secs(1)).channels(["BIO"])), Ok(()));
        assert_eq!(check(any().max_age(Duration::from_millis(999))), Err(ConfigError::MaxAge));
        assert_eq!(check(any().channels(Vec::<String>::new())), Err(ConfigError::NoChannel));
        assert_eq!(
            check(any().channels(["SMS", "EMAIL"])),
            Err(ConfigError::UnknownChannel { channel: "EMAIL".into() })
        );
        for scope in ["", " ", "a b", "a\"", "a\\", "ü", "a\r\nb", &"x".repeat(129)] {
            assert_eq!(check(any().scope(scope)), Err(ConfigError::Scope { scope: scope.into() }));
        }
    }

    #[test]
    fn reasons_are_ordered_as_they_are_checked() {
        assert!(Reason::ALL.is_sorted());
    }
}
