//! The lock-free index that loads read and swaps compare with: [`Index`].

use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::store::{Key, Revision, Stored};

/// The result of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Done,
    Conflict,
    Full,
}

/// Every record by its key.
pub(super) struct Index {
    pub(super) records: HashMap<Key, Stored, RandomState>,
    /// Records plus places reserved by inserts in progress: never more than `capacity`.
    pub(super) live: AtomicUsize,
    pub(super) capacity: usize,
}

impl Index {
    pub(super) fn new(capacity: usize) -> Self {
        Self { records: HashMap::with_hasher(RandomState::default()), live: AtomicUsize::new(0), capacity }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Stored> {
        self.records.pin().get(key).cloned()
    }

    pub(super) fn revision(&self, key: &Key) -> Option<Revision> {
        self.records.pin().get(key).map(Stored::revision)
    }

    /// Compares and writes. Only one runs for a key at a time; only [`expire`](Self::expire) may run concurrently.
    pub(super) fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>) -> Changed {
        let records = self.records.pin();
        let current = records.get(key);
        let revision = current.map(Stored::revision);
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
                records.insert(*key, next.clone());
                true
            }
            (Some(_), Some(next)) => records.update(*key, |_| next.clone()).is_some(),
            (Some(_), None) => records.remove(key).inspect(|_| self.give_place()).is_some(),
        };
        // It may have expired since the comparison.
        if still_there { Changed::Done } else { Changed::Conflict }
    }

    /// Removes an expired record, unless another one has taken its place.
    pub(super) fn expire(&self, key: &Key, expired: &Stored) {
        let records = self.records.pin();
        if let Ok(Some(_)) = records.remove_if(key, |_, stored| stored.is(expired)) {
            self.give_place();
        }
    }

    fn take_place(&self) -> bool {
        let more = |live: usize| live.checked_add(1).filter(|live| *live <= self.capacity);
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_place(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}
