//! Stores that fulfil the contract, and variants of each with one mistake.

mod cache;
mod faulty_map;

pub(crate) use self::{
    cache::{Cached, Slip},
    faulty_map::{Fault, FaultyMap},
};
