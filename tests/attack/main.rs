//! An attacker who holds sessions of a user and combines whatever they can: guesses, messages and locks over a day,
//! floods, strangers, and what is given back. The limits hold, to the number, and nobody else notices.

#[path = "../support/mod.rs"]
#[allow(unreachable_pub, reason = "shared with other test binaries")]
mod support;

mod post;

mod buckets;
mod day;
mod floods;
mod forgotten;
mod given_back;
mod interleaved;
mod locked;
mod races;
mod resends;
mod strangers;
mod windows;

use std::{sync::Arc, time::Duration};

use tower_step_up::{Caller, ChallengeError, RateLimit, Requirement, StepUp, Store};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn caller(subject: &str, session: impl ToString) -> Caller {
    Caller::new(subject, session.to_string())
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The limit, its window and the wait, in seconds.
fn limited<T: std::fmt::Debug>(answer: Result<T, ChallengeError>) -> (u32, Option<u64>, u64) {
    match answer {
        Err(ChallengeError::RateLimited(RateLimit { limit, window, wait, .. })) => {
            (limit, window.map(|window| window.as_secs()), wait.as_secs())
        }
        other => panic!("not limited: {other:?}"),
    }
}

/// Whether a code was compared and was wrong.
fn was_wrong<T>(answer: &Result<T, ChallengeError>) -> bool {
    use ChallengeError::{ChallengeLimitExceeded, CodeInvalid, OneTryRemaining};
    matches!(answer, Err(CodeInvalid | OneTryRemaining | ChallengeLimitExceeded))
}

/// A code of the same length that is another one, and another for each `by` from 1 to 9.
fn other(code: &str, by: u8) -> String {
    code.bytes().map(|digit| char::from(b'0' + (digit - b'0' + by) % 10)).collect()
}

async fn passes<S: Store>(step_up: &StepUp<S>, caller: &Caller) -> bool {
    step_up.check(caller, &Requirement::new()).await.is_ok()
}

/// Runs so many futures at the same time, all released together.
async fn together<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    tasks: usize,
    make: impl Fn(usize) -> F,
) -> Vec<T> {
    let barrier = Arc::new(tokio::sync::Barrier::new(tasks));
    let handles: Vec<_> = (0..tasks)
        .map(|i| {
            let (barrier, task) = (Arc::clone(&barrier), make(i));
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(tasks);
    for handle in handles {
        results.push(handle.await.unwrap());
    }
    results
}
