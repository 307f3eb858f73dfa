//! One-time codes: start and verify.

use super::{
    Engine, StepUp,
    application::NotDelivered,
    channel::find,
    check_start_scope, no_random,
    records::{ROUNDS, Swap, session_of, subject_of},
};
use crate::{
    caller::Caller,
    code::{OneTimeCode, check_form},
    delivery::{Envelope, OtpMessage},
    error::ChallengeError,
    grant::Grant,
    session::{Compared, Session, Start},
    store::{Key, Store, Stored},
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
    /// [`ChallengeError`]; unless it is `Unavailable`, no code was sent.
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
        let step = |subject: &mut Subject, session: &Session, now| {
            let start = Start::new(&channel.name, scope, subject.generation(), proof.clone());
            session.start_otp(start, policy, now)
        };
        let recipient = engine.begin(caller, &channel.name, enrolled, step).await?;

        let envelope = Envelope::new(caller, &channel.name, recipient, policy.code_life, scope);
        let Err(not_delivered) = engine.deliver(channel, OtpMessage { envelope, code }).await else { return Ok(()) };
        if not_delivered != NotDelivered::Unknown {
            engine.change_session(session_key, |session, _| session.withdraw_otp(&proof)).await?;
        }
        Err(match not_delivered {
            NotDelivered::RecipientInvalid => ChallengeError::RecipientInvalid,
            // Unknown: it may arrive yet, and may then be typed.
            NotDelivered::Failed | NotDelivered::Unknown => ChallengeError::Unavailable,
        })
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
        let (session_key, subject_key) = (caller.session_key(), &caller.subject_key());
        let Counted { subject, mut session } =
            engine.count(subject_key, session_key, channel, attempt, enrolled).await?;
        let generation = subject_of(subject.as_ref())?.map(Subject::generation);
        let knows = |digest: &_| engine.keyring.knows(digest);
        let matches = |digest: &_| engine.keyring.matches(digest, session_key, channel, code);
        for _ in 0..ROUNDS {
            let now = engine.now();
            let compared = match session_of(session.as_ref())? {
                None => Err(ChallengeError::StateInvalid),
                Some(session) => session
                    .may_verify(channel, generation, knows, policy, now)
                    .and_then(|()| session.compare(matches, policy, now)),
            };
            let (next, outcome) = match compared {
                Ok(compared) => compared,
                Err(refused) => {
                    // Nothing was there to compare, so nothing was guessed. Where this fails, it stays counted.
                    let _ = engine.change_subject(subject_key, subject, |subject| subject.uncount(attempt)).await;
                    return Err(refused);
                }
            };
            let Swap::Done(written) = engine.swap_session(session_key, session.as_ref(), next, now).await? else {
                session = engine.load(session_key).await?;
                continue;
            };
            if let Compared::Wrong(error) = outcome {
                return Err(error);
            }
            // The grant stands. Where this fails, the user keeps failures that they need not have.
            let clear = |subject: &mut Subject| subject.succeeded(channel, attempt);
            let _ = engine.change_subject(subject_key, subject, clear).await;
            // A record with a grant in it is kept, and was written.
            return written.and_then(Grant::newest).ok_or(ChallengeError::Unavailable);
        }
        Err(ChallengeError::Unavailable)
    }
}

/// An attempt that was counted: the user's record as written, and the session's as read before.
struct Counted {
    subject: Option<Stored>,
    session: Option<Stored>,
}

impl<S: Store> Engine<S> {
    /// Counts an attempt, if a code can be compared.
    async fn count(
        &self,
        subject_key: &Key,
        session_key: &Key,
        channel: &str,
        attempt: u64,
        enrolled: Result<(), ChallengeError>,
    ) -> Result<Counted, ChallengeError> {
        for _ in 0..ROUNDS {
            let (subject, session) = self.load_both(subject_key, session_key).await?;
            let now = self.now();
            let current = subject_of(subject.as_ref())?;
            if let Some(subject) = current {
                subject.check_disabled(channel, &self.policy, now)?;
            }
            enrolled.clone()?;
            let empty = Session::default();
            let challenge = session_of(session.as_ref())?.unwrap_or(&empty);
            let knows = |digest: &_| self.keyring.knows(digest);
            challenge.may_verify(channel, current.map(Subject::generation), knows, &self.policy, now)?;
            // Without the user's record no generation matches, so there is one.
            let mut next = current.ok_or(ChallengeError::StateInvalid)?.clone();
            next.check_locked(channel, &self.policy, now)?;
            next.count(channel, attempt, now);
            self.list(&mut next, session_key, now).await?;
            if let Swap::Done(subject) = self.swap_subject(subject_key, subject.as_ref(), next, now).await? {
                return Ok(Counted { subject, session });
            }
        }
        Err(ChallengeError::Unavailable)
    }
}
