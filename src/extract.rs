//! Extractors for axum's handlers (feature `axum`): [`Caller`], the [`Grant`] with which a request passed a guard, and
//! [`SteppedUp`], a guard for one handler.

use std::{fmt, marker::PhantomData};

use axum_core::{
    body::Body,
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{
    engine::{Caller, Grant},
    guard::{
        RequireStepUp,
        refusal::{Negotiate, ResponseForRefusal},
    },
};

/// The caller in the request's extensions; 401 if there is none.
///
/// If [`StepUpBuilder::identify`](crate::StepUpBuilder::identify) is set, it is present only behind a guard.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// The grant with which a request passed a guard. Use `Option<Grant>` if the guard may let requests pass without one:
/// conditional or report-only.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::post};
/// use tower_step_up::{Grant, RequireStepUp, StepUp};
///
/// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// async fn transfer(grant: Grant) -> String {
///     format!("paid; approved by {}", grant.channel())
/// }
///
/// let app: Router = Router::new().route("/transfers", post(transfer)).route_layer(RequireStepUp::new(&step_up));
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
impl<S: Send + Sync> FromRequestParts<S> for Grant {
    type Rejection = NoGuard;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoGuard> {
        parts.extensions.get::<Caller>().and_then(Caller::grant).cloned().ok_or(NoGuard)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Grant {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Caller>().and_then(Caller::grant).cloned())
    }
}

/// A handler extracts a [`Grant`], and its route has no guard: 500, and the handler does not run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoGuard;

impl fmt::Display for NoGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no guard let this request pass; add .route_layer(RequireStepUp::new(..)) to the route")
    }
}

impl std::error::Error for NoGuard {}

impl IntoResponse for NoGuard {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// A guard in the signature of a handler: the handler runs only if the session satisfies the guard's requirement.
///
/// The guard is in the router's state and built with the app, so a misconfiguration fails at startup. If there are
/// several guards, wrap each in its own type that is `AsRef<RequireStepUp>`:
///
/// ```
/// use tower_step_up::RequireStepUp;
///
/// #[derive(Clone)]
/// struct Payments(RequireStepUp);
///
/// impl AsRef<RequireStepUp> for Payments {
///     fn as_ref(&self) -> &RequireStepUp {
///         &self.0
///     }
/// }
/// ```
///
/// `R` is the response policy for refusals, if it is not the default: `SteppedUp<Payments, Json>`.
///
/// # Example
///
/// ```
/// use axum::{Router, extract::FromRef, routing::post};
/// use tower_step_up::{RequireStepUp, Requirement, StepUp, extract::SteppedUp};
///
/// #[derive(Clone, FromRef)]
/// struct App { payments: RequireStepUp }
///
/// async fn pay(stepped_up: SteppedUp<RequireStepUp>) -> String {
///     format!("paid; approved by {}", stepped_up.grant().map_or("nobody", |grant| grant.channel()))
/// }
///
/// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// let payments = RequireStepUp::with(&step_up, Requirement::new().scope("payments"))?;
/// let app: Router = Router::new().route("/pay", post(pay)).with_state(App { payments });
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
pub struct SteppedUp<K, R = Negotiate> {
    grant: Option<Grant>,
    guard: PhantomData<fn() -> (K, R)>,
}

impl<K, R> SteppedUp<K, R> {
    /// The grant; `None` if the guard requires none for this request, or is report-only and none satisfies it.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }
}

impl<K, R> fmt::Debug for SteppedUp<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedUp").field("grant", &self.grant).finish()
    }
}

impl<S, K, R> FromRequestParts<S> for SteppedUp<K, R>
where
    S: Send + Sync,
    K: AsRef<RequireStepUp<R>> + FromRef<S> + Send + Sync,
    R: ResponseForRefusal<Body> + Send + Sync + 'static,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let guard = K::from_ref(state);
        let grant = guard.as_ref().authorize(parts).await?;
        Ok(Self { grant, guard: PhantomData })
    }
}
