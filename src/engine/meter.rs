//! Events as metrics (feature `metrics`). The facade alone: without a recorder it costs a branch.

use crate::engine::Event;

/// Counts every event.
const EVENTS: &str = "step_up_events_total";

pub(crate) fn count(event: &Event<'_>) {
    let channel = event.channel().unwrap_or_default().to_owned();
    metrics::counter!(EVENTS, "event" => event.name(), "channel" => channel, "reason" => event.reason().unwrap_or_default())
        .increment(1);
}
