//! Store wrappers that simulate the failures of real stores.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::watch;
use tower_step_up::{
    Secret, StepUpBuilder,
    store::{Change, Key, MemoryStore, Store, StoreError, StoreWarning, Stored, Swapped},
};

use crate::stopped;

/// A store that delays every operation before and after it is applied, records its arguments, and can be set to fail.
///
/// It makes the changes of a swap one after the other, like the store in process, or all or none, like Redis: the
/// default with `FAULTY_STORE=atomic` in the environment, so that every test can be run with both.
#[derive(Clone, Debug)]
pub struct FaultyStore(Arc<State>);

impl Default for FaultyStore {
    fn default() -> Self {
        match std::env::var("FAULTY_STORE").as_deref() {
            Ok("atomic") => Self::atomic(),
            Ok(other) => panic!("FAULTY_STORE is {other:?}, and can only be \"atomic\""),
            Err(_) => Self::sequential(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    store: Mutex<MemoryStore>,
    atomic: bool,
    /// Held while a swap is applied.
    applies: Mutex<()>,
    /// How long each operation is on its way, in milliseconds.
    trip: AtomicU64,
    down: AtomicBool,
    stuck: AtomicBool,
    full: AtomicBool,
    twice: AtomicBool,
    /// Records with slower loads.
    late: Mutex<HashSet<Key>>,
    /// Number of swaps before one is applied and reported as a conflict.
    conflicts: Mutex<Option<usize>>,
    fails: Mutex<Option<(usize, Fails)>>,
    swaps: AtomicUsize,
    operations: AtomicUsize,
    seen: Mutex<Vec<Vec<u8>>>,
    written: Mutex<HashMap<Key, Vec<u8>>>,
    planted: Mutex<HashMap<Key, Vec<u8>>>,
    warning: Mutex<Option<StoreWarning>>,
    checks: AtomicUsize,
    listens: AtomicUsize,
    tells: AtomicBool,
    /// The last session whose grants were ended.
    told: watch::Sender<Option<Key>>,
}

/// The kind of an encoded record: `Session`, `Subject` or `Recipient`.
pub fn kind_of(encoded: &[u8]) -> String {
    inside(encoded).as_object().unwrap().keys().next().unwrap().clone()
}

/// An encoded record as JSON, with its kind as the only name.
fn inside(encoded: &[u8]) -> Value {
    serde_json::from_str(&Stored::decode(encoded).unwrap().to_json()).unwrap()
}

/// When an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Before it is applied.
    Undone,
    /// After it was applied, so that only its response is lost.
    Unanswered,
}

impl FaultyStore {
    /// The builder with this store, and with the secrets that a shared store requires.
    pub fn on(&self, builder: StepUpBuilder) -> StepUpBuilder {
        let [record_key, secret] = [1, 7].map(|byte| Secret::new([byte; 32]).unwrap());
        builder.store(self.clone()).record_key(record_key).secret(secret)
    }

    /// A store that makes all changes of a swap or none.
    pub fn atomic() -> Self {
        Self(Arc::new(State { atomic: true, ..State::default() }))
    }

    /// A store that makes the changes of a swap one after the other.
    pub fn sequential() -> Self {
        Self(Arc::default())
    }

    /// Every operation takes a round trip from now on.
    pub fn set_trip(&self, trip: Duration) {
        self.0.trip.store(u64::try_from(trip.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Tells its listeners of grants that end, from now on.
    pub fn set_telling(&self, tells: bool) {
        self.0.tells.store(tells, Ordering::SeqCst);
    }

    /// Every operation fails from now on.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// No operation completes from now on.
    pub fn set_stuck(&self, stuck: bool) {
        self.0.stuck.store(stuck, Ordering::SeqCst);
    }

    /// New records are refused for lack of capacity from now on.
    pub fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    /// Every swap is sent twice from now on, as by a client library that has lost the first response.
    pub fn send_twice(&self) {
        self.0.twice.store(true, Ordering::SeqCst);
    }

    /// From now on loads of the existing records of this kind are slower.
    pub fn load_late(&self, kind: &str) {
        self.0.late.lock().unwrap().extend(self.written(kind).into_iter().map(|(key, _)| key));
    }

    /// After this many swaps, one is applied and reported as a conflict: a client library has sent it again, after
    /// another write in between.
    pub fn conflict_after(&self, swaps: usize) {
        *self.0.conflicts.lock().unwrap() = Some(swaps);
    }

    /// The operation after the next `skip` fails, and no other.
    pub fn fail_after(&self, skip: usize, how: Fails) {
        *self.0.fails.lock().unwrap() = Some((self.operations() + skip, how));
    }

    /// Disables failures; returns whether one was still pending.
    pub fn fail_no_more(&self) -> bool {
        self.0.fails.lock().unwrap().take().is_some()
    }

    /// Sets the warning about the configuration.
    pub fn warn(&self, warning: StoreWarning) {
        *self.0.warning.lock().unwrap() = Some(warning);
    }

    /// How often somebody has begun to listen.
    pub fn listens(&self) -> usize {
        self.0.listens.load(Ordering::SeqCst)
    }

    /// Number of configuration checks.
    pub fn checks(&self) -> usize {
        self.0.checks.load(Ordering::SeqCst)
    }

    /// Deletes all records, as in a server that is restarted empty.
    pub fn forget(&self) {
        *self.0.store.lock().unwrap() = MemoryStore::default();
        self.0.written.lock().unwrap().clear();
    }

    fn store(&self) -> MemoryStore {
        self.0.store.lock().unwrap().clone()
    }

    /// The keys of the records of a kind (`Session`, `Subject`, `Recipient`), each with the last written value.
    pub fn written(&self, kind: &str) -> Vec<(Key, Vec<u8>)> {
        let written = self.0.written.lock().unwrap();
        let of_kind = written.iter().filter(|(_, bytes)| kind_of(bytes) == kind);
        of_kind.map(|(key, bytes)| (*key, bytes.clone())).collect()
    }

    /// The records of a kind, as JSON.
    pub fn records(&self, kind: &str) -> Vec<Value> {
        let written = self.0.written.lock().unwrap();
        written.values().filter_map(|bytes| inside(bytes).get_mut(kind).map(Value::take)).collect()
    }

    /// Loads of that record return these bytes.
    pub fn plant(&self, key: Key, bytes: Vec<u8>) {
        self.0.planted.lock().unwrap().insert(key, bytes);
    }

    /// Loads return the written records again.
    pub fn unplant(&self) {
        self.0.planted.lock().unwrap().clear();
    }

    /// Number of applied swaps.
    pub fn swaps(&self) -> usize {
        self.0.swaps.load(Ordering::SeqCst)
    }

    /// Number of requested operations.
    pub fn operations(&self) -> usize {
        self.0.operations.load(Ordering::SeqCst)
    }

    /// Every key and encoded record that was passed in.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.0.seen.lock().unwrap().clone()
    }

    /// Runs an operation, with the configured delays and failures.
    async fn operate<T>(
        &self,
        key: Key,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let number = self.0.operations.fetch_add(1, Ordering::SeqCst);
        self.0.seen.lock().unwrap().push(key.as_bytes().to_vec());
        yield_once().await;
        let trip = self.0.trip.load(Ordering::SeqCst);
        if trip > 0 {
            tokio::time::sleep(Duration::from_millis(trip)).await;
        }
        if self.0.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let fails = self.0.fails.lock().unwrap().take_if(|(at, _)| *at <= number).map(|(_, how)| how);
        if self.0.down.load(Ordering::SeqCst) || fails == Some(Fails::Undone) {
            return Err(StoreError::new("down"));
        }
        let done = operation.await;
        yield_once().await;
        if fails == Some(Fails::Unanswered) { Err(StoreError::new("no answer")) } else { done }
    }

    /// Applies changes, with the configured failures.
    fn write(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let encoded = |change: &Change| change.next.as_ref().map(Stored::encode);
        self.0.seen.lock().unwrap().extend(changes.iter().filter_map(encoded));
        let is_insert = |change: &Change| change.expected.is_none() && change.next.is_some();
        if let (true, Some(at)) = (self.0.full.load(Ordering::SeqCst), changes.iter().position(is_insert)) {
            return Ok(Swapped::Full { at });
        }
        let mut swapped = self.apply(changes)?;
        if self.0.twice.load(Ordering::SeqCst) {
            swapped = self.apply(changes)?;
        }
        if swapped == Swapped::Done {
            self.0.swaps.fetch_add(1, Ordering::SeqCst);
            if let (true, Some(change)) =
                (self.0.tells.load(Ordering::SeqCst), changes.iter().find(|change| change.ends_grants))
            {
                self.0.told.send_replace(Some(change.key));
            }
            let mut written = self.0.written.lock().unwrap();
            for change in changes {
                match encoded(change) {
                    Some(bytes) => written.insert(change.key, bytes),
                    None => written.remove(&change.key),
                };
            }
        }
        let mut conflicts = self.0.conflicts.lock().unwrap();
        match *conflicts {
            Some(0) => {
                *conflicts = None;
                Ok(Swapped::Conflict { at: 0 })
            }
            left => {
                *conflicts = left.map(|left| left - 1);
                Ok(swapped)
            }
        }
    }

    /// Applies all changes, or none.
    fn apply(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let _applies = self.0.applies.lock().unwrap();
        let store = self.store();
        for (at, Change { key, expected, next, .. }) in changes.iter().enumerate() {
            let stored = store.load(*key).now_or_never().expect("it is in process")?;
            let revision = stored.as_ref().map(Stored::revision);
            if revision != *expected && (next.is_none() || revision != next.as_ref().map(Stored::revision)) {
                return Ok(Swapped::Conflict { at });
            }
        }
        store.swap(changes).now_or_never().expect("it is in process")
    }
}

impl Store for FaultyStore {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        let late = self.0.late.lock().unwrap().contains(&key);
        for _ in 0..if late { 4 } else { 0 } {
            yield_once().await;
        }
        self.operate(key, async {
            if let Some(bytes) = self.0.planted.lock().unwrap().get(&key) {
                return Stored::decode(bytes).map(Some);
            }
            let loaded = self.store().load(key).await?;
            loaded.map(|stored| Stored::decode(&stored.encode())).transpose()
        })
        .await
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        if self.is_atomic() && !changes.is_empty() {
            return self.operate(changes[0].key, async { self.write(changes) }).await;
        }
        for (at, change) in changes.iter().enumerate() {
            let made = self.operate(change.key, async { self.write(std::slice::from_ref(change)) }).await?;
            if let Some(stop) = stopped(made, at) {
                return Ok(stop);
            }
        }
        Ok(Swapped::Done)
    }

    fn is_atomic(&self) -> bool {
        self.0.atomic
    }

    async fn listen(&self, changed: impl Fn(Key) + Send + Sync) -> Result<(), StoreError> {
        self.0.listens.fetch_add(1, Ordering::SeqCst);
        let mut told = self.0.told.subscribe();
        while told.changed().await.is_ok() {
            let key = *told.borrow();
            key.map(&changed);
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreWarning> {
        self.0.checks.fetch_add(1, Ordering::SeqCst);
        if self.0.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.warning.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Polls a future at most this many times, then drops it. `None` if it has not completed.
pub fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    })
}
