//! The layer in apps that have their own way of logging people in: `examples/with_*.rs`, and each claim that
//! `docs/sessions.md` makes about them.

mod claims;
mod client;
mod lines;
mod with_axum_login;
mod with_jwt;
mod with_signed_cookie;
mod with_tower_sessions;
