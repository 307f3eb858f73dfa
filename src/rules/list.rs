//! A short list in a record, in exactly as much memory as it needs.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// A boxed slice that grows and shrinks. A record is kept for hours and changed a few times, so a list that is allocated
/// again for each change is cheaper than one with room to spare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
