//! Secrets, and what is computed under them: digests of codes and seals, both verified in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

#[cfg(feature = "page")]
use crate::rules::Cipher;
use crate::rules::{ConfigError, Key, OneTimeCode, Random, RandomFailed, random_bytes};

/// A secret key, such as the one under which codes are digested: at least 32 bytes, wiped when dropped, never printed.
///
/// # Example
///
/// ```
/// use tower_step_up::{Secret, StepUp};
///
/// # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
/// # let (new, old) = ([7; 32], [8; 32]);
/// let step_up = StepUp::builder()
///     .otp("SMS", send_sms)
///     .secret(Secret::new(new)?)
///     .previous_secret(Secret::new(old)?) // for as long as a code lives after the rotation
///     .build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret from the bytes of a cryptographically secure random generator.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretTooShort`] below 32 bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        let bytes = Zeroizing::new(bytes.into());
        if bytes.len() < 32 {
            return Err(ConfigError::SecretTooShort);
        }
        Ok(Self(bytes))
    }

    /// HMAC-SHA-256 under this secret. HMAC takes a key of any length; only the library's trait declares an error.
    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes a key of any length")
    }

    pub(crate) fn generate(random: Random) -> Result<Self, ConfigError> {
        let mut bytes = random_bytes::<32>(random).map_err(|RandomFailed| ConfigError::RandomUnavailable)?;
        let secret = Self::new(bytes);
        bytes.zeroize();
        secret
    }
}

impl TryFrom<Vec<u8>> for Secret {
    type Error = ConfigError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, ConfigError> {
        Self::new(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secrets in use: the current one digests and verifies, the previous one only verifies.
pub(crate) struct Keyring {
    current: KeyedDigest,
    previous: Option<KeyedDigest>,
}

struct KeyedDigest {
    id: u32,
    mac: Hmac<Sha256>,
}

impl KeyedDigest {
    fn new(secret: &Secret) -> Self {
        let digest = Sha256::new().chain_update(b"tower-step-up secret id\0").chain_update(&*secret.0).finalize();
        let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Self { id, mac: secret.mac() }
    }
}

/// A code as a record holds it: the id of its secret, the nonce, and the digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeDigest {
    secret: u32,
    nonce: [u8; 16],
    mac: [u8; 32],
}

impl Keyring {
    pub(crate) fn new(current: &Secret, previous: Option<&Secret>) -> Self {
        Self { current: KeyedDigest::new(current), previous: previous.map(KeyedDigest::new) }
    }

    /// Digests a code for one challenge of one session on one channel.
    pub(crate) fn digest(
        &self,
        session: &Key,
        channel: &str,
        code: &OneTimeCode,
        random: Random,
    ) -> Result<CodeDigest, RandomFailed> {
        let nonce = random_bytes(random)?;
        let mac = input(&self.current.mac, session, &nonce, channel, code.expose()).finalize().into_bytes().into();
        Ok(CodeDigest { secret: self.current.id, nonce, mac })
    }

    /// Whether the secret of this digest is still in the keyring; without it the code cannot be compared.
    pub(crate) fn has_secret(&self, digest: &CodeDigest) -> bool {
        self.find(digest.secret).is_some()
    }

    /// Whether this is the code. Compares in constant time (T10).
    pub(crate) fn matches(&self, digest: &CodeDigest, session: &Key, channel: &str, code: &str) -> bool {
        self.find(digest.secret).is_some_and(|keyed| {
            input(&keyed.mac, session, &digest.nonce, channel, code).verify_slice(&digest.mac).is_ok()
        })
    }

    /// The id of the secret that digests and seals.
    pub(crate) fn current(&self) -> u32 {
        self.current.id
    }

    /// Seals bytes for one session, under the [current](Self::current) secret.
    pub(crate) fn seal(&self, session: &Key, bytes: &[u8]) -> [u8; 32] {
        seal(&self.current.mac, session, bytes).finalize().into_bytes().into()
    }

    /// Whether bytes were sealed for this session under a secret of this keyring. Compares in constant time.
    pub(crate) fn verify_seal(&self, secret: u32, session: &Key, bytes: &[u8], mac: &[u8]) -> bool {
        self.find(secret).is_some_and(|keyed| seal(&keyed.mac, session, bytes).verify_slice(mac).is_ok())
    }

    /// Encrypts what a URL says to one session, under the [current](Self::current) secret, whose id is in front.
    #[cfg(feature = "page")]
    pub(crate) fn encrypt(&self, session: &Key, bytes: &[u8], random: Random) -> Result<Vec<u8>, RandomFailed> {
        let encrypted = url_cipher(&self.current.mac).encrypt(session, bytes, random)?;
        Ok([&self.current.id.to_be_bytes()[..], &encrypted].concat())
    }

    /// What was encrypted for this session under a secret of this keyring.
    #[cfg(feature = "page")]
    pub(crate) fn decrypt(&self, session: &Key, encrypted: &[u8]) -> Option<Vec<u8>> {
        let (id, encrypted) = encrypted.split_first_chunk()?;
        url_cipher(&self.find(u32::from_be_bytes(*id))?.mac).decrypt(session, encrypted)
    }

    fn find(&self, secret: u32) -> Option<&KeyedDigest> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|keyed| keyed.id == secret)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl fmt::Debug for CodeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeDigest(..)")
    }
}

/// Every part except the code has a fixed length or a length prefix, so no two inputs are equal.
fn input(mac: &Hmac<Sha256>, session: &Key, nonce: &[u8; 16], channel: &str, code: &str) -> Hmac<Sha256> {
    mac.clone()
        .chain_update(b"tower-step-up code\0")
        .chain_update(session.as_bytes())
        .chain_update(nonce)
        .chain_update((channel.len() as u64).to_be_bytes())
        .chain_update(channel)
        .chain_update(code)
}

/// Its key has a label of its own, too.
#[cfg(feature = "page")]
fn url_cipher(mac: &Hmac<Sha256>) -> Cipher {
    Cipher::new(mac.clone().chain_update(b"tower-step-up url\0").finalize().into_bytes().into())
}

/// Uses a different label than codes do, so that a seal is never valid as a code's digest or the reverse.
fn seal(mac: &Hmac<Sha256>, session: &Key, bytes: &[u8]) -> Hmac<Sha256> {
    mac.clone().chain_update(b"tower-step-up seal\0").chain_update(session.as_bytes()).chain_update(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{push_id, system_random};

    #[test]
    fn a_digest_is_of_one_session_channel_and_secret() {
        let secret = |byte| Secret::new([byte; 32]).unwrap();
        let ring = Keyring::new(&secret(1), None);
        let (session, other) = (Key::session("a", b"1"), Key::session("a", b"2"));
        let code = OneTimeCode::sandbox(6);
        let digest = ring.digest(&session, "SMS", &code, system_random).unwrap();
        assert!(ring.matches(&digest, &session, "SMS", "123456"));
        assert!(!ring.matches(&digest, &session, "SMS", "123457"));
        assert!(!ring.matches(&digest, &session, "EMAIL", "123456"));
        assert!(!ring.matches(&digest, &other, "SMS", "123456"));

        let rotated = Keyring::new(&secret(2), Some(&secret(1)));
        assert!(rotated.has_secret(&digest));
        assert!(rotated.matches(&digest, &session, "SMS", "123456"));
        let forgotten = Keyring::new(&secret(2), None);
        assert!(!forgotten.has_secret(&digest));
        assert!(!forgotten.matches(&digest, &session, "SMS", "123456"));
    }

    #[test]
    fn push_ids_are_digits() {
        for _ in 0..1000 {
            let id = push_id(system_random).unwrap();
            assert!(!id.is_empty() && id.len() <= 39 && id.bytes().all(|b| b.is_ascii_digit()), "{id}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let secret = Secret::new(*b"canary canary canary canary canary").unwrap();
        let ring = Keyring::new(&secret, None);
        let digest = ring.digest(&Key::subject("a"), "SMS", &OneTimeCode::sandbox(6), system_random).unwrap();
        let printed = format!("{secret:?} {ring:?} {digest:?} {:?}", OneTimeCode::sandbox(6));
        assert_eq!(printed, "Secret(..) Keyring(..) CodeDigest(..) OneTimeCode(..)");
        assert_eq!(Secret::new([0; 31]).err(), Some(ConfigError::SecretTooShort));
    }
}
