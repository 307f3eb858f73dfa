//! Messages, counted over windows that slide. Pure: no clock, no lock, no I/O.
//!
//! A user's record holds what they caused, and a recipient's record what reached them, whoever caused it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rules::{DAY, FIVE_MINUTES, HOUR, Policy, RECORD_LIST_LIMIT, RateLimit, TEN_MINUTES, Timestamp};

/// The messages of the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sends(Vec<Send>);

/// One message, under the id of the start that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Send {
    start: u64,
    at: Timestamp,
    kind: Kind,
    /// It served its purpose: only the day's budget still counts it.
    verified: bool,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Code,
    Push,
}

impl Sends {
    /// Refuses where the next message would exceed one of the budgets, times `factor`.
    pub(crate) fn check(&self, kind: Kind, factor: u32, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let budget = &policy.sends;
        let short = match kind {
            Kind::Code => [Some((budget.five_minutes, FIVE_MINUTES)), Some((budget.ten_minutes, TEN_MINUTES))],
            Kind::Push => [Some((policy.pushes, TEN_MINUTES)), None],
        };
        let open = |send: &&Send| !send.verified;
        let hit = |(limit, window): (u32, Duration), counts: &dyn Fn(&&Send) -> bool| {
            let limit = limit.saturating_mul(factor);
            let stamps = self.0.iter().filter(counts).map(|send| send.at);
            RateLimit { limit, window: Some(window), wait: wait(limit, window, stamps, now) }
        };
        let of_kind = short.into_iter().flatten().map(|short| hit(short, &|send| open(send) && send.kind == kind));
        let all = [hit((budget.hour, HOUR), &open), hit((budget.day, DAY), &|_| true)];
        match of_kind.chain(all).max_by_key(|hit| hit.wait) {
            Some(hit) if !hit.wait.is_zero() => Err(hit),
            _ => Ok(()),
        }
    }

    /// Counts a message, before it is sent.
    pub(crate) fn add(&mut self, start: u64, kind: Kind, now: Timestamp) {
        self.0.retain(|send| now < send.at.saturating_add(DAY));
        self.0.reserve_exact(1);
        self.0.push(Send { start, at: now, kind, verified: false });
    }

    /// Takes a message out again that was not sent.
    pub(crate) fn remove(&mut self, start: u64) {
        self.0.retain(|send| send.start != start);
    }

    /// Gives a message back whose challenge was verified, to all budgets but the day's.
    pub(crate) fn verified(&mut self, start: u64) {
        self.0.iter_mut().filter(|send| send.start == start).for_each(|send| send.verified = true);
    }

    /// Forgets what is stamped later than that.
    pub(crate) fn forget_after(&mut self, latest: Timestamp) {
        self.0.retain(|send| send.at <= latest);
    }

    /// Those whose sender may still answer, as the moments until which it may. One that was verified has arrived.
    pub(crate) fn in_flight(&self, deadline: Duration) -> impl Iterator<Item = Timestamp> {
        let open = self.0.iter().filter(|send| !send.verified);
        open.map(move |send| send.at.saturating_add(deadline))
    }

    /// Until when it matters.
    pub(crate) fn keep_until(&self) -> Timestamp {
        let ends = self.0.iter().map(|send| send.at.saturating_add(DAY));
        ends.fold(Timestamp::from_millis(0), Timestamp::max)
    }

    /// Whether it has no more messages than any policy allows.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.0.len() <= RECORD_LIST_LIMIT
    }
}

/// How long until fewer than `limit` of the stamps lie within the window. One from the future goes on denying.
pub(crate) fn wait(limit: u32, window: Duration, stamps: impl Iterator<Item = Timestamp>, now: Timestamp) -> Duration {
    wait_for(limit, stamps.map(|at| at.saturating_add(window)), now)
}

/// How long until fewer than `limit` of these ends are still to come.
pub(crate) fn wait_for(limit: u32, ends: impl Iterator<Item = Timestamp>, now: Timestamp) -> Duration {
    let mut ends: Vec<_> = ends.filter(|end| now < *end).collect();
    let surplus = usize::try_from(limit).ok().and_then(|limit| ends.len().checked_sub(limit));
    surplus.map_or(Duration::ZERO, |surplus| ends.select_nth_unstable(surplus).1.saturating_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + secs * 1000)
    }

    /// Codes sent at these seconds.
    fn codes(secs: impl IntoIterator<Item = u64>) -> Sends {
        let mut sends = Sends::default();
        secs.into_iter().zip(0..).for_each(|(secs, start)| sends.add(start, Kind::Code, at(secs)));
        sends
    }

    /// The limit, its window in seconds, and the wait in seconds.
    fn hit(sends: &Sends, kind: Kind, now: u64) -> Option<(u32, u64, u64)> {
        let refused = sends.check(kind, 1, &Policy::new(), at(now)).err()?;
        Some((refused.limit, refused.window?.as_secs(), refused.wait.as_secs()))
    }

    #[test]
    fn each_window_refuses_exactly_its_number() {
        let every = |n: u64, secs: u64| codes((0..n).map(|i| i * secs));
        let day = 86_400;
        let table = [
            ("none", codes([]), 0, None),
            ("two", codes([0, 1]), 1, None),
            ("three in five minutes", codes([0, 100, 200]), 200, Some((3, 300, 100))),
            ("the moment before", codes([0, 100, 200]), 299, Some((3, 300, 1))),
            ("and the moment", codes([0, 100, 200]), 300, None),
            ("five in ten minutes", codes([0, 1, 2, 300, 302]), 303, Some((5, 600, 297))),
            ("the longer wait counts", codes([0, 1, 300, 301, 302]), 303, Some((5, 600, 297))),
            ("fifteen in an hour", every(15, 200), 2_900, Some((15, 3_600, 700))),
            ("thirty in a day", every(30, 1_000), 29_001, Some((30, day, day - 29_001))),
            ("a day later", every(30, 1_000), day, None),
            ("from the future", codes([1_000, 1_001, 1_002]), 0, Some((3, 300, 1_300))),
        ];
        for (name, sends, now, expected) in table {
            assert_eq!(hit(&sends, Kind::Code, now), expected, "{name}");
        }
        let clock_at_its_end =
            Sends(vec![Send { start: 1, at: Timestamp::from_millis(u64::MAX), kind: Kind::Code, verified: false }; 3]);
        assert!(clock_at_its_end.check(Kind::Code, 1, &Policy::new(), at(0)).is_err());
    }

    #[test]
    fn pushes_have_a_short_window_of_their_own_and_share_the_long_ones() {
        let mut sends = codes([0, 1, 2]);
        assert_eq!(hit(&sends, Kind::Push, 2), None);
        (10..13).for_each(|start| sends.add(start, Kind::Push, at(3)));
        assert_eq!(hit(&sends, Kind::Push, 3), Some((3, 600, 600)));
        assert_eq!(hit(&sends, Kind::Code, 300), None, "pushes are no codes");
        (20..29).for_each(|start| sends.add(start, Kind::Push, at(700)));
        assert_eq!(hit(&sends, Kind::Code, 1_400), Some((15, 3_600, 2_200)), "but messages");
    }

    #[test]
    fn what_was_verified_counts_for_the_day_alone_and_what_was_not_sent_not_at_all() {
        let mut sends = Sends::default();
        for start in 0..29 {
            sends.add(start, Kind::Code, at(start));
            sends.verified(start);
            assert_eq!(hit(&sends, Kind::Code, start), None, "{start}");
        }
        sends.add(29, Kind::Code, at(29));
        assert_eq!(hit(&sends, Kind::Code, 29), Some((30, 86_400, 86_400 - 29)));
        sends.verified(99);
        sends.remove(99);
        assert_eq!(hit(&sends, Kind::Code, 29), Some((30, 86_400, 86_400 - 29)), "another start");
        sends.remove(29);
        assert_eq!(hit(&sends, Kind::Code, 29), None);
        assert_eq!(sends.keep_until(), at(28).saturating_add(DAY));
        sends.add(30, Kind::Code, at(28).saturating_add(DAY));
        assert_eq!(sends.0.len(), 1, "the others were forgotten");
    }

    #[test]
    fn a_factor_multiplies_every_budget() {
        let sends = codes([0; 9]);
        let policy = Policy::new();
        assert!(sends.check(Kind::Code, 4, &policy, at(0)).is_ok());
        assert_eq!(sends.check(Kind::Code, 3, &policy, at(0)).unwrap_err().limit, 9);
    }
}
