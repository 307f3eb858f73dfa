//! Shared code of the tests in this workspace. It is not published.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    reason = "read by tests alone"
)]

pub mod browser;
pub mod client;
mod faulty_store;
pub mod life;
mod no_op;
mod python;
mod recorder;
mod sender;
pub mod server;

use std::sync::Arc;

use tokio::sync::Barrier;
use tower_step_up::{Caller, Requirement, StepUp, store::Swapped};

pub use self::{
    faulty_store::{Fails, FaultyStore, kind_of, poll_at_most},
    no_op::NoOp,
    python::python,
    recorder::Recorder,
    sender::Sender,
};

/// Alice, in her session 1.
pub fn alice() -> Caller {
    Caller::user("alice").session("1")
}

/// Whether a guard with the default requirement lets the caller pass.
pub async fn passes(step_up: &StepUp, caller: &Caller) -> bool {
    step_up.authorize(caller, &Requirement::new()).await.is_ok()
}

/// Runs this many tasks concurrently, all released together; returns their results in order.
pub async fn together<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    tasks: usize,
    make: impl Fn(usize) -> F,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(tasks));
    let handles: Vec<_> = (0..tasks)
        .map(|i| {
            let (barrier, task) = (Arc::clone(&barrier), make(i));
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(tasks);
    for handle in handles {
        results.push(handle.await.unwrap());
    }
    results
}

/// For a store that applies changes one by one: the result with which it stops, `None` if the change was made.
pub fn stopped(made: Swapped, at: usize) -> Option<Swapped> {
    match made {
        Swapped::Done => None,
        Swapped::Conflict { .. } => Some(Swapped::Conflict { at }),
        Swapped::Full { .. } => Some(Swapped::Full { at }),
    }
}
