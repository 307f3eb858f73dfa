//! The grants of a session: added, consumed and restored.

use serde::{Deserialize, Serialize};

use super::Session;
use crate::rules::{GRANTS_PER_SESSION, OperationDigest, Policy, REMEMBRANCE, Timestamp};

/// What a verified challenge gave, as a session's record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// By which it is found, to be restored.
    pub(crate) id: u64,
    pub(crate) channel: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    /// The only operation that it opens.
    pub(crate) operation: Option<OperationDigest>,
    pub(crate) verified_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// That of its challenge: a session that gets another id takes along no grant of an older one.
    pub(crate) generation: u64,
    pub(crate) usage: Use,
}

/// Whether a grant has been spent by a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Use {
    #[default]
    Fresh,
    Consumed,
    /// The handler gave it back, which it can do once.
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

    /// The record with a grant that was not made by a challenge of its own.
    pub(crate) fn with_grant(&self, grant: Granted, now: Timestamp) -> Self {
        let mut next = self.pruned(now);
        next.add_grant(grant);
        next
    }

    /// Spends some of the grants. Each keeps its place.
    pub(crate) fn consume(&self, which: impl Fn(usize) -> bool) -> Self {
        let mut next = self.clone();
        for (_, grant) in next.grants.iter_mut().enumerate().filter(|(index, _)| which(*index)) {
            grant.usage = grant.usage.spent();
        }
        next
    }

    /// Gives back what one request has spent, in its life and generation and for the first time; `None` where that
    /// cannot be done for all of it.
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

    /// The record without the grants that nobody remembers.
    pub(super) fn pruned(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.grants.retain(|grant| now < grant.expires_at.saturating_add(REMEMBRANCE));
        next
    }

    /// A new grant takes the place of an older one for the same by the same channel, and of the oldest
    /// where the list is full.
    pub(super) fn add_grant(&mut self, grant: Granted) {
        let is_like = |old: &Granted| {
            old.channel == grant.channel && old.scope == grant.scope && old.operation == grant.operation
        };
        self.grants.retain(|old| !is_like(old));
        while self.grants.len() >= GRANTS_PER_SESSION {
            let Some(oldest) = (0..self.grants.len()).min_by_key(|&i| self.grants[i].verified_at) else { break };
            self.grants.remove(oldest);
        }
        self.grants.reserve_exact(1);
        self.grants.push(grant);
    }
}
