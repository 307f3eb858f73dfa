//! Checks a store's configuration once, concurrently with the first request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;

use super::Engine;
use crate::{engine::Event, rules::Timestamp, store::StoreWarning, timeout::within};

/// Timeout of the check. No request waits for it, so it also covers establishing a connection.
const PATIENCE: Duration = Duration::from_secs(15);
/// Interval until a store that did not report its configuration is checked again.
const PAUSE: Duration = Duration::from_secs(60);

/// Never checked.
const NEVER: u64 = 0;
/// Checked, or a check is running.
const SETTLED: u64 = u64::MAX;

/// When the last check without a result began, in milliseconds since the epoch, or one of the two constants above.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreCheck(Arc<AtomicU64>);

impl StoreCheck {
    /// Whether a check is due; at most one caller gets `true`.
    fn claim(&self, now: impl FnOnce() -> Timestamp) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let is_due = match last {
            SETTLED => false,
            NEVER => true,
            last => now() >= Timestamp::from_millis(last).saturating_add(PAUSE),
        };
        is_due && self.0.compare_exchange(last, SETTLED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn unanswered(&self, asked: Timestamp) {
        self.0.store(asked.as_millis().clamp(NEVER + 1, SETTLED - 1), Ordering::Relaxed);
    }
}

impl Engine {
    /// Checks the configuration of a shared store in a task of its own, so that the request neither waits nor fails.
    /// Without a tokio runtime the check is skipped.
    pub(super) fn check_store(&self) {
        if !self.store.is_shared() || !self.store_check.claim(|| self.now()) {
            return;
        }
        let (store, observers, check, asked) =
            (self.store.clone(), self.observers.clone(), self.store_check.clone(), self.now());
        let Ok(runtime) = Handle::try_current() else { return check.unanswered(asked) };
        runtime.spawn(async move {
            let checked = within(PATIENCE, store.check()).await;
            let late = || Err(StoreWarning::Unknown { why: "no answer in time".into() });
            let Err(warning) = checked.unwrap_or_else(late) else { return };
            if matches!(warning, StoreWarning::Unknown { .. }) {
                check.unanswered(asked);
            }
            observers.emit(&Event::StoreWarning { warning: &warning });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_once_and_a_minute_after_no_answer() {
        let check = StoreCheck::default();
        let at = |secs: u64| Timestamp::from_millis(1_000_000 + secs * 1000);
        assert!(check.claim(|| at(0)));
        assert!(!check.claim(|| at(90_000)), "it is being asked, or has answered");
        check.unanswered(at(0));
        assert!(!check.claim(|| at(59)));
        assert!(check.claim(|| at(60)));
        assert!(!check.claim(|| at(90_000)));
        check.unanswered(Timestamp::from_millis(u64::MAX));
        assert!(!check.claim(|| at(90_000)), "a clock at its end");
    }
}
