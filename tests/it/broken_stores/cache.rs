//! A moka cache in process: correct, as a store without fast reads would use it, and with typical mistakes.

#![expect(clippy::disallowed_methods, reason = "shows what they do")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, ops::compute::Op, sync::Cache};
use testkit::stopped;
use tower_step_up::store::{Change, Key, Revision, Store, StoreError, Stored, Swapped};

/// The mistake of a cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slip {
    /// Nothing.
    None,
    /// An update keeps the remaining lifetime of the old record.
    KeepsExpiry,
    /// Evicts when it is full.
    Evicts,
    /// Loads from an index, but compares with the cache.
    PartsFromIndex,
    /// Compares in `compute`, and deletes outside of it.
    DeletesBeside,
}

/// Keeps records in moka.
#[derive(Clone)]
pub(crate) struct Cached {
    slip: Slip,
    cache: Cache<Key, Stored>,
    index: Arc<papaya::HashMap<Key, Stored>>,
}

struct Ttl(Slip);

impl Expiry<Key, Stored> for Ttl {
    fn expire_after_create(&self, _: &Key, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(stored.ttl())
    }

    fn expire_after_update(&self, _: &Key, stored: &Stored, _: Instant, left: Option<Duration>) -> Option<Duration> {
        if self.0 == Slip::KeepsExpiry { left } else { Some(stored.ttl()) }
    }
}

impl Cached {
    pub(crate) fn new(slip: Slip) -> Self {
        let index = Arc::new(papaya::HashMap::new());
        let cleared = Arc::clone(&index);
        let clear = move |key: Arc<Key>, stored: Stored, cause: moka::notification::RemovalCause| {
            if cause.was_evicted() {
                let same = |_: &Key, current: &Stored| current.revision() == stored.revision();
                let _ = cleared.pin().remove_if(&*key, same);
            }
        };
        let builder = Cache::builder().expire_after(Ttl(slip)).eviction_listener(clear);
        let cache = if slip == Slip::Evicts { builder.max_capacity(1_000).build() } else { builder.build() };
        Self { slip, cache, index }
    }

    fn swap_now(&self, key: &Key, expected: Option<Revision>, next: Option<Stored>) -> Swapped {
        let mut swapped = Swapped::Conflict { at: 0 };
        let mut delete = false;
        self.cache.entry_by_ref(key).and_compute_with(|entry| {
            let current = entry.map(|entry| entry.value().revision());
            if current.is_some() && current == next.as_ref().map(Stored::revision) {
                swapped = Swapped::Done;
                return Op::Nop;
            }
            if current != expected {
                return Op::Nop;
            }
            swapped = Swapped::Done;
            let index = self.index.pin();
            if let Some(next) = next {
                index.insert(*key, next.clone());
                return Op::Put(next);
            }
            index.remove(key);
            delete = self.slip == Slip::DeletesBeside;
            if delete { Op::Nop } else { Op::Remove }
        });
        if delete {
            self.cache.invalidate(key);
        }
        swapped
    }
}

impl Store for Cached {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        Ok(match self.slip {
            Slip::PartsFromIndex => self.index.pin().get(&key).cloned(),
            _ => self.cache.get(&key),
        })
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let make = |change: &Change| self.swap_now(&change.key, change.expected, change.next.clone());
        let stop = changes.iter().enumerate().find_map(|(at, change)| stopped(make(change), at));
        Ok(stop.unwrap_or(Swapped::Done))
    }
}
