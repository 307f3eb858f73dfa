//! The lock-free index that loads read and swaps compare with: [`Index`].

use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;

use super::names;
use crate::{
    rules::Summary,
    store::{Key, Record, Revision, Stored},
};

/// The result of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Done,
    Conflict,
    Full,
}

/// A record, and beside the key what decides most requests: a guard then reads one entry, and neither the record nor its
/// reference count.
pub(super) struct Entry {
    summary: Option<Summary>,
    stored: Stored,
}

impl Entry {
    fn new(stored: &Stored) -> Self {
        let summary = match stored.record() {
            Record::Session(session) => Summary::of(session, names::find),
            Record::Subject(_) | Record::Recipient(_) => None,
        };
        Self { summary, stored: stored.clone() }
    }
}

/// Every record by its key.
pub(super) struct Index {
    pub(super) records: HashMap<Key, Entry, RandomState>,
    /// Records plus places reserved by inserts in progress: never more than `capacity`.
    pub(super) live: AtomicUsize,
    pub(super) capacity: usize,
}

impl Index {
    pub(super) fn new(capacity: usize) -> Self {
        Self { records: HashMap::with_hasher(RandomState::default()), live: AtomicUsize::new(0), capacity }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Stored> {
        self.records.pin().get(key).map(|entry| entry.stored.clone())
    }

    pub(super) fn revision(&self, key: &Key) -> Option<Revision> {
        self.records.pin().get(key).map(|entry| entry.stored.revision())
    }

    /// The summary of a session if `permits` accepts it; otherwise the record.
    pub(super) fn permitted(
        &self,
        key: &Key,
        permits: impl FnOnce(&Summary) -> bool,
    ) -> Result<Summary, Option<Stored>> {
        let records = self.records.pin();
        let Some(entry) = records.get(key) else { return Err(None) };
        entry.summary.filter(permits).ok_or_else(|| Some(entry.stored.clone()))
    }

    /// Compares and writes. Only one runs for a key at a time; only [`expire`](Self::expire) may run concurrently.
    pub(super) fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>) -> Changed {
        let records = self.records.pin();
        let current = records.get(key);
        let revision = current.map(|entry| entry.stored.revision());
        if next.is_some_and(|next| revision == Some(next.revision())) {
            return Changed::Done;
        }
        if revision != expected {
            return Changed::Conflict;
        }
        let still_there = match (current, next) {
            (None, None) => true,
            (None, Some(_)) if !self.take_place() => return Changed::Full,
            (None, Some(next)) => {
                // Not `compute`, which in papaya 0.2.5 never helps a growing table to move, so that each load
                // would walk through every table that there was.
                records.insert(*key, Entry::new(next));
                true
            }
            (Some(_), Some(next)) => records.update(*key, |_| Entry::new(next)).is_some(),
            (Some(_), None) => records.remove(key).inspect(|_| self.give_place()).is_some(),
        };
        // It may have expired since the comparison.
        if still_there { Changed::Done } else { Changed::Conflict }
    }

    /// Removes an expired record, unless another one has taken its place.
    pub(super) fn expire(&self, key: &Key, expired: &Stored) {
        let records = self.records.pin();
        if let Ok(Some(_)) = records.remove_if(key, |_, entry| entry.stored.is(expired)) {
            self.give_place();
        }
    }

    /// Whether there is no place for another record at the moment.
    pub(super) fn is_full(&self) -> bool {
        self.live.load(Ordering::Relaxed) >= self.capacity
    }

    fn take_place(&self) -> bool {
        let more = |live: usize| live.checked_add(1).filter(|live| *live <= self.capacity);
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_place(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}
