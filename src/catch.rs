//! Catches panics in the application's code.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

/// The result of a call; `None` if it panics.
///
/// The payload of the panic is leaked, since dropping it runs the application's code again, which may panic again.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    // A panic can only affect the application's own state.
    catch_unwind(AssertUnwindSafe(call)).map_err(mem::forget).ok()
}

/// As [`catch`], for a future.
pub(crate) async fn catch_async<F: Future>(future: F) -> Option<F::Output> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(mem::forget).ok()
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

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
}
