//! What is told of what happens, to observers, to `tracing` and to `metrics`; what is told to nobody; and the page about
//! it, `docs/events.md`.
#![allow(clippy::format_collect, clippy::type_complexity, reason = "short before fast, in a test")]

mod canary;
mod capture;
mod copy;
mod page;
mod told;
