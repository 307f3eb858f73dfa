//! A store with the latency of a database, so that requests can be cancelled during an operation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_step_up::store::{Change, Key, MemoryStore, Store, StoreError, Stored, Swapped};

#[derive(Clone, Debug, Default)]
pub(crate) struct Slow(Arc<State>);

#[derive(Debug, Default)]
struct State {
    store: MemoryStore,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Slow {
    /// Operations that were dropped before they completed.
    pub(crate) fn cut_off(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst) - self.0.ended.load(Ordering::SeqCst)
    }

    async fn travel(&self) {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Store for Slow {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        self.travel().await;
        self.0.store.load(key).await
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        self.travel().await;
        self.0.store.swap(changes).await
    }
}
