//! The challenge endpoints as a gRPC service.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::request::Parts;
use http_body_util::Full;
use tonic::{Request, Response, Status, body::Body, server::NamedService};
use tower::Service;

use super::{
    status,
    v1::{
        self,
        step_up_server::{SERVICE_NAME, StepUp as Operations, StepUpServer},
    },
};
use crate::{
    engine::{ApiCall, Caller, Named, Outcome, StepUp},
    rules::{BODY_LIMIT, ChallengeError, Malformed, PushStatus},
    timeout::BoxFuture,
    wire::{RpcStatus, language, read, stamp},
};

/// Every method of the service.
const METHODS: [&str; 8] =
    ["StartOtp", "VerifyOtp", "CancelOtp", "StartPush", "PushStatus", "CancelPush", "Status", "Drop"];

type HttpResponse = http::Response<Body>;

impl StepUp {
    /// The companion service for gRPC clients: `stepup.v1.StepUp`.
    ///
    /// # Example
    ///
    /// ```
    /// # let step_up = tower_step_up::StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let server = tonic::transport::Server::builder().add_service(step_up.grpc_challenges());
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    pub fn grpc_challenges(&self) -> GrpcChallengeService {
        GrpcChallengeService { server: StepUpServer::new(Called(self.clone())), step_up: self.clone() }
    }
}

/// Starts challenges and verifies them, over gRPC. Made by [`StepUp::grpc_challenges`]; see the
/// [module](crate::grpc).
#[must_use = "a service does nothing until it is added to a server"]
pub struct GrpcChallengeService {
    step_up: StepUp,
    server: StepUpServer<Called>,
}

impl GrpcChallengeService {
    /// The order of the checks is that of HTTP: the method, the caller, the message's size, then its content.
    async fn answer<B>(&mut self, request: http::Request<B>) -> HttpResponse
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        let mut message = Full::default();
        if is_operation(&parts) {
            let engine = &self.step_up.0;
            let Some(caller) = engine.identify(&parts) else {
                engine.note_no_caller();
                return status::no_caller(&engine.wire.grpc_domain).into_http();
            };
            match read(body, BODY_LIMIT).await {
                Ok(read) => message = Full::new(Bytes::from(read.data)),
                Err(unread) => return status::unread(unread, &engine.wire.grpc_domain).into_http(),
            }
            let language = language(&parts.headers).map(Into::into);
            parts.extensions.insert(Asking { caller, language });
        }
        let Ok(mut answer) = self.server.call(http::Request::from_parts(parts, message)).await;
        RpcStatus::explain(answer.headers_mut(), &self.step_up.0.wire.grpc_domain);
        answer
    }
}

fn is_operation(request: &Parts) -> bool {
    let method = request.uri.path().strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME));
    method.and_then(|path| path.strip_prefix('/')).is_some_and(|method| METHODS.contains(&method))
}

impl<B> Service<http::Request<B>> for GrpcChallengeService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ResponseFuture {
        let mut service = self.clone();
        ResponseFuture(Box::pin(async move {
            let mut answer = service.answer(request).await;
            let engine = &service.step_up.0;
            stamp(answer.headers_mut(), &engine.wire, engine.request_ref());
            answer
        }))
    }
}

impl NamedService for GrpcChallengeService {
    const NAME: &'static str = SERVICE_NAME;
}

impl Clone for GrpcChallengeService {
    fn clone(&self) -> Self {
        Self { step_up: self.step_up.clone(), server: self.server.clone() }
    }
}

impl fmt::Debug for GrpcChallengeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrpcChallengeService")
    }
}

/// The future of a [`GrpcChallengeService`].
pub struct ResponseFuture(BoxFuture<'static, HttpResponse>);

impl Future for ResponseFuture {
    type Output = Result<HttpResponse, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}

/// Who asks, as this service has found it: nobody else can put it there.
#[derive(Clone)]
struct Asking {
    caller: Caller,
    language: Option<Box<str>>,
}

fn named<'a>(scope: Option<&'a str>, binding: Option<&'a str>, language: Option<&'a str>) -> Named<'a> {
    Named { scope: Ok(scope), binding: Ok(binding), language, exact: false }
}

/// The operations, called by the generated server.
struct Called(StepUp);

#[tonic::async_trait]
impl Operations for Called {
    async fn start_otp(&self, request: Request<v1::StartOtpRequest>) -> Answer<v1::StartOtpResponse> {
        let (Asking { caller, language }, message) = self.asked(request)?;
        let v1::StartOtpRequest { channel, scope, binding } = message;
        let purpose = named(scope.as_deref(), binding.as_deref(), language.as_deref());
        self.perform(&caller, ApiCall::StartOtp { channel: &channel, purpose }).await?;
        Ok(Response::new(v1::StartOtpResponse {}))
    }

    async fn verify_otp(&self, request: Request<v1::VerifyOtpRequest>) -> Answer<v1::VerifyOtpResponse> {
        let (Asking { caller, .. }, message) = self.asked(request)?;
        let v1::VerifyOtpRequest { channel, verification_code, scope, binding } = message;
        let code = verification_code.as_deref().ok_or(Malformed::Missing);
        let purpose = named(scope.as_deref(), binding.as_deref(), None);
        self.perform(&caller, ApiCall::VerifyOtp { channel: &channel, code, purpose }).await?;
        Ok(Response::new(v1::VerifyOtpResponse {}))
    }

    async fn cancel_otp(&self, request: Request<v1::CancelOtpRequest>) -> Answer<v1::CancelOtpResponse> {
        let (Asking { caller, .. }, v1::CancelOtpRequest { channel }) = self.asked(request)?;
        self.perform(&caller, ApiCall::CancelOtp { channel: &channel }).await?;
        Ok(Response::new(v1::CancelOtpResponse {}))
    }

    async fn start_push(&self, request: Request<v1::StartPushRequest>) -> Answer<v1::StartPushResponse> {
        let (Asking { caller, language }, message) = self.asked(request)?;
        let v1::StartPushRequest { channel, scope, binding } = message;
        let purpose = named(scope.as_deref(), binding.as_deref(), language.as_deref());
        match self.perform(&caller, ApiCall::StartPush { channel: &channel, purpose }).await? {
            Outcome::PushStarted(push) => Ok(Response::new(v1::StartPushResponse { id: push.id, number: push.number })),
            _ => Err(self.internal()),
        }
    }

    async fn push_status(&self, request: Request<v1::PushStatusRequest>) -> Answer<v1::PushStatusResponse> {
        let (Asking { caller, .. }, v1::PushStatusRequest { channel, id }) = self.asked(request)?;
        let outcome = self.perform(&caller, ApiCall::PushStatus { channel: &channel, id: &id }).await?;
        let Outcome::PushStatus { status, .. } = outcome else { return Err(self.internal()) };
        let (state, expires_in) = match status.ok_or_else(|| status::no_such_push(self.domain()))? {
            PushStatus::Pending { expires_in } => (v1::PushState::Pending, expires_in.as_secs()),
            PushStatus::Verified => (v1::PushState::Verified, 0),
            PushStatus::Declined => (v1::PushState::Declined, 0),
            PushStatus::Expired => (v1::PushState::Expired, 0),
        };
        Ok(Response::new(v1::PushStatusResponse { id, status: state.into(), expires_in }))
    }

    async fn cancel_push(&self, request: Request<v1::CancelPushRequest>) -> Answer<v1::CancelPushResponse> {
        let (Asking { caller, .. }, v1::CancelPushRequest { channel, id }) = self.asked(request)?;
        match self.perform(&caller, ApiCall::CancelPush { channel: &channel, id: &id }).await? {
            Outcome::PushCancelled(true) => Ok(Response::new(v1::CancelPushResponse {})),
            Outcome::PushCancelled(false) => Err(status::no_such_push(self.domain())),
            _ => Err(self.internal()),
        }
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let (Asking { caller, .. }, v1::StatusRequest {}) = self.asked(request)?;
        let Outcome::Status(status) = self.perform(&caller, ApiCall::Status).await? else {
            return Err(self.internal());
        };
        Ok(Response::new((*status).into()))
    }

    async fn drop(&self, request: Request<v1::DropRequest>) -> Answer<v1::DropResponse> {
        let (Asking { caller, .. }, v1::DropRequest {}) = self.asked(request)?;
        self.perform(&caller, ApiCall::Drop).await?;
        Ok(Response::new(v1::DropResponse {}))
    }
}

type Answer<T> = Result<Response<T>, Status>;

impl Called {
    fn domain(&self) -> &str {
        &self.0.0.wire.grpc_domain
    }

    /// Who asks, and what.
    fn asked<T>(&self, request: Request<T>) -> Result<(Asking, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let asking = extensions.get().cloned().ok_or_else(|| status::no_caller(self.domain()))?;
        Ok((asking, message))
    }

    async fn perform<'a>(&self, caller: &Caller, call: ApiCall<'a>) -> Result<Outcome<'a>, Status> {
        self.0.perform(caller, call).await.map_err(|rejected| status::rejected(&rejected, self.domain()))
    }

    /// An outcome of another operation, which the engine does not give.
    fn internal(&self) -> Status {
        status::refused(&ChallengeError::Internal, self.domain())
    }
}
