//! The peers, each as its own documentation shows, with its store in memory.

pub(crate) mod axum_login;
pub(crate) mod jwt;
pub(crate) mod session_guard;
pub(crate) mod tower_sessions;

use std::time::{Duration, SystemTime};

/// How recent a step-up must be, of ours and of the peers': longer than a run takes.
pub(crate) const LIFETIME: Duration = Duration::from_secs(2 * 3600);

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set").as_secs()
}

/// Whether a time stamp is of the past and recent enough.
pub(crate) fn is_recent(stamp: u64) -> bool {
    now().checked_sub(stamp).is_some_and(|age| age < LIFETIME.as_secs())
}
