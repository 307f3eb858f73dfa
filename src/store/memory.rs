//! The store in process: a moka cache that decides, and a lock-free index in front of it that is read.
//!
//! moka orders the writes of a key, frees what has expired, and never evicts for size. Its `get` costs four to
//! ten times a lock-free map's read and may purge on whoever calls it, so [`load`](Store::load) reads the
//! index only.
//!
//! # Why the two cannot part
//!
//! *The index is the truth.* A swap compares the index's value and writes the index ([`Index::swap`]), so a
//! load and a swap never disagree, whatever moka still holds or has cleaned up. It does so inside
//! `and_compute_with`, which lets one compute per key in at a time, so nothing but an expiry can come between;
//! then the swap is a conflict.
//!
//! *moka ends with what the index holds.* The compute puts the same value into moka before the next one is let
//! in.
//!
//! *What moka frees leaves the index.* moka takes an expired value out and calls the eviction listener under
//! one lock of that key, which its own insert takes too. The listener clears the index only of that very
//! value: where a compute has written a newer one already, it finds another and leaves it, and that compute's
//! put, waiting for the lock, makes moka's entry anew. Where the listener comes first, the compute finds no
//! record. The listener calls nothing back into moka and takes no lock that a compute holds.
//!
//! So a record is in the index from the swap that wrote it to the one that replaced it or to its expiry, and
//! every record in the index has its deadline in moka. Writing moka beside the entry API would break this;
//! `clippy.toml` forbids it.
//!
//! (papaya 0.2 frees a table that it has replaced once the thread that replaced it has also replaced or removed 31
//! records; until then each thread may hold as many old tables, at 9 bytes a place.)
//!
//! (A limit of moka 0.12.16: an entry that was written more than 65,535 times is no longer freed by itself,
//! because a counter wraps. Such a record stays until it is deleted.)

use std::{
    fmt,
    future::Ready,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use moka::{Expiry, notification::RemovalCause, ops::compute::Op, sync::Cache};
use papaya::HashMap;

use super::{
    Key, Lookup, Revision, Store, StoreError, Stored, Swapped,
    upkeep::{self, Upkeep},
};

/// How many records a store takes unless told otherwise.
const CAPACITY: usize = 1_000_000;

/// How often a full store looks for records that have expired, in milliseconds.
const PURGE_INTERVAL: u64 = 1_000;

/// The store that keeps records in this process, and the default. Clones share the same records.
///
/// A load takes no lock and allocates nothing. Each record is freed some time after its [`ttl`](Stored::ttl), at
/// most a quarter of it, by one thread a process that looks a few times a second; so no request pays for a night's worth of
/// records.
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
/// | a user's | a day after their last message; 30 days after a right code to a recipient whom the enrolment names; 400 days after a wrong code that no right one has followed; ten years after the application has locked them |
/// | a recipient's, where the enrolment names one | a day after the last message |
///
/// and up to a quarter longer, an eighth on average. So each user who steps up once a day takes 1.125 records for
/// their own, and 0.055 for their session (70 minutes of 1,440): a million records are some 850,000 such users a day.
/// Where recipients are named it is 2.3 records a user, and some 430,000 users.
///
/// A user who has stepped up takes 1.5 KB, their session and all structures included, and 1.9 KB of the process's memory
/// as the system's allocator rounds it; with a recipient 2.1 KB and 2.7 KB.
///
/// # Security
///
/// Nothing that exists is ever evicted to make room: that would let an attacker push out a lock, or somebody
/// else's challenge. A store that is full refuses new records ([`Swapped::Full`]) and goes on serving those it
/// has.
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

    /// A store for up to `records` records. Memory is taken as they come, some 900 bytes each.
    #[must_use]
    pub fn with_capacity(records: usize) -> Self {
        let index = Arc::new(Index::new(records));
        let expiry = Arc::new(Expiring::new(Arc::clone(&index)));
        Self { index, expiry }
    }

    /// How many records there are, those included that have expired and are not freed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.live.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn swap_now(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>) -> Swapped {
        // Who comes too late need not queue for the key.
        let current = self.index.revision(key);
        if current != expected && (current.is_none() || current != next.map(Stored::revision)) {
            return Swapped::Conflict;
        }
        let mut swapped = Swapped::Conflict;
        self.expiry.cache.entry_by_ref(key).and_compute_with(|_| {
            swapped = self.index.swap(key, expected, next);
            match (swapped, next) {
                (Swapped::Done, Some(next)) => Op::Put(next.clone()),
                (Swapped::Done, None) => Op::Remove,
                (Swapped::Conflict | Swapped::Full, _) => Op::Nop,
            }
        });
        if swapped == Swapped::Done
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

/// Prints the counts, and nothing of the records.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.index.capacity)
            .finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    type Load = Ready<Result<Option<Stored>, StoreError>>;

    const SHARED: bool = false;

    fn load(&self, key: &Key) -> Lookup<Self::Load> {
        Lookup::Ready(Ok(self.index.get(key)))
    }

    async fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<Stored>) -> Result<Swapped, StoreError> {
        let swapped = self.swap_now(key, expected, next.as_ref());
        if swapped == Swapped::Full && self.expiry.purge() {
            return Ok(self.swap_now(key, expected, next.as_ref()));
        }
        Ok(swapped)
    }
}

/// Every record by its key.
struct Index {
    records: HashMap<Key, Stored, RandomState>,
    /// How many there are, and places taken by inserts under way: never more than `capacity`.
    live: AtomicUsize,
    capacity: usize,
}

impl Index {
    fn new(capacity: usize) -> Self {
        Self { records: HashMap::with_hasher(RandomState::default()), live: AtomicUsize::new(0), capacity }
    }

    fn get(&self, key: &Key) -> Option<Stored> {
        self.records.pin().get(key).cloned()
    }

    fn revision(&self, key: &Key) -> Option<Revision> {
        self.records.pin().get(key).map(Stored::revision)
    }

    /// Compares and writes. Runs once at a time for each key, and only [`expire`](Self::expire) beside it.
    fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>) -> Swapped {
        let records = self.records.pin();
        let current = records.get(key);
        let revision = current.map(Stored::revision);
        if next.is_some_and(|next| revision == Some(next.revision())) {
            return Swapped::Done;
        }
        if revision != expected {
            return Swapped::Conflict;
        }
        let still_there = match (current, next) {
            (None, None) => true,
            (None, Some(_)) if !self.take_place() => return Swapped::Full,
            (None, Some(next)) => {
                // Not `compute`, which in papaya 0.2.5 never helps a growing table to move, so that each load
                // would walk through every table that there was.
                records.insert(*key, next.clone());
                true
            }
            (Some(_), Some(next)) => records.update(*key, |_| next.clone()).is_some(),
            (Some(_), None) => records.remove(key).inspect(|_| self.give_place()).is_some(),
        };
        // It may have expired in this very moment.
        if still_there { Swapped::Done } else { Swapped::Conflict }
    }

    /// Removes an expired record, unless another one has taken its place.
    fn expire(&self, key: &Key, expired: &Stored) {
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

/// The cache that orders the writes and knows when each record expires.
struct Expiring {
    cache: Cache<Key, Stored, RandomState>,
    created: Instant,
    /// When a full store may look for expired records again, in milliseconds after `created`.
    next_purge: AtomicU64,
    /// Whether there has been anything to free.
    kept: AtomicBool,
}

impl Expiring {
    fn new(index: Arc<Index>) -> Self {
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
    fn purge(&self) -> bool {
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
fn spread(key: &Key, ttl: Duration) -> Duration {
    let [.., last] = key.as_bytes();
    ttl.saturating_add(ttl / 1024 * u32::from(*last))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Record, Subject},
        *,
    };

    const HOUR: Duration = Duration::from_secs(3_600);

    fn key(name: &str) -> Key {
        Key::subject(name)
    }

    fn stored(revision: u128, ttl: Duration) -> Stored {
        Stored::new(rev(revision), ttl, Record::Subject(Subject::new(0)))
    }

    fn rev(revision: u128) -> Revision {
        Revision::new(revision)
    }

    /// The store's clean-up has its own pace, so tests wait for what must come and never for a time.
    fn eventually(mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(60), "still not so after a minute");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_full_store_refuses_inserts_and_nothing_else() {
        use Swapped::{Conflict, Done, Full};
        let store = MemoryStore::with_capacity(2);
        let cases = [
            ("a", None, Some(1), Done, 1),
            ("b", None, Some(2), Done, 2),
            ("c", None, Some(3), Full, 2),
            ("a", None, Some(4), Conflict, 2),
            ("a", Some(1), Some(5), Done, 2),
            ("c", Some(3), Some(6), Conflict, 2),
            ("c", None, None, Done, 2),
            ("b", Some(2), None, Done, 1),
            ("b", Some(2), None, Conflict, 1),
            ("c", None, Some(7), Done, 2),
            ("b", None, Some(8), Full, 2),
        ];
        for (i, (name, expected, next, swapped, len)) in cases.into_iter().enumerate() {
            let next = next.map(|revision| stored(revision, HOUR));
            let expected = expected.map(rev);
            assert_eq!(store.swap_now(&key(name), expected, next.as_ref()), swapped, "case {i}");
            assert_eq!(store.len(), len, "case {i}");
        }
        assert_eq!(store.index.revision(&key("a")), Some(rev(5)));
        assert_eq!(store.index.revision(&key("b")), None);
        assert_eq!(store.index.revision(&key("c")), Some(rev(7)));
    }

    #[tokio::test]
    async fn what_has_expired_makes_room_again() {
        let store = MemoryStore::with_capacity(1);
        let (short, long) = (stored(1, Duration::from_millis(1)), stored(2, HOUR));
        assert_eq!(store.swap(&key("a"), None, Some(short)).await.unwrap(), Swapped::Done);
        let started = Instant::now();
        while store.swap(&key("b"), None, Some(long.clone())).await.unwrap() != Swapped::Done {
            assert!(started.elapsed() < Duration::from_secs(60), "no room after a minute");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(store.index.revision(&key("a")), None);
        assert_eq!(store.len(), 1);
    }

    /// Without a request that would do the work.
    #[test]
    fn what_has_expired_is_freed_where_nobody_asks() {
        let store = MemoryStore::new();
        let times_kept = || upkeep::times_kept(&Arc::downgrade(&store.expiry));
        assert_eq!(store.swap_now(&key("a"), Some(rev(9)), None), Swapped::Conflict);
        assert_eq!(times_kept(), 0, "there is nothing to free");
        let full = MemoryStore::with_capacity(0);
        assert_eq!(full.swap_now(&key("a"), None, Some(&stored(1, HOUR))), Swapped::Full);
        assert_eq!(upkeep::times_kept(&Arc::downgrade(&full.expiry)), 0, "nor here");
        assert_eq!(store.swap_now(&key("a"), None, Some(&stored(1, HOUR))), Swapped::Done);
        assert_eq!(store.swap_now(&key("a"), None, None), Swapped::Conflict);
        let short = stored(2, Duration::from_millis(1));
        assert_eq!(store.swap_now(&key("a"), Some(rev(1)), Some(&short)), Swapped::Done);
        assert_eq!(times_kept(), 1);
        eventually(|| store.is_empty());
    }

    #[test]
    fn a_record_is_kept_up_to_a_quarter_longer_by_its_key() {
        let kept: Vec<_> = (0..100_u8).map(|i| spread(&key(&i.to_string()), HOUR)).collect();
        assert!(kept.iter().all(|kept| (HOUR..=HOUR * 5 / 4).contains(kept)), "{kept:?}");
        assert!(kept.iter().max() > kept.iter().min().map(|least| *least + HOUR / 8).as_ref(), "{kept:?}");
    }

    #[test]
    fn a_full_store_purges_at_most_once_a_second() {
        let store = MemoryStore::with_capacity(0);
        assert!(store.expiry.purge());
        let again = store.expiry.purge();
        assert!(!again || store.expiry.created.elapsed() >= Duration::from_millis(PURGE_INTERVAL));
    }

    /// moka takes a record for gone the moment it expires. The store does so when it is freed, and not before:
    /// else a load and a swap would disagree.
    #[test]
    fn what_has_expired_is_swapped_as_it_is_loaded() {
        let store = MemoryStore::new();
        for revision in 1..100 {
            let (loaded, next) = (store.index.revision(&key("a")), stored(revision, Duration::ZERO));
            let swapped = store.swap_now(&key("a"), loaded, Some(&next));
            // Unless it was freed just now.
            assert!(swapped == Swapped::Done || store.index.revision(&key("a")) != loaded);
        }
        eventually(|| {
            store.expiry.cache.run_pending_tasks();
            store.is_empty()
        });
        assert_eq!(store.swap_now(&key("a"), None, Some(&stored(200, HOUR))), Swapped::Done);
    }

    #[test]
    fn an_update_gives_its_own_expiry() {
        let store = MemoryStore::new();
        let short = Duration::from_millis(1);
        assert_eq!(store.swap_now(&key("prolonged"), None, Some(&stored(1, short))), Swapped::Done);
        assert_eq!(store.swap_now(&key("prolonged"), Some(rev(1)), Some(&stored(2, HOUR))), Swapped::Done);
        assert_eq!(store.swap_now(&key("shortened"), None, Some(&stored(3, HOUR))), Swapped::Done);
        assert_eq!(store.swap_now(&key("shortened"), Some(rev(3)), Some(&stored(4, short))), Swapped::Done);
        eventually(|| {
            store.expiry.cache.run_pending_tasks();
            store.index.revision(&key("shortened")).is_none()
        });
        assert_eq!(store.index.revision(&key("prolonged")), Some(rev(2)));
    }

    #[test]
    fn a_late_expiry_leaves_the_newer_record() {
        let index = Index::new(10);
        let (old, new) = (stored(1, HOUR), stored(2, HOUR));
        assert_eq!(index.swap(&key("a"), None, Some(&old)), Swapped::Done);
        assert_eq!(index.swap(&key("a"), Some(rev(1)), Some(&new)), Swapped::Done);
        index.expire(&key("a"), &old);
        assert_eq!(index.revision(&key("a")), Some(rev(2)));
        assert_eq!(index.live.load(Ordering::Relaxed), 1);
        index.expire(&key("a"), &new);
        index.expire(&key("a"), &new);
        assert_eq!(index.revision(&key("a")), None);
        assert_eq!(index.live.load(Ordering::Relaxed), 0);
    }

    /// Inserts, updates, deletes and expiries of a few keys, all at once.
    #[test]
    fn the_count_and_moka_end_with_what_the_index_holds() {
        const KEYS: usize = 6;
        let store = MemoryStore::with_capacity(KEYS - 1);
        let revisions = crate::id::Ids::new([3; 16]);
        let keys: Vec<_> = (0..KEYS).map(|i| key(&i.to_string())).collect();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let until = Instant::now() + Duration::from_secs(3);
                    while Instant::now() < until {
                        let number = revisions.next();
                        let at = usize::try_from(number % (KEYS as u128)).unwrap();
                        let next = match number >> 96 & 3 {
                            0 => None,
                            1 => Some(stored(number, HOUR)),
                            _ => Some(stored(number, Duration::from_micros(200))),
                        };
                        store.swap_now(&keys[at], store.index.revision(&keys[at]), next.as_ref());
                        assert!(store.len() < KEYS, "more records than the store takes");
                    }
                });
            }
        });
        let short_lived = |key: &Key| store.index.get(key).is_some_and(|stored| stored.ttl() < HOUR);
        eventually(|| {
            store.expiry.cache.run_pending_tasks();
            !keys.iter().any(short_lived)
        });
        assert_eq!(store.len(), store.index.records.len());
        for (key, stored) in &store.expiry.cache {
            assert!(store.index.get(&key).is_some_and(|current| current.is(&stored)));
        }
        assert_eq!(store.expiry.cache.entry_count(), store.len() as u64);
    }

    #[test]
    fn debug_prints_counts_only() {
        let store = MemoryStore::with_capacity(5);
        store.swap_now(&key("alice"), None, Some(&stored(1, HOUR)));
        assert_eq!(format!("{store:?}"), "MemoryStore { len: 1, capacity: 5, .. }");
    }
}
