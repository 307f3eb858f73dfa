//! Storage of records: the [`Store`] contract, and the [`MemoryStore`] that keeps them in process.
//!
//! A store has two operations: [`load`](Store::load) a record, and [`swap`](Store::swap) it if it has not changed
//! since. The engine decides every rule between the two, so a store implements none. Nor does it enforce deadlines: its
//! expiry, by [`Stored::ttl`], only frees memory.
//!
//! # Writing a store
//!
//! Implement [`Store`] with plain `async fn`, and test it with [`conformance`] (feature `test-util`).
//!
//! ```
//! use std::{collections::HashMap, sync::Mutex};
//! use tower_step_up::{StepUp, store::{Change, Key, Revision, Store, Stored, StoreError, Swapped}};
//!
//! /// In place of a server: keeps bytes, and compares the revision in their first 16.
//! #[derive(Default)]
//! struct Shelf(Mutex<HashMap<Key, Vec<u8>>>);
//!
//! impl Store for Shelf {
//!     async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
//!         let bytes = self.0.lock().map_err(|_| StoreError::new("poisoned"))?.get(&key).cloned();
//!         bytes.map(|bytes| Stored::decode(&bytes)).transpose()
//!     }
//!
//!     async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
//!         let mut shelf = self.0.lock().map_err(|_| StoreError::new("poisoned"))?;
//!         for (at, Change { key, expected, next, .. }) in changes.iter().enumerate() {
//!             let current = shelf.get(key).map(|bytes| Revision::of(bytes)).transpose()?;
//!             if current.is_some() && current == next.as_ref().map(Stored::revision) {
//!                 continue; // sent again, after the answer was lost
//!             }
//!             if current != *expected {
//!                 return Ok(Swapped::Conflict { at });
//!             }
//!             match next {
//!                 Some(next) => drop(shelf.insert(*key, next.encode())), // and let it expire after next.ttl()
//!                 None => drop(shelf.remove(key)),
//!             }
//!         }
//!         Ok(Swapped::Done)
//!     }
//! }
//!
//! # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
//! let step_up = StepUp::builder()
//!     .otp("SMS", send_sms)
//!     .store(Shelf::default())
//!     .record_key(tower_step_up::Secret::new([6; 32])?) // both shared by every process, from a generator
//!     .secret(tower_step_up::Secret::new([7; 32])?)
//!     .build()?;
//! # Ok::<_, tower_step_up::ConfigError>(())
//! ```

use std::future::Future;

pub use crate::rules::Key;

mod backend;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod error;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod warning;

use self::backend::Seal;
#[cfg(feature = "redis")]
pub use self::redis::{ManagedConnection, RedisStore};
pub(crate) use self::{
    backend::{Backend, Lookup},
    record::Record,
};
pub use self::{
    error::StoreError,
    memory::MemoryStore,
    record::{Revision, Stored},
    warning::StoreWarning,
};

/// One change of a [`Store::swap`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The key of the record.
    pub key: Key,
    /// The expected revision of the record; `None` if there must be no record.
    pub expected: Option<Revision>,
    /// What to write; `None` deletes.
    pub next: Option<Stored>,
    /// Whether this ends grants: what a store may tell other processes, for their [`listen`](Store::listen).
    pub ends_grants: bool,
}

impl Change {
    /// A change that ends no grants.
    #[must_use]
    pub const fn new(key: Key, expected: Option<Revision>, next: Option<Stored>) -> Self {
        Self { key, expected, next, ends_grants: false }
    }
}

/// The result of a [`Store::swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// Everything is written.
    Done,
    /// A record was not as expected. It was not written, nor any after it; nor, by a store that
    /// [is atomic](Store::is_atomic), any before it.
    Conflict {
        /// Which of the changes.
        at: usize,
    },
    /// There is no room for another record. As after a conflict, it was not written. Only for an insert.
    Full {
        /// Which of the changes.
        at: usize,
    },
}

/// Storage of records. See the [module](self) for how to write one.
///
/// # Security
///
/// - Each change is atomic: no other write happens between the comparison and the write.
/// - A change whose `next` is already stored is done, not a conflict: a client library may send it again after losing
///   the answer, and after a conflict the engine would not count an attempt that was compared (T33).
/// - A load sees every swap that was answered `Done` before it began. No reads from replicas, no caches.
/// - No record is evicted before its [`ttl`](Stored::ttl): a lost lock is a bypass.
/// - A failure is an `Err`, never `Ok(None)`: an error refuses the request, a missing lock permits it.
pub trait Store: Send + Sync + 'static {
    /// The record under a key.
    fn load(&self, key: Key) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Makes the changes in order and stops at the first that cannot be made. A store may make all of them or none: see
    /// [`is_atomic`](Self::is_atomic).
    ///
    /// A change writes `next` (`None` deletes) if the record's revision is `expected` (`None`: there is no record). If
    /// the stored record already has the revision of `next`, the change is done for any `expected`, and nothing is
    /// written: the swap was sent again after its answer was lost.
    fn swap(&self, changes: &[Change]) -> impl Future<Output = Result<Swapped, StoreError>> + Send;

    /// Whether a [`swap`](Self::swap) of records of one [group](Key::group) makes all of its changes or none, and no
    /// other operation sees a part of them. The default is `false`.
    ///
    /// Then the engine writes a user's record and a session's in one swap, which halves the round trips: an attempt is
    /// counted in the write that records its result, and neither without the other. A store that wraps another must
    /// forward it, or leave the default. It must always give the same answer.
    fn is_atomic(&self) -> bool {
        false
    }

    /// Checks that the store is configured to meet the contract of [`Store`]. The default reports no problem.
    ///
    /// Called once, with the first request, which does not wait for it. A store that wraps another must forward it.
    ///
    /// # Errors
    ///
    /// [`StoreWarning`] says what is wrong, and becomes an [`Event`](crate::Event::StoreWarning). After
    /// [`Unknown`](StoreWarning::Unknown) the check is repeated, at most once a minute.
    fn check(&self) -> impl Future<Output = Result<(), StoreWarning>> + Send {
        std::future::ready(Ok(()))
    }

    /// Listens for the keys of changes of other processes that [end grants](Change::ends_grants), and calls `changed` with
    /// each. Only a hint: a response that such a change ends is ended at once, and not only when its record is read again,
    /// every three seconds. So nothing depends on it, and messages may be lost. The default hears nothing.
    ///
    /// Called while any response is [watched](crate::StepUp::ended), and again some seconds after it has returned. A store
    /// that wraps another may forward it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot listen, or no longer.
    fn listen(&self, changed: impl Fn(Key) + Send + Sync) -> impl Future<Output = Result<(), StoreError>> + Send {
        drop(changed);
        std::future::pending()
    }

    /// The store as the engine holds it. A store outside the process requires a secret and a record key that all
    /// processes share; only [`MemoryStore`] is in process.
    #[doc(hidden)]
    fn into_backend(self, _: Seal) -> Backend
    where
        Self: Sized,
    {
        Backend::shared(self)
    }
}
