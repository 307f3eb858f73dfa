//! Stores that keep the contract, and what becomes of each by one mistake.

mod cache;
mod shelf;

pub(crate) use self::{
    cache::{Cached, Slip},
    shelf::{Fault, Shelf},
};
