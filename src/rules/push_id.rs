//! The id of a push, and its digest in records.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rules::{Key, Random, RandomFailed, random_bytes};

/// A push id: 128 random bits in decimal, digits only (contract).
pub(crate) fn push_id(random: Random) -> Result<String, RandomFailed> {
    Ok(u128::from_be_bytes(random_bytes(random)?).to_string())
}

/// A push id as a record holds it. The id has 128 random bits, so even a plain hash resists guessing.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PushDigest([u8; 32]);

impl PushDigest {
    /// The digest after `key`, which applies the record key if there is one.
    pub(crate) fn keyed(subject: &Key, id: &str, key: impl FnOnce([u8; 32]) -> [u8; 32]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"tower-step-up push\0")
            .chain_update(subject.as_bytes())
            .chain_update(id)
            .finalize();
        Self(key(digest.into()))
    }

    /// The unkeyed digest, for records in process.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn new(subject: &Key, id: &str) -> Self {
        Self::keyed(subject, id, |bare| bare)
    }
}

/// Prints nothing.
impl fmt::Debug for PushDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushDigest(..)")
    }
}
