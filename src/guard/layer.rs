//! The layer: what is configured once.

use std::{fmt, sync::Arc};

use http::{Request, Response};
use tower::Layer;

use super::{
    refuse::{Json, Refusal, Refuse, Terms},
    service::Guard,
};
use crate::{
    answer::stamp,
    error::ConfigError,
    requirement::Requirement,
    step_up::{Engine, StepUp},
    store::{MemoryStore, Store},
};

/// Guards routes: 403 until the caller's session holds a verified challenge.
///
/// See the [module](crate::guard) for an example, and for where to put it. Cheap to clone; all state is in the
/// [`StepUp`], so a router may apply it as often as it likes.
#[must_use = "a layer guards nothing until it is added to a service"]
pub struct RequireStepUp<S = MemoryStore, R = Json>(Arc<Shared<S, R>>);

/// What every guard made by one layer shares.
pub(super) struct Shared<S, R> {
    step_up: StepUp<S>,
    terms: Arc<Terms>,
    refuse: R,
}

impl<S: Store> RequireStepUp<S> {
    /// Asks for a step-up of the whole session, by any channel.
    pub fn new(step_up: &StepUp<S>) -> Self {
        Self::build(step_up, Requirement::new())
    }

    /// Asks for what the requirement says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where nothing could ever satisfy it.
    pub fn with(step_up: &StepUp<S>, requirement: Requirement) -> Result<Self, ConfigError> {
        requirement.check(step_up.0.channels.names())?;
        Ok(Self::build(step_up, requirement))
    }

    fn build(step_up: &StepUp<S>, requirement: Requirement) -> Self {
        let terms = Arc::new(Terms::new(&step_up.0, requirement));
        Self(Arc::new(Shared { step_up: step_up.clone(), terms, refuse: Json }))
    }
}

impl<S, R> RequireStepUp<S, R> {
    /// Builds refusals another way. See [`Refuse`].
    pub fn refuse_with<T>(self, refuse: T) -> RequireStepUp<S, T> {
        let (step_up, terms) = (self.0.step_up.clone(), Arc::clone(&self.0.terms));
        RequireStepUp(Arc::new(Shared { step_up, terms, refuse }))
    }
}

impl<S, R, Svc> Layer<Svc> for RequireStepUp<S, R> {
    type Service = Guard<Svc, S, R>;

    fn layer(&self, inner: Svc) -> Self::Service {
        Guard::new(inner, Arc::clone(&self.0))
    }
}

impl<S, R> Shared<S, R> {
    pub(super) fn engine(&self) -> &Engine<S> {
        &self.step_up.0
    }

    pub(super) fn requirement(&self) -> &Requirement {
        &self.terms.requirement
    }
}

impl<S: Store, R> Shared<S, R> {
    /// A refusal, with what every one has to carry, whoever builds it.
    pub(super) fn refuse<ReqBody, ResBody>(&self, refusal: Refusal, request: Request<ReqBody>) -> Response<ResBody>
    where
        R: Refuse<ResBody>,
    {
        let (parts, _) = request.into_parts();
        let mut response = self.refuse.refuse(refusal, &self.terms, &parts);
        stamp(response.headers_mut(), self.engine());
        response.extensions_mut().insert(refusal);
        response
    }
}

impl<S, R> Clone for RequireStepUp<S, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, R> fmt::Debug for RequireStepUp<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireStepUp").field("requirement", self.0.requirement()).finish_non_exhaustive()
    }
}
