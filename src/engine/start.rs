//! The common part of starting a code and a push: the checks, and the order of writes.

use futures_util::future::join;

use super::{
    Engine,
    rate_limit::Taken,
    records::{Loaded, Swap},
};
use crate::{
    engine::{Caller, Event, Recipient, SendFailure},
    rules::{
        CameBack, ChallengeError, ChallengeId, KNOWN_RECIPIENT_FACTOR, ListedBy, MessageKind, PushDigest,
        RECIPIENT_FACTOR, Registration, Sends, Session, Subject, Timestamp,
    },
    store::{Key, Record},
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
    recipient_key: Option<Key>,
    taken: Taken,
}

/// The results of reading the store and then of resolving the recipient.
pub(super) struct Prechecked {
    pub(super) loaded: Loaded,
    pub(super) enrolled: Result<Recipient, ChallengeError>,
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
        let loaded = self.load_both(subject_key, &self.session_key(caller)).await?;
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
        Ok(Prechecked { loaded, enrolled })
    }

    /// Starts a challenge: applies the checks in the contract's order, then writes the user's record, the recipient's,
    /// and the session's.
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
            Ok(recipient) => {
                let StartRequest { caller, channel, scope, .. } = *beginning;
                self.emit(&Event::Started { subject: caller.subject(), channel, scope });
                if progress.shared {
                    self.emit(&Event::RecipientShared { subject: caller.subject(), channel });
                }
                Ok(Started { recipient, recipient_key, taken })
            }
            Err(refused) => {
                self.rate_limits.give_back(taken);
                if progress.written {
                    let come_to_nothing = |subject: &mut Subject| {
                        subject.withdraw(beginning.challenge_id);
                        subject.untrack_session(beginning.challenge_id);
                    };
                    self.take_back(beginning, recipient_key.as_ref(), come_to_nothing).await;
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
    ) -> Result<Recipient, ChallengeError> {
        let StartRequest { caller, channel, challenge_id, push, .. } = *beginning;
        let policy = &self.policy;
        let (subject_key, session_key) = (&self.subject_key(caller.subject()), &self.session_key(caller));
        let life = if push.is_some() { policy.push_lifetime } else { policy.code_lifetime };
        let Prechecked { loaded, enrolled } = asked;
        let mut loaded = Some(loaded);
        let mut retries = self.retries();
        while retries.next().await {
            let load_recipient = async {
                match recipient_key {
                    Some(key) => self.load(key).await,
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
            if replaces == Some(challenge_id) {
                // An earlier swap succeeded, though the store did not confirm it (T33).
                return Ok(resolved);
            }
            let recipient = recipient_key.copied();
            let next_session = step(current, next_subject.generation(), recipient, now)?;
            next_subject.check_locked(channel, policy, now)?;
            let deadline = now.saturating_add(life);
            let opening = Registration { challenge_id, session: session_key, deadline, push, recipient, replaces };
            next_subject.register(&opening, policy, now)?;
            let kind = if push.is_some() { MessageKind::Push } else { MessageKind::Code };
            let mut next_recipient = self.recipient_of(stored_recipient.as_ref())?.cloned().unwrap_or_default();
            let known = recipient.is_some_and(|recipient| next_subject.knows(&recipient, policy, now));
            progress.shared = self.count_at_recipient(&mut next_recipient, challenge_id, kind, known, now)?;
            if progress.taken.is_none() {
                let taken = self.rate_limits.take(resolved.as_str(), policy, now);
                progress.taken = Some(taken.map_err(ChallengeError::RateLimited)?);
            }
            self.list(&mut next_subject, session_key, ListedBy::Start(challenge_id), now).await?;

            let Swap::Done(_) = self.swap_subject(subject_key, subject.as_ref(), next_subject, now).await? else {
                continue;
            };
            progress.written = true;
            if let Some(key) = recipient_key {
                let next = Record::Recipient(next_recipient);
                let Swap::Done(_) = self.swap(key, stored_recipient.as_ref(), next, now).await? else { continue };
            }
            if let Swap::Done(_) = self.swap_session(session_key, session.as_ref(), next_session, now).await? {
                return Ok(resolved);
            }
        }
        Err(ChallengeError::Unavailable)
    }

    /// Counts a message to a recipient; `true` where the recipient has already had more than one user's budget, and so
    /// messages from several users. A user alone is refused earlier by their own budget. A user who has verified a code
    /// at this recipient gets a larger limit, which strangers cannot use up.
    fn count_at_recipient(
        &self,
        sends: &mut Sends,
        challenge_id: ChallengeId,
        kind: MessageKind,
        known: bool,
        now: Timestamp,
    ) -> Result<bool, ChallengeError> {
        sends.remove(challenge_id);
        let factor = if known { KNOWN_RECIPIENT_FACTOR } else { RECIPIENT_FACTOR };
        sends.check(kind, factor, &self.policy, now).map_err(ChallengeError::RateLimited)?;
        let shared = sends.check(kind, 1, &self.policy, now).is_err();
        sends.add(challenge_id, kind, now);
        Ok(shared)
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
        let subject_key = self.subject_key(beginning.caller.subject());
        match why {
            SendFailure::RecipientInvalid | SendFailure::Failed => {
                self.rate_limits.give_back(begun.taken);
                // The session stays listed: it has a record.
                let (challenge_id, session, now) =
                    (beginning.challenge_id, &self.session_key(beginning.caller), self.now());
                let withdraw = |subject: &mut Subject| subject.not_sent(challenge_id, session, came_back, now);
                self.take_back(beginning, begun.recipient_key.as_ref(), withdraw).await;
            }
            // A code may still be typed; a push whose id was never returned cannot be used.
            SendFailure::TooSlow | SendFailure::Panicked if beginning.push.is_some() => {
                let stored = self.load(&subject_key).await.ok().flatten();
                let _ =
                    self.change_subject(&subject_key, stored, |subject| subject.close(beginning.challenge_id)).await;
            }
            SendFailure::TooSlow | SendFailure::Panicked => {}
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
        let of_recipient = self.change_recipient(recipient_key, |sends| sends.remove(challenge_id));
        let _ = join(of_subject, of_recipient).await;
    }
}

/// What to undo if the start fails.
#[derive(Default)]
struct Undo {
    /// Whether a record may have been written.
    written: bool,
    taken: Option<Taken>,
    shared: bool,
}
