//! Rules for concurrent writers: no update is lost, and none is applied twice.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::task::yield_now;

use super::{ROUNDS, probe::Probe};
use crate::store::{Revision, Store, Stored, Swapped};

/// Tasks that race each other.
const TASKS: usize = 8;

/// A load that begins after a swap was answered sees it, in any task.
pub async fn a_load_sees_the_swap_before_it<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("seen");
    let mut current: Option<Stored> = None;
    for number in 1..=ROUNDS {
        // Every tenth round deletes: that must be seen as well.
        let next = (!number.is_multiple_of(10)).then(|| probe.number(number));
        let expected = current.as_ref().map(Stored::revision);
        probe.done(&key, expected, next.as_ref(), "a swap from the record's revision is done").await;
        let see = |probe: Probe<S>, _| {
            let next = next.clone();
            async move { probe.holds(&key, next.as_ref(), "a load sees the swap that was answered before it").await }
        };
        probe.race(2, see).await;
        current = next;
    }
}

/// While one task writes, loads of other tasks see every swap that was answered before they began.
pub async fn loads_never_go_back<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("rising");
    let written = Arc::new(AtomicU64::new(0));
    let watch = |probe: Probe<S>, i: usize| {
        let written = Arc::clone(&written);
        async move {
            if i == 2 {
                let written = Ended(written);
                for _ in 0..10 * ROUNDS {
                    written.0.store(probe.increment(&key).await, Ordering::SeqCst);
                }
                return;
            }
            let mut seen = 0;
            loop {
                let answered = written.load(Ordering::SeqCst);
                if answered == u64::MAX {
                    return;
                }
                let count = probe.count(&key).await;
                assert!(count >= answered, "a load sees every swap that was answered before it");
                assert!(count >= seen, "a load sees no less than the one before it");
                seen = count;
                yield_now().await;
            }
        }
    };
    probe.race(3, watch).await;
}

/// No concurrent update is lost: a lost one could be a wrong code that was not counted.
pub async fn contended_updates_are_all_kept<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("counted");
    let count = |probe: Probe<S>, _| async move {
        for _ in 0..ROUNDS {
            probe.increment(&key).await;
        }
    };
    probe.race(TASKS, count).await;
    let expected = TASKS as u64 * ROUNDS;
    assert_eq!(probe.count(&key).await, expected, "every update that was answered as done is kept");
}

/// Exactly one of several swaps from one revision is done, also with a delete among them: a code is consumed once.
pub async fn one_swap_of_many_is_done<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    for round in 0..ROUNDS {
        let key = probe.key(&format!("swapped in round {round}"));
        let expected = Some(probe.insert(&key, 0).await.revision());
        let spend = |probe: Probe<S>, i: usize| async move {
            let next = (i > 0).then(|| probe.number(i as u64));
            (probe.swap(&key, expected, next.as_ref()).await, next)
        };
        let won = winner(probe.race(TASKS, spend).await, "of many swaps from one revision one is done");
        probe.holds(&key, won.as_ref(), "the swap that was done is the one that is there").await;
    }
}

/// Exactly one of several inserts under one key is done.
pub async fn one_insert_of_many_is_done<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    for round in 0..ROUNDS {
        let key = probe.key(&format!("inserted in round {round}"));
        let insert = |probe: Probe<S>, i: usize| async move {
            let next = probe.number(i as u64);
            (probe.swap(&key, None, Some(&next)).await, Some(next))
        };
        let won = winner(probe.race(TASKS, insert).await, "of many inserts under one key one is done");
        probe.holds(&key, won.as_ref(), "the insert that was done is the one that is there").await;
    }
}

/// Concurrent inserts and deletes alternate: no record is deleted twice, and none reappears.
pub async fn inserts_and_deletes_take_turns<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("on and off");
    let turns = |probe: Probe<S>, _| async move {
        let mut turns = Vec::new();
        for _ in 0..5 * ROUNDS {
            let current = probe.load(&key).await.as_ref().map(Stored::revision);
            let next = current.is_none().then(|| probe.number(0));
            if probe.swap(&key, current, next.as_ref()).await == Swapped::Done {
                turns.push((current, next.as_ref().map(Stored::revision)));
            }
        }
        turns
    };
    let turns = probe.race(TASKS, turns).await.concat();
    let mut there: HashSet<Revision> = turns.iter().filter_map(|(_, inserted)| *inserted).collect();
    for deleted in turns.iter().filter_map(|(deleted, _)| *deleted) {
        assert!(there.remove(&deleted), "a record is deleted once");
    }
    let left = probe.load(&key).await.as_ref().map(Stored::revision);
    assert_eq!(there.into_iter().collect::<Vec<_>>(), Vec::from_iter(left), "what was not deleted is there");
}

/// A swap whose future is dropped has happened completely or not at all, and does not block other callers.
pub async fn a_dropped_swap_is_whole<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    for round in 0..ROUNDS {
        let key = probe.key(&format!("dropped in round {round}"));
        let before = probe.insert(&key, 10).await;
        probe.begin(1 + round % 4, &key, Some(before.revision()), probe.number(20)).await;
        // The dropped swap may still be applied before this one; then this one sees it.
        let sum = probe.increment(&key).await;
        assert!(sum == 11 || sum == 21, "a swap that was dropped has happened or has not");
        assert_eq!(probe.count(&key).await, sum, "a swap that was dropped writes nothing over a later one");
    }
}

/// Ends the watchers when the writer ends or panics.
struct Ended(Arc<AtomicU64>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(u64::MAX, Ordering::SeqCst);
    }
}

/// The record written by the one swap that was done.
fn winner(swaps: Vec<(Swapped, Option<Stored>)>, rule: &str) -> Option<Stored> {
    let mut done: Vec<_> = swaps.into_iter().filter(|(swapped, _)| *swapped == Swapped::Done).collect();
    assert_eq!(done.len(), 1, "{rule}, and the others conflict");
    done.pop().and_then(|(_, written)| written)
}
