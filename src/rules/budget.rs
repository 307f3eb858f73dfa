//! Messages counted over sliding windows. Pure: no clock, no lock, no I/O.
//!
//! A user's record holds the messages that this user caused; a recipient's record holds the messages sent to it by all
//! users.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::rules::{
    ChallengeId, DAY, FIVE_MINUTES, HOUR, Limited, List, Policy, RECORD_LIST_LIMIT, RateLimit, TEN_MINUTES, Timestamp,
};

/// The messages of the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sends(List<Send>);

/// One message, with the id of the challenge that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Send {
    challenge_id: ChallengeId,
    at: Timestamp,
    kind: MessageKind,
    /// Its challenge was verified: from then on only the day's budget counts it.
    verified: bool,
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MessageKind {
    Code,
    Push,
}

impl Sends {
    /// Refuses if the next message would exceed one of the budgets multiplied by `factor`.
    pub(crate) fn check(
        &self,
        kind: MessageKind,
        factor: u32,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), RateLimit> {
        let budget = &policy.sends;
        let short = match kind {
            MessageKind::Code => [Some((budget.five_minutes, FIVE_MINUTES)), Some((budget.ten_minutes, TEN_MINUTES))],
            MessageKind::Push => [Some((policy.pushes, TEN_MINUTES)), None],
        };
        let open = |send: &&Send| !send.verified;
        let hit = |(limit, window): (u32, Duration), counts: &dyn Fn(&&Send) -> bool| {
            let limit = limit.saturating_mul(factor);
            let stamps = self.0.iter().filter(counts).map(|send| send.at);
            RateLimit::alone(Limited::Messages, limit, Some(window), wait(limit, window, stamps, now))
        };
        let of_kind = short.into_iter().flatten().map(|short| hit(short, &|send| open(send) && send.kind == kind));
        let all = [hit((budget.hour, HOUR), &open), hit((budget.day, DAY), &|_| true)];
        match of_kind.chain(all).max_by_key(|hit| hit.wait) {
            Some(hit) if !hit.wait.is_zero() => {
                let [first, second] = short;
                let in_force = [first, second, Some((budget.hour, HOUR)), Some((budget.day, DAY))];
                let of_recipient = |(limit, window): (u32, Duration)| {
                    let seconds = u32::try_from(window.as_secs()).ok().and_then(NonZeroU32::new)?;
                    Some((limit.saturating_mul(factor), seconds))
                };
                Err(RateLimit { in_force: in_force.map(|limit| limit.and_then(of_recipient)), ..hit })
            }
            _ => Ok(()),
        }
    }

    /// Counts a message, before it is sent.
    pub(crate) fn add(&mut self, challenge_id: ChallengeId, kind: MessageKind, now: Timestamp) {
        self.0.retain(|send| now < send.at.saturating_add(DAY));
        self.0.push(Send { challenge_id, at: now, kind, verified: false });
    }

    /// Whether a challenge's message is counted.
    pub(crate) fn counts(&self, challenge_id: ChallengeId) -> bool {
        self.0.iter().any(|send| send.challenge_id == challenge_id)
    }

    /// Removes a message that was not sent.
    pub(crate) fn remove(&mut self, challenge_id: ChallengeId) {
        self.0.retain(|send| send.challenge_id != challenge_id);
    }

    /// Restores a message whose challenge was verified to every budget except the day's.
    pub(crate) fn verified(&mut self, challenge_id: ChallengeId) {
        self.0.iter_mut().filter(|send| send.challenge_id == challenge_id).for_each(|send| send.verified = true);
    }

    /// Removes messages with a timestamp later than `latest`.
    pub(crate) fn forget_after(&mut self, latest: Timestamp) {
        self.0.retain(|send| send.at <= latest);
    }

    /// The times until which senders may still report a failure. A message whose challenge was verified has arrived and
    /// is left out.
    pub(crate) fn in_flight(&self, deadline: Duration) -> impl Iterator<Item = Timestamp> {
        let open = self.0.iter().filter(|send| !send.verified);
        open.map(move |send| send.at.saturating_add(deadline))
    }

    /// Until when the messages must be kept.
    pub(crate) fn keep_until(&self) -> Timestamp {
        let ends = self.0.iter().map(|send| send.at.saturating_add(DAY));
        ends.fold(Timestamp::from_millis(0), Timestamp::max)
    }

    /// Whether the list is no longer than any policy allows.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.0.len() <= RECORD_LIST_LIMIT
    }
}

/// How long until fewer than `limit` timestamps lie within the window. Those in the future count as well.
pub(crate) fn wait(limit: u32, window: Duration, stamps: impl Iterator<Item = Timestamp>, now: Timestamp) -> Duration {
    wait_for(limit, stamps.map(|at| at.saturating_add(window)), now)
}

/// How long until fewer than `limit` of these end times lie in the future.
pub(crate) fn wait_for(limit: u32, ends: impl Iterator<Item = Timestamp>, now: Timestamp) -> Duration {
    let mut ends: Vec<_> = ends.filter(|end| now < *end).collect();
    let surplus = usize::try_from(limit).ok().and_then(|limit| ends.len().checked_sub(limit));
    surplus.map_or(Duration::ZERO, |surplus| ends.select_nth_unstable(surplus).1.saturating_since(now))
}

#[cfg(test)]
mod tests;
