//! A suite that any [`Store`] can be put through (feature `test-util`).
//!
//! Each function is one rule of the contract and panics where it is broken, saying which; [`all`] runs them
//! all, in some seconds. They race tasks against each other, so they need a multi-thread tokio runtime, and
//! room for 10,000 records. The keys are new in every run: the store may hold others, and is not cleaned up.
//!
//! # Example
//!
//! ```
//! use tower_step_up::store::{MemoryStore, conformance};
//!
//! #[tokio::main]
//! async fn main() {
//!     conformance::all(MemoryStore::new()).await;
//! }
//! ```

#![expect(clippy::missing_panics_doc, reason = "each panics where its rule is broken: see the module")]

use std::{
    collections::HashSet,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinHandle, yield_now},
    time::sleep,
};

use self::probe::{HOUR, Probe, joined, number_of};
use super::{Revision, Store, Stored, Swapped, record::VERSION};

mod probe;
mod sample;

/// Tasks that race each other.
const TASKS: usize = 8;

/// Races, or steps of each task in one.
const ROUNDS: u64 = 100;

/// Records that are written beside each other.
const MANY: u64 = 5_000;

/// Every rule.
pub async fn all<S: Store>(store: S) {
    let slow = [
        beside(&store, an_update_prolongs),
        beside(&store, updates_keep_a_short_lived_record),
        beside(&store, expiry_leaves_load_and_swap_agreed),
    ];
    absent_loads_as_none(store.clone()).await;
    an_insert_is_loaded(store.clone()).await;
    records_are_kept_whole(store.clone()).await;
    bytes_are_read_exactly_or_refused();
    an_insert_over_a_record_conflicts(store.clone()).await;
    a_swap_sent_twice_is_done(store.clone()).await;
    a_wrong_revision_conflicts(store.clone()).await;
    an_absent_record_matches_no_revision(store.clone()).await;
    an_update_replaces(store.clone()).await;
    a_delete_removes(store.clone()).await;
    a_recreated_record_matches_no_old_revision(store.clone()).await;
    keys_are_independent(store.clone()).await;
    nothing_is_evicted(store.clone()).await;
    a_load_sees_the_swap_before_it(store.clone()).await;
    loads_never_go_back(store.clone()).await;
    contended_updates_are_all_kept(store.clone()).await;
    one_swap_of_many_is_done(store.clone()).await;
    one_insert_of_many_is_done(store.clone()).await;
    inserts_and_deletes_take_turns(store.clone()).await;
    a_dropped_swap_is_whole(store).await;
    for rule in slow {
        joined(rule).await;
    }
}

fn beside<S: Store, F>(store: &S, rule: impl FnOnce(S) -> F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(rule(store.clone()))
}

/// What was never written is `None`, and not an error.
pub async fn absent_loads_as_none<S: Store>(store: S) {
    let probe = Probe::new(store);
    probe.holds(&probe.key("absent"), None, "what was never written loads as None").await;
}

/// An insert is there, with its revision.
pub async fn an_insert_is_loaded<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("inserted");
    let stored = probe.insert(&key, 7).await;
    probe.holds(&key, Some(&stored), "what was inserted is loaded, with its revision").await;
}

/// Everything that is in a record comes back, of a session's and of a user's.
pub async fn records_are_kept_whole<S: Store>(store: S) {
    let probe = Probe::new(store);
    for (name, record) in sample::records() {
        let key = probe.key(name);
        let stored = probe.record(HOUR, record);
        probe.done(&key, None, Some(&stored), "an insert where there is no record is done").await;
        probe.holds(&key, Some(&stored), "a record is loaded as it was written, in every part").await;
    }
}

/// [`Stored::decode`] gives what [`Stored::encode`] was given, and refuses what is cut, changed or of another
/// version. A store that keeps bytes relies on it; it needs none to be shown.
pub fn bytes_are_read_exactly_or_refused() {
    for (_, record) in sample::records() {
        let stored = Stored::new(Revision::new(u128::MAX - 7), HOUR, record);
        let bytes = stored.encode();
        let decoded = Stored::decode(&bytes).expect("what was encoded is decoded");
        assert_eq!(decoded.revision(), stored.revision(), "the revision survives the encoding");
        assert_eq!(decoded.record(), stored.record(), "the record survives the encoding");
        assert_eq!(Revision::of(&bytes).ok(), Some(stored.revision()), "the revision stands in front");
        for cut in 0..bytes.len() {
            assert!(Stored::decode(&bytes[..cut]).is_err(), "bytes that are cut at {cut} are refused");
        }
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            let mut other = bytes.clone();
            other[16] = version;
            assert!(Stored::decode(&other).is_err(), "version {version} is unknown and refused");
        }
        let longer = [&bytes[..], b"{}"].concat();
        assert!(Stored::decode(&longer).is_err(), "bytes that go on after the record are refused");
    }
}

/// An insert where there is a record is a conflict, and changes nothing.
pub async fn an_insert_over_a_record_conflicts<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("occupied");
    let stored = probe.insert(&key, 1).await;
    probe.conflict(&key, None, Some(&probe.number(2)), "an insert where there is a record is a conflict").await;
    probe.conflict(&key, None, None, "expecting no record where there is one is a conflict").await;
    probe.holds(&key, Some(&stored), "an insert that conflicts changes nothing").await;
}

/// A swap that is sent again after it was done is done, and changes nothing: a client library does so where the answer
/// was lost. Once somebody else has written, it is a conflict.
pub async fn a_swap_sent_twice_is_done<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("sent twice");
    let (first, second, third) = (probe.number(1), probe.number(2), probe.number(3));
    let rule = "a swap whose record is there already is done";
    for _ in 0..2 {
        probe.done(&key, None, Some(&first), rule).await;
        probe.holds(&key, Some(&first), rule).await;
    }
    for _ in 0..2 {
        probe.done(&key, Some(first.revision()), Some(&second), rule).await;
        probe.holds(&key, Some(&second), rule).await;
    }
    probe.done(&key, Some(second.revision()), Some(&third), rule).await;
    for (expected, late) in [(None, &first), (Some(first.revision()), &second)] {
        probe.conflict(&key, expected, Some(late), "a swap that comes after somebody else's is a conflict").await;
        probe.holds(&key, Some(&third), "a late swap writes nothing over a later one").await;
    }
}

/// A swap from any revision but the record's own is a conflict, and changes nothing.
pub async fn a_wrong_revision_conflicts<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("changed");
    let first = probe.insert(&key, 1).await;
    let second = probe.number(2);
    probe.done(&key, Some(first.revision()), Some(&second), "a swap from the record's revision is done").await;
    for wrong in [probe.revision(), first.revision()] {
        let next = probe.number(3);
        probe.conflict(&key, Some(wrong), Some(&next), "an update from another revision is a conflict").await;
        probe.conflict(&key, Some(wrong), None, "a delete from another revision is a conflict").await;
        probe.holds(&key, Some(&second), "a swap that conflicts changes nothing").await;
    }
}

/// Where there is no record, no revision is expected rightly: an update must not become an insert.
pub async fn an_absent_record_matches_no_revision<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("absent");
    let wrong = probe.revision();
    probe.conflict(&key, Some(wrong), Some(&probe.number(1)), "an update of no record is a conflict").await;
    probe.conflict(&key, Some(wrong), None, "a delete of no record, expecting one, is a conflict").await;
    probe.holds(&key, None, "an update of no record writes none").await;
}

/// Updates replace one another, each done at its first try where nobody else writes.
pub async fn an_update_replaces<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("updated");
    let mut current = probe.insert(&key, 0).await;
    for number in 1..=ROUNDS {
        let next = probe.number(number);
        let rule = "a swap from the record's revision is done where nobody else writes";
        probe.done(&key, Some(current.revision()), Some(&next), rule).await;
        probe.holds(&key, Some(&next), "an update replaces the record and its revision").await;
        current = next;
    }
}

/// A delete removes; deleting what is not there, and is not expected to be, is done.
pub async fn a_delete_removes<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("deleted");
    let stored = probe.insert(&key, 1).await;
    probe.done(&key, Some(stored.revision()), None, "a delete from the record's revision is done").await;
    probe.holds(&key, None, "what was deleted loads as None").await;
    probe.done(&key, None, None, "deleting what is not there is done").await;
    probe.conflict(&key, Some(stored.revision()), None, "a record cannot be deleted twice").await;
    let again = probe.insert(&key, 2).await;
    probe.holds(&key, Some(&again), "what was deleted can be inserted anew").await;
}

/// A record that was deleted and created anew is another one, though it be alike: else a code that was spent
/// could be spent again.
pub async fn a_recreated_record_matches_no_old_revision<S: Store>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("recreated");
    let mut old: Vec<Revision> = Vec::new();
    for _ in 0..5 {
        let stored = probe.insert(&key, 1).await;
        for &revision in &old {
            let rule = "a record created anew does not match the revision of the deleted one";
            probe.conflict(&key, Some(revision), Some(&probe.number(2)), rule).await;
            probe.conflict(&key, Some(revision), None, rule).await;
        }
        probe.holds(&key, Some(&stored), "a swap that conflicts changes nothing").await;
        old.push(stored.revision());
        probe.done(&key, Some(stored.revision()), None, "a delete from the record's revision is done").await;
    }
}

/// What happens under one key happens under no other.
pub async fn keys_are_independent<S: Store>(store: S) {
    let probe = Probe::new(store);
    let (left, right) = (probe.key("left"), probe.key("right"));
    let stays = probe.insert(&left, 1).await;
    probe.holds(&right, None, "a record is loaded under its own key only").await;
    let goes = probe.insert(&right, 2).await;
    probe.conflict(&right, Some(stays.revision()), None, "another key's revision does not match").await;
    probe.done(&right, Some(goes.revision()), None, "a delete from the record's revision is done").await;
    probe.holds(&left, Some(&stays), "a delete under another key changes nothing").await;
}

/// Records stay until they are deleted or expire: to evict one for room forgets a lock.
pub async fn nothing_is_evicted<S: Store>(store: S) {
    let probe = Probe::new(store);
    for number in 0..MANY {
        probe.insert(&probe.key(&number.to_string()), number).await;
    }
    for number in 0..MANY {
        let loaded = probe.load(&probe.key(&number.to_string())).await;
        let rule = "no record is evicted before it expires";
        assert_eq!(loaded.as_ref().map(number_of), Some(number), "{rule}: number {number} of {MANY}");
    }
}

/// A load that begins after a swap was answered sees it, in whatever task.
pub async fn a_load_sees_the_swap_before_it<S: Store>(store: S) {
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

/// While one task writes, the others' loads see no less than what had been answered when they began.
pub async fn loads_never_go_back<S: Store>(store: S) {
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

/// Tells the watchers to go home, also where the writer panics.
struct Ended(Arc<AtomicU64>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(u64::MAX, Ordering::SeqCst);
    }
}

/// Of updates that race each other none is lost: a lost one is a wrong code that was not counted.
pub async fn contended_updates_are_all_kept<S: Store>(store: S) {
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

/// Of swaps from one revision, a delete among them, one is done: a code is spent once.
pub async fn one_swap_of_many_is_done<S: Store>(store: S) {
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

/// Of inserts under one key one is done.
pub async fn one_insert_of_many_is_done<S: Store>(store: S) {
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

/// Inserts and deletes that race each other take turns: nothing is deleted twice, and nothing comes back.
pub async fn inserts_and_deletes_take_turns<S: Store>(store: S) {
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

/// What the one swap wrote that was done.
fn winner(swaps: Vec<(Swapped, Option<Stored>)>, rule: &str) -> Option<Stored> {
    let mut done: Vec<_> = swaps.into_iter().filter(|(swapped, _)| *swapped == Swapped::Done).collect();
    assert_eq!(done.len(), 1, "{rule}, and the others conflict");
    done.pop().and_then(|(_, written)| written)
}

/// A swap whose caller went away has happened or has not, and locks nobody out.
pub async fn a_dropped_swap_is_whole<S: Store>(store: S) {
    let probe = Probe::new(store);
    for round in 0..ROUNDS {
        let key = probe.key(&format!("dropped in round {round}"));
        let before = probe.insert(&key, 10).await;
        probe.begin(1 + round % 4, &key, Some(before.revision()), probe.number(20)).await;
        // It may still be on its way and come before this one, but then this one sees it.
        let sum = probe.increment(&key).await;
        assert!(sum == 11 || sum == 21, "a swap that was dropped has happened or has not");
        assert_eq!(probe.count(&key).await, sum, "a swap that was dropped writes nothing over a later one");
    }
}

/// An update with a longer life gives the record that life, not what was left of the earlier one.
pub async fn an_update_prolongs<S: Store>(store: S) {
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

/// A record that is updated again and again outlives the life that each update gave it.
pub async fn updates_keep_a_short_lived_record<S: Store>(store: S) {
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

/// Around its expiry a record is there or is not, for loads and swaps alike: a store that loads what it will
/// not swap sends its callers round in circles.
pub async fn expiry_leaves_load_and_swap_agreed<S: Store>(store: S) {
    let ttl = Duration::from_millis(20);
    let probe = Probe::new(store);
    let key = probe.key("expiring");
    let mut in_a_row = 0;
    for number in 0..ROUNDS / 2 {
        let current = probe.load(&key).await;
        let expected = current.as_ref().map(Stored::revision);
        // One conflict is fair: it may expire between the load and the swap.
        in_a_row = match probe.swap(&key, expected, Some(&probe.kept_for(ttl, number))).await {
            Swapped::Done => 0,
            Swapped::Conflict | Swapped::Full => in_a_row + 1,
        };
        assert!(in_a_row < 4, "what is loaded is what a swap compares, also around its expiry");
        if in_a_row == 0 {
            sleep(ttl * 2).await;
            stir(&probe).await;
        }
    }
}

/// Gives a store that cleans up while it is used an occasion to do so.
async fn stir<S: Store>(probe: &Probe<S>) {
    probe.increment(&probe.key("stirred")).await;
    sleep(Duration::from_millis(20)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_exact() {
        bytes_are_read_exactly_or_refused();
    }

    #[test]
    #[should_panic(expected = "multi-thread")]
    fn a_runtime_that_cannot_race_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(absent_loads_as_none(super::super::MemoryStore::new()));
    }
}
