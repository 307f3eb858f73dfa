//! The numbers that no setting changes.

use std::time::Duration;

/// How long an expired, spent or verified challenge can still be told from one that never was.
pub(crate) const REMEMBRANCE: Duration = Duration::from_secs(60 * 60);

/// How long a user's failures are remembered after the last one.
pub(crate) const FAILURES_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The window of the cap on wrong codes.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a session's count of starts is remembered after the last one, where it is limited.
pub(crate) const STARTS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Request bodies of the companion: at most this many bytes …
pub(crate) const BODY_LIMIT: usize = 4 * 1024;

/// … read within this time.
pub(crate) const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// Bodies that a guard binds: at most this many bytes, read within the same time.
pub(crate) const BOUND_BODY_LIMIT: usize = 64 * 1024;

/// Grants that one session holds at most; the oldest makes room.
pub(crate) const GRANTS_PER_SESSION: usize = 16;

/// Sessions that one user's record lists at most; the oldest loses its grants before it is forgotten.
pub(crate) const SESSIONS_PER_SUBJECT: usize = 16;

/// Entries that any other list of a record has at most. What the bounds of a policy let through is below it: 6,000
/// messages a day to a recipient, 100 compared codes.
pub(crate) const RECORD_LIST_LIMIT: usize = 10_000;

/// The windows of the send budgets. The two short ones are of codes alone, the two long ones of all messages.
pub(crate) const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);

pub(crate) const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A recipient that several users send to is blocked at so many times one user's budget.
pub(crate) const RECIPIENT_FACTOR: u32 = 3;

/// And at so many times for those users who have proven that it is theirs: more than strangers can use up, and an end
/// to what many such users can send to somebody who has the number by now.
pub(crate) const KNOWN_RECIPIENT_FACTOR: u32 = 2 * RECIPIENT_FACTOR;

/// Starts within ten minutes whose sender said that nothing was sent, of one user on all channels.
pub(crate) const UNSENT_STARTS: u32 = 5;

/// Destinations that are kept as proven by one user.
pub(crate) const KNOWN_RECIPIENTS: usize = 4;

/// How long a destination counts as proven by the user, from the last verification with it.
pub(crate) const RECIPIENT_KNOWN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Wrong numbers typed for one push; the last one declines it.
pub(crate) const NUMBER_TRIES: u8 = 3;

/// How long a lock of the application's is kept, which has no end of its own.
pub(crate) const LOCK_KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
