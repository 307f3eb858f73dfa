//! An operation that a step-up is bound to: its digest, and the sealed token that names it.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rules::{Malformed, SealedText, Timestamp, decode, encode};

/// Most characters of a token. One with the longest text and scope has 1,650.
const TOKEN_LIMIT: usize = 2048;

/// The version of the encoding of [`Sealed`]. Any other version is refused.
const VERSION: u8 = 2;

const MAC: usize = 32;

/// A digest over fields, each prefixed with its length, so that different fields never give the same input.
pub(crate) struct OperationFields(Sha256);

impl OperationFields {
    pub(crate) fn new() -> Self {
        Self(Sha256::new_with_prefix(b"step-up/operation\0"))
    }

    pub(crate) fn add(&mut self, field: &[u8]) {
        self.count(field.len());
        self.0.update(field);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    pub(crate) fn digest(self) -> BareOperation {
        BareOperation(self.0.finalize().into())
    }
}

/// One operation: the digest that identifies it, and the text that its user reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BoundOperation {
    pub(crate) digest: BareOperation,
    pub(crate) text: Box<str>,
}

/// SHA-256 of everything that a step-up is bound to. It goes to the caller in a [`Token`], and never into a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BareOperation([u8; 32]);

impl fmt::Debug for BareOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BareOperation(..)")
    }
}

/// The digest of an operation in records: keyed if records leave the process.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OperationDigest([u8; 32]);

impl OperationDigest {
    pub(crate) fn keyed(bare: &BareOperation, key: impl FnOnce([u8; 32]) -> [u8; 32]) -> Self {
        Self(key(bare.0))
    }
}

/// The operation of a pending challenge: what its grant will permit, and the text that the user approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedOperation {
    pub(crate) digest: OperationDigest,
    pub(crate) text: SealedText,
}

impl fmt::Debug for OperationDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperationDigest(..)")
    }
}

/// The token that a refusal returns and a start sends back: version, secret id, deadline, digest, scope and text,
/// sealed for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) operation: BoundOperation,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) deadline: Timestamp,
}

/// What is sealed. The id of the secret finds it again among the previous ones.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    key: u32,
    deadline: Timestamp,
    digest: [u8; 32],
    #[serde(borrow)]
    scope: Option<&'a str>,
    text: &'a str,
}

impl Token {
    /// Encodes the token and appends what `seal` computes over its bytes.
    pub(crate) fn write(&self, key: u32, seal: impl FnOnce(&[u8]) -> [u8; MAC]) -> String {
        let Self { operation, scope, deadline } = self;
        let BoundOperation { digest: BareOperation(digest), text } = operation;
        let sealed = Sealed { key, deadline: *deadline, digest: *digest, scope: scope.as_deref(), text };
        let mut bytes = encode(Vec::with_capacity(512), VERSION, &sealed);
        let mac = seal(&bytes);
        bytes.extend(mac);
        Base64UrlUnpadded::encode_string(&bytes)
    }

    /// Decodes a token whose seal `opens` accepts, given the secret id, the sealed bytes and the seal. Otherwise the
    /// error says what is wrong with the token.
    pub(crate) fn read(token: &str, opens: impl FnOnce(u32, &[u8], &[u8]) -> bool) -> Result<Self, Malformed> {
        if token.chars().all(char::is_whitespace) {
            return Err(Malformed::Blank);
        }
        if token.len() > TOKEN_LIMIT {
            return Err(Malformed::WrongLength);
        }
        let bytes = Base64UrlUnpadded::decode_vec(token).map_err(|_| Malformed::InvalidCharacter)?;
        let (sealed, mac) =
            bytes.len().checked_sub(MAC).map(|at| bytes.split_at(at)).ok_or(Malformed::InvalidCharacter)?;
        let Sealed { key, deadline, digest, scope, text } =
            decode(sealed, VERSION).ok_or(Malformed::InvalidCharacter)?;
        if !opens(key, sealed, mac) {
            return Err(Malformed::Unknown);
        }
        let operation = BoundOperation { digest: BareOperation(digest), text: text.into() };
        Ok(Self { operation, scope: scope.map(Into::into), deadline })
    }
}

#[cfg(any(test, feature = "test-util"))]
pub(crate) fn operation_of(name: &str) -> OperationDigest {
    OperationDigest(Sha256::digest(name).into())
}

#[cfg(test)]
pub(crate) fn bare_operation_of(name: &str) -> BareOperation {
    BareOperation(Sha256::digest(name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        let seal = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
        let opens = |key: u32, sealed: &[u8], mac: &[u8]| key == 7 && seal(sealed) == *mac;
        for (scope, text) in [(None, "a"), (Some("pay"), ""), (Some("x"), "ü"), (Some(&*"x".repeat(128)), "t")] {
            let operation = BoundOperation { digest: bare_operation_of("a"), text: text.into() };
            let token = Token { operation, scope: scope.map(Into::into), deadline: Timestamp::from_millis(u64::MAX) };
            let written = token.write(7, seal);
            assert_eq!(Token::read(&written, opens), Ok(token.clone()));
            assert_eq!(Token::read(&token.write(8, seal), opens), Err(Malformed::Unknown));
            for i in 0..written.len() {
                let mut other = written.clone().into_bytes();
                other[i] = if other[i] == b'A' { b'B' } else { b'A' };
                assert!(Token::read(str::from_utf8(&other).unwrap(), opens).is_err(), "{i}");
                assert!(Token::read(&written[..i], opens).is_err(), "{i}");
            }
        }
        let table = [
            ("", Malformed::Blank),
            (" ", Malformed::Blank),
            ("ü", Malformed::InvalidCharacter),
            ("AAAA", Malformed::InvalidCharacter),
        ];
        for (token, expected) in table {
            assert_eq!(Token::read(token, opens), Err(expected), "{token}");
        }
        assert_eq!(Token::read(&"A".repeat(2048), opens), Err(Malformed::InvalidCharacter));
        assert_eq!(Token::read(&"A".repeat(2049), opens), Err(Malformed::WrongLength));
    }

    /// Even under the right seal, which only the engine has.
    #[test]
    fn only_exactly_what_is_written_is_read() {
        let operation = BoundOperation { digest: bare_operation_of("a"), text: "Pay 5 EUR".into() };
        let token = Token { operation, scope: Some("pay".into()), deadline: Timestamp::from_millis(1_790_000_000_123) };
        let bytes = Base64UrlUnpadded::decode_vec(&token.write(7, |_| [9; MAC])).unwrap();
        let sealed = &bytes[..bytes.len() - MAC];
        let read = |sealed: &[u8]| {
            let text = Base64UrlUnpadded::encode_string(&[sealed, &[9; MAC]].concat());
            Token::read(&text, |_, _, mac| *mac == [9; MAC])
        };
        assert_eq!(read(sealed), Ok(token.clone()));
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            assert_eq!(read(&[&[version], &sealed[1..]].concat()), Err(Malformed::InvalidCharacter), "{version}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(read(&sealed[..cut]), Err(Malformed::InvalidCharacter), "{cut}");
        }
        for byte in 0..=u8::MAX {
            assert_eq!(read(&[sealed, &[byte]].concat()), Err(Malformed::InvalidCharacter), "{byte}");
        }
        // A text that is said to be longer than any.
        let front = sealed.len() - "Pay 5 EUR".len() - 1;
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(read(&[&sealed[..front], &longest, b"Pay"].concat()), Err(Malformed::InvalidCharacter));
    }

    #[test]
    fn the_longest_token_fits() {
        let operation = BoundOperation { digest: bare_operation_of("a"), text: "x".repeat(1024).into() };
        let token =
            Token { operation, scope: Some("x".repeat(128).into()), deadline: Timestamp::from_millis(u64::MAX) };
        assert_eq!(token.write(u32::MAX, |_| [0; 32]).len(), 1650);
    }
}
