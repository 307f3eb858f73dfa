//! One-time codes: start and verify.

use std::sync::Arc;

use futures_util::future::join;

use super::{
    Engine, StepUp,
    channel::Channel,
    no_random,
    operation::first_invalid,
    purpose::CheckedPurpose,
    records::{Loaded, StoreDown, Swap},
    start::{Prechecked, StartRequest},
};
use crate::{
    engine::{Caller, Event, Grant, Lockout, OtpMessage, Purpose, SendFailure},
    rules::{
        CameBack, ChallengeError, ChallengeId, Code, CodeDigest, Compared, ListedBy, NewChallenge, OneTimeCode,
        Session, Subject, Timestamp,
    },
    store::{Key, Stored},
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
        let Purpose { scope, binding } = purpose.into();
        let parsed = engine.parse_start(caller, &engine.channels.otp, channel, Ok(scope), Ok(binding));
        let (channel, purpose) = parsed.map_err(|invalid| first_invalid(&invalid))?;
        engine.start_otp(caller, channel, purpose).await
    }

    /// Verifies a one-time code.
    ///
    /// The attempt is counted in the user's record before the code is compared, and in the session's with the
    /// comparison; both are written before this returns. So neither concurrency nor a crash or cancellation makes a
    /// guess free (T1, T3, T29).
    ///
    /// # Errors
    ///
    /// [`ChallengeError`] says how many attempts are left after a wrong code, or why none was compared.
    pub async fn verify_otp(&self, caller: &Caller, channel: &str, code: &str) -> Result<Grant, ChallengeError> {
        let engine = &self.0;
        let parsed = engine.parse_verify(caller, channel, Ok(code));
        let (channel, code) = parsed.map_err(|invalid| first_invalid(&invalid))?;
        engine.verify_otp(caller, &channel.name, code).await
    }
}

/// Why a code was not verified.
enum NotVerified {
    /// The code was compared, and [`Event::WrongCode`] has been emitted.
    Wrong(ChallengeError),
    Refused(ChallengeError),
}

impl From<StoreDown> for NotVerified {
    fn from(down: StoreDown) -> Self {
        Self::Refused(down.into())
    }
}

impl From<ChallengeError> for NotVerified {
    fn from(error: ChallengeError) -> Self {
        Self::Refused(error)
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
        let proof =
            self.keyring.digest(&self.session_key(caller), &channel.name, &code, self.random).map_err(no_random)?;
        let (engine, caller, channel) = (Arc::clone(self), caller.clone(), Arc::clone(channel));
        let work = async move { engine.send_otp(&caller, &channel, &purpose, asked, code, proof).await };
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
        proof: CodeDigest,
    ) -> Result<(), ChallengeError> {
        let policy = &self.policy;
        let id = self.ids.next_challenge();
        let step = |session: &Session, generation, recipient, now| {
            let (channel, scope) = (channel.name.as_str().into(), purpose.scope.clone());
            let (operation, proof) = (purpose.digest(), proof.clone());
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

        let envelope = purpose.envelope(caller, &channel.name, begun.recipient.clone(), policy.code_lifetime);
        let Err(why) = self.deliver(caller, channel, OtpMessage { envelope, code }).await else { return Ok(()) };
        let came_back = match why {
            SendFailure::RecipientInvalid | SendFailure::Failed => self.withdraw_otp(caller, id).await?,
            SendFailure::TooSlow | SendFailure::Panicked => None,
        };
        self.not_sent(&beginning, begun, came_back, why).await;
        Err(match why {
            SendFailure::RecipientInvalid => ChallengeError::RecipientInvalid,
            SendFailure::Failed | SendFailure::TooSlow | SendFailure::Panicked => ChallengeError::Unavailable,
        })
    }

    /// Withdraws a code that was not sent. The previous one becomes valid again, unless the application has locked the
    /// user.
    async fn withdraw_otp(
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
        self.change_session(&self.session_key(caller), withdraw).await?;
        Ok(came_back)
    }

    /// Verifies a code on a registered channel.
    pub(super) async fn verify_otp(
        &self,
        caller: &Caller,
        channel: &str,
        code: Code<'_>,
    ) -> Result<Grant, ChallengeError> {
        let verified = self.compare_otp(caller, channel, code).await;
        verified.map_err(|refused| match refused {
            NotVerified::Wrong(error) => error,
            NotVerified::Refused(error) => {
                self.emit_refused(caller, Some(channel), &error);
                error
            }
        })
    }

    async fn compare_otp(&self, caller: &Caller, channel: &str, code: Code<'_>) -> Result<Grant, NotVerified> {
        let policy = &self.policy;
        let knows = |digest: &_| self.keyring.has_secret(digest);
        let may_verify = |session: &Session, subject: Option<&Subject>, now| {
            session.may_verify(channel, subject.map(Subject::generation), knows, policy, now)
        };
        let asked = self.precheck(caller, channel, may_verify).await?;

        let attempt = self.ids.next_u64();
        let (session_key, subject_key) = (&self.session_key(caller), &self.subject_key(caller.subject()));
        let Counted { subject, mut session, recipient } =
            self.count(subject_key, session_key, channel, attempt, asked).await?;
        let generation = self.subject_of(subject.as_ref())?.map(Subject::generation);
        let counted_for = self.session_of(session.as_ref())?.and_then(Session::otp_id);
        let matches = |digest: &_| self.keyring.matches(digest, session_key, channel, code.as_str());
        let mut retries = self.retries();
        while retries.next().await {
            let now = self.now();
            let empty = Session::default();
            let current = self.session_of(session.as_ref())?.unwrap_or(&empty);
            if let Some(error) = current.was_wrong(attempt, policy) {
                // An earlier swap succeeded, though the store did not confirm it.
                return Err(self.wrong(caller, channel, subject, current.otp_id(), error, now).await);
            }
            let compared = current
                .may_verify(channel, generation, knows, policy, now)
                .and_then(|()| current.was_sent_to(recipient.as_ref()))
                .and_then(|()| current.compare(attempt, matches, policy, now));
            let (next, outcome) = match compared {
                Ok(compared) => compared,
                Err(refused) => {
                    // If the challenge of this attempt is still in place, no code was compared, so nothing was guessed.
                    // Otherwise, or if this fails, the attempt stays counted.
                    if current.otp_id() == counted_for {
                        let _ =
                            self.change_subject(subject_key, subject, |subject| subject.retract_failure(attempt)).await;
                    }
                    return Err(refused.into());
                }
            };
            if self.store.is_shared() && matches!(outcome, Compared::Wrong(_)) {
                self.local_failures.add(subject_key, attempt, now);
            }
            let challenge_id = next.otp_id();
            let Swap::Done(written) = self.swap_session(session_key, session.as_ref(), next, now).await? else {
                // In this order: a lock not yet seen in the user's record changes the session's after it was read.
                session = self.load(session_key).await?;
                let current = self.load(subject_key).await?;
                // The attempt stays counted.
                if self.subject_of(current.as_ref())?.is_some_and(Subject::is_locked) {
                    return Err(ChallengeError::Forbidden.into());
                }
                continue;
            };
            // The session's record decides. If the user's cannot be written after it, that record counts too much.
            match outcome {
                Compared::Wrong(error) => {
                    return Err(self.wrong(caller, channel, subject, challenge_id, error, now).await);
                }
                Compared::Right => {
                    // A record with a grant is kept, so it was written.
                    let (Some(grant), Some(challenge_id)) = (written.and_then(Grant::newest), challenge_id) else {
                        return Err(ChallengeError::Unavailable.into());
                    };
                    self.emit(&Event::Verified { subject: caller.subject(), channel, scope: grant.scope() });
                    let clear = |subject: &mut Subject| {
                        subject.clear_failures(channel, attempt);
                        // A revocation or a change of factors in the meantime invalidates what this code has proven.
                        let recipient = recipient.as_ref().filter(|_| Some(subject.generation()) == generation);
                        subject.record_verified(challenge_id, recipient, now);
                    };
                    let of_subject = self.change_subject(subject_key, subject, clear);
                    let of_recipient = self.change_recipient(recipient.as_ref(), |sends| sends.verified(challenge_id));
                    let _ = join(of_subject, of_recipient).await;
                    return Ok(grant);
                }
            }
        }
        Err(ChallengeError::Unavailable.into())
    }

    /// Handles a code that was compared and was wrong.
    async fn wrong(
        &self,
        caller: &Caller,
        channel: &str,
        subject: Option<Stored>,
        challenge_id: Option<ChallengeId>,
        error: ChallengeError,
        now: Timestamp,
    ) -> NotVerified {
        self.emit_wrong_code(caller, channel, subject.as_ref(), now);
        if let (ChallengeError::ChallengeLimitExceeded, Some(challenge_id)) = (&error, challenge_id) {
            let _ = self
                .change_subject(&self.subject_key(caller.subject()), subject, |subject| subject.close(challenge_id))
                .await;
        }
        NotVerified::Wrong(error)
    }

    /// Emits a wrong code, and the lockout if it caused one.
    fn emit_wrong_code(&self, caller: &Caller, channel: &str, subject: Option<&Stored>, now: Timestamp) {
        self.emit(&Event::WrongCode { subject: caller.subject(), channel });
        let Ok(Some(subject)) = self.subject_of(subject) else { return };
        let locked = subject
            .check_disabled(channel, &self.policy, now)
            .and_then(|()| subject.check_locked(channel, &self.policy, now));
        let lock = match locked {
            Ok(()) => return,
            Err(ChallengeError::RateLimited(limit)) => Lockout::For(limit.wait),
            Err(_) => Lockout::UntilUnlocked,
        };
        self.emit(&Event::Locked { subject: caller.subject(), channel: Some(channel), lock });
    }
}

/// An attempt that was counted: the user's record as written, and the session's as read before that.
struct Counted {
    subject: Option<Stored>,
    session: Option<Stored>,
    /// The channel's current recipient.
    recipient: Option<Key>,
}

impl Engine {
    /// Counts an attempt, if a code can be compared.
    async fn count(
        &self,
        subject_key: &Key,
        session_key: &Key,
        channel: &str,
        attempt: u64,
        asked: Prechecked,
    ) -> Result<Counted, ChallengeError> {
        let Prechecked { loaded, enrolled } = asked;
        let mut loaded = Some(loaded);
        let mut retries = self.retries();
        while retries.next().await {
            let Loaded { subject, session } = if let Some(loaded) = loaded.take() {
                loaded
            } else {
                // The session first: see the order in `compare_otp`.
                let session = self.load(session_key).await?;
                Loaded { subject: self.load(subject_key).await?, session }
            };
            let now = self.now();
            let current = self.subject_of(subject.as_ref())?;
            if current.is_some_and(|subject| subject.has_failure(attempt) && !subject.is_locked()) {
                // An earlier swap succeeded, though the store did not confirm it (T33).
                let recipient = self.recipient_key(&enrolled?);
                return Ok(Counted { subject, session, recipient });
            }
            if let Some(subject) = current {
                subject.check_disabled(channel, &self.policy, now)?;
            }
            let recipient = self.recipient_key(&enrolled.clone()?);
            let empty = Session::default();
            let challenge = self.session_of(session.as_ref())?.unwrap_or(&empty);
            let knows = |digest: &_| self.keyring.has_secret(digest);
            challenge.may_verify(channel, current.map(Subject::generation), knows, &self.policy, now)?;
            challenge.was_sent_to(recipient.as_ref())?;
            // Without a user's record no generation matches, so it exists.
            let mut next = current.ok_or(ChallengeError::StateInvalid)?.clone();
            self.remember(subject_key, &mut next, now);
            next.check_locked(channel, &self.policy, now)?;
            next.record_failure(channel, attempt, now);
            self.list(&mut next, session_key, ListedBy::Grant, now).await?;
            if let Swap::Done(subject) = self.swap_subject(subject_key, subject.as_ref(), next, now).await? {
                return Ok(Counted { subject, session, recipient });
            }
        }
        Err(ChallengeError::Unavailable)
    }
}
