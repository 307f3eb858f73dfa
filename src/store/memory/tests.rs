//! Tests of the memory store, its index and its expiry.

use std::{
    sync::atomic::AtomicUsize,
    time::{Duration, Instant},
};

use super::{
    expiry::{CACHES, PURGE_INTERVAL, spread},
    *,
};
use crate::{rules::Subject, store::Record};

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

/// The clean-up runs asynchronously, so tests wait for a condition and never for a fixed time.
fn eventually(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "still not so after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run_pending_tasks(store: &MemoryStore) {
    store.expiry.caches.iter().for_each(moka::sync::Cache::run_pending_tasks);
}

#[test]
fn a_full_store_refuses_inserts_and_nothing_else() {
    use Changed::{Conflict, Done, Full};
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
    assert_eq!(store.swap_or_purge(&key("a"), None, Some(&short)), Changed::Done);
    let started = Instant::now();
    while store.swap_or_purge(&key("b"), None, Some(&long)) != Changed::Done {
        assert!(started.elapsed() < Duration::from_secs(60), "no room after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.index.revision(&key("a")), None);
    assert_eq!(store.len(), 1);
}

/// No request does the clean-up.
#[test]
fn what_has_expired_is_freed_where_nobody_asks() {
    let store = MemoryStore::new();
    let times_kept = || upkeep::times_kept(&Arc::downgrade(&store.expiry));
    assert_eq!(store.swap_now(&key("a"), Some(rev(9)), None), Changed::Conflict);
    assert_eq!(times_kept(), 0, "there is nothing to free");
    let full = MemoryStore::with_capacity(0);
    assert_eq!(full.swap_now(&key("a"), None, Some(&stored(1, HOUR))), Changed::Full);
    assert_eq!(upkeep::times_kept(&Arc::downgrade(&full.expiry)), 0, "nor here");
    assert_eq!(store.swap_now(&key("a"), None, Some(&stored(1, HOUR))), Changed::Done);
    assert_eq!(store.swap_now(&key("a"), None, None), Changed::Conflict);
    let short = stored(2, Duration::from_millis(1));
    assert_eq!(store.swap_now(&key("a"), Some(rev(1)), Some(&short)), Changed::Done);
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
fn a_full_store_purges_at_most_once_in_an_interval() {
    let store = MemoryStore::with_capacity(0);
    assert!(store.expiry.purge());
    let again = store.expiry.purge();
    assert!(!again || store.expiry.created.elapsed() >= Duration::from_millis(PURGE_INTERVAL));
}

/// moka treats a record as absent the moment it expires. The store does so only when the record is freed, because
/// otherwise a load and a swap would disagree.
#[test]
fn what_has_expired_is_swapped_as_it_is_loaded() {
    let store = MemoryStore::new();
    for revision in 1..100 {
        let (loaded, next) = (store.index.revision(&key("a")), stored(revision, Duration::ZERO));
        let swapped = store.swap_now(&key("a"), loaded, Some(&next));
        // Unless it has been freed since the load.
        assert!(swapped == Changed::Done || store.index.revision(&key("a")) != loaded);
    }
    eventually(|| {
        run_pending_tasks(&store);
        store.is_empty()
    });
    assert_eq!(store.swap_now(&key("a"), None, Some(&stored(200, HOUR))), Changed::Done);
}

#[test]
fn an_update_gives_its_own_expiry() {
    let store = MemoryStore::new();
    let short = Duration::from_millis(1);
    assert_eq!(store.swap_now(&key("prolonged"), None, Some(&stored(1, short))), Changed::Done);
    assert_eq!(store.swap_now(&key("prolonged"), Some(rev(1)), Some(&stored(2, HOUR))), Changed::Done);
    assert_eq!(store.swap_now(&key("shortened"), None, Some(&stored(3, HOUR))), Changed::Done);
    assert_eq!(store.swap_now(&key("shortened"), Some(rev(3)), Some(&stored(4, short))), Changed::Done);
    eventually(|| {
        run_pending_tasks(&store);
        store.index.revision(&key("shortened")).is_none()
    });
    assert_eq!(store.index.revision(&key("prolonged")), Some(rev(2)));
}

#[test]
fn a_late_expiry_leaves_the_newer_record() {
    let index = Index::new(10);
    let (old, new) = (stored(1, HOUR), stored(2, HOUR));
    assert_eq!(index.swap(&key("a"), None, Some(&old)), Changed::Done);
    assert_eq!(index.swap(&key("a"), Some(rev(1)), Some(&new)), Changed::Done);
    index.expire(&key("a"), &old);
    assert_eq!(index.revision(&key("a")), Some(rev(2)));
    assert_eq!(index.live.load(Ordering::Relaxed), 1);
    index.expire(&key("a"), &new);
    index.expire(&key("a"), &new);
    assert_eq!(index.revision(&key("a")), None);
    assert_eq!(index.live.load(Ordering::Relaxed), 0);
}

/// Concurrent inserts, updates, deletes and expiries of a few keys.
#[test]
fn the_count_and_moka_end_with_what_the_index_holds() {
    const KEYS: usize = 6;
    let store = MemoryStore::with_capacity(KEYS - 1);
    let revisions = crate::rules::Ids::new([3; 16]);
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
        run_pending_tasks(&store);
        !keys.iter().any(short_lived)
    });
    assert_eq!(store.len(), store.index.records.len());
    for (key, stored) in store.expiry.caches.iter().flatten() {
        assert!(store.index.get(&key).is_some_and(|current| current.is(&stored)));
    }
    assert_eq!(store.expiry.caches.iter().map(moka::sync::Cache::entry_count).sum::<u64>(), store.len() as u64);
}

/// moka frees what has expired in a cache in one go, and until then its writers may have to wait.
#[test]
fn each_cache_has_its_part_of_the_records() {
    const RECORDS: u64 = 4_096;
    let store = MemoryStore::new();
    for i in 0..RECORDS {
        assert_eq!(store.swap_now(&key(&i.to_string()), None, Some(&stored(1, HOUR))), Changed::Done);
    }
    run_pending_tasks(&store);
    let parts: Vec<_> = store.expiry.caches.iter().map(moka::sync::Cache::entry_count).collect();
    assert_eq!(parts.iter().sum::<u64>(), RECORDS);
    let even = RECORDS / CACHES as u64;
    assert!(parts.iter().all(|part| part.abs_diff(even) < even / 8), "{parts:?}");
}

/// T18: users who come, are refused or expire leave nothing behind.
#[test]
fn nothing_is_left_of_a_churn_at_capacity() {
    const CAPACITY: usize = 500;
    let store = MemoryStore::with_capacity(CAPACITY);
    let (refused, short) = (AtomicUsize::new(0), Duration::from_millis(1));
    std::thread::scope(|threads| {
        for thread in 0..2 {
            let (store, refused) = (&store, &refused);
            threads.spawn(move || {
                for i in 0..10_000_u128 {
                    let key = key(&format!("{thread} {i}"));
                    if store.swap_or_purge(&key, None, Some(&stored(2 * i + 1, short))) == Changed::Full {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    if i % 3 == 0 {
                        store.swap_now(&key, Some(rev(2 * i + 1)), Some(&stored(2 * i + 2, short)));
                    }
                    assert!(store.len() <= CAPACITY, "more records than the store takes");
                }
            });
        }
    });
    assert!(refused.load(Ordering::Relaxed) > 0, "the store was never full");
    eventually(|| store.is_empty());
    run_pending_tasks(&store);
    assert_eq!(store.index.records.len(), 0);
    assert_eq!(store.expiry.caches.iter().map(moka::sync::Cache::entry_count).sum::<u64>(), 0);
}

#[test]
fn debug_prints_counts_only() {
    let store = MemoryStore::with_capacity(5);
    store.swap_now(&key("alice"), None, Some(&stored(1, HOUR)));
    assert_eq!(format!("{store:?}"), "MemoryStore { len: 1, capacity: 5, .. }");
}
