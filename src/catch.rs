//! Catches panics in the application's code.

use std::{
    any::Any,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

/// The result of a call; `None` if it panics.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    // A panic can only affect the application's own state.
    catch_unwind(AssertUnwindSafe(call)).map_err(discard).ok()
}

/// As [`catch`], for a future.
pub(crate) async fn catch_async<F: Future>(future: F) -> Option<F::Output> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(discard).ok()
}

/// Drops the payload of a panic. That may run the application's code again, which may panic again: only what that panic
/// carries is leaked, since every request could bring one about (T18).
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::panic_any, sync::Arc};

    use super::*;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in the drop of a payload");
        }
    }

    #[tokio::test]
    async fn a_payload_that_panics_in_its_drop_is_caught_too() {
        assert_eq!((catch(|| 1), catch_async(async { 2 }).await), (Some(1), Some(2)));
        assert_eq!(catch(|| -> i32 { panic_any(PanicsInDrop) }), None);
        assert_eq!(catch_async(async { panic_any(PanicsInDrop) }).await, None::<()>);
    }

    #[tokio::test]
    async fn a_payload_is_freed() {
        let held = Arc::new(());
        let payload = Arc::clone(&held);
        assert_eq!(catch(move || -> () { panic_any(payload) }), None);
        let payload = Arc::clone(&held);
        assert_eq!(catch_async(async move { panic_any(payload) }).await, None::<()>);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
