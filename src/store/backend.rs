//! A store as the engine holds it: the in-process store, which answers at once, or any other behind a trait object.

use std::{fmt, sync::Arc};

use super::{Change, Key, MemoryStore, Store, StoreError, StoreWarning, Stored, Swapped};
use crate::{
    rules::{Name, Summary},
    timeout::BoxFuture,
};

type Loaded = Result<Option<Stored>, StoreError>;

/// The argument of [`Store::into_backend`]. It cannot be named outside of this crate, so no other store can override
/// that method or forward it: a store that wraps the in-process one would have its own operations skipped.
#[derive(Debug)]
pub struct Seal(());

/// The result of [`Store::into_backend`]. Clones share the same store.
#[derive(Clone)]
pub struct Backend(Kind);

#[derive(Clone)]
enum Kind {
    Memory(MemoryStore),
    Shared(Arc<dyn ErasedStore>),
}

/// The answer to [`Backend::load`]. In process it is ready at once, so the guard needs no future and no allocation.
pub(crate) enum Lookup {
    Ready(Loaded),
    Pending(BoxFuture<'static, Loaded>),
}

impl Backend {
    pub(crate) fn new(store: impl Store) -> Self {
        store.into_backend(Seal(()))
    }

    pub(super) fn memory(store: MemoryStore) -> Self {
        Self(Kind::Memory(store))
    }

    pub(super) fn shared(store: impl Store) -> Self {
        Self(Kind::Shared(Arc::new(store)))
    }

    /// Whether records leave the process.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.0, Kind::Shared(_))
    }

    pub(crate) fn load(&self, key: &Key) -> Lookup {
        match &self.0 {
            Kind::Memory(store) => Lookup::Ready(Ok(store.get(key))),
            Kind::Shared(store) => Lookup::Pending(Arc::clone(store).load(*key)),
        }
    }

    /// The summary of a session if it is at hand and `permits` accepts it; otherwise the record.
    pub(crate) fn load_unless(&self, key: &Key, permits: impl FnOnce(&Summary) -> bool) -> Result<Summary, Lookup> {
        match &self.0 {
            Kind::Memory(store) => store.permitted(key, permits).map_err(|record| Lookup::Ready(Ok(record))),
            Kind::Shared(_) => Err(self.load(key)),
        }
    }

    /// Interns a channel or a scope of the application, if this store keeps summaries.
    pub(crate) fn intern(&self, text: &str) -> Option<Name> {
        match &self.0 {
            Kind::Memory(_) => MemoryStore::intern(text),
            Kind::Shared(_) => None,
        }
    }

    /// Whether a swap of a user's records makes all of its changes or none.
    pub(crate) fn is_atomic(&self) -> bool {
        match &self.0 {
            Kind::Memory(_) => false,
            Kind::Shared(store) => store.is_atomic(),
        }
    }

    pub(crate) async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        match &self.0 {
            Kind::Memory(store) => Ok(store.swap_all(changes)),
            Kind::Shared(store) => store.swap(changes).await,
        }
    }

    pub(crate) async fn listen(&self, changed: impl Fn(Key) + Send + Sync) -> Result<(), StoreError> {
        match &self.0 {
            Kind::Memory(_) => std::future::pending().await,
            Kind::Shared(store) => store.listen(Box::new(changed)).await,
        }
    }

    pub(crate) async fn check(&self) -> Result<(), StoreWarning> {
        match &self.0 {
            Kind::Memory(_) => Ok(()),
            Kind::Shared(store) => store.check().await,
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Memory(store) => store.fmt(f),
            Kind::Shared(_) => f.write_str("Shared(..)"),
        }
    }
}

/// [`Store`] with boxed futures.
trait ErasedStore: Send + Sync {
    fn load(self: Arc<Self>, key: Key) -> BoxFuture<'static, Loaded>;

    fn swap<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<Swapped, StoreError>>;

    fn is_atomic(&self) -> bool;

    fn listen<'a>(&'a self, changed: Box<dyn Fn(Key) + Send + Sync + 'a>) -> BoxFuture<'a, Result<(), StoreError>>;

    fn check(&self) -> BoxFuture<'_, Result<(), StoreWarning>>;
}

impl<T: Store> ErasedStore for T {
    fn load(self: Arc<Self>, key: Key) -> BoxFuture<'static, Loaded> {
        Box::pin(async move { Store::load(&*self, key).await })
    }

    fn swap<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<Swapped, StoreError>> {
        Box::pin(Store::swap(self, changes))
    }

    fn is_atomic(&self) -> bool {
        Store::is_atomic(self)
    }

    fn listen<'a>(&'a self, changed: Box<dyn Fn(Key) + Send + Sync + 'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Store::listen(self, changed))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreWarning>> {
        Box::pin(Store::check(self))
    }
}
