//! A store that records what an engine writes: [`Recorder`].

use std::sync::{Arc, Mutex};

use tower_step_up::store::{Change, Key, MemoryStore, Store, StoreError, Stored, Swapped};

/// The store in process, with a list of the changes that it was asked for. It counts as one outside the process, so its
/// engine needs a secret and a record key.
#[derive(Clone, Default)]
pub struct Recorder {
    /// The records.
    pub store: MemoryStore,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl Recorder {
    /// The changes since the last call.
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut self.changes.lock().unwrap())
    }
}

impl Store for Recorder {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        self.store.load(key).await
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        self.changes.lock().unwrap().extend_from_slice(changes);
        self.store.swap(changes).await
    }
}
