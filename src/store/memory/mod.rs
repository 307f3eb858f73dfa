//! The in-process store: moka caches that order writes, and a lock-free index for reads.
//!
//! moka orders the writes of a key, frees expired records, and never evicts for size. Its `get` costs four to ten times
//! a lock-free map's read and may run its clean-up in the caller, so [`load`](Store::load) reads only the index.
//!
//! # Why index and cache stay consistent
//!
//! *The index is authoritative.* A swap compares and writes the index's value ([`Index::swap`]), so a load and a swap
//! never disagree, regardless of what moka still holds or has cleaned up. It does so inside `and_compute_with`, which
//! runs one compute per key at a time, so only an expiry can intervene; then the swap is a conflict.
//!
//! *moka follows the index.* The compute puts the same value into moka before the next compute of that key starts.
//!
//! *What moka frees leaves the index.* moka removes an expired value and calls the eviction listener under one lock of
//! that key, which its own insert takes too. The listener removes only that same value from the index: if a compute has
//! already written a newer one, the listener leaves it, and that compute's put, waiting for the lock, creates moka's
//! entry again. If the listener runs first, the compute finds no record. The listener does not call moka and takes no
//! lock that a compute holds.
//!
//! So a record is in the index from the swap that wrote it until it is replaced, deleted or expires, and every record
//! in the index has its deadline in moka. Writing to moka without the entry API would break this; `clippy.toml` forbids
//! it.
//!
//! # Why there are several caches
//!
//! moka 0.12 frees everything that has expired in a cache in one go, and moves its timers in one go when a minute, an hour
//! or a day of its wheel ends. Meanwhile other writers of that cache wait as soon as 384 writes are queued; and a load
//! that was interrupted in its middle frees what has left the index since. So each cache has a small part of the keys,
//! and the upkeep pauses between them.
//!
//! # Why the memory of a process grows in steps
//!
//! moka 0.12 hands its garbage over after every compute, in a bag of 2 KiB. Bags are freed once no thread is in the middle
//! of an operation that began before; where the system interrupts one there, all computes meanwhile leave theirs. The
//! system's allocator keeps the pages of such a peak, so the resident memory steps up to it, once; what is allocated
//! returns to what the records need.
//!
//! (papaya 0.2 frees a table that it has replaced once the thread that replaced it has also replaced or removed 31
//! records; until then each thread may hold as many old tables, at 9 bytes a place.)
//!
//! (A limit of moka 0.12.16: an entry that was written more than 65,535 times is no longer freed by itself,
//! because a counter wraps. Such a record stays until it is deleted.)

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use moka::ops::compute::Op;

use self::{
    expiry::Expiring,
    index::{Changed, Index},
};
use super::{
    Change, Key, Revision, Store, StoreError, Stored, Swapped,
    backend::{Backend, Seal},
};
use crate::rules::{Name, Summary};

mod expiry;
mod index;
mod names;
#[cfg(test)]
mod tests;
mod upkeep;

/// Default capacity, in records.
const CAPACITY: usize = 1_000_000;

/// The default store: keeps records in this process. Clones share the same records.
///
/// A load takes no lock and allocates nothing. Each record is freed after its [`ttl`](Stored::ttl), at most a quarter
/// of it later, by one thread per process that runs five times a second. Only where writes come faster than that, a
/// request frees a sixteenth of what has expired.
///
/// # Example
///
/// ```
/// use tower_step_up::{StepUp, store::MemoryStore};
///
/// let store = MemoryStore::with_capacity(200_000);
/// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).store(store.clone()).build()?;
/// assert!(store.is_empty());
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
///
/// # How large
///
/// The capacity counts records, of sessions and of users alike. How long one is kept:
///
/// | record | kept for |
/// |---|---|
/// | a session's | an hour after its grant or its code has ended: some 70 minutes after a step-up |
/// | a user's | a day after their last message; 30 days after a right code to a recipient whom the enrollment names; 400 days after a wrong code that no right one has followed; ten years after the application has locked them |
/// | a recipient's, where the enrollment names one | a day after the last message |
///
/// and up to a quarter longer, an eighth on average. So each user who steps up once a day takes 1.125 records for the
/// user, and 0.055 for the session (70 minutes of 1,440): a million records are some 850,000 such users a day. If
/// recipients are named, it is 2.3 records per user, and some 430,000 users.
///
/// A user who has stepped up takes 1.4 KB, their session and all structures included, and 1.8 KB of the process's
/// memory as the system's allocator rounds it; with a recipient 2.0 KB and 2.5 KB.
///
/// # Security
///
/// No record is ever evicted to make room: that would let an attacker displace a lock or another user's challenge. A
/// full store refuses new records ([`Swapped::Full`]) and keeps serving existing ones.
#[derive(Clone)]
pub struct MemoryStore {
    index: Arc<Index>,
    expiry: Arc<Expiring>,
}

impl MemoryStore {
    /// A store for up to a million records: some 850,000 users a day who step up, or 430,000 with recipients (see
    /// [above](Self)).
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// A store for up to `records` records. Memory is taken as they come, some 800 bytes each.
    #[must_use]
    pub fn with_capacity(records: usize) -> Self {
        let index = Arc::new(Index::new(records));
        let expiry = Arc::new(Expiring::new(&index));
        Self { index, expiry }
    }

    /// Interns a channel or a scope of the application.
    pub(super) fn intern(text: &str) -> Option<Name> {
        names::intern(text)
    }

    /// The number of records, including expired ones that are not freed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.live.load(Ordering::Relaxed)
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record under a key.
    pub(super) fn get(&self, key: &Key) -> Option<Stored> {
        self.index.get(key)
    }

    /// The summary of a session if `permits` accepts it; otherwise the record.
    pub(super) fn permitted(
        &self,
        key: &Key,
        permits: impl FnOnce(&Summary) -> bool,
    ) -> Result<Summary, Option<Stored>> {
        self.index.permitted(key, permits)
    }

    /// Makes the changes in order, up to the first that cannot be made.
    pub(super) fn swap_all(&self, changes: &[Change]) -> Swapped {
        for (at, Change { key, expected, next, .. }) in changes.iter().enumerate() {
            match self.swap_or_purge(key, *expected, next.as_ref()) {
                Changed::Done => {}
                Changed::Conflict => return Swapped::Conflict { at },
                Changed::Full => return Swapped::Full { at },
            }
        }
        Swapped::Done
    }

    /// Swaps; if the store is full, frees a part of the expired records and swaps again.
    fn swap_or_purge(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>) -> Changed {
        match self.swap_now(key, expected, next) {
            Changed::Full if self.expiry.purge() => self.swap_now(key, expected, next),
            swapped => swapped,
        }
    }

    fn swap_now(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>) -> Changed {
        // A swap that is already outdated need not wait for the key's lock.
        let current = self.index.revision(key);
        if current != expected && (current.is_none() || current != next.map(Stored::revision)) {
            return Changed::Conflict;
        }
        // Nor need an insert without a place: each compute leaves 2 KiB of garbage, and a flood has many of them.
        if current.is_none() && next.is_some() && self.index.is_full() {
            return Changed::Full;
        }
        let mut swapped = Changed::Conflict;
        self.expiry.cache(key).entry_by_ref(key).and_compute_with(|_| {
            swapped = self.index.swap(key, expected, next);
            match (swapped, next) {
                (Changed::Done, Some(next)) => Op::Put(next.clone()),
                (Changed::Done, None) => Op::Remove,
                (Changed::Conflict | Changed::Full, _) => Op::Nop,
            }
        });
        if swapped == Changed::Done
            && !self.expiry.kept.load(Ordering::Relaxed)
            && !self.expiry.kept.swap(true, Ordering::Relaxed)
        {
            upkeep::add(&self.expiry);
        }
        swapped
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints the counts, but no records.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.index.capacity)
            .finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.get(&key))
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        Ok(self.swap_all(changes))
    }

    fn into_backend(self, _: Seal) -> Backend {
        Backend::memory(self)
    }
}
