//! The few lines this crate logs, all in one place. No secret, code, session or user stands in any.
//!
//! Without the feature `tracing` only the sandbox speaks, on standard error: it must not go unnoticed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{clock::Timestamp, requirement::Reason, store::StoreError};

const SANDBOX: &str = "step-up runs as a SANDBOX: nothing is sent and every code is 123456; never in production";

/// The sandbox was built.
#[cfg_attr(not(feature = "tracing"), expect(clippy::print_stderr, reason = "there is no log to write to"))]
pub(crate) fn sandbox() {
    #[cfg(feature = "tracing")]
    tracing::warn!("{SANDBOX}");
    #[cfg(not(feature = "tracing"))]
    eprintln!("warning: {SANDBOX}");
}

/// A request without a caller reached a guard or the companion.
pub(crate) fn no_caller() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "a request without a tower_step_up::Caller was refused with 401; if its user was logged in, the layer that \
         authenticates sits inside the guard: put it outside"
    );
}

/// A guard refused.
pub(crate) fn refused(reason: Reason) {
    #[cfg(feature = "tracing")]
    tracing::debug!(reason = reason.as_str(), "step-up required");
    #[cfg(not(feature = "tracing"))]
    let _ = reason;
}

/// The store failed.
pub(crate) fn store_failed(error: &StoreError) {
    #[cfg(feature = "tracing")]
    tracing::error!(%error, "step-up refused: store failed");
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// A sender failed: `why` is one of a few fixed words.
pub(crate) fn send_failed(channel: &str, why: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(channel, why, "step-up challenge was not sent");
    #[cfg(not(feature = "tracing"))]
    let _ = (channel, why);
}

/// Lets one through a minute.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(AtomicU64);

impl OnceAMinute {
    /// Whether this is the first in a minute.
    pub(crate) fn first(&self, now: Timestamp) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let next = Timestamp::from_millis(last).saturating_add(Duration::from_secs(60));
        (last == 0 || now >= next)
            && self.0.compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute() {
        let gate = OnceAMinute::default();
        let at = |millis: u64| gate.first(Timestamp::from_millis(1_000_000 + millis));
        assert_eq!([at(0), at(1), at(59_999), at(60_000), at(60_001)], [true, false, false, true, false]);
    }
}
