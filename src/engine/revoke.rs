//! Ends an elevation, or moves it to another session: `revoke`, `revoke_all`, `factors_changed` and `transfer`.

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
    /// Drops a session's elevation: its grants and pending challenges. Tries, the time of the last start and
    /// every count stay. Call it at logout, too.
    ///
    /// A verification that is under way at the same time leaves no grant.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down: the session may still be elevated. Call it again.
    pub async fn revoke(&self, caller: &Caller) -> Result<(), ChallengeError> {
        let engine = &*self.0;
        let (subject_key, session_key) = (&engine.subject_key(caller.subject()), &engine.session_key(caller));
        // Noted first, so that what is under way finds either this or its session's record changed. Where the user's
        // record cannot be written, the session ends all the same.
        let noted = engine.note_revocation(subject_key, session_key).await;
        let dropped = engine.revoke_session(session_key).await?;
        engine.emit(&Event::Revoked { subject: caller.subject(), everywhere: false });
        noted?;
        let stored = engine.load(subject_key).await?;
        // Those that were dropped, and not whatever the session has by now: one that starts meanwhile is alive.
        let close = |subject: &mut Subject| dropped.iter().for_each(|challenge_id| subject.close(*challenge_id));
        engine.change_subject(subject_key, stored, close).await?;
        Ok(())
    }

    /// Drops the elevation of all of a user's sessions, and every challenge that is pending in them: when they are
    /// logged out everywhere, or their privileges or factors have changed. Counts and locks stay.
    ///
    /// A verification that is under way at the same time leaves no grant.
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

    /// As [`revoke_all`](Self::revoke_all), but the grants of the caller's own session stay: for when a user has
    /// changed a factor, such as their phone number, and has just stepped up to do so. What was sent to the old phone
    /// opens nothing any more, in this session neither, and what the user has proven to be theirs is forgotten.
    ///
    /// Call it once the change is stored. A code that was sent to another recipient than the enrollment names by now
    /// does not verify in any case (409 `STATE_INVALID`); a push that is out, and other sessions, end only so.
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

    /// Takes an elevation along where a session gets a new id, as it should when privileges change: grants, attempts
    /// and the time of the last start. The old id is left with nothing. A pending challenge is dropped: its code was
    /// made for the old id.
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
    /// - [`ChallengeError::Forbidden`] where the two are not the same user: nothing is changed.
    /// - [`ChallengeError::Unavailable`] where the store is down: the elevation may be lost, and is never doubled.
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
    /// Notes in the user's record that a session is revoked.
    async fn note_revocation(&self, subject_key: &Key, session_key: &Key) -> Result<(), StoreDown> {
        let stored = self.load(subject_key).await?;
        let first = self.subject_of(stored.as_ref())?.and_then(|subject| subject.revocation(session_key));
        let revocation = self.ids.next_u64();
        let note = |subject: &mut Subject| {
            // Another revocation that began after this read has done the same (T40).
            if subject.revocation(session_key) == first {
                subject.revoke(session_key, revocation);
            }
        };
        self.change_subject(subject_key, stored, note).await.map(drop)
    }

    /// Revokes all sessions of a user; those grants of `own` stay that were of the generation that ends.
    async fn revoke_all(&self, key: &Key, own: Option<&Key>) -> Result<(), StoreDown> {
        // Whatever is counted in the old generation from here on has read the user's record before, is listed in it,
        // and finds its session's record changed.
        let stored = self.load(key).await?;
        let first = self.subject_of(stored.as_ref())?.map(Subject::generation);
        let kept = match own {
            Some(own) => self.grants_of(own, first).await?,
            None => Vec::new(),
        };
        let (mut own_generation, mut stays) = (None, false);
        let begin = |subject: &mut Subject| {
            let before = Some(subject.generation());
            // One that was begun already stands there, though the store has not said so (T33). One that another call
            // began after this one read serves as well: everything older has ended (T40). None is begun twice: what was
            // started in one that has ended must not find it again.
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
        // Where somebody else has revoked everything meanwhile, nothing stays.
        let (kept, generation) = (if stays { kept } else { Vec::new() }, own_generation.unwrap_or_default());
        // One that cannot be changed keeps none of the others.
        let mut revoked = Ok(());
        for session in &self.sessions_of(key).await? {
            revoked = if own == Some(session) {
                let keep = |session: &Session, now| Some(session.in_generation(&kept, generation, &self.policy, now));
                self.change_session(session, keep).await.map(drop)
            } else {
                self.revoke_session(session).await.map(drop)
            }
            .and(revoked);
        }
        revoked
    }

    /// The sessions that a user's record lists.
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

    /// The new record's place is taken first, without a grant in it, and the user's generation is looked at after
    /// that: so a revocation of everything either is seen here, or finds that place and changes it.
    async fn transfer(&self, subject_key: &Key, old_key: &Key, new_key: &Key) -> Result<(), ChallengeError> {
        let mut retries = self.retries();
        while retries.next().await {
            let Loaded { subject: stored_subject, session: stored_old } = self.load_both(subject_key, old_key).await?;
            let now = self.now();
            let Some(old) = self.session_of(stored_old.as_ref())? else { return Ok(()) };
            // A user without a record has nothing that could be elevated, but a session's starts are kept for longer.
            let mut next = self.subject_or_new(stored_subject.as_ref())?;
            // The old id stays listed: until its record is gone, it may hold a grant.
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

    /// Writes what was carried into its place, unless it or everything of the user was revoked meanwhile.
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
        // A day later nothing of the user is left to keep, and this writes so.
        clock.advance(Duration::from_secs(24 * 60 * 60));
        step_up.unlock("alice").await.unwrap();
        step_up.transfer(&old, &new).await.unwrap();
        assert_eq!(step_up.start_otp(&new, "SMS", None).await, Err(ChallengeError::ChallengeLimitExceeded));
    }
}
