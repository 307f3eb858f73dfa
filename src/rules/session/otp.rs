//! One-time codes of a session: starting, comparing and withdrawing them.

use super::{
    NewChallenge, Session,
    challenge::{SessionChallenge, State},
};
use crate::rules::{ChallengeError, ChallengeId, CodeDigest, Key, OperationDigest, Policy, Timestamp};

/// The result of comparing a code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Compared {
    /// The code was correct, and the record's newest grant comes from it.
    Right,
    Wrong(ChallengeError),
}

/// A restored code, which the user's record must count as pending again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CameBack {
    pub(crate) challenge_id: ChallengeId,
    pub(crate) deadline: Timestamp,
    pub(crate) recipient: Option<Key>,
}

/// One-time codes.
impl Session {
    /// The id of the code in the slot, in any state.
    pub(crate) fn otp_id(&self) -> Option<ChallengeId> {
        self.otp.as_deref().map(|otp| otp.challenge_id)
    }

    /// Whether a code may be started. The resend interval applies if the last code's message may have been sent.
    pub(crate) fn may_start_otp(&self, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        if let Some(last) = self.otp.as_deref().filter(|last| last.state != State::Unsent) {
            let next = last.started.saturating_add(policy.resend_interval);
            if now < next {
                let wait = next.saturating_since(now);
                return Err(ChallengeError::RetryIn { interval: policy.resend_interval, wait });
            }
        }
        self.may_start_more(policy)
    }

    /// Starts a code. It replaces a pending one and inherits its attempts.
    pub(crate) fn start_otp(
        &self,
        new: NewChallenge<CodeDigest>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, ChallengeError> {
        self.may_start_otp(policy, now)?;
        let mut challenge = SessionChallenge::new(new, policy.code_lifetime, now);
        if let Some(last) = self.otp.as_ref().filter(|last| last.is_voided(now)) {
            challenge.wrong.clone_from(&last.wrong);
        }
        challenge.earlier = self.otp.clone().filter(|last| last.matters(now));
        // Few messages can be in flight at once, and the record must stay bounded.
        if let Some(second) = challenge.earlier.as_mut().and_then(|first| first.earlier.as_mut()) {
            second.earlier = None;
        }
        Ok(Self { otp: Some(Box::new(challenge)), ..self.started(policy, now) })
    }

    /// Refuses a code that was sent to another recipient than the one now enrolled for the channel, although
    /// [`may_verify`](Self::may_verify) would accept it (T38).
    pub(crate) fn was_sent_to(&self, recipient: Option<&Key>) -> Result<(), ChallengeError> {
        let is_it = self.otp.as_deref().is_some_and(|otp| otp.recipient.as_deref() == recipient);
        if is_it { Ok(()) } else { Err(ChallengeError::StateInvalid) }
    }

    /// Refuses a code that was started for something else than the client says it is for; what it does not say is compared
    /// only if that is `exact`. [`may_verify`](Self::may_verify) accepts it.
    pub(crate) fn is_for(
        &self,
        scope: Option<&str>,
        operation: Option<&OperationDigest>,
        exact: bool,
    ) -> Result<(), ChallengeError> {
        let is_it = self.otp.as_deref().is_some_and(|otp| {
            (otp.scope.as_deref() == scope || (scope.is_none() && !exact))
                && (otp.operation.as_deref().map(|own| &own.digest) == operation || (operation.is_none() && !exact))
        });
        if is_it { Ok(()) } else { Err(ChallengeError::StateInvalid) }
    }

    /// Whether the code and the push in their slots were started for exactly this.
    #[cfg(feature = "page")]
    pub(crate) fn slots_are_for(&self, scope: Option<&str>, operation: Option<&OperationDigest>) -> [bool; 2] {
        let push = self.push.as_deref().is_some_and(|push| {
            push.scope.as_deref() == scope && push.operation.as_deref().map(|own| &own.digest) == operation
        });
        [self.is_for(scope, operation, true).is_ok(), push]
    }

    /// Cancels the code that is pending on a channel, and replaced ones that could be restored; `None` if there are none.
    /// The code that comes next inherits its attempts.
    pub(crate) fn cancel_otp(&self, channel: &str, policy: &Policy, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        let (mut code, mut cancelled) = (next.otp.as_deref_mut(), false);
        while let Some(otp) = code {
            if *otp.channel == *channel && otp.may_live(policy, now) {
                otp.state = State::Dropped;
                cancelled = true;
            }
            code = otp.earlier.as_deref_mut();
        }
        cancelled.then_some(next)
    }

    /// The id of the code in the slot, if it is one of this channel that was cancelled or revoked.
    pub(crate) fn dropped_otp(&self, channel: &str) -> Option<ChallengeId> {
        let otp = self.otp.as_deref().filter(|otp| *otp.channel == *channel && otp.state == State::Dropped)?;
        Some(otp.challenge_id)
    }

    /// The result of a wrong attempt that was already compared, although the store's answer was lost.
    pub(crate) fn was_wrong(&self, attempt: u64, policy: &Policy) -> Option<ChallengeError> {
        let challenge = self.otp.as_deref().filter(|otp| otp.wrong.contains(&attempt))?;
        Some(wrong(challenge.tries_left(policy.max_attempts)))
    }

    /// Whether a code may be compared. `knows` says whether its secret is in the keyring.
    pub(crate) fn may_verify(
        &self,
        channel: &str,
        generation: Option<u64>,
        knows: impl FnOnce(&CodeDigest) -> bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        let Some(challenge) = self.otp.as_deref().filter(|challenge| *challenge.channel == *channel) else {
            return Err(ChallengeError::StateInvalid);
        };
        match challenge.state {
            State::Verified(at) if SessionChallenge::<CodeDigest>::is_remembered(at, now) => {
                Err(ChallengeError::AlreadyVerified)
            }
            State::Pending
                if now >= challenge.deadline
                    && SessionChallenge::<CodeDigest>::is_remembered(challenge.deadline, now) =>
            {
                Err(ChallengeError::CodeExpired)
            }
            _ if challenge.is_alive(policy, now)
                && Some(challenge.generation) == generation
                && challenge.tries_left(policy.max_attempts) > 0
                && challenge.proof.as_deref().is_some_and(knows) =>
            {
                Ok(())
            }
            _ => Err(ChallengeError::StateInvalid),
        }
    }

    /// Compares a code that [`may_verify`](Self::may_verify) accepted: adds a grant, or counts the wrong attempt.
    pub(crate) fn compare(
        &self,
        attempt: u64,
        matches: impl FnOnce(&CodeDigest) -> bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Self, Compared), ChallengeError> {
        let mut next = self.pruned(now);
        let challenge = next.otp.as_deref_mut().ok_or(ChallengeError::StateInvalid)?;
        let proof = challenge.proof.as_deref().ok_or(ChallengeError::StateInvalid)?;
        if matches(proof) {
            let grant = challenge.verify(policy, now);
            // Only a code that may still be verified needs them, and the record is kept for an hour.
            (challenge.scope, challenge.operation, challenge.recipient, challenge.proof) = (None, None, None, None);
            next.add_grant(grant);
            return Ok((next, Compared::Right));
        }
        challenge.wrong.push(attempt);
        let left = challenge.tries_left(policy.max_attempts);
        if left == 0 {
            challenge.state = State::Exhausted;
        }
        Ok((next, Compared::Wrong(wrong(left))))
    }

    /// Withdraws a code that was not sent. The code that it replaced is restored, with all wrong attempts since, unless
    /// this one was revoked or exhausted meanwhile or `comes_back` is false. `None` if there is nothing to withdraw.
    pub(crate) fn withdraw_otp(
        &self,
        challenge_id: ChallengeId,
        comes_back: bool,
        now: Timestamp,
    ) -> Option<(Self, Option<CameBack>)> {
        let mut next = self.clone();
        let mut slot = next.otp.take()?;
        if slot.challenge_id != challenge_id {
            // A newer code has replaced it and must not restore it.
            let mut replaced = &mut slot;
            while replaced.earlier.as_ref()?.challenge_id != challenge_id {
                replaced = replaced.earlier.as_mut()?;
            }
            replaced.earlier = replaced.earlier.take()?.earlier;
            return Some((Self { otp: Some(slot), ..next }, None));
        }
        let mut came_back = None;
        match (slot.state, slot.earlier.take().filter(|_| comes_back)) {
            (State::Pending, Some(earlier)) if earlier.is_voided(slot.started) => {
                slot = Box::new(SessionChallenge { wrong: slot.wrong, ..*earlier });
                if slot.state == State::Pending && now < slot.deadline {
                    let SessionChallenge { challenge_id, deadline, ref recipient, .. } = *slot;
                    came_back = Some(CameBack { challenge_id, deadline, recipient: recipient.as_deref().copied() });
                }
            }
            (State::Pending, Some(earlier)) if slot.wrong.is_empty() => slot = earlier,
            (State::Pending | State::Dropped, _) => slot.state = State::Unsent,
            (State::Verified(_) | State::Declined(_) | State::Cancelled(_) | State::Exhausted | State::Unsent, _) => {}
        }
        Some((Self { otp: Some(slot), ..next }, came_back))
    }
}

/// The error for a wrong code after which `left` attempts remain.
const fn wrong(left: u8) -> ChallengeError {
    match left {
        0 => ChallengeError::ChallengeLimitExceeded,
        1 => ChallengeError::OneTryRemaining,
        _ => ChallengeError::CodeInvalid,
    }
}
