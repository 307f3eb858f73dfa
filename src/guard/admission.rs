//! What every guard made by one layer shares, and what it decides.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderValue, Method, Response, Uri, header::CACHE_CONTROL, request::Parts};

use super::{
    condition::Condition,
    refusal::{Refusal, RefusalTerms, ResponseForRefusal, speaks_grpc},
};
use crate::{
    engine::{AuthorizeError, Caller, Engine, Event, Grant, StepUp},
    rules::Requirement,
    wire::stamp,
};

/// Says that an answer must not be stored, where it says nothing of caches itself: a cache in front of the guard would
/// hand it to clients that have not stepped up.
pub(super) fn forbid_storing(answer: &mut HeaderMap) {
    if !answer.contains_key(CACHE_CONTROL) {
        answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// What every guard made by one layer shares.
#[derive(Clone)]
pub(super) struct GuardConfig<R> {
    pub(super) step_up: StepUp,
    pub(super) terms: Arc<RefusalTerms>,
    pub(super) refuse: R,
    /// On which requests anything is asked.
    pub(super) condition: Condition,
    /// The paths of gRPC methods that need no step-up.
    pub(super) exempt: Vec<Box<str>>,
    /// Whether it only reports what it would refuse.
    pub(super) shadow: bool,
    /// Whether answers that pass may be stored by caches, as far as the application says nothing.
    pub(super) keep_cache_control: bool,
}

impl<R> GuardConfig<R> {
    /// The same, with refusals built another way. Only gRPC's knows open methods.
    pub(super) fn refusing_with<T>(&self, refuse: T) -> GuardConfig<T> {
        GuardConfig {
            step_up: self.step_up.clone(),
            terms: Arc::clone(&self.terms),
            refuse,
            condition: self.condition.clone(),
            exempt: Vec::new(),
            shadow: self.shadow,
            keep_cache_control: self.keep_cache_control,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.step_up.0
    }

    pub(super) fn requirement(&self) -> &Requirement {
        &self.terms.requirement
    }

    /// Whether the answer to a request must not be stored once a grant has let it pass. gRPC is never cached.
    pub(super) fn forbids_storing(&self, method: &Method, headers: &HeaderMap) -> bool {
        !self.keep_cache_control && !self.shadow && !speaks_grpc(method, headers)
    }

    /// Whether the request is for a method that needs no step-up.
    pub(super) fn exempts(&self, uri: &Uri) -> bool {
        self.exempt.iter().any(|path| **path == *uri.path())
    }
}

impl<R> GuardConfig<R> {
    /// Whether the caller or the condition depends on the request as a whole.
    pub(super) fn looks_at_requests(&self) -> bool {
        self.condition.is_conditional() || !self.engine().identifies_by_extension()
    }

    /// Whether a step-up is asked for; where it is, the caller that was found is put into the extensions, in place of
    /// any other.
    pub(super) fn applies(&self, request: &mut Parts) -> bool {
        if !self.condition.applies(request) {
            return false;
        }
        if !self.engine().identifies_by_extension() {
            match self.engine().identify(request) {
                Some(caller) => drop(request.extensions.insert(caller)),
                None => drop(request.extensions.remove::<Caller>()),
            }
        }
        true
    }

    /// The caller who has to step up for a request; `None` if it passes as it is.
    pub(super) fn asks(&self, request: &mut Parts) -> Result<Option<Caller>, Refusal> {
        if self.exempts(&request.uri) || !self.applies(request) {
            return Ok(None);
        }
        self.caller(&request.extensions).map(Option::<&_>::cloned)
    }

    /// The caller of a request to which the guard applies. Nobody, where it only reports: the request passes.
    pub(super) fn caller<'a>(&self, request: &'a Extensions) -> Result<Option<&'a Caller>, Refusal> {
        let caller = request.get::<Caller>();
        if caller.is_none() {
            self.engine().note_no_caller();
            if !self.shadow {
                return Err(Refusal::NoCaller);
            }
        }
        Ok(caller)
    }

    /// Whether a request spends what lets it pass; in the shadow none does.
    pub(super) fn spends(&self) -> bool {
        self.engine().spends(self.requirement()) && !self.shadow
    }

    /// Lets the request pass, with the grant in its caller, where the handler finds it.
    pub(super) fn admit(
        &self,
        request: &mut Extensions,
        decided: Result<Grant, AuthorizeError>,
    ) -> Result<(), Refusal> {
        let caller = request.get_mut::<Caller>().ok_or(Refusal::NoCaller)?;
        match decided {
            Ok(grant) => {
                caller.set_grant(Some(grant));
                Ok(())
            }
            Err(AuthorizeError::Unavailable) if self.shadow => Ok(()),
            Err(AuthorizeError::Unavailable) => Err(Refusal::Unavailable),
            Err(AuthorizeError::StepUpRequired(unmet)) => {
                let (subject, reason) = (caller.subject(), unmet.reason());
                if self.shadow {
                    self.engine().emit(&Event::WouldRefuse { subject, reason });
                    return Ok(());
                }
                self.engine().emit(&Event::GuardRefused { subject, reason });
                Err(Refusal::StepUpRequired(unmet))
            }
        }
    }

    /// A refusal, with the headers that every one carries, however it is built.
    pub(super) fn refuse<ResBody>(&self, refusal: Refusal, request: &Parts) -> Response<ResBody>
    where
        R: ResponseForRefusal<ResBody>,
    {
        let mut response = self.refuse.response_for_refusal(&refusal, &self.terms, request);
        stamp(response.headers_mut(), &self.engine().wire, self.engine().request_ref());
        response.extensions_mut().insert(refusal);
        response
    }
}
