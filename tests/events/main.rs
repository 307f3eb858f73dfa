//! Events for observers, `tracing` and `metrics`, secrets that must not leave the crate, and the page `docs/events.md`.
#![allow(clippy::format_collect, clippy::type_complexity, reason = "short before fast, in a test")]

mod canary;
mod capture;
mod emitted;
mod page;
mod store_copy;
