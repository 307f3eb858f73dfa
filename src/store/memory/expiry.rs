//! The moka cache that orders writes and frees what has expired: [`Expiring`].

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

/// How often a full store looks for records that have expired, in milliseconds.
pub(super) const PURGE_INTERVAL: u64 = 1_000;

/// The cache that orders the writes and knows when each record expires.
pub(super) struct Expiring {
    pub(super) cache: Cache<Key, Stored, RandomState>,
    pub(super) created: Instant,
    /// When a full store may look for expired records again, in milliseconds after `created`.
    next_purge: AtomicU64,
    /// Whether there has been anything to free.
    pub(super) kept: AtomicBool,
}

impl Expiring {
    pub(super) fn new(index: Arc<Index>) -> Self {
        let clear = move |key: Arc<Key>, stored: Stored, cause: RemovalCause| {
            // What was replaced or deleted has left the index already.
            if cause.was_evicted() {
                index.expire(&key, &stored);
            }
        };
        // No capacity: what is full refuses, and evicts nothing.
        let cache =
            Cache::builder().expire_after(Ttl).eviction_listener(clear).build_with_hasher(RandomState::default());
        Self { cache, created: Instant::now(), next_purge: AtomicU64::new(0), kept: AtomicBool::new(false) }
    }

    /// Frees what has expired, so that a full store takes records again. At most once a second: a flood of
    /// inserts must not spend its time here.
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

/// Each write names its own expiry: a longer one prolongs, and nothing restarts by itself.
struct Ttl;

impl Expiry<Key, Stored> for Ttl {
    fn expire_after_create(&self, key: &Key, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(spread(key, stored.ttl()))
    }

    fn expire_after_update(&self, key: &Key, stored: &Stored, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(spread(key, stored.ttl()))
    }
}

/// A little more than was asked for, up to a quarter, by the key: what was written in one burst is not freed in one.
pub(super) fn spread(key: &Key, ttl: Duration) -> Duration {
    let [.., last] = key.as_bytes();
    ttl.saturating_add(ttl / 1024 * u32::from(*last))
}
