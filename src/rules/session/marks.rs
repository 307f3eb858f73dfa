//! Marks of what was carried out: which operations have consumed their grant, and when.
//!
//! A response may be lost at any time, and a client must not have an operation approved twice unasked. So a mark stays when
//! its grant is revoked, replaced or displaced. It permits nothing.

use serde::{Deserialize, Serialize};

use super::{Granted, Session};
use crate::rules::{MARKS_PER_SESSION, OperationDigest, REMEMBRANCE, Timestamp};

/// An operation whose grant was consumed, and is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    operation: OperationDigest,
    spent_at: Timestamp,
    /// An hour after the end of its grant.
    pub(super) until: Timestamp,
}

impl Mark {
    fn of(grant: &Granted) -> Option<Self> {
        let until = grant.expires_at.saturating_add(REMEMBRANCE);
        Some(Self { operation: grant.operation?, spent_at: grant.usage.spent_at()?, until })
    }
}

impl Session {
    /// When a request has last consumed a grant for this operation, if that is remembered.
    pub(crate) fn spent_at(&self, operation: &OperationDigest, now: Timestamp) -> Option<Timestamp> {
        let live = self.grants.iter().filter_map(Mark::of);
        let marks = live.chain(self.marks.iter().cloned());
        marks.filter(|mark| mark.operation == *operation && now < mark.until).map(|mark| mark.spent_at).max()
    }

    /// Removes grants; of those that were consumed for an operation a mark stays.
    pub(super) fn remove_grants(&mut self, which: impl Fn(&Granted) -> bool) {
        let marks: Vec<_> = self.grants.iter().filter(|grant| which(grant)).filter_map(Mark::of).collect();
        self.grants.retain(|grant| !which(grant));
        for mark in marks {
            self.add_mark(mark);
        }
    }

    /// Adds a mark: the last of each operation stays, and the latest of all operations.
    pub(super) fn add_mark(&mut self, mark: Mark) {
        if self.marks.iter().any(|old| old.operation == mark.operation && old.spent_at > mark.spent_at) {
            return;
        }
        self.marks.retain(|old| old.operation != mark.operation);
        while self.marks.len() >= MARKS_PER_SESSION {
            let Some(oldest) = (0..self.marks.len()).min_by_key(|&i| self.marks[i].spent_at) else { break };
            self.marks.remove(oldest);
        }
        self.marks.push(mark);
    }
}
