//! Limits that cannot be configured.

use std::time::Duration;

/// How long an expired, failed or verified challenge is kept, so that its error differs from that of one that never
/// existed.
pub(crate) const REMEMBRANCE: Duration = Duration::from_secs(60 * 60);

/// How long a user's failures are kept after the last one.
pub(crate) const FAILURES_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The window of the limit on wrong codes.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a session's count of starts is kept after the last one, if starts are limited.
pub(crate) const STARTS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Maximum size of a request body at the challenge endpoints, in bytes.
pub(crate) const BODY_LIMIT: usize = 4 * 1024;

/// Time limit for reading a request body.
pub(crate) const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// Maximum size of a body that a guard binds, in bytes. [`BODY_DEADLINE`] applies as well.
pub(crate) const BOUND_BODY_LIMIT: usize = 64 * 1024;

/// Maximum number of grants of one session; the oldest is evicted.
pub(crate) const GRANTS_PER_SESSION: usize = 16;

/// Maximum number of operations that one session remembers as carried out; the oldest is forgotten.
pub(crate) const MARKS_PER_SESSION: usize = 16;

/// Maximum number of sessions in one user's record; the grants of the oldest are revoked before it is removed.
pub(crate) const SESSIONS_PER_SUBJECT: usize = 16;

/// Maximum number of entries in any other list of a record. The bounds of a policy stay below it: 6,000 messages a day
/// to a recipient, 100 compared codes.
pub(crate) const RECORD_LIST_LIMIT: usize = 10_000;

/// The windows of the send budgets. The two short ones count codes only, the two long ones all messages.
pub(crate) const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);

pub(crate) const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A recipient that several users send to is blocked at this multiple of one user's budget.
pub(crate) const RECIPIENT_FACTOR: u32 = 3;

/// The multiple for users who have verified a code sent to this recipient: higher than what other users can exhaust,
/// and still a limit after the number has been reassigned to somebody else.
pub(crate) const KNOWN_RECIPIENT_FACTOR: u32 = 2 * RECIPIENT_FACTOR;

/// Maximum number of starts of one user within ten minutes, on all channels, whose sender reported that nothing was
/// sent.
pub(crate) const UNSENT_STARTS: u32 = 5;

/// Maximum number of recipients that are kept as proven by one user.
pub(crate) const KNOWN_RECIPIENTS: usize = 4;

/// How long a recipient counts as proven by the user, from the last verification with it.
pub(crate) const RECIPIENT_KNOWN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Wrong numbers for one push (number matching); the last one declines it.
pub(crate) const NUMBER_TRIES: u8 = 3;

/// How long a lock set by the application is kept; it has no expiry of its own.
pub(crate) const LOCK_KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
