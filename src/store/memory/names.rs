//! The interner of channels and scopes, one for the process.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use crate::rules::Name;

/// Most names. They are never freed, and an application may name scopes at run time. Requirements and grants with other
/// names are decided by their record.
const LIMIT: usize = 1_024;

static NAMES: Names = Names::new();

/// The interned name, if there is one. What clients send is only ever looked up here.
pub(super) fn find(text: &str) -> Option<Name> {
    NAMES.find(text)
}

/// Interns a name that the application gave.
pub(super) fn intern(text: &str) -> Option<Name> {
    NAMES.intern(text)
}

struct Names(RwLock<BTreeMap<&'static str, Name>>);

impl Names {
    const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    fn find(&self, text: &str) -> Option<Name> {
        // Poisoned only by a panic of the map itself, which leaves it complete.
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(text).copied()
    }

    fn intern(&self, text: &str) -> Option<Name> {
        if let Some(name) = self.find(text) {
            return Some(name);
        }
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_name_and_names_are_bounded() {
        let names = Names::new();
        assert_eq!(names.find("0"), None);
        for number in 0..LIMIT {
            let text = number.to_string();
            let name = names.intern(&text).unwrap();
            assert_eq!((name.as_str(), names.find(&text), names.intern(&text)), (&*text, Some(name), Some(name)));
        }
        assert_ne!(names.find("0"), names.find("1"));
        assert_eq!((names.intern("one more"), names.find("one more")), (None, None));
        assert!(names.intern("0").is_some(), "names that are known stay");
    }
}
