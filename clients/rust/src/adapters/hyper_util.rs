//! The pooled client of hyper-util.

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper_util::client::legacy::{
    Client,
    connect::{Connect, HttpConnector},
};

use crate::BoxError;

/// A request body for hyper-util's client, made by [`body`].
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A client over plain HTTP, with a body that can be repeated.
///
/// # Example
/// ```no_run
/// use http::Request;
/// use tower::{Layer, ServiceExt};
/// use tower_step_up_client::{StepUpClient, adapters::hyper_util};
/// # use tower_step_up_client::{Challenges, Prompt, PromptError, Requirement};
/// # struct Sms;
/// # impl Prompt for Sms {
/// #     async fn prompt(&self, _: &Requirement, _: &Challenges) -> Result<(), PromptError> { Ok(()) }
/// # }
///
/// # async fn pay() -> Result<(), tower_step_up_client::Error> {
/// let client = StepUpClient::new(Sms).layer(hyper_util::client());
/// let request = Request::post("http://127.0.0.1:3000/transfers").header("authorization", "Bearer ..");
/// let request = request.body(hyper_util::body(r#"{"to":"bob","amount":10}"#)).expect("a valid request");
/// let response = client.oneshot(request).await?;
/// # Ok(())
/// # }
/// ```
///
/// For TLS, use [`client_over`] with a connector.
#[must_use]
pub fn client() -> Client<HttpConnector, Body> {
    client_over(HttpConnector::new())
}

/// A client over this connector.
pub fn client_over<C: Connect + Clone>(connector: C) -> Client<C, Body> {
    Client::builder(hyper_util::rt::TokioExecutor::new()).build(connector)
}

/// A body of this content.
pub fn body(content: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}
