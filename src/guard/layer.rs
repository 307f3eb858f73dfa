//! The layer: what is configured once.

use std::{fmt, sync::Arc};

use http::{Response, request::Parts};
use tower::Layer;

use super::{
    admission::GuardConfig,
    bind::BindStepUp,
    condition::Condition,
    refusal::{Grpc, Json, Negotiate, RefusalTerms, ResponseForRefusal},
    service::GuardedService,
};
use crate::{
    engine::{Caller, Grant, StepUp},
    guard::Binding,
    rules::{ConfigError, Requirement},
};

/// Guards routes: 403 until the caller's session holds a verified challenge.
///
/// See the [module](crate::guard) for an example, and for where to put it. Cheap to clone; all state is in the
/// [`StepUp`], so a router may apply it as often as it likes.
#[must_use = "a layer guards nothing until it is added to a service"]
pub struct RequireStepUp<R = Negotiate>(Arc<GuardConfig<R>>);

impl RequireStepUp {
    /// Asks for a step-up of the whole session, by any channel.
    pub fn new(step_up: &StepUp) -> Self {
        Self::build(step_up, Requirement::new())
    }

    /// Asks for what the requirement says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where nothing could ever satisfy it.
    pub fn with(step_up: &StepUp, requirement: Requirement) -> Result<Self, ConfigError> {
        requirement.check(step_up.0.channels.names(), step_up.0.scopes.as_deref())?;
        Ok(Self::build(step_up, requirement))
    }

    fn build(step_up: &StepUp, requirement: Requirement) -> Self {
        let terms = Arc::new(RefusalTerms::new(&step_up.0, requirement));
        Self(Arc::new(GuardConfig {
            step_up: step_up.clone(),
            terms,
            refuse: Negotiate,
            condition: Condition::default(),
            exempt: Vec::new(),
            shadow: false,
            keep_cache_control: false,
        }))
    }
}

impl<R> RequireStepUp<R> {
    /// Builds refusals another way. See [`ResponseForRefusal`](crate::ResponseForRefusal). Exemptions do not go with
    /// it.
    pub fn with_refusal_response<T>(self, refuse: T) -> RequireStepUp<T> {
        RequireStepUp(Arc::new(self.0.refusing_with(refuse)))
    }

    /// Refuses with JSON, whatever the client speaks.
    pub fn json(self) -> RequireStepUp<Json> {
        self.with_refusal_response(Json)
    }

    /// Refuses as gRPC does, for a service that speaks nothing else, such as tonic's. See
    /// [`exempt`](RequireStepUp::exempt) for its open methods.
    pub fn grpc(self) -> RequireStepUp<Grpc> {
        self.with_refusal_response(Grpc)
    }

    /// Binds the route's step-ups to one operation each. See [`Binding`] for what is bound, and [`BindStepUp`] for how
    /// it goes.
    pub fn bind(self, binding: Binding) -> BindStepUp<R> {
        BindStepUp::new(self.0, binding)
    }
}

impl<R> RequireStepUp<R> {
    /// Guards a service: what [`Layer::layer`] does, without the trait in scope.
    pub fn layer<Svc>(&self, inner: Svc) -> GuardedService<Svc, R> {
        self.0.engine().note_unbound();
        GuardedService::new(inner, Arc::clone(&self.0))
    }

    /// Decides for one request, where there is no service to wrap: for a framework's own kind of middleware, and for
    /// extractors. What passes goes on with its grant, which is in the [`Caller`](crate::Caller) as well; `None`
    /// where none is asked for.
    ///
    /// # Errors
    ///
    /// The refusal, to be answered as it is.
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
        let decided = shared.step_up.ask(&caller, shared.requirement(), shared.spends()).await;
        match shared.admit(&mut request.extensions, decided) {
            Ok(()) => Ok(request.extensions.get::<Caller>().and_then(Caller::grant).cloned()),
            Err(refusal) => Err(shared.refuse(refusal, request)),
        }
    }
}

impl<R: Clone> RequireStepUp<R> {
    /// Lets everything pass, and reports what it would have refused as
    /// [`Event::WouldRefuse`](crate::Event::WouldRefuse): to see, before a route is guarded, whom it would stop.
    ///
    /// It changes no byte of a response and spends nothing. A request without a caller passes, too, and so does one
    /// for which the store fails.
    ///
    /// # Security
    ///
    /// It guards nothing.
    pub fn report_only(self) -> Self {
        self.changed(|shared| shared.shadow = true)
    }

    /// Adds no `Cache-Control` to the answers of the application.
    ///
    /// Without it, an answer to a request that a grant has let pass gets `Cache-Control: no-store` where it has no
    /// `Cache-Control` of its own. Answers to gRPC requests, to requests that need no step-up, and in shadow mode are
    /// left alone anyway.
    ///
    /// # Security
    ///
    /// A cache in front of the guard may then hand the answer to a client that has not stepped up, unless the
    /// application forbids that itself. [`authorize`](RequireStepUp::authorize) and the extractors see no answer, so
    /// there the application must.
    pub fn keep_cache_control(self) -> Self {
        self.changed(|shared| shared.keep_cache_control = true)
    }

    /// Asks only where `condition` says so; any other request passes as it is, with no grant in its caller.
    ///
    /// Where the condition panics, a step-up is asked for.
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
    /// The path is compared byte for byte, as tonic dispatches. A method that is not named is guarded, and so is
    /// every one that the service gets later. The request passes as it is: nobody is asked for, and the
    /// [`Caller`](crate::Caller) that it may have holds no grant.
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
    /// [`ConfigError::InvalidGrpcMethod`] for what no method can be called.
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

/// A name as protobuf allows it.
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

/// A guard is what holds one, for [`SteppedUp`](crate::extract::SteppedUp).
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
