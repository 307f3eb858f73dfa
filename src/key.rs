//! Under which key a record is kept.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Under which key a record is kept: a SHA-256 of what it belongs to.
///
/// A bare hash of a user's id can be reversed by trying ids, so a store outside the process should key it
/// once more with a secret.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key([u8; 32]);

impl Key {
    pub(crate) fn session(subject: &str, session: &[u8]) -> Self {
        Self::digest(b"step-up/session\0", &[subject.as_bytes(), session])
    }

    pub(crate) fn subject(subject: &str) -> Self {
        Self::digest(b"step-up/subject\0", &[subject.as_bytes()])
    }

    /// A recipient, whoever sends there.
    pub(crate) fn recipient(recipient: &str) -> Self {
        Self::digest(b"step-up/address\0", &[recipient.as_bytes()])
    }

    /// The same in a sandbox: under no key of its own does it find what production keeps, whatever store they share
    /// (T34).
    pub(crate) fn in_sandbox(&self) -> Self {
        Self::digest(b"step-up/sandbox\0", &[&self.0])
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Each part has its length in front, so that no two callers' ids can run together.
    fn digest(domain: &[u8; 16], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(domain);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Half of a digest is as good as all of it, and a hasher takes it in one step.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(half) = self.0.first_chunk() {
            state.write_u128(u128::from_le_bytes(*half));
        }
    }
}

/// Prints nothing: a key leads back to the user.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    /// Else they would all stand in one place of a map.
    #[test]
    fn keys_are_spread() {
        let hash = |user: &str| foldhash::fast::FixedState::default().hash_one(Key::subject(user));
        assert_eq!(hash("alice"), hash("alice"));
        assert_ne!(hash("alice"), hash("bob"));
    }
}
