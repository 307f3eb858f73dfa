//! The challenges of a user that may be pending, over all sessions, and their messages.

use serde::{Deserialize, Serialize};

use super::{Subject, recipients::KnownRecipient};
use crate::rules::{
    ChallengeError, ChallengeId, KNOWN_RECIPIENTS, Key, Limited, MessageKind, Policy, PushDigest, RateLimit, Timestamp,
};

/// A challenge that is about to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) challenge_id: ChallengeId,
    pub(crate) session: &'a Key,
    pub(crate) deadline: Timestamp,
    pub(crate) push: Option<PushDigest>,
    pub(crate) recipient: Option<Key>,
    /// The id of the challenge that it replaces.
    pub(crate) replaces: Option<ChallengeId>,
}

/// A challenge in the list. Two starts in one session may race; both stay in the list, because only the session's
/// record shows which of them won.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ListedChallenge {
    pub(super) challenge_id: ChallengeId,
    pub(super) session: Key,
    pub(super) deadline: Timestamp,
    /// For a push: the phone knows the user and this id, not the session.
    pub(super) push: Option<PushDigest>,
    /// The recipient for which its message was counted.
    pub(super) recipient: Option<Key>,
    /// Whether it can still be verified.
    pub(super) open: bool,
    /// For a push: whether the user's answer has been counted.
    pub(super) answered: bool,
}

/// Challenges and their messages.
impl Subject {
    /// Counts a challenge and its message, or refuses after too many denials, messages or pending challenges.
    ///
    /// May be repeated for the same start, after a write conflict.
    pub(crate) fn register(
        &mut self,
        opening: &Registration,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        self.withdraw(opening.challenge_id);
        if let Some(mut rare) = self.rare_if_any() {
            rare.challenges.retain(|challenge| now < challenge.deadline);
        }
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
        self.rare_mut().challenges.push(ListedChallenge {
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

    /// What a start is refused with because another one of the same session and kind is being written: it is listed here, and
    /// not in the session's record yet. Otherwise many starts at the same time would be refused as too many messages, though
    /// all but one of them will send none.
    pub(crate) fn is_starting(
        &self,
        opening: &Registration,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<ChallengeError> {
        let life = if opening.push.is_some() { policy.push_lifetime } else { policy.code_lifetime };
        let interval = policy.resend_interval;
        let others = self.rare().challenges.iter().filter(|challenge| {
            challenge.open
                && challenge.session == *opening.session
                && challenge.push.is_some() == opening.push.is_some()
                && challenge.challenge_id != opening.challenge_id
                && Some(challenge.challenge_id) != opening.replaces
        });
        // How long it lives tells when it was listed.
        let left =
            others.map(|other| other.deadline.saturating_since(now).saturating_sub(life.saturating_sub(interval)));
        let wait = left.max().filter(|left| !left.is_zero())?.min(interval);
        Some(match opening.kind() {
            MessageKind::Push => ChallengeError::StateInvalid,
            MessageKind::Code => ChallengeError::RetryIn { interval, wait },
        })
    }

    /// Withdraws a start that failed before its message was handed to the sender.
    pub(crate) fn withdraw(&mut self, challenge_id: ChallengeId) {
        self.sends.remove(challenge_id);
        if let Some(mut rare) = self.rare_if_any() {
            rare.challenges.retain(|challenge| challenge.challenge_id != challenge_id);
        }
    }

    /// Records that a challenge was verified: its message is restored to the budgets, its recipient counts as proven,
    /// and an approved push clears the denials.
    pub(crate) fn record_verified(&mut self, challenge_id: ChallengeId, recipient: Option<&Key>, now: Timestamp) {
        self.sends.verified(challenge_id);
        if let Some(recipient) = recipient {
            self.known.retain(|known| known.key != *recipient && now < known.until());
            while self.known.len() >= KNOWN_RECIPIENTS {
                self.known.remove(0);
            }
            self.known.push(KnownRecipient { key: *recipient, verified: now });
        }
        let is_push = self
            .rare()
            .challenges
            .iter()
            .any(|challenge| challenge.challenge_id == challenge_id && challenge.push.is_some());
        if is_push {
            self.rare_mut().denials = None;
        }
        self.close(challenge_id);
        self.answer(challenge_id, Timestamp::from_millis(0));
    }

    /// Closes a challenge that can no longer be verified; it no longer counts as pending.
    pub(crate) fn close(&mut self, challenge_id: ChallengeId) {
        self.close_where(|challenge| challenge.challenge_id == challenge_id);
    }

    /// As [`close`](Self::close), for all challenges of a session.
    pub(crate) fn close_session(&mut self, session: &Key) {
        self.close_where(|challenge| challenge.session == *session);
    }

    /// Whether a challenge counts as pending.
    #[cfg(test)]
    pub(crate) fn is_registered(&self, challenge_id: ChallengeId) -> bool {
        self.rare().challenges.iter().any(|challenge| challenge.open && challenge.challenge_id == challenge_id)
    }

    /// The recipient of a challenge's message.
    pub(crate) fn recipient_of(&self, challenge_id: ChallengeId) -> Option<Key> {
        self.rare().challenges.iter().find(|challenge| challenge.challenge_id == challenge_id)?.recipient
    }

    /// The session that a push belongs to, and its challenge id.
    pub(crate) fn find_push(&self, id: &PushDigest) -> Option<(&Key, ChallengeId)> {
        let push = self.rare().challenges.iter().find(|challenge| challenge.push.as_ref() == Some(id))?;
        Some((&push.session, push.challenge_id))
    }

    /// Marks a push as answered. Returns whether this is the first answer and before the deadline.
    pub(super) fn answer(&mut self, challenge_id: ChallengeId, now: Timestamp) -> bool {
        let is_open_to_answers = |challenge: &&mut ListedChallenge| {
            challenge.challenge_id == challenge_id && !challenge.answered && now < challenge.deadline
        };
        let Some(mut rare) = self.rare_if_any() else { return false };
        rare.challenges.iter_mut().find(is_open_to_answers).map(|challenge| challenge.answered = true).is_some()
    }

    /// Closes the challenges that match. Pushes stay in the list, so that a later answer is recognized.
    pub(super) fn close_where(&mut self, which: impl Fn(&ListedChallenge) -> bool) {
        let Some(mut rare) = self.rare_if_any() else { return };
        let challenges = &mut rare.challenges;
        challenges.iter_mut().filter(|challenge| which(challenge)).for_each(|challenge| challenge.open = false);
        challenges.retain(|challenge| challenge.open || challenge.push.is_some());
        challenges.shrink_to_fit();
    }

    /// Refuses if the user has as many pending challenges as the policy allows. All codes of a session count as one,
    /// and so do all its pushes.
    fn check_live(&self, opening: &Registration, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let mut live: Vec<(Key, bool, Timestamp)> = Vec::new();
        let same = |challenge: &&ListedChallenge| {
            challenge.session == *opening.session && challenge.push.is_some() == opening.push.is_some()
        };
        for challenge in self.rare().challenges.iter().filter(|challenge| challenge.open && !same(challenge)) {
            let place = (challenge.session, challenge.push.is_some());
            match live.iter_mut().find(|(session, is_push, _)| (*session, *is_push) == place) {
                Some((_, _, deadline)) => *deadline = challenge.deadline.max(*deadline),
                None => live.push((place.0, place.1, challenge.deadline)),
            }
        }
        let limit = u32::from(policy.live_challenges);
        match live.iter().map(|(_, _, deadline)| *deadline).min() {
            Some(first) if live.len() >= usize::from(policy.live_challenges) => {
                Err(RateLimit::alone(Limited::Challenges, limit, None, first.saturating_since(now)))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Of starts at the same time one wins, and the others are told so, not that the user has sent too much.
    #[test]
    fn a_start_that_is_being_written_is_no_message_too_many() {
        let (policy, now) = (Policy::new(), Timestamp::from_millis(1_000_000));
        let (session, other) = (Key::session("a", b"1"), Key::session("a", b"2"));
        let opening = |id: u64, session, replaces: Option<u64>| Registration {
            challenge_id: ChallengeId(id),
            session,
            deadline: now.saturating_add(policy.code_lifetime),
            push: None,
            recipient: None,
            replaces: replaces.map(ChallengeId),
        };
        let mut subject = Subject::new(0);
        assert_eq!(subject.is_starting(&opening(9, &session, None), &policy, now), None);
        for id in 1..=3 {
            subject.register(&opening(id, &session, None), &policy, now).unwrap();
        }
        let late = opening(9, &session, None);
        assert!(matches!(subject.register(&late, &policy, now), Err(ChallengeError::RateLimited(_))));
        let retry = |wait| Some(ChallengeError::RetryIn { interval: policy.resend_interval, wait });
        assert_eq!(subject.is_starting(&late, &policy, now), retry(policy.resend_interval));
        let later = |secs| now.saturating_add(Duration::from_secs(secs));
        assert_eq!(subject.is_starting(&late, &policy, later(14)), retry(Duration::from_secs(1)));
        assert_eq!(subject.is_starting(&late, &policy, later(15)), None, "it has come to nothing");
        assert_eq!(subject.is_starting(&opening(9, &other, None), &policy, now), None, "another session");
        subject.withdraw(ChallengeId(1));
        subject.withdraw(ChallengeId(2));
        assert_eq!(subject.is_starting(&opening(9, &session, Some(3)), &policy, now), None, "the session's own");
    }
}
