//! An attacker who holds sessions of a user and combines operations: attempts, messages and locks over a day, floods,
//! other users, and restored messages. The limits hold exactly, and other users are not affected.

mod outbox;

mod buckets;
mod cancelled;
mod day;
mod floods;
mod interleaved;
mod locked;
mod lost_records;
mod one_swap;
mod other_users;
mod races;
mod resends;
mod restored;
mod windows;

use std::time::Duration;

use testkit::{passes, together};
use tower_step_up::{Caller, ChallengeError, RateLimit};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn caller(subject: &str, session: impl std::fmt::Display) -> Caller {
    Caller::user(subject).session(session)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The limit of a refusal, its window and the wait, in seconds.
fn limited<T: std::fmt::Debug>(answer: Result<T, ChallengeError>) -> (u32, Option<u64>, u64) {
    match answer {
        Err(ChallengeError::RateLimited(RateLimit { limit, window, wait, .. })) => {
            (limit, window.map(|window| window.as_secs()), wait.as_secs())
        }
        other => panic!("not limited: {other:?}"),
    }
}

/// Whether a code was compared and wrong.
fn was_wrong<T>(answer: &Result<T, ChallengeError>) -> bool {
    use ChallengeError::{ChallengeLimitExceeded, CodeInvalid, OneTryRemaining};
    matches!(answer, Err(CodeInvalid | OneTryRemaining | ChallengeLimitExceeded))
}

/// Another code of the same length, a different one for each `by` from 1 to 9.
fn other(code: &str, by: u8) -> String {
    code.bytes().map(|digit| char::from(b'0' + (digit - b'0' + by) % 10)).collect()
}
