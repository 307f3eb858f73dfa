//! The wire contract, seen from outside: the demo's bank and a few further apps, driven over HTTP with a clock that is
//! stepped by hand. Nothing here sleeps and nothing looks behind the router.

#[path = "../../examples/demo/bank.rs"]
#[allow(dead_code, unreachable_pub, clippy::pedantic)]
mod bank;

mod app;
mod own;
mod script;

mod demo;
mod guard;
mod headers;
mod identity;
mod life;
mod lockout;
mod malformed;
mod order;
mod outside;
mod paths;
mod policy;
mod push;
mod races;
mod start;
mod status;
mod verify;
