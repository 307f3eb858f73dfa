//! Stores that misbehave in the ways real ones do, around a real one.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tower_step_up::store::{Change, Key, MemoryStore, Store, StoreError, StoreWarning, Stored, Swapped};

use crate::stopped;

/// A store in which every operation takes a while before it is done and after, notes what it was given, and may be
/// told to fail.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere(Arc<State>);

#[derive(Debug, Default)]
struct State {
    store: Mutex<MemoryStore>,
    down: AtomicBool,
    stuck: AtomicBool,
    full: AtomicBool,
    twice: AtomicBool,
    /// Records whose loads take longer than others'.
    late: Mutex<HashSet<Key>>,
    /// How many swaps are still answered as they are, before one that was done is answered as a conflict.
    conflicts: Mutex<Option<usize>>,
    fails: Mutex<Option<(usize, Fails)>>,
    swaps: AtomicUsize,
    operations: AtomicUsize,
    seen: Mutex<Vec<Vec<u8>>>,
    written: Mutex<HashMap<Key, Vec<u8>>>,
    planted: Mutex<HashMap<Key, Vec<u8>>>,
    warning: Mutex<Option<StoreWarning>>,
    checks: AtomicUsize,
}

/// When an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Before anything is done.
    Undone,
    /// After it was done, so that only its answer is lost.
    Unanswered,
}

impl Elsewhere {
    /// Every operation fails from now on.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// No operation ends from now on.
    pub fn set_stuck(&self, stuck: bool) {
        self.0.stuck.store(stuck, Ordering::SeqCst);
    }

    /// What is not there yet finds no room from now on.
    pub fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    /// Every swap is sent again from now on, as a client library does that has lost the answer to the first.
    pub fn send_twice(&self) {
        self.0.twice.store(true, Ordering::SeqCst);
    }

    /// From now on the loads of those records that were written of this kind take longer.
    pub fn load_late(&self, kind: &str) {
        self.0.late.lock().unwrap().extend(self.written(kind).into_iter().map(|(key, _)| key));
    }

    /// After so many swaps, one is written and answered as a conflict: a client library has sent it again, and somebody
    /// else had written in between.
    pub fn conflict_after(&self, swaps: usize) {
        *self.0.conflicts.lock().unwrap() = Some(swaps);
    }

    /// The operation after the next `skip` fails, and no other.
    pub fn fail_after(&self, skip: usize, how: Fails) {
        *self.0.fails.lock().unwrap() = Some((self.operations() + skip, how));
    }

    /// Nothing fails any more; whether something was still to.
    pub fn fail_no_more(&self) -> bool {
        self.0.fails.lock().unwrap().take().is_some()
    }

    /// What is wrong with its configuration.
    pub fn warn(&self, warning: StoreWarning) {
        *self.0.warning.lock().unwrap() = Some(warning);
    }

    /// How often its configuration was asked for.
    pub fn checks(&self) -> usize {
        self.0.checks.load(Ordering::SeqCst)
    }

    /// Everything is gone, as in a server that is restarted empty.
    pub fn forget(&self) {
        *self.0.store.lock().unwrap() = MemoryStore::default();
        self.0.written.lock().unwrap().clear();
    }

    fn store(&self) -> MemoryStore {
        self.0.store.lock().unwrap().clone()
    }

    /// The keys under which records of a kind (`Session`, `Subject`, `Recipient`) stand, each with what was written
    /// last.
    pub fn written(&self, kind: &str) -> Vec<(Key, Vec<u8>)> {
        let is = |bytes: &[u8]| bytes[17..].starts_with(format!("{{\"{kind}\"").as_bytes());
        let written = self.0.written.lock().unwrap();
        written.iter().filter(|(_, bytes)| is(bytes)).map(|(key, bytes)| (*key, bytes.clone())).collect()
    }

    /// Whoever loads that record finds these bytes.
    pub fn plant(&self, key: Key, bytes: Vec<u8>) {
        self.0.planted.lock().unwrap().insert(key, bytes);
    }

    /// Every record is as it was written again.
    pub fn unplant(&self) {
        self.0.planted.lock().unwrap().clear();
    }

    /// Swaps that were done.
    pub fn swaps(&self) -> usize {
        self.0.swaps.load(Ordering::SeqCst)
    }

    /// Operations that were asked for.
    pub fn operations(&self) -> usize {
        self.0.operations.load(Ordering::SeqCst)
    }

    /// Every key and every encoded record that came by.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.0.seen.lock().unwrap().clone()
    }

    /// Does an operation, with all the trouble that was asked for.
    async fn operate<T>(
        &self,
        key: Key,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let number = self.0.operations.fetch_add(1, Ordering::SeqCst);
        self.0.seen.lock().unwrap().push(key.as_bytes().to_vec());
        yield_once().await;
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

    /// Makes one change, with all the trouble that was asked for.
    async fn write(&self, change: &Change) -> Result<Swapped, StoreError> {
        let Change { key, expected, next, .. } = change;
        let bytes = next.as_ref().map(Stored::encode);
        self.0.seen.lock().unwrap().extend(bytes.clone());
        if self.0.full.load(Ordering::SeqCst) && expected.is_none() && next.is_some() {
            return Ok(Swapped::Full { at: 0 });
        }
        let one = std::slice::from_ref(change);
        let mut swapped = self.store().swap(one).await;
        if self.0.twice.load(Ordering::SeqCst) {
            swapped = self.store().swap(one).await;
        }
        if let Ok(Swapped::Done) = swapped {
            self.0.swaps.fetch_add(1, Ordering::SeqCst);
            let mut written = self.0.written.lock().unwrap();
            match bytes {
                Some(bytes) => written.insert(*key, bytes),
                None => written.remove(key),
            };
        }
        let mut conflicts = self.0.conflicts.lock().unwrap();
        match *conflicts {
            Some(0) => {
                *conflicts = None;
                Ok(Swapped::Conflict { at: 0 })
            }
            left => {
                *conflicts = left.map(|left| left - 1);
                swapped
            }
        }
    }
}

impl Store for Elsewhere {
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
        for (at, change) in changes.iter().enumerate() {
            if let Some(stop) = stopped(self.operate(change.key, self.write(change)).await?, at) {
                return Ok(stop);
            }
        }
        Ok(Swapped::Done)
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

/// Polls a future at most so often, then drops it. `None` where it had not ended.
pub fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    })
}
