//! One-time codes: start and verify.

use super::{Engine, NotDelivered, ROUNDS, StepUp, check_start_scope, find, no_random, session_of, subject_of};
use crate::{
    caller::Caller,
    code::{OneTimeCode, check_form},
    delivery::{Envelope, OtpMessage},
    error::ChallengeError,
    session::{Compared, Grant, Session, Start},
    store::Store,
    subject::Subject,
};

impl<S: Store> StepUp<S> {
    /// Starts a one-time code on a channel and sends it. `scope` is what it is for; `None` is the whole
    /// session.
    ///
    /// A code that is alive is voided, and its tries are inherited.
    ///
    /// # Errors
    ///
    /// [`ChallengeError`]; unless it is `Unavailable`, no code was made or sent.
    pub async fn start_otp(&self, caller: &Caller, channel: &str, scope: Option<&str>) -> Result<(), ChallengeError> {
        let engine = &*self.0;
        let policy = &engine.policy;
        let channel = find(&engine.channels.otp, channel).ok_or(ChallengeError::UnknownChannel)?;
        check_start_scope(scope)?;
        let enrolled = engine.resolve(caller, &channel.name).await?;

        let code = if engine.sandbox {
            OneTimeCode::sandbox(policy.code_digits)
        } else {
            OneTimeCode::generate(policy.code_digits, engine.random).map_err(no_random)?
        };
        let session_key = caller.session_key();
        let proof = engine.keyring.digest(session_key, &channel.name, &code, engine.random).map_err(no_random)?;

        for _ in 0..ROUNDS {
            let (subject, session) = engine.load_both(caller).await?;
            let now = engine.now();
            let empty = Session::default();
            let current = session_of(session.as_ref())?.unwrap_or(&empty);
            let mut next_subject = match subject_of(subject.as_ref())? {
                Some(subject) => subject.clone(),
                None => Subject::new(engine.ids.next_u64()),
            };

            next_subject.check_disabled(&channel.name, policy, now)?;
            let recipient = enrolled.clone()?;
            current.may_start_otp(policy, now)?;
            next_subject.check_locked(&channel.name, policy, now)?;

            let start = Start {
                channel: channel.name.as_str().into(),
                scope: scope.map(Into::into),
                generation: next_subject.generation(),
                proof: proof.clone(),
            };
            let next_session = current.start_otp(start, policy, now)?;
            engine.list(&mut next_subject, session_key, now).await?;
            if !engine.swap_subject(&caller.subject_key(), subject.as_ref(), next_subject, now).await?
                || !engine.swap_session(session_key, session.as_ref(), next_session, now).await?
            {
                continue;
            }

            let envelope = Envelope {
                subject: caller.subject().into(),
                channel: channel.name.as_str().into(),
                recipient,
                expires_in: policy.code_life,
                scope: scope.map(Into::into),
            };
            return match engine.deliver(channel, OtpMessage { envelope, code }).await {
                Ok(()) => Ok(()),
                // It may arrive yet, and may then be typed.
                Err(NotDelivered::Unknown) => Err(ChallengeError::Unavailable),
                Err(not_sent) => {
                    engine.change_session(session_key, |session, _| session.withdraw_otp(&proof)).await?;
                    Err(match not_sent {
                        NotDelivered::RecipientInvalid => ChallengeError::RecipientInvalid,
                        NotDelivered::Failed | NotDelivered::Unknown => ChallengeError::Unavailable,
                    })
                }
            };
        }
        Err(ChallengeError::Unavailable)
    }

    /// Verifies a one-time code.
    ///
    /// The attempt is counted in the user's record before the code is compared, and in the session's with the
    /// comparison; nothing is answered before both are written. So no parallelism, crash or cancellation makes
    /// a guess free (T1, T3, T29).
    ///
    /// # Errors
    ///
    /// [`ChallengeError`] says how a wrong code stands, or why none was compared.
    pub async fn verify_otp(&self, caller: &Caller, channel: &str, code: &str) -> Result<Grant, ChallengeError> {
        let engine = &*self.0;
        let policy = &engine.policy;
        let channel = &*find(&engine.channels.otp, channel).ok_or(ChallengeError::UnknownChannel)?.name;
        check_form(code, policy.code_digits).map_err(ChallengeError::MalformedCode)?;
        let enrolled = engine.resolve(caller, channel).await?.map(drop);

        let attempt = engine.ids.next_u64();
        let generation = engine.count(caller, channel, attempt, enrolled).await?;
        let (session_key, subject_key) = (caller.session_key(), caller.subject_key());
        let knows = |digest: &_| engine.keyring.knows(digest);
        let matches = |digest: &_| engine.keyring.matches(digest, session_key, channel, code);
        for _ in 0..ROUNDS {
            let stored = engine.load(session_key).await?;
            let now = engine.now();
            let compared = match session_of(stored.as_ref())? {
                None => Err(ChallengeError::StateInvalid),
                Some(session) => session
                    .may_verify(channel, Some(generation), knows, policy, now)
                    .and_then(|()| session.compare(matches, policy, now)),
            };
            let (next, outcome) = match compared {
                Ok(compared) => compared,
                Err(refused) => {
                    // Nothing was there to compare, so nothing was guessed. Where this fails, it stays counted.
                    let _ = engine.change_subject(&subject_key, |subject| subject.uncount(attempt)).await;
                    return Err(refused);
                }
            };
            if !engine.swap_session(session_key, stored.as_ref(), next, now).await? {
                continue;
            }
            return match outcome {
                Compared::Wrong(error) => Err(error),
                Compared::Right(grant) => {
                    // The grant stands. Where this fails, the user keeps failures that they need not have.
                    let _ = engine.change_subject(&subject_key, |subject| subject.succeeded(channel, attempt)).await;
                    Ok(grant)
                }
            };
        }
        Err(ChallengeError::Unavailable)
    }
}

impl<S: Store> Engine<S> {
    /// Counts an attempt if a code can be compared, and gives the generation in which it may.
    async fn count(
        &self,
        caller: &Caller,
        channel: &str,
        attempt: u64,
        enrolled: Result<(), ChallengeError>,
    ) -> Result<u64, ChallengeError> {
        for _ in 0..ROUNDS {
            let (subject, session) = self.load_both(caller).await?;
            let now = self.now();
            let current = subject_of(subject.as_ref())?;
            if let Some(subject) = current {
                subject.check_disabled(channel, &self.policy, now)?;
            }
            enrolled.clone()?;
            let empty = Session::default();
            let knows = |digest: &_| self.keyring.knows(digest);
            let generation = current.map(Subject::generation);
            session_of(session.as_ref())?.unwrap_or(&empty).may_verify(
                channel,
                generation,
                knows,
                &self.policy,
                now,
            )?;
            // Without the user's record no generation matches, so there is one.
            let mut next = current.ok_or(ChallengeError::StateInvalid)?.clone();
            next.check_locked(channel, &self.policy, now)?;
            next.count(channel, attempt, now);
            let generation = next.generation();
            if self.swap_subject(&caller.subject_key(), subject.as_ref(), next, now).await? {
                return Ok(generation);
            }
        }
        Err(ChallengeError::Unavailable)
    }
}
