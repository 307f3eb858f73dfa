//! The guard: [`RequireStepUp`], a layer that responds 403 until the caller's session has stepped up.
//!
//! It guards every request to the service that it wraps, regardless of path and method. That includes `OPTIONS`, so a
//! CORS layer belongs outside the guard.
//!
//! # Example
//!
//! ```
//! use axum::{Router, middleware::from_fn, routing::{get, post}};
//! use tower_step_up::{RequireStepUp, StepUp};
//!
//! # async fn authenticate(request: axum::extract::Request, next: axum::middleware::Next) -> axum::response::Response {
//! #     next.run(request).await
//! # }
//! let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
//!
//! let app: Router = Router::new()
//!     .route("/transfers", post(async || "paid"))
//!     .route_layer(RequireStepUp::new(&step_up)) // guards the routes above it …
//!     .route("/accounts", get(async || "accounts")) // … and not this one
//!     .nest_service("/stepup/challenges", step_up.challenges())
//!     .layer(from_fn(authenticate)); // outside of both: inserts a tower_step_up::Caller
//! # Ok::<_, tower_step_up::ConfigError>(())
//! ```
//!
//! # Requirements
//!
//! [`RequireStepUp::with`] takes a [`Requirement`](crate::Requirement): a scope, a maximum age, channels, and whether
//! one request consumes the grant. [`RequireStepUp::bind`] binds the step-up to that exact request. Without a service
//! to wrap, [`RequireStepUp::authorize`] decides for one request and [`StepUp::authorize`](crate::StepUp::authorize)
//! for one caller; all of them use the same decision. [`RequireStepUp::report_only`] only reports what it would refuse.
//!
//! A grant is consumed before the handler runs. If the handler then fails, or the client disconnects, it stays consumed
//! and the user must step up again, unless the handler [restores](crate::Grant::restore) it before it has had any
//! effect. Two guards in a row that each consume a grant consume two.
//!
//! # Responses that go on
//!
//! A guard decides once, before the response begins. [`RequireStepUp::ending`] ends a response when the step-up ends that
//! let it begin: event streams, gRPC streams and downloads. A WebSocket waits for
//! [`StepUp::ended`](crate::StepUp::ended) itself.
//!
//! # Refusals
//!
//! | condition | HTTP | gRPC |
//! |---|---|---|
//! | no [`Caller`](crate::Caller) | 401 `UNAUTHORIZED` | 16 |
//! | the [`Requirement`](crate::Requirement) is not satisfied | 403 `STEP_UP_REQUIRED` and a [`UnmetReason`](crate::UnmetReason) | 7 |
//! | the store failed or timed out | 503 `UNAVAILABLE` | 14 |
//! | [bound](crate::Binding), and the body is over 64 KiB | 413 | 11 |
//! | bound, and reading the body takes over 5 seconds | 408 | 4 |
//! | bound, and the body is incomplete or the request cannot be described | 400 | 3 |
//!
//! A gRPC request is refused with a gRPC status, any other with JSON; see [`grpc`](crate::grpc).
//!
//! The extensions of every refusal hold the [`Refusal`](crate::Refusal), also where a closure builds
//! the response, so that an outer layer can distinguish the guard's refusal from the application's own.

mod admission;
mod bind;
mod condition;
mod ending;
mod future;
mod layer;
#[cfg(feature = "page")]
mod page;
pub mod refusal;
mod service;

pub use self::{
    bind::{BindStepUp, Binding, BoundResponseFuture, BoundService, FromBytes, Rebuild, Replayed},
    ending::{Ending, EndingBody, EndingFuture, EndingService, StepUpLost},
    future::ResponseFuture,
    layer::RequireStepUp,
    service::GuardedService,
};
