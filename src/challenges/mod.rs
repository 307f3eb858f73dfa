//! The companion: [`ChallengeService`] starts challenges and verifies them, over HTTP.
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
//! | where do I stand | `GET /` | 200 `{"status","grants","channels"}` |
//! | drop the elevation | `DELETE /` | 204 |
//!
//! A start may carry `{"scope":"…","binding":"…"}`: what the step-up is for, and the token from a refusal that binds it
//! to one operation ([`Binding`](crate::Binding)).
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

use http::{Request, Response, request::Parts};
use tower::Service;

use self::{
    request::{Fields, parse},
    response::{Answer, InvalidField},
    route::{NoOperation, Operation, route},
};
use crate::{
    engine::{Caller, Purpose, StepUp, check_path},
    rules::{BODY_LIMIT, ChallengeError, ConfigError, Malformed, check_form},
    store::{MemoryStore, Store},
    timeout::BoxFuture,
    wire::{read, stamp},
};

mod body;
mod request;
mod response;
mod route;

pub use self::body::AnswerBody;

/// Starts and verifies challenges over HTTP. Made by [`StepUp::challenges`]; see the [module](self).
#[must_use = "a service does nothing until it is mounted"]
pub struct ChallengeService<S = MemoryStore> {
    step_up: StepUp<S>,
    prefix: Arc<str>,
}

impl<S: Store> StepUp<S> {
    /// The companion service: starts challenges and verifies them, over HTTP.
    pub fn challenges(&self) -> ChallengeService<S> {
        ChallengeService { step_up: self.clone(), prefix: "".into() }
    }
}

impl<S> ChallengeService<S> {
    /// Serves under a prefix that the host does not strip, such as `/stepup/challenges`. Any other path is 404.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Path`] for what is not a path.
    pub fn mounted_at(self, prefix: impl Into<Arc<str>>) -> Result<Self, ConfigError> {
        let prefix = prefix.into();
        check_path("mounted_at", &prefix)?;
        Ok(Self { prefix, ..self })
    }

    /// The path below the prefix.
    fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(&*self.prefix)? {
            "" => Some("/"),
            rest => Some(rest).filter(|rest| rest.starts_with('/')),
        }
    }
}

impl<S, B> Service<Request<B>> for ChallengeService<S>
where
    S: Store,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let service = self.clone();
        ResponseFuture(Box::pin(async move {
            let (parts, body) = request.into_parts();
            let mut answer = service.answer(&parts, body).await;
            stamp(answer.headers_mut(), &service.step_up.0);
            answer
        }))
    }
}

impl<S: Store> ChallengeService<S> {
    /// The order of the checks is the contract's: 404, 405, 401, 413 and 408, 400, then what the engine says.
    async fn answer<B>(&self, request: &Parts, body: B) -> Answer
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let operation = match self.strip(request.uri.path()).ok_or(NoOperation::NotFound) {
            Ok(path) => route(&request.method, path),
            Err(none) => Err(none),
        };
        let operation = match operation {
            Ok(operation) => operation,
            Err(none) => return response::no_operation(none),
        };
        let Some(caller) = self.step_up.0.identify(request) else {
            self.step_up.0.note_no_caller();
            return response::no_caller(&self.step_up.0.authenticate);
        };
        let body = match read(body, BODY_LIMIT).await {
            Ok(body) => body.data,
            Err(unread) => return response::unread(unread),
        };
        let Ok(fields) = parse(&request.headers, &body) else { return response::invalid(&[]) };
        match self.operate(operation, &caller, &fields).await {
            Ok(answer) => answer,
            Err(Refused::Invalid(fields)) => response::invalid(&fields),
            Err(Refused::Engine(error)) => response::refused(&error),
        }
    }

    async fn operate(&self, operation: Operation<'_>, caller: &Caller, fields: &Fields) -> Result<Answer, Refused> {
        let step_up = &self.step_up;
        let channels = &step_up.0.channels;
        match operation {
            Operation::Status => Ok(response::status(&step_up.status(caller).await?)),
            Operation::Drop => {
                step_up.revoke(caller).await?;
                Ok(response::no_content())
            }
            Operation::PushOutcome { channel, id } => {
                Ok(response::push_outcome(id, step_up.push_status(caller, channel, id).await?))
            }
            Operation::StartOtp { channel } => {
                let purpose = self.purpose(channels.otp_names(), channel, caller, fields)?;
                step_up.start_otp(caller, channel, purpose).await?;
                Ok(response::no_content())
            }
            Operation::StartPush { channel } => {
                let purpose = self.purpose(channels.push_names(), channel, caller, fields)?;
                Ok(response::push_started(&step_up.start_push(caller, channel, purpose).await?))
            }
            Operation::VerifyOtp { channel } => {
                let code = code(fields, step_up.0.policy.code_digits);
                match (unknown(channels.otp_names(), channel), code) {
                    (None, Ok(code)) => step_up.verify_otp(caller, channel, code).await?,
                    (unknown, code) => {
                        let code = code.err().map(InvalidField::code);
                        return Err(Refused::Invalid(unknown.into_iter().chain(code).collect()));
                    }
                };
                Ok(response::no_content())
            }
        }
    }

    /// What a start is for, if it and the channel are valid. Otherwise everything that is wrong is said at once.
    fn purpose<'a, 'f>(
        &'a self,
        registered: impl Iterator<Item = &'a str>,
        channel: &str,
        caller: &Caller,
        fields: &'f Fields,
    ) -> Result<Purpose<'f>, Refused> {
        let engine = &self.step_up.0;
        let scope = fields.scope.optional();
        let scope = scope.and_then(|scope| scope.map_or(Ok(()), |scope| engine.check_scope(scope)).map(|()| scope));
        let binding = fields.binding.optional();
        let binding = binding.and_then(|token| {
            token.map_or(Ok(()), |token| engine.open_binding(caller, token).map(drop)).map(|()| token)
        });
        match (unknown(registered, channel), scope, binding) {
            (None, Ok(scope), Ok(binding)) => Ok(Purpose { scope, binding }),
            (unknown, scope, binding) => {
                let scope = scope.err().map(InvalidField::scope);
                let binding = binding.err().map(InvalidField::binding);
                Err(Refused::Invalid(unknown.into_iter().chain(scope).chain(binding).collect()))
            }
        }
    }
}

/// Why an operation has no success to answer with.
enum Refused {
    Invalid(Vec<InvalidField>),
    Engine(ChallengeError),
}

impl From<ChallengeError> for Refused {
    fn from(error: ChallengeError) -> Self {
        Self::Engine(error)
    }
}

fn code(fields: &Fields, digits: u8) -> Result<&str, Malformed> {
    let code = fields.verification_code.required()?;
    check_form(code, digits).map(|()| code)
}

/// What is wrong with a channel that is not registered for the operation.
fn unknown<'a>(mut registered: impl Iterator<Item = &'a str>, channel: &str) -> Option<InvalidField> {
    (!registered.any(|name| name == channel)).then_some(InvalidField::CHANNEL)
}

impl<S> Clone for ChallengeService<S> {
    fn clone(&self) -> Self {
        Self { step_up: self.step_up.clone(), prefix: Arc::clone(&self.prefix) }
    }
}

impl<S> fmt::Debug for ChallengeService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeService").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The future of a [`ChallengeService`].
pub struct ResponseFuture(BoxFuture<'static, Answer>);

impl Future for ResponseFuture {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
