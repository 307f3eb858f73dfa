//! A map of bytes behind a mutex, as a server would keep them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use testkit::stopped;
use tokio::task::yield_now;
use tower_step_up::store::{Change, Key, Revision, Store, StoreError, Stored, Swapped};

/// The fault of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Compares and writes in two steps.
    ChecksThenWrites,
    /// Compares version numbers that restart with each record, instead of revisions.
    CountsVersions,
    /// Compares only the existence of a record.
    IgnoresRevisions,
    /// Inserts without a comparison.
    InsertsOver,
    /// Treats an update as an insert.
    UpdatesNothing,
    /// Caches loads; a swap invalidates the cache, but not loads in progress.
    CachesLoads,
    /// Forgets one write in fifty.
    LosesUpdates,
    /// Holds a lock across an await, and keeps it if the future is dropped.
    KeepsLocks,
    /// Loads large records as absent.
    ForgetsLarge,
    /// Reports an insert as done, and writes nothing.
    InsertsNothing,
    /// Reports a delete as done, and keeps the record.
    DeletesNothing,
    /// Writes with the next swap.
    WritesLater,
    /// Keeps everything under one key.
    MixesKeys,
    /// Reports a resent swap as a conflict.
    ConflictsWithItself,
    /// Applies the changes after one that conflicts.
    StopsNowhere,
    /// Always reports the first change as the conflicting one.
    NamesTheFirst,
    /// Claims to make all changes of a swap or none, and makes those before a conflict.
    ClaimsToBeAtomic,
}

/// Keeps encoded records.
#[derive(Clone)]
pub(crate) struct FaultyMap {
    fault: Fault,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    records: HashMap<Key, Vec<u8>>,
    cache: HashMap<Key, Option<Vec<u8>>>,
    held: HashSet<Key>,
    versions: HashMap<Key, u64>,
    issued: HashMap<(Key, Revision), u64>,
    writes: u64,
    late: Option<(Key, Option<Stored>)>,
    only: Option<Key>,
}

impl FaultyMap {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, state: Arc::default() }
    }

    fn place_of(&self, key: Key) -> Key {
        if self.fault == Fault::MixesKeys { *self.state().only.get_or_insert(key) } else { key }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl Store for FaultyMap {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        let key = self.place_of(key);
        let cached = self.state().cache.get(&key).cloned();
        let bytes = if let Some(cached) = cached {
            cached
        } else {
            let bytes = self.state().records.get(&key).cloned();
            if self.fault == Fault::CachesLoads {
                yield_now().await;
                self.state().cache.insert(key, bytes.clone());
            }
            bytes
        };
        let room = if self.fault == Fault::ForgetsLarge { 500 } else { usize::MAX };
        bytes.filter(|bytes| bytes.len() < room).map(|bytes| Stored::decode(&bytes)).transpose()
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let mut stop = Swapped::Done;
        for (at, Change { key, expected, next, .. }) in changes.iter().enumerate() {
            if self.fault == Fault::ClaimsToBeAtomic {
                yield_now().await;
            }
            let at = if self.fault == Fault::NamesTheFirst { 0 } else { at };
            if let Some(stopped) = stopped(self.make(*key, *expected, next.clone()).await?, at) {
                stop = stopped;
                if self.fault != Fault::StopsNowhere {
                    break;
                }
            }
        }
        Ok(stop)
    }

    fn is_atomic(&self) -> bool {
        self.fault == Fault::ClaimsToBeAtomic
    }
}

impl FaultyMap {
    async fn make(&self, key: Key, expected: Option<Revision>, next: Option<Stored>) -> Result<Swapped, StoreError> {
        let key = self.place_of(key);
        if self.fault == Fault::KeepsLocks {
            if !self.state().held.insert(key) {
                return Ok(Swapped::Conflict { at: 0 });
            }
            yield_now().await;
            self.state().held.remove(&key);
        }
        if self.fault == Fault::ChecksThenWrites {
            if !self.state().matches(self.fault, &key, expected)? {
                return Ok(Swapped::Conflict { at: 0 });
            }
            yield_now().await;
            self.state().write(key, next);
            return Ok(Swapped::Done);
        }
        let mut state = self.state();
        if let Some((key, next)) = state.late.take() {
            state.write(key, next);
        }
        if self.fault != Fault::ConflictsWithItself && state.holds(&key, next.as_ref())? {
            return Ok(Swapped::Done);
        }
        if !state.matches(self.fault, &key, expected)? {
            return Ok(Swapped::Conflict { at: 0 });
        }
        state.writes += 1;
        match self.fault {
            Fault::LosesUpdates if state.writes.is_multiple_of(50) => {}
            Fault::InsertsNothing if expected.is_none() => {}
            Fault::DeletesNothing if next.is_none() => {}
            Fault::WritesLater => state.late = Some((key, next)),
            _ => state.write(key, next),
        }
        Ok(Swapped::Done)
    }
}

impl State {
    /// Whether the record to be written is already stored.
    fn holds(&self, key: &Key, next: Option<&Stored>) -> Result<bool, StoreError> {
        let current = self.records.get(key).map(|bytes| Revision::of(bytes)).transpose()?;
        Ok(current.is_some() && current == next.map(Stored::revision))
    }

    fn matches(&self, fault: Fault, key: &Key, expected: Option<Revision>) -> Result<bool, StoreError> {
        let current = self.records.get(key).map(|bytes| Revision::of(bytes)).transpose()?;
        Ok(match fault {
            Fault::CountsVersions => {
                let version = |revision| self.issued.get(&(*key, revision)).copied().unwrap_or(0);
                current.and_then(|_| self.versions.get(key).copied()) == expected.map(version)
            }
            Fault::IgnoresRevisions => current.is_some() == expected.is_some(),
            Fault::InsertsOver => expected.is_none() || current == expected,
            Fault::UpdatesNothing => current.is_none() || current == expected,
            _ => current == expected,
        })
    }

    fn write(&mut self, key: Key, next: Option<Stored>) {
        self.cache.remove(&key);
        let Some(next) = next else {
            self.records.remove(&key);
            self.versions.remove(&key);
            return;
        };
        let version = self.versions.entry(key).or_default();
        *version += 1;
        self.issued.insert((key, next.revision()), *version);
        self.records.insert(key, next.encode());
    }
}
