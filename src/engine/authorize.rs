//! One-time grants: consumed before the handler runs, and restored if the handler asks for it.

use std::sync::Arc;

use super::{
    AuthorizeError, Engine, StepUp,
    records::{StoreDown, Swap},
};
use crate::{
    engine::{Caller, Event, Grant, Restore},
    rules::{BareOperation, ChallengeError, Requirement, Session, Subject},
    store::{Key, Stored},
    timeout::BoxFuture,
};

impl StepUp {
    /// Decides, and consumes the grants that satisfy the requirement. Of concurrent requests only one succeeds. `read`
    /// is the session's record, where it has been read already: if it has changed since, it is read again.
    pub(crate) async fn spend(
        &self,
        caller: &Caller,
        requirement: &Requirement,
        operation: Option<&BareOperation>,
        mut read: Option<Stored>,
    ) -> Result<Grant, AuthorizeError> {
        let engine = &*self.0;
        let session_key = &engine.session_key(caller);
        let mut retries = engine.retries();
        while retries.next().await {
            let loaded = match read.take() {
                Some(read) => Ok(Some(read)),
                None => engine.look_up(session_key).await,
            };
            let (stored, satisfied) = engine.satisfied(loaded, requirement, operation)?;
            let session = engine.session_of(Some(&stored))?.ok_or(AuthorizeError::Unavailable)?;
            let now = engine.now();
            let next = session.consume(|index| satisfied.contains(index), now);
            let swapped = engine.swap_session(session_key, Some(&stored), next, now).await?;
            let Swap::Done(written) = swapped else { continue };
            // A record written just before its expiry may be gone already, and its grants are consumed all the same.
            let grant = written.and_then(|written| Grant::of(written, satisfied.first));
            let grant = grant.ok_or(AuthorizeError::Unavailable)?;
            let taken = session.grants().iter().enumerate().filter(|(index, _)| satisfied.contains(*index));
            let spent = Spent {
                step_up: self.clone(),
                subject: caller.subject().into(),
                session: *session_key,
                ids: taken.map(|(_, grant)| grant.id).collect(),
            };
            engine.emit(&Event::Spent { subject: caller.subject(), channel: grant.channel() });
            return Ok(grant.with_restore(Arc::new(spent)));
        }
        Err(AuthorizeError::Unavailable)
    }
}

/// While a grant is consumed, only the store can fail.
impl From<StoreDown> for AuthorizeError {
    fn from(StoreDown: StoreDown) -> Self {
        Self::Unavailable
    }
}

/// The grants that one request has consumed.
struct Spent {
    step_up: StepUp,
    subject: Box<str>,
    session: Key,
    ids: Vec<u64>,
}

impl Restore for Spent {
    fn restore(&self) -> BoxFuture<'_, Result<bool, ChallengeError>> {
        Box::pin(self.step_up.0.restore(self))
    }
}

impl Engine {
    async fn restore(&self, spent: &Spent) -> Result<bool, ChallengeError> {
        // The user's record first: `revoke_all` changes it before the sessions, so an old generation is either seen
        // here, or its grants are removed there.
        let subject = self.load(&self.subject_key(&spent.subject)).await?;
        let Some(generation) = self.subject_of(subject.as_ref())?.map(Subject::generation) else { return Ok(false) };
        let restore = |session: &Session, now| session.restore(&spent.ids, generation, now);
        let restored = self.change_session(&spent.session, None, restore).await?;
        if restored {
            self.emit(&Event::GivenBack { subject: &spent.subject });
        }
        Ok(restored)
    }
}
