//! The moka caches that order writes and free expired records: [`Expiring`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use moka::{Expiry, notification::RemovalCause, sync::Cache};

use super::{index::Index, upkeep::Upkeep};
use crate::store::{Key, Stored};

/// Least time between two purges of a full store, in milliseconds.
pub(super) const PURGE_INTERVAL: u64 = 100;

/// After a cache that took longer than this, the upkeep pauses as long as it took: it leaves half of a core to requests.
const PORTION: Duration = Duration::from_millis(1);

/// The number of caches. moka frees everything that has expired in one go, and meanwhile its other writers wait as soon
/// as 384 writes are queued; so each cache has a part of the records. After 100,000 records expire with steps-up beside,
/// the longest of these waits 0.2 seconds with four caches or more, and 0.6 with one; more than four shorten it no
/// further, and each costs memory and time.
pub(super) const CACHES: usize = 4;

/// The caches that order the writes and know when each record expires.
pub(super) struct Expiring {
    pub(super) caches: Box<[Cache<Key, Stored, RandomState>]>,
    pub(super) created: Instant,
    /// When a full store may purge again, in milliseconds after `created`.
    next_purge: AtomicU64,
    /// How often a full store has purged: the cache of the next purge.
    purges: AtomicUsize,
    /// Whether the store has ever held a record, and so is in the list of the upkeep thread.
    pub(super) kept: AtomicBool,
}

impl Expiring {
    pub(super) fn new(index: &Arc<Index>) -> Self {
        let cache = |_| {
            let index = Arc::clone(index);
            let clear = move |key: Arc<Key>, stored: Stored, cause: RemovalCause| {
                // Replaced and deleted records have already left the index.
                if cause.was_evicted() {
                    index.expire(&key, &stored);
                }
            };
            // No capacity: the index refuses new records when it is full, and nothing is evicted.
            Cache::builder().expire_after(Ttl).eviction_listener(clear).build_with_hasher(RandomState::default())
        };
        Self {
            caches: (0..CACHES).map(cache).collect(),
            created: Instant::now(),
            next_purge: AtomicU64::new(0),
            purges: AtomicUsize::new(0),
            kept: AtomicBool::new(false),
        }
    }

    /// The cache of a key. A key is a digest, so each cache gets as many.
    pub(super) fn cache(&self, key: &Key) -> &Cache<Key, Stored, RandomState> {
        let [first, ..] = key.as_bytes();
        &self.caches[usize::from(*first) % self.caches.len()]
    }

    /// Frees expired records of a full store, in one cache after the other, and at most once in [`PURGE_INTERVAL`], so
    /// that a flood of inserts does not purge each time. Returns whether it did.
    pub(super) fn purge(&self) -> bool {
        let now = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.next_purge.load(Ordering::Relaxed);
        let next = now.saturating_add(PURGE_INTERVAL);
        let mine =
            now >= due && self.next_purge.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            let purges = self.purges.fetch_add(1, Ordering::Relaxed);
            self.caches[purges % self.caches.len()].run_pending_tasks();
        }
        mine
    }
}

impl Upkeep for Expiring {
    fn run(&self) {
        for cache in &self.caches {
            let began = Instant::now();
            cache.run_pending_tasks();
            let took = began.elapsed();
            if took > PORTION {
                thread::sleep(took);
            }
        }
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
