//! [`BindStepUp`], the guard of a bound route: it reads the request, and one step-up permits that exact request, once.

mod binding;
mod text;

pub use self::binding::Binding;
#[cfg(feature = "page")]
pub(super) use self::binding::same_authority;
use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, Service};

use crate::{
    engine::{AuthorizeError, Caller},
    guard::{
        admission::{GuardConfig, forbid_storing},
        ending::Ending,
        refusal::{Negotiate, Refusal, ResponseForRefusal},
    },
    rules::{BOUND_BODY_LIMIT, BoundOperation, UnmetReason},
    timeout::BoxFuture,
    wire::{Read, Unread, read},
};

/// Guards routes with step-ups that are each bound to one operation. Made by
/// [`RequireStepUp::bind`](crate::RequireStepUp::bind).
///
/// The first request is refused, and the refusal carries a `binding`: a token with a digest of the request and the text
/// that the [`Binding`] derived from it, authenticated for this session. The client starts a challenge with that token,
/// the message shows the text, and the grant permits that exact request, once. Any other request is refused with
/// `mismatch` and consumes nothing.
///
/// The guard is always ready: it reads the request first, then waits for the inner service, and consumes the grant
/// last.
///
/// The body is read once a caller is known, up to 64 KiB and within 5 seconds, and passed on. The request body must
/// therefore be rebuilt: from bytes, or by the function set with [`rebuild_with`](Self::rebuild_with).
///
/// # Example
///
/// ```
/// use axum::{Router, body::Body, http::request::Parts, routing::post};
/// use tower_step_up::{Binding, RequireStepUp, StepUp};
///
/// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// let describe = |_: &Parts, body: &[u8]| {
///     let payout: serde_json::Value = serde_json::from_slice(body).ok()?;
///     Some(format!("Pay {} EUR to {}", payout["amount"].as_u64()?, payout["to"].as_str()?))
/// };
/// let guard = RequireStepUp::new(&step_up)
///     .bind(Binding::new(Binding::uri_as_received, describe))
///     .rebuild_with(Body::new); // keeps trailers
///
/// let app: Router = Router::new().route("/payouts", post(async || "paid")).route_layer(guard);
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
#[must_use = "a layer guards nothing until it is added to a service"]
pub struct BindStepUp<R = Negotiate, F = FromBytes> {
    shared: Arc<GuardConfig<R>>,
    binding: Arc<Binding>,
    rebuild: F,
}

impl<R> BindStepUp<R> {
    pub(super) fn new(shared: Arc<GuardConfig<R>>, binding: Binding) -> Self {
        Self { shared, binding: Arc::new(binding), rebuild: FromBytes }
    }
}

impl<R: Clone, F> BindStepUp<R, F> {
    /// Ends responses that go on when the step-up ends that let them begin, as
    /// [`RequireStepUp::ending`](crate::RequireStepUp::ending) does. The grant that this very request has consumed lets its
    /// response go on like any other; approving the same operation again ends it.
    pub fn ending(self) -> Ending<Self> {
        let (step_up, terms) = (self.shared.step_up.clone(), Arc::clone(&self.shared.terms));
        let mut shared = Arc::unwrap_or_clone(self.shared);
        shared.ending = true;
        Ending::new(Self { shared: Arc::new(shared), ..self }, step_up, terms)
    }
}

impl<R, F> BindStepUp<R, F> {
    /// Replaces how request bodies are rebuilt, for bodies that are not `From<Bytes>`, such as `axum::body::Body::new`
    /// or `tonic::body::Body::new`. See [`Rebuild`].
    pub fn rebuild_with<T>(self, rebuild: T) -> BindStepUp<R, T> {
        BindStepUp { shared: self.shared, binding: self.binding, rebuild }
    }
}

/// Rebuilds a request body of type `B` after it has been read. Implemented by every `Fn(Replayed) -> B`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot rebuild a request body of type `{B}`",
    label = "this guard cannot hand on the request that it has read",
    note = "the default needs a request body that is `From<bytes::Bytes>`",
    note = "for any other body, say how it is made: `.bind(binding).rebuild_with(axum::body::Body::new)`"
)]
pub trait Rebuild<B> {
    /// Builds the body.
    fn rebuild(&self, read: Replayed) -> B;
}

impl<F, B> Rebuild<B> for F
where
    F: Fn(Replayed) -> B,
{
    fn rebuild(&self, read: Replayed) -> B {
        self(read)
    }
}

/// Builds a body from its bytes. Trailers are dropped: such a body cannot have any.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct FromBytes;

// So that, for a body that does not fit, the compiler reports `Rebuild` and its notes.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> Rebuild<B> for FromBytes {
    fn rebuild(&self, read: Replayed) -> B {
        read.data.unwrap_or_default().into()
    }
}

/// A body that was read, replayed: its bytes, then its trailers.
#[derive(Clone, Default)]
pub struct Replayed {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Replayed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, Bytes::len) as u64)
    }
}

/// Prints no content.
impl fmt::Debug for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replayed(..)")
    }
}

/// A service whose requests are bound. Made by [`BindStepUp`].
#[must_use]
pub struct BoundService<Svc, R = Negotiate, F = FromBytes> {
    inner: Svc,
    layer: BindStepUp<R, F>,
}

impl<Svc, R, F, ReqBody, ResBody> Service<Request<ReqBody>> for BoundService<Svc, R, F>
where
    Svc: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    Svc::Future: Send,
    R: ResponseForRefusal<ResBody> + Send + Sync + 'static,
    F: Rebuild<ReqBody> + Clone + Send + Sync + 'static,
    ReqBody: Body + Send + 'static,
    ReqBody::Data: Send,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResBody>;
    type Error = Svc::Error;
    type Future = BoundResponseFuture<Response<ResBody>, Svc::Error>;

    /// Always ready: the inner service is polled after the request has been read, so that a slow body holds none of its
    /// capacity.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        BoundResponseFuture(Box::pin(async move { layer.pass(inner, request).await }))
    }
}

impl<R, F> BindStepUp<R, F> {
    async fn pass<Svc, ReqBody, ResBody>(
        &self,
        mut inner: Svc,
        request: Request<ReqBody>,
    ) -> Result<Response<ResBody>, Svc::Error>
    where
        Svc: Service<Request<ReqBody>, Response = Response<ResBody>>,
        R: ResponseForRefusal<ResBody>,
        F: Rebuild<ReqBody>,
        ReqBody: Body,
        ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let shared = &*self.shared;
        let (mut parts, body) = request.into_parts();
        let caller = match shared.asks(&mut parts) {
            Ok(Some(caller)) => caller,
            Ok(None) => return call(inner, Request::from_parts(parts, body)).await,
            Err(refusal) => return Ok(shared.refuse(refusal, &parts)),
        };
        if shared.report_only {
            // A partly read body could not be passed on, so it is not read, and the request is treated as a mismatch.
            let operation = if self.binding.needs_body() { None } else { self.binding.operation(&parts, b"") };
            let mut request = Request::from_parts(parts, body);
            let decided = match operation {
                Some(operation) => {
                    let engine = shared.engine();
                    let loaded = engine.look_up(&engine.session_key(&caller)).await;
                    engine.decide(loaded, shared.requirement(), Some(&operation.digest))
                }
                None => Err(AuthorizeError::StepUpRequired(UnmetReason::Mismatch.into())),
            };
            let _ = shared.admit(request.extensions_mut(), decided);
            return call(inner, request).await;
        }
        let (data, body) = if self.binding.needs_body() {
            match read(body, BOUND_BODY_LIMIT).await {
                Ok(Read { data, trailers }) => {
                    let data = Bytes::from(data);
                    let replayed = Replayed { data: (!data.is_empty()).then(|| data.clone()), trailers };
                    (data, self.rebuild.rebuild(replayed))
                }
                Err(unread) => return Ok(shared.refuse(unread.into(), &parts)),
            }
        } else {
            (Bytes::new(), body)
        };
        let Some(operation) = self.binding.operation(&parts, &data) else {
            return Ok(shared.refuse(Refusal::Invalid, &parts));
        };
        let mut request = Request::from_parts(parts, body);
        let no_store = shared.forbids_storing(request.method(), request.headers());
        // Decided first, so that a refused request does not wait for the inner service and takes none of its capacity.
        // Consumed last, so that a request dropped while waiting for capacity keeps its grant.
        let (engine, digest) = (shared.engine(), Some(&operation.digest));
        let loaded = engine.look_up(&engine.session_key(&caller)).await;
        let decided = match engine.satisfied(loaded, shared.requirement(), digest) {
            Ok((read, _)) => {
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                shared.step_up.spend(&caller, shared.requirement(), digest, Some(read)).await
            }
            Err(refused) => Err(refused),
        };
        let decided = shared.told_of_channels(&caller, decided).await;
        let decided = decided.map_err(|error| self.with_binding(error, &caller, operation));
        match shared.admit(request.extensions_mut(), decided) {
            Ok(()) => {
                let mut answer = inner.call(request).await?;
                if no_store {
                    forbid_storing(answer.headers_mut());
                }
                Ok(answer)
            }
            Err(refusal) => Ok(shared.refuse_request(refusal, request)),
        }
    }

    /// Adds the token with which the step-up starts to a refusal.
    fn with_binding(&self, error: AuthorizeError, caller: &Caller, operation: BoundOperation) -> AuthorizeError {
        match error {
            AuthorizeError::StepUpRequired(unmet) => {
                let scope = self.shared.requirement().scope.clone();
                let text = operation.text.clone();
                let token = self.shared.engine().seal_binding(caller, operation, scope);
                AuthorizeError::StepUpRequired(unmet.bound(token.into(), text))
            }
            AuthorizeError::Unavailable => error,
        }
    }
}

/// Waits until a service is ready, and calls it.
async fn call<Svc: Service<Request<B>>, B>(mut inner: Svc, request: Request<B>) -> Result<Svc::Response, Svc::Error> {
    poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(request).await
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge => Self::TooLarge,
            Unread::TooSlow => Self::TooSlow,
            Unread::Broken => Self::Invalid,
        }
    }
}

impl<Svc, R, F: Clone> Layer<Svc> for BindStepUp<R, F> {
    type Service = BoundService<Svc, R, F>;

    fn layer(&self, inner: Svc) -> Self::Service {
        BoundService { inner, layer: self.clone() }
    }
}

impl<R, F: Clone> Clone for BindStepUp<R, F> {
    fn clone(&self) -> Self {
        let (shared, binding) = (Arc::clone(&self.shared), Arc::clone(&self.binding));
        Self { shared, binding, rebuild: self.rebuild.clone() }
    }
}

impl<R, F> fmt::Debug for BindStepUp<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindStepUp")
            .field("requirement", self.shared.requirement())
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

impl<Svc: Clone, R, F: Clone> Clone for BoundService<Svc, R, F> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<Svc: fmt::Debug, R, F> fmt::Debug for BoundService<Svc, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

/// The future of a [`BoundService`].
pub struct BoundResponseFuture<T, E>(BoxFuture<'static, Result<T, E>>);

impl<T, E> Future for BoundResponseFuture<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for BoundResponseFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundResponseFuture")
    }
}
