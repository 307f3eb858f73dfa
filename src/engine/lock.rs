//! Locks a user out of step-up, and lifts every lock: `lock` and `unlock`.

use std::sync::Arc;

use super::{Engine, StepUp, records::StoreDown};
use crate::{
    engine::{Event, Lockout},
    rules::{ChallengeError, Subject},
    store::Key,
};

impl StepUp {
    /// Locks a user out of starting and verifying challenges, on every channel, until [`unlock`](Self::unlock): 403
    /// `INSUFFICIENT_PERMISSIONS`, whatever code they send. Grants that they have go on working:
    /// [`revoke_all`](Self::revoke_all) ends those.
    ///
    /// For what this crate cannot know, and to restore what a restart forgot (see [`Event::Locked`]). It is kept for
    /// ten years. A verification that is under way at the same time grants nothing once this has returned.
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

    /// Lifts every lock of a user: the application's, the waits and the stop after too many failures, the day's wrong
    /// codes, and the pause after declined pushes. The budgets of messages stay, but for those that a clock which was
    /// ahead has stamped with a time that is still to come: they would hold until then.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down.
    ///
    /// # Security
    ///
    /// It resets the limits on guessing, so it belongs behind an identity check by a person, never
    /// behind the session alone.
    pub async fn unlock(&self, subject: &str) -> Result<(), ChallengeError> {
        let engine = &*self.0;
        let key = &engine.subject_key(subject);
        let (begun, mut conflicted) = (engine.now(), false);
        let mut unlock = |subject: &mut Subject, now| {
            // After a conflict another unlocking may have done it: a storm of them costs each a write at most (T40).
            let again = std::mem::replace(&mut conflicted, true);
            if !(again && subject.is_unlocked_since(begun, &engine.policy, now)) {
                subject.unlock(&engine.policy, now);
            }
        };
        if engine.store.is_shared() {
            // Where the store has lost the record, some process may remember.
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
        // A verification that is under way has read its session's record: it finds that changed, and then the lock.
        let mut touched = Ok(());
        for session in &self.sessions_of(key).await? {
            touched = self.touch_session(session).await.and(touched);
        }
        touched
    }
}
