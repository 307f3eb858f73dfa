//! T37: what a store that is not this crate's sees, whatever it keeps of it.

use testkit::{Elsewhere, life::whole_life};
use tower_step_up::StepUp;

#[tokio::test]
async fn a_store_of_somebody_else_sees_only_keyed_digests() {
    let store = Elsewhere::default();
    whole_life(StepUp::builder().store(store.clone()), async |step, traces| {
        let seen = store.seen();
        assert!(!seen.is_empty(), "{step}");
        let found = traces.found_in(seen.iter().map(Vec::as_slice));
        assert!(found.is_empty(), "{step}: {found:?}");
    })
    .await;
}
