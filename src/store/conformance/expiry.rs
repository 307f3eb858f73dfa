//! Rules around the expiry of a record.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{ROUNDS, probe::Probe};
use crate::store::{Store, Stored, Swapped};

/// An update with a longer lifetime gives the record that lifetime, not what was left of the earlier one.
pub async fn an_update_prolongs<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let (key, written) = (probe.key("prolonged"), Instant::now());
    let short = probe.kept_for(Duration::from_secs(1), 1);
    probe.done(&key, None, Some(&short), "an insert where there is no record is done").await;
    let long = probe.number(2);
    let updated = probe.swap(&key, Some(short.revision()), Some(&long)).await;
    if written.elapsed() >= short.ttl() {
        return; // Too slow to tell: the first may rightly be gone.
    }
    assert_eq!(updated, Swapped::Done, "a swap from the record's revision is done");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        probe.holds(&key, Some(&long), "an update with a longer life prolongs the record's").await;
        stir(&probe).await;
    }
}

/// Each update starts a new lifetime: a record that is updated repeatedly stays beyond its first one.
pub async fn updates_keep_a_short_lived_record<S: Store + Clone>(store: S) {
    let ttl = Duration::from_secs(2);
    let probe = Probe::new(store);
    let key = probe.key("kept alive");
    let mut written = Instant::now();
    let mut current = probe.kept_for(ttl, 0);
    probe.done(&key, None, Some(&current), "an insert where there is no record is done").await;
    for number in 1..=8 {
        let until = Instant::now() + ttl / 4;
        while Instant::now() < until {
            stir(&probe).await;
        }
        let (before, next) = (written, probe.kept_for(ttl, number));
        written = Instant::now();
        let updated = probe.swap(&key, Some(current.revision()), Some(&next)).await;
        if before.elapsed() >= ttl {
            return; // Too slow to tell: it may rightly be gone.
        }
        assert_eq!(updated, Swapped::Done, "a record is kept for the life that its last update gave it");
        current = next;
    }
}

/// Around its expiry, loads and swaps agree on whether a record exists: otherwise callers that load and swap would
/// conflict in a loop.
pub async fn expiry_leaves_load_and_swap_agreed<S: Store + Clone>(store: S) {
    let ttl = Duration::from_millis(20);
    let probe = Probe::new(store);
    let key = probe.key("expiring");
    let mut in_a_row = 0;
    for number in 0..ROUNDS / 2 {
        let current = probe.load(&key).await;
        let expected = current.as_ref().map(Stored::revision);
        // One conflict is allowed: the record may expire between the load and the swap.
        in_a_row = match probe.swap(&key, expected, Some(&probe.kept_for(ttl, number))).await {
            Swapped::Done => 0,
            Swapped::Conflict { .. } | Swapped::Full { .. } => in_a_row + 1,
        };
        assert!(in_a_row < 4, "what is loaded is what a swap compares, also around its expiry");
        if in_a_row == 0 {
            sleep(ttl * 2).await;
            stir(&probe).await;
        }
    }
}

/// Uses the store, so that one which cleans up on use does so.
async fn stir<S: Store + Clone>(probe: &Probe<S>) {
    probe.increment(&probe.key("stirred")).await;
    sleep(Duration::from_millis(20)).await;
}
