//! [`RequireStepUp`]: the layer and its configuration.

use std::{fmt, sync::Arc};

use http::{Response, request::Parts};
use tower::Layer;

use super::{
    admission::GuardConfig,
    bind::BindStepUp,
    condition::Condition,
    ending::Ending,
    refusal::{Grpc, Json, Negotiate, RefusalTerms, ResponseForRefusal},
    service::GuardedService,
};
use crate::{
    engine::{Grant, StepUp},
    guard::Binding,
    rules::{ConfigError, Requirement},
};

/// Guards routes: responds 403 until the caller's session satisfies the requirement.
///
/// See the [module](crate::guard) for an example and for the order of layers. Cheap to clone; all state is in the
/// [`StepUp`], so a router may apply the layer any number of times.
#[must_use = "a layer guards nothing until it is added to a service"]
pub struct RequireStepUp<R = Negotiate>(Arc<GuardConfig<R>>);

impl RequireStepUp {
    /// Requires a step-up of the whole session, by any channel.
    pub fn new(step_up: &StepUp) -> Self {
        Self::build(step_up, Requirement::new())
    }

    /// Requires a step-up that satisfies `requirement`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where no grant could ever satisfy the requirement.
    pub fn with(step_up: &StepUp, requirement: Requirement) -> Result<Self, ConfigError> {
        requirement.check(step_up.0.channels.names(), step_up.0.scopes.as_deref(), &step_up.0.policy)?;
        Ok(Self::build(step_up, requirement))
    }

    fn build(step_up: &StepUp, requirement: Requirement) -> Self {
        let compiled = step_up.0.compile(&requirement);
        let terms = Arc::new(RefusalTerms::new(&step_up.0, requirement));
        Self(Arc::new(GuardConfig {
            step_up: step_up.clone(),
            terms,
            compiled,
            refuse: Negotiate,
            condition: Condition::default(),
            exempt: Vec::new(),
            report_only: false,
            ending: false,
            keep_cache_control: false,
            #[cfg(feature = "page")]
            page: None,
        }))
    }
}

impl<R> RequireStepUp<R> {
    /// Replaces how refusals are built. See [`ResponseForRefusal`](crate::ResponseForRefusal). Exemptions are dropped.
    pub fn with_refusal_response<T>(self, refuse: T) -> RequireStepUp<T> {
        RequireStepUp(Arc::new(self.0.refusing_with(refuse)))
    }

    /// Refuses with JSON, regardless of the client's protocol.
    pub fn json(self) -> RequireStepUp<Json> {
        self.with_refusal_response(Json)
    }

    /// Refuses with a gRPC status, for services that speak only gRPC, such as tonic's.
    /// [`exempt`](RequireStepUp::exempt) then leaves single methods unguarded.
    pub fn grpc(self) -> RequireStepUp<Grpc> {
        self.with_refusal_response(Grpc)
    }

    /// Binds each step-up of the route to one operation. See [`Binding`] for what is bound, and [`BindStepUp`] for the
    /// protocol.
    pub fn bind(self, binding: Binding) -> BindStepUp<R> {
        BindStepUp::new(self.0, binding)
    }

    /// Wraps a service, as [`Layer::layer`] does, without the trait in scope.
    pub fn layer<Svc>(&self, inner: Svc) -> GuardedService<Svc, R> {
        self.0.engine().note_unbound();
        GuardedService::new(inner, Arc::clone(&self.0))
    }

    /// Decides for one request without wrapping a service: for a framework's own middleware, and for extractors.
    /// Returns the grant, which is also set in the [`Caller`](crate::Caller); `None` where no step-up is required, and
    /// in report-only mode where none satisfies the requirement.
    ///
    /// # Errors
    ///
    /// The refusal, a complete response to return unchanged.
    pub async fn authorize<B>(&self, request: &mut Parts) -> Result<Option<Grant>, Response<B>>
    where
        R: ResponseForRefusal<B>,
    {
        let shared = &*self.0;
        let caller = match shared.asks(request) {
            Ok(Some(caller)) => caller,
            Ok(None) => return Ok(None),
            Err(refusal) => return Err(shared.refuse(refusal, request)),
        };
        let decided =
            shared.step_up.ask(&caller, shared.requirement(), shared.compiled.as_ref(), shared.spends()).await;
        let decided = shared.told_of_channels(&caller, decided).await;
        // Not read back from the caller: in report-only mode that may hold the grant of another guard.
        let grant = decided.as_ref().ok().cloned();
        match shared.admit(&mut request.extensions, decided) {
            Ok(()) => Ok(grant),
            Err(refusal) => Err(shared.refuse(refusal, request)),
        }
    }
}

impl<R: Clone> RequireStepUp<R> {
    /// Lets every request pass, and emits [`Event::WouldRefuse`](crate::Event::WouldRefuse) for each that the guard
    /// would refuse: to measure the effect of a guard before enforcing it.
    ///
    /// It changes no byte of a response and consumes no grant. Requests without a caller pass too, and so do requests
    /// for which the store fails.
    ///
    /// # Security
    ///
    /// The route is not guarded.
    pub fn report_only(self) -> Self {
        self.changed(|shared| shared.report_only = true)
    }

    /// Adds no `Cache-Control` to the application's responses.
    ///
    /// By default, the response to a request that passed with a grant gets `Cache-Control: no-store`, unless the
    /// application has set `Cache-Control`. Responses to gRPC requests, to requests that need no step-up, and in
    /// report-only mode are never changed.
    ///
    /// # Security
    ///
    /// A cache in front of the guard may then serve the response to a client that has not stepped up, unless the
    /// application forbids that. [`authorize`](RequireStepUp::authorize) and the extractors do not see the response, so
    /// the application must set the header there.
    pub fn keep_cache_control(self) -> Self {
        self.changed(|shared| shared.keep_cache_control = true)
    }

    /// Ends responses that go on when the step-up ends that let them begin: when it expires and the session has not stepped
    /// up again, when it is dropped or revoked, on this node or another, or when the store cannot be asked for 15 seconds.
    /// A lock ends none: lock and revoke.
    ///
    /// | response | how it ends |
    /// |---|---|
    /// | `text/event-stream` between two events, not compressed and of unknown length | with an event `step-up`, whose data is the refusal as JSON |
    /// | `application/grpc` over HTTP/2 | with the trailers of the refusal: 7 `PERMISSION_DENIED` and its `ErrorInfo` |
    /// | any other | with the error [`StepUpLost`](crate::guard::StepUpLost), so that the client sees that it breaks off |
    ///
    /// A response ends within a second after its grant does, at once after a change in this process, and within three
    /// seconds and the time of a load after one on another node. [`Requirement::stream_for`] says how long it may go on, if
    /// not as long as the grant lives. A response is watched once it keeps its client waiting, or has sent 64 KiB: until then,
    /// and while its handler is at work, nothing ends it. One that passed without this guard's grant, report-only, exempt or
    /// because of [`when`](Self::when), does not end. A grant that sixteen others have displaced, or that was replaced by a
    /// later one of its kind which another request has consumed, ends its response like a revocation.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::{Router, response::{Sse, sse::Event}, routing::get};
    /// use tower_step_up::{RequireStepUp, Requirement, StepUp};
    ///
    /// async fn balance() -> Sse<impl futures_util::Stream<Item = Result<Event, std::convert::Infallible>>> {
    ///     Sse::new(futures_util::stream::pending())
    /// }
    ///
    /// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// // Looked at for half an hour after each step-up.
    /// let watched = Requirement::new().stream_for(Duration::from_secs(30 * 60));
    /// let guard = RequireStepUp::with(&step_up, watched)?.ending();
    /// let app: Router = Router::new().route("/balance", get(balance)).route_layer(guard);
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    pub fn ending(self) -> Ending<Self> {
        let (step_up, terms) = (self.0.step_up.clone(), Arc::clone(&self.0.terms));
        Ending::new(self.changed(|shared| shared.ending = true), step_up, terms)
    }

    /// Leads people to the [page](crate::Page), and back: where a browser navigates, the guard answers 303 instead of 403.
    /// Any other client is refused as without this, and the refusal names the page's URL (`page`).
    ///
    /// `uri` returns the URI as the client sent it, as for a [`Binding`]: [`Binding::uri_as_received`] on hyper, and in axum
    /// outside nested routers. A `GET` goes back there; a form is never sent by anybody but the user, so the page leads
    /// back to where it was (`Referer`), and says that it has to be sent again. Where `uri` returns `None`, or what a
    /// browser would take for another host, the way back is `/`.
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_step_up::{Binding, Page, RequireStepUp, StepUp};
    ///
    /// # let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard);
    /// let step_up = builder.public_path("/stepup/challenges").build()?;
    /// let app: Router = Router::new()
    ///     .route("/cards/1", get(async || "4929 …"))
    ///     .route_layer(RequireStepUp::new(&step_up).page(Binding::uri_as_received)?)
    ///     .nest_service("/stepup/challenges", step_up.challenges().with_page(Page::new())?);
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::PageWithoutPath`] where the builder was not told the
    /// [public path](crate::StepUpBuilder::public_path) of the challenge endpoints.
    ///
    /// # Security
    ///
    /// The URL is encrypted and authenticated for the caller's session, with a deadline: it tells nothing, and opens
    /// nothing in another session. As long as no [`with_page`](crate::ChallengeService::with_page) serves the page, nobody
    /// is sent there.
    #[cfg(feature = "page")]
    pub fn page(self, uri: impl Fn(&Parts) -> Option<http::Uri> + Send + Sync + 'static) -> Result<Self, ConfigError> {
        if self.0.engine().wire.public_path.is_none() {
            return Err(ConfigError::PageWithoutPath);
        }
        Ok(self.changed(|shared| shared.page = Some(super::page::PageLink::new(uri))))
    }

    /// Requires a step-up only where `condition` returns `true`; any other request passes unchanged, and its caller keeps
    /// no grant but that of another guard around this one.
    ///
    /// A panic in `condition` counts as `true`.
    ///
    /// # Example
    ///
    /// ```
    /// use http::{Method, request::Parts};
    /// use tower_step_up::{RequireStepUp, StepUp};
    ///
    /// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let to_change = RequireStepUp::new(&step_up).when(|request: &Parts| request.method != Method::GET);
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    pub fn when(self, condition: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.changed(|shared| shared.condition = Condition::new(condition))
    }

    fn changed(self, change: impl FnOnce(&mut GuardConfig<R>)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.0);
        change(&mut shared);
        Self(Arc::new(shared))
    }
}

impl RequireStepUp<Grpc> {
    /// Lets one method of the guarded service pass without a step-up: `bank.v1.Bank` and `Accounts` for the path
    /// `/bank.v1.Bank/Accounts`.
    ///
    /// The path is compared byte for byte, as tonic dispatches. All other methods stay guarded, including methods added
    /// to the service later. An exempt request passes unchanged: no caller is required, and a [`Caller`](crate::Caller)
    /// in it has no grant from this guard.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{ConfigError, RequireStepUp, StepUp};
    ///
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let guard = RequireStepUp::new(&step_up).grpc().exempt("bank.v1.Bank", "Accounts")?;
    ///
    /// let misspelt = RequireStepUp::new(&step_up).grpc().exempt("/bank.v1.Bank", "Accounts");
    /// assert!(matches!(misspelt, Err(ConfigError::InvalidGrpcMethod { .. })));
    /// # Ok::<_, ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidGrpcMethod`] for a service or a method whose name is not a valid protobuf identifier.
    ///
    /// # Security
    ///
    /// Nothing between the guard and the service may change the path.
    pub fn exempt(self, service: &str, method: &str) -> Result<Self, ConfigError> {
        if !service.split('.').all(is_identifier) || !is_identifier(method) {
            return Err(ConfigError::InvalidGrpcMethod { service: service.into(), method: method.into() });
        }
        let path = format!("/{service}/{method}").into();
        Ok(self.changed(|shared| shared.exempt.push(path)))
    }
}

/// Whether a name is a protobuf identifier.
fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl<R, Svc> Layer<Svc> for RequireStepUp<R> {
    type Service = GuardedService<Svc, R>;

    fn layer(&self, inner: Svc) -> Self::Service {
        Self::layer(self, inner)
    }
}

/// Lets [`SteppedUp`](crate::extract::SteppedUp) take a guard itself as the router's state.
#[cfg(feature = "axum")]
impl<R> AsRef<Self> for RequireStepUp<R> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl<R> Clone for RequireStepUp<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> fmt::Debug for RequireStepUp<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireStepUp").field("requirement", self.0.requirement()).finish_non_exhaustive()
    }
}
