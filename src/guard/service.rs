//! [`GuardedService`]: identifies the caller, loads the record, decides, and calls the inner service or refuses.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{
    admission::GuardConfig,
    future::ResponseFuture,
    refusal::{Negotiate, ResponseForRefusal},
};
use crate::engine::Decision;

/// A guarded service. Made by [`RequireStepUp`](crate::RequireStepUp).
///
/// With an in-process store the decision is made in `call`, without a future and without an allocation. With a remote
/// store the request waits for its record and is then passed to the same service instance that reported readiness.
#[must_use]
pub struct GuardedService<Svc, R = Negotiate> {
    inner: Svc,
    shared: Arc<GuardConfig<R>>,
}

impl<Svc, R> GuardedService<Svc, R> {
    pub(super) fn new(inner: Svc, shared: Arc<GuardConfig<R>>) -> Self {
        Self { inner, shared }
    }
}

impl<Svc, R, ReqBody, ResBody> Service<Request<ReqBody>> for GuardedService<Svc, R>
where
    Svc: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    R: ResponseForRefusal<ResBody>,
{
    type Response = Response<ResBody>;
    type Error = Svc::Error;
    type Future = ResponseFuture<Svc, ReqBody, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let shared = &self.shared;
        if shared.exempts(request.uri()) {
            return ResponseFuture::inner(self.inner.call(request));
        }
        if shared.looks_at_requests() {
            let (mut parts, body) = request.into_parts();
            let applies = shared.applies(&mut parts);
            request = Request::from_parts(parts, body);
            if !applies {
                return ResponseFuture::inner(self.inner.call(request));
            }
        }
        let engine = shared.engine();
        let caller = match shared.caller(request.extensions()) {
            Ok(Some(caller)) => caller,
            Ok(None) => return ResponseFuture::inner(self.inner.call(request)),
            Err(refusal) => return ResponseFuture::refused(shared.refuse_request(refusal, request)),
        };
        if shared.spends() {
            let (step_up, terms, caller) = (shared.step_up.clone(), Arc::clone(&shared.terms), caller.clone());
            let spending = Box::pin(async move { step_up.spend(&caller, &terms.requirement, None, None).await });
            return ResponseFuture::spending(spending, self.take_ready(), request, Arc::clone(&self.shared));
        }
        match engine.begin_decision(&engine.session_key(caller), shared.requirement(), shared.compiled.as_ref()) {
            Decision::Made(decided) if shared.asks_for_channels(&decided) => {
                ResponseFuture::telling(decided, request, Arc::clone(&self.shared))
            }
            Decision::Made(decided) => {
                let no_store = shared.forbids_storing(request.method(), request.headers());
                match shared.admit(request.extensions_mut(), decided) {
                    Ok(()) => ResponseFuture::passed(self.inner.call(request), no_store),
                    Err(refusal) => ResponseFuture::refused(shared.refuse_request(refusal, request)),
                }
            }
            Decision::Pending(load) => {
                ResponseFuture::loading(load, self.take_ready(), request, Arc::clone(&self.shared))
            }
        }
    }
}

impl<Svc: Clone, R> GuardedService<Svc, R> {
    /// Takes the instance that is ready, and leaves a clone in its place: the clone has not been polled for readiness,
    /// so it cannot handle this request.
    fn take_ready(&mut self) -> Svc {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }
}

impl<Svc: Clone, R> Clone for GuardedService<Svc, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<Svc: fmt::Debug, R> fmt::Debug for GuardedService<Svc, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedService")
            .field("inner", &self.inner)
            .field("requirement", self.shared.requirement())
            .finish_non_exhaustive()
    }
}

/// A guarded gRPC service keeps its service name.
#[cfg(feature = "grpc")]
impl<Svc: tonic::server::NamedService, R> tonic::server::NamedService for GuardedService<Svc, R> {
    const NAME: &'static str = Svc::NAME;
}
