//! How a store is configured: asked once, beside the first request.

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

/// How long the answer may take. No request waits for it, so a connection that is still being made is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Before a store that did not say how it is configured is asked again.
const PAUSE: Duration = Duration::from_secs(60);

/// Never asked.
const NEVER: u64 = 0;
/// Answered, or being asked.
const SETTLED: u64 = u64::MAX;

/// When the store was last asked without an answer, in milliseconds since the epoch, or one of the two above.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreCheck(Arc<AtomicU64>);

impl StoreCheck {
    /// Whether the store is to be asked now, by this caller and nobody else.
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
    /// Has a store outside the process asked how it is configured, by a task of its own: the request neither waits nor
    /// fails. Without a tokio runtime nobody asks.
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
