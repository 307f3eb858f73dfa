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
    Consumed,
    /// The handler restored it, which is possible once.
    Restored,
    ConsumedAgain,
}

impl Use {
    pub(crate) const fn is_spent(self) -> bool {
        matches!(self, Self::Consumed | Self::ConsumedAgain)
    }

    const fn spent(self) -> Self {
        match self {
            Self::Fresh | Self::Consumed => Self::Consumed,
            Self::Restored | Self::ConsumedAgain => Self::ConsumedAgain,
        }
    }
}

impl Granted {
    pub(crate) fn is_live(&self, policy: &Policy, now: Timestamp) -> bool {
        now < self.expires_at && self.verified_at <= now.saturating_add(policy.clock_skew) && !self.usage.is_spent()
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
    pub(crate) fn consume(&self, which: impl Fn(usize) -> bool) -> Self {
        let mut next = self.clone();
        for (_, grant) in next.grants.iter_mut().enumerate().filter(|(index, _)| which(*index)) {
            grant.usage = grant.usage.spent();
        }
        next
    }

    /// Restores the grants that one request consumed, within their lifetime and generation, each at most once. `None`
    /// if any of them cannot be restored.
    pub(crate) fn restore(&self, ids: &[u64], generation: u64, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        for id in ids {
            let is_it = |grant: &&mut Granted| grant.id == *id && grant.generation == generation;
            let could_be_used = |grant: &&mut Granted| grant.usage == Use::Consumed && now < grant.expires_at;
            let grant = next.grants.iter_mut().find(is_it).filter(could_be_used)?;
            grant.usage = Use::Restored;
        }
        Some(next)
    }

    /// The record without grants that expired longer ago than they are remembered.
    pub(super) fn pruned(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.grants.retain(|grant| now < grant.expires_at.saturating_add(REMEMBRANCE));
        next
    }

    /// Adds a grant. It replaces one of the same channel, scope and operation, and the oldest if the list is full.
    pub(super) fn add_grant(&mut self, grant: Granted) {
        let is_like = |old: &Granted| {
            old.channel == grant.channel && old.scope == grant.scope && old.operation == grant.operation
        };
        self.grants.retain(|old| !is_like(old));
        while self.grants.len() >= GRANTS_PER_SESSION {
            let Some(oldest) = (0..self.grants.len()).min_by_key(|&i| self.grants[i].verified_at) else { break };
            self.grants.remove(oldest);
        }
        self.grants.push(grant);
    }
}
