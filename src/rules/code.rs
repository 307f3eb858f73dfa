//! One-time codes: generated, digested under a secret, compared in constant time.

use std::fmt;

use zeroize::Zeroizing;

use crate::rules::{Malformed, Random, RandomFailed};

/// What the sandbox answers to, as far as the policy's number of digits.
const SANDBOX_CODE: &[u8; 12] = b"123456789012";

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
fn check_form(code: &str, digits: u8) -> Result<(), Malformed> {
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

/// A one-time code as a user has typed it: exactly so many ASCII digits.
#[derive(Clone, Copy)]
pub(crate) struct Code<'a>(&'a str);

impl<'a> Code<'a> {
    /// What is wrong with it costs no attempt.
    pub(crate) fn parse(text: &'a str, digits: u8) -> Result<Self, Malformed> {
        check_form(text, digits).map(|()| Self(text))
    }

    pub(crate) const fn as_str(self) -> &'a str {
        self.0
    }
}

/// Prints nothing of the code.
impl fmt::Debug for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::rules::{ConfigError, Secret, push_id, system_random};

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
}
