//! Work that is completed even if the request that began it is dropped.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{runtime::Handle, sync::watch};

use crate::timeout::BoxFuture;

/// The number of futures that continue without their request.
#[derive(Clone, Debug, Default)]
pub(super) struct Unfinished(watch::Sender<usize>);

impl Unfinished {
    /// Wraps a future that its caller polls, and that a spawned task completes if the caller drops it.
    pub(super) fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> {
        #[cfg(feature = "tracing")]
        let work = tracing::Instrument::in_current_span(work);
        ToTheEnd {
            work: Some(Box::pin(work)),
            begun: false,
            polled: false,
            runtime: Handle::try_current().ok(),
            unfinished: self.clone(),
        }
    }

    /// Waits until no such task is running.
    pub(super) async fn drained(&self) {
        // `self` keeps the sender alive during this call, so the wait ends only with the count.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// A future counted while a task completes it.
struct Counted(Unfinished);

impl Counted {
    fn new(unfinished: Unfinished) -> Self {
        unfinished.0.send_modify(|count| *count += 1);
        Self(unfinished)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

struct ToTheEnd<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    /// A future that was never polled has had no effect, and is not completed.
    begun: bool,
    /// `true` during a poll: if it is dropped then, the future itself has panicked.
    polled: bool,
    /// `None` outside of a runtime: if dropped there, the work is abandoned.
    runtime: Option<Handle>,
    unfinished: Unfinished,
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        (self.begun, self.polled) = (true, true);
        let Some(work) = &mut self.work else { return Poll::Pending }; // polled after completion
        let polled = work.as_mut().poll(cx);
        self.polled = false;
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.begun && !self.polled) else { return };
        if let Some(runtime) = &self.runtime {
            let counted = Counted::new(self.unfinished.clone());
            runtime.spawn(async move {
                let _counted = counted;
                drop(work.await);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::Waker,
    };

    use super::*;

    #[tokio::test]
    async fn what_was_begun_ends_without_its_caller_and_what_was_not_does_nothing() {
        for polls in [0, 1, 2] {
            let (unfinished, ended) = (Unfinished::default(), Arc::new(AtomicBool::new(false)));
            let end = Arc::clone(&ended);
            let mut work = Box::pin(unfinished.to_the_end(async move {
                tokio::task::yield_now().await;
                end.store(true, Ordering::SeqCst);
            }));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                let _ = work.as_mut().poll(&mut cx);
            }
            drop(work);
            unfinished.drained().await;
            assert_eq!(ended.load(Ordering::SeqCst), polls > 0, "{polls}");
        }
    }

    #[tokio::test]
    async fn a_panic_beside_it_ends_it_not_and_its_own_does() {
        let (unfinished, ended) = (Unfinished::default(), Arc::new(AtomicBool::new(false)));
        let (end, owed) = (Arc::clone(&ended), unfinished.clone());
        let beside = async move {
            let work = owed.to_the_end(async move {
                tokio::task::yield_now().await;
                end.store(true, Ordering::SeqCst);
            });
            let panics = async { panic!("somebody else's") };
            futures_util::future::join(work, panics).await;
        };
        tokio::spawn(beside).await.unwrap_err();
        unfinished.drained().await;
        assert!(ended.load(Ordering::SeqCst));

        let owed = unfinished.clone();
        tokio::spawn(async move { owed.to_the_end(async { panic!("its own") }).await }).await.unwrap_err();
        unfinished.drained().await;
    }
}
