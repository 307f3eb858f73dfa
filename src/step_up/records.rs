//! Records: loaded, swapped, changed until nobody interferes.

use super::{
    Engine,
    outside::{both, finish, within},
};
use crate::{
    caller::Caller,
    clock::Timestamp,
    delivery::Recipient,
    error::ChallengeError,
    log,
    session::Session,
    store::{Key, Record, Revision, Store, StoreError, Stored, Swapped},
    subject::{Listed, Subject},
};

/// How often an operation is tried again when others change the same record meanwhile. Each round somebody
/// gets through, so this many callers would have to be faster, one after the other.
pub(super) const ROUNDS: usize = 256;

/// What became of a swap.
pub(super) enum Swap {
    /// The state that stands now; `None` where nothing was left to keep.
    Done(Option<Stored>),
    Conflict,
}

impl<S: Store> Engine<S> {
    pub(super) async fn load(&self, key: &Key) -> Result<Option<Stored>, ChallengeError> {
        finish::<S>(self.store.load(key), self.policy.store_deadline).await.map_err(failed)
    }

    /// The user's record and the session's, in one round trip.
    pub(super) async fn load_both(
        &self,
        subject: &Key,
        session: &Key,
    ) -> Result<(Option<Stored>, Option<Stored>), ChallengeError> {
        let (subject, session) = (self.store.load(subject), self.store.load(session));
        let deadline = self.policy.store_deadline;
        let (subject, session) = both(finish::<S>(subject, deadline), finish::<S>(session, deadline)).await;
        Ok((subject.map_err(failed)?, session.map_err(failed)?))
    }

    pub(super) async fn swap(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        record: Record,
        now: Timestamp,
    ) -> Result<Swap, ChallengeError> {
        let until = match &record {
            Record::Session(session) => session.keep_until(&self.policy),
            Record::Subject(subject) => subject.keep_until(),
        };
        let ttl = until.saturating_since(now);
        let next = (!ttl.is_zero()).then(|| Stored::new(Revision::new(self.ids.next()), ttl, record));
        let swap = self.store.swap(key, expected.map(Stored::revision), next.clone());
        let swapped = within(self.policy.store_deadline, swap).await;
        match swapped.unwrap_or_else(|| Err(StoreError::deadline())).map_err(failed)? {
            Swapped::Done => Ok(Swap::Done(next)),
            Swapped::Conflict => Ok(Swap::Conflict),
            Swapped::Full => Err(ChallengeError::Unavailable),
        }
    }

    pub(super) async fn swap_session(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Session,
        now: Timestamp,
    ) -> Result<Swap, ChallengeError> {
        self.swap(key, expected, Record::Session(next), now).await
    }

    pub(super) async fn swap_subject(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Subject,
        now: Timestamp,
    ) -> Result<Swap, ChallengeError> {
        self.swap(key, expected, Record::Subject(next), now).await
    }

    /// Changes a session that exists, for as long as `change` gives a new state of it.
    pub(super) async fn change_session(
        &self,
        key: &Key,
        mut change: impl FnMut(&Session, Timestamp) -> Option<Session>,
    ) -> Result<bool, ChallengeError> {
        for _ in 0..ROUNDS {
            let stored = self.load(key).await?;
            let now = self.now();
            let Some(next) = session_of(stored.as_ref())?.and_then(|session| change(session, now)) else {
                return Ok(false);
            };
            if let Swap::Done(_) = self.swap_session(key, stored.as_ref(), next, now).await? {
                return Ok(true);
            }
        }
        Err(ChallengeError::Unavailable)
    }

    /// Changes a user's record, beginning with the state that was written last.
    pub(super) async fn change_subject(
        &self,
        key: &Key,
        mut stored: Option<Stored>,
        change: impl Fn(&mut Subject),
    ) -> Result<(), ChallengeError> {
        for _ in 0..ROUNDS {
            let Some(mut next) = subject_of(stored.as_ref())?.cloned() else { return Ok(()) };
            change(&mut next);
            if let Swap::Done(_) = self.swap_subject(key, stored.as_ref(), next, self.now()).await? {
                return Ok(());
            }
            stored = self.load(key).await?;
        }
        Err(ChallengeError::Unavailable)
    }

    pub(super) async fn revoke(&self, key: &Key) -> Result<(), ChallengeError> {
        self.change_session(key, |session, _| Some(session.revoked()).filter(|next| next != session)).await?;
        Ok(())
    }

    /// Starts a challenge: refuses what can be refused from what was read, in the contract's order, then writes
    /// the user's record and after it the session's.
    ///
    /// `step` takes the step in both, and says what of the session stands in its way.
    pub(super) async fn begin(
        &self,
        caller: &Caller,
        channel: &str,
        enrolled: Result<Recipient, ChallengeError>,
        step: impl Fn(&mut Subject, &Session, Timestamp) -> Result<Session, ChallengeError>,
    ) -> Result<Recipient, ChallengeError> {
        let (subject_key, session_key) = (&caller.subject_key(), caller.session_key());
        for _ in 0..ROUNDS {
            let (subject, session) = self.load_both(subject_key, session_key).await?;
            let now = self.now();
            let mut next_subject = match subject_of(subject.as_ref())? {
                Some(subject) => subject.clone(),
                None => Subject::new(self.ids.next_u64()),
            };
            next_subject.check_disabled(channel, &self.policy, now)?;
            let recipient = enrolled.clone()?;
            let empty = Session::default();
            let next_session = step(&mut next_subject, session_of(session.as_ref())?.unwrap_or(&empty), now)?;
            next_subject.check_locked(channel, &self.policy, now)?;
            self.list(&mut next_subject, session_key, now).await?;
            if let Swap::Done(_) = self.swap_subject(subject_key, subject.as_ref(), next_subject, now).await?
                && let Swap::Done(_) = self.swap_session(session_key, session.as_ref(), next_session, now).await?
            {
                return Ok(recipient);
            }
        }
        Err(ChallengeError::Unavailable)
    }

    /// Lists the session in the user's record before its own is written. Where the list is full, the grants
    /// of the oldest go first.
    pub(super) async fn list(
        &self,
        subject: &mut Subject,
        session: &Key,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        let policy = &self.policy;
        let until = now.saturating_add(policy.code_life.max(policy.push_life)).saturating_add(policy.grant_life);
        match subject.list(session, until, now) {
            Listed::Done => Ok(()),
            Listed::Displaced(oldest) => self.revoke(&oldest).await,
        }
    }
}

pub(super) fn failed(error: StoreError) -> ChallengeError {
    log::store_failed(&error);
    ChallengeError::Unavailable
}

/// A session's record. One of another kind under its key is as unreadable as one of another version.
pub(super) fn as_session(stored: Option<&Stored>) -> Result<Option<&Session>, StoreError> {
    match stored.map(Stored::record) {
        Some(Record::Session(session)) => Ok(Some(session)),
        None => Ok(None),
        Some(Record::Subject(_)) => Err(StoreError::unreadable()),
    }
}

pub(super) fn session_of(stored: Option<&Stored>) -> Result<Option<&Session>, ChallengeError> {
    as_session(stored).map_err(failed)
}

pub(super) fn subject_of(stored: Option<&Stored>) -> Result<Option<&Subject>, ChallengeError> {
    match stored.map(Stored::record) {
        Some(Record::Subject(subject)) => Ok(Some(subject)),
        None => Ok(None),
        Some(Record::Session(_)) => Err(failed(StoreError::unreadable())),
    }
}
