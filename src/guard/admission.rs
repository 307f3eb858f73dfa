//! [`GuardConfig`]: the configuration shared by all guards of one layer, and their decisions.

use std::sync::Arc;

use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, Uri,
    header::{CACHE_CONTROL, Entry},
    request::Parts,
};

use super::{
    condition::Condition,
    refusal::{Refusal, RefusalTerms, ResponseForRefusal, see_other, speaks_grpc},
};
use crate::{
    engine::{AuthorizeError, Caller, Engine, Event, Grant, StepUp},
    rules::{CompiledRequirement, Requirement},
    wire::stamp,
};

/// Sets `Cache-Control: no-store` where the response has no `Cache-Control`: a cache in front of the guard would serve
/// it to clients that have not stepped up.
pub(super) fn forbid_storing(answer: &mut HeaderMap) {
    if let Ok(Entry::Vacant(missing)) = answer.try_entry(CACHE_CONTROL) {
        // Fails only in a map of 32,768 headers.
        let _ = missing.try_insert(HeaderValue::from_static("no-store"));
    }
}

/// The mark of a request that a guard has let pass with a grant, and whose response ends with it.
#[derive(Clone)]
pub(super) struct Admitted(pub(super) Arc<RefusalTerms>);

/// The configuration shared by all guards of one layer.
#[derive(Clone)]
pub(super) struct GuardConfig<R> {
    pub(super) step_up: StepUp,
    pub(super) terms: Arc<RefusalTerms>,
    /// The requirement as the in-process store compares it.
    pub(super) compiled: Option<CompiledRequirement>,
    pub(super) refuse: R,
    /// Which requests require a step-up.
    pub(super) condition: Condition,
    /// Paths of the gRPC methods that need no step-up.
    pub(super) exempt: Vec<Box<str>>,
    /// Whether the guard is report-only.
    pub(super) report_only: bool,
    /// Whether responses end with the step-up, so that what has passed is marked.
    pub(super) ending: bool,
    /// Whether responses that pass get no `Cache-Control` from the guard.
    pub(super) keep_cache_control: bool,
    /// How a refusal leads to the page.
    #[cfg(feature = "page")]
    pub(super) page: Option<super::page::PageLink>,
}

impl<R> GuardConfig<R> {
    /// The same configuration with refusals built another way. Exemptions are dropped: only the gRPC guard has any.
    pub(super) fn refusing_with<T>(&self, refuse: T) -> GuardConfig<T> {
        GuardConfig {
            step_up: self.step_up.clone(),
            terms: Arc::clone(&self.terms),
            compiled: self.compiled.clone(),
            refuse,
            condition: self.condition.clone(),
            exempt: Vec::new(),
            report_only: self.report_only,
            ending: self.ending,
            keep_cache_control: self.keep_cache_control,
            #[cfg(feature = "page")]
            page: self.page.clone(),
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.step_up.0
    }

    pub(super) fn requirement(&self) -> &Requirement {
        &self.terms.requirement
    }

    /// Whether the response to a request that passed with a grant must not be stored. gRPC responses are never cached.
    pub(super) fn forbids_storing(&self, method: &Method, headers: &HeaderMap) -> bool {
        !self.keep_cache_control && !self.report_only && !speaks_grpc(method, headers)
    }

    /// Whether the request is for a method that needs no step-up.
    pub(super) fn exempts(&self, uri: &Uri) -> bool {
        self.exempt.iter().any(|path| **path == *uri.path())
    }

    /// Whether the caller or the requirement depends on the request's head, and not on its extensions alone.
    pub(super) fn looks_at_requests(&self) -> bool {
        self.condition.is_conditional() || !self.engine().identifies_by_extension()
    }

    /// Whether a step-up is required. If it is, the identified caller replaces any other in the extensions.
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

    /// The caller who has to step up; `None` where the request passes unchanged.
    pub(super) fn asks(&self, request: &mut Parts) -> Result<Option<Caller>, Refusal> {
        if self.exempts(&request.uri) || !self.applies(request) {
            return Ok(None);
        }
        self.caller(&request.extensions).map(Option::<&_>::cloned)
    }

    /// The caller of a request to which the guard applies. `None` only in report-only mode: the request passes.
    pub(super) fn caller<'a>(&self, request: &'a Extensions) -> Result<Option<&'a Caller>, Refusal> {
        let caller = request.get::<Caller>();
        if caller.is_none() {
            self.engine().note_no_caller();
            if !self.report_only {
                return Err(Refusal::NoCaller);
            }
        }
        Ok(caller)
    }

    /// Whether a request consumes the grant that satisfies it; never in report-only mode.
    pub(super) fn spends(&self) -> bool {
        self.engine().spends(self.requirement()) && !self.report_only
    }

    /// Whether the application is asked for the caller's channels before the request is refused.
    pub(super) fn asks_for_channels(&self, decided: &Result<Grant, AuthorizeError>) -> bool {
        self.engine().asks_for_channels(decided) && !self.report_only
    }

    /// The decision, after the application was asked where it [has to be](Self::asks_for_channels).
    pub(super) async fn told_of_channels(
        &self,
        caller: &Caller,
        decided: Result<Grant, AuthorizeError>,
    ) -> Result<Grant, AuthorizeError> {
        if self.report_only {
            return decided;
        }
        self.engine().told_of_channels(caller, self.requirement(), decided).await
    }

    /// Lets the request pass and puts the grant into its caller, where the handler finds it.
    pub(super) fn admit(
        &self,
        request: &mut Extensions,
        decided: Result<Grant, AuthorizeError>,
    ) -> Result<(), Refusal> {
        let caller = request.get_mut::<Caller>().ok_or(Refusal::NoCaller)?;
        match decided {
            Ok(grant) => {
                caller.set_grant(Some(grant));
                if self.ending && !self.report_only {
                    request.insert(Admitted(Arc::clone(&self.terms)));
                }
                Ok(())
            }
            Err(AuthorizeError::Unavailable) if self.report_only => Ok(()),
            Err(AuthorizeError::Unavailable) => Err(Refusal::Unavailable),
            Err(AuthorizeError::StepUpRequired(unmet)) => {
                let (subject, reason) = (caller.subject(), unmet.reason());
                if self.report_only {
                    self.engine().emit(&Event::WouldRefuse { subject, reason });
                    return Ok(());
                }
                self.engine().emit(&Event::GuardRefused { subject, reason });
                Err(Refusal::StepUpRequired(unmet))
            }
        }
    }

    /// Refuses a whole request. The response takes over its map of extensions, emptied: a new one would cost two
    /// allocations.
    pub(super) fn refuse_request<ReqBody, ResBody>(
        &self,
        refusal: Refusal,
        request: Request<ReqBody>,
    ) -> Response<ResBody>
    where
        R: ResponseForRefusal<ResBody>,
    {
        let mut request = request.into_parts().0;
        let (refusal, navigates) = self.lead(refusal, &request);
        let mut response = self.refuse.response_to_refused(&refusal, &self.terms, &mut request);
        if response.extensions().is_empty() {
            request.extensions.clear();
            *response.extensions_mut() = request.extensions;
        }
        self.complete(response, refusal, navigates)
    }

    /// As [`refuse_request`](Self::refuse_request), for a request that is used further.
    pub(super) fn refuse<ResBody>(&self, refusal: Refusal, request: &Parts) -> Response<ResBody>
    where
        R: ResponseForRefusal<ResBody>,
    {
        let (refusal, navigates) = self.lead(refusal, request);
        let response = self.refuse.response_for_refusal(&refusal, &self.terms, request);
        self.complete(response, refusal, navigates)
    }

    /// The refusal with the page's URL, and whether the client is sent there.
    #[cfg(feature = "page")]
    fn lead(&self, refusal: Refusal, request: &Parts) -> (Refusal, bool) {
        match &self.page {
            Some(page) => page.lead(self.engine(), self.requirement(), refusal, request),
            None => (refusal, false),
        }
    }

    #[cfg(not(feature = "page"))]
    #[expect(clippy::unused_self, reason = "no guard knows the page")]
    fn lead(&self, refusal: Refusal, _: &Parts) -> (Refusal, bool) {
        (refusal, false)
    }

    /// Adds the headers and the extension that every refusal has, including those built by a closure.
    fn complete<B>(&self, mut response: Response<B>, refusal: Refusal, navigates: bool) -> Response<B> {
        if let (Refusal::StepUpRequired(unmet), true) = (&refusal, navigates) {
            unmet.page().into_iter().for_each(|page| see_other(&mut response, page));
        }
        stamp(response.headers_mut(), &self.engine().wire, self.engine().request_ref());
        response.extensions_mut().insert(refusal);
        response
    }
}
