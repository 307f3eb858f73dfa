//! The grants of a session, which verified challenges give: added, consumed and restored.

use serde::{Deserialize, Serialize};

use super::Session;
use crate::rules::{GRANTS_PER_SESSION, OperationDigest, Policy, REMEMBRANCE, Timestamp};

/// A grant in a session's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// The id of its challenge, by which a consumed grant is restored.
    pub(crate) id: u64,
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    /// The only operation that it permits, if it is bound to one.
    pub(crate) operation: Option<OperationDigest>,
    pub(crate) verified_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// The generation of its challenge. A session that changes its id keeps no grants of an earlier one.
    pub(crate) generation: u64,
    pub(crate) usage: Use,
}

/// Whether a request has consumed a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Use {
    #[default]
    Fresh,
    Consumed(Timestamp),
    /// The handler restored it, which is possible once.
    Restored,
    /// It can no longer be restored.
    ConsumedAgain(Timestamp),
}

impl Use {
    pub(crate) const fn is_spent(self) -> bool {
        self.spent_at().is_some()
    }

    /// When the grant was consumed.
    pub(crate) const fn spent_at(self) -> Option<Timestamp> {
        match self {
            Self::Fresh | Self::Restored => None,
            Self::Consumed(at) | Self::ConsumedAgain(at) => Some(at),
        }
    }

    const fn spent(self, now: Timestamp) -> Self {
        match self {
            Self::Fresh | Self::Consumed(_) => Self::Consumed(now),
            Self::Restored | Self::ConsumedAgain(_) => Self::ConsumedAgain(now),
        }
    }
}

impl Granted {
    pub(crate) fn is_live(&self, policy: &Policy, now: Timestamp) -> bool {
        now < self.expires_at && self.verified_at <= now.saturating_add(policy.clock_skew) && !self.usage.is_spent()
    }

    /// Whether it is alive or its end is still reported.
    pub(crate) fn is_remembered(&self, now: Timestamp) -> bool {
        now < self.expires_at.saturating_add(REMEMBRANCE)
    }

    fn is_like(&self, other: &Self) -> bool {
        self.channel == other.channel && self.scope == other.scope && self.operation == other.operation
    }
}

/// Grants.
impl Session {
    pub(crate) fn grants(&self) -> &[Granted] {
        &self.grants
    }

    /// The record with a grant that did not come from one of its challenges.
    pub(crate) fn with_grant(&self, grant: Granted, now: Timestamp) -> Self {
        let mut next = self.pruned(now);
        next.add_grant(grant);
        next
    }

    /// Consumes the grants at the given indexes. The order stays the same.
    pub(crate) fn consume(&self, which: impl Fn(usize) -> bool, now: Timestamp) -> Self {
        let mut next = self.clone();
        for (_, grant) in next.grants.iter_mut().enumerate().filter(|(index, _)| which(*index)) {
            grant.usage = grant.usage.spent(now);
        }
        next
    }

    /// Restores the grants that one request consumed, within their lifetime and generation, each at most once. `None`
    /// if any of them cannot be restored.
    pub(crate) fn restore(&self, ids: &[u64], generation: u64, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        for id in ids {
            let is_it = |grant: &&mut Granted| grant.id == *id && grant.generation == generation;
            let could_be_used =
                |grant: &&mut Granted| matches!(grant.usage, Use::Consumed(_)) && now < grant.expires_at;
            let grant = next.grants.iter_mut().find(is_it).filter(could_be_used)?;
            grant.usage = Use::Restored;
        }
        Some(next)
    }

    /// The record without what is no longer remembered.
    pub(super) fn pruned(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.grants.retain(|grant| grant.is_remembered(now));
        next.marks.retain(|mark| now < mark.until);
        next
    }

    /// Adds a grant. It replaces one of the same channel, scope and operation, and in a full list one that was consumed, or
    /// else the oldest.
    pub(super) fn add_grant(&mut self, grant: Granted) {
        self.remove_grants(|old| old.is_like(&grant));
        while self.grants.len() >= GRANTS_PER_SESSION {
            let worth = |grant: &Granted| (!grant.usage.is_spent(), grant.verified_at);
            let Some(least) = self.grants.iter().min_by_key(|grant| worth(grant)).map(|grant| grant.id) else { break };
            self.remove_grants(|old| old.id == least);
        }
        self.grants.push(grant);
    }
}
