//! Stores that misbehave in the ways real ones do, around a real one.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tower_step_up::store::{
    Key, Lookup, MemoryStore, Remote, RemoteStore, Revision, Store, StoreError, Stored, Swapped,
};

/// A store in which every operation takes a while, notes what it was given, and may be told to fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elsewhere(Arc<State>);

#[derive(Debug, Default)]
struct State {
    store: MemoryStore,
    down: AtomicBool,
    stuck: AtomicBool,
    swaps: AtomicUsize,
    operations: AtomicUsize,
    seen: Mutex<Vec<Vec<u8>>>,
}

impl Elsewhere {
    pub(crate) fn adapted(&self) -> Remote<Self> {
        Remote::new(self.clone())
    }

    /// Every operation fails from now on.
    pub(crate) fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// No operation ends from now on.
    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.0.stuck.store(stuck, Ordering::SeqCst);
    }

    /// Swaps that were done.
    pub(crate) fn swaps(&self) -> usize {
        self.0.swaps.load(Ordering::SeqCst)
    }

    /// Operations that were asked for.
    pub(crate) fn operations(&self) -> usize {
        self.0.operations.load(Ordering::SeqCst)
    }

    /// Every key and every encoded record that came by.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        self.0.seen.lock().unwrap().clone()
    }

    async fn trouble(&self, key: Key) -> Result<(), StoreError> {
        self.0.operations.fetch_add(1, Ordering::SeqCst);
        self.0.seen.lock().unwrap().push(key.as_bytes().to_vec());
        yield_once().await;
        if self.0.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.down.load(Ordering::SeqCst) { Err(StoreError::new("down")) } else { Ok(()) }
    }
}

impl RemoteStore for Elsewhere {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        self.trouble(key).await?;
        match self.0.store.load(&key) {
            Lookup::Ready(Ok(Some(stored))) => Stored::decode(&stored.encode()).map(Some),
            Lookup::Ready(other) => other,
            Lookup::Pending(load) => load.await,
        }
    }

    async fn swap(&self, key: Key, expected: Option<Revision>, next: Option<Stored>) -> Result<Swapped, StoreError> {
        self.trouble(key).await?;
        if let Some(next) = &next {
            self.0.seen.lock().unwrap().push(next.encode());
        }
        let swapped = self.0.store.swap(&key, expected, next).await;
        self.0.swaps.fetch_add(usize::from(matches!(swapped, Ok(Swapped::Done))), Ordering::SeqCst);
        swapped
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
pub(crate) fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    })
}
