//! Cancelling a pending challenge, for a user who has changed their mind. Grants and counts stay.

use std::sync::Arc;

use super::{Engine, StepUp, channel::find, records::StoreDown};
use crate::{
    engine::{Caller, Event},
    rules::{ChallengeError, ChallengeId, Session, Subject, Timestamp},
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
        find(&self.0.channels.otp, channel).ok_or(ChallengeError::UnknownChannel)?;
        let (engine, caller, channel) = (Arc::clone(&self.0), caller.clone(), channel.to_owned());
        let work = async move {
            let cancel = |session: &Session, now| session.cancel_otp(&channel, &engine.policy, now);
            let dropped = |session: &Session| session.dropped_otp(&channel);
            engine.cancel(&caller, &channel, cancel, dropped).await
        };
        self.0.unfinished.to_the_end(work).await?;
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
        find(&self.0.channels.push, channel).ok_or(ChallengeError::UnknownChannel)?;
        let (engine, caller, channel) = (Arc::clone(&self.0), caller.clone(), channel.to_owned());
        let digest = engine.record_key.push(&engine.subject_key(caller.subject()), id);
        let work = async move {
            let (policy, mut is_own) = (&engine.policy, false);
            let cancel = |session: &Session, now| {
                is_own = session.push_status(&channel, &digest, policy, now).is_some();
                session.cancel_push(&channel, &digest, policy, now)
            };
            engine.cancel(&caller, &channel, cancel, Session::cancelled_push).await?;
            Ok(is_own)
        };
        self.0.unfinished.to_the_end(work).await
    }
}

impl Engine {
    /// Cancels a challenge in the session's record, and closes it in the user's: also one that an earlier call has
    /// cancelled, which may have ended between the two.
    async fn cancel(
        &self,
        caller: &Caller,
        channel: &str,
        mut cancel: impl FnMut(&Session, Timestamp) -> Option<Session>,
        cancelled: impl Fn(&Session) -> Option<ChallengeId>,
    ) -> Result<(), StoreDown> {
        let mut close = None;
        let change = |session: &Session, now| {
            let next = cancel(session, now);
            close = cancelled(next.as_ref().unwrap_or(session));
            next
        };
        if self.change_session(&self.session_key(caller), None, change).await? {
            self.emit(&Event::Cancelled { subject: caller.subject(), channel });
        }
        let Some(challenge_id) = close else { return Ok(()) };
        let key = &self.subject_key(caller.subject());
        let stored = self.load(key).await?;
        self.change_subject(key, stored, |subject: &mut Subject| subject.close(challenge_id)).await?;
        Ok(())
    }
}
