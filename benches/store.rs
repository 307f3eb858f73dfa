//! The benefit of the read index: loads and swaps of the memory store compared with those of moka alone, in alternating
//! batches. `cargo bench -p benches --bench store`; the records are those of real starts.

#![expect(clippy::disallowed_methods, reason = "measures moka's own read")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use foldhash::fast::RandomState;
use moka::{Expiry, ops::compute::Op, sync::Cache};
use testkit::Recorder;
use tower_step_up::{
    Caller, MemoryStore, StepUp, Store,
    store::{Change, Key, StoreError, Stored, Swapped},
};

/// Records in the store: a session's and a user's for each start.
const SIZES: [usize; 3] = [100, 10_000, 1_000_000];

/// Batches of each variant.
const ROUNDS: usize = 31;

/// Operations per batch.
const BATCH: usize = 20_000;

fn main() {
    println!(
        "ns an operation: median of {ROUNDS} alternating batches of {BATCH}; ratio: median of the pairs' ratios\n"
    );
    println!("| records | operation | moka alone | index and moka | moka alone / index |");
    println!("|---|---|---|---|---|");
    let others = filled(BATCH, "nobody").1;
    for size in SIZES {
        let (memory, records) = filled(size, "user");
        let moka = Moka::new(&records);
        let hits: Vec<Key> = shuffled(&records).map(|(key, _)| *key).collect();
        let misses: Vec<Key> = shuffled(&others).map(|(key, _)| *key).collect();
        row(size, "load, there", || loads(&moka, &hits), || loads(&memory, &hits));
        row(size, "load, not there", || loads(&moka, &misses), || loads(&memory, &misses));
        let swapped: Vec<_> = shuffled(&records).cloned().collect();
        row(size, "swap", || swaps(&moka, &swapped), || swaps(&memory, &swapped));
        row(size, "swap, too late", || conflicts(&moka, &hits), || conflicts(&memory, &hits));
    }
    println!();
    threads();
}

fn row(size: usize, operation: &str, mut a: impl FnMut(), mut b: impl FnMut()) {
    let (mut left, mut right, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    a();
    b();
    for _ in 0..ROUNDS {
        let (one, other) = (time(&mut a), time(&mut b));
        left.push(one);
        right.push(other);
        ratios.push(one / other);
    }
    let (left, right, ratio) = (median(left), median(right), median(ratios));
    println!("| {size} | {operation} | {left:.0} | {right:.0} | {ratio:.2} |");
}

/// Nanoseconds of thread CPU time per operation.
fn time(batch: &mut impl FnMut()) -> f64 {
    let started = ThreadTime::now();
    batch();
    started.elapsed().as_nanos() as f64 / BATCH as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn loads<S: Store>(store: &S, keys: &[Key]) {
    for key in keys {
        drop(black_box(block_on(store.load(black_box(*key)))));
    }
}

fn swaps<S: Store>(store: &S, records: &[(Key, Stored)]) {
    for (key, stored) in records {
        let swapped = block_on(store.swap(&[Change::new(*key, Some(stored.revision()), Some(stored.clone()))]));
        assert_eq!(swapped.ok(), Some(Swapped::Done));
    }
}

fn conflicts<S: Store>(store: &S, keys: &[Key]) {
    for key in keys {
        let swapped = block_on(store.swap(&[Change::new(*key, None, None)]));
        assert_eq!(swapped.ok(), Some(Swapped::Conflict { at: 0 }));
    }
}

/// The speedup of loads by two threads over one, each from a hot set of a hundred records.
fn threads() {
    let (memory, records) = filled(100, "user");
    let moka = Moka::new(&records);
    let keys: Vec<Key> = shuffled(&records).map(|(key, _)| *key).collect();
    println!("| loads of two threads / of one | |");
    println!("|---|---|");
    println!("| moka alone | {:.2} |", two_threads(&moka, &keys));
    println!("| index and moka | {:.2} |", two_threads(&memory, &keys));
}

fn two_threads<S: Store>(store: &S, keys: &[Key]) -> f64 {
    let run = |threads: usize| {
        let (start, slowest) = (Barrier::new(threads), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    start.wait();
                    let started = Instant::now();
                    (0..50).for_each(|_| loads(store, keys));
                    let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    slowest.fetch_max(took, Ordering::Relaxed);
                });
            }
        });
        threads as f64 / slowest.load(Ordering::Relaxed) as f64
    };
    median((0..ROUNDS).map(|_| run(2) / run(1)).collect())
}

/// A store with this many records, and their keys.
fn filled(records: usize, name: &str) -> (MemoryStore, Vec<(Key, Stored)>) {
    let recorder = Recorder::default();
    let secret = |byte| tower_step_up::Secret::new([byte; 32]).expect("32 bytes are enough");
    let step_up = StepUp::builder()
        .otp("SMS", async |_| Ok(()))
        .store(recorder.clone())
        .record_key(secret(6))
        .secret(secret(7))
        .build()
        .expect("one channel is enough");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread to run on");
    runtime.block_on(async {
        for i in 0..records / 2 {
            let caller = Caller::user(format_args!("{name}-{i}")).session("session");
            step_up.start_otp(&caller, "SMS", None).await.expect("the first start is let through");
        }
    });
    assert_eq!(recorder.store.len(), records);
    let changes = recorder.take();
    let inserted = changes.iter().filter(|change| change.expected.is_none()).map(|change| change.key);
    let record = |key| match block_on(recorder.store.load(key)) {
        Ok(Some(stored)) => (key, stored),
        _ => unreachable!("what was inserted is there"),
    };
    (recorder.store.clone(), inserted.map(record).collect())
}

/// Indices for a batch, in an order that a prefetcher cannot predict.
fn shuffled<T>(records: &[T]) -> impl Iterator<Item = &T> {
    let mut state = 1_u64;
    (0..BATCH).map(move |_| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let at = (u128::from(z ^ (z >> 31)) * records.len() as u128) >> 64;
        &records[usize::try_from(at).expect("less than their number")]
    })
}

/// Polls a future that never waits.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("stores in process are at once"),
    }
}

/// The memory store without its index.
#[derive(Clone)]
struct Moka(Arc<Cache<Key, Stored, RandomState>>);

struct Ttl;

impl Expiry<Key, Stored> for Ttl {
    fn expire_after_create(&self, _: &Key, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(stored.ttl())
    }

    fn expire_after_update(&self, _: &Key, stored: &Stored, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(stored.ttl())
    }
}

impl Moka {
    fn new(records: &[(Key, Stored)]) -> Self {
        let cache = Cache::builder().expire_after(Ttl).build_with_hasher(RandomState::default());
        for (key, stored) in records {
            cache.entry_by_ref(key).and_compute_with(|_| Op::Put(stored.clone()));
        }
        Self(Arc::new(cache))
    }
}

impl Store for Moka {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.0.get(&key))
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        for (at, change) in changes.iter().enumerate() {
            let mut swapped = false;
            self.0.entry_by_ref(&change.key).and_compute_with(|entry| {
                if entry.map(|entry| entry.value().revision()) != change.expected {
                    return Op::Nop;
                }
                swapped = true;
                change.next.clone().map_or(Op::Remove, Op::Put)
            });
            if !swapped {
                return Ok(Swapped::Conflict { at });
            }
        }
        Ok(Swapped::Done)
    }
}
