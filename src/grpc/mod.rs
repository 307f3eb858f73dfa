//! gRPC: guards in front of gRPC services, and challenge endpoints for gRPC clients.
//!
//! # Guards
//!
//! A guard refuses a gRPC request in gRPC's own terms, whatever service it guards: HTTP 200 and trailers only.
//!
//! | what | code | `ErrorInfo.reason` |
//! |---|---|---|
//! | no [`Caller`](crate::Caller) | 16 `UNAUTHENTICATED` | `UNAUTHORIZED` |
//! | the [`Requirement`](crate::Requirement) is not satisfied | 7 `PERMISSION_DENIED` | `STEP_UP_REQUIRED` |
//! | the store failed or was too slow | 14 `UNAVAILABLE`, with `RetryInfo` | `UNAVAILABLE` |
//!
//! The status details hold a `google.rpc.ErrorInfo`, in the
//! [domain](crate::StepUpBuilder::grpc_domain) that the application chose. Its metadata are the fields of the JSON
//! refusal as strings: `reason`, `scope`, `maxAge`, `channels` and `start`, the last two as JSON.
//!
//! Behind axum the default does: it negotiates by the content type, so that a router may hold both kinds. A tonic
//! service has another body and is wrapped by [`RequireStepUp::grpc`](crate::RequireStepUp::grpc). tonic dispatches
//! the methods within a service, so one *service* is wrapped, and its open methods are named:
#![cfg_attr(feature = "grpc", doc = "```")]
#![cfg_attr(not(feature = "grpc"), doc = "```ignore")]
//! use tonic::{Request, Status, service::InterceptorLayer, transport::Server};
//! use tower::Layer;
//! use tower_step_up::{Caller, RequireStepUp, StepUp};
//! # use tonic::{body::Body, codegen::{http::{Request as Http, Response}, Service}, server::NamedService};
//! # #[derive(Clone)]
//! # struct BankServer;
//! # impl NamedService for BankServer { const NAME: &'static str = "bank.v1.Bank"; }
//! # impl Service<Http<Body>> for BankServer {
//! #     type Response = Response<Body>;
//! #     type Error = std::convert::Infallible;
//! #     type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
//! #         std::task::Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, _: Http<Body>) -> Self::Future { std::future::ready(Ok(Response::default())) }
//! # }
//! # let bank = BankServer;
//! # fn who(_: &Request<()>) -> Option<Caller> { None }
//!
//! let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
//! let guard = RequireStepUp::new(&step_up).grpc().exempt("bank.v1.Bank", "Accounts")?;
//!
//! let server = Server::builder()
//!     .layer(InterceptorLayer::new(|mut request: Request<()>| {
//!         if let Some(caller) = who(&request) {
//!             request.extensions_mut().insert(caller); // theirs: they have authenticated it
//!         }
//!         Ok::<_, Status>(request)
//!     }))
//!     .add_service(guard.layer(bank)) // still a NamedService, with the feature `grpc`
//!     .add_service(step_up.grpc_challenges()); // outside the guard
//! # Ok::<_, tower_step_up::ConfigError>(())
#![doc = "```"]
//!
//! Not as `Server::builder().layer(guard)`: that covers every service of the server, the challenge endpoints too.
//!
//! A stream is decided when the call starts, before its first message is read, and goes on as it was decided.
//!
//! **gRPC-Web** is translated outside: `tonic_web::GrpcWebLayer` as a layer of the server turns a request into
//! gRPC before a guard sees it, and the refusal back.
//!
//! # The challenge endpoints
//!
//! With the feature `grpc`, `StepUp::grpc_challenges` is `stepup.v1.StepUp`: the operations of
//! [`ChallengeService`](crate::ChallengeService) for gRPC clients. It calls the same methods, so there is one set of
//! limits behind both. `proto/stepup/v1/step_up.proto` in this crate says what a client sends and gets.

#[cfg(feature = "grpc")]
mod codec;
#[cfg(feature = "grpc")]
mod service;
#[cfg(feature = "grpc")]
mod session_status;
#[cfg(feature = "grpc")]
mod status;

#[cfg(feature = "grpc")]
pub use self::service::{GrpcChallengeService, ResponseFuture};

/// Generated from `proto/stepup/v1/step_up.proto`; `examples/grpc/tests/generated.rs` says how.
#[cfg(feature = "grpc")]
mod v1 {
    #![allow(clippy::pedantic, unreachable_pub, reason = "generated")]
    include!("stepup.v1.rs");
}
