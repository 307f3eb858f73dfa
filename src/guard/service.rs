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
    layer::Shared,
    refuse::{Json, Refusal, Refuse},
};
use crate::{
    caller::Caller,
    log,
    session::Grant,
    step_up::CheckError,
    store::{Key, Lookup, MemoryStore, Store, StoreError, Stored},
};

/// A guarded service. Made by [`RequireStepUp`](crate::RequireStepUp).
///
/// In process the decision is made in `call`, without a future and without an allocation. With a remote store
/// the request waits for its record, and goes to the very service that was ready for it.
#[must_use]
pub struct Guard<Svc, S = MemoryStore, R = Json> {
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

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (key, request) = self.shared.identify(request);
        let Some(key) = key else {
            return ResponseFuture::refused(self.shared.refuse_request(Refusal::NoCaller, request));
        };
        match self.shared.engine().store.load(&key) {
            Lookup::Ready(loaded) => match self.shared.admit(request, loaded) {
                Ok(request) => ResponseFuture::inner(self.inner.call(request)),
                Err(response) => ResponseFuture::refused(response),
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

impl<S: Store, R> Shared<S, R> {
    /// The session's key. The caller stands in the extensions afterwards, whoever found it.
    fn identify<B>(&self, mut request: Request<B>) -> (Option<Key>, Request<B>) {
        let engine = self.engine();
        if !engine.identifies_by_extension() {
            let (mut parts, body) = request.into_parts();
            let caller = engine.identify(&parts);
            match caller {
                Some(caller) => drop(parts.extensions.insert(caller)),
                None => drop(parts.extensions.remove::<Caller>()),
            }
            request = Request::from_parts(parts, body);
        }
        let key = request.extensions().get::<Caller>().map(|caller| *caller.session_key());
        if key.is_none() {
            engine.note_no_caller();
        }
        (key, request)
    }

    /// Lets the request pass with its grant, or refuses it.
    pub(super) fn admit<ReqBody, ResBody>(
        &self,
        mut request: Request<ReqBody>,
        loaded: Result<Option<Stored>, StoreError>,
    ) -> Result<Request<ReqBody>, Response<ResBody>>
    where
        R: Refuse<ResBody>,
    {
        let refusal = match self.engine().decide(loaded, self.requirement()) {
            Ok(grant) => match hand_over(&mut request, grant) {
                Some(()) => return Ok(request),
                None => Refusal::NoCaller,
            },
            Err(CheckError::StepUpRequired(reason)) => {
                log::refused(reason);
                Refusal::StepUpRequired(reason)
            }
            Err(CheckError::Unavailable) => Refusal::Unavailable,
        };
        Err(self.refuse_request(refusal, request))
    }

    fn refuse_request<ReqBody, ResBody>(&self, refusal: Refusal, request: Request<ReqBody>) -> Response<ResBody>
    where
        R: Refuse<ResBody>,
    {
        self.refuse(refusal, &request.into_parts().0)
    }
}

/// Puts the grant into the caller, where the handler finds it.
fn hand_over<B>(request: &mut Request<B>, grant: Grant) -> Option<()> {
    request.extensions_mut().get_mut::<Caller>()?.set_grant(Some(grant));
    Some(())
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
