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

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use crate::key::Key;
use crate::{sends::Sends, session::Session, subject::Subject};

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod remote;
mod upkeep;
mod warning;

#[cfg(feature = "redis")]
pub use self::redis::{Managed, RedisStore};
pub use self::{
    memory::MemoryStore,
    remote::{Remote, RemoteStore},
    warning::StoreWarning,
};

/// Names one state of one record. Never used twice, so a record that was deleted and created anew cannot be
/// taken for the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(u128);

impl Revision {
    pub(crate) fn new(number: u128) -> Self {
        Self(number)
    }

    /// The revision in front of an [encoded](Stored::encode) record: its first 16 bytes.
    ///
    /// # Errors
    ///
    /// Where there are fewer bytes.
    pub fn of(encoded: &[u8]) -> Result<Self, StoreError> {
        let (revision, _) = encoded.split_first_chunk::<16>().ok_or_else(StoreError::unreadable)?;
        Ok(Self(u128::from_be_bytes(*revision)))
    }

    /// The bytes that stand in front of an encoded record.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// A record as a store keeps it. A clone is one atomic increment.
#[derive(Clone)]
pub struct Stored(Arc<Inner>);

struct Inner {
    revision: Revision,
    ttl: Duration,
    record: Record,
}

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    Session(Session),
    Subject(Subject),
    /// Of a recipient: the messages that reached it.
    Recipient(Sends),
}

impl Record {
    /// Whether it keeps the bounds on which the rules rely.
    fn is_within_bounds(&self) -> bool {
        match self {
            Self::Session(session) => session.is_within_bounds(),
            Self::Subject(subject) => subject.is_within_bounds(),
            Self::Recipient(sends) => sends.is_within_bounds(),
        }
    }
}

/// The version of the encoding: one that is unknown is refused, never guessed.
const VERSION: u8 = 1;

impl Stored {
    pub(crate) fn new(revision: Revision, ttl: Duration, record: Record) -> Self {
        Self(Arc::new(Inner { revision, ttl, record }))
    }

    /// Which state this is.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// How long from its writing the record must be kept. Deleting it earlier forgets a lock.
    ///
    /// Zero on a record that was loaded from outside the process: each write names its own.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.0.ttl
    }

    pub(crate) fn record(&self) -> &Record {
        &self.0.record
    }

    /// Whether two are the same, not merely alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The record as bytes: its revision in 16 bytes, a version, and JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.0.revision.to_bytes().to_vec();
        bytes.push(VERSION);
        // The records hold strings, numbers and lists of both, and a Vec takes any number of bytes.
        serde_json::to_writer(&mut bytes, &self.0.record).unwrap_or_default();
        bytes
    }

    /// The record from bytes.
    ///
    /// # Errors
    ///
    /// Where the bytes are not a record, one of an unknown version, or one that exceeds a bound of what is ever written,
    /// such as 16 grants in a session: so the request is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let revision = Revision::of(bytes)?;
        match bytes.get(16..) {
            Some([VERSION, json @ ..]) => {
                let record: Record = serde_json::from_slice(json).map_err(|_| StoreError::unreadable())?;
                if record.is_within_bounds() {
                    Ok(Self::new(revision, Duration::ZERO, record))
                } else {
                    Err(StoreError::unreadable())
                }
            }
            _ => Err(StoreError::unreadable()),
        }
    }
}

/// Prints nothing of the record.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("revision", &self.0.revision).finish_non_exhaustive()
    }
}

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

/// A store failed: down, too slow, or holding what cannot be read. The request is refused.
#[derive(Debug)]
pub struct StoreError(Kind);

#[derive(Debug)]
enum Kind {
    Failed(Box<dyn Error + Send + Sync>),
    Unreadable,
    Deadline,
    Full,
}

impl StoreError {
    /// The store's own error.
    pub fn new(error: impl fmt::Display) -> Self {
        Self(Kind::Failed(error.to_string().into()))
    }

    /// One word, for logs and metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self.0 {
            Kind::Failed(_) => "failed",
            Kind::Unreadable => "unreadable",
            Kind::Deadline => "deadline",
            Kind::Full => "full",
        }
    }

    pub(crate) fn unreadable() -> Self {
        Self(Kind::Unreadable)
    }

    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self.0, Kind::Unreadable)
    }

    pub(crate) fn deadline() -> Self {
        Self(Kind::Deadline)
    }

    pub(crate) fn full() -> Self {
        Self(Kind::Full)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Failed(error) => write!(f, "the store failed: {error}"),
            Kind::Unreadable => f.write_str("the store holds a record that this version cannot read"),
            Kind::Deadline => f.write_str("the store did not answer within Policy::store_deadline"),
            Kind::Full => f.write_str("the store has no room for another record"),
        }
    }
}

impl Error for StoreError {}

/// A boxed future, as the adapters return it.
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        clock::Timestamp,
        policy::{GRANTS_PER_SESSION, Policy, RECORD_LIST_LIMIT, SESSIONS_PER_SUBJECT},
        sends::Kind as Message,
        session::{Granted, Usage},
        subject::{ListedBy, Opening},
    };

    /// Records of which each list has an entry.
    fn records() -> [Record; 3] {
        let (key, now) = (Key::subject("alice"), Timestamp::from_millis(1_000_000));
        let grant = Granted {
            id: 1,
            channel: "SMS".into(),
            scope: None,
            operation: None,
            verified_at: now,
            expires_at: now,
            generation: 1,
            usage: Usage::Unused,
        };
        let mut subject = Subject::new(1);
        subject.count("SMS", 1, now);
        subject.list(&key, ListedBy::Grant, now, now);
        let opening = Opening { start: 1, session: &key, deadline: now, push: None, recipient: None, replaces: None };
        subject.open(&opening, &Policy::new(), now).unwrap();
        let mut sends = Sends::default();
        sends.add(1, Message::Code, now);
        [Record::Session(Session::with_grants(vec![grant])), Record::Subject(subject), Record::Recipient(sends)]
    }

    /// E1: a record from outside has no list longer than is ever written, whatever a rule counts, sums or numbers.
    #[test]
    fn a_record_that_exceeds_a_bound_is_unreadable() {
        let records = records().map(|record| serde_json::to_value(record).unwrap());
        for (record, list, most) in [
            (0, "/Session/grants", GRANTS_PER_SESSION),
            (1, "/Subject/sessions", SESSIONS_PER_SUBJECT),
            (1, "/Subject/sends", RECORD_LIST_LIMIT),
            (1, "/Subject/wrong", RECORD_LIST_LIMIT),
            (1, "/Subject/failures", RECORD_LIST_LIMIT),
            (1, "/Subject/failures/0/attempts", RECORD_LIST_LIMIT),
            (1, "/Subject/challenges", RECORD_LIST_LIMIT),
            (2, "/Recipient", RECORD_LIST_LIMIT),
        ] {
            let decode = |length: usize| {
                let mut record = records[record].clone();
                let entries = record.pointer_mut(list).unwrap();
                *entries = Value::from(vec![entries[0].clone(); length]);
                Stored::decode(&[&[0; 16][..], &[VERSION], record.to_string().as_bytes()].concat())
            };
            assert!(decode(most).is_ok(), "{list}");
            assert!(decode(most + 1).is_err_and(|error| error.is_unreadable()), "{list}");
        }
    }
}
