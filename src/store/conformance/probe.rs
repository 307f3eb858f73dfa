//! A store under test: unique keys, records that hold a number, and operations with a timeout.

use std::{
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::yield_now,
    time::timeout,
};

use super::super::{Change, Key, Record, Revision, Store, Stored, Swapped};
use crate::rules::{Ids, Subject};

/// TTL of the suite's records, except in tests of the expiry.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// Timeout after which a store counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// Consecutive conflicts after which a writer counts as starved: other tasks make at most some thousand writes.
const MOST_CONFLICTS: usize = 100_000;

pub(super) struct Probe<S> {
    store: S,
    run: Arc<Run>,
}

struct Run {
    name: u128,
    ids: Ids,
}

impl<S: Clone> Clone for Probe<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), run: Arc::clone(&self.run) }
    }
}

impl<S: Store + Clone> Probe<S> {
    pub(super) fn new(store: S) -> Self {
        assert!(
            Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread,
            "the suite races tasks against each other: run it on a multi-thread tokio runtime"
        );
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).expect("the operating system's generator works");
        let ids = Ids::new(seed);
        Self { store, run: Arc::new(Run { name: ids.next(), ids }) }
    }

    /// The key for a name: the same within a run, different in every run.
    pub(super) fn key(&self, name: &str) -> Key {
        Key::subject(&format!("conformance {:x} {name}", self.run.name))
    }

    /// A revision that no record has ever had.
    pub(super) fn revision(&self) -> Revision {
        Revision::new(self.run.ids.next())
    }

    /// A record that holds a number.
    pub(super) fn number(&self, number: u64) -> Stored {
        self.kept_for(HOUR, number)
    }

    pub(super) fn kept_for(&self, ttl: Duration, number: u64) -> Stored {
        self.record(ttl, Record::Subject(Subject::new(number)))
    }

    pub(super) fn record(&self, ttl: Duration, record: Record) -> Stored {
        Stored::new(self.revision(), ttl, record)
    }

    pub(super) async fn load(&self, key: &Key) -> Option<Stored> {
        let loaded = timeout(PATIENCE, self.store.load(*key)).await.expect("a load answers within half a minute");
        loaded.expect("a load succeeds")
    }

    pub(super) async fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>) -> Swapped {
        self.swap_all(&[Change::new(*key, expected, next.cloned())]).await
    }

    /// Makes several changes.
    pub(super) async fn swap_all(&self, changes: &[Change]) -> Swapped {
        let swap = self.store.swap(changes);
        let swapped = timeout(PATIENCE, swap).await.expect("a swap answers within half a minute");
        let swapped = swapped.expect("a swap succeeds");
        if let Swapped::Full { at } = swapped {
            let is_insert = changes.get(at).is_some_and(|change| change.expected.is_none() && change.next.is_some());
            assert!(is_insert, "only an insert may be refused as full");
            panic!("the store is full: give the suite one with room for 10,000 records");
        }
        swapped
    }

    /// Begins a swap, and drops it after `polls` polls.
    pub(super) async fn begin(&self, polls: u64, key: &Key, expected: Option<Revision>, next: Stored) {
        let changes = [Change::new(*key, expected, Some(next))];
        let mut swap = pin!(self.store.swap(&changes));
        for _ in 0..polls {
            let polled = poll_fn(|context| Poll::Ready(swap.as_mut().poll(context))).await;
            if polled.is_ready() {
                return;
            }
            yield_now().await;
        }
    }

    pub(super) async fn done(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>, rule: &str) {
        assert_eq!(self.swap(key, expected, next).await, Swapped::Done, "{rule}");
    }

    pub(super) async fn conflict(&self, key: &Key, expected: Option<Revision>, next: Option<&Stored>, rule: &str) {
        assert_eq!(self.swap(key, expected, next).await, Swapped::Conflict { at: 0 }, "{rule}");
    }

    /// Inserts a number and returns the record.
    pub(super) async fn insert(&self, key: &Key, number: u64) -> Stored {
        let stored = self.number(number);
        self.done(key, None, Some(&stored), "an insert where there is no record is done").await;
        stored
    }

    /// Asserts that the stored record equals this one.
    pub(super) async fn holds(&self, key: &Key, stored: Option<&Stored>, rule: &str) {
        let loaded = self.load(key).await;
        let parts = |stored: &Stored| (stored.revision(), stored.record().clone());
        assert_eq!(loaded.as_ref().map(parts), stored.map(parts), "{rule}");
    }

    /// The number in a record; 0 if there is no record.
    pub(super) async fn count(&self, key: &Key) -> u64 {
        self.load(key).await.as_ref().map_or(0, number_of)
    }

    /// Adds one, repeating after conflicts, and returns the sum.
    pub(super) async fn increment(&self, key: &Key) -> u64 {
        for attempt in 0..MOST_CONFLICTS {
            let current = self.load(key).await;
            // Every other time, let other tasks run between the load and the swap.
            if attempt % 2 == 0 {
                yield_now().await;
            }
            let sum = current.as_ref().map_or(0, number_of) + 1;
            let expected = current.as_ref().map(Stored::revision);
            if self.swap(key, expected, Some(&self.number(sum))).await == Swapped::Done {
                return sum;
            }
        }
        panic!("a swap is done sooner or later: {MOST_CONFLICTS} conflicts in a row");
    }

    /// Runs a task for each of `0..tasks`, all started at the same time.
    pub(super) async fn race<T, F>(&self, tasks: usize, task: impl Fn(Self, usize) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let waiting = Arc::new(AtomicUsize::new(tasks));
        let start = |i| {
            let (run, waiting) = (task(self.clone(), i), Arc::clone(&waiting));
            tokio::spawn(async move {
                waiting.fetch_sub(1, Ordering::SeqCst);
                while waiting.load(Ordering::SeqCst) > 0 {
                    yield_now().await;
                }
                run.await
            })
        };
        let started: Vec<_> = (0..tasks).map(start).collect();
        let mut ended = Vec::with_capacity(tasks);
        for task in started {
            ended.push(joined(task).await);
        }
        ended
    }
}

/// What a task returned; its panic becomes the caller's.
pub(super) async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    task.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

pub(super) fn number_of(stored: &Stored) -> u64 {
    match stored.record() {
        Record::Subject(subject) => subject.generation(),
        Record::Session(_) | Record::Recipient(_) => {
            panic!("a key loads the record that was written under it, and no other")
        }
    }
}
