//! The challenges of a user that may be alive, over all sessions, and their messages.

use serde::{Deserialize, Serialize};

use super::{Subject, recipients::KnownRecipient};
use crate::rules::{ChallengeError, KNOWN_RECIPIENTS, Key, MessageKind, Policy, PushDigest, RateLimit, Timestamp};

/// A challenge that is about to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) challenge_id: u64,
    pub(crate) session: &'a Key,
    pub(crate) deadline: Timestamp,
    pub(crate) push: Option<PushDigest>,
    pub(crate) recipient: Option<Key>,
    /// The start whose challenge it takes the place of.
    pub(crate) replaces: Option<u64>,
}

/// A challenge, under the id of its start. One of another start stays in the list beside it: two may race, and which
/// of them the session took is known only afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ListedChallenge {
    pub(super) challenge_id: u64,
    pub(super) session: Key,
    pub(super) deadline: Timestamp,
    /// Of a push: the phone knows the user and this id, not the session.
    pub(super) push: Option<PushDigest>,
    /// Where its message was counted.
    pub(super) recipient: Option<Key>,
    /// Whether it can still be verified.
    pub(super) open: bool,
    /// Of a push: whether the user's answer to it has been counted.
    pub(super) answered: bool,
}

/// Challenges and their messages.
impl Subject {
    /// Counts a challenge and its message, or refuses: after too many denials, messages or live challenges.
    ///
    /// The same start may be counted again, where its first writing met another's.
    pub(crate) fn register(
        &mut self,
        opening: &Registration,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        self.withdraw(opening.challenge_id);
        self.challenges.retain(|challenge| now < challenge.deadline);
        let kind = opening.kind();
        if kind == MessageKind::Push {
            self.check_denials(policy, now).map_err(ChallengeError::RateLimited)?;
        }
        self.sends.check(kind, 1, policy, now).map_err(ChallengeError::RateLimited)?;
        self.check_unsent(policy, now).map_err(ChallengeError::RateLimited)?;
        self.check_live(opening, policy, now).map_err(ChallengeError::RateLimited)?;
        self.sends.add(opening.challenge_id, kind, now);
        if let Some(replaced) = opening.replaces {
            self.close(replaced);
        }
        self.challenges.push(ListedChallenge {
            challenge_id: opening.challenge_id,
            session: *opening.session,
            deadline: opening.deadline,
            push: opening.push,
            recipient: opening.recipient,
            open: true,
            answered: false,
        });
        Ok(())
    }

    /// Takes a start back that came to nothing before its message was handed to its sender.
    pub(crate) fn withdraw(&mut self, challenge_id: u64) {
        self.sends.remove(challenge_id);
        self.challenges.retain(|challenge| challenge.challenge_id != challenge_id);
    }

    /// A challenge was verified: its message leaves the budgets, its destination is known to be the user's, and the
    /// denials before it are over.
    pub(crate) fn record_verified(&mut self, challenge_id: u64, recipient: Option<&Key>, now: Timestamp) {
        self.sends.verified(challenge_id);
        if let Some(recipient) = recipient {
            self.known.retain(|known| known.key != *recipient && now < known.until());
            let surplus = (self.known.len() + 1).saturating_sub(KNOWN_RECIPIENTS);
            self.known.drain(..surplus);
            self.known.reserve_exact(1);
            self.known.push(KnownRecipient { key: *recipient, verified: now });
        }
        let is_push =
            self.challenges.iter().any(|challenge| challenge.challenge_id == challenge_id && challenge.push.is_some());
        if is_push {
            self.denials = None;
        }
        self.close(challenge_id);
        self.answer(challenge_id, Timestamp::from_millis(0));
    }

    /// A challenge that can no longer be verified makes room for another.
    pub(crate) fn close(&mut self, challenge_id: u64) {
        self.close_where(|challenge| challenge.challenge_id == challenge_id);
    }

    /// As [`close`](Self::close), for all of a session.
    pub(crate) fn close_session(&mut self, session: &Key) {
        self.close_where(|challenge| challenge.session == *session);
    }

    /// Whether a challenge counts as alive.
    #[cfg(test)]
    pub(crate) fn is_registered(&self, challenge_id: u64) -> bool {
        self.challenges.iter().any(|challenge| challenge.open && challenge.challenge_id == challenge_id)
    }

    /// Where the message of a challenge went.
    pub(crate) fn recipient_of(&self, challenge_id: u64) -> Option<Key> {
        self.challenges.iter().find(|challenge| challenge.challenge_id == challenge_id)?.recipient
    }

    /// The session that a push belongs to, and the id of its start.
    pub(crate) fn find_push(&self, id: &PushDigest) -> Option<(&Key, u64)> {
        let push = self.challenges.iter().find(|challenge| challenge.push.as_ref() == Some(id))?;
        Some((&push.session, push.challenge_id))
    }

    /// Notes that a push was answered; whether this is the first answer, before its deadline.
    pub(super) fn answer(&mut self, challenge_id: u64, now: Timestamp) -> bool {
        let is_open_to_answers = |challenge: &&mut ListedChallenge| {
            challenge.challenge_id == challenge_id && !challenge.answered && now < challenge.deadline
        };
        self.challenges.iter_mut().find(is_open_to_answers).map(|challenge| challenge.answered = true).is_some()
    }

    /// A push that was answered stays in the list, so that a second answer is recognized.
    pub(super) fn close_where(&mut self, which: impl Fn(&ListedChallenge) -> bool) {
        self.challenges.iter_mut().filter(|challenge| which(challenge)).for_each(|challenge| challenge.open = false);
        self.challenges.retain(|challenge| challenge.open || challenge.push.is_some());
        self.challenges.shrink_to_fit();
    }

    /// Refuses one challenge more than may be alive. A session's code is one, however often it was resent, and
    /// so is its push.
    fn check_live(&self, opening: &Registration, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let mut live: Vec<(Key, bool, Timestamp)> = Vec::new();
        let same = |challenge: &&ListedChallenge| {
            challenge.session == *opening.session && challenge.push.is_some() == opening.push.is_some()
        };
        for challenge in self.challenges.iter().filter(|challenge| challenge.open && !same(challenge)) {
            let place = (challenge.session, challenge.push.is_some());
            match live.iter_mut().find(|(session, is_push, _)| (*session, *is_push) == place) {
                Some((_, _, deadline)) => *deadline = challenge.deadline.max(*deadline),
                None => live.push((place.0, place.1, challenge.deadline)),
            }
        }
        let limit = u32::from(policy.live_challenges);
        match live.iter().map(|(_, _, deadline)| *deadline).min() {
            Some(first) if live.len() >= usize::from(policy.live_challenges) => {
                Err(RateLimit { limit, window: None, wait: first.saturating_since(now) })
            }
            _ => Ok(()),
        }
    }
}

impl Registration<'_> {
    fn kind(&self) -> MessageKind {
        if self.push.is_some() { MessageKind::Push } else { MessageKind::Code }
    }
}
