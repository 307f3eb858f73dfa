//! Retries of a compare-and-swap loop on a record that other operations change concurrently.

use std::time::Duration;

use super::Engine;
use crate::rules::Ids;

/// Retries on a shared store, where each costs two round trips and more load for every client (T40).
const MAX_RETRIES: u32 = 32;
/// Retries on an in-process store, where each costs about a microsecond and there are as many competitors as threads.
const MAX_RETRIES_IN_PROCESS: u32 = 256;
/// Retries without a wait: most conflicts are between two operations.
const IMMEDIATE: u32 = 3;
/// Upper bound of the first wait; it doubles …
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// … up to this. The sum of all waits stays below the default deadline of a single store operation.
const LONGEST_WAIT: Duration = Duration::from_millis(8);

/// The attempts of one compare-and-swap loop.
///
/// After the first few, retries on a shared store wait for a random time, so that they do not collide again (full
/// jitter, as in AWS's "Exponential Backoff And Jitter"); in process they yield to other tasks.
pub(super) struct Retries<'a> {
    ids: &'a Ids,
    shared: bool,
    attempts: u32,
}

impl Engine {
    pub(super) fn retries(&self) -> Retries<'_> {
        Retries { ids: &self.ids, shared: self.store.is_shared(), attempts: 0 }
    }
}

impl Retries<'_> {
    /// Whether to make another attempt; waits before the later ones.
    pub(super) async fn next(&mut self) -> bool {
        let retry = self.attempts;
        self.attempts += 1;
        match retry {
            0..=IMMEDIATE => true,
            _ if self.shared => {
                if retry <= MAX_RETRIES {
                    tokio::time::sleep(jittered(longest_wait(retry), self.ids.next_u64())).await;
                }
                retry <= MAX_RETRIES
            }
            _ => {
                tokio::task::yield_now().await;
                retry <= MAX_RETRIES_IN_PROCESS
            }
        }
    }
}

/// Upper bound of the wait before a retry.
fn longest_wait(retry: u32) -> Duration {
    let doublings = retry.saturating_sub(IMMEDIATE + 1);
    1_u32
        .checked_shl(doublings)
        .and_then(|factor| FIRST_WAIT.checked_mul(factor))
        .map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

/// A random wait from zero to `longest`.
fn jittered(longest: Duration, random: u64) -> Duration {
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % micros.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Policy;

    fn retries(ids: &Ids, shared: bool) -> Retries<'_> {
        Retries { ids, shared, attempts: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_few_and_only_on_a_shared_store_do_they_wait() {
        let ids = Ids::new([7; 16]);
        for (shared, most) in [(true, MAX_RETRIES + 1), (false, MAX_RETRIES_IN_PROCESS + 1)] {
            let (mut retries, mut attempts, start) = (retries(&ids, shared), 0, tokio::time::Instant::now());
            while retries.next().await {
                attempts += 1;
                assert!(attempts > IMMEDIATE + 1 || start.elapsed().is_zero(), "{attempts}");
            }
            assert_eq!(attempts, most);
            assert_eq!(start.elapsed().is_zero(), !shared);
        }
    }

    #[test]
    fn waits_grow_to_a_bound_and_their_sum_stays_below_the_stores_deadline() {
        let waits: Vec<_> = (IMMEDIATE + 1..=MAX_RETRIES).map(longest_wait).collect();
        assert_eq!(waits[..5].iter().map(Duration::as_millis).collect::<Vec<_>>(), [1, 2, 4, 8, 8]);
        // A timer rounds up to a millisecond.
        let sum: Duration = waits.iter().sum();
        assert!(sum + Duration::from_millis(1) < Policy::new().store_deadline, "{sum:?}");
        assert_eq!(longest_wait(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn a_wait_is_anything_from_nothing_to_all_of_it() {
        let longest = Duration::from_micros(3);
        let waits: Vec<_> = (0..5).map(|random| jittered(longest, random).as_micros()).collect();
        assert_eq!(waits, [0, 1, 2, 3, 0]);
    }
}
