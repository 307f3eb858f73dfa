//! One-time codes: generated, digested under a secret, compared in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    error::{ConfigError, Malformed},
    key::Key,
};

/// What the sandbox answers to, as far as the policy's number of digits.
const SANDBOX_CODE: &[u8; 12] = b"123456789012";

/// The operating system's generator, or what stands in for it when its failure is tested.
pub(crate) type Random = fn(&mut [u8]) -> Result<(), RandomFailed>;

/// The generator failed: nothing is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RandomFailed;

pub(crate) fn system_random(buffer: &mut [u8]) -> Result<(), RandomFailed> {
    getrandom::fill(buffer).map_err(|_| RandomFailed)
}

pub(crate) fn random_bytes<const N: usize>(random: Random) -> Result<[u8; N], RandomFailed> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}

/// A one-time code on its way to the user.
///
/// Prints nothing and is wiped when dropped. [`expose`](Self::expose) is the one way to its digits: call it
/// where the message is written, and nowhere else.
///
/// # Example
///
/// ```
/// use tower_step_up::OtpMessage;
///
/// async fn send_sms(message: OtpMessage) -> Result<(), tower_step_up::DeliveryError> {
///     let text = format!("Your code is {}", message.code().expose());
///     // hand `text` to the provider
///     # let _ = text;
///     Ok(())
/// }
/// # let _ = tower_step_up::StepUp::builder().otp("SMS", send_sms);
/// ```
pub struct OneTimeCode(Zeroizing<String>);

impl OneTimeCode {
    /// A code of `digits` decimal digits, each of the 10ⁿ as likely as any other.
    ///
    /// Bytes from 250 up are thrown away, so no digit is favoured (NIST SP 800-63B-4 §3.1.3.2: an approved
    /// generator; RFC 4226 §7.5 warns of the modulo).
    pub(crate) fn generate(digits: u8, random: Random) -> Result<Self, RandomFailed> {
        let mut code = Zeroizing::new(String::with_capacity(usize::from(digits)));
        let mut pool = Zeroizing::new([0_u8; 32]);
        while code.len() < usize::from(digits) {
            random(pool.as_mut_slice())?;
            let missing = usize::from(digits) - code.len();
            let drawn = pool.iter().filter(|&&byte| byte < 250).take(missing);
            code.extend(drawn.map(|byte| char::from(b'0' + byte % 10)));
        }
        Ok(Self(code))
    }

    /// The sandbox's code: `123456`, and on from there where the policy asks for more digits.
    pub(crate) fn sandbox(digits: u8) -> Self {
        let digits = SANDBOX_CODE.iter().take(usize::from(digits));
        Self(Zeroizing::new(digits.copied().map(char::from).collect()))
    }

    /// The digits, to be shown to the user and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode(..)")
    }
}

/// Checks a code by its form: ASCII digits of the exact length, compared as bytes (T7).
pub(crate) fn check_form(code: &str, digits: u8) -> Result<(), Malformed> {
    if code.chars().all(char::is_whitespace) {
        return Err(Malformed::HasText);
    }
    if code.chars().count() != usize::from(digits) {
        return Err(Malformed::Size);
    }
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::Regex);
    }
    Ok(())
}

/// A secret under which codes are digested: at least 32 bytes, wiped when dropped, never printed.
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
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret from bytes of a generator.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ShortSecret`] under 32 bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        let bytes = Zeroizing::new(bytes.into());
        if bytes.len() < 32 {
            return Err(ConfigError::ShortSecret);
        }
        Ok(Self(bytes))
    }

    /// A keyed hash. HMAC takes a key of any length; the error is only how the library's trait is written.
    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes a key of any length")
    }

    pub(crate) fn generate(random: Random) -> Result<Self, ConfigError> {
        let mut bytes = random_bytes::<32>(random).map_err(|RandomFailed| ConfigError::Random)?;
        let secret = Self::new(bytes);
        bytes.zeroize();
        secret
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secrets in use: one that digests, and the one before it, which still verifies.
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

/// A code as it is kept: what it was digested with, and the digest.
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

    /// Whether a code can be compared at all: its secret may be gone.
    pub(crate) fn knows(&self, digest: &CodeDigest) -> bool {
        self.find(digest.secret).is_some()
    }

    /// Whether this is the code, in constant time (T10).
    pub(crate) fn matches(&self, digest: &CodeDigest, session: &Key, channel: &str, code: &str) -> bool {
        self.find(digest.secret).is_some_and(|keyed| {
            input(&keyed.mac, session, &digest.nonce, channel, code).verify_slice(&digest.mac).is_ok()
        })
    }

    /// Which secret digests and seals.
    pub(crate) fn current(&self) -> u32 {
        self.current.id
    }

    /// Seals bytes for one session, under the [current](Self::current) secret.
    pub(crate) fn seal(&self, session: &Key, bytes: &[u8]) -> [u8; 32] {
        seal(&self.current.mac, session, bytes).finalize().into_bytes().into()
    }

    /// Whether bytes were sealed for this session, under a secret that is at hand; in constant time.
    pub(crate) fn opens(&self, secret: u32, session: &Key, bytes: &[u8], mac: &[u8]) -> bool {
        self.find(secret).is_some_and(|keyed| seal(&keyed.mac, session, bytes).verify_slice(mac).is_ok())
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

/// Everything but the code has a fixed length or its length in front, so no two inputs can run together.
fn input(mac: &Hmac<Sha256>, session: &Key, nonce: &[u8; 16], channel: &str, code: &str) -> Hmac<Sha256> {
    mac.clone()
        .chain_update(b"tower-step-up code\0")
        .chain_update(session.as_bytes())
        .chain_update(nonce)
        .chain_update((channel.len() as u64).to_be_bytes())
        .chain_update(channel)
        .chain_update(code)
}

/// Another label than that of codes, so that neither digest passes for the other.
fn seal(mac: &Hmac<Sha256>, session: &Key, bytes: &[u8]) -> Hmac<Sha256> {
    mac.clone().chain_update(b"tower-step-up seal\0").chain_update(session.as_bytes()).chain_update(bytes)
}

/// A push id: 128 random bits in decimal, and nothing but digits (contract).
pub(crate) fn push_id(random: Random) -> Result<String, RandomFailed> {
    Ok(u128::from_be_bytes(random_bytes(random)?).to_string())
}

/// A push id as it is kept. The id has 128 random bits, so a plain hash cannot be reversed by trying.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PushDigest([u8; 32]);

impl PushDigest {
    /// Under the key of the records, where there is one.
    pub(crate) fn keyed(subject: &Key, id: &str, key: impl FnOnce([u8; 32]) -> [u8; 32]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"tower-step-up push\0")
            .chain_update(subject.as_bytes())
            .chain_update(id)
            .finalize();
        Self(key(digest.into()))
    }

    /// In process.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn fails(_: &mut [u8]) -> Result<(), RandomFailed> {
        Err(RandomFailed)
    }

    #[test]
    fn form_is_exact_ascii_digits() {
        let table = [
            ("123456", Ok(())),
            ("000000", Ok(())),
            ("", Err(Malformed::HasText)),
            ("   ", Err(Malformed::HasText)),
            ("\u{a0}\u{a0}\u{a0}\u{a0}\u{a0}\u{a0}", Err(Malformed::HasText)),
            ("12345", Err(Malformed::Size)),
            ("1234567", Err(Malformed::Size)),
            (" 123456", Err(Malformed::Size)),
            ("123456\n", Err(Malformed::Size)),
            ("123 456", Err(Malformed::Size)),
            ("+12345", Err(Malformed::Regex)),
            ("-12345", Err(Malformed::Regex)),
            ("12345a", Err(Malformed::Regex)),
            ("12345\u{a0}", Err(Malformed::Regex)),
            ("12345\0", Err(Malformed::Regex)),
            ("１２３４５６", Err(Malformed::Regex)),
            ("١٢٣٤٥٦", Err(Malformed::Regex)),
        ];
        for (code, expected) in table {
            assert_eq!(check_form(code, 6), expected, "{code:?}");
        }
    }

    #[test]
    fn a_failing_generator_fails() {
        assert_eq!(OneTimeCode::generate(6, fails).err(), Some(RandomFailed));
        assert_eq!(push_id(fails), Err(RandomFailed));
        assert_eq!(Secret::generate(fails).err(), Some(ConfigError::Random));
    }

    /// T11: chi-square over the digit at each place and over the first two digits together.
    #[test]
    fn codes_are_uniform_with_leading_zeros() {
        const CODES: u32 = 1_000_000;
        let mut places = [[0_u32; 10]; 6];
        let mut pairs = [0_u32; 100];
        for _ in 0..CODES {
            let code = OneTimeCode::generate(6, system_random).unwrap();
            let bytes = code.expose().as_bytes();
            assert_eq!(bytes.len(), 6);
            for (place, byte) in places.iter_mut().zip(bytes) {
                place[usize::from(byte - b'0')] += 1;
            }
            pairs[usize::from((bytes[0] - b'0') * 10 + bytes[1] - b'0')] += 1;
        }
        let chi_square = |counts: &[u32]| {
            let expected = f64::from(CODES) / counts.iter().map(|_| 1.0).sum::<f64>();
            counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum::<f64>()
        };
        // 9 and 99 degrees of freedom; both limits are passed by chance less than once in 10⁹ runs.
        for place in &places {
            assert!(chi_square(place) < 60.0, "{place:?}");
        }
        assert!(chi_square(&pairs) < 220.0);
    }

    #[test]
    fn bytes_from_250_are_thrown_away() {
        #[expect(clippy::unnecessary_wraps, reason = "the signature of a generator")]
        fn high_then_low(buffer: &mut [u8]) -> Result<(), RandomFailed> {
            for (i, byte) in buffer.iter_mut().enumerate() {
                *byte = if i % 2 == 0 { 250 + u8::try_from(i % 6).unwrap() } else { 249 };
            }
            Ok(())
        }
        assert_eq!(OneTimeCode::generate(12, high_then_low).unwrap().expose(), "999999999999");
    }

    /// One digit a draw, and more than enough in the last.
    #[test]
    fn a_code_has_its_length_however_often_is_drawn() {
        thread_local! {
            static DRAWS: Cell<u8> = const { Cell::new(0) };
        }
        #[expect(clippy::unnecessary_wraps, reason = "the signature of a generator")]
        fn meagre(buffer: &mut [u8]) -> Result<(), RandomFailed> {
            DRAWS.set(DRAWS.get() + 1);
            buffer.fill(if DRAWS.get() < 5 { 255 } else { 5 });
            buffer[0] = 1;
            Ok(())
        }
        assert_eq!(OneTimeCode::generate(6, meagre).unwrap().expose(), "111115");
    }

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
        assert!(rotated.knows(&digest));
        assert!(rotated.matches(&digest, &session, "SMS", "123456"));
        let forgotten = Keyring::new(&secret(2), None);
        assert!(!forgotten.knows(&digest));
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
        assert_eq!(Secret::new([0; 31]).err(), Some(ConfigError::ShortSecret));
    }
}
