//! Calls to what is not ours: a deadline for each.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

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
    pub(crate) fn poll<F: Future + ?Sized>(
        &mut self,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
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
}
