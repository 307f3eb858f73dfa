//! A store that counts its operations.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tower_step_up::store::{Change, Key, Store, StoreError, Stored, Swapped};

/// Wraps a store and counts its operations.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    store: S,
    operations: Arc<AtomicUsize>,
}

impl<S> Counted<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, operations: Arc::default() }
    }

    pub(crate) fn operations(&self) -> usize {
        self.operations.load(Ordering::SeqCst)
    }

    fn count(&self) {
        self.operations.fetch_add(1, Ordering::SeqCst);
    }
}

impl<S: Store> Store for Counted<S> {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        self.count();
        self.store.load(key).await
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        self.operations.fetch_add(changes.len(), Ordering::SeqCst);
        self.store.swap(changes).await
    }
}
