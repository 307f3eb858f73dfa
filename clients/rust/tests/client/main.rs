//! The rules of the client, against the demo's bank and the bank of the example on tonic. Nothing sleeps.
#![allow(unexpected_cfgs, reason = "the demo's bank has the feature `redis`, and this package does not")]

#[path = "../../../../examples/demo/bank.rs"]
#[allow(dead_code, reason = "several banks on one Redis")]
mod bank;

#[path = "../../../../examples/grpc/tonic/main.rs"]
#[allow(dead_code, reason = "its main")]
mod tonic_bank;

mod support;

mod adapters;
mod bodies;
mod bound;
mod challenges;
mod grpc;
mod recognise;
mod secrets;
mod shared;
mod trailers;
