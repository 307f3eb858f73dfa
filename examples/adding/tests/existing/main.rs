//! The layer in apps with their own authentication: `examples/adding/with_*.rs`, and each claim of `docs/sessions.md`
//! about them.

mod claims;
mod client;
mod lines;
mod page;
mod single_page;
mod with_axum_login;
mod with_jwt;
mod with_signed_cookie;
mod with_tower_sessions;
