//! The moka cache that orders writes and frees expired records: [`Expiring`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use moka::{Expiry, notification::RemovalCause, sync::Cache};

use super::{index::Index, upkeep::Upkeep};
use crate::store::{Key, Stored};

/// Least time between two purges of a full store, in milliseconds.
pub(super) const PURGE_INTERVAL: u64 = 1_000;

/// The cache that orders the writes and knows when each record expires.
pub(super) struct Expiring {
    pub(super) cache: Cache<Key, Stored, RandomState>,
    pub(super) created: Instant,
    /// When a full store may purge again, in milliseconds after `created`.
    next_purge: AtomicU64,
    /// Whether the store has ever held a record, and so is in the list of the upkeep thread.
    pub(super) kept: AtomicBool,
}

impl Expiring {
    pub(super) fn new(index: Arc<Index>) -> Self {
        let clear = move |key: Arc<Key>, stored: Stored, cause: RemovalCause| {
            // Replaced and deleted records have already left the index.
            if cause.was_evicted() {
                index.expire(&key, &stored);
            }
        };
        // No capacity: the index refuses new records when it is full, and nothing is evicted.
        let cache =
            Cache::builder().expire_after(Ttl).eviction_listener(clear).build_with_hasher(RandomState::default());
        Self { cache, created: Instant::now(), next_purge: AtomicU64::new(0), kept: AtomicBool::new(false) }
    }

    /// Frees expired records of a full store, at most once a second, so that a flood of inserts does not purge each
    /// time. Returns whether it did.
    pub(super) fn purge(&self) -> bool {
        let now = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.next_purge.load(Ordering::Relaxed);
        let next = now.saturating_add(PURGE_INTERVAL);
        let mine =
            now >= due && self.next_purge.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            self.cache.run_pending_tasks();
        }
        mine
    }
}

impl Upkeep for Expiring {
    fn run(&self) {
        self.cache.run_pending_tasks();
    }
}

/// Every write sets a new expiry; reads do not change it.
struct Ttl;

impl Expiry<Key, Stored> for Ttl {
    fn expire_after_create(&self, key: &Key, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(spread(key, stored.ttl()))
    }

    fn expire_after_update(&self, key: &Key, stored: &Stored, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(spread(key, stored.ttl()))
    }
}

/// The TTL plus up to a quarter, derived from the key, so that records written in one burst are not freed in one.
pub(super) fn spread(key: &Key, ttl: Duration) -> Duration {
    let [.., last] = key.as_bytes();
    ttl.saturating_add(ttl / 1024 * u32::from(*last))
}
