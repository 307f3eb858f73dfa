//! The challenge endpoints over gRPC: `stepup.v1.StepUp`.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use tonic::{Status, body::Body};
use tonic_types::StatusExt;
use tower_service::Service;

use self::v1::step_up_client::StepUpClient;
use super::{
    ChallengeError, Grant, Inner, Pending, PendingOtp, PendingPush, PushOutcome, PushStarted, PushStatus, SessionStatus,
};
use crate::{
    BoxError, Channels,
    body::{Partial, Piece},
    target::Target,
    transport::Transport,
};

/// Generated from `proto/stepup/v1/step_up.proto`, without a transport; `examples/grpc/tests/generated.rs` says how.
mod v1 {
    #![allow(
        clippy::pedantic,
        dead_code,
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        reason = "generated"
    )]
    include!("stepup.v1.rs");
}

impl Inner {
    fn client(&self) -> StepUpClient<Calls> {
        StepUpClient::new(Calls { transport: Arc::clone(&self.transport), target: self.target.clone() })
    }

    pub(super) async fn grpc_start(&self, channel: &str) -> Result<(), ChallengeError> {
        let (channel, scope, binding) = (channel.to_owned(), self.scope.clone(), self.binding.clone());
        done(self.client().start_otp(v1::StartOtpRequest { channel, scope, binding }).await).map(drop)
    }

    pub(super) async fn grpc_verify(&self, channel: &str, code: &str) -> Result<(), ChallengeError> {
        let request = v1::VerifyOtpRequest {
            channel: channel.to_owned(),
            verification_code: Some(code.to_owned()),
            scope: self.scope.clone(),
            binding: self.binding.clone(),
        };
        done(self.client().verify_otp(request).await).map(drop)
    }

    pub(super) async fn grpc_start_push(&self, channel: &str) -> Result<PushStarted, ChallengeError> {
        let (channel, scope, binding) = (channel.to_owned(), self.scope.clone(), self.binding.clone());
        let started = done(self.client().start_push(v1::StartPushRequest { channel, scope, binding }).await)?;
        Ok(PushStarted { id: started.id, number: started.number })
    }

    pub(super) async fn grpc_poll(&self, channel: &str, id: &str) -> Result<PushOutcome, ChallengeError> {
        let request = v1::PushStatusRequest { channel: channel.to_owned(), id: id.to_owned() };
        let outcome = done(self.client().push_status(request).await)?;
        let status = match outcome.status() {
            v1::PushState::Pending => PushStatus::Pending,
            v1::PushState::Verified => PushStatus::Verified,
            v1::PushState::Declined => PushStatus::Declined,
            v1::PushState::Expired => PushStatus::Expired,
            v1::PushState::Unspecified => return Err(ChallengeError::Unexpected),
        };
        Ok(PushOutcome { status, expires_in: Duration::from_secs(outcome.expires_in) })
    }

    pub(super) async fn grpc_cancel(&self, channel: &str) -> Result<(), ChallengeError> {
        done(self.client().cancel_otp(v1::CancelOtpRequest { channel: channel.to_owned() }).await).map(drop)
    }

    pub(super) async fn grpc_cancel_push(&self, channel: &str, id: &str) -> Result<(), ChallengeError> {
        let request = v1::CancelPushRequest { channel: channel.to_owned(), id: id.to_owned() };
        done(self.client().cancel_push(request).await).map(drop)
    }

    pub(super) async fn grpc_status(&self) -> Result<SessionStatus, ChallengeError> {
        done(self.client().status(v1::StatusRequest {}).await).map(Into::into)
    }
}

impl From<v1::StatusResponse> for SessionStatus {
    fn from(status: v1::StatusResponse) -> Self {
        let channels = status.channels.clone().unwrap_or_default();
        let pending = status.pending.clone().unwrap_or_default();
        Self {
            stepped_up: status.status() == v1::Level::SteppedUp,
            channels: Channels { otp: channels.otp, push: channels.push, proof: channels.proof },
            pending: Pending { otp: pending.otp.map(Into::into), push: pending.push.map(Into::into) },
            grants: status.grants.into_iter().map(Into::into).collect(),
            to: status.to.into_iter().collect(),
        }
    }
}

impl From<v1::Grant> for Grant {
    fn from(grant: v1::Grant) -> Self {
        Self {
            channel: grant.channel,
            scope: grant.scope,
            verified_at: Duration::from_millis(grant.verified_at),
            expires_in: Duration::from_secs(grant.expires_in),
            bound: grant.bound,
        }
    }
}

impl From<v1::PendingOtp> for PendingOtp {
    fn from(pending: v1::PendingOtp) -> Self {
        Self {
            channel: pending.channel,
            scope: pending.scope,
            operation: pending.operation,
            to: pending.to,
            expires_in: Duration::from_secs(pending.expires_in),
            retry_in: Duration::from_secs(pending.retry_in),
        }
    }
}

impl From<v1::PendingPush> for PendingPush {
    fn from(pending: v1::PendingPush) -> Self {
        Self {
            id: pending.id,
            channel: pending.channel,
            scope: pending.scope,
            operation: pending.operation,
            to: pending.to,
            expires_in: Duration::from_secs(pending.expires_in),
        }
    }
}

/// A status without an `ErrorInfo` is no refusal of ours. Of its text nothing is repeated.
fn done<T>(outcome: Result<tonic::Response<T>, Status>) -> Result<T, ChallengeError> {
    outcome.map(tonic::Response::into_inner).map_err(|status| match status.get_details_error_info() {
        Some(info) => {
            let wait = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
            ChallengeError::refused(&info.reason, wait)
        }
        None => ChallengeError::Unreachable(format!("gRPC: {}", status.code().description()).into()),
    })
}

/// The service inside, for generated code.
#[derive(Clone)]
struct Calls {
    transport: Arc<dyn Transport>,
    target: Target,
}

impl Service<Request<Body>> for Calls {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { transport, target } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let mut call = target.request(parts.uri.path(), body).ok_or("the request has no valid path")?;
            *call.method_mut() = Method::POST;
            call.headers_mut().extend(parts.headers);
            let (parts, body) = transport.send(call).await?.into_parts();
            let mut whole = Partial::<Body>::whole(body.data);
            whole.frames.extend(body.trailers.map(Piece::Trailers));
            Ok(Response::from_parts(parts, Body::new(whole)))
        })
    }
}
