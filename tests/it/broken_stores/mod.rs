//! Stores that keep the contract, and what becomes of each by one mistake.

mod cache;
mod faulty_map;

pub(crate) use self::{
    cache::{Cached, Slip},
    faulty_map::{Fault, FaultyMap},
};
