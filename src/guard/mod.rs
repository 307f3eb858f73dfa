//! The guard: [`RequireStepUp`], a layer that answers 403 until the caller's session has stepped up.
//!
//! It wraps services and knows no paths: what it wraps is guarded, whatever the request looks like.
//! Every method is guarded, `OPTIONS` too, so a CORS layer goes outside.
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
//! # What a route asks for
//!
//! [`RequireStepUp::with`] takes a [`Requirement`](crate::Requirement): a scope, an age, channels, and whether one
//! request spends the grant. [`RequireStepUp::bind`] binds it to the very request. Where there is no service to wrap,
//! [`RequireStepUp::authorize`] asks for one request, and [`StepUp::authorize`](crate::StepUp::authorize) for one
//! caller; all of them decide in the same way. [`RequireStepUp::report_only`] only reports what it would refuse.
//!
//! A grant that is spent is spent before the handler runs. Where the handler then fails, or the client goes away, it
//! stays consumed and the user steps up again, unless the handler [restores it](crate::Grant::restore) before it did
//! anything. Two guards in a row that each spend one take two.
//!
//! # Refusals
//!
//! | what | answer | gRPC |
//! |---|---|---|
//! | no [`Caller`](crate::Caller) | 401 `UNAUTHORIZED` | 16 |
//! | the [`Requirement`](crate::Requirement) is not satisfied | 403 `STEP_UP_REQUIRED` and a [`UnmetReason`](crate::UnmetReason) | 7 |
//! | the store failed or was too slow | 503 `UNAVAILABLE` | 14 |
//! | [bound](crate::Binding), and the body is over 64 KiB | 413 | 11 |
//! | bound, and the body takes over 5 seconds | 408 | 4 |
//! | bound, and the request breaks off or cannot be described | 400 | 3 |
//!
//! A gRPC request is refused in gRPC's terms, any other with JSON; see [`grpc`](crate::grpc).
//!
//! However the response is built, its extensions hold the [`Refusal`](crate::Refusal), so that a layer outside can tell
//! a guard's refusal from the application's own.

mod admission;
mod bind;
mod condition;
mod future;
mod layer;
pub mod refusal;
mod service;

pub use self::{
    bind::{BindStepUp, Binding, BoundResponseFuture, BoundService, FromBytes, Rebuild, Replayed},
    future::ResponseFuture,
    layer::RequireStepUp,
    service::GuardedService,
};
