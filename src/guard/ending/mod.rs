//! [`Ending`]: a guard whose responses end with the step-up that let them begin.

mod body;

pub use self::body::{EndingBody, StepUpLost};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use self::body::Watching;
use super::{admission::Admitted, refusal::RefusalTerms};
use crate::engine::{Caller, StepUp};

/// Guards routes, and ends their responses with the step-up. Made by
/// [`RequireStepUp::ending`](crate::RequireStepUp::ending) and [`BindStepUp::ending`](crate::BindStepUp::ending).
#[derive(Clone, Debug)]
#[must_use = "a layer guards nothing until it is added to a service"]
pub struct Ending<G> {
    guard: G,
    ends: Ends,
}

/// What a response needs to know to end.
#[derive(Clone)]
struct Ends {
    step_up: StepUp,
    terms: Arc<RefusalTerms>,
}

impl<G> Ending<G> {
    pub(super) fn new(guard: G, step_up: StepUp, terms: Arc<RefusalTerms>) -> Self {
        Self { guard, ends: Ends { step_up, terms } }
    }

    /// Wraps a service, as [`Layer::layer`] does, without the trait in scope.
    pub fn layer<Svc>(&self, inner: Svc) -> G::Service
    where
        G: Layer<EndingService<Svc>>,
    {
        self.guard.layer(EndingService { inner, ends: self.ends.clone() })
    }
}

impl<G: Layer<EndingService<Svc>>, Svc> Layer<Svc> for Ending<G> {
    type Service = G::Service;

    fn layer(&self, inner: Svc) -> G::Service {
        Self::layer(self, inner)
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ends(..)")
    }
}

/// The service inside such a guard, whose responses end. Made by [`Ending`].
#[derive(Clone, Debug)]
#[must_use]
pub struct EndingService<Svc> {
    inner: Svc,
    ends: Ends,
}

impl<Svc, ReqBody, ResBody> Service<Request<ReqBody>> for EndingService<Svc>
where
    Svc: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<EndingBody<ResBody>>;
    type Error = Svc::Error;
    type Future = EndingFuture<Svc::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Svc::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        // Only where this guard has let the request pass, and not another around it.
        let admitted = request.extensions_mut().remove::<Admitted>();
        let is_own = admitted.is_some_and(|Admitted(terms)| Arc::ptr_eq(&terms, &self.ends.terms));
        let caller = request.extensions().get::<Caller>().filter(|_| is_own).cloned();
        let version = request.version();
        EndingFuture { caller, version, ends: self.ends.clone(), inner: self.inner.call(request) }
    }
}

/// A guarded gRPC service keeps its service name.
#[cfg(feature = "grpc")]
impl<Svc: tonic::server::NamedService> tonic::server::NamedService for EndingService<Svc> {
    const NAME: &'static str = Svc::NAME;
}

pin_project! {
    /// The future of an [`EndingService`].
    pub struct EndingFuture<F> {
        #[pin]
        inner: F,
        caller: Option<Caller>,
        version: Version,
        ends: Ends,
    }
}

impl<F, ResBody, E> Future for EndingFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Body<Data = Bytes>,
{
    type Output = Result<Response<EndingBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let ends = this.ends;
        let watching = this
            .caller
            .take()
            .map(|caller| Watching::new(&ends.step_up, &caller, &ends.terms, *this.version, &response));
        Poll::Ready(Ok(response.map(|inner| EndingBody::new(inner, watching))))
    }
}

impl<F> fmt::Debug for EndingFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndingFuture")
    }
}
