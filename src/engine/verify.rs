//! One-time codes: verify.

use futures_util::future::join;

use super::{
    Engine,
    purpose::CheckedPurpose,
    recipient_guess::GuessedRecipient,
    records::{Loaded, StoreDown, Swap, Write},
    start::Prechecked,
};
use crate::{
    engine::{Caller, Event, Grant, Lockout, Recipient},
    rules::{ChallengeError, ChallengeId, Code, CodeDigest, Compared, ListedBy, Sends, Session, Subject, Timestamp},
    store::{Key, Record, Stored},
};

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

/// One attempt.
struct Attempt<'a> {
    engine: &'a Engine,
    caller: &'a Caller,
    channel: &'a str,
    code: Code<'a>,
    /// What the client says that the code is for.
    purpose: &'a CheckedPurpose,
    /// Finds the attempt in the records that count it.
    id: u64,
    subject_key: Key,
    session_key: Key,
}

impl Engine {
    /// Verifies a code on a registered channel.
    pub(super) async fn verify_otp(
        &self,
        caller: &Caller,
        channel: &str,
        code: Code<'_>,
        purpose: &CheckedPurpose,
    ) -> Result<Grant, ChallengeError> {
        let (subject_key, session_key) = (self.subject_key(caller.subject()), self.session_key(caller));
        let id = self.ids.next_u64();
        let attempt = Attempt { engine: self, caller, channel, code, purpose, id, subject_key, session_key };
        attempt.verify().await.map_err(|refused| match refused {
            NotVerified::Wrong(error) => error,
            NotVerified::Refused(error) => {
                self.emit_refused(caller, Some(channel), &error);
                error
            }
        })
    }
}

impl Attempt<'_> {
    async fn verify(&self) -> Result<Grant, NotVerified> {
        let may_verify = |session: &Session, user: Option<&Subject>, now| {
            self.may_verify(session, user.map(Subject::generation), now)
        };
        let asked = self.engine.precheck(self.caller, self.channel, may_verify).await?;
        if self.engine.store.is_atomic() { self.compare_and_count(asked).await } else { self.count_first(asked).await }
    }

    /// Compares the code, and writes the count, the result and what follows from it in one swap. Until that is done,
    /// nobody learns the result.
    async fn compare_and_count(&self, asked: Prechecked) -> Result<Grant, NotVerified> {
        let engine = self.engine;
        let Prechecked { mut loaded, enrolled, mut guessed } = asked;
        let mut retries = engine.retries();
        while retries.next().await {
            let Loaded { subject, session } = &loaded;
            let now = engine.now();
            let (user, empty) = (engine.subject_of(subject.as_ref())?, Session::default());
            let current = engine.session_of(session.as_ref())?.unwrap_or(&empty);
            if let Some(error) = current.was_wrong(self.id, &engine.policy) {
                // An earlier swap succeeded, though the store did not confirm it (T33).
                engine.local_failures.add(&self.subject_key, self.id, now);
                return Err(self.wrong(loaded.subject.clone(), current.otp_id(), error, now).await);
            }
            if user.is_some_and(|user| user.has_failure(self.id)) {
                // As before, but the challenge that was compared has been replaced.
                engine.local_failures.add(&self.subject_key, self.id, now);
                return Err(ChallengeError::Unavailable.into());
            }
            let (mut next_user, recipient) = self.counted(user, current, &enrolled, now).await?;
            let (next_session, outcome) = self.compare(current, now)?;
            let result = self.compared(outcome, &next_session, next_user.generation(), recipient, now);
            result.settle(&mut next_user);

            let writes = [
                Write { key: &self.subject_key, expected: subject.as_ref(), next: Record::Subject(next_user) },
                Write { key: &self.session_key, expected: session.as_ref(), next: Record::Session(next_session) },
            ];
            match engine.swap_all(writes, now).await {
                Ok(Swap::Done([user, session])) => {
                    result.remember_failure();
                    // Not beside the swap: only a right code writes it, so it would tell of one that was not counted.
                    let at_recipient = result.settle_recipient(guessed.take());
                    let (answer, ()) = join(result.answer(user, session), at_recipient).await;
                    return answer;
                }
                Ok(Swap::Conflict) => loaded = engine.load_both(&self.subject_key, &self.session_key).await?,
                // It may have been written. It counts whatever its result was, which nobody may learn.
                Err(down) => {
                    engine.local_failures.add(&self.subject_key, self.id, now);
                    return Err(down.into());
                }
            }
        }
        Err(ChallengeError::Unavailable.into())
    }

    /// Counts the attempt, and only then compares the code.
    async fn count_first(&self, asked: Prechecked) -> Result<Grant, NotVerified> {
        let engine = self.engine;
        let Counted { subject, mut session, recipient } = self.count(asked).await?;
        let generation = engine.subject_of(subject.as_ref())?.map(Subject::generation).unwrap_or_default();
        let counted_for = engine.session_of(session.as_ref())?.and_then(Session::otp_id);
        let mut retries = engine.retries();
        while retries.next().await {
            let now = engine.now();
            let empty = Session::default();
            let current = engine.session_of(session.as_ref())?.unwrap_or(&empty);
            if let Some(error) = current.was_wrong(self.id, &engine.policy) {
                // An earlier swap succeeded, though the store did not confirm it (T33).
                return Err(self.wrong(subject, current.otp_id(), error, now).await);
            }
            let compared = self
                .may_verify(current, Some(generation), now)
                .and_then(|()| current.was_sent_to(recipient.as_ref()))
                .and_then(|()| self.compare(current, now));
            let (next, outcome) = match compared {
                Ok(compared) => compared,
                Err(refused) => {
                    // If the challenge of this attempt is still in place, no code was compared, so nothing was guessed.
                    // Otherwise, or if this fails, the attempt stays counted.
                    if current.otp_id() == counted_for {
                        let retract = |subject: &mut Subject| subject.retract_failure(self.id);
                        let _ = engine.change_subject(&self.subject_key, subject, retract).await;
                    }
                    return Err(refused.into());
                }
            };
            let result = self.compared(outcome, &next, generation, recipient, now);
            result.remember_failure();
            match engine.swap_session(&self.session_key, session.as_ref(), next, now).await? {
                // The session's record decides. If the others cannot be written after it, they count too much.
                Swap::Done(session) => {
                    let answer = result.answer(subject, session);
                    let (answer, ()) = join(answer, result.settle_recipient(None)).await;
                    return answer;
                }
                Swap::Conflict => {
                    // In this order: a lock not yet seen in the user's record changes the session's after it was read.
                    session = engine.load(&self.session_key).await?;
                    let current = engine.load(&self.subject_key).await?;
                    // The attempt stays counted.
                    if engine.subject_of(current.as_ref())?.is_some_and(Subject::is_locked) {
                        return Err(ChallengeError::Forbidden.into());
                    }
                }
            }
        }
        Err(ChallengeError::Unavailable.into())
    }

    /// Writes the count of the attempt, if a code can be compared.
    async fn count(&self, asked: Prechecked) -> Result<Counted, ChallengeError> {
        let engine = self.engine;
        let Prechecked { loaded: Loaded { mut subject, mut session }, enrolled, .. } = asked;
        let mut retries = engine.retries();
        while retries.next().await {
            let now = engine.now();
            let user = engine.subject_of(subject.as_ref())?;
            if user.is_some_and(|user| user.has_failure(self.id) && !user.is_locked()) {
                // An earlier swap succeeded, though the store did not confirm it (T33).
                let recipient = engine.recipient_key(&enrolled?);
                return Ok(Counted { subject, session, recipient });
            }
            let empty = Session::default();
            let current = engine.session_of(session.as_ref())?.unwrap_or(&empty);
            let (next, recipient) = self.counted(user, current, &enrolled, now).await?;
            if let Swap::Done(subject) = engine.swap_subject(&self.subject_key, subject.as_ref(), next, now).await? {
                return Ok(Counted { subject, session, recipient });
            }
            // The session first: see the order in `count_first`.
            session = engine.load(&self.session_key).await?;
            subject = engine.load(&self.subject_key).await?;
        }
        Err(ChallengeError::Unavailable)
    }

    /// The user's record with the attempt counted, and the channel's recipient; or why no code can be compared.
    async fn counted(
        &self,
        user: Option<&Subject>,
        session: &Session,
        enrolled: &Result<Recipient, ChallengeError>,
        now: Timestamp,
    ) -> Result<(Subject, Option<Key>), ChallengeError> {
        let (engine, policy) = (self.engine, &self.engine.policy);
        if let Some(user) = user {
            user.check_disabled(self.channel, policy, now)?;
        }
        let recipient = engine.recipient_key(enrolled.as_ref().map_err(Clone::clone)?);
        self.may_verify(session, user.map(Subject::generation), now)?;
        session.was_sent_to(recipient.as_ref())?;
        // Without a user's record no generation matches, so it exists.
        let mut next = user.ok_or(ChallengeError::StateInvalid)?.clone();
        engine.remember(&self.subject_key, &mut next, now);
        next.check_locked(self.channel, policy, now)?;
        next.record_failure(self.channel, self.id, now);
        engine.list(&mut next, &self.session_key, ListedBy::Grant, now).await?;
        Ok((next, recipient))
    }

    fn may_verify(&self, session: &Session, generation: Option<u64>, now: Timestamp) -> Result<(), ChallengeError> {
        let knows = |digest: &CodeDigest| self.engine.keyring.has_secret(digest);
        session.may_verify(self.channel, generation, knows, &self.engine.policy, now)?;
        session.is_for(self.purpose.scope.as_deref(), self.purpose.digest().as_ref(), self.purpose.exact)
    }

    fn compare(&self, session: &Session, now: Timestamp) -> Result<(Session, Compared), ChallengeError> {
        let Self { channel, code, session_key, .. } = self;
        let matches = |digest: &CodeDigest| self.engine.keyring.matches(digest, session_key, channel, code.as_str());
        session.compare(self.id, matches, &self.engine.policy, now)
    }

    /// The result for the session's next state.
    fn compared(
        &self,
        outcome: Compared,
        session: &Session,
        generation: u64,
        recipient: Option<Key>,
        now: Timestamp,
    ) -> Comparison<'_> {
        Comparison { attempt: self, outcome, challenge_id: session.otp_id(), generation, recipient, now }
    }

    /// Handles a code that was compared and was wrong.
    async fn wrong(
        &self,
        user: Option<Stored>,
        challenge_id: Option<ChallengeId>,
        error: ChallengeError,
        now: Timestamp,
    ) -> NotVerified {
        let engine = self.engine;
        self.emit_wrong_code(user.as_ref(), now);
        if let (ChallengeError::ChallengeLimitExceeded, Some(challenge_id)) = (&error, challenge_id) {
            let close = |user: &mut Subject| user.close(challenge_id);
            let _ = engine.change_subject(&self.subject_key, user, close).await;
        }
        NotVerified::Wrong(error)
    }

    /// Emits a wrong code, and the lockout if it caused one.
    fn emit_wrong_code(&self, user: Option<&Stored>, now: Timestamp) {
        let Self { engine, channel, .. } = *self;
        let subject = self.caller.subject();
        engine.emit(&Event::WrongCode { subject, channel });
        let Ok(Some(user)) = engine.subject_of(user) else { return };
        let locked = user
            .check_disabled(channel, &engine.policy, now)
            .and_then(|()| user.check_locked(channel, &engine.policy, now));
        let lock = match locked {
            Ok(()) => return,
            Err(ChallengeError::RateLimited(limit)) => Lockout::For(limit.wait),
            Err(_) => Lockout::UntilUnlocked,
        };
        engine.emit(&Event::Locked { subject, channel: Some(channel), lock });
    }
}

/// An attempt that was counted: the user's record as written, and the session's as read before that.
struct Counted {
    subject: Option<Stored>,
    session: Option<Stored>,
    /// The channel's current recipient.
    recipient: Option<Key>,
}

/// A code that was compared, and what the records have to say of it.
struct Comparison<'a> {
    attempt: &'a Attempt<'a>,
    outcome: Compared,
    challenge_id: Option<ChallengeId>,
    /// The user's, at the comparison.
    generation: u64,
    recipient: Option<Key>,
    now: Timestamp,
}

impl Comparison<'_> {
    /// What follows in the user's record.
    fn settle(&self, user: &mut Subject) {
        let Some(challenge_id) = self.challenge_id else { return };
        match self.outcome {
            Compared::Right => {
                user.clear_failures(self.attempt.channel, self.attempt.id);
                // A revocation or a change of factors in the meantime invalidates what this code has proven.
                let recipient = self.recipient.as_ref().filter(|_| user.generation() == self.generation);
                user.record_verified(challenge_id, recipient, self.now);
            }
            Compared::Wrong(ChallengeError::ChallengeLimitExceeded) => user.close(challenge_id),
            Compared::Wrong(_) => {}
        }
    }

    /// What follows in the recipient's record. If it cannot be written, the record counts too much.
    async fn settle_recipient(&self, guessed: Option<GuessedRecipient>) {
        let (Compared::Right, Some(challenge_id)) = (&self.outcome, self.challenge_id) else { return };
        let Some(recipient) = &self.recipient else { return };
        let engine = self.attempt.engine;
        // Without a record there is no message to give back.
        let Ok(known @ Some(_)) = engine.load_recipient(recipient, guessed).await else { return };
        let verified = |sends: &mut Sends| sends.verified(challenge_id);
        let _ = engine.change_recipient(Some(recipient), known, verified).await;
    }

    /// Remembers a wrong code in this process, in case that a shared store loses it.
    fn remember_failure(&self) {
        let Attempt { engine, subject_key, id, .. } = self.attempt;
        if engine.store.is_shared() && matches!(self.outcome, Compared::Wrong(_)) {
            engine.local_failures.add(subject_key, *id, self.now);
        }
    }

    /// The answer, once the result has been written into the session's record.
    async fn answer(&self, user: Option<Stored>, session: Option<Stored>) -> Result<Grant, NotVerified> {
        let Attempt { engine, caller, channel, .. } = *self.attempt;
        match &self.outcome {
            Compared::Wrong(error) => Err(self.attempt.wrong(user, self.challenge_id, error.clone(), self.now).await),
            Compared::Right => {
                // A record with a grant is kept, so it was written.
                let grant = session.and_then(Grant::newest).ok_or(ChallengeError::Unavailable)?;
                engine.emit(&Event::Verified { subject: caller.subject(), channel, scope: grant.scope() });
                let _ = engine.change_subject(&self.attempt.subject_key, user, |user| self.settle(user)).await;
                Ok(grant)
            }
        }
    }
}
