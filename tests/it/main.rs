//! The core, on axum and hyper, in one binary. What counts allocations, catches panics, starts a compiler or loads the
//! machine has a binary of its own beside this folder.
#![allow(clippy::duplicate_mod, reason = "examples share a module, each as a file of its own")]

mod attack;
mod broken_stores;
mod engine;
mod examples;
mod faults;
mod guard;
mod messages;
mod model;
mod page;
mod pairs;
mod races;
mod requirements;
mod round_trips;
mod store;
mod streams;
