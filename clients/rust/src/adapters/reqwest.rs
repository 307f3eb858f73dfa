//! reqwest's client.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use reqwest::{Body, Client, ResponseBuilderExt};
use tower_service::Service;

use crate::{
    Error, Prompt, RepeatableBody, StepUpService,
    body::{Partial, read},
    response::FromElsewhere,
};

/// reqwest's client as a `Service<Request<Body>>`.
///
/// A refusal that a redirect to another origin has led to is no refusal of the server that was asked, and is passed on
/// as it is.
///
/// # Security
/// The client follows redirects by its own policy, those of a challenge endpoint, too: a 307 takes the code along.
/// Where the server is not trusted that far, build the client with
/// [`redirect::Policy::none`](reqwest::redirect::Policy::none).
///
/// # Example
/// ```no_run
/// use tower::Layer;
/// use tower_step_up_client::{StepUpClient, adapters::reqwest::Reqwest};
/// # use tower_step_up_client::{Challenges, Prompt, PromptError, Requirement};
/// # struct Sms;
/// # impl Prompt for Sms {
/// #     async fn prompt(&self, _: &Requirement, _: &Challenges) -> Result<(), PromptError> { Ok(()) }
/// # }
///
/// # async fn pay() -> Result<(), Box<dyn std::error::Error>> {
/// let http = reqwest::Client::new();
/// let client = StepUpClient::new(Sms).layer(Reqwest::new(http.clone()));
/// let transfer = http.post("https://bank.example/transfers").bearer_auth("..").body(r#"{"to":"bob","amount":10}"#);
/// let response = client.execute(transfer.build()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reqwest(Client);

impl Reqwest {
    /// This client as a service.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Service<Request<Body>> for Reqwest {
    type Response = Response<Body>;
    type Error = reqwest::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, reqwest::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request)?;
            let asked = request.url().origin();
            let response = client.execute(request).await?;
            let url = response.url().clone();
            let is_elsewhere = url.origin() != asked;
            let mut response = Response::from(response);
            if is_elsewhere {
                response.extensions_mut().insert(FromElsewhere);
            }
            // What reqwest needs to make a response of its own again.
            let (parts, ()) = Response::builder().url(url).body(()).unwrap_or_default().into_parts();
            response.extensions_mut().extend(parts.extensions);
            Ok(response)
        })
    }
}

impl<P: Prompt> StepUpService<Reqwest, P> {
    /// Sends a request of reqwest.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, Error> {
        let mut service = self.clone();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        let request = Request::try_from(request).map_err(|error| Error::Inner(error.into()))?;
        Ok(service.call(request).await?.map(Body::wrap).into())
    }
}

impl RepeatableBody for Body {
    fn whole(content: Bytes) -> Self {
        content.into()
    }

    async fn twice(self, limit: usize) -> (Self, Option<Self>) {
        if let Some(content) = self.as_bytes() {
            let again = (content.len() <= limit).then(|| Bytes::copy_from_slice(content).into());
            return (self, again);
        }
        let (now, again) = read(self, limit).await;
        let wrap = |body: Partial<Self>| Self::wrap(body);
        (wrap(now), again.map(wrap))
    }
}
