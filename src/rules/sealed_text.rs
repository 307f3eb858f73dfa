//! Text that a record keeps for its owner alone, unreadable in a copy of the store.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use serde::{Deserialize, Serialize};

use crate::rules::{Key, Random, RandomFailed, random_bytes};

const NONCE: usize = 24;

/// A text is padded to a multiple of this many bytes, so that its length tells little of it.
const BLOCK: usize = 64;

/// A text as a record holds it: in process as it is, elsewhere encrypted, with the nonce in front.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SealedText(Box<[u8]>);

/// Encrypts with XChaCha20-Poly1305: its nonces are long enough to be random, however many there are.
pub(crate) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// Encrypts a text for the record under this key: in any other it cannot be opened.
    pub(crate) fn seal(&self, record: &Key, text: &str, random: Random) -> Result<SealedText, RandomFailed> {
        // Neither the ids of pushes nor the texts of operations contain the padding.
        let mut padded = text.as_bytes().to_vec();
        padded.resize(text.len().next_multiple_of(BLOCK), b'\0');
        Ok(SealedText(self.encrypt(record, &padded, random)?.into()))
    }

    /// The text; `None` for what was not sealed under this key for this record.
    pub(crate) fn open(&self, record: &Key, sealed: &SealedText) -> Option<String> {
        Some(String::from_utf8(self.decrypt(record, &sealed.0)?).ok()?.trim_end_matches('\0').to_owned())
    }

    /// Encrypts bytes for the record under this key, with the nonce in front.
    pub(crate) fn encrypt(&self, record: &Key, bytes: &[u8], random: Random) -> Result<Vec<u8>, RandomFailed> {
        let nonce: [u8; NONCE] = random_bytes(random)?;
        let payload = Payload { msg: bytes, aad: record.as_bytes() };
        // Only 256 GiB fail.
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| RandomFailed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The bytes; `None` for what was not encrypted under this key for this record.
    pub(crate) fn decrypt(&self, record: &Key, encrypted: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = encrypted.split_first_chunk::<NONCE>()?;
        self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: record.as_bytes() }).ok()
    }
}

impl SealedText {
    /// For records in process.
    pub(crate) fn plain(text: &str) -> Self {
        Self(text.as_bytes().into())
    }

    /// What [`plain`](Self::plain) was given.
    pub(crate) fn as_plain(&self) -> Option<String> {
        String::from_utf8(self.0.to_vec()).ok()
    }
}

/// Prints nothing.
impl fmt::Debug for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::system_random;

    #[test]
    fn a_text_is_opened_under_its_key_for_its_record() {
        let (key, other) = (Key::session("a", b"1"), Key::session("a", b"2"));
        let cipher = Cipher::new([1; 32]);
        for text in ["", "Pay 900 EUR to Eve", &"ü".repeat(512)] {
            let sealed = cipher.seal(&key, text, system_random).unwrap();
            assert_ne!(sealed, cipher.seal(&key, text, system_random).unwrap(), "each has a nonce of its own");
            assert_eq!(cipher.open(&key, &sealed).as_deref(), Some(text));
            assert_eq!(cipher.open(&other, &sealed), None);
            assert_eq!(Cipher::new([2; 32]).open(&key, &sealed), None);
            for i in 0..sealed.0.len() {
                let mut changed = sealed.clone();
                changed.0[i] ^= 1;
                assert_eq!(cipher.open(&key, &changed), None, "{i}");
                assert_eq!(cipher.open(&key, &SealedText(sealed.0[..i].into())), None, "{i}");
            }
            assert_eq!(format!("{sealed:?}"), "SealedText(..)");
            assert_eq!(sealed.0.len(), NONCE + text.len().next_multiple_of(BLOCK) + 16);
        }
        assert_eq!(cipher.seal(&key, "a", |_| Err(RandomFailed)), Err(RandomFailed));
    }
}
