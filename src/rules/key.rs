//! The keys of records in a store, and the secret key under which they are derived.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rules::{BareOperation, Cipher, OperationDigest, PushDigest, Random, RandomFailed, SealedText, Secret};

/// The key under which a store keeps a record.
///
/// With a [record key](crate::StepUpBuilder::record_key), which every store outside the process requires, this is an
/// HMAC-SHA-256 under that key. A store can use the bytes as they are: without the record key, nobody can find the
/// user, session or recipient by guessing ids. In process it is a SHA-256.
///
/// The last two of its bytes are its [group](Self::group).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key([u8; 32]);

impl Key {
    /// A key from its bytes, as another process has named it.
    #[cfg(feature = "redis")]
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The last two bytes of the key. They are the same in the keys of a user's record and of the records of their
    /// sessions, so a store that is spread over several servers can keep these together, and change them in one atomic
    /// step (see [`Store::is_atomic`](crate::Store::is_atomic)). In process they are not.
    #[must_use]
    pub const fn group(&self) -> [u8; 2] {
        let [.., first, second] = self.0;
        [first, second]
    }
}

/// SHA-256 of the ids that a record belongs to. Anybody can compute it, so it must not leave the process: only
/// [`RecordKey::key`] turns it into a [`Key`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BareKey([u8; 32]);

impl BareKey {
    pub(crate) fn session(subject: &str, session: &[u8]) -> Self {
        Self::digest(b"step-up/session\0", &[subject.as_bytes(), session])
    }

    pub(crate) fn subject(subject: &str) -> Self {
        Self::digest(b"step-up/subject\0", &[subject.as_bytes()])
    }

    /// A recipient, the same for all users that send to it.
    pub(crate) fn recipient(recipient: &str) -> Self {
        Self::digest(b"step-up/address\0", &[recipient.as_bytes()])
    }

    /// The key in a sandbox, so that it shares no record with production in the same store (T34): every bit inverted.
    /// That two digests are each other's inverse is as improbable as that two are equal.
    fn in_sandbox(self) -> Self {
        Self(self.0.map(|byte| !byte))
    }

    /// Each part is prefixed with its length, so that different lists of parts never give the same input.
    fn digest(domain: &[u8; 16], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(domain);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Keys every digest in a record or in its name, so that a copy of the store identifies nobody (T37).
pub(crate) struct RecordKey {
    /// `None` only for records that stay in the process, which need no keyed digest.
    keyed: Option<Keyed>,
    sandbox: bool,
}

/// What is computed under the secret.
struct Keyed {
    mac: Hmac<Sha256>,
    cipher: Cipher,
}

impl RecordKey {
    pub(crate) fn new(secret: Option<&Secret>, sandbox: bool) -> Self {
        let keyed = |secret: &Secret| {
            let mac = secret.mac();
            let cipher = Cipher::new(mac.clone().chain_update(b"step-up/record seal\0").finalize().into_bytes().into());
            Keyed { mac, cipher }
        };
        Self { keyed: secret.map(keyed), sandbox }
    }

    /// The key of a record that belongs to no user.
    pub(crate) fn key(&self, bare: BareKey) -> Key {
        let bare = if self.sandbox { bare.in_sandbox() } else { bare };
        Key(self.digest(b"step-up/record key\0", bare.0))
    }

    /// The key of a user's record, or of one of their sessions.
    pub(crate) fn key_of(&self, subject: &str, bare: BareKey) -> Key {
        let mut key = self.key(bare);
        // In process records are not grouped, and the digest is spared.
        if let Some(Keyed { mac, .. }) = &self.keyed {
            let digest = mac.clone().chain_update(b"step-up/record group\0").chain_update(subject).finalize();
            let [.., first, second] = &mut key.0;
            [*first, *second, ..] = <[u8; 32]>::from(digest.into_bytes());
        }
        key
    }

    pub(crate) fn operation(&self, bare: &BareOperation) -> OperationDigest {
        OperationDigest::keyed(bare, |bare| self.digest(b"step-up/record operation\0", bare))
    }

    /// The digest of a push id and its user.
    pub(crate) fn push(&self, subject: &Key, id: &str) -> PushDigest {
        PushDigest::keyed(subject, id, |bare| self.digest(b"step-up/record push\0", bare))
    }

    /// A text that only the owner of this record is shown.
    pub(crate) fn seal(&self, record: &Key, text: &str, random: Random) -> Result<SealedText, RandomFailed> {
        match &self.keyed {
            Some(Keyed { cipher, .. }) => cipher.seal(record, text, random),
            None => Ok(SealedText::plain(text)),
        }
    }

    /// The text again; `None` for what this key did not seal for this record.
    pub(crate) fn open(&self, record: &Key, sealed: &SealedText) -> Option<String> {
        match &self.keyed {
            Some(Keyed { cipher, .. }) => cipher.open(record, sealed),
            None => sealed.as_plain(),
        }
    }

    /// Labels end in a zero byte and none begins with another, so no two inputs are equal.
    fn digest(&self, label: &[u8], bare: [u8; 32]) -> [u8; 32] {
        match &self.keyed {
            Some(Keyed { mac, .. }) => {
                mac.clone().chain_update(label).chain_update(bare).finalize().into_bytes().into()
            }
            None => bare,
        }
    }
}

/// Keys of records in process, for tests.
#[cfg(any(test, feature = "test-util"))]
impl Key {
    pub(crate) fn session(subject: &str, session: &[u8]) -> Self {
        Self(BareKey::session(subject, session).0)
    }

    pub(crate) fn subject(subject: &str) -> Self {
        Self(BareKey::subject(subject).0)
    }

    pub(crate) fn in_group(self, group: [u8; 2]) -> Self {
        let mut bytes = self.0;
        let [.., first, second] = &mut bytes;
        [*first, *second] = group;
        Self(bytes)
    }
}

/// Hashes the first 128 bits: they are uniformly distributed, and a hasher takes them in one step.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(half) = self.0.first_chunk() {
            state.write_u128(u128::from_le_bytes(*half));
        }
    }
}

/// Prints nothing: a key can identify the user.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Prints nothing, like [`Key`].
impl fmt::Debug for BareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BareKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;
    use crate::rules::bare_operation_of;

    #[test]
    fn every_digest_depends_on_the_record_key_and_on_the_sandbox() {
        let secret = |byte| Secret::new([byte; 32]).unwrap();
        let (one, other) = (secret(1), secret(2));
        let alone = RecordKey::new(None, false);
        let all = [
            RecordKey::new(Some(&one), false),
            RecordKey::new(Some(&other), false),
            RecordKey::new(Some(&one), true),
            RecordKey::new(None, true),
        ];
        let mut keys = vec![Key::subject("a"), Key::session("a", b"a"), alone.key(BareKey::recipient("a"))];
        for bare in [BareKey::subject("a"), BareKey::session("a", b"a"), BareKey::recipient("a")] {
            keys.extend(all.iter().map(|record_key| record_key.key(bare)));
        }
        for (i, key) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|other| other != key), "{i}");
        }
        assert_eq!(alone.key(BareKey::subject("a")), Key::subject("a"), "in process nothing is keyed");

        let operation = bare_operation_of("a");
        let [one, other, ..] = &all;
        assert_eq!(one.operation(&operation), one.operation(&operation));
        assert_ne!(one.operation(&operation), other.operation(&operation));
        assert_ne!(one.operation(&operation), alone.operation(&operation));
    }

    #[test]
    fn the_records_of_a_user_are_one_group() {
        let secret = |byte| Secret::new([byte; 32]).unwrap();
        let [one, other] = [1, 2].map(|byte| RecordKey::new(Some(&secret(byte)), false));
        let group_of = |keys: &RecordKey, user: &str, bare| keys.key_of(user, bare).group();
        let user = |user: &str| group_of(&one, user, BareKey::subject(user));
        for session in [&b"1"[..], b"2"] {
            assert_eq!(group_of(&one, "alice", BareKey::session("alice", session)), user("alice"));
        }
        let groups: std::collections::HashSet<_> = (0..100).map(|i| user(&i.to_string())).collect();
        assert!(groups.len() > 90, "users are spread");
        assert_ne!(group_of(&other, "alice", BareKey::subject("alice")), user("alice"), "under another record key");
        let own = |session: &[u8]| one.key_of("alice", BareKey::session("alice", session));
        assert_ne!(own(b"1").as_bytes()[..30], own(b"2").as_bytes()[..30]);
    }

    /// Equal hashes would put all records into one bucket of a map.
    #[test]
    fn keys_are_spread() {
        let hash = |user: &str| foldhash::fast::FixedState::default().hash_one(Key::subject(user));
        assert_eq!(hash("alice"), hash("alice"));
        assert_ne!(hash("alice"), hash("bob"));
    }
}
