//! The wire contract, tested from outside: the demo's bank and a few other apps over HTTP, on a clock stepped by hand.
//! Nothing sleeps, and nothing looks behind the router.

#[path = "../../examples/demo/bank.rs"]
mod bank;

mod app;
mod body;
mod script;
mod vault_app;

mod demo;
mod ended;
mod fatigue;
mod guard;
mod headers;
mod identity;
mod life;
mod lockout;
mod malformed;
mod numbers;
mod order;
mod paths;
mod payouts;
mod pending;
mod policy;
mod purpose;
mod push;
mod races;
mod sends;
mod start;
mod status;
mod unenrolled;
mod verify;
