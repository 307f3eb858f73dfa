//! [`decide`]: whether the grants of a session satisfy a requirement.

use std::time::Duration;

use super::{Factor, Requirement, Unmet, UnmetPart, UnmetReason};
use crate::rules::{GRANTS_PER_SESSION, Granted, OperationDigest, Policy, Session, Timestamp};

/// The grants that satisfy a requirement, by their indexes in the session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Satisfied {
    /// The grant that the handler sees.
    pub(crate) first: usize,
    /// All of them, one bit each: a session has at most 16.
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

/// Decides which of the session's grants satisfy the requirement for this operation, or why none does.
///
/// If several grants fail, the reason is that of the grant that passed the most checks: an aged grant gives "too old",
/// even if another one has the wrong scope. But one that this very operation has consumed always gives "spent".
pub(crate) fn decide(
    session: Option<&Session>,
    requirement: &Requirement,
    operation: Option<&OperationDigest>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Satisfied, Unmet> {
    // This library never writes a record with more grants, so none of them counts.
    let grants = session.map_or(&[][..], Session::grants);
    let grants = if grants.len() > GRANTS_PER_SESSION { &[] } else { grants };
    let rule = Rule { requirement, operation, policy, now };
    let listed = requirement.factors.as_ref().map_or(&[][..], |factors| &factors.list);
    if !requirement.takes_all() {
        // Without ages for single channels, the parts would repeat the reason.
        let listed = if listed.iter().any(|factor| factor.max_age.is_some()) { listed } else { &[] };
        return rule.nearest(grants, |_| true).map(Satisfied::by).map_err(|reason| {
            let parts = listed.iter().map(|factor| rule.unmet(factor, rule.by(grants, factor).err().unwrap_or(reason)));
            rule.refused(session, reason, parts.collect())
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
        (_, reason) => Err(rule.refused(session, reason.unwrap_or(UnmetReason::Missing), parts)),
    }
}

/// A grant compared with a requirement, however their names are kept.
#[derive(Clone, Copy)]
#[expect(clippy::option_option, reason = "a channel that is not accepted, and one of any age")]
pub(super) struct Compared {
    /// Whether its scope is accepted.
    pub(super) scope: bool,
    /// The maximum age of a step-up by its channel; the outer `None` means that the channel is not accepted.
    pub(super) max_age: Option<Option<Duration>>,
    /// Whether it permits the operation.
    pub(super) operation: bool,
    pub(super) spent: bool,
    pub(super) verified_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl Compared {
    /// The order of the checks is the order of [`UnmetReason`].
    pub(super) fn judge(self, policy: &Policy, now: Timestamp) -> Result<(), UnmetReason> {
        // A timestamp beyond the clock skew proves nothing (T20).
        if self.verified_at > now.saturating_add(policy.clock_skew) {
            return Err(UnmetReason::Missing);
        }
        if !self.scope {
            return Err(UnmetReason::WrongScope);
        }
        let Some(max_age) = self.max_age else { return Err(UnmetReason::WrongChannel) };
        if !self.operation {
            return Err(UnmetReason::Mismatch);
        }
        if self.spent {
            return Err(UnmetReason::Spent);
        }
        if now >= self.expires_at {
            return Err(UnmetReason::Expired);
        }
        if max_age.is_some_and(|most| now.saturating_since(self.verified_at) > most) {
            return Err(UnmetReason::TooOld);
        }
        Ok(())
    }
}

/// What a grant is checked against.
struct Rule<'a> {
    requirement: &'a Requirement,
    operation: Option<&'a OperationDigest>,
    policy: &'a Policy,
    now: Timestamp,
}

impl Rule<'_> {
    /// The first matching grant that satisfies the rule, or the reason of the one that passed the most checks.
    fn nearest(&self, grants: &[Granted], among: impl Fn(&Granted) -> bool) -> Result<usize, UnmetReason> {
        let mut nearest = UnmetReason::Missing;
        let remembered = |grant: &Granted| grant.is_remembered(self.now);
        for (index, grant) in grants.iter().enumerate().filter(|(_, grant)| remembered(grant) && among(grant)) {
            match self.judge(grant) {
                Ok(()) => return Ok(index),
                Err(reason) => nearest = nearest.max(reason),
            }
        }
        Err(nearest)
    }

    /// The same among the grants of one channel.
    fn by(&self, grants: &[Granted], factor: &Factor) -> Result<usize, UnmetReason> {
        self.nearest(grants, |grant| grant.channel == factor.channel)
    }

    fn judge(&self, grant: &Granted) -> Result<(), UnmetReason> {
        let Self { requirement, operation, policy, now } = *self;
        let compared = Compared {
            scope: grant.scope == requirement.scope || (grant.scope.is_none() && requirement.or_session),
            max_age: requirement.max_age_by(&grant.channel),
            // A bound grant permits only its own operation, and a bound operation needs such a grant.
            operation: grant.operation.as_ref() == operation && (operation.is_some() || !policy.bound),
            spent: grant.usage.is_spent(),
            verified_at: grant.verified_at,
            expires_at: grant.expires_at,
        };
        compared.judge(policy, now)
    }

    /// A grant that this operation has consumed comes before every other reason: the client may have lost the response,
    /// and must not have the operation approved again unasked.
    fn refused(&self, session: Option<&Session>, reason: UnmetReason, parts: Vec<UnmetPart>) -> Unmet {
        let spent_at = session.zip(self.operation).and_then(|(session, own)| session.spent_at(own, self.now));
        let reason = if spent_at.is_some() { UnmetReason::Spent } else { reason };
        Unmet { parts, spent_at, ..reason.into() }
    }

    fn unmet(&self, factor: &Factor, reason: UnmetReason) -> UnmetPart {
        let max_age = self.requirement.max_age_by(&factor.channel).flatten();
        UnmetPart { channel: factor.channel.clone(), reason, max_age }
    }
}
