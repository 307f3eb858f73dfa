//! What is wrong with how a store is configured.

use std::{error::Error, fmt};

/// What [`Store::check`](super::Store::check) finds wrong. Requests go on: it becomes an
/// [`Event::StoreWarning`](crate::Event::StoreWarning).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreWarning {
    /// It evicts records when its memory is full, and with them locks, waits and budgets.
    Evicts {
        /// The policy by which it does, in the store's own words.
        policy: String,
    },
    /// It is configured in another way that can lose records, or serve old ones.
    Misconfigured {
        /// What is wrong and what to do about it. It is logged, so it must name no secret.
        what: String,
    },
    /// It did not say how it is configured.
    Unknown {
        /// Why not. It is logged, so it must name no secret.
        why: String,
    },
}

impl StoreWarning {
    /// One word, for logs and metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Evicts { .. } => "evicts",
            Self::Misconfigured { .. } => "misconfigured",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl fmt::Display for StoreWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicts { policy } => write!(
                f,
                "the store evicts records when its memory is full (maxmemory-policy {policy}), so an attacker can have \
                 locks and counts forgotten: set maxmemory-policy noeviction"
            ),
            Self::Misconfigured { what } => f.write_str(what),
            Self::Unknown { why } => write!(f, "the store did not say whether it evicts records: {why}"),
        }
    }
}

impl Error for StoreWarning {}
