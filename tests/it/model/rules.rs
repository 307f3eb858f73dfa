//! The policies used by both sides.

use std::time::Duration;

use tower_step_up::{Policy, SendBudget};

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// Numbers of a policy; times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) users: usize,
    pub(crate) tries: usize,
    pub(crate) lockout_every: usize,
    pub(crate) first_wait: u64,
    pub(crate) longest_wait: u64,
    pub(crate) disable_after: usize,
    pub(crate) wrong_a_day: usize,
    /// Messages in 5 and 10 minutes, in an hour, and in a day.
    pub(crate) sends: [usize; 4],
    pub(crate) pushes: usize,
    pub(crate) alive: usize,
    pub(crate) denials: usize,
    pub(crate) starts: Option<usize>,
    pub(crate) number: bool,
}

impl Rules {
    /// The defaults.
    pub(crate) const DEFAULT: Self = Self {
        users: 2,
        tries: 5,
        lockout_every: 5,
        first_wait: 30 * SECOND,
        longest_wait: HOUR,
        disable_after: 50,
        wrong_a_day: 100,
        sends: [3, 5, 15, 30],
        pushes: 3,
        alive: 3,
        denials: 3,
        starts: None,
        number: false,
    };
    /// Low limits, and number matching.
    pub(crate) const SMALL: Self = Self {
        tries: 3,
        lockout_every: 4,
        longest_wait: 2 * MINUTE,
        wrong_a_day: 7,
        sends: [2, 3, 6, 9],
        pushes: 4,
        alive: 10,
        denials: 2,
        number: true,
        ..Self::DEFAULT
    };
    /// Many messages and challenges, so that attempts and denials reach their limits.
    pub(crate) const GUESSING: Self = Self {
        tries: 3,
        lockout_every: 2,
        longest_wait: 2 * MINUTE,
        disable_after: 9,
        wrong_a_day: 12,
        sends: [1000; 4],
        pushes: 100,
        alive: 4,
        denials: 5,
        ..Self::DEFAULT
    };
    /// At most four starts per session.
    pub(crate) const FEW_STARTS: Self =
        Self { users: 1, sends: [1000; 4], pushes: 100, alive: 10, starts: Some(4), number: true, ..Self::DEFAULT };
    /// Six users who share one telephone.
    pub(crate) const SHARED_PHONE: Self = Self { users: 6, sends: [1, 2, 3, 4], pushes: 1, ..Self::DEFAULT };

    pub(crate) fn policy(&self) -> Policy {
        fn n<T: TryFrom<usize>>(n: usize) -> T {
            T::try_from(n).ok().expect("a small number")
        }
        let [five_minutes, ten_minutes, hour, day] = self.sends.map(n);
        let policy = Policy::new()
            .max_attempts(n(self.tries))
            .lockout_every(n(self.lockout_every))
            .lockout_backoff(Duration::from_millis(self.first_wait), Duration::from_millis(self.longest_wait))
            .disable_after(n(self.disable_after))
            .wrong_codes_a_day(n(self.wrong_a_day))
            .send_budget(
                SendBudget::new().per_5_minutes(five_minutes).per_10_minutes(ten_minutes).per_hour(hour).per_day(day),
            )
            .pushes(n(self.pushes))
            .live_challenges(n(self.alive))
            .pause_after_declines(n(self.denials), Duration::from_secs(30 * 60));
        let policy = if self.number { policy.number_matching(2) } else { policy };
        self.starts.map_or(policy.clone(), |starts| policy.starts_per_session(n(starts)))
    }
}
