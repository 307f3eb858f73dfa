//! What every guard made by one layer shares, and what it decides.

use std::sync::Arc;

use http::{Request, Response, Uri};

use super::refuse::{Refusal, Refuse, Terms};
use crate::{
    answer::stamp,
    caller::Caller,
    requirement::Requirement,
    step_up::{CheckError, Engine, StepUp},
    store::{Store, StoreError, Stored},
};

/// What every guard made by one layer shares.
pub(super) struct Shared<S, R> {
    pub(super) step_up: StepUp<S>,
    pub(super) terms: Arc<Terms>,
    pub(super) refuse: R,
    /// The paths of gRPC methods that need no step-up.
    pub(super) exempt: Vec<Box<str>>,
}

impl<S, R> Shared<S, R> {
    pub(super) fn engine(&self) -> &Engine<S> {
        &self.step_up.0
    }

    pub(super) fn requirement(&self) -> &Requirement {
        &self.terms.requirement
    }

    /// Whether the request is for a method that needs no step-up.
    pub(super) fn exempts(&self, uri: &Uri) -> bool {
        self.exempt.iter().any(|path| **path == *uri.path())
    }
}

impl<S: Store, R> Shared<S, R> {
    /// Lets the request pass, with the grant in its caller, where the handler finds it.
    pub(super) fn admit<B>(
        &self,
        request: &mut Request<B>,
        loaded: Result<Option<Stored>, StoreError>,
    ) -> Result<(), Refusal> {
        let caller = request.extensions_mut().get_mut::<Caller>().ok_or(Refusal::NoCaller)?;
        let decided = self.engine().decide(caller.subject(), loaded, self.requirement());
        let grant = decided.map_err(|error| match error {
            CheckError::StepUpRequired(reason) => Refusal::StepUpRequired(reason),
            CheckError::Unavailable => Refusal::Unavailable,
        })?;
        caller.set_grant(Some(grant));
        Ok(())
    }

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
