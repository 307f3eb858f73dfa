//! Pushes: start, poll and answer.

use std::{error::Error, fmt};

use super::{
    StepUp,
    channel::find,
    check_start_scope, no_random,
    records::{session_of, subject_of},
};
use crate::{
    caller::Caller,
    clock::Timestamp,
    code::{PushDigest, push_id},
    delivery::{Envelope, PushMessage},
    error::ChallengeError,
    session::{PushStatus, Session, Start},
    store::{Key, Store},
    subject::Subject,
};

/// A push that was started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PushStarted {
    /// Its id: decimal digits of 128 random bits. The client polls with it, the phone answers with it.
    pub id: String,
}

/// What the user said on their phone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushAnswer {
    /// Yes, that was me.
    Approve,
    /// No.
    Decline,
}

/// Why an answer to a push was not taken. Nothing was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// This user has no such push, or none any more.
    Unknown,
    /// It has been answered, has expired, or was revoked.
    Closed,
    /// The store is down: the answer may be given again.
    Unavailable,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no such push",
            Self::Closed => "the push can no longer be answered",
            Self::Unavailable => "temporarily unavailable; try again",
        })
    }
}

impl Error for AnswerError {}

impl<S: Store> StepUp<S> {
    /// Starts a push on a channel and sends it. `scope` is what it is for; `None` is the whole session.
    ///
    /// # Errors
    ///
    /// [`ChallengeError`]; [`StateInvalid`](ChallengeError::StateInvalid) while one is in flight.
    pub async fn start_push(
        &self,
        caller: &Caller,
        channel: &str,
        scope: Option<&str>,
    ) -> Result<PushStarted, ChallengeError> {
        let engine = &*self.0;
        let policy = &engine.policy;
        let channel = find(&engine.channels.push, channel).ok_or(ChallengeError::UnknownChannel)?;
        check_start_scope(scope)?;
        let enrolled = engine.resolve(caller, &channel.name).await?;

        let id = push_id(engine.random).map_err(no_random)?;
        let session_key = caller.session_key();
        let proof = PushDigest::new(&caller.subject_key(), &id);
        let step = |subject: &mut Subject, session: &Session, now: Timestamp| {
            let start = Start::new(&channel.name, scope, subject.generation(), proof);
            let next = session.start_push(start, policy, now)?;
            subject.open_push(proof, session_key, now.saturating_add(policy.push_life), now);
            Ok(next)
        };
        let recipient = engine.begin(caller, &channel.name, enrolled, step).await?;

        let envelope = Envelope::new(caller, &channel.name, recipient, policy.push_life, scope);
        if engine.deliver(channel, PushMessage { envelope, id: id.clone() }).await.is_err() {
            // Nobody was told the id, so nobody could poll it: it must not stand in the way of the next.
            engine.change_session(session_key, |session, _| session.withdraw_push(&proof)).await?;
            return Err(ChallengeError::Unavailable);
        }
        Ok(PushStarted { id })
    }

    /// How a push stands; `None` for one that this session did not start or no longer remembers.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::UnknownChannel`], and [`ChallengeError::Unavailable`] where the store is down.
    pub async fn push_status(
        &self,
        caller: &Caller,
        channel: &str,
        id: &str,
    ) -> Result<Option<PushStatus>, ChallengeError> {
        let engine = &*self.0;
        find(&engine.channels.push, channel).ok_or(ChallengeError::UnknownChannel)?;
        let digest = PushDigest::new(&caller.subject_key(), id);
        let stored = engine.load(caller.session_key()).await?;
        let now = engine.now();
        let session = session_of(stored.as_ref())?;
        Ok(session.and_then(|session| session.push_status(channel, &digest, &engine.policy, now)))
    }

    /// Takes the user's answer from their phone: once, before the push's deadline.
    ///
    /// The application has authenticated the phone as `subject`'s. An answer for another user's push is
    /// [`Unknown`](AnswerError::Unknown).
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{AnswerError, Caller, PushAnswer, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().push("BIOMETRIC", tower_step_up::discard).build()?;
    /// let push = step_up.start_push(&Caller::new("alice", "1"), "BIOMETRIC", None).await?;
    ///
    /// let foreign = step_up.answer_push("bob", &push.id, PushAnswer::Approve).await;
    /// assert_eq!(foreign, Err(AnswerError::Unknown));
    /// step_up.answer_push("alice", &push.id, PushAnswer::Approve).await?;
    /// let again = step_up.answer_push("alice", &push.id, PushAnswer::Approve).await;
    /// assert_eq!(again, Err(AnswerError::Closed));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AnswerError`].
    pub async fn answer_push(&self, subject: &str, id: &str, answer: PushAnswer) -> Result<(), AnswerError> {
        let engine = &*self.0;
        let subject_key = Key::subject(subject);
        let digest = PushDigest::new(&subject_key, id);
        // Only the store can fail here.
        let unavailable = |_: ChallengeError| AnswerError::Unavailable;
        let stored = engine.load(&subject_key).await.map_err(unavailable)?;
        let subject = subject_of(stored.as_ref()).map_err(unavailable)?.ok_or(AnswerError::Unknown)?;
        let session = subject.find_push(&digest).ok_or(AnswerError::Unknown)?;
        let generation = subject.generation();
        let approved = answer == PushAnswer::Approve;
        let answered = engine
            .change_session(session, |session, now| {
                session.answer_push(&digest, generation, approved, &engine.policy, now)
            })
            .await
            .map_err(unavailable)?;
        if answered { Ok(()) } else { Err(AnswerError::Closed) }
    }
}
