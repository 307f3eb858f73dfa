//! The sessions listed in a user's record: listed before they are written, reserved, displaced and revoked.

use std::time::Duration;

use super::{
    Engine,
    records::{StoreDown, Swap, as_session},
};
use crate::{
    rules::{ChallengeId, Listed, ListedBy, Session, Subject, Timestamp},
    store::{Key, Record},
};

/// How long an empty record reserves the key of one that is about to be written.
const PLACE_KEPT: Duration = Duration::from_secs(60);

/// Whether a session's key was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Taken,
    /// There is a record already.
    Occupied,
}

/// Sessions of a user.
impl Engine {
    /// Lists the session in the user's record before the session's own is written: for one start, which may withdraw
    /// it, or permanently. If the list is full, the oldest session is displaced: its grants are revoked, or, where it
    /// has no record yet, its key is reserved, so that an operation about to write it meets a conflict.
    pub(super) async fn list(
        &self,
        subject: &mut Subject,
        session: &Key,
        by: ListedBy,
        now: Timestamp,
    ) -> Result<(), StoreDown> {
        let policy = &self.policy;
        let until =
            now.saturating_add(policy.code_lifetime.max(policy.push_lifetime)).saturating_add(policy.grant_lifetime);
        match subject.track_session(session, by, until, now) {
            Listed::Done => Ok(()),
            Listed::Displaced(oldest) => {
                if self.take_place(&oldest).await? == Place::Occupied {
                    self.revoke_session(&oldest).await?;
                }
                Ok(())
            }
        }
    }

    /// Makes sure that a session has a record, so that a later write must swap it, and a revocation in between is
    /// noticed: a record that contains a grant is never inserted (T32).
    pub(super) async fn take_place(&self, key: &Key) -> Result<Place, StoreDown> {
        if self.load(key).await?.is_some() {
            return Ok(Place::Occupied);
        }
        let place = Some((Record::Session(Session::default()), PLACE_KEPT));
        match self.swap_for(key, None, place).await? {
            Swap::Done(_) => Ok(Place::Taken),
            Swap::Conflict => Ok(Place::Occupied),
        }
    }

    /// Revokes a session's elevation; returns the ids of its challenges. The record is rewritten even if it holds no
    /// elevation, so that an operation that has read it before meets a conflict. After a conflict that is ensured
    /// already: a record that another operation has left without elevation is not written again, so that each of many
    /// concurrent revocations writes at most once (T40).
    pub(super) async fn revoke_session(&self, key: &Key) -> Result<Vec<ChallengeId>, StoreDown> {
        let mut starts = Vec::new();
        let mut conflicted = false;
        let revoke = |session: &Session, now| {
            starts = session.otp_id().into_iter().chain(session.push_challenge_id()).collect();
            let again = std::mem::replace(&mut conflicted, true);
            let next = session.without_elevation(&self.policy, now);
            (!again || next != *session).then_some(next)
        };
        self.change_session(key, None, revoke).await?;
        Ok(starts)
    }

    /// Rewrites a session's record unchanged, so that an operation that has read it before meets a conflict and repeats
    /// its checks. If the swap itself meets a conflict, another write has had that effect; an unreadable record grants
    /// nothing.
    pub(super) async fn touch_session(&self, key: &Key) -> Result<(), StoreDown> {
        let stored = match self.look_up(key).await {
            Err(error) if error.is_unreadable() => return Ok(()),
            stored => stored.map_err(|error| self.failed(&error))?,
        };
        match as_session(stored.as_ref()) {
            Ok(Some(session)) => self.swap_session(key, stored.as_ref(), session.clone(), self.now()).await.map(drop),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}
