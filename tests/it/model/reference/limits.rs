//! The rules that refuse for a time, written as naively as possible.

use std::cmp::Reverse;

use super::super::{
    command::Channel,
    rules::{DAY, HOUR, MINUTE, Rules, SECOND},
};
use super::{CODE_LIFE, Challenge, End, Event, Reference, secs};

/// Limits, each with its window and its wait. The longest wait is reported; of equal ones, the last.
fn limited(limits: impl IntoIterator<Item = (usize, Option<u64>, u64)>) -> Result<(), String> {
    let Some((limit, window, wait)) = limits.into_iter().filter(|(.., wait)| *wait > 0).max_by_key(|(.., wait)| *wait)
    else {
        return Ok(());
    };
    let window = window.map_or(String::new(), |window| format!(", {limit};w={}", secs(window)));
    Err(format!("429 RATE_LIMITED limit {limit}{window} after {}", secs(wait)))
}

/// The same for the budgets, which are all reported.
fn over_budget(limits: &[(usize, u64, u64)]) -> Result<(), String> {
    let Some((limit, _, wait)) = limits.iter().filter(|(.., wait)| *wait > 0).max_by_key(|(.., wait)| *wait) else {
        return Ok(());
    };
    let in_force: Vec<_> = limits.iter().map(|(limit, window, _)| format!("{limit};w={}", secs(*window))).collect();
    Err(format!("429 RATE_LIMITED limit {limit}, {} after {}", in_force.join(", "), secs(*wait)))
}

impl Reference {
    /// Times of matching events of a user since the last event that resets their count.
    fn since(&self, user: usize, ends: &[Event], which: impl Fn(Event) -> bool) -> Vec<u64> {
        let mut row = Vec::new();
        for (_, at, event) in self.events.iter().filter(|(of, ..)| *of == user) {
            if ends.contains(event) {
                row.clear();
            } else if which(*event) {
                row.push(*at);
            }
        }
        row
    }

    /// The wait until fewer than `limit` of these are in the window.
    fn full(&self, limit: usize, window: u64, mut stamps: Vec<u64>) -> u64 {
        stamps.sort_by_key(|at| Reverse(*at));
        stamps.get(limit - 1).map_or(0, |at| (at + window).saturating_sub(self.now))
    }

    pub(super) fn is_locked(&self, user: usize) -> bool {
        !self.since(user, &[Event::Unlocked], |event| event == Event::Locked).is_empty()
    }

    fn failures(&self, user: usize, channel: Channel) -> Vec<u64> {
        self.since(user, &[Event::Unlocked, Event::Right(channel)], |event| event == Event::Wrong(channel))
    }

    pub(super) fn not_disabled(&self, user: usize, channel: Channel) -> Result<(), String> {
        let disabled = self.is_locked(user) || self.failures(user, channel).len() >= self.rules.disable_after;
        if disabled { Err("403 INSUFFICIENT_PERMISSIONS".into()) } else { Ok(()) }
    }

    pub(super) fn not_locked_out(&self, user: usize, channel: Channel) -> Result<(), String> {
        let Rules { lockout_every, first_wait, longest_wait, wrong_a_day, .. } = self.rules;
        let failures = self.failures(user, channel);
        let consecutive = match failures.last() {
            Some(last) if failures.len().is_multiple_of(lockout_every) => {
                let wait = (first_wait << (failures.len() / lockout_every - 1)).min(longest_wait);
                (last + wait).saturating_sub(self.now)
            }
            _ => 0,
        };
        let wrong = self.since(user, &[Event::Unlocked], |event| matches!(event, Event::Wrong(_)));
        limited([(wrong_a_day, Some(DAY), self.full(wrong_a_day, DAY, wrong)), (lockout_every, None, consecutive)])
    }

    /// Counted since the last pause, and forgotten after a day without a denial.
    pub(super) fn not_paused(&self, user: usize) -> Result<(), String> {
        let (mut count, mut last, mut paused_until) = (0, 0, 0);
        for at in self.since(user, &[Event::Unlocked, Event::Approved], |event| event == Event::Denied) {
            count = if at < last + DAY { count + 1 } else { 1 };
            last = at;
            if count == self.rules.denials {
                (count, paused_until) = (0, at + 30 * MINUTE);
            }
        }
        limited([(self.rules.denials, None, paused_until.saturating_sub(self.now))])
    }

    /// Messages of one user, or of all: they share one telephone.
    pub(super) fn within_budgets(&self, user: Option<usize>, push: bool, factor: usize) -> Result<(), String> {
        let [five_minutes, ten_minutes, hour, day] = self.rules.sends;
        let limit = |limit: usize, window: u64, which: &dyn Fn(&Challenge) -> bool| {
            let sent = self.challenges.iter().filter(|c| c.sent && user.is_none_or(|user| c.user == user) && which(c));
            let wait = self.full(limit * factor, window, sent.map(|c| c.at).collect());
            (limit * factor, window, wait)
        };
        let given_back = |c: &Challenge| matches!(c.end, End::Verified(_));
        let of_kind = |c: &Challenge| c.channel.is_push() == push && !given_back(c);
        let mut limits = if push {
            vec![limit(self.rules.pushes, 10 * MINUTE, &of_kind)]
        } else {
            vec![limit(five_minutes, 5 * MINUTE, &of_kind), limit(ten_minutes, 10 * MINUTE, &of_kind)]
        };
        limits.extend([limit(hour, HOUR, &|c| !given_back(c)), limit(day, DAY, &|_| true)]);
        over_budget(&limits)
    }

    /// Starts reported as unsent. From the first one on, unverified messages within the sender's deadline count, too.
    pub(super) fn few_unsent(&self, user: usize) -> Result<(), String> {
        let of_user = |c: &&Challenge| c.user == user;
        let ends = |sent: bool, within: u64| {
            let of_kind = self.challenges.iter().filter(of_user).filter(move |c| c.sent == sent);
            let is_open = |c: &&Challenge| !c.sent || !matches!(c.end, End::Verified(_));
            of_kind.filter(is_open).map(move |c| c.at + within).filter(|end| self.now < *end)
        };
        let unsent: Vec<u64> = ends(false, 10 * MINUTE).collect();
        if unsent.is_empty() {
            return Ok(());
        }
        let mut all: Vec<u64> = unsent.into_iter().chain(ends(true, 10 * SECOND)).collect();
        all.sort_by_key(|end| Reverse(*end));
        limited([(5, Some(10 * MINUTE), all.get(4).map_or(0, |end| end - self.now))])
    }

    /// Whether a user has verified with the shared telephone.
    pub(super) fn has_verified(&self, user: usize) -> bool {
        let proven = |c: &&Challenge| matches!(c.end, End::Verified(at) if self.now < at + 30 * DAY);
        self.challenges.iter().filter(|c| c.user == user).any(|c| proven(&c))
    }

    /// The challenge that the start replaces does not count.
    pub(super) fn few_alive(&self, session: usize, push: bool) -> Result<(), String> {
        let alive = (0..self.challenges.len()).filter(|i| self.is_alive(*i) && Some(*i) != self.last(session, push));
        let of_user = alive.map(|i| &self.challenges[i]).filter(|c| c.user == self.user(session));
        let deadlines: Vec<u64> = of_user.map(|c| c.at + CODE_LIFE).collect();
        let first = deadlines.iter().min().filter(|_| deadlines.len() >= self.rules.alive);
        limited([(self.rules.alive, None, first.map_or(0, |first| first - self.now))])
    }
}
