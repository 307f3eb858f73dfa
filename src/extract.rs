//! Extractors for axum's handlers (feature `axum`): the [`Grant`] that let a request pass, and [`SteppedUp`], a guard
//! for one handler.

use std::{fmt, marker::PhantomData};

use axum_core::{
    body::Body,
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{
    engine::{Caller, Grant},
    guard::{Refuse, RequireStepUp},
    store::Store,
};

/// The grant that let a request through a guard, in a handler behind one. `Option<Grant>` serves where the guard may let
/// requests pass without: with a condition, or in its shadow.
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

/// A handler asks for a [`Grant`], and no guard stands in front of its route: 500, and the handler does not run.
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

/// A guard in the signature of a handler: the handler runs only once the session has stepped up as the rule says.
///
/// The rule is a guard in the router's state, built when the app is, so that what is wrong with it shows then. Where
/// there are several, each is a type of its own that is a [`Rule`].
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
pub struct SteppedUp<K> {
    grant: Option<Grant>,
    rule: PhantomData<fn() -> K>,
}

impl<K> SteppedUp<K> {
    /// The grant; `None` where the rule asks for none of this request, or is in its shadow.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }
}

impl<K> fmt::Debug for SteppedUp<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedUp").field("grant", &self.grant).finish()
    }
}

/// Something in the router's state that is, or holds, a guard. [`RequireStepUp`] is one.
///
/// # Example
///
/// ```
/// use tower_step_up::{MemoryStore, RequireStepUp, extract::Rule, guard::Negotiate};
///
/// #[derive(Clone)]
/// struct Payments(RequireStepUp);
///
/// impl Rule for Payments {
///     type Store = MemoryStore;
///     type Refuse = Negotiate;
///
///     fn guard(&self) -> &RequireStepUp {
///         &self.0
///     }
/// }
/// ```
pub trait Rule: Send + Sync {
    /// Where challenges and grants live.
    type Store: Store;
    /// Who builds the refusals.
    type Refuse: Refuse<Body> + Send + Sync + 'static;

    /// The guard.
    fn guard(&self) -> &RequireStepUp<Self::Store, Self::Refuse>;
}

impl<S: Store, R: Refuse<Body> + Send + Sync + 'static> Rule for RequireStepUp<S, R> {
    type Store = S;
    type Refuse = R;

    fn guard(&self) -> &Self {
        self
    }
}

impl<S, K> FromRequestParts<S> for SteppedUp<K>
where
    S: Send + Sync,
    K: Rule + FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let rule = K::from_ref(state);
        let grant = rule.guard().check(parts).await?;
        Ok(Self { grant, rule: PhantomData })
    }
}
