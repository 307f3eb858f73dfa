//! An adapter for stores that are written with plain `async fn`.

use std::future::Future;

use super::{BoxFuture, Key, Lookup, Revision, Store, StoreError, StoreWarning, Stored, Swapped};

/// A store as most people would write it: two `async fn`. [`Remote`] makes a [`Store`] of it, at the price
/// of one allocation a load.
///
/// See the [module](super) for an example, and [`Store`] for what it must hold.
pub trait RemoteStore: Clone + Send + Sync + 'static {
    /// The record under a key.
    fn load(&self, key: Key) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes `next` (`None` deletes) if the record's revision is `expected` (`None`: there is no record).
    ///
    /// If the record that is there already has the revision of `next`, the answer is [`Swapped::Done`], whatever is
    /// `expected`, and nothing is written: the swap was sent again after its answer was lost.
    fn swap(
        &self,
        key: Key,
        expected: Option<Revision>,
        next: Option<Stored>,
    ) -> impl Future<Output = Result<Swapped, StoreError>> + Send;

    /// As [`Store::check`].
    fn check(&self) -> impl Future<Output = Result<(), StoreWarning>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Makes a [`Store`] of a [`RemoteStore`].
#[derive(Clone, Debug)]
pub struct Remote<T>(T);

impl<T> Remote<T> {
    /// The store, adapted.
    pub const fn new(store: T) -> Self {
        Self(store)
    }
}

impl<T: RemoteStore> Store for Remote<T> {
    type Load = BoxFuture<Result<Option<Stored>, StoreError>>;

    fn load(&self, key: &Key) -> Lookup<Self::Load> {
        let (store, key) = (self.0.clone(), *key);
        Lookup::Pending(Box::pin(async move { store.load(key).await }))
    }

    async fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<Stored>) -> Result<Swapped, StoreError> {
        self.0.swap(*key, expected, next).await
    }

    async fn check(&self) -> Result<(), StoreWarning> {
        self.0.check().await
    }
}
