//! Pushes that a user declined in a row, and the pause that follows them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::rules::{ChallengeId, DAY, Limited, Policy, RateLimit, Timestamp};

/// Consecutive declined pushes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Denials {
    /// How many since the last pause began.
    count: u8,
    pub(super) last: Timestamp,
    /// When the last pause began.
    paused: Option<Timestamp>,
}

/// Declined pushes.
impl Subject {
    /// Counts a declined push. Returns whether a pause begins now. Each push counts once, even if it was withdrawn
    /// meanwhile: an attacker must not avoid the count by dropping the push before the user declines it (T13).
    pub(crate) fn record_decline(&mut self, challenge_id: ChallengeId, policy: &Policy, now: Timestamp) -> bool {
        if !self.answer(challenge_id, now) {
            return false;
        }
        let before = self.rare().denials.filter(|denials| now < denials.last.saturating_add(DAY));
        let before = before.unwrap_or(Denials { count: 0, last: now, paused: None });
        let count = before.count.saturating_add(1);
        let denials = Denials { count, last: now, ..before };
        let pauses = count >= policy.denials;
        self.rare_mut().denials =
            Some(if pauses { Denials { count: 0, paused: Some(now), ..denials } } else { denials });
        self.close(challenge_id);
        pauses
    }

    /// Refuses a push during the pause that follows every `denials` consecutive declined pushes.
    pub(super) fn check_denials(&self, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let paused = self.rare().denials.and_then(|denials| denials.paused);
        let wait = paused.map_or(Duration::ZERO, |at| at.saturating_add(policy.denial_pause).saturating_since(now));
        let limit = RateLimit::alone(Limited::DeclinedPushes, policy.denials.into(), None, wait);
        if wait.is_zero() { Ok(()) } else { Err(limit) }
    }
}
