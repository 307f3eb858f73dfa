//! How often an operation is tried again where others change the same record at the same time.

use std::time::Duration;

use super::Engine;
use crate::rules::Ids;

/// Retries on a store outside the process, where each costs two round trips and more load for everybody (T40).
const MAX_RETRIES: u32 = 32;
/// Retries in process, where each costs about a microsecond and the others are as many as there are threads.
const MAX_RETRIES_IN_PROCESS: u32 = 256;
/// Retries that wait for nothing: most conflicts are between two.
const IMMEDIATE: u32 = 3;
/// The longest the first wait can be, which doubles …
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// … up to this. All of them together stay below the default deadline of a single store operation.
const LONGEST_WAIT: Duration = Duration::from_millis(8);

/// The attempts of one compare-and-swap loop.
///
/// After the first few, those that conflict wait for a random time, so that they do not meet again (full jitter, as in
/// AWS's "Exponential Backoff And Jitter"); in process they let other tasks run.
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
    /// Whether there is another attempt; before a late one, waits.
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

/// The longest that is waited before a retry.
fn longest_wait(retry: u32) -> Duration {
    let doublings = retry.saturating_sub(IMMEDIATE + 1);
    1_u32
        .checked_shl(doublings)
        .and_then(|factor| FIRST_WAIT.checked_mul(factor))
        .map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

/// A part of the wait: anything from nothing to all of it.
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
        // A timer's millisecond is rounded up.
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
