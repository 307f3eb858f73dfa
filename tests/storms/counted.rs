//! A store that counts what is asked of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tower_step_up::store::{Key, Lookup, Revision, Store, StoreError, Stored, Swapped};

/// Another store, and the number of its operations.
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
    type Load = S::Load;

    const SHARED: bool = S::SHARED;

    fn load(&self, key: &Key) -> Lookup<Self::Load> {
        self.count();
        self.store.load(key)
    }

    async fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<Stored>) -> Result<Swapped, StoreError> {
        self.count();
        self.store.swap(key, expected, next).await
    }
}
