//! T37: what an external store sees.

use testkit::{FaultyStore, life::whole_life};
use tower_step_up::StepUp;

#[tokio::test]
async fn an_external_store_sees_only_keyed_digests() {
    crate::capture::enabled();
    let store = FaultyStore::default();
    whole_life(StepUp::builder().store(store.clone()), async |step, traces| {
        let seen = store.seen();
        assert!(!seen.is_empty(), "{step}");
        let found = traces.found_in(seen.iter().map(Vec::as_slice));
        assert!(found.is_empty(), "{step}: {found:?}");
    })
    .await;
}
