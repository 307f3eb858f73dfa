//! Pushes: start, poll and reply.

use std::{error::Error, fmt, sync::Arc};

use futures_util::future::join;

use super::{
    Engine, StepUp,
    channel::{Channel, find},
    no_random,
    operation::first_invalid,
    purpose::CheckedPurpose,
    records::{StoreDown, Swap, as_session},
    start::{Prechecked, StartRequest},
};
use crate::{
    engine::{Caller, Event, Purpose, PushMessage},
    rules::{
        ChallengeError, CodeDigest, NewChallenge, OneTimeCode, PushProof, PushStatus, Reply, ReplyOutcome,
        ReplyRejected, SealedOperation, Session, Subject, push_id,
    },
    store::Stored,
};

/// A push that was started.
#[derive(Clone)]
#[non_exhaustive]
pub struct PushStarted {
    /// Its id: 128 random bits as decimal digits. The client polls with it, and the phone replies with it.
    pub id: String,
    /// The number that the client shows and the user types on their phone, if the policy requires number matching
    /// ([`Policy::number_matching`](crate::Policy::number_matching)). No message, poll response or log contains it.
    pub number: Option<String>,
}

/// The user's reply on their phone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushReply {
    /// Approved. Accepted only if the policy requires no number matching.
    Approve,
    /// Approved, with the number that the user typed.
    Number(String),
    /// Declined.
    Decline,
}

/// Does not print the number.
impl fmt::Debug for PushReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approve => "Approve",
            Self::Number(_) => "Number(..)",
            Self::Decline => "Decline",
        })
    }
}

/// Why a reply to a push was not accepted. No grant was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushReplyError {
    /// This user has no such push, or it is no longer kept.
    Unknown,
    /// It has been answered, has expired, was revoked, or the user is locked.
    Closed,
    /// The number is wrong. After the third wrong one the push counts as declined.
    WrongNumber {
        /// Attempts left; 0 if this one has declined the push.
        left: u8,
    },
    /// The policy requires number matching: reply with [`PushReply::Number`].
    NumberRequired,
    /// The store is down: the reply may be sent again.
    Unavailable,
}

impl fmt::Display for PushReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no such push",
            Self::Closed => "the push can no longer be answered",
            Self::WrongNumber { left: 0 } => "the number is wrong, and the push is declined",
            Self::WrongNumber { .. } => "the number is wrong",
            Self::NumberRequired => "approve it with the number that the application shows",
            Self::Unavailable => "temporarily unavailable; try again",
        })
    }
}

impl Error for PushReplyError {}

/// Prints neither the id nor the number.
impl fmt::Debug for PushStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushStarted(..)")
    }
}

impl StepUp {
    /// Starts a push on a channel and sends it. `purpose` is what the step-up is for, as in
    /// [`start_otp`](Self::start_otp).
    ///
    /// A session has one pending push at a time, until it is answered or expires. If the request is dropped before the
    /// push is sent, its id is never returned: the next start may replace it after twice the sender's deadline, and it
    /// stays counted.
    ///
    /// # Errors
    ///
    /// [`ChallengeError`]; [`StateInvalid`](ChallengeError::StateInvalid) while another push is pending.
    pub async fn start_push<'a>(
        &self,
        caller: &Caller,
        channel: &str,
        purpose: impl Into<Purpose<'a>>,
    ) -> Result<PushStarted, ChallengeError> {
        let engine = &self.0;
        let parsed = engine.parse_start(caller, &engine.channels.push, channel, purpose.into().into());
        let (channel, purpose) = parsed.map_err(|invalid| first_invalid(&invalid))?;
        engine.start_push(caller, channel, purpose).await
    }

    /// The status of a push; `None` for one that this session has not started or that is no longer kept.
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
        let digest = engine.record_key.push(&engine.subject_key(caller.subject()), id);
        let stored = engine.load(&engine.session_key(caller)).await?;
        let now = engine.now();
        let session = engine.session_of(stored.as_ref())?;
        Ok(session.and_then(|session| session.push_status(channel, &digest, &engine.policy, now)))
    }

    /// Accepts the user's reply from their phone: once, before the push expires.
    ///
    /// The application must have authenticated the phone as `subject`'s. A reply to another user's push is refused with
    /// [`Unknown`](PushReplyError::Unknown).
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{PushReplyError, Caller, PushReply, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().push("BIOMETRIC", tower_step_up::discard).build()?;
    /// let push = step_up.start_push(&Caller::user("alice").session("1"), "BIOMETRIC", None).await?;
    ///
    /// let foreign = step_up.answer_push("bob", &push.id, PushReply::Approve).await;
    /// assert_eq!(foreign, Err(PushReplyError::Unknown));
    /// step_up.answer_push("alice", &push.id, PushReply::Approve).await?;
    /// let again = step_up.answer_push("alice", &push.id, PushReply::Approve).await;
    /// assert_eq!(again, Err(PushReplyError::Closed));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PushReplyError`].
    pub async fn answer_push(&self, subject: &str, id: &str, answer: PushReply) -> Result<(), PushReplyError> {
        self.0.answer_push(subject, id, &answer).await
    }
}

impl Engine {
    /// Starts a push, with arguments that have been checked.
    pub(super) async fn start_push(
        self: &Arc<Self>,
        caller: &Caller,
        channel: &Arc<Channel<PushMessage>>,
        purpose: CheckedPurpose,
    ) -> Result<PushStarted, ChallengeError> {
        let started = self.begin_push(caller, channel, purpose).await;
        started.inspect_err(|error| self.emit_refused(caller, Some(&channel.name), error))
    }

    async fn begin_push(
        self: &Arc<Self>,
        caller: &Caller,
        channel: &Arc<Channel<PushMessage>>,
        purpose: CheckedPurpose,
    ) -> Result<PushStarted, ChallengeError> {
        let may_start = |session: &Session, subject: Option<&Subject>, now| {
            subject.map_or(Ok(()), |subject| session.may_start_push(subject.generation(), &self.policy, now))
        };
        let asked = self.precheck(caller, &channel.name, may_start).await?;

        let id = push_id(self.random).map_err(no_random)?;
        let number = self
            .policy
            .number_matching
            .map(|digits| OneTimeCode::generate(digits, self.random))
            .transpose()
            .map_err(no_random)?;
        let digest = |number: &OneTimeCode| -> Result<Box<CodeDigest>, ChallengeError> {
            let digest = self.keyring.digest(&self.session_key(caller), &channel.name, number, self.random);
            digest.map(Box::new).map_err(no_random)
        };
        let number_digest = number.as_ref().map(digest).transpose()?;
        let session_key = &self.session_key(caller);
        let digest_of_id = self.record_key.push(&self.subject_key(caller.subject()), &id);
        let shown = number.as_ref().map_or_else(|| id.clone(), |number| [&id, " ", number.expose()].concat());
        let shown = self.record_key.seal(session_key, &shown, self.random).map_err(no_random)?;
        let proof = PushProof { id: digest_of_id, number: number_digest, shown, sent: false };
        let operation = self.seal_operation(session_key, &purpose).map_err(no_random)?;
        let (engine, caller, channel) = (Arc::clone(self), caller.clone(), Arc::clone(channel));
        let work = async move {
            engine.send_push(&caller, &channel, &purpose, asked, &id, (proof, operation)).await?;
            Ok(PushStarted { id, number: number.map(|number| number.expose().to_owned()) })
        };
        self.unfinished.to_the_end(work).await
    }

    /// Counts a push and sends it. These are the first writes of a start.
    async fn send_push(
        &self,
        caller: &Caller,
        channel: &Channel<PushMessage>,
        purpose: &CheckedPurpose,
        asked: Prechecked,
        id: &str,
        (proof, operation): (PushProof, Option<SealedOperation>),
    ) -> Result<(), ChallengeError> {
        let (policy, digest_of_id) = (&self.policy, proof.id);
        let challenge_id = self.ids.next_challenge();
        let step = |session: &Session, generation, recipient, now| {
            let (channel, scope) = (channel.name.as_str().into(), purpose.scope.clone());
            let (id, operation, proof) = (challenge_id, operation.clone(), proof.clone());
            session.start_push(
                NewChallenge { id, channel, scope, operation, recipient, generation, proof },
                policy,
                now,
            )
        };
        let beginning = StartRequest {
            caller,
            channel: &channel.name,
            scope: purpose.scope.as_deref(),
            challenge_id,
            push: Some(digest_of_id),
        };
        let begun = self.begin(&beginning, asked, step).await?;

        let recipient = begun.recipient.clone();
        let envelope = self.envelope(purpose, caller, &channel.name, recipient, policy.push_lifetime);
        if let Err(why) = self.deliver(caller, channel, PushMessage { envelope, id: id.to_owned() }).await {
            // The id is never returned, so the push cannot be polled: whether it arrives or not, it must not block the
            // next.
            let withdraw = |session: &Session, _| session.withdraw_push(challenge_id);
            self.change_session(&self.session_key(caller), begun.session.clone(), withdraw).await?;
            self.not_sent(&beginning, begun, None, why).await;
            return Err(ChallengeError::Unavailable);
        }
        // If this fails, the next start may replace the push early.
        let sent = |session: &Session, _| session.push_sent(challenge_id);
        let _ = self.change_session(&self.session_key(caller), begun.session, sent).await;
        Ok(())
    }

    /// What counts against the user is written before the session's record, and what counts in their favour after it.
    async fn answer_push(&self, subject: &str, id: &str, answer: &PushReply) -> Result<(), PushReplyError> {
        let said = match answer {
            PushReply::Approve => Reply::Yes,
            PushReply::Number(typed) => Reply::Number { typed, attempt: self.ids.next_u64() },
            PushReply::Decline => Reply::No,
        };
        let subject_key = self.subject_key(subject);
        let digest = self.record_key.push(&subject_key, id);
        let mut retries = self.retries();
        while retries.next().await {
            let stored = self.load(&subject_key).await?;
            let current = self.subject_of(stored.as_ref())?.ok_or(PushReplyError::Unknown)?;
            let (session_key, challenge_id) = current.find_push(&digest).ok_or(PushReplyError::Unknown)?;
            let (session_key, generation) = (*session_key, current.generation());
            let recipient = current.recipient_of(challenge_id);
            let session = self.load(&session_key).await?;
            if said != Reply::No {
                // Read again after the session: a lock or a revocation in between changes the session's record.
                // `revoke_all` does not find a session that is not listed, so nothing is granted there.
                let again = self.load(&subject_key).await?;
                let may_be_granted = |user: &Subject| !user.is_locked() && user.tracks(&session_key);
                if !self.subject_of(again.as_ref())?.is_some_and(may_be_granted) {
                    return Err(PushReplyError::Closed);
                }
            }
            let now = self.now();
            let matches = |digest: &CodeDigest, channel: &str, typed: &str| {
                self.keyring.matches(digest, &session_key, channel, typed)
            };
            let empty = Session::default();
            let pending = self.session_of(session.as_ref())?.unwrap_or(&empty);
            let taken = pending.reply_to_push(&digest, generation, said, matches, &self.policy, now);
            // A decline counts whatever the state of the push: dropping it first must not spare an attacker the pause.
            let declines = said == Reply::No || matches!(taken, Ok((_, ReplyOutcome::WrongNumber { left: 0 })));
            if declines {
                let count = |subject: &mut Subject| subject.record_decline(challenge_id, &self.policy, now);
                let pauses = self.change_subject(&subject_key, stored.clone(), count).await?;
                if let (Some(true), Some((channel, _))) = (pauses, pending.push_is_for()) {
                    self.emit(&Event::PushesPaused { subject, channel, pause: self.policy.denial_pause });
                }
            }
            let (next, answered) = taken.map_err(|not| match not {
                ReplyRejected::TooLate => PushReplyError::Closed,
                ReplyRejected::NumberRequired => PushReplyError::NumberRequired,
            })?;
            let Swap::Done(written) = self.swap_session(&session_key, session.as_ref(), next, now).await? else {
                continue;
            };
            self.emit_replied(subject, written.as_ref(), answered);
            match answered {
                ReplyOutcome::WrongNumber { left } => return Err(PushReplyError::WrongNumber { left }),
                ReplyOutcome::Declined => {}
                ReplyOutcome::Approved => {
                    // If this fails, the user's record counts too much.
                    let of_recipient =
                        self.change_recipient(recipient.as_ref(), None, |sends| sends.verified(challenge_id));
                    let verified = |subject: &mut Subject| {
                        let recipient = recipient.as_ref().filter(|_| subject.generation() == generation);
                        subject.record_verified(challenge_id, recipient, now);
                    };
                    let _ = join(self.change_subject(&subject_key, stored, verified), of_recipient).await;
                }
            }
            return Ok(());
        }
        Err(PushReplyError::Unavailable)
    }

    fn emit_replied(&self, subject: &str, written: Option<&Stored>, answered: ReplyOutcome) {
        let Ok(Some((channel, scope))) = as_session(written).map(|session| session?.push_is_for()) else { return };
        if matches!(answered, ReplyOutcome::WrongNumber { .. }) {
            self.emit(&Event::WrongCode { subject, channel });
        }
        match answered {
            ReplyOutcome::WrongNumber { left: 1.. } => {}
            ReplyOutcome::WrongNumber { left: 0 } | ReplyOutcome::Declined => {
                self.emit(&Event::PushAnswered { subject, channel, approved: false });
            }
            ReplyOutcome::Approved => {
                self.emit(&Event::PushAnswered { subject, channel, approved: true });
                self.emit(&Event::Verified { subject, channel, scope });
            }
        }
    }
}

/// Once a reply is being processed, only the store can fail.
impl From<StoreDown> for PushReplyError {
    fn from(StoreDown: StoreDown) -> Self {
        Self::Unavailable
    }
}
