//! A short list in a record, in exactly as much memory as it needs.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, SeqAccess, Visitor},
};

use crate::rules::RECORD_LIST_LIMIT;

/// A boxed slice that grows and shrinks. A record is kept for hours and changed a few times, so a list that is allocated
/// again for each change is cheaper than one with room to spare.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct List<T>(Box<[T]>);

impl<T> List<T> {
    pub(crate) fn push(&mut self, entry: T) {
        self.change(|list| {
            list.reserve_exact(1);
            list.push(entry);
        });
    }

    pub(crate) fn remove(&mut self, at: usize) -> T {
        self.change(|list| list.remove(at))
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.change(|list| list.retain(keep));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let mut list = std::mem::take(&mut self.0).into_vec();
        let result = change(&mut list);
        self.0 = list.into_boxed_slice();
        result
    }
}

/// Empty, whatever the entries are. Allocates nothing.
impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(list: Vec<T>) -> Self {
        Self(list.into_boxed_slice())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_list(deserializer).map(Self::from)
    }
}

/// Reads a list of a record, and stops behind the longest that any may have. Which records are within their bounds is
/// decided afterwards; but an entry takes more memory than its bytes, so one that is far too long must not be read.
pub(crate) fn read_list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    read_at_most(RECORD_LIST_LIMIT + 1, deserializer)
}

/// Reads a list of at most `most` entries. Allocates for entries that were read, not for a length.
pub(crate) fn read_at_most<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    most: usize,
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(AtMost(most, PhantomData))
}

struct AtMost<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMost<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} entries", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() >= self.0 {
                return Err(A::Error::invalid_length(list.len() + 1, &self));
            }
            list.push(entry);
        }
        Ok(list)
    }
}
