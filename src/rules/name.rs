//! Interned names of channels and scopes: [`Name`].

use std::{fmt, ptr};

/// The name of a channel or a scope, interned: equal texts are one allocation, so a comparison compares addresses and a
/// copy is one pointer.
#[derive(Clone, Copy)]
pub(crate) struct Name(&'static Text);

struct Text(Box<str>);

impl Name {
    /// A new name, which is never freed. Only an interner may call this: two names of one text are not equal.
    pub(crate) fn leak(text: &str) -> Self {
        Self(Box::leak(Box::new(Text(text.into()))))
    }

    pub(crate) fn as_str(self) -> &'static str {
        &self.0.0
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
