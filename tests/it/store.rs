//! The store contract: correct stores pass the conformance suite, and each mistake is caught by its rule.

use std::future::Future;

use testkit::FaultyStore;
use tower_step_up::{MemoryStore, store::conformance};

use super::broken_stores::{Cached, Fault, FaultyMap, Slip};

/// The maximum number of runs of a race until it fails on a broken store.
const RACES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_store_keeps_the_contract() {
    conformance::all(MemoryStore::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_store_keeps_it_in_race_after_race() {
    let store = MemoryStore::new();
    for _ in 0..5 {
        conformance::a_load_sees_the_swap_before_it(store.clone()).await;
        conformance::loads_never_go_back(store.clone()).await;
        conformance::contended_updates_are_all_kept(store.clone()).await;
        conformance::one_swap_of_many_is_done(store.clone()).await;
        conformance::one_insert_of_many_is_done(store.clone()).await;
        conformance::inserts_and_deletes_take_turns(store.clone()).await;
    }
}

/// A map of bytes behind a mutex, like the module's example.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_remote_store_keeps_the_contract() {
    conformance::all(faulty_map(Fault::None)).await;
}

/// It makes all changes of a swap or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_atomic_store_keeps_the_contract() {
    conformance::all(FaultyStore::atomic()).await;
}

/// The memory store without its index.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn moka_alone_keeps_the_contract() {
    conformance::all(Cached::new(Slip::None)).await;
}

/// Each broken store, and the rule that catches it. A race may pass by chance, so it is run several times.
macro_rules! broken {
    ($($name:ident: $store:expr => $rule:ident, $says:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            for _ in 0..RACES {
                if let Some(said) = panic_of(conformance::$rule($store)).await {
                    assert!(said.contains($says), "{said}");
                    return;
                }
            }
            panic!("{} does not catch it", stringify!($rule));
        }
    )*};
}

broken! {
    checking_then_writing_loses_updates: faulty_map(Fault::ChecksThenWrites) =>
        contended_updates_are_all_kept, "every update that was answered as done is kept";
    checking_then_writing_spends_a_code_twice: faulty_map(Fault::ChecksThenWrites) =>
        one_swap_of_many_is_done, "of many swaps from one revision one is done";
    comparing_version_numbers_takes_a_new_record_for_the_old: faulty_map(Fault::CountsVersions) =>
        a_recreated_record_matches_no_old_revision, "does not match the revision of the deleted one";
    ignoring_revisions_writes_over_changes: faulty_map(Fault::IgnoresRevisions) =>
        a_wrong_revision_conflicts, "an update from another revision is a conflict";
    inserting_blindly_writes_over_records: faulty_map(Fault::InsertsOver) =>
        an_insert_over_a_record_conflicts, "an insert where there is a record is a conflict";
    inserting_blindly_lets_many_insert: faulty_map(Fault::InsertsOver) =>
        one_insert_of_many_is_done, "of many inserts under one key one is done";
    updating_nothing_brings_back_what_was_deleted: faulty_map(Fault::UpdatesNothing) =>
        an_absent_record_matches_no_revision, "an update of no record is a conflict";
    caching_loads_shows_the_past: faulty_map(Fault::CachesLoads) =>
        loads_never_go_back, "a load sees";
    losing_updates_is_noticed: faulty_map(Fault::LosesUpdates) =>
        contended_updates_are_all_kept, "every update that was answered as done is kept";
    losing_updates_is_noticed_where_nobody_else_writes: faulty_map(Fault::LosesUpdates) =>
        an_update_replaces, "an update replaces the record and its revision";
    losing_inserts_is_noticed: faulty_map(Fault::InsertsNothing) =>
        an_insert_is_loaded, "what was inserted is loaded";
    deleting_nothing_is_noticed: faulty_map(Fault::DeletesNothing) =>
        a_delete_removes, "what was deleted loads as None";
    writing_later_is_noticed: faulty_map(Fault::WritesLater) =>
        a_load_sees_the_swap_before_it, "a load sees the swap that was answered before it";
    keeping_all_under_one_key_is_noticed: faulty_map(Fault::MixesKeys) =>
        keys_are_independent, "a record is loaded under its own key only";
    claiming_to_be_atomic_is_noticed: faulty_map(Fault::ClaimsToBeAtomic) =>
        a_swap_of_a_group_is_whole, "no change of a swap that conflicts is made";
    claiming_to_be_atomic_is_noticed_in_a_race: faulty_map(Fault::ClaimsToBeAtomic) =>
        swaps_of_a_group_race_as_wholes, "have both seen every swap that was done";
    taking_its_own_write_for_a_conflict_is_noticed: faulty_map(Fault::ConflictsWithItself) =>
        a_swap_sent_twice_is_done, "a swap whose record is there already is done";
    the_suite_runs_its_rules: faulty_map(Fault::InsertsNothing) =>
        all, "what was inserted is loaded";
    keeping_the_lock_of_a_dropped_swap_locks_out: faulty_map(Fault::KeepsLocks) =>
        a_dropped_swap_is_whole, "a swap is done sooner or later";
    taking_failures_for_absence_is_noticed: faulty_map(Fault::ForgetsLarge) =>
        records_are_kept_whole, "a record is loaded as it was written";
    keeping_the_first_expiry_forgets: Cached::new(Slip::KeepsExpiry) =>
        an_update_prolongs, "an update with a longer life prolongs";
    keeping_the_first_expiry_forgets_what_is_kept_alive: Cached::new(Slip::KeepsExpiry) =>
        updates_keep_a_short_lived_record, "a record is kept for the life that its last update gave it";
    evicting_for_room_forgets: Cached::new(Slip::Evicts) =>
        nothing_is_evicted, "no record is evicted before it expires";
    comparing_moka_and_reading_the_index_goes_in_circles: Cached::new(Slip::PartsFromIndex) =>
        expiry_leaves_load_and_swap_agreed, "what is loaded is what a swap compares";
    deleting_beside_the_compute_deletes_twice: Cached::new(Slip::DeletesBeside) =>
        inserts_and_deletes_take_turns, "deleted";
}

fn faulty_map(fault: Fault) -> FaultyMap {
    FaultyMap::new(fault)
}

/// The panic message of a rule; `None` if it holds.
async fn panic_of(rule: impl Future<Output = ()> + Send + 'static) -> Option<String> {
    let panic = tokio::spawn(rule).await.err()?.into_panic();
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref().cloned())
}
