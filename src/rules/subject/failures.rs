//! Failures: the consecutive ones of each channel, the wrong codes of a day, and the lockouts that follow.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::rules::{ChallengeError, DAY, FAILURES_KEPT, Limited, Policy, RateLimit, Timestamp, read_list, wait};

/// An event that counts against a user, such as a comparison, which is counted before it is made. The id finds it
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) at: Timestamp,
}

/// The consecutive failures of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failures {
    channel: Box<str>,
    #[serde(deserialize_with = "read_list")]
    pub(super) attempts: Vec<Attempt>,
}

/// Failures and locks.
impl Subject {
    /// Refuses a user whom only the application can unlock: after its own lock, or after `disable_after` failures.
    pub(crate) fn check_disabled(&self, channel: &str, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        let failed = self.failures(channel, now).len() >= usize::from(policy.disable_after);
        if failed || self.is_locked() { Err(ChallengeError::Forbidden) } else { Ok(()) }
    }

    /// Whether the application has locked the user.
    pub(crate) fn is_locked(&self) -> bool {
        self.rare().locked.is_some()
    }

    pub(crate) fn lock(&mut self, now: Timestamp) {
        self.rare_mut().locked = Some(now);
    }

    /// Lifts every lock: the application's own, failures, wrong codes and denials. Messages stay counted: they limit
    /// costs, not guesses. Entries with timestamps beyond the clock skew are removed too: they would refuse the user
    /// until then.
    pub(crate) fn unlock(&mut self, policy: &Policy, now: Timestamp) {
        let latest = now.saturating_add(policy.clock_skew);
        self.sends.forget_after(latest);
        let deadline = latest.saturating_add(policy.code_lifetime.max(policy.push_lifetime));
        let mut rare = self.rare_mut();
        rare.locked = None;
        rare.failures = Vec::new();
        rare.wrong = Vec::new();
        rare.forgiven = Some(now);
        rare.denials = None;
        rare.unsent.retain(|unsent| unsent.at <= latest);
        rare.challenges.retain(|challenge| challenge.deadline <= deadline);
    }

    /// Whether the user was unlocked at `then` or later, and there is nothing left to lift.
    pub(crate) fn is_unlocked_since(&self, then: Timestamp, policy: &Policy, now: Timestamp) -> bool {
        let mut unlocked = self.clone();
        unlocked.unlock(policy, now);
        let forgiven = self.rare().forgiven;
        unlocked.rare_mut().forgiven = forgiven;
        forgiven.is_some_and(|forgiven| then <= forgiven) && unlocked == *self
    }

    /// Refuses a user during a lockout: after every `lockout_every` consecutive failures on this channel, and after
    /// `wrong_codes_a_day` wrong codes in 24 hours over all channels.
    ///
    /// Timestamps in the future count as well.
    pub(crate) fn check_locked(&self, channel: &str, policy: &Policy, now: Timestamp) -> Result<(), ChallengeError> {
        let consecutive = self.consecutive_wait(channel, policy, now);
        let day = self.day_wait(policy, now);
        let consecutive = RateLimit::alone(Limited::WrongCodes, policy.lockout_every.into(), None, consecutive);
        let day = RateLimit::alone(Limited::WrongCodes, policy.wrong_codes_a_day.into(), Some(DAY), day);
        let limit = if day.wait > consecutive.wait { day } else { consecutive };
        if limit.wait.is_zero() { Ok(()) } else { Err(ChallengeError::RateLimited(limit)) }
    }

    /// Counts a failure, before the code is compared.
    pub(crate) fn record_failure(&mut self, channel: &str, attempt: u64, now: Timestamp) {
        let attempt = Attempt { id: attempt, at: now };
        let rare = &mut *self.rare_mut();
        rare.wrong.retain(|wrong| now < wrong.at.saturating_add(DAY));
        rare.wrong.push(attempt);
        rare.failures.retain(|failures| failures.is_remembered(now));
        match rare.failures.iter_mut().find(|failures| *failures.channel == *channel) {
            Some(failures) => failures.attempts.push(attempt),
            None => rare.failures.push(Failures { channel: channel.into(), attempts: vec![attempt] }),
        }
    }

    /// Whether an attempt is counted.
    pub(crate) fn has_failure(&self, attempt: u64) -> bool {
        self.rare().wrong.iter().any(|wrong| wrong.id == attempt)
    }

    /// Counts again the wrong codes that this process remembers and the record has lost.
    pub(crate) fn restore_failures(&mut self, wrong: Vec<Attempt>, now: Timestamp) {
        let rare = self.rare();
        let counts = |attempt: &Attempt| {
            now < attempt.at.saturating_add(DAY) && rare.forgiven.is_none_or(|forgiven| forgiven < attempt.at)
        };
        let lost =
            wrong.into_iter().filter(counts).filter(|attempt| !rare.wrong.iter().any(|known| known.id == attempt.id));
        let lost: Vec<_> = lost.collect();
        if !lost.is_empty() {
            self.rare_mut().wrong.extend(lost);
        }
    }

    /// Removes an attempt for which there was no code to compare with.
    pub(crate) fn retract_failure(&mut self, attempt: u64) {
        let Some(mut rare) = self.rare_if_any() else { return };
        rare.wrong.retain(|wrong| wrong.id != attempt);
        for failures in &mut rare.failures {
            failures.attempts.retain(|failure| failure.id != attempt);
        }
        rare.failures.retain(|failures| !failures.attempts.is_empty());
        rare.wrong.shrink_to_fit();
        rare.failures.shrink_to_fit();
    }

    /// After a correct code: removes this attempt and the channel's failures. The day's count of wrong codes and the
    /// failures of other channels stay (T4).
    pub(crate) fn clear_failures(&mut self, channel: &str, attempt: u64) {
        self.retract_failure(attempt);
        let Some(mut rare) = self.rare_if_any() else { return };
        let failures = &mut rare.failures;
        failures.retain(|failures| *failures.channel != *channel);
        failures.shrink_to_fit();
    }

    pub(super) fn failures(&self, channel: &str, now: Timestamp) -> &[Attempt] {
        let of_channel = |failures: &&Failures| *failures.channel == *channel && failures.is_remembered(now);
        self.rare().failures.iter().find(of_channel).map_or(&[], |failures| &failures.attempts)
    }

    fn consecutive_wait(&self, channel: &str, policy: &Policy, now: Timestamp) -> Duration {
        let failures = self.failures(channel, now);
        let rounds = failures.len() / usize::from(policy.lockout_every);
        let Some(last) = failures.iter().map(|failure| failure.at).max() else { return Duration::ZERO };
        if rounds == 0 || !failures.len().is_multiple_of(policy.lockout_every.into()) {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(rounds - 1).unwrap_or(u32::MAX);
        let wait = 2_u32
            .checked_pow(doublings)
            .and_then(|factor| policy.first_wait.checked_mul(factor))
            .map_or(policy.longest_wait, |wait| wait.min(policy.longest_wait));
        last.saturating_add(wait).saturating_since(now)
    }

    fn day_wait(&self, policy: &Policy, now: Timestamp) -> Duration {
        wait(policy.wrong_codes_a_day.into(), DAY, self.rare().wrong.iter().map(|wrong| wrong.at), now)
    }
}

impl Failures {
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.attempts.iter().map(|attempt| attempt.at).max()
    }

    fn is_remembered(&self, now: Timestamp) -> bool {
        self.last().is_some_and(|last| now < last.saturating_add(FAILURES_KEPT))
    }
}
