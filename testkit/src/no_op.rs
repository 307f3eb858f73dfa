//! A layer that does nothing: what a guard is compared with.

use std::task::{Context, Poll};

use tower::Service;

/// A service inside a layer that does nothing. The layer is `layer_fn(NoOp)`.
#[derive(Clone)]
pub struct NoOp<S>(pub S);

impl<S: Service<R>, R> Service<R> for NoOp<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}
