//! The examples that show one thing each: every one is driven as its own lines say, and where it has to refuse.

mod authenticator;
mod client;
mod dynamic_linking;
mod one_time;
mod passkey;
mod refusals;
mod scope_and_age;
mod tonic;
mod totp;
