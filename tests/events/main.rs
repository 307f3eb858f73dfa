//! What is told of what happens, to observers, to `tracing` and to `metrics`; what is told to nobody; and the page about
//! it, `docs/events.md`.

mod canary;
mod capture;
mod page;
#[path = "../support/mod.rs"]
mod support;
mod told;
