//! The common part of starting a code and a push: the checks, and the order of writes.

use futures_util::future::join;

use super::{
    Engine,
    rate_limit::Taken,
    recipient_guess::GuessedRecipient,
    records::{Loaded, Swap, Write},
};
use crate::{
    engine::{Caller, Event, Recipient, SendFailure},
    rules::{
        CameBack, ChallengeError, ChallengeId, KNOWN_RECIPIENT_FACTOR, ListedBy, MessageKind, PushDigest,
        RECIPIENT_FACTOR, Registration, Sends, Session, Subject, Timestamp,
    },
    store::{Key, Record, Stored},
};

/// A challenge that is to be started.
pub(super) struct StartRequest<'a> {
    pub(super) caller: &'a Caller,
    pub(super) channel: &'a str,
    pub(super) scope: Option<&'a str>,
    /// The id of the start, so that it is counted only once and can be withdrawn.
    pub(super) challenge_id: ChallengeId,
    /// The digest of the push's id; `None` for a code.
    pub(super) push: Option<PushDigest>,
}

/// A challenge that was started and counted; its message has not been sent yet.
pub(super) struct Started {
    pub(super) recipient: Recipient,
    /// The session's record, as written.
    pub(super) session: Option<Stored>,
    recipient_key: Option<Key>,
    taken: Taken,
}

/// The results of reading the store and then of resolving the recipient.
pub(super) struct Prechecked {
    pub(super) loaded: Loaded,
    pub(super) enrolled: Result<Recipient, ChallengeError>,
    pub(super) guessed: Option<GuessedRecipient>,
}

impl Engine {
    /// Reads the records, refuses what they alone refuse, and only then resolves the recipient: a locked user causes no
    /// call to the application (T40).
    ///
    /// `may` is a further check, on the session's record.
    pub(super) async fn precheck(
        &self,
        caller: &Caller,
        channel: &str,
        may: impl Fn(&Session, Option<&Subject>, Timestamp) -> Result<(), ChallengeError>,
    ) -> Result<Prechecked, ChallengeError> {
        let subject_key = &self.subject_key(caller.subject());
        let session_key = &self.session_key(caller);
        let mut guessed = self.guess_recipient(subject_key);
        let load = self.load_both(subject_key, session_key);
        let loaded = match &mut guessed {
            Some(guessed) => guessed.beside(load).await,
            None => load.await,
        }?;
        let now = self.now();
        let user = self.subject_of(loaded.subject.as_ref())?;
        let denials = self.remembered(subject_key, user, now);
        denials.check_disabled(channel, &self.policy, now)?;
        let empty = Session::default();
        match may(self.session_of(loaded.session.as_ref())?.unwrap_or(&empty), user, now) {
            Ok(()) => denials.check_locked(channel, &self.policy, now)?,
            // For a user who is not locked, the application's refusal takes precedence over these.
            Err(ChallengeError::RetryIn { .. } | ChallengeError::ChallengeLimitExceeded)
                if denials.check_locked(channel, &self.policy, now).is_ok() => {}
            Err(refused) => return Err(refused),
        }
        let enrolled = self.resolve(caller, channel).await?;
        if let Ok(recipient) = &enrolled {
            self.expect_recipient(subject_key, self.recipient_key(recipient));
        }
        Ok(Prechecked { loaded, enrolled, guessed })
    }

    /// Starts a challenge: applies the checks in the contract's order, then writes the user's record, the recipient's,
    /// and the session's. A store that is atomic writes the user's and the session's in one swap, beside the
    /// recipient's.
    ///
    /// `step` returns the session's next state, for the user's generation and the recipient, or the reason for
    /// refusing.
    pub(super) async fn begin(
        &self,
        beginning: &StartRequest<'_>,
        asked: Prechecked,
        step: impl Fn(&Session, u64, Option<Key>, Timestamp) -> Result<Session, ChallengeError>,
    ) -> Result<Started, ChallengeError> {
        let recipient_key = asked.enrolled.as_ref().ok().and_then(|recipient| self.recipient_key(recipient));
        let mut progress = Undo::default();
        let begun = self.begin_rounds(beginning, asked, recipient_key.as_ref(), step, &mut progress).await;
        let taken = progress.taken.unwrap_or_default();
        match begun {
            Ok((recipient, session)) => {
                let StartRequest { caller, channel, scope, .. } = *beginning;
                self.emit(&Event::Started { subject: caller.subject(), channel, scope });
                if progress.shared {
                    self.emit(&Event::RecipientShared { subject: caller.subject(), channel });
                }
                Ok(Started { recipient, session, recipient_key, taken })
            }
            Err(refused) => {
                self.rate_limits.give_back(taken);
                match progress.written {
                    Written::Nothing => {}
                    Written::Counts => {
                        let come_to_nothing = |subject: &mut Subject| {
                            subject.withdraw(beginning.challenge_id);
                            subject.untrack_session(beginning.challenge_id);
                        };
                        self.take_back(beginning, recipient_key.as_ref(), come_to_nothing).await;
                    }
                    Written::Challenge => self.withdraw(beginning, recipient_key.as_ref()).await,
                }
                Err(refused)
            }
        }
    }

    async fn begin_rounds(
        &self,
        beginning: &StartRequest<'_>,
        asked: Prechecked,
        recipient_key: Option<&Key>,
        step: impl Fn(&Session, u64, Option<Key>, Timestamp) -> Result<Session, ChallengeError>,
        progress: &mut Undo,
    ) -> Result<(Recipient, Option<Stored>), ChallengeError> {
        let StartRequest { caller, channel, challenge_id, push, .. } = *beginning;
        let policy = &self.policy;
        let (subject_key, session_key) = (&self.subject_key(caller.subject()), &self.session_key(caller));
        let (kind, life) = match push {
            Some(_) => (MessageKind::Push, policy.push_lifetime),
            None => (MessageKind::Code, policy.code_lifetime),
        };
        let Prechecked { loaded, enrolled, mut guessed } = asked;
        let mut loaded = Some(loaded);
        let mut retries = self.retries();
        while retries.next().await {
            let load_recipient = async {
                match recipient_key {
                    Some(key) => self.load_recipient(key, guessed.take()).await,
                    None => Ok(None),
                }
            };
            let load_others = async {
                match loaded.take() {
                    Some(loaded) => Ok(loaded),
                    None => self.load_both(subject_key, session_key).await,
                }
            };
            let (loaded, stored_recipient) = join(load_others, load_recipient).await;
            let (Loaded { subject, session }, stored_recipient) = (loaded?, stored_recipient?);
            let now = self.now();
            let mut next_subject = self.subject_or_new(subject.as_ref())?;
            self.remember(subject_key, &mut next_subject, now);
            next_subject.check_disabled(channel, policy, now)?;
            let resolved = enrolled.clone()?;
            let empty = Session::default();
            let current = self.session_of(session.as_ref())?.unwrap_or(&empty);
            let replaces = if push.is_some() { current.push_challenge_id() } else { current.otp_id() };
            let recipient = recipient_key.copied();
            let known = recipient.is_some_and(|recipient| next_subject.knows(&recipient, policy, now));
            let message = Message { challenge_id, kind, known };
            if replaces == Some(challenge_id) {
                // An earlier swap succeeded, though the store did not confirm it (T33).
                progress.written = Written::Challenge;
                if let Some(key) = recipient_key
                    && !self.recipient_of(stored_recipient.as_ref())?.is_some_and(|sends| sends.counts(challenge_id))
                {
                    let counted = self.counted_at_recipient(stored_recipient.as_ref(), &message, now)?;
                    self.put_recipient(key, stored_recipient, counted, &message, progress).await?;
                }
                return Ok((resolved, session));
            }
            let next_session = step(current, next_subject.generation(), recipient, now)?;
            next_subject.check_locked(channel, policy, now)?;
            let deadline = now.saturating_add(life);
            let opening = Registration { challenge_id, session: session_key, deadline, push, recipient, replaces };
            if let Err(refused) = next_subject.register(&opening, policy, now) {
                return Err(next_subject.is_starting(&opening, policy, now).unwrap_or(refused));
            }
            let counted = self.counted_at_recipient(stored_recipient.as_ref(), &message, now)?;
            if progress.taken.is_none() {
                let taken = self.rate_limits.take(resolved.as_str(), policy, now);
                progress.taken = Some(taken.map_err(ChallengeError::RateLimited)?);
            }
            self.list(&mut next_subject, session_key, ListedBy::Start(challenge_id), now).await?;

            let of_user = Write { key: subject_key, expected: subject.as_ref(), next: Record::Subject(next_subject) };
            let of_session =
                Write { key: session_key, expected: session.as_ref(), next: Record::Session(next_session) };
            if self.store.is_atomic() {
                let at_recipient = async {
                    let Some(key) = recipient_key else { return Ok(()) };
                    self.put_recipient(key, stored_recipient, counted, &message, progress).await
                };
                let (swapped, at_recipient) = join(self.swap_all([of_user, of_session], now), at_recipient).await;
                if swapped.is_err() {
                    // It may have been written, and the recipient's record was. Nothing is sent, so nothing is owed.
                    progress.written = Written::Challenge;
                }
                if let Swap::Done([_, session]) = swapped? {
                    progress.written = Written::Challenge;
                    at_recipient?;
                    return Ok((resolved, session));
                }
                at_recipient?;
                if recipient_key.is_some() {
                    progress.written = Written::Counts;
                }
                continue;
            }
            let Swap::Done(_) = self.swap_all([of_user], now).await? else { continue };
            progress.written = Written::Counts;
            if let Some(key) = recipient_key {
                self.put_recipient(key, stored_recipient, counted, &message, progress).await?;
            }
            let swapped = self.swap_all([of_session], now).await;
            if swapped.is_err() {
                progress.written = Written::Challenge;
            }
            if let Swap::Done([session]) = swapped? {
                return Ok((resolved, session));
            }
        }
        Err(ChallengeError::Unavailable)
    }

    /// A recipient's record with a message counted. A user who has verified a code at this recipient gets a larger
    /// limit, which strangers cannot use up.
    fn counted_at_recipient(
        &self,
        stored: Option<&Stored>,
        message: &Message,
        now: Timestamp,
    ) -> Result<CountedAtRecipient, ChallengeError> {
        let mut sends = self.recipient_of(stored)?.cloned().unwrap_or_default();
        sends.remove(message.challenge_id);
        let factor = if message.known { KNOWN_RECIPIENT_FACTOR } else { RECIPIENT_FACTOR };
        sends.check(message.kind, factor, &self.policy, now).map_err(ChallengeError::RateLimited)?;
        let is_shared = sends.check(message.kind, 1, &self.policy, now).is_err();
        sends.add(message.challenge_id, message.kind, now);
        Ok(CountedAtRecipient { sends, is_shared })
    }

    /// Writes a recipient's record in the place of the one that was read. After a conflict the message is counted again,
    /// or refused.
    async fn put_recipient(
        &self,
        key: &Key,
        mut stored: Option<Stored>,
        mut counted: CountedAtRecipient,
        message: &Message,
        progress: &mut Undo,
    ) -> Result<(), ChallengeError> {
        let mut retries = self.retries();
        while retries.next().await {
            let now = self.now();
            let next = Record::Recipient(counted.sends);
            if let Swap::Done(_) = self.swap(key, stored.as_ref(), next, now).await? {
                progress.shared = counted.is_shared;
                return Ok(());
            }
            stored = self.load(key).await?;
            counted = self.counted_at_recipient(stored.as_ref(), message, self.now())?;
        }
        Err(ChallengeError::Unavailable)
    }

    /// Withdraws a start whose challenge may be written, and whose sender is not asked.
    async fn withdraw(&self, beginning: &StartRequest<'_>, recipient_key: Option<&Key>) {
        let StartRequest { caller, challenge_id, push, .. } = *beginning;
        let session_key = &self.session_key(caller);
        let came_back = if push.is_some() {
            let withdraw = |session: &Session, _| session.withdraw_push(challenge_id);
            let _ = self.change_session(session_key, None, withdraw).await;
            None
        } else {
            self.withdraw_otp(caller, challenge_id).await.ok().flatten()
        };
        let withdraw = |subject: &mut Subject| {
            subject.withdraw(challenge_id);
            subject.untrack_session(challenge_id);
            subject.reopen(session_key, came_back);
        };
        self.take_back(beginning, recipient_key, withdraw).await;
    }

    /// Updates the counts after a message was not confirmed: one that was certainly not sent is withdrawn, one that may
    /// still arrive stays counted.
    pub(super) async fn not_sent(
        &self,
        beginning: &StartRequest<'_>,
        begun: Started,
        came_back: Option<CameBack>,
        why: SendFailure,
    ) {
        if why.sent_nothing() {
            self.rate_limits.give_back(begun.taken);
            // The session stays listed: it has a record.
            let (challenge_id, session, now) =
                (beginning.challenge_id, &self.session_key(beginning.caller), self.now());
            let withdraw = |subject: &mut Subject| subject.not_sent(challenge_id, session, came_back, now);
            self.take_back(beginning, begun.recipient_key.as_ref(), withdraw).await;
        } else if beginning.push.is_some() {
            // A code may still be typed; a push whose id was never returned cannot be used.
            let subject_key = self.subject_key(beginning.caller.subject());
            let stored = self.load(&subject_key).await.ok().flatten();
            let close = |subject: &mut Subject| subject.close(beginning.challenge_id);
            let _ = self.change_subject(&subject_key, stored, close).await;
        }
    }

    /// Removes a start from the records that count it. If this fails, it stays counted.
    async fn take_back(
        &self,
        beginning: &StartRequest<'_>,
        recipient_key: Option<&Key>,
        from_subject: impl Fn(&mut Subject),
    ) {
        let (subject_key, challenge_id) = (self.subject_key(beginning.caller.subject()), beginning.challenge_id);
        let of_subject = async {
            let stored = self.load(&subject_key).await?;
            self.change_subject(&subject_key, stored, from_subject).await
        };
        let of_recipient = self.change_recipient(recipient_key, None, |sends| sends.remove(challenge_id));
        let _ = join(of_subject, of_recipient).await;
    }
}

/// A message that is counted at its recipient.
struct Message {
    challenge_id: ChallengeId,
    kind: MessageKind,
    /// Whether the user has verified a challenge at this recipient.
    known: bool,
}

/// A recipient's record with a message counted.
struct CountedAtRecipient {
    sends: Sends,
    /// Whether the recipient has already had more than one user's budget, and so messages from several users. A user
    /// alone is refused earlier by their own budget.
    is_shared: bool,
}

/// What to undo if the start fails.
#[derive(Default)]
struct Undo {
    written: Written,
    taken: Option<Taken>,
    shared: bool,
}

/// What a start may have written.
#[derive(Default)]
enum Written {
    #[default]
    Nothing,
    /// The counts in the user's and the recipient's records.
    Counts,
    /// Also the challenge in the session's record.
    Challenge,
}
