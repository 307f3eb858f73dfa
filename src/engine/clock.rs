//! Time: whole milliseconds since the epoch, from a clock that tests can step.

use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::rules::{Timestamp, millis};

/// Tells the time. The default is [`SystemClock`].
///
/// A clock may jump, or differ from another node's. The engine never uses less than the highest time it has seen,
/// so where a clock is set back its time stands still, and lives last that much longer: a clock of your own should
/// go on instead, as [`SystemClock`] does.
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

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> Timestamp {
        T::now(self)
    }
}

impl<T: Clock + ?Sized> Clock for Box<T> {
    fn now(&self) -> Timestamp {
        T::now(self)
    }
}

/// The operating system's wall clock, which goes on at its own pace where the system's is set back.
///
/// Standing still until the wall clock has caught up would prolong every life by as much as it was set back.
/// So time goes on from the furthest that the wall clock has been ahead of a steady one: never backwards, never
/// slower than a second a second, and ahead within 100 milliseconds when the system is (after it slept, or was set
/// forward).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How long the steady clock is trusted alone, in milliseconds: reading both each time would cost the guard a
/// quarter of its decision.
const RESYNC: u64 = 100;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        static STEADY: LazyLock<Instant> = LazyLock::new(Instant::now);
        static GOING: Going = Going::new();
        // Before the epoch reads as the epoch.
        let wall = || millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        GOING.now(millis(STEADY.elapsed()), wall)
    }
}

/// A time that goes on, by a wall clock that may jump and a steady one that does not.
struct Going {
    /// The furthest that the wall clock has been ahead of the steady one.
    ahead: AtomicU64,
    /// When the wall clock has to be asked again, by the steady one.
    resync: AtomicU64,
}

impl Going {
    const fn new() -> Self {
        Self { ahead: AtomicU64::new(0), resync: AtomicU64::new(0) }
    }

    fn now(&self, steady: u64, wall: impl FnOnce() -> u64) -> Timestamp {
        // A second thread may ask the wall clock, too, before the first has written: no harm.
        if steady >= self.resync.load(Ordering::Acquire) {
            self.ahead.fetch_max(wall().saturating_sub(steady), Ordering::Relaxed);
            self.resync.store(steady.saturating_add(RESYNC), Ordering::Release);
        }
        Timestamp::from_millis(self.ahead.load(Ordering::Relaxed).saturating_add(steady))
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
        let read = self.clock.now().as_millis();
        let highest = self.highest.load(Ordering::Relaxed);
        // Writing only when time has moved keeps the cache line shared between threads.
        if read <= highest {
            return Timestamp::from_millis(highest);
        }
        Timestamp::from_millis(self.highest.fetch_max(read, Ordering::Relaxed).max(read))
    }
}

impl fmt::Debug for Monotone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monotone").field("highest", &self.highest).finish_non_exhaustive()
    }
}

/// A clock that moves only when it is stepped, for tests (feature `test-util`).
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
    pub fn advance(&self, by: std::time::Duration) {
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
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
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
    fn time_goes_on_where_the_wall_clock_is_set_back() {
        let going = Going::new();
        let at = |wall, steady| going.now(steady, || wall).as_millis();
        assert_eq!(at(1_000_000, 0), 1_000_000);
        assert_eq!(at(0, 99), 1_000_099, "not asked");
        assert_eq!(at(1_000_500, 500), 1_000_500);
        assert_eq!(at(400_000, 1_000), 1_001_000, "set back");
        assert_eq!(at(460_000, 61_000), 1_061_000, "and no slower since");
        assert_eq!(at(2_000_000, 62_000), 2_000_000, "set forward, or slept");
        assert_eq!(at(u64::MAX, 63_000), u64::MAX);
        assert_eq!(at(0, 64_000), u64::MAX);
    }
}
