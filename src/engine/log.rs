//! The lines this crate logs, all in one place. No secret, code, session or user stands in any.
//!
//! Without the feature `tracing` only what must not go unnoticed when an app is built speaks, on standard error.

#[cfg(feature = "tracing")]
use crate::store::StoreWarning;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{engine::Event, rules::Timestamp};

const SANDBOX: &str = "step-up runs as a SANDBOX: nothing is sent and every code is 123456; never in production";

/// What filters name: the crate, not the module in which the lines happen to stand.
#[cfg(feature = "tracing")]
const TARGET: &str = "tower_step_up";

/// The sandbox was built.
#[expect(clippy::print_stderr, reason = "it must be seen where nobody listens to the log, too")]
pub(crate) fn sandbox() {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, "{SANDBOX}");
    eprintln!("warning: {SANDBOX}");
}

const UNBOUND: &str = "a guard without .bind(..) refuses everybody, for the policy takes bound step-ups alone: bind it, or \
                       leave Policy::bound_grants out";

/// A guard that can let nobody pass was put before a service: said at most once a minute.
pub(crate) fn unbound() {
    warn(UNBOUND);
}

/// Must not go unnoticed.
#[cfg_attr(not(feature = "tracing"), expect(clippy::print_stderr, reason = "there is no log to write to"))]
fn warn(text: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, "{text}");
    #[cfg(not(feature = "tracing"))]
    eprintln!("warning: {text}");
}

/// A request without a caller reached a guard or the companion: said at most once a minute.
pub(crate) fn no_caller() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: TARGET,
        event = Event::NoCaller.name(),
        "a request without a tower_step_up::Caller was refused with 401; if its user was logged in, the layer that \
         authenticates sits inside the guard: put it outside"
    );
}

/// Everything else that happens, without the user.
pub(crate) fn event(event: &Event<'_>) {
    #[cfg(feature = "tracing")]
    {
        let (name, channel, reason) = (event.name(), event.channel(), event.reason());
        match event {
            Event::StoreFailed { error } => tracing::error!(target: TARGET, event = name, reason, %error, "step-up"),
            Event::StoreWarning { warning: warning @ StoreWarning::Unknown { .. } } => {
                tracing::debug!(target: TARGET, event = name, reason, %warning, "step-up");
            }
            Event::StoreWarning { warning } => {
                tracing::error!(target: TARGET, event = name, reason, %warning, "step-up");
            }
            Event::SendFailed { .. } | Event::RecipientShared { .. } => {
                tracing::warn!(target: TARGET, event = name, channel, reason, "step-up");
            }
            Event::Locked { .. }
            | Event::Unlocked { .. }
            | Event::WouldRefuse { .. }
            | Event::PushesPaused { .. }
            | Event::Revoked { everywhere: true, .. } => {
                tracing::info!(target: TARGET, event = name, channel, reason, "step-up");
            }
            // Said by `no_caller`, with the likely cause, and not for every request.
            Event::NoCaller => {}
            _ => tracing::debug!(target: TARGET, event = name, channel, reason, "step-up"),
        }
    }
    #[cfg(not(feature = "tracing"))]
    let _ = event;
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
