//! Rules for a store that makes all changes of a swap or none.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::task::yield_now;

use super::{
    ROUNDS,
    probe::{Probe, number_of},
};
use crate::store::{Change, Key, Store, Stored, Swapped};

/// Tasks that race each other.
const TASKS: usize = 8;

/// A store that [is atomic](Store::is_atomic) makes no change of a swap that conflicts, whichever change it is, and a
/// swap that is sent again is done as a whole. Another store passes.
pub async fn a_swap_of_a_group_is_whole<S: Store + Clone>(store: S) {
    if !store.is_atomic() {
        return;
    }
    let probe = Probe::new(store);
    let keys = group(&probe, "whole");
    let inserted = [1, 2].map(|number| probe.number(number));
    let both = |expected: [Option<&Stored>; 2], next: &[Stored; 2]| {
        [0, 1].map(|i| Change::new(keys[i], expected[i].map(Stored::revision), Some(next[i].clone())))
    };
    for conflicting in [0, 1] {
        let other = probe.number(9);
        let mut expected = [None, None];
        expected[conflicting] = Some(&other);
        let swapped = probe.swap_all(&both(expected, &inserted)).await;
        assert_eq!(swapped, Swapped::Conflict { at: conflicting }, "the change that conflicts is named");
        for key in &keys {
            probe.holds(key, None, "no change of a swap that conflicts is made").await;
        }
    }
    for _ in 0..2 {
        assert_eq!(
            probe.swap_all(&both([None, None], &inserted)).await,
            Swapped::Done,
            "it is done, sent twice as well"
        );
        holds(&probe, &keys, &inserted).await;
    }

    let [first, second] = &inserted;
    let updated = [3, 4].map(|number| probe.number(number));
    for (conflicting, expected) in [(0, [second, second]), (1, [first, first])] {
        let swapped = probe.swap_all(&both(expected.map(Some), &updated)).await;
        assert_eq!(swapped, Swapped::Conflict { at: conflicting }, "the change that conflicts is named");
        holds(&probe, &keys, &inserted).await;
    }
    assert_eq!(probe.swap_all(&both([Some(first), Some(second)], &updated)).await, Swapped::Done, "it is done");
    let later = probe.number(5);
    probe.done(&keys[1], Some(updated[1].revision()), Some(&later), "a swap from the record's revision is done").await;
    let again = probe.swap_all(&both([Some(first), Some(second)], &updated)).await;
    assert_eq!(again, Swapped::Conflict { at: 1 }, "a swap sent again after somebody else's is a conflict");
    let [updated, _] = updated;
    holds(&probe, &keys, &[updated.clone(), later.clone()]).await;

    let changes = [(&keys[0], &updated), (&keys[1], &inserted[1])]
        .map(|(key, expected)| Change::new(*key, Some(expected.revision()), None));
    assert_eq!(probe.swap_all(&changes).await, Swapped::Conflict { at: 1 }, "a delete conflicts like an update");
    holds(&probe, &keys, &[updated, later]).await;
}

/// In a store that [is atomic](Store::is_atomic), two records that are only ever changed together never differ, however
/// many tasks change them. Another store passes.
pub async fn swaps_of_a_group_race_as_wholes<S: Store + Clone>(store: S) {
    if !store.is_atomic() {
        return;
    }
    let probe = Probe::new(store);
    let keys = group(&probe, "together");
    let done = Arc::new(AtomicU64::new(0));
    let change = |probe: Probe<S>, _| {
        let done = Arc::clone(&done);
        async move {
            for _ in 0..ROUNDS {
                let current = [probe.load(&keys[0]).await, probe.load(&keys[1]).await];
                yield_now().await;
                let changes = [0, 1].map(|i| {
                    let number = current[i].as_ref().map_or(0, number_of);
                    Change::new(keys[i], current[i].as_ref().map(Stored::revision), Some(probe.number(number + 1)))
                });
                if probe.swap_all(&changes).await == Swapped::Done {
                    done.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    };
    probe.race(TASKS, change).await;
    for key in &keys {
        let rule = "records that are only changed together have both seen every swap that was done, and no other";
        assert_eq!(probe.count(key).await, done.load(Ordering::SeqCst), "{rule}");
    }
}

/// Two keys of one group.
fn group<S: Store + Clone>(probe: &Probe<S>, name: &str) -> [Key; 2] {
    ["user", "session"].map(|record| probe.key(&format!("{name} {record}")).in_group([7, 7]))
}

async fn holds<S: Store + Clone>(probe: &Probe<S>, keys: &[Key; 2], stored: &[Stored; 2]) {
    for (key, stored) in keys.iter().zip(stored) {
        probe.holds(key, Some(stored), "all changes of a swap are made, or none").await;
    }
}
