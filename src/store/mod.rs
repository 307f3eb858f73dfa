//! Where records live: the [`Store`] contract, and the [`MemoryStore`] that keeps them in process.
//!
//! A store can do two things: [`load`](Store::load) a record, and [`swap`](Store::swap) it if nobody has
//! changed it since. Every rule is decided by the engine between the two, so a store knows none. It judges
//! no time either: its own expiry, by [`Stored::ttl`], only frees memory.
//!
//! # Writing a store
//!
//! Implement [`RemoteStore`] with plain `async fn` and wrap it in [`Remote`]; put it through
//! [`conformance`] (feature `test-util`).
//!
//! ```
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//! use tower_step_up::{StepUp, store::{Key, Remote, RemoteStore, Revision, Stored, StoreError, Swapped}};
//!
//! /// Stands in for a server: keeps bytes, and compares the revision in front of them.
//! #[derive(Clone, Default)]
//! struct Shelf(Arc<Mutex<HashMap<Key, Vec<u8>>>>);
//!
//! impl RemoteStore for Shelf {
//!     async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
//!         let bytes = self.0.lock().map_err(StoreError::new)?.get(&key).cloned();
//!         bytes.map(|bytes| Stored::decode(&bytes)).transpose()
//!     }
//!
//!     async fn swap(
//!         &self,
//!         key: Key,
//!         expected: Option<Revision>,
//!         next: Option<Stored>,
//!     ) -> Result<Swapped, StoreError> {
//!         let mut shelf = self.0.lock().map_err(StoreError::new)?;
//!         let current = shelf.get(&key).map(|bytes| Revision::of(bytes)).transpose()?;
//!         if current.is_some() && current == next.as_ref().map(Stored::revision) {
//!             return Ok(Swapped::Done); // sent again, after the answer was lost
//!         }
//!         if current != expected {
//!             return Ok(Swapped::Conflict);
//!         }
//!         match next {
//!             Some(next) => drop(shelf.insert(key, next.encode())), // and let it expire after next.ttl()
//!             None => drop(shelf.remove(&key)),
//!         }
//!         Ok(Swapped::Done)
//!     }
//! }
//!
//! # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
//! let step_up = StepUp::builder()
//!     .otp("SMS", send_sms)
//!     .store(Remote::new(Shelf::default()))
//!     .record_key(tower_step_up::Secret::new([6; 32])?) // both shared by every process, from a generator
//!     .secret(tower_step_up::Secret::new([7; 32])?)
//!     .build()?;
//! # Ok::<_, tower_step_up::ConfigError>(())
//! ```

use std::{future::Future, pin::Pin};

pub use crate::rules::Key;

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod error;
mod memory;
mod record;
#[cfg(feature = "_redis")]
mod redis;
mod remote;
mod warning;

pub(crate) use self::record::Record;
#[cfg(feature = "_redis")]
pub use self::redis::{Managed, RedisStore};
pub use self::{
    error::StoreError,
    memory::MemoryStore,
    record::{Revision, Stored},
    remote::{Remote, RemoteStore},
    warning::StoreWarning,
};

/// What became of a [`Store::swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The record is written.
    Done,
    /// The record was not as expected; nothing was written.
    Conflict,
    /// There is no room for another record; nothing was written. Only an insert may be refused so.
    Full,
}

/// The answer to [`Store::load`]: at hand, or a future.
///
/// In process it is at hand, so the guard decides without a future; from elsewhere it is awaited.
#[derive(Debug)]
pub enum Lookup<F> {
    /// The record, or that there is none.
    Ready(Result<Option<Stored>, StoreError>),
    /// It comes later.
    Pending(F),
}

/// Where records live. See the [module](self) for how to write one.
///
/// # Security
///
/// - `swap` is atomic: between the comparison and the write, nobody else's write comes in.
/// - A swap whose `next` stands there already is `Done`, and not a conflict: a client library may send it again after
///   it has lost the answer, and the engine would take an attempt out of the count that was compared (T33).
/// - A load sees every swap that was answered `Done` before it began. No reads from replicas, no caches.
/// - Nothing that exists is evicted before its [`ttl`](Stored::ttl): a lost lock is a bypass.
/// - A failure is an `Err` and never `Ok(None)`: an error refuses, an absent lock lets pass.
pub trait Store: Clone + Send + Sync + 'static {
    /// The future of a load that is not at hand.
    type Load: Future<Output = Result<Option<Stored>, StoreError>> + Send + 'static;

    /// Whether records leave the process: other processes see the same ones, or they are written elsewhere. `true`
    /// requires a secret and a key of the records, which all those processes share.
    const SHARED: bool = true;

    /// The record under a key.
    fn load(&self, key: &Key) -> Lookup<Self::Load>;

    /// Writes `next` (`None` deletes) if the record's revision is `expected` (`None`: there is no record).
    ///
    /// If the record that is there already has the revision of `next`, the answer is [`Swapped::Done`], whatever is
    /// `expected`, and nothing is written: the swap was sent again after its answer was lost.
    fn swap(
        &self,
        key: &Key,
        expected: Option<Revision>,
        next: Option<Stored>,
    ) -> impl Future<Output = Result<Swapped, StoreError>> + Send;

    /// Whether the store is configured so that it can hold what [`Store`] asks of it. Unless a store says otherwise, it
    /// is.
    ///
    /// Asked once, beside the first request, where the store is [shared](Self::SHARED): no request waits for the answer.
    /// A store that wraps another passes it on.
    ///
    /// # Errors
    ///
    /// [`StoreWarning`] says what is wrong, and becomes an [`Event`](crate::Event::StoreWarning). After
    /// [`Unknown`](StoreWarning::Unknown) it is asked again, at most once a minute.
    fn check(&self) -> impl Future<Output = Result<(), StoreWarning>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A boxed future, as the adapters return it.
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
