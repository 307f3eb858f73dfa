//! The guard of a route that is bound: it reads the request, and a step-up opens that very request, once.

mod binding;
mod text;

pub use self::binding::Binding;
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
        refusal::{Negotiate, Refusal, ResponseForRefusal},
    },
    rules::{BOUND_BODY_LIMIT, BoundOperation, UnmetReason},
    timeout::BoxFuture,
    wire::{Read, Unread, read},
};

/// Guards routes with step-ups that are bound to one operation each. Made by
/// [`RequireStepUp::bind`](crate::RequireStepUp::bind).
///
/// The first request is refused, and the refusal carries a `binding`: a token that holds a digest of the request and
/// the text that the [`Binding`] made of it, sealed for this session. The client starts a challenge with that token,
/// the message shows the text, and the grant opens that very request, once. Any other finds `mismatch`, which spends
/// nothing.
///
/// The guard itself is always ready: a request is read first and then waits for the inner service, and only
/// then spends its grant.
///
/// The body is read, up to 64 KiB and within 5 seconds, once a caller is known, and handed on. It must therefore be
/// rebuilt: from bytes, or by what [`rebuild_with`](Self::rebuild_with) names.
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

impl<R, F> BindStepUp<R, F> {
    /// Rebuilds bodies another way than from their bytes, such as `axum::body::Body::new` or
    /// `tonic::body::Body::new`. See [`Rebuild`].
    pub fn rebuild_with<T>(self, rebuild: T) -> BindStepUp<R, T> {
        BindStepUp { shared: self.shared, binding: self.binding, rebuild }
    }
}

/// Makes a request body of type `B` from what was read of it. A function of [`Replayed`] will do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot rebuild a request body of type `{B}`",
    label = "this guard cannot hand on the request that it has read",
    note = "the default needs a request body that is `From<bytes::Bytes>`",
    note = "for any other body, say how it is made: `.bind(binding).rebuild_with(axum::body::Body::new)`"
)]
pub trait Rebuild<B> {
    /// The body.
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

/// Makes a body of its bytes. Trailers, which no such body can have, are left out.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct FromBytes;

// So that the compiler speaks of the rebuilding, and names the cure, where the body does not fit.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> Rebuild<B> for FromBytes {
    fn rebuild(&self, read: Replayed) -> B {
        read.data.unwrap_or_default().into()
    }
}

/// A body that was read, as a body: its bytes, then its trailers.
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

/// Prints nothing of it.
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

    /// Always ready: the inner service is asked once the request has been read, so that a slow body holds none of its
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
        if shared.shadow {
            // A body that was read in part could not be handed on: it is let be, and taken for one not approved.
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
        // Decided first: a refused request neither waits for the inner service nor takes its capacity from others.
        // Spent last: waiting for that capacity costs nobody a step-up.
        let (engine, digest) = (shared.engine(), Some(&operation.digest));
        let loaded = engine.look_up(&engine.session_key(&caller)).await;
        let decided = match engine.satisfied(loaded, shared.requirement(), digest) {
            Ok((read, _)) => {
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                shared.step_up.spend(&caller, shared.requirement(), digest, Some(read)).await
            }
            Err(refused) => Err(refused),
        };
        let decided = decided.map_err(|error| self.with_binding(error, &caller, operation));
        match shared.admit(request.extensions_mut(), decided) {
            Ok(()) => {
                let mut answer = inner.call(request).await?;
                if no_store {
                    forbid_storing(answer.headers_mut());
                }
                Ok(answer)
            }
            Err(refusal) => Ok(shared.refuse(refusal, &request.into_parts().0)),
        }
    }

    /// A refusal says with which token the step-up starts.
    fn with_binding(&self, error: AuthorizeError, caller: &Caller, operation: BoundOperation) -> AuthorizeError {
        match error {
            AuthorizeError::StepUpRequired(unmet) => {
                let scope = self.shared.requirement().scope.clone();
                let token = self.shared.engine().seal_binding(caller, operation, scope);
                AuthorizeError::StepUpRequired(unmet.bound(token.into()))
            }
            AuthorizeError::Unavailable => error,
        }
    }
}

/// Calls a service once it is ready.
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
