//! Cancelling a pending challenge, for a user who has changed their mind. Grants and counts stay.

use super::{Engine, StepUp, channel::find, records::StoreDown};
use crate::{
    engine::{Caller, Event},
    rules::{ChallengeError, ChallengeId, Session, Subject},
};

impl StepUp {
    /// Cancels the code that is pending on a channel, if there is one: it can no longer be verified. The next code
    /// inherits its wrong attempts, and the resend interval and all counts stay.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, ChallengeError, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let caller = Caller::user("alice").session("1");
    /// step_up.start_otp(&caller, "SMS", None).await?;
    /// step_up.cancel_otp(&caller, "SMS").await?;
    /// assert_eq!(step_up.verify_otp(&caller, "SMS", "123456").await, Err(ChallengeError::StateInvalid));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ChallengeError::UnknownChannel`], and [`ChallengeError::Unavailable`] where the store is down: the code may
    /// still be pending.
    pub async fn cancel_otp(&self, caller: &Caller, channel: &str) -> Result<(), ChallengeError> {
        let engine = &*self.0;
        find(&engine.channels.otp, channel).ok_or(ChallengeError::UnknownChannel)?;
        let mut cancelled = None;
        let cancel = |session: &Session, _| {
            let next = session.cancel_otp(channel)?;
            cancelled = session.otp_id();
            Some(next)
        };
        engine.change_session(&engine.session_key(caller), None, cancel).await?;
        engine.cancelled(caller, channel, cancelled).await?;
        Ok(())
    }

    /// Cancels a push of this session: it can no longer be approved, and a poll says that it has expired. Returns
    /// whether this session has started it and remembers it; one that has ended stays as it is.
    ///
    /// A user who declines it on their phone is heard all the same.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::UnknownChannel`], and [`ChallengeError::Unavailable`] where the store is down: the push may
    /// still be pending.
    pub async fn cancel_push(&self, caller: &Caller, channel: &str, id: &str) -> Result<bool, ChallengeError> {
        let engine = &*self.0;
        find(&engine.channels.push, channel).ok_or(ChallengeError::UnknownChannel)?;
        let digest = engine.record_key.push(&engine.subject_key(caller.subject()), id);
        let (mut cancelled, mut is_own) = (None, false);
        let cancel = |session: &Session, now| {
            is_own = session.has_push(channel, &digest);
            let next = session.cancel_push(channel, &digest, &engine.policy, now)?;
            cancelled = session.push_challenge_id();
            Some(next)
        };
        engine.change_session(&engine.session_key(caller), None, cancel).await?;
        engine.cancelled(caller, channel, cancelled).await?;
        Ok(is_own)
    }
}

impl Engine {
    /// Closes a challenge that was cancelled in the user's record.
    async fn cancelled(&self, caller: &Caller, channel: &str, cancelled: Option<ChallengeId>) -> Result<(), StoreDown> {
        let Some(challenge_id) = cancelled else { return Ok(()) };
        self.emit(&Event::Cancelled { subject: caller.subject(), channel });
        let key = &self.subject_key(caller.subject());
        let stored = self.load(key).await?;
        self.change_subject(key, stored, |subject: &mut Subject| subject.close(challenge_id)).await?;
        Ok(())
    }
}
