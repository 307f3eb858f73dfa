//! Logs and metrics of this crate: an observer for `tracing`, one for `metrics`, and warnings for operators. None of
//! them contains a secret, code, session or user.
//!
//! Without the feature `tracing` the warnings go to standard error.

#[cfg(feature = "tracing")]
use crate::store::StoreWarning;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::engine::{Event, Observer};
use crate::{engine::Observers, rules::Timestamp};

const SANDBOX: &str = "step-up runs as a SANDBOX: nothing is sent and every code is 123456; never in production";

/// The target for filters: the crate, independent of the module.
#[cfg(feature = "tracing")]
const TARGET: &str = "tower_step_up";

/// Warns that the sandbox was built.
#[expect(clippy::print_stderr, reason = "it must be seen where nobody listens to the log, too")]
pub(crate) fn sandbox() {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, "{SANDBOX}");
    eprintln!("warning: {SANDBOX}");
}

const UNBOUND: &str = "a guard without .bind(..) refuses everybody, for the policy takes bound step-ups alone: bind it, or \
                       leave Policy::bound_grants out";

#[cfg(feature = "page")]
const NO_PAGE: &str = "a guard with .page(..) refuses as one without, for nobody serves the page: \
                       step_up.challenges().with_page(Page::new())";

/// Warns that a guard which refuses every request was put before a service: at most once a minute.
pub(crate) fn unbound() {
    warn(UNBOUND);
}

/// Warns that guards lead to a page that is not served: at most once a minute.
#[cfg(feature = "page")]
pub(crate) fn no_page() {
    warn(NO_PAGE);
}

/// Warns about a text message without the origin that takes its code: each time, as each is paid for.
pub(crate) fn not_a_host(host: &str) {
    warn(&format!("sms_text({host:?}): not a host, such as bank.example: no browser fills the code in"));
}

/// Writes a warning to the log, or to standard error without one.
#[cfg_attr(not(feature = "tracing"), expect(clippy::print_stderr, reason = "there is no log to write to"))]
fn warn(text: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, "{text}");
    #[cfg(not(feature = "tracing"))]
    eprintln!("warning: {text}");
}

/// Warns that a request without a caller reached a guard or the challenge endpoints: at most once a minute.
pub(crate) fn no_caller() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: TARGET,
        event = Event::NoCaller.name(),
        "a request without a tower_step_up::Caller was refused with 401; if its user was logged in, the layer that \
         authenticates sits inside the guard: put it outside"
    );
}

/// Events as log lines of the `tracing` facade, without the user.
#[cfg(feature = "tracing")]
#[derive(Debug)]
pub(super) struct Tracing;

#[cfg(feature = "tracing")]
impl Observer for Tracing {
    fn observe(&self, event: &Event<'_>) {
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
            // Logged by `no_caller` instead, with the likely cause and rate-limited.
            Event::NoCaller => {}
            _ => tracing::debug!(target: TARGET, event = name, channel, reason, "step-up"),
        }
    }
}

/// The counter's name.
#[cfg(feature = "metrics")]
const EVENTS: &str = "step_up_events_total";

/// Events as counters of the `metrics` facade. The labels are collected even without a recorder, in one allocation.
#[cfg(feature = "metrics")]
#[derive(Debug)]
pub(super) struct Metrics;

#[cfg(feature = "metrics")]
impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        let channel = event.channel().unwrap_or_default().to_owned();
        let reason = event.reason().unwrap_or_default();
        metrics::counter!(EVENTS, "event" => event.name(), "channel" => channel, "reason" => reason).increment(1);
    }
}

/// The observers that the crate's features enable.
#[cfg_attr(not(any(feature = "tracing", feature = "metrics")), expect(unused_mut, reason = "nothing is added"))]
pub(super) fn observers() -> Observers {
    let mut observers = Observers::default();
    #[cfg(feature = "tracing")]
    observers.add(Tracing);
    #[cfg(feature = "metrics")]
    observers.add(Metrics);
    observers
}

/// A limit of one per minute.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(AtomicU64);

impl OnceAMinute {
    /// Whether at least a minute has passed since the last `true`.
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
