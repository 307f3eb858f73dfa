//! Clients that the layer goes around.
//!
//! Any `Service<Request<B>>` does whose body is a [`RepeatableBody`](crate::RepeatableBody). These are for those that
//! are no such service or have another body.

#[cfg(feature = "hyper-util")]
pub mod hyper_util;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "tonic")]
mod tonic;
