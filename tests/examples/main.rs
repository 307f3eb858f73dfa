//! The examples that show one thing each: every one is driven as its own lines say, and where it has to refuse.

#![allow(clippy::duplicate_mod, reason = "examples share a module, each as a file of its own")]

mod authenticator;
mod client;
mod dynamic_linking;
mod one_time;
mod passkey;
mod refusals;
mod scope_and_age;
mod tonic;
mod totp;
