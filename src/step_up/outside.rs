//! Calls to what is not ours: a deadline for each, and a net for what panics.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::store::{Lookup, Store, StoreError, Stored};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A time limit that costs nothing until something is awaited: what is at hand needs no timer and no runtime.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    /// The future's output, or `None` past the deadline, which counts from the first poll.
    pub(crate) fn poll<F: Future>(&mut self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        timer.as_mut().poll(cx).map(|()| None)
    }
}

/// The future's output, or `None` past the limit.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let (mut deadline, mut future) = (Deadline::new(limit), pin!(future));
    std::future::poll_fn(|cx| deadline.poll(future.as_mut(), cx)).await
}

/// The future's output, or `None` where it panicked. What it left behind is not looked at again.
pub(crate) async fn unless_it_panics<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Awaits a look-up within the deadline.
pub(crate) async fn finish<S: Store>(
    lookup: Lookup<S::Load>,
    deadline: Duration,
) -> Result<Option<Stored>, StoreError> {
    match lookup {
        Lookup::Ready(result) => result,
        Lookup::Pending(load) => within(deadline, load).await.unwrap_or_else(|| Err(StoreError::deadline())),
    }
}

/// Awaits both at once: one round trip, not two.
pub(crate) async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    std::future::poll_fn(move |cx| {
        if a_done.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            a_done = Some(output);
        }
        if b_done.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            b_done = Some(output);
        }
        match (a_done.take(), b_done.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (a_done, b_done) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadlines_hold() {
        assert_eq!(within(Duration::from_secs(1), std::future::ready(1)).await, Some(1));
        let slow = tokio::time::sleep(Duration::from_millis(999));
        assert!(within(Duration::from_secs(1), slow).await.is_some());
        assert!(within(Duration::from_secs(1), std::future::pending::<()>()).await.is_none());
    }

    #[tokio::test]
    async fn a_panic_is_contained() {
        assert_eq!(unless_it_panics(async { 1 }).await, Some(1));
        assert_eq!(unless_it_panics(async { panic!("a sender's own") }).await, None::<()>);
    }

    #[tokio::test]
    async fn both_run_together() {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let (a, b) = both(async { rx.await.is_ok() }, async { tx.send(()).is_ok() }).await;
        assert!(a && b);
    }
}
