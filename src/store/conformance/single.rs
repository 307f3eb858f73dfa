//! Rules for one writer: inserts, updates, deletes and conflicts.

use super::{
    ROUNDS,
    probe::{HOUR, Probe, number_of},
    sample,
};
use crate::store::{Change, Revision, Store, Stored, Swapped, record::VERSION};

/// Number of records that exist at the same time.
const MANY: u64 = 5_000;

/// A record that was never written loads as `None`, not as an error.
pub async fn absent_loads_as_none<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    probe.holds(&probe.key("absent"), None, "what was never written loads as None").await;
}

/// An inserted record is loaded, with its revision.
pub async fn an_insert_is_loaded<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("inserted");
    let stored = probe.insert(&key, 7).await;
    probe.holds(&key, Some(&stored), "what was inserted is loaded, with its revision").await;
}

/// Records of sessions, users and recipients are loaded with all their content.
pub async fn records_are_kept_whole<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    for (name, record) in sample::records() {
        let key = probe.key(name);
        let stored = probe.record(HOUR, record);
        probe.done(&key, None, Some(&stored), "an insert where there is no record is done").await;
        probe.holds(&key, Some(&stored), "a record is loaded as it was written, in every part").await;
    }
}

/// [`Stored::decode`] reverses [`Stored::encode`], and refuses bytes that are cut, extended or of another version. A
/// store that keeps bytes relies on it. The test needs no store.
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

/// An insert over an existing record is a conflict and changes nothing.
pub async fn an_insert_over_a_record_conflicts<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("occupied");
    let stored = probe.insert(&key, 1).await;
    probe.conflict(&key, None, Some(&probe.number(2)), "an insert where there is a record is a conflict").await;
    probe.conflict(&key, None, None, "expecting no record where there is one is a conflict").await;
    probe.holds(&key, Some(&stored), "an insert that conflicts changes nothing").await;
}

/// A swap that is sent again after it was done is done and changes nothing: a client library does so after losing the
/// answer. After another write, it is a conflict.
pub async fn a_swap_sent_twice_is_done<S: Store + Clone>(store: S) {
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

/// A swap from any other revision than the record's is a conflict and changes nothing.
pub async fn a_wrong_revision_conflicts<S: Store + Clone>(store: S) {
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

/// If there is no record, any expected revision is a conflict: an update must not become an insert.
pub async fn an_absent_record_matches_no_revision<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let key = probe.key("absent");
    let wrong = probe.revision();
    probe.conflict(&key, Some(wrong), Some(&probe.number(1)), "an update of no record is a conflict").await;
    probe.conflict(&key, Some(wrong), None, "a delete of no record, expecting one, is a conflict").await;
    probe.holds(&key, None, "an update of no record writes none").await;
}

/// Updates replace one another; without other writers, each is done at the first attempt.
pub async fn an_update_replaces<S: Store + Clone>(store: S) {
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

/// A delete removes the record; deleting an absent record without an expected revision is done.
pub async fn a_delete_removes<S: Store + Clone>(store: S) {
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

/// A record that was deleted and created again does not match its old revision, even with equal content: otherwise a
/// consumed code could be consumed again.
pub async fn a_recreated_record_matches_no_old_revision<S: Store + Clone>(store: S) {
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

/// Operations on one key do not affect other keys.
pub async fn keys_are_independent<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let (left, right) = (probe.key("left"), probe.key("right"));
    let stays = probe.insert(&left, 1).await;
    probe.holds(&right, None, "a record is loaded under its own key only").await;
    let goes = probe.insert(&right, 2).await;
    probe.conflict(&right, Some(stays.revision()), None, "another key's revision does not match").await;
    probe.done(&right, Some(goes.revision()), None, "a delete from the record's revision is done").await;
    probe.holds(&left, Some(&stays), "a delete under another key changes nothing").await;
}

/// Records stay until they are deleted or expire: evicting one for room could lose a lock.
pub async fn nothing_is_evicted<S: Store + Clone>(store: S) {
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

/// Changes are made in order, up to the first conflict: the engine writes restrictions before grants.
pub async fn changes_are_made_in_their_order<S: Store + Clone>(store: S) {
    let probe = Probe::new(store);
    let keys = ["first", "second", "third"].map(|name| probe.key(name));
    let numbers = [1, 2, 3].map(|number| probe.number(number));
    let inserts = || keys.iter().zip(&numbers).map(|(key, next)| Change::new(*key, None, Some(next.clone())));
    let rule = "changes that are all as expected are all made";
    for _ in 0..2 {
        assert_eq!(probe.swap_all(&inserts().collect::<Vec<_>>()).await, Swapped::Done, "{rule}, sent twice as well");
        for (key, stored) in keys.iter().zip(&numbers) {
            probe.holds(key, Some(stored), rule).await;
        }
    }
    assert_eq!(probe.swap_all(&[]).await, Swapped::Done, "no change is done");
    let next = [4, 5, 6].map(|number| probe.number(number));
    let expected = [numbers[0].revision(), numbers[2].revision(), numbers[2].revision()];
    let changes: Vec<_> = (0..3).map(|i| Change::new(keys[i], Some(expected[i]), Some(next[i].clone()))).collect();
    let rule = "the first change that conflicts ends the swap, and is named";
    assert_eq!(probe.swap_all(&changes).await, Swapped::Conflict { at: 1 }, "{rule}");
    probe.holds(&keys[1], Some(&numbers[1]), "a change that conflicts writes nothing").await;
    probe.holds(&keys[2], Some(&numbers[2]), "no change after one that conflicts is made").await;
    let first = probe.load(&keys[0]).await.map(|stored| stored.revision());
    let either = [numbers[0].revision(), next[0].revision()].map(Some);
    assert!(either.contains(&first), "a change before one that conflicts is made, or none is");
}
