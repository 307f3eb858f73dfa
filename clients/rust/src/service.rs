//! The service: sends a request, and where it is refused steps up and sends it again.

use std::{
    fmt,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use crate::{
    BoxError, Challenges, Error, Prompt, PromptError, Reason, RepeatableBody, Requirement, ResponseBody,
    challenges::Wire,
    layer::Settings,
    response::{Seen, see},
    target::{Endpoints, Target},
    transport::{Over, Transport},
    turns::{Key, Turns, caught},
};

/// The service that [`StepUpClient`](crate::StepUpClient) makes.
pub struct StepUpService<S, P> {
    inner: S,
    prompt: Arc<P>,
    turns: Arc<Turns>,
    settings: Settings,
}

impl<S, P> StepUpService<S, P> {
    pub(crate) fn new(inner: S, prompt: Arc<P>, turns: Arc<Turns>, settings: Settings) -> Self {
        Self { inner, prompt, turns, settings }
    }
}

impl<S: Clone, P> Clone for StepUpService<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            prompt: Arc::clone(&self.prompt),
            turns: Arc::clone(&self.turns),
            settings: self.settings.clone(),
        }
    }
}

impl<S, P> fmt::Debug for StepUpService<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUpService").finish_non_exhaustive()
    }
}

impl<S, P, ReqBody, ResBody> Service<Request<ReqBody>> for StepUpService<S, P>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    P: Prompt,
    ReqBody: RepeatableBody,
    ResBody: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::Inner(error.into()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let clone = self.clone();
        // The service that is ready is the one to call.
        let Self { inner, .. } = mem::replace(self, clone);
        Box::pin(send(self.clone(), inner, request))
    }
}

/// A request that may have to be repeated.
struct Refusable<S, P, B> {
    service: StepUpService<S, P>,
    parts: Parts,
    body: Option<B>,
    /// When it was sent.
    sent: u64,
}

async fn send<S, P, ReqBody, ResBody>(
    service: StepUpService<S, P>,
    mut ready: S,
    request: Request<ReqBody>,
) -> Result<Response<ResponseBody<ResBody>>, Error>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    P: Prompt,
    ReqBody: RepeatableBody,
    ResBody: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    let (parts, body) = request.into_parts();
    let (now, again) = body.twice(service.settings.repeat).await;
    let sent = service.turns.now();
    let response =
        ready.call(Request::from_parts(parts.clone(), now)).await.map_err(|error| Error::Inner(error.into()))?;
    drop(ready);
    let request = Refusable { service, parts, body: again, sent };
    match see(response).await {
        Seen::Other(response) => Ok(response),
        Seen::Refusal(wire, requirement) => request.refused(wire, requirement).await,
        #[cfg(feature = "tonic")]
        Seen::Open(mut response) => {
            let refused = |requirement| -> BoxFuture<'static, _> { Box::pin(request.refused(Wire::Grpc, requirement)) };
            response.body_mut().arm(refused);
            Ok(response)
        }
    }
}

impl<S, P, ReqBody, ResBody> Refusable<S, P, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    P: Prompt,
    ReqBody: RepeatableBody,
    ResBody: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    /// Steps up, and repeats the request once.
    async fn refused(mut self, wire: Wire, requirement: Requirement) -> Result<Response<ResponseBody<ResBody>>, Error> {
        let Some(body) = self.body.take() else { return Err(Error::NotRepeatable(requirement.into())) };
        let (target, challenges) = self.challenges(wire, &requirement)?;
        let Self { service: StepUpService { mut inner, prompt, turns, .. }, parts, sent, .. } = self;
        let asked = ask(&prompt, &turns, sent, target, challenges, &requirement).await;
        if let Err(error) = asked {
            return Err(Error::of_prompt(requirement, error));
        }
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(|error| Error::Inner(error.into()))?;
        let response = inner.call(Request::from_parts(parts, body)).await;
        match see(response.map_err(|error| Error::Inner(error.into()))?).await {
            Seen::Other(response) => Ok(response),
            Seen::Refusal(_, requirement) => Err(Error::StillRefused(requirement.into())),
            #[cfg(feature = "tonic")]
            Seen::Open(mut response) => {
                response.body_mut().arm(|requirement| Box::pin(async { Err(Error::StillRefused(requirement.into())) }));
                Ok(response)
            }
        }
    }

    /// The challenge endpoints of the server that has refused.
    fn challenges(&self, wire: Wire, requirement: &Requirement) -> Result<(Target, Challenges), Error> {
        let StepUpService { inner, settings, .. } = &self.service;
        let target = Target::of(&self.parts, &settings.carried);
        let endpoints = match wire {
            Wire::Http => Endpoints::new(requirement, &target, settings.endpoints.as_deref())
                .map_err(|_| Error::ForeignStart(requirement.clone().into()))?,
            // Its service has a name, and the paths in its refusals are for HTTP.
            #[cfg(feature = "tonic")]
            Wire::Grpc => Endpoints::none(),
        };
        let transport: Arc<dyn Transport> = Arc::new(Over::<S, ReqBody>::new(inner.clone()));
        let challenges = Challenges::new(wire, transport, target.clone(), endpoints, requirement);
        Ok((target, challenges))
    }
}

/// Asks the user, once for all requests that wait for the same thing.
async fn ask<P: Prompt>(
    prompt: &Arc<P>,
    turns: &Arc<Turns>,
    sent: u64,
    target: Target,
    challenges: Challenges,
    requirement: &Requirement,
) -> Result<(), PromptError> {
    let is_spent = *requirement.reason() == Reason::Spent;
    // A step-up that is for one request alone cannot be shared.
    if requirement.binding().is_some() || is_spent {
        let _turn = turns.turn(&target).await;
        let own = async {
            if is_spent && !prompt.confirm_spent(requirement.spent_at(), requirement).await {
                return Err(PromptError::SpentNotConfirmed);
            }
            prompt.prompt(requirement, &challenges).await
        };
        return caught(own).await;
    }
    let key = Key::new(target.clone(), challenges.wire(), requirement);
    let (prompt, queue, requirement) = (Arc::clone(prompt), Arc::clone(turns), requirement.clone());
    let shared = || async move {
        let _turn = queue.turn(&target).await;
        prompt.prompt(&requirement, &challenges).await
    };
    turns.share(key, sent, shared).await
}
