//! `lock` and `unlock`: locks a user out of step-up, and lifts every lockout.

use std::sync::Arc;

use super::{Engine, StepUp, records::StoreDown};
use crate::{
    engine::{Event, Lockout},
    rules::{ChallengeError, Subject},
    store::Key,
};

impl StepUp {
    /// Locks a user out of starting and verifying challenges, on every channel, until [`unlock`](Self::unlock): 403
    /// `INSUFFICIENT_PERMISSIONS`, whether or not the code is right. Existing grants stay valid:
    /// [`revoke_all`](Self::revoke_all) ends those.
    ///
    /// For reasons outside this crate, and to restore lockouts that a restart lost (see [`Event::Locked`]). It is kept
    /// for ten years. A concurrent verification grants nothing once this has returned.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, ChallengeError, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let alice = Caller::user("alice").session("1");
    /// step_up.lock("alice").await?;
    /// assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Forbidden));
    /// step_up.unlock("alice").await?;
    /// step_up.start_otp(&alice, "SMS", None).await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down or full: the user may not be locked. Call it again.
    pub async fn lock(&self, subject: &str) -> Result<(), ChallengeError> {
        let (engine, key) = (Arc::clone(&self.0), self.0.subject_key(subject));
        self.0.unfinished.to_the_end(async move { engine.lock(&key).await }).await?;
        self.0.emit(&Event::Locked { subject, channel: None, lock: Lockout::UntilUnlocked });
        Ok(())
    }

    /// Lifts every lockout of a user: the application's, the temporary and the permanent one after too many failures,
    /// the wrong codes of 24 hours, and the pause after declined pushes. Message budgets are kept, except entries with
    /// a timestamp in the future, from a clock that was ahead: they would otherwise count until that time.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down.
    ///
    /// # Security
    ///
    /// Calling this resets the limits on guessing: require an identity check by a person, never only a logged-in
    /// session.
    pub async fn unlock(&self, subject: &str) -> Result<(), ChallengeError> {
        let engine = &*self.0;
        let key = &engine.subject_key(subject);
        let (begun, mut conflicted) = (engine.now(), false);
        let mut unlock = |subject: &mut Subject, now| {
            // After a conflict a concurrent `unlock` may have done it: each of many writes at most once (T40).
            let again = std::mem::replace(&mut conflicted, true);
            if !(again && subject.is_unlocked_since(begun, &engine.policy, now)) {
                subject.unlock(&engine.policy, now);
            }
        };
        if engine.store.is_shared() {
            // The store may have lost the record while another process still remembers failures.
            engine.put_subject(key, unlock).await?;
        } else {
            let stored = engine.load(key).await?;
            engine.change_subject(key, stored, |subject| unlock(subject, engine.now())).await?;
        }
        engine.emit(&Event::Unlocked { subject });
        Ok(())
    }
}

impl Engine {
    async fn lock(&self, key: &Key) -> Result<(), StoreDown> {
        let mut conflicted = false;
        let lock = |subject: &mut Subject, now| {
            // After a conflict the user may be locked already.
            let again = std::mem::replace(&mut conflicted, true);
            if !(again && subject.is_locked()) {
                subject.lock(now);
            }
        };
        self.put_subject(key, lock).await?;
        // A concurrent verification has read its session's record: it meets a conflict there, and then sees the lock.
        let mut touched = Ok(());
        for session in &self.sessions_of(key).await? {
            touched = self.touch_session(session).await.and(touched);
        }
        touched
    }
}
