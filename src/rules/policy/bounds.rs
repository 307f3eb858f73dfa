//! The bounds of every setting.

use std::time::Duration;

use super::{Policy, SendBudget, secs};
use crate::rules::{ConfigError, DAY};

impl Policy {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let SendBudget { five_minutes, ten_minutes, hour, day } = self.sends;
        let numbers: [(&'static str, u64, u64, u64); 17] = [
            ("code_digits", self.code_digits.into(), 6, 12),
            ("max_attempts", self.max_attempts.into(), 1, 10),
            ("lockout_every", self.lockout_every.into(), 1, 10),
            ("disable_after", self.disable_after.into(), 1, 100),
            ("wrong_codes_a_day", self.wrong_codes_a_day.into(), 1, 100),
            ("number_matching", self.number_matching.unwrap_or(2).into(), 2, 3),
            ("starts_per_session", self.starts_per_session.unwrap_or(1).into(), 1, u32::MAX.into()),
            ("send_budget.per_5_minutes", five_minutes.into(), 1, 1000),
            ("send_budget.per_10_minutes", ten_minutes.into(), five_minutes.into(), 1000),
            ("send_budget.per_hour", hour.into(), ten_minutes.into(), 1000),
            ("send_budget.per_day", day.into(), hour.into(), 1000),
            ("sends_in_process", self.sends_in_process.map_or(1, |rate| rate.sends).into(), 1, u32::MAX.into()),
            ("sends_per_prefix", self.sends_per_prefix.map_or(1, |(_, rate)| rate.sends).into(), 1, u32::MAX.into()),
            ("sends_per_prefix.characters", self.sends_per_prefix.map_or(1, |(characters, _)| characters).into(), 1, 8),
            ("live_challenges", self.live_challenges.into(), 1, 10),
            ("pushes", self.pushes.into(), 1, 100),
            ("pause_after_declines", self.denials.into(), 1, 10),
        ];
        for (setting, value, least, most) in numbers {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::out_of_bounds(setting, value, least, most));
            }
        }
        let durations = [
            ("code_lifetime", self.code_lifetime, secs(30), secs(600)),
            ("lockout_backoff.first", self.first_wait, secs(30), secs(3600)),
            ("lockout_backoff.longest", self.longest_wait, self.first_wait, secs(24 * 3600)),
            ("resend_interval", self.resend_interval, secs(15), secs(600)),
            ("sends_in_process.per", self.sends_in_process.map_or(DAY, |rate| rate.per), secs(1), DAY),
            ("sends_per_prefix.per", self.sends_per_prefix.map_or(DAY, |(_, rate)| rate.per), secs(1), DAY),
            ("push_lifetime", self.push_lifetime, secs(30), secs(600)),
            ("pause_after_declines.pause", self.denial_pause, secs(60), DAY),
            ("grant_lifetime", self.grant_lifetime, secs(10), secs(12 * 3600)),
            ("clock_skew", self.clock_skew, Duration::ZERO, secs(30)),
            ("sender_deadline", self.sender_deadline, Duration::from_millis(100), secs(60)),
            ("store_deadline", self.store_deadline, Duration::from_millis(1), secs(10)),
        ];
        for (setting, value, least, most) in durations {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::out_of_bounds(
                    setting,
                    format_args!("{value:?}"),
                    format_args!("{least:?}"),
                    format_args!("{most:?}"),
                ));
            }
        }
        if self.resend_interval.subsec_nanos() != 0 {
            return Err(ConfigError::FractionOfASecond { setting: "resend_interval" });
        }
        Ok(())
    }
}
