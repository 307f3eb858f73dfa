//! The error of a store: [`StoreError`].

use std::{error::Error, fmt};

/// A store failed: it is down, too slow or full, or holds an unreadable record. The request is refused.
#[derive(Debug)]
pub struct StoreError(Kind);

#[derive(Debug)]
enum Kind {
    Failed(Box<dyn Error + Send + Sync>),
    Unreadable,
    Deadline,
    Full,
}

impl StoreError {
    /// The store's own error, or a text; it becomes the [`source`](Error::source).
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Kind::Failed(error.into()))
    }

    /// One word, for logs and metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self.0 {
            Kind::Failed(_) => "failed",
            Kind::Unreadable => "unreadable",
            Kind::Deadline => "deadline",
            Kind::Full => "full",
        }
    }

    pub(crate) fn unreadable() -> Self {
        Self(Kind::Unreadable)
    }

    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self.0, Kind::Unreadable)
    }

    pub(crate) fn deadline() -> Self {
        Self(Kind::Deadline)
    }

    pub(crate) fn full() -> Self {
        Self(Kind::Full)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Failed(error) => write!(f, "the store failed: {error}"),
            Kind::Unreadable => f.write_str("the store holds a record that this version cannot read"),
            Kind::Deadline => f.write_str("the store did not answer within Policy::store_deadline"),
            Kind::Full => f.write_str("the store has no room for another record"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Failed(error) => Some(&**error),
            Kind::Unreadable | Kind::Deadline | Kind::Full => None,
        }
    }
}
