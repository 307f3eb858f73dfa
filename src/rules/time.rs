//! Points in time as values: whole milliseconds since the Unix epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: whole milliseconds since the Unix epoch.
///
/// Arithmetic saturates, so no clock reading can make it panic or wrap.
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

/// Whole milliseconds of a duration, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds of a wait, rounded up and at least one: the value of `Retry-After` (RFC 9110 §10.2.3).
pub(crate) fn wait_secs(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
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
    fn waits_are_whole_seconds_rounded_up_and_never_zero() {
        for (millis, secs) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (29_999, 30), (30_000, 30)] {
            assert_eq!(wait_secs(Duration::from_millis(millis)), secs, "{millis}");
        }
        assert_eq!(wait_secs(Duration::MAX), u64::MAX);
    }
}
