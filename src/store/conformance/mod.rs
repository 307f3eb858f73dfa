//! A conformance test suite for any [`Store`] (feature `test-util`).
//!
//! Each function tests one rule of the contract and panics with the rule if it is violated; [`all`] runs all of them,
//! in some seconds. They race tasks against each other, so they need a multi-thread tokio runtime, and room for 10,000
//! records. The keys are new in every run: the store may hold other records, and is not cleaned up.
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

use std::future::Future;

use tokio::task::JoinHandle;

use self::probe::joined;
use super::Store;

mod expiry;
mod probe;
mod races;
mod sample;
mod single;
mod whole;

pub use self::{
    expiry::{an_update_prolongs, expiry_leaves_load_and_swap_agreed, updates_keep_a_short_lived_record},
    races::{
        a_dropped_swap_is_whole, a_load_sees_the_swap_before_it, contended_updates_are_all_kept,
        inserts_and_deletes_take_turns, loads_never_go_back, one_insert_of_many_is_done, one_swap_of_many_is_done,
    },
    single::{
        a_delete_removes, a_recreated_record_matches_no_old_revision, a_swap_sent_twice_is_done,
        a_wrong_revision_conflicts, absent_loads_as_none, an_absent_record_matches_no_revision, an_insert_is_loaded,
        an_insert_over_a_record_conflicts, an_update_replaces, bytes_are_read_exactly_or_refused,
        changes_are_made_in_their_order, keys_are_independent, nothing_is_evicted, records_are_kept_whole,
    },
    whole::{a_swap_of_a_group_is_whole, swaps_of_a_group_race_as_wholes},
};

/// Number of races, or of steps of each task in a race.
const ROUNDS: u64 = 100;

/// Every rule.
pub async fn all<S: Store + Clone>(store: S) {
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
    changes_are_made_in_their_order(store.clone()).await;
    a_swap_of_a_group_is_whole(store.clone()).await;
    nothing_is_evicted(store.clone()).await;
    a_load_sees_the_swap_before_it(store.clone()).await;
    loads_never_go_back(store.clone()).await;
    contended_updates_are_all_kept(store.clone()).await;
    one_swap_of_many_is_done(store.clone()).await;
    one_insert_of_many_is_done(store.clone()).await;
    inserts_and_deletes_take_turns(store.clone()).await;
    swaps_of_a_group_race_as_wholes(store.clone()).await;
    a_dropped_swap_is_whole(store).await;
    for rule in slow {
        joined(rule).await;
    }
}

fn beside<S: Store + Clone, F>(store: &S, rule: impl FnOnce(S) -> F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(rule(store.clone()))
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
