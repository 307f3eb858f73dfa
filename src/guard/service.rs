//! The service: identify, load, decide, and call or refuse.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{
    future::ResponseFuture,
    refuse::{Negotiate, Refusal, Refuse},
    shared::Shared,
};
use crate::{
    caller::Caller,
    step_up::Engine,
    store::{Lookup, MemoryStore, Store},
};

/// A guarded service. Made by [`RequireStepUp`](crate::RequireStepUp).
///
/// In process the decision is made in `call`, without a future and without an allocation. With a remote store
/// the request waits for its record, and goes to the very service that was ready for it.
#[must_use]
pub struct Guard<Svc, S = MemoryStore, R = Negotiate> {
    inner: Svc,
    shared: Arc<Shared<S, R>>,
}

impl<Svc, S, R> Guard<Svc, S, R> {
    pub(super) fn new(inner: Svc, shared: Arc<Shared<S, R>>) -> Self {
        Self { inner, shared }
    }
}

impl<Svc, S, R, ReqBody, ResBody> Service<Request<ReqBody>> for Guard<Svc, S, R>
where
    Svc: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    S: Store,
    R: Refuse<ResBody>,
{
    type Response = Response<ResBody>;
    type Error = Svc::Error;
    type Future = ResponseFuture<Svc, ReqBody, S, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if self.shared.exempts(request.uri()) {
            return ResponseFuture::inner(self.inner.call(request));
        }
        let engine = self.shared.engine();
        if !engine.identifies_by_extension() {
            request = put_caller(engine, request);
        }
        let Some(caller) = request.extensions().get::<Caller>() else {
            engine.note_no_caller();
            return ResponseFuture::refused(self.shared.refuse(Refusal::NoCaller, request));
        };
        match engine.store.load(caller.session_key()) {
            Lookup::Ready(loaded) => match self.shared.admit(&mut request, loaded) {
                Ok(()) => ResponseFuture::inner(self.inner.call(request)),
                Err(refusal) => ResponseFuture::refused(self.shared.refuse(refusal, request)),
            },
            Lookup::Pending(load) => {
                // The clone has not been asked whether it is ready; the one that was must take this request.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::loading(load, ready, request, Arc::clone(&self.shared))
            }
        }
    }
}

/// Puts the caller that was found into the extensions, in place of any other.
fn put_caller<S: Store, B>(engine: &Engine<S>, request: Request<B>) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    match engine.identify(&parts) {
        Some(caller) => drop(parts.extensions.insert(caller)),
        None => drop(parts.extensions.remove::<Caller>()),
    }
    Request::from_parts(parts, body)
}

impl<Svc: Clone, S, R> Clone for Guard<Svc, S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<Svc: fmt::Debug, S, R> fmt::Debug for Guard<Svc, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("inner", &self.inner)
            .field("requirement", self.shared.requirement())
            .finish_non_exhaustive()
    }
}
