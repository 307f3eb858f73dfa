//! Problems in the configuration of a store: [`StoreWarning`].

use std::{error::Error, fmt};

/// A problem that [`Store::check`](super::Store::check) found. It becomes an
/// [`Event::StoreWarning`](crate::Event::StoreWarning); requests are still served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreWarning {
    /// The store evicts records when its memory is full, and with them locks, waits and budgets.
    Evicts {
        /// The store's name for its eviction policy.
        policy: String,
    },
    /// Its configuration can lose records or return old ones for another reason.
    Misconfigured {
        /// What is wrong and what to do about it. It is logged, so it must name no secret.
        what: String,
    },
    /// The store did not report its configuration.
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
