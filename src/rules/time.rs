//! Points in time as values: whole milliseconds since the Unix epoch.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in time: whole milliseconds since the Unix epoch.
///
/// Arithmetic saturates, so no clock reading can make it panic or wrap. Printed in UTC, as RFC 3339 has it.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_step_up::Timestamp;
///
/// let verified = Timestamp::from_millis(1_000);
/// let later = verified.saturating_add(Duration::from_secs(2));
/// assert_eq!(later.saturating_since(verified), Duration::from_secs(2));
/// assert_eq!(verified.saturating_since(later), Duration::ZERO);
/// assert_eq!(later.to_string(), "1970-01-01T00:00:03.000Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point in time `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This point in time plus `duration`; the maximum value if it would overflow.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The time elapsed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Times before the epoch become the epoch; fractions of a millisecond are truncated.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(millis(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

/// The epoch, if the platform cannot represent the time.
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_millis(time.0)).unwrap_or(UNIX_EPOCH)
    }
}

/// In UTC, with milliseconds (RFC 3339 §5.6). Years after 9999 have more than four digits.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = date(secs / 86_400);
        let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// The year, month and day of a number of days since 1970-01-01, in the Gregorian calendar. Counted in eras of 400
/// years that begin on 1 March, so that a leap day is the last of its year.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

/// Whole milliseconds of a duration, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up.
pub(crate) fn secs_up(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// Whole seconds of a wait, rounded up and at least one: the value of `Retry-After` (RFC 9110 §10.2.3).
pub(crate) fn wait_secs(wait: Duration) -> u64 {
    secs_up(wait).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_times_convert() {
        let later = UNIX_EPOCH + Duration::from_micros(1_500);
        assert_eq!(Timestamp::from(later), Timestamp::from_millis(1));
        assert_eq!(SystemTime::from(Timestamp::from_millis(1)), UNIX_EPOCH + Duration::from_millis(1));
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp::from_millis(0));
    }

    #[test]
    fn timestamps_print_in_utc() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_795_732_512, "2026-11-26T22:35:12.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
            (253_402_300_800, "10000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_millis(secs * 1000).to_string(), expected);
        }
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), "584556019-04-03T14:25:51.615Z");
        // Each day has the same date as the day before, one further.
        let mut last = (1970, 1, 1);
        for days in 1..200_000 {
            let (year, month, day) = date(days);
            assert!(
                (year, month, day) == (last.0, last.1, last.2 + 1)
                    || (year, month, day) == (last.0, last.1 + 1, 1)
                    || (year, month, day) == (last.0 + 1, 1, 1) && (last.1, last.2) == (12, 31)
            );
            last = (year, month, day);
        }
        assert_eq!(last, (2517, 7, 31));
    }

    #[test]
    fn waits_are_whole_seconds_rounded_up_and_never_zero() {
        for (millis, secs) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (29_999, 30), (30_000, 30)] {
            assert_eq!(wait_secs(Duration::from_millis(millis)), secs, "{millis}");
        }
        assert_eq!(wait_secs(Duration::MAX), u64::MAX);
    }
}
