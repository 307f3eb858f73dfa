//! The challenge endpoints: [`ChallengeService`] starts challenges and verifies them, over HTTP.
//!
//! It sits inside the layer that authenticates and outside every guard: a caller who has to step up must reach
//! it.
//!
//! | operation | request | success |
//! |---|---|---|
//! | start a one-time code | `POST /otp/{channel}` | 204 |
//! | verify it | `POST /otp/{channel}/verify` `{"verificationCode":"123456"}` | 204 |
//! | start a push | `POST /push/{channel}` | 200 `{"id"}` |
//! | push outcome | `GET /push/{channel}/{id}` | 200 `{"id","status","expiresIn"}` |
//! | status of the session | `GET /` | 200 `{"status","grants","channels","pending","to"}` |
//! | drop the elevation | `DELETE /` | 204 |
//! | cancel what is pending | `DELETE /otp/{channel}`, `DELETE /push/{channel}/{id}` | 204 |
//!
//! A start may carry `{"scope":"…","binding":"…"}`: what the step-up is for, and the token from a refusal that binds it
//! to one operation ([`Binding`](crate::Binding)). A verification may carry the same: a code that is pending for
//! something else is not compared.
//!
//! # Example
//!
//! In axum, [`nest_service`](https://docs.rs/axum/latest/axum/struct.Router.html#method.nest_service) strips the
//! prefix:
//!
//! ```
//! # let step_up = tower_step_up::StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
//! let app: axum::Router = axum::Router::new().nest_service("/stepup/challenges", step_up.challenges());
//! # Ok::<_, tower_step_up::ConfigError>(())
//! ```
//!
//! On plain hyper, or behind anything else that leaves the path as it is, the service strips it itself:
//!
//! ```
//! # let step_up = tower_step_up::StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
//! let service = step_up.challenges().mounted_at("/stepup/challenges")?;
//! # Ok::<_, tower_step_up::ConfigError>(())
//! ```

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, header::CACHE_CONTROL, request::Parts};
use tower::Service;

use self::{
    request::{Fields, parse},
    response::Answer,
    route::{Endpoint, NoOperation, route},
};
use crate::{
    engine::{ApiCall, Named, StepUp},
    rules::{BODY_LIMIT, ConfigError},
    timeout::BoxFuture,
    wire::{check_path, content, language, read, stamp},
};

mod body;
mod request;
mod response;
mod route;

pub use self::body::ResponseBody;

/// Starts and verifies challenges over HTTP. Made by [`StepUp::challenges`]; see the [module](self).
#[must_use = "a service does nothing until it is mounted"]
pub struct ChallengeService {
    step_up: StepUp,
    prefix: Arc<str>,
    #[cfg(feature = "page")]
    page: Option<Arc<crate::page::PageService>>,
}

impl StepUp {
    /// The challenge endpoints as a service: starts challenges and verifies them, over HTTP.
    pub fn challenges(&self) -> ChallengeService {
        ChallengeService {
            step_up: self.clone(),
            prefix: "".into(),
            #[cfg(feature = "page")]
            page: None,
        }
    }
}

impl ChallengeService {
    /// Serves under a prefix that the host does not strip, such as `/stepup/challenges`. Any other path is 404.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPath`] for what is not a path.
    pub fn mounted_at(self, prefix: impl Into<Arc<str>>) -> Result<Self, ConfigError> {
        let prefix = prefix.into();
        check_path("mounted_at", &prefix)?;
        Ok(Self { prefix, ..self })
    }

    /// Also serves the [page](crate::page) on which a person steps up, at `/page` below the endpoints.
    ///
    /// # Errors
    ///
    /// - [`ConfigError::PageWithoutPath`] where the builder was not told the
    ///   [public path](crate::StepUpBuilder::public_path), which the page's forms and links need.
    /// - [`ConfigError::Page`] for what the page cannot show.
    #[cfg(feature = "page")]
    pub fn with_page(self, page: crate::page::Page) -> Result<Self, ConfigError> {
        let page = crate::page::PageService::new(page, &self.step_up)?;
        Ok(Self { page: Some(page), ..self })
    }

    /// The path below the prefix.
    fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(&*self.prefix)? {
            "" => Some("/"),
            rest => Some(rest).filter(|rest| rest.starts_with('/')),
        }
    }
}

impl<B> Service<Request<B>> for ChallengeService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let service = self.clone();
        ResponseFuture(Box::pin(async move {
            let (parts, body) = request.into_parts();
            let (mut answer, json) = service.answer(&parts, body).await.into_parts();
            let body = ResponseBody::new(content(&parts.method, json, &mut answer.headers));
            let engine = &service.step_up.0;
            // Only the page's style and script may be stored.
            let kept = answer.headers.remove(CACHE_CONTROL);
            stamp(&mut answer.headers, &engine.wire, engine.request_ref());
            kept.map(|kept| answer.headers.insert(CACHE_CONTROL, kept));
            Response::from_parts(answer, body)
        }))
    }
}

impl ChallengeService {
    /// The order of the checks is the contract's: 404, 405, 401, 413 and 408, 400, then what the engine says.
    async fn answer<B>(&self, request: &Parts, body: B) -> Answer
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = self.strip(request.uri.path());
        #[cfg(feature = "page")]
        if let (Some(page), Some(path)) = (&self.page, path.and_then(|path| path.strip_prefix("/page"))) {
            let answer = page.answer(&self.step_up, request, path, body).await;
            return answer.unwrap_or_else(|| response::no_operation(NoOperation::NotFound));
        }
        let operation = match path.ok_or(NoOperation::NotFound) {
            Ok(path) => route(&request.method, path),
            Err(none) => Err(none),
        };
        let operation = match operation {
            Ok(operation) => operation,
            Err(none) => return response::no_operation(none),
        };
        let Some(caller) = self.step_up.0.identify(request) else {
            self.step_up.0.note_no_caller();
            return response::no_caller(&self.step_up.0.wire.authenticate);
        };
        let body = match read(body, BODY_LIMIT).await {
            Ok(body) => body.data,
            Err(unread) => return response::unread(unread),
        };
        let fields = match parse(&request.headers, &body) {
            Ok(fields) => fields,
            Err(unparsed) => return response::unparsed(unparsed),
        };
        let language = language(&request.headers);
        match self.step_up.perform(&caller, call(operation, &fields, language)).await {
            Ok(outcome) => response::outcome(&outcome),
            Err(rejected) => response::rejected(&rejected),
        }
    }
}

/// The operation with its fields.
fn call<'a>(operation: Endpoint<'a>, fields: &'a Fields, language: Option<&'a str>) -> ApiCall<'a> {
    let purpose = Named { scope: fields.scope.optional(), binding: fields.binding.optional(), language, exact: false };
    match operation {
        Endpoint::Status => ApiCall::Status,
        Endpoint::Drop => ApiCall::Drop,
        Endpoint::StartOtp { channel } => ApiCall::StartOtp { channel, purpose },
        Endpoint::VerifyOtp { channel } => {
            ApiCall::VerifyOtp { channel, code: fields.verification_code.required(), purpose }
        }
        Endpoint::CancelOtp { channel } => ApiCall::CancelOtp { channel },
        Endpoint::StartPush { channel } => ApiCall::StartPush { channel, purpose },
        Endpoint::PushOutcome { channel, id } => ApiCall::PushStatus { channel, id },
        Endpoint::CancelPush { channel, id } => ApiCall::CancelPush { channel, id },
    }
}

impl Clone for ChallengeService {
    fn clone(&self) -> Self {
        Self {
            step_up: self.step_up.clone(),
            prefix: Arc::clone(&self.prefix),
            #[cfg(feature = "page")]
            page: self.page.clone(),
        }
    }
}

impl fmt::Debug for ChallengeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeService").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The future of a [`ChallengeService`].
pub struct ResponseFuture(BoxFuture<'static, Response<ResponseBody>>);

impl Future for ResponseFuture {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}

/// The answer that the challenge endpoints give to it: for a handler that starts or verifies a challenge itself.
#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for crate::rules::ChallengeError {
    fn into_response(self) -> axum_core::response::Response {
        let mut answer = response::rejected(&self.into()).map(axum_core::body::Body::from);
        let no_store = http::HeaderValue::from_static("no-store");
        answer.headers_mut().insert(http::header::CACHE_CONTROL, no_store);
        answer
    }
}
