//! What a route asks for ([`Requirement`]), and the one function that decides whether a session has it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use http::request::Parts;

use crate::rules::{ConfigError, GRANTS_PER_SESSION, Granted, Malformed, OperationDigest, Policy, Session, Timestamp};

/// Bytes of a scope at most.
const SCOPE_LIMIT: usize = 128;

/// Channels that a requirement names at most.
const FACTOR_LIMIT: usize = 16;

/// What a route asks of a step-up. The default asks for one of the whole session, by any channel, of any
/// age within the grant's life.
///
/// The rule owns the age: a grant only says when it was verified, by which channel, and for what.
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
    condition: Option<Condition>,
}

/// The channels that a requirement names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Factors {
    list: Vec<Factor>,
    /// Whether it takes a step-up by each of them.
    all: bool,
}

/// A channel, and how old a step-up by it may be.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_step_up::{Factor, Requirement};
///
/// // A code of the last ten minutes, and an approval of the last one.
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

    /// Verified at most this long ago; a second at least. The requirement's own age holds as well.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }
}

impl<C: Into<Box<str>>> From<C> for Factor {
    fn from(channel: C) -> Self {
        Self::new(channel)
    }
}

/// On which requests a requirement is one.
#[derive(Clone)]
struct Condition(Arc<dyn Fn(&Parts) -> bool + Send + Sync>);

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition(..)")
    }
}

impl Requirement {
    /// Any step-up of the whole session.
    pub const fn new() -> Self {
        Self { scope: None, or_session: false, max_age: None, factors: None, once: false, condition: None }
    }

    /// Only a step-up that was started for this scope: 1 to 128 visible ASCII characters. One of the whole
    /// session does not do, unless the route says [`or_session`](Self::or_session).
    pub fn scope(mut self, scope: impl Into<Box<str>>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Beside one for the [`scope`](Self::scope), a step-up of the whole session does as well.
    pub const fn or_session(mut self) -> Self {
        self.or_session = true;
        self
    }

    /// Only a step-up that was verified at most this long ago; a second at least. The grant's own life still ends it.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Only a step-up by one of these channels, at most 16, each with its own age where it is a [`Factor`].
    pub fn channels<F: Into<Factor>>(mut self, any_of: impl IntoIterator<Item = F>) -> Self {
        self.factors = Some(Factors { list: any_of.into_iter().map(Into::into).collect(), all: false });
        self
    }

    /// A step-up by each of these channels, at most 16: a code and an approval, say. They may be verified in any
    /// order.
    pub fn all_of<F: Into<Factor>>(mut self, factors: impl IntoIterator<Item = F>) -> Self {
        self.factors = Some(Factors { list: factors.into_iter().map(Into::into).collect(), all: true });
        self
    }

    /// A step-up that one request spends. It is spent before the handler runs, so that of many requests at once one
    /// passes; a handler that fails before it did anything can [give it back](crate::Grant::give_back). What is spent
    /// opens no other route either.
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Asks only where `condition` says so; any other request passes as it is, with no grant in its caller.
    ///
    /// Where the condition panics, and where there is no request to look at ([`StepUp::check`](crate::StepUp::check)),
    /// a step-up is asked for.
    ///
    /// # Example
    ///
    /// ```
    /// use http::{Method, request::Parts};
    /// use tower_step_up::Requirement;
    ///
    /// let to_change = Requirement::new().when(|request: &Parts| request.method != Method::GET);
    /// ```
    pub fn when(mut self, condition: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Condition(Arc::new(condition)));
        self
    }

    /// Whether a request spends the step-up.
    pub(crate) const fn is_once(&self) -> bool {
        self.once
    }

    /// Whether it depends on the request that it is one.
    pub(crate) const fn is_conditional(&self) -> bool {
        self.condition.is_some()
    }

    /// Whether it is one for this request.
    pub(crate) fn applies(&self, request: &Parts) -> bool {
        let Some(Condition(condition)) = &self.condition else { return true };
        catch_unwind(AssertUnwindSafe(|| condition(request))).unwrap_or(true)
    }

    /// How old a step-up by this channel may be, if at all: the stricter of the channel's own age and the
    /// requirement's. `None` for a channel that is not accepted.
    #[expect(clippy::option_option, reason = "a channel that is not accepted, and one of any age")]
    fn max_age_by(&self, channel: &str) -> Option<Option<Duration>> {
        let Some(factors) = &self.factors else { return Some(self.max_age) };
        let factor = factors.list.iter().find(|factor| *factor.channel == *channel)?;
        Some([self.max_age, factor.max_age].into_iter().flatten().min())
    }

    /// Whether a channel is accepted.
    pub(crate) fn accepts(&self, channel: &str) -> bool {
        self.max_age_by(channel).is_some()
    }

    /// Whether it takes a step-up by each of the channels.
    pub(crate) fn takes_all(&self) -> bool {
        self.factors.as_ref().is_some_and(|factors| factors.all)
    }

    /// Refuses what no grant could ever satisfy.
    pub(crate) fn check<'a>(
        &self,
        registered: impl Iterator<Item = &'a str> + Clone,
        scopes: Option<&[Box<str>]>,
    ) -> Result<(), ConfigError> {
        match &self.scope {
            Some(scope) if check_scope(scope).is_err() => {
                return Err(ConfigError::Scope { scope: scope.to_string() });
            }
            Some(scope) if scopes.is_some_and(|known| !known.contains(scope)) => {
                return Err(ConfigError::UnknownScope { scope: scope.to_string() });
            }
            None if self.or_session => return Err(ConfigError::OrSession),
            _ => {}
        }
        let factors = self.factors.as_ref().map_or(&[][..], |factors| &factors.list);
        let ages = factors.iter().map(|factor| factor.max_age).chain([self.max_age]).flatten();
        if ages.into_iter().any(|age| age < Duration::from_secs(1)) {
            return Err(ConfigError::MaxAge);
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

/// What a session lacks to satisfy a [`Requirement`], and where that can be had.
#[derive(Clone, PartialEq, Eq)]
pub struct Unmet {
    reason: Reason,
    parts: Vec<UnmetPart>,
    binding: Option<Box<str>>,
}

/// One channel that a requirement names, and why no grant by it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetPart {
    channel: Box<str>,
    reason: Reason,
    max_age: Option<Duration>,
}

impl Unmet {
    /// Why: of several grants that do not do, the reason of the one that came furthest.
    #[must_use]
    pub const fn reason(&self) -> Reason {
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
    pub const fn reason(&self) -> Reason {
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

impl From<Reason> for Unmet {
    fn from(reason: Reason) -> Self {
        Self { reason, parts: Vec::new(), binding: None }
    }
}

/// The grants that satisfy a requirement, by their places in the session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Satisfied {
    /// The one that a handler is shown.
    pub(crate) first: usize,
    /// All of them, a bit each: a session has 16 at most.
    pub(crate) all: u32,
}

impl Satisfied {
    fn by(index: usize) -> Self {
        Self { first: index, all: 1 << index }
    }

    fn and(self, other: Self) -> Self {
        Self { first: self.first, all: self.all | other.all }
    }

    pub(crate) const fn contains(self, index: usize) -> bool {
        index < GRANTS_PER_SESSION && self.all & (1 << index) != 0
    }
}

/// Decides: which of the session's grants satisfy the requirement for this operation, or what stood nearest to it.
///
/// Of several grants that do not satisfy it, the reason is that of the one that came furthest, so that the
/// answer to a grant grown old is "too old" and not "wrong scope" because of another.
pub(crate) fn decide(
    session: Option<&Session>,
    requirement: &Requirement,
    operation: Option<&OperationDigest>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Satisfied, Unmet> {
    // A record with more grants than are ever written is not one of ours: none of them counts.
    let grants = session.map_or(&[][..], Session::grants);
    let grants = if grants.len() > GRANTS_PER_SESSION { &[] } else { grants };
    let rule = Rule { requirement, operation, policy, now };
    let listed = requirement.factors.as_ref().map_or(&[][..], |factors| &factors.list);
    if !requirement.takes_all() {
        // Where the channels differ in nothing, there is no more to say of each than of all.
        let listed = if listed.iter().any(|factor| factor.max_age.is_some()) { listed } else { &[] };
        return rule.nearest(grants, |_| true).map(Satisfied::by).map_err(|reason| {
            let parts = listed.iter().map(|factor| rule.unmet(factor, rule.by(grants, factor).err().unwrap_or(reason)));
            Unmet { reason, parts: parts.collect(), binding: None }
        });
    }
    let mut satisfied: Option<Satisfied> = None;
    let mut parts = Vec::new();
    for factor in listed {
        match rule.by(grants, factor).map(Satisfied::by) {
            Ok(this) => satisfied = Some(satisfied.map_or(this, |others| others.and(this))),
            Err(reason) => parts.push(rule.unmet(factor, reason)),
        }
    }
    match (satisfied, parts.iter().map(UnmetPart::reason).max()) {
        (Some(satisfied), None) => Ok(satisfied),
        (_, reason) => Err(Unmet { reason: reason.unwrap_or(Reason::Missing), parts, binding: None }),
    }
}

/// What a grant is judged by.
struct Rule<'a> {
    requirement: &'a Requirement,
    operation: Option<&'a OperationDigest>,
    policy: &'a Policy,
    now: Timestamp,
}

impl Rule<'_> {
    /// The first of some grants that does, or the reason of the one that came furthest.
    fn nearest(&self, grants: &[Granted], among: impl Fn(&Granted) -> bool) -> Result<usize, Reason> {
        let mut nearest = Reason::Missing;
        for (index, grant) in grants.iter().enumerate().filter(|(_, grant)| among(grant)) {
            match self.judge(grant) {
                Ok(()) => return Ok(index),
                Err(reason) => nearest = nearest.max(reason),
            }
        }
        Err(nearest)
    }

    /// The same among the grants of one channel.
    fn by(&self, grants: &[Granted], factor: &Factor) -> Result<usize, Reason> {
        self.nearest(grants, |grant| grant.channel == factor.channel)
    }

    /// The order of the checks is the order of [`Reason`].
    fn judge(&self, grant: &Granted) -> Result<(), Reason> {
        let Self { requirement, operation, policy, now } = *self;
        // A stamp from the future is no proof of anything (T20).
        if grant.verified_at > now.saturating_add(policy.skew) {
            return Err(Reason::Missing);
        }
        let is_session = grant.scope.is_none() && requirement.or_session;
        if grant.scope != requirement.scope && !is_session {
            return Err(Reason::WrongScope);
        }
        let Some(max_age) = requirement.max_age_by(&grant.channel) else { return Err(Reason::WrongChannel) };
        // What is bound opens its own operation and nothing else, and nothing else opens that.
        if grant.operation.as_ref() != operation || (operation.is_none() && policy.bound) {
            return Err(Reason::Mismatch);
        }
        if grant.usage.is_spent() {
            return Err(Reason::Spent);
        }
        if now >= grant.expires_at {
            return Err(Reason::Expired);
        }
        if max_age.is_some_and(|most| now.saturating_since(grant.verified_at) > most) {
            return Err(Reason::TooOld);
        }
        Ok(())
    }

    fn unmet(&self, factor: &Factor, reason: Reason) -> UnmetPart {
        let max_age = self.requirement.max_age_by(&factor.channel).flatten();
        UnmetPart { channel: factor.channel.clone(), reason, max_age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Usage, operation_of};

    const T0: u64 = 1_000_000_000;

    fn at(offset: i64) -> Timestamp {
        Timestamp::from_millis(T0.checked_add_signed(offset).unwrap())
    }

    fn grant(channel: &str, scope: Option<&str>, verified: i64) -> Granted {
        Granted {
            id: 1,
            channel: channel.into(),
            scope: scope.map(Into::into),
            operation: None,
            verified_at: at(verified),
            expires_at: at(verified + 600_000),
            generation: 1,
            usage: Usage::Unused,
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
            let decided = decide(Some(&session), &requirement, None, &Policy::new(), at(now));
            let decided = decided.map(|satisfied| satisfied.first).map_err(|unmet| unmet.reason());
            assert_eq!(decided, expected, "{name}");
        }
        assert_eq!(decide(None, &any(), None, &Policy::new(), at(0)), Err(Reason::Missing.into()));
    }

    /// A row is the grants, what is asked, when, and what follows: the places of the grants that it takes, or why none
    /// does, and why by which channel.
    #[test]
    fn channels_are_any_or_all_each_with_its_age() {
        let bio = || Factor::new("BIO").max_age(Duration::from_secs(60));
        let both = || Requirement::new().all_of([Factor::new("SMS"), bio()]);
        let either = || Requirement::new().channels([Factor::new("SMS"), bio()]);
        let strict = || either().max_age(Duration::from_secs(30));
        let at = |channel, verified| grant(channel, None, verified);
        let table = [
            (vec![], both(), 0, "missing: SMS missing, BIO missing"),
            (vec![at("SMS", 0)], both(), 0, "missing: BIO missing"),
            (vec![at("BIO", 0)], both(), 0, "missing: SMS missing"),
            (vec![at("SMS", 0), at("BIO", 0)], both(), 0, "0b11"),
            (vec![at("BIO", 0), at("X", 0), at("SMS", 0)], both(), 0, "0b101"),
            (vec![at("SMS", 0), at("BIO", 0)], both(), 60_000, "0b11"),
            (vec![at("SMS", 0), at("BIO", 0)], both(), 60_001, "too_old: BIO too_old"),
            (vec![at("BIO", 0)], both(), 60_001, "too_old: SMS missing, BIO too_old"),
            (vec![at("X", 0)], both(), 0, "missing: SMS missing, BIO missing"),
            (vec![at("SMS", 0)], either(), 60_001, "0b1"),
            (vec![at("X", 0), at("BIO", 0)], either(), 60_000, "0b10"),
            (vec![at("BIO", 0)], either(), 60_001, "too_old: SMS missing, BIO too_old"),
            (vec![at("X", 0)], either(), 0, "wrong_channel: SMS missing, BIO missing"),
            (vec![at("SMS", 0)], strict(), 30_000, "0b1"),
            (vec![at("SMS", 0)], strict(), 30_001, "too_old: SMS too_old, BIO missing"),
        ];
        for (row, (grants, requirement, now, expected)) in table.into_iter().enumerate() {
            let session = Session::with_grants(grants);
            let decided = match decide(Some(&session), &requirement, None, &Policy::new(), self::at(now)) {
                Ok(satisfied) => {
                    let taken: Vec<_> = (0..4).filter(|index| satisfied.contains(*index)).collect();
                    assert_eq!(satisfied.all, taken.iter().map(|index| 1 << index).sum::<u32>());
                    format!("{:#b}", satisfied.all)
                }
                Err(unmet) => {
                    let part = |part: &UnmetPart| format!("{} {}", part.channel(), part.reason());
                    let parts: Vec<_> = unmet.parts().iter().map(part).collect();
                    format!("{}: {}", unmet.reason(), parts.join(", "))
                }
            };
            assert_eq!(decided, expected, "row {row}");
        }
    }

    #[test]
    fn what_is_bound_spent_or_for_the_session() {
        let this = operation_of("this");
        let bound = |name| Granted { operation: Some(operation_of(name)), ..grant("SMS", None, 0) };
        let used = |usage| Granted { usage, ..grant("SMS", None, 0) };
        let any = Requirement::new;
        let decided = |grants: Vec<Granted>, requirement: &Requirement, operation: Option<_>, policy: &Policy| {
            let decided = decide(Some(&Session::with_grants(grants)), requirement, operation, policy, at(0));
            decided.map(|satisfied| satisfied.first).map_err(|unmet| unmet.reason())
        };
        let policy = &Policy::new();
        assert_eq!(decided(vec![bound("this")], &any(), Some(&this), policy), Ok(0));
        assert_eq!(decided(vec![bound("other")], &any(), Some(&this), policy), Err(Reason::Mismatch));
        assert_eq!(decided(vec![bound("this")], &any(), None, policy), Err(Reason::Mismatch), "it opens nothing else");
        assert_eq!(decided(vec![grant("SMS", None, 0)], &any(), Some(&this), policy), Err(Reason::Mismatch));
        assert_eq!(
            decided(vec![grant("SMS", None, 0)], &any(), None, &policy.clone().bound_grants()),
            Err(Reason::Mismatch)
        );
        assert_eq!(decided(vec![used(Usage::Spent)], &any(), None, policy), Err(Reason::Spent));
        assert_eq!(decided(vec![used(Usage::GivenBack)], &any(), None, policy), Ok(0));
        assert_eq!(decided(vec![used(Usage::SpentAgain)], &any(), None, policy), Err(Reason::Spent));
        let pay = || any().scope("pay");
        assert_eq!(decided(vec![grant("SMS", None, 0)], &pay().or_session(), None, policy), Ok(0));
        assert_eq!(decided(vec![grant("SMS", Some("pay"), 0)], &pay().or_session(), None, policy), Ok(0));
        assert_eq!(
            decided(vec![grant("SMS", Some("x"), 0)], &pay().or_session(), None, policy),
            Err(Reason::WrongScope)
        );
    }

    #[test]
    fn a_record_with_too_many_grants_satisfies_nothing() {
        let any = Requirement::new;
        for (count, fits) in [(16, true), (17, false), (32, false), (41, false), (65, false)] {
            let mut grants = vec![grant("SMS", Some("pay"), 0); count - 1];
            grants.push(grant("SMS", None, 0));
            let session = Session::with_grants(grants);
            for asked in [any(), any().channels(["SMS"]), any().all_of(["SMS"])] {
                let decided = decide(Some(&session), &asked, None, &Policy::new(), at(0));
                let expected = if fits { Ok(count - 1) } else { Err(Reason::Missing) };
                assert_eq!(decided.as_ref().map(|it| it.first).map_err(Unmet::reason), expected, "{count}");
                assert!(
                    decided.is_err() || (0..100).all(|at| decided.as_ref().unwrap().contains(at) == (at == count - 1))
                );
            }
        }
    }

    #[test]
    fn conditions_fail_closed() {
        let request = http::Request::get("/").body(()).unwrap().into_parts().0;
        let when = |condition: fn(&Parts) -> bool| Requirement::new().when(condition).applies(&request);
        assert!(when(|request| request.method == http::Method::GET));
        assert!(!when(|request| request.method == http::Method::POST));
        assert!(when(|_| panic!("the application's own")));
        let conditional = Requirement::new().when(|_| true);
        assert_eq!((conditional.is_conditional(), Requirement::new().is_conditional()), (true, false));
        assert_eq!(conditional.clone(), conditional);
        assert_ne!(conditional, Requirement::new().when(|_| true), "another closure may decide otherwise");
    }

    #[test]
    fn what_is_said_of_a_requirement_and_what_it_lacks() {
        let any = Requirement::new;
        assert_eq!((any().is_once(), any().once().is_once()), (false, true));
        assert_eq!((any().accepts("X"), any().channels(["SMS"]).accepts("X")), (true, false));
        assert!(any().all_of(["SMS", "BIO"]).accepts("BIO"));
        let unmet = Unmet::from(Reason::Spent).bound("canary".into());
        assert_eq!(unmet.binding(), Some("canary"));
        let printed = format!("{unmet:?}");
        assert!(printed.contains("Spent") && !printed.contains("canary"), "{printed}");
    }

    #[test]
    fn requirements_that_nothing_satisfies_are_refused() {
        let check = |requirement: Requirement| requirement.check(["SMS", "BIO"].into_iter(), Some(&["pay:eur".into()]));
        let any = Requirement::new;
        assert_eq!(check(any()), Ok(()));
        assert_eq!(check(any().scope("pay:eur").max_age(Duration::from_secs(1)).channels(["BIO"])), Ok(()));
        assert_eq!(check(any().max_age(Duration::from_millis(999))), Err(ConfigError::MaxAge));
        assert_eq!(check(any().channels(Vec::<String>::new())), Err(ConfigError::NoChannel));
        assert_eq!(
            check(any().channels(["SMS", "EMAIL"])),
            Err(ConfigError::UnknownChannel { channel: "EMAIL".into() })
        );
        assert_eq!(check(any().scope("pay")), Err(ConfigError::UnknownScope { scope: "pay".into() }));
        assert_eq!(check_scope(&"x".repeat(128)), Ok(()));
        assert_eq!(check(any().or_session()), Err(ConfigError::OrSession));
        assert_eq!(check(any().scope("pay:eur").or_session().once()), Ok(()));
        assert_eq!(check(any().all_of([Factor::new("SMS").max_age(Duration::ZERO)])), Err(ConfigError::MaxAge));
        assert_eq!(check(any().all_of(["SMS", "BIO"])), Ok(()));
        assert_eq!(check(any().all_of(["SMS", "SMS"])), Err(ConfigError::RepeatedChannel { channel: "SMS".into() }));
        assert_eq!(check(any().channels(vec!["SMS"; 17])), Err(ConfigError::TooManyChannels));
        assert!(matches!(check(any().channels(vec!["SMS"; 16])), Err(ConfigError::RepeatedChannel { .. })));
        for scope in ["", " ", "a b", "a\"", "a\\", "ü", "a\r\nb", &"x".repeat(129)] {
            assert_eq!(check(any().scope(scope)), Err(ConfigError::Scope { scope: scope.into() }));
        }
    }

    #[test]
    fn reasons_are_ordered_as_they_are_checked() {
        assert!(Reason::ALL.is_sorted());
    }
}
