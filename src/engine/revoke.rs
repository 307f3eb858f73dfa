//! `revoke`, `revoke_all`, `factors_changed` and `transfer`: end an elevation, or move it to another session.

use std::sync::Arc;

use super::{
    Engine, StepUp,
    records::{Loaded, StoreDown, Swap},
};
use crate::{
    engine::{Caller, Event},
    rules::{ChallengeError, ListedBy, Seen, Session, Subject},
    store::Key,
};

impl StepUp {
    /// Ends a session's elevation: its grants and pending challenges. Attempts, the time of the last start and all
    /// counts are kept. Call it also at logout.
    ///
    /// A concurrent verification leaves no grant.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down: the session may still be elevated. Call it again.
    pub async fn revoke(&self, caller: &Caller) -> Result<(), ChallengeError> {
        let engine = &*self.0;
        let (subject_key, session_key) = (&engine.subject_key(caller.subject()), &engine.session_key(caller));
        // Noted first, so that a concurrent operation finds either this or its session's record changed. If the user's
        // record cannot be written, the session is revoked all the same.
        let noted = engine.note_revocation(subject_key, session_key).await;
        let dropped = engine.revoke_session(session_key).await?;
        engine.emit(&Event::Revoked { subject: caller.subject(), everywhere: false });
        noted?;
        let stored = engine.load(subject_key).await?;
        // Only the challenges that were dropped: one started in the meantime stays open.
        let close = |subject: &mut Subject| dropped.iter().for_each(|challenge_id| subject.close(*challenge_id));
        engine.change_subject(subject_key, stored, close).await?;
        Ok(())
    }

    /// Ends the elevation of all sessions of a user, and every challenge pending in them: after a logout everywhere, or
    /// a change of the user's privileges or factors. Counts and lockouts are kept.
    ///
    /// A concurrent verification leaves no grant.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let phone = Caller::user("alice").session("session on the phone");
    /// step_up.start_otp(&phone, "SMS", None).await?;
    /// step_up.verify_otp(&phone, "SMS", "123456").await?;
    ///
    /// step_up.revoke_all("alice").await?;
    /// assert!(step_up.authorize(&phone, &Requirement::new()).await.is_err());
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down: some sessions may still be elevated. Call it again.
    pub async fn revoke_all(&self, subject: &str) -> Result<(), ChallengeError> {
        let (engine, key) = (Arc::clone(&self.0), self.0.subject_key(subject));
        self.0.unfinished.to_the_end(async move { engine.revoke_all(&key, None).await }).await?;
        self.0.emit(&Event::Revoked { subject, everywhere: true });
        Ok(())
    }

    /// As [`revoke_all`](Self::revoke_all), but keeps the grants of the caller's own session: for a user who has
    /// changed a factor, such as their phone number, and has just stepped up to do so. Challenges sent to the old phone
    /// become invalid, in this session too, and the user's verified recipients are forgotten.
    ///
    /// Call it once the change is stored. A code sent to a recipient other than the one now enrolled never verifies
    /// (409 `STATE_INVALID`), even without this call; pending pushes and other sessions end only with it.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let (laptop, tablet) = (Caller::user("alice").session("laptop"), Caller::user("alice").session("tablet"));
    /// for session in [&laptop, &tablet] {
    ///     step_up.start_otp(session, "SMS", None).await?;
    ///     step_up.verify_otp(session, "SMS", "123456").await?;
    /// }
    ///
    /// // On the laptop, Alice has replaced her phone.
    /// step_up.factors_changed(&laptop).await?;
    /// assert!(step_up.authorize(&laptop, &Requirement::new()).await.is_ok());
    /// assert!(step_up.authorize(&tablet, &Requirement::new()).await.is_err());
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down: some sessions may still be elevated. Call it again.
    pub async fn factors_changed(&self, caller: &Caller) -> Result<(), ChallengeError> {
        let (engine, key, own) =
            (Arc::clone(&self.0), self.0.subject_key(caller.subject()), self.0.session_key(caller));
        self.0.unfinished.to_the_end(async move { engine.revoke_all(&key, Some(&own)).await }).await?;
        self.0.emit(&Event::Revoked { subject: caller.subject(), everywhere: true });
        Ok(())
    }

    /// Moves an elevation when a session gets a new id, as it should when privileges change: grants, attempts and the
    /// time of the last start. The old id's record is deleted. A pending challenge is dropped: its code was made for
    /// the old id.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let (old, new) = (Caller::user("alice").session("old id"), Caller::user("alice").session("new id"));
    /// step_up.start_otp(&old, "SMS", None).await?;
    /// step_up.verify_otp(&old, "SMS", "123456").await?;
    ///
    /// step_up.transfer(&old, &new).await?;
    /// assert!(step_up.authorize(&old, &Requirement::new()).await.is_err());
    /// assert!(step_up.authorize(&new, &Requirement::new()).await.is_ok());
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ChallengeError::Forbidden`] where the two callers are different users: nothing is changed.
    /// - [`ChallengeError::Unavailable`] where the store is down: the elevation may be lost, but never exists twice.
    pub async fn transfer(&self, old: &Caller, new: &Caller) -> Result<(), ChallengeError> {
        if old.subject() != new.subject() {
            return Err(ChallengeError::Forbidden);
        }
        if old.session() == new.session() {
            return Ok(());
        }
        let (engine, subject_key) = (Arc::clone(&self.0), self.0.subject_key(old.subject()));
        let (old_key, new_key) = (engine.session_key(old), engine.session_key(new));
        self.0.unfinished.to_the_end(async move { engine.transfer(&subject_key, &old_key, &new_key).await }).await
    }
}

impl Engine {
    /// Notes in the user's record that a session was revoked.
    async fn note_revocation(&self, subject_key: &Key, session_key: &Key) -> Result<(), StoreDown> {
        let stored = self.load(subject_key).await?;
        let first = self.subject_of(stored.as_ref())?.and_then(|subject| subject.revocation(session_key));
        let revocation = self.ids.next_u64();
        let note = |subject: &mut Subject| {
            // Another revocation that began after this one's read is sufficient (T40).
            if subject.revocation(session_key) == first {
                subject.revoke(session_key, revocation);
            }
        };
        self.change_subject(subject_key, stored, note).await.map(drop)
    }

    /// Revokes all sessions of a user, except the grants of `own` that belong to the generation that ends.
    async fn revoke_all(&self, key: &Key, own: Option<&Key>) -> Result<(), StoreDown> {
        // An operation that still uses the old generation has read the user's record before this; its session is listed
        // there, so it finds that session's record changed.
        let stored = self.load(key).await?;
        let first = self.subject_of(stored.as_ref())?.map(Subject::generation);
        let kept = match own {
            Some(own) => self.grants_of(own, first).await?,
            None => Vec::new(),
        };
        let (mut own_generation, mut stays) = (None, false);
        let begin = |subject: &mut Subject| {
            let before = Some(subject.generation());
            // This call's generation may be written already, though the store did not confirm it (T33). A generation
            // that another call began after this one's read is sufficient: everything older has ended (T40). No
            // generation is begun twice: a challenge started in one that has ended must not find it again.
            if before != own_generation && (own.is_some() || before == first) {
                let generation = self.ids.next_u64();
                subject.revoke_all(generation);
                (own_generation, stays) = (Some(generation), before == first);
            }
            if own.is_some() {
                subject.forget_recipients();
            }
        };
        self.change_subject(key, stored, begin).await?;
        // If another call has revoked everything in the meantime, no grant is kept.
        let (kept, generation) = (if stays { kept } else { Vec::new() }, own_generation.unwrap_or_default());
        // A failure on one session does not stop the others from being revoked.
        let mut revoked = Ok(());
        for session in &self.sessions_of(key).await? {
            revoked = if own == Some(session) {
                let keep = |session: &Session, now| Some(session.in_generation(&kept, generation, &self.policy, now));
                self.change_session(session, None, keep).await.map(drop)
            } else {
                self.revoke_session(session).await.map(drop)
            }
            .and(revoked);
        }
        revoked
    }

    /// The sessions listed in a user's record.
    pub(super) async fn sessions_of(&self, key: &Key) -> Result<Vec<Key>, StoreDown> {
        let stored = self.load(key).await?;
        Ok(self.subject_of(stored.as_ref())?.map_or_else(Vec::new, |subject| subject.sessions().collect()))
    }

    /// The ids of the grants that a session holds in a generation.
    async fn grants_of(&self, session: &Key, generation: Option<u64>) -> Result<Vec<u64>, StoreDown> {
        let stored = self.load(session).await?;
        let grants = self.session_of(stored.as_ref())?.map_or(&[][..], Session::grants);
        let of_generation = grants.iter().filter(|grant| Some(grant.generation) == generation);
        Ok(of_generation.map(|grant| grant.id).collect())
    }

    /// The new record is reserved first, without a grant, and the user's generation is read after that: a concurrent
    /// `revoke_all` is either seen here, or finds and changes the reserved record.
    async fn transfer(&self, subject_key: &Key, old_key: &Key, new_key: &Key) -> Result<(), ChallengeError> {
        let mut retries = self.retries();
        while retries.next().await {
            let Loaded { subject: stored_subject, session: stored_old } = self.load_both(subject_key, old_key).await?;
            let now = self.now();
            let Some(old) = self.session_of(stored_old.as_ref())? else { return Ok(()) };
            // A session's starts are kept longer than the record of its user, who then has no elevation.
            let mut next = self.subject_or_new(stored_subject.as_ref())?;
            // The old id stays listed: its record may hold a grant until it is deleted.
            next.close_session(old_key);
            self.list(&mut next, new_key, ListedBy::Grant, now).await?;
            let seen = Seen::of(&next, new_key);
            let Swap::Done(_) = self.swap_subject(subject_key, stored_subject.as_ref(), next, now).await? else {
                continue;
            };
            let carried = old.without_pending(&self.policy, now);
            self.take_place(new_key).await?;
            let Swap::Done(_) = self.swap_for(old_key, stored_old.as_ref(), None).await? else { continue };
            return self.carry(subject_key, seen, new_key, &carried).await;
        }
        Err(ChallengeError::Unavailable)
    }

    /// Writes the carried state into the reserved record, unless the session or the whole user was revoked in the
    /// meantime.
    async fn carry(
        &self,
        subject_key: &Key,
        seen: Seen,
        new_key: &Key,
        carried: &Session,
    ) -> Result<(), ChallengeError> {
        let mut retries = self.retries();
        while retries.next().await {
            // In this order: see `transfer`.
            let place = self.load(new_key).await?;
            let subject = self.load(subject_key).await?;
            let unchanged =
                self.subject_of(subject.as_ref())?.is_some_and(|subject| seen.still_holds(subject, new_key));
            let Some(session) = self.session_of(place.as_ref())?.filter(|_| unchanged) else { return Ok(()) };
            let next = session.merged_from(carried, seen.generation);
            if let Swap::Done(_) = self.swap_session(new_key, place.as_ref(), next, self.now()).await? {
                return Ok(());
            }
        }
        Err(ChallengeError::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        engine::{ManualClock, discard},
        rules::Policy,
    };

    #[tokio::test]
    async fn a_session_takes_its_starts_along_where_its_user_was_forgotten() {
        let clock = ManualClock::new();
        let policy = Policy::new().starts_per_session(1);
        let step_up = StepUp::builder().sandbox().otp("SMS", discard).policy(policy).clock(clock.clone());
        let step_up = step_up.build().unwrap();
        let (old, new) = (Caller::user("alice").session("old"), Caller::user("alice").session("new"));
        step_up.start_otp(&old, "SMS", None).await.unwrap();
        // A day later nothing of the user has to be kept, so this write deletes the user's record.
        clock.advance(Duration::from_secs(24 * 60 * 60));
        step_up.unlock("alice").await.unwrap();
        step_up.transfer(&old, &new).await.unwrap();
        assert_eq!(step_up.start_otp(&new, "SMS", None).await, Err(ChallengeError::ChallengeLimitExceeded));
    }
}
