//! The interner of channels and scopes, one for the process.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use crate::rules::Name;

/// Most names. They are never freed, and an application may name scopes at run time. Requirements and grants with other
/// names are decided by their record.
const LIMIT: usize = 1_024;

static NAMES: RwLock<BTreeMap<&str, Name>> = RwLock::new(BTreeMap::new());

/// The interned name, if there is one. What clients send is only ever looked up here.
pub(super) fn find(text: &str) -> Option<Name> {
    // Poisoned only by a panic of the map itself, which leaves it complete.
    NAMES.read().unwrap_or_else(PoisonError::into_inner).get(text).copied()
}

/// Interns a name that the application gave.
pub(super) fn intern(text: &str) -> Option<Name> {
    if let Some(name) = find(text) {
        return Some(name);
    }
    let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = names.get(text) {
        return Some(*name);
    }
    if names.len() >= LIMIT {
        return None;
    }
    let name = Name::leak(text);
    names.insert(name.as_str(), name);
    Some(name)
}
