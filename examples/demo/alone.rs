//! Replaces `shared.rs` without the feature `redis`: all state is in this process, and nothing is shared.

use std::{convert::Infallible, error::Error};

use tower_step_up::MemoryStore;

use super::users::Account;

/// The error of [`Shared`]: uninhabited, since it never fails.
pub(super) type Down = Infallible;

/// Uninhabited: there is no shared state.
#[derive(Clone)]
pub(super) enum Shared {}

pub(super) fn open(_: &str) -> Result<(Shared, MemoryStore), Box<dyn Error>> {
    Err("Redis is left out: cargo run --example demo --features redis".into())
}

#[allow(clippy::unused_async, reason = "as in `shared.rs`")]
impl Shared {
    pub(super) async fn login(&self, _: &str, _: &str) -> Result<(), Down> {
        match *self {}
    }

    pub(super) async fn find(&self, _: &str) -> Result<Option<String>, Down> {
        match *self {}
    }

    pub(super) async fn forget(&self, _: &str) -> Result<(), Down> {
        match *self {}
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, Down> {
        match *self {}
    }

    pub(super) async fn with<T>(&self, _: &str, _: impl FnOnce(&mut Account) -> T) -> Result<T, Down> {
        match *self {}
    }
}
