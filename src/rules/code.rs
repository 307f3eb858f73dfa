//! One-time codes: generation, and validation of their format.

use std::fmt;

use zeroize::Zeroizing;

use crate::rules::{Malformed, Random, RandomFailed};

/// The sandbox's code; the policy's number of digits is taken from its start.
const SANDBOX_CODE: &[u8; 12] = b"123456789012";

/// A one-time code on its way to the user.
///
/// Prints nothing and is wiped when dropped. Only [`expose`](Self::expose) gives its digits: call it only where the
/// message is written.
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
    /// A code of `digits` decimal digits, uniformly distributed.
    ///
    /// Bytes from 250 up are rejected, so that the modulo favours no digit (NIST SP 800-63B-4 §3.1.3.2: an approved
    /// generator; RFC 4226 §7.5: bias of the modulo).
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

    /// The sandbox's code: `123456`, continued if the policy asks for more digits.
    pub(crate) fn sandbox(digits: u8) -> Self {
        let digits = SANDBOX_CODE.iter().take(usize::from(digits));
        Self(Zeroizing::new(digits.copied().map(char::from).collect()))
    }

    /// The digits, to be shown only to the user.
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

/// Checks the format of a code: exactly `digits` ASCII digits (T7).
fn check_form(code: &str, digits: u8) -> Result<(), Malformed> {
    if code.chars().all(char::is_whitespace) {
        return Err(Malformed::Blank);
    }
    if code.chars().count() != usize::from(digits) {
        return Err(Malformed::WrongLength);
    }
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::InvalidCharacter);
    }
    Ok(())
}

/// A one-time code as the user typed it, with a valid format.
#[derive(Clone, Copy)]
pub(crate) struct Code<'a>(&'a str);

impl<'a> Code<'a> {
    /// Validates the format. A malformed code does not count as an attempt.
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
mod tests;
