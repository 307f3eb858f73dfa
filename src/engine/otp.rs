//! One-time codes: the calls, and how one is started; see `verify` for the other half.

use std::sync::Arc;

use super::{
    Engine, StepUp,
    channel::Channel,
    no_random,
    operation::first_invalid,
    purpose::CheckedPurpose,
    start::{Prechecked, StartRequest},
};
use crate::{
    engine::{Caller, Grant, OtpMessage, Purpose, SendFailure},
    rules::{
        CameBack, ChallengeError, ChallengeId, CodeDigest, NewChallenge, OneTimeCode, SealedOperation, Session, Subject,
    },
};

impl StepUp {
    /// Starts a one-time code on a channel and sends it. `purpose` is what the step-up is for: `None` for the whole
    /// session, `Some(scope)` for a scope, or a [`Purpose`], which can also name one operation.
    ///
    /// A pending code becomes invalid, and the new one inherits its attempts.
    ///
    /// # Errors
    ///
    /// [`ChallengeError`]; unless it is `Unavailable`, no code was sent.
    pub async fn start_otp<'a>(
        &self,
        caller: &Caller,
        channel: &str,
        purpose: impl Into<Purpose<'a>>,
    ) -> Result<(), ChallengeError> {
        let engine = &self.0;
        let parsed = engine.parse_start(caller, &engine.channels.otp, channel, purpose.into().into());
        let (channel, purpose) = parsed.map_err(|invalid| first_invalid(&invalid))?;
        engine.start_otp(caller, channel, purpose).await
    }

    /// Verifies a one-time code.
    ///
    /// The attempt is counted in the user's record and in the session's, and both are written before this returns. So
    /// neither concurrency nor a crash or cancellation makes a guess free (T1, T3, T29).
    ///
    /// # Errors
    ///
    /// [`ChallengeError`] says how many attempts are left after a wrong code, or why none was compared.
    pub async fn verify_otp(&self, caller: &Caller, channel: &str, code: &str) -> Result<Grant, ChallengeError> {
        self.verify_otp_for(caller, channel, code, Purpose::new()).await
    }

    /// As [`verify_otp`](Self::verify_otp), for a client that says what it steps up for. If another start has replaced
    /// the code that its user was to type, the code is not compared: otherwise the user would approve something that
    /// they have not asked for.
    ///
    /// What the purpose does not name is not compared: `Purpose::new()` accepts any code.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, ChallengeError, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let caller = Caller::user("alice").session("1");
    /// step_up.start_otp(&caller, "SMS", "payments").await?;
    /// let another = step_up.verify_otp_for(&caller, "SMS", "123456", "profile").await;
    /// assert_eq!(another, Err(ChallengeError::StateInvalid));
    /// step_up.verify_otp_for(&caller, "SMS", "123456", "payments").await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`verify_otp`](Self::verify_otp); [`ChallengeError::StateInvalid`] where the pending code is for something
    /// else, which costs no attempt.
    pub async fn verify_otp_for<'a>(
        &self,
        caller: &Caller,
        channel: &str,
        code: &str,
        purpose: impl Into<Purpose<'a>>,
    ) -> Result<Grant, ChallengeError> {
        let engine = &self.0;
        let parsed = engine.parse_verify(caller, channel, Ok(code), purpose.into().into());
        let (channel, code, purpose) = parsed.map_err(|invalid| first_invalid(&invalid))?;
        engine.verify_otp(caller, channel, code, &purpose).await
    }
}

impl Engine {
    /// Starts a code, with arguments that have been checked.
    pub(super) async fn start_otp(
        self: &Arc<Self>,
        caller: &Caller,
        channel: &Arc<Channel<OtpMessage>>,
        purpose: CheckedPurpose,
    ) -> Result<(), ChallengeError> {
        let started = self.begin_otp(caller, channel, purpose).await;
        started.inspect_err(|error| self.emit_refused(caller, Some(&channel.name), error))
    }

    async fn begin_otp(
        self: &Arc<Self>,
        caller: &Caller,
        channel: &Arc<Channel<OtpMessage>>,
        purpose: CheckedPurpose,
    ) -> Result<(), ChallengeError> {
        let may_start = |session: &Session, _: Option<&Subject>, now| session.may_start_otp(&self.policy, now);
        let asked = self.precheck(caller, &channel.name, may_start).await?;

        let code = if self.sandbox {
            OneTimeCode::sandbox(self.policy.code_digits)
        } else {
            OneTimeCode::generate(self.policy.code_digits, self.random).map_err(no_random)?
        };
        let session_key = &self.session_key(caller);
        let proof = self.keyring.digest(session_key, &channel.name, &code, self.random).map_err(no_random)?;
        let operation = self.seal_operation(session_key, &purpose).map_err(no_random)?;
        let (engine, caller, channel) = (Arc::clone(self), caller.clone(), Arc::clone(channel));
        let work = async move { engine.send_otp(&caller, &channel, &purpose, asked, code, (proof, operation)).await };
        self.unfinished.to_the_end(work).await
    }

    /// Counts a code and sends it. These are the first writes of a start.
    async fn send_otp(
        &self,
        caller: &Caller,
        channel: &Channel<OtpMessage>,
        purpose: &CheckedPurpose,
        asked: Prechecked,
        code: OneTimeCode,
        (proof, operation): (CodeDigest, Option<SealedOperation>),
    ) -> Result<(), ChallengeError> {
        let policy = &self.policy;
        let id = self.ids.next_challenge();
        let step = |session: &Session, generation, recipient, now| {
            let (channel, scope) = (channel.name.as_str().into(), purpose.scope.clone());
            let (operation, proof) = (operation.clone(), proof.clone());
            session.start_otp(NewChallenge { id, channel, scope, operation, recipient, generation, proof }, policy, now)
        };
        let beginning = StartRequest {
            caller,
            channel: &channel.name,
            scope: purpose.scope.as_deref(),
            challenge_id: id,
            push: None,
        };
        let begun = self.begin(&beginning, asked, step).await?;

        let recipient = begun.recipient.clone();
        let envelope = self.envelope(purpose, caller, &channel.name, recipient, policy.code_lifetime);
        let Err(why) = self.deliver(caller, channel, OtpMessage { envelope, code }).await else { return Ok(()) };
        let came_back = if why.sent_nothing() { self.withdraw_otp(caller, id).await? } else { None };
        self.not_sent(&beginning, begun, came_back, why).await;
        Err(match why {
            SendFailure::RecipientInvalid => ChallengeError::RecipientInvalid,
            _ => ChallengeError::Unavailable,
        })
    }

    /// Withdraws a code that was not sent. The previous one becomes valid again, unless the application has locked the
    /// user.
    pub(super) async fn withdraw_otp(
        &self,
        caller: &Caller,
        challenge_id: ChallengeId,
    ) -> Result<Option<CameBack>, ChallengeError> {
        let stored = self.load(&self.subject_key(caller.subject())).await?;
        let comes_back = !self.subject_of(stored.as_ref())?.is_some_and(Subject::is_locked);
        let mut came_back = None;
        let withdraw = |session: &Session, now| {
            let (next, back) = session.withdraw_otp(challenge_id, comes_back, now)?;
            came_back = back;
            Some(next)
        };
        self.change_session(&self.session_key(caller), None, withdraw).await?;
        Ok(came_back)
    }
}
