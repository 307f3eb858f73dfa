//! Time: whole milliseconds since the epoch, from a clock that tests can step.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A moment: whole milliseconds since the Unix epoch.
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
    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `duration` more; the end of time where it would overflow.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The time from `earlier` to this moment; zero where `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole milliseconds of a duration, saturating.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds of a wait, rounded up and at least one: what `Retry-After` says (RFC 9110 §10.2.3).
pub(crate) fn wait_secs(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
}

/// Tells the time. The default is [`SystemClock`].
///
/// A clock may run backwards, jump, or differ from another node's: the engine never uses less than the
/// highest time it has seen, so a backward step can shorten a life and never lengthen it.
///
/// # Example
///
/// ```
/// use tower_step_up::{Clock, StepUp, Timestamp};
///
/// #[derive(Debug)]
/// struct Fixed;
///
/// impl Clock for Fixed {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_millis(1_700_000_000_000)
///     }
/// }
///
/// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).clock(Fixed).build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Before the epoch reads as the epoch: the engine's own high-water mark takes over.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(millis(since))
    }
}

/// A clock that never hands out less than the highest time it has seen (T20).
pub(crate) struct Monotone {
    clock: Box<dyn Clock>,
    highest: AtomicU64,
}

impl Monotone {
    pub(crate) fn new(clock: Box<dyn Clock>) -> Self {
        Self { clock, highest: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let Timestamp(read) = self.clock.now();
        let highest = self.highest.load(Ordering::Relaxed);
        // Writing only when time has moved keeps the cache line shared between threads.
        if read <= highest {
            return Timestamp(highest);
        }
        Timestamp(self.highest.fetch_max(read, Ordering::Relaxed).max(read))
    }
}

impl fmt::Debug for Monotone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monotone").field("highest", &self.highest).finish_non_exhaustive()
    }
}

/// A clock that stands still until it is stepped, for tests (feature `test-util`).
///
/// Clones share the same time.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_step_up::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(300));
/// assert_eq!(clock.now().saturating_since(before), Duration::from_secs(300));
/// ```
#[cfg(any(test, feature = "test-util"))]
#[derive(Clone, Debug)]
pub struct ManualClock(std::sync::Arc<AtomicU64>);

#[cfg(any(test, feature = "test-util"))]
impl ManualClock {
    /// A clock that shows a fixed day in 2026.
    #[must_use]
    pub fn new() -> Self {
        Self(std::sync::Arc::new(AtomicU64::new(1_790_000_000_000)))
    }

    /// Steps the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_millis(), Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backward_step_is_never_handed_out() {
        let manual = ManualClock::new();
        let clock = Monotone::new(Box::new(manual.clone()));
        let start = clock.now();
        manual.set(Timestamp::from_millis(start.as_millis() - 3_600_000));
        assert_eq!(clock.now(), start);
        manual.set(Timestamp::from_millis(u64::MAX));
        assert_eq!(clock.now().as_millis(), u64::MAX);
        manual.set(Timestamp::from_millis(0));
        assert_eq!(clock.now().as_millis(), u64::MAX);
    }

    #[test]
    fn waits_are_whole_seconds_rounded_up_and_never_zero() {
        for (millis, secs) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (29_999, 30), (30_000, 30)] {
            assert_eq!(wait_secs(Duration::from_millis(millis)), secs, "{millis}");
        }
        assert_eq!(wait_secs(Duration::MAX), u64::MAX);
    }
}
