//! Reads and writes of records: load, swap, and change with retries on conflict.

use std::{borrow::Cow, time::Duration};

use futures_util::future::join;

use super::Engine;
use crate::{
    engine::{Caller, Event, Recipient},
    rules::{BareKey, ChallengeError, Sends, Session, Subject, Summary, Timestamp},
    store::{Change, Key, Lookup, Record, Revision, StoreError, Stored, Swapped},
    timeout::within,
};

/// The last time at which records are written: later, an expiry could overflow, and a denial would be forgotten at
/// once.
const LATEST: Timestamp = Timestamp::from_millis(u64::MAX / 2);

/// The store failed, or conflicts exhausted the retries. A store failure has been emitted. Every operation then
/// refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreDown;

impl From<StoreDown> for ChallengeError {
    fn from(StoreDown: StoreDown) -> Self {
        Self::Unavailable
    }
}

/// The records of a user and of one of their sessions, as read.
pub(super) struct Loaded {
    pub(super) subject: Option<Stored>,
    pub(super) session: Option<Stored>,
}

/// The result of a swap.
pub(super) enum Swap<T = Option<Stored>> {
    /// The state that was written; `None` where nothing had to be kept.
    Done(T),
    Conflict,
}

/// A record to be written in the place of the one that was read.
pub(super) struct Write<'a> {
    pub(super) key: &'a Key,
    pub(super) expected: Option<&'a Stored>,
    pub(super) next: Record,
}

/// Records of the store.
impl Engine {
    pub(super) async fn load(&self, key: &Key) -> Result<Option<Stored>, StoreDown> {
        self.look_up(key).await.map_err(|error| self.failed(&error))
    }

    /// The state that was last read or written, if any, and otherwise the one that is stored.
    async fn known_or_loaded(&self, known: Option<Stored>, key: &Key) -> Result<Option<Stored>, StoreDown> {
        match known {
            Some(known) => Ok(Some(known)),
            None => self.load(key).await,
        }
    }

    /// As [`load`](Self::load), but does not emit a failure.
    pub(crate) async fn look_up(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        match self.begin_load(key) {
            Lookup::Ready(result) => result,
            Lookup::Pending(load) => self.in_time(load).await,
        }
    }

    /// The result of a load, or the failure to load within the store's deadline.
    pub(super) async fn in_time(
        &self,
        load: impl Future<Output = Result<Option<Stored>, StoreError>>,
    ) -> Result<Option<Stored>, StoreError> {
        within(self.policy.store_deadline, load).await.unwrap_or_else(|| Err(StoreError::deadline()))
    }

    /// As [`look_up`](Self::look_up), ready at once where the store is in-process.
    pub(crate) fn begin_load(&self, key: &Key) -> Lookup {
        self.check_store();
        self.store.load(key)
    }

    /// As [`begin_load`](Self::begin_load), unless the session's summary is at hand and `permits` accepts it.
    pub(crate) fn begin_load_unless(
        &self,
        key: &Key,
        permits: impl FnOnce(&Summary) -> bool,
    ) -> Result<Summary, Lookup> {
        self.check_store();
        self.store.load_unless(key, permits)
    }

    /// The key of a session's record, also listed in the user's record.
    pub(crate) fn session_key(&self, caller: &Caller) -> Key {
        self.record_key.key_of(caller.subject(), caller.session())
    }

    pub(super) fn subject_key(&self, subject: &str) -> Key {
        self.record_key.key_of(subject, BareKey::subject(subject))
    }

    /// `None` where the enrollment names no recipient.
    pub(super) fn recipient_key(&self, recipient: &Recipient) -> Option<Key> {
        recipient.as_str().map(|recipient| self.record_key.key(BareKey::recipient(recipient)))
    }

    /// The user's record and the session's, in one round trip.
    pub(super) async fn load_both(&self, subject: &Key, session: &Key) -> Result<Loaded, StoreDown> {
        let (subject, session) = join(self.load(subject), self.load(session)).await;
        Ok(Loaded { subject: subject?, session: session? })
    }

    pub(super) async fn swap(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Record,
        now: Timestamp,
    ) -> Result<Swap, StoreDown> {
        let swapped = self.swap_all([Write { key, expected, next }], now).await?;
        Ok(match swapped {
            Swap::Done([written]) => Swap::Done(written),
            Swap::Conflict => Swap::Conflict,
        })
    }

    /// Swaps a user's records in order, and all or none where the store [is atomic](crate::Store::is_atomic).
    pub(super) async fn swap_all<const N: usize>(
        &self,
        writes: [Write<'_>; N],
        now: Timestamp,
    ) -> Result<Swap<[Option<Stored>; N]>, StoreDown> {
        if now > LATEST {
            return Err(
                self.failed(&StoreError::new("nothing is written this close to the end of time: set the clock"))
            );
        }
        let changes = writes.map(|Write { key, expected, next }| {
            let until = match &next {
                Record::Session(session) => session.keep_until(&self.policy),
                Record::Subject(subject) => subject.keep_until(),
                Record::Recipient(sends) => sends.keep_until(),
            };
            let ttl = until.saturating_since(now);
            self.change(key, expected, (!ttl.is_zero()).then_some((next, ttl)))
        });
        self.make(changes).await
    }

    /// Swaps a record that is kept for its TTL, or deletes it.
    pub(super) async fn swap_for(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Option<(Record, Duration)>,
    ) -> Result<Swap<[Option<Stored>; 1]>, StoreDown> {
        self.make([self.change(key, expected, next)]).await
    }

    fn change(&self, key: &Key, expected: Option<&Stored>, next: Option<(Record, Duration)>) -> Change {
        let ends_grants = ends_grants(expected, next.as_ref().map(|(record, _)| record));
        let next = next.map(|(record, ttl)| Stored::new(Revision::new(self.ids.next()), ttl, record));
        Change { ends_grants, ..Change::new(*key, expected.map(Stored::revision), next) }
    }

    async fn make<const N: usize>(&self, changes: [Change; N]) -> Result<Swap<[Option<Stored>; N]>, StoreDown> {
        let swapped = within(self.policy.store_deadline, self.store.swap(&changes)).await;
        match swapped.unwrap_or_else(|| Err(StoreError::deadline())).map_err(|error| self.failed(&error))? {
            Swapped::Done => {
                for change in &changes {
                    self.watch.written(&change.key, change.next.as_ref(), || self.now());
                }
                Ok(Swap::Done(changes.map(|change| change.next)))
            }
            Swapped::Conflict { .. } => Ok(Swap::Conflict),
            Swapped::Full { .. } => Err(self.failed(&StoreError::full())),
        }
    }

    pub(super) async fn swap_session(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Session,
        now: Timestamp,
    ) -> Result<Swap, StoreDown> {
        self.swap(key, expected, Record::Session(next), now).await
    }

    pub(super) async fn swap_subject(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Subject,
        now: Timestamp,
    ) -> Result<Swap, StoreDown> {
        self.swap(key, expected, Record::Subject(next), now).await
    }

    /// Changes an existing session's record, unless `change` returns `None`, starting with the state that was last read
    /// or written, if any. Returns whether it was written.
    pub(super) async fn change_session(
        &self,
        key: &Key,
        mut known: Option<Stored>,
        mut change: impl FnMut(&Session, Timestamp) -> Option<Session>,
    ) -> Result<bool, StoreDown> {
        let mut retries = self.retries();
        while retries.next().await {
            let stored = self.known_or_loaded(known.take(), key).await?;
            let now = self.now();
            let Some(next) = self.session_of(stored.as_ref())?.and_then(|session| change(session, now)) else {
                return Ok(false);
            };
            if let Swap::Done(_) = self.swap_session(key, stored.as_ref(), next, now).await? {
                return Ok(true);
            }
        }
        Err(StoreDown)
    }

    /// Changes a user's record, starting with the state that was last read or written. Returns the result of `change`;
    /// `None` where there is no record.
    pub(super) async fn change_subject<T>(
        &self,
        key: &Key,
        mut stored: Option<Stored>,
        mut change: impl FnMut(&mut Subject) -> T,
    ) -> Result<Option<T>, StoreDown> {
        let mut retries = self.retries();
        while retries.next().await {
            let Some(mut next) = self.subject_of(stored.as_ref())?.cloned() else { return Ok(None) };
            let given = change(&mut next);
            if self.subject_of(stored.as_ref())? == Some(&next) {
                return Ok(Some(given));
            }
            if let Swap::Done(_) = self.swap_subject(key, stored.as_ref(), next, self.now()).await? {
                return Ok(Some(given));
            }
            stored = self.load(key).await?;
        }
        Err(StoreDown)
    }

    /// Changes or creates a user's record, unless `change` leaves it unchanged.
    pub(super) async fn put_subject(
        &self,
        key: &Key,
        mut change: impl FnMut(&mut Subject, Timestamp),
    ) -> Result<(), StoreDown> {
        let mut retries = self.retries();
        while retries.next().await {
            let stored = self.load(key).await?;
            let mut next = self.subject_or_new(stored.as_ref())?;
            let now = self.now();
            change(&mut next, now);
            if self.subject_of(stored.as_ref())? == Some(&next) {
                return Ok(());
            }
            if let Swap::Done(_) = self.swap_subject(key, stored.as_ref(), next, now).await? {
                return Ok(());
            }
        }
        Err(StoreDown)
    }

    /// Changes a recipient's record, if there is a recipient and it has a record, starting with the state that was last
    /// read, if any.
    pub(super) async fn change_recipient(
        &self,
        key: Option<&Key>,
        mut known: Option<Stored>,
        change: impl Fn(&mut Sends),
    ) -> Result<(), StoreDown> {
        let Some(key) = key else { return Ok(()) };
        let mut retries = self.retries();
        while retries.next().await {
            let stored = self.known_or_loaded(known.take(), key).await?;
            let Some(mut next) = self.recipient_of(stored.as_ref())?.cloned() else { return Ok(()) };
            change(&mut next);
            if let Swap::Done(_) = self.swap(key, stored.as_ref(), Record::Recipient(next), self.now()).await? {
                return Ok(());
            }
        }
        Err(StoreDown)
    }

    /// Restores failures that this process has seen and a shared store may have lost.
    pub(super) fn remember(&self, key: &Key, subject: &mut Subject, now: Timestamp) {
        if self.store.is_shared() {
            subject.restore_failures(self.local_failures.of(key), now);
        }
    }

    /// A user's record with the failures that this process remembers; an empty one for an unknown user.
    pub(super) fn remembered<'a>(&self, key: &Key, user: Option<&'a Subject>, now: Timestamp) -> Cow<'a, Subject> {
        match user {
            Some(user) if !self.store.is_shared() => Cow::Borrowed(user),
            _ => {
                let mut user = user.cloned().unwrap_or_else(|| Subject::new(0));
                self.remember(key, &mut user, now);
                Cow::Owned(user)
            }
        }
    }

    pub(super) fn session_of<'a>(&self, stored: Option<&'a Stored>) -> Result<Option<&'a Session>, StoreDown> {
        as_session(stored).map_err(|error| self.failed(&error))
    }

    pub(super) fn subject_of<'a>(&self, stored: Option<&'a Stored>) -> Result<Option<&'a Subject>, StoreDown> {
        match stored.map(Stored::record) {
            Some(Record::Subject(subject)) => Ok(Some(subject)),
            None => Ok(None),
            Some(Record::Session(_) | Record::Recipient(_)) => Err(self.failed(&StoreError::unreadable())),
        }
    }

    /// The user's record to change, or a new one.
    pub(super) fn subject_or_new(&self, stored: Option<&Stored>) -> Result<Subject, StoreDown> {
        Ok(self.subject_of(stored)?.cloned().unwrap_or_else(|| Subject::new(self.ids.next_u64())))
    }

    pub(super) fn recipient_of<'a>(&self, stored: Option<&'a Stored>) -> Result<Option<&'a Sends>, StoreDown> {
        match stored.map(Stored::record) {
            Some(Record::Recipient(sends)) => Ok(Some(sends)),
            None => Ok(None),
            Some(Record::Session(_) | Record::Subject(_)) => Err(self.failed(&StoreError::unreadable())),
        }
    }

    pub(super) fn failed(&self, error: &StoreError) -> StoreDown {
        self.emit(&Event::StoreFailed { error });
        StoreDown
    }
}

/// Whether a session had a grant that it will not have.
fn ends_grants(before: Option<&Stored>, after: Option<&Record>) -> bool {
    let Some(Record::Session(before)) = before.map(Stored::record) else { return false };
    let after = match after {
        Some(Record::Session(after)) => after.grants(),
        _ => &[],
    };
    before.grants().iter().any(|grant| after.iter().all(|other| other.id != grant.id))
}

/// A session's record. A record of another kind under its key is unreadable, as is one of another version.
pub(super) fn as_session(stored: Option<&Stored>) -> Result<Option<&Session>, StoreError> {
    match stored.map(Stored::record) {
        Some(Record::Session(session)) => Ok(Some(session)),
        None => Ok(None),
        Some(Record::Subject(_) | Record::Recipient(_)) => Err(StoreError::unreadable()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        StepUp,
        engine::{ManualClock, discard},
    };

    #[tokio::test]
    async fn until_its_last_moment_everything_is_written() {
        let (clock, caller) = (ManualClock::new(), Caller::user("alice").session("1"));
        let step_up = StepUp::builder().sandbox().otp("SMS", discard).clock(clock.clone()).build().unwrap();
        clock.set(LATEST);
        step_up.start_otp(&caller, "SMS", None).await.unwrap();
        clock.advance(Duration::from_millis(1));
        let late = step_up.verify_otp(&caller, "SMS", "123456").await.map(drop);
        assert_eq!(late, Err(ChallengeError::Unavailable));
    }
}
