//! Where a challenge goes ([`Recipient`]), and the canonical form of a phone number or an email address.

use std::{error::Error, fmt};

#[cfg(test)]
mod tests;

/// Where a challenge goes: a phone number, an address, a device. Opaque to this crate, and never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Recipient {
    address: Option<Box<str>>,
    display: Option<Box<str>>,
}

impl Recipient {
    /// The recipient that the user enrolled.
    ///
    /// It must have one canonical form per destination: budgets are counted for each string, and a number in several
    /// spellings has several budgets. [`phone`](Self::phone) and [`email`](Self::email) establish that form.
    #[must_use]
    pub fn new(recipient: impl Into<Box<str>>) -> Self {
        Self { address: Some(recipient.into()), display: None }
    }

    /// A phone number in E.164: `+`, the country code and the number, 8 to 15 digits, the first of them 1 to 9.
    ///
    /// Spaces and `-`, `(`, `)`, `.`, `/` between the digits are removed. A number without its country code is refused,
    /// since the country cannot be known here, and so is one with a trunk prefix in parentheses, as in `+49 (0)151`.
    /// Without parentheses a trunk prefix cannot be recognized, since in some countries it is also dialed from abroad:
    /// `+490151…` is a different recipient from `+49151…`.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Recipient, RecipientError};
    ///
    /// let spelled = Recipient::phone("+49 (151) 234-567.89")?;
    /// assert_eq!(spelled, Recipient::phone("+4915123456789")?);
    /// assert_eq!(spelled.as_str(), Some("+4915123456789"));
    /// assert_eq!(Recipient::phone("0151 23456789"), Err(RecipientError::CountryCode));
    /// # Ok::<_, RecipientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecipientError`] names the problem and how to fix it.
    pub fn phone(number: impl AsRef<str>) -> Result<Self, RecipientError> {
        let digits = number.as_ref().strip_prefix('+').ok_or(RecipientError::CountryCode)?;
        let separator = |character| [' ', '-', '(', ')', '.', '/'].contains(&character);
        // A national prefix, as in `+49 (0)151` or `+49 (0151)`.
        if digits.split('(').skip(1).any(|group| group.trim_start_matches(separator).starts_with('0')) {
            return Err(RecipientError::TrunkPrefix);
        }
        if digits.starts_with(separator) || digits.ends_with(separator) {
            return Err(RecipientError::PhoneCharacter);
        }
        let mut canonical = String::from("+");
        for character in digits.chars() {
            match character {
                '0'..='9' => canonical.push(character),
                _ if separator(character) => {}
                _ => return Err(RecipientError::PhoneCharacter),
            }
            if canonical.len() > 16 {
                return Err(RecipientError::PhoneLength);
            }
        }
        match canonical.as_bytes() {
            [_, b'0', ..] => Err(RecipientError::CountryCode),
            [_, digits @ ..] if digits.len() >= 8 => Ok(Self::new(canonical)),
            _ => Err(RecipientError::PhoneLength),
        }
    }

    /// An email address in lower case, both the part before the `@` and the domain; at most 254 bytes.
    ///
    /// Mail systems in practice ignore the case of the local part, so spellings in upper case reach the same mailbox.
    /// Other spellings of one mailbox are refused: quoted local parts, comments, a dot at the end of the domain (RFC
    /// 5322 §3.4.1), and characters outside ASCII. Pass an internationalized domain in its ASCII form (`xn--`).
    ///
    /// Provider-specific aliases are not normalized: tags such as `+shop`, and dots that the provider ignores.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Recipient, RecipientError};
    ///
    /// assert_eq!(Recipient::email("Alice@Example.com")?.as_str(), Some("alice@example.com"));
    /// assert_eq!(Recipient::email("alice"), Err(RecipientError::EmailParts));
    /// # Ok::<_, RecipientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecipientError`] names the problem and how to fix it.
    pub fn email(address: impl AsRef<str>) -> Result<Self, RecipientError> {
        let address = address.as_ref();
        if !address.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte)) {
            return Err(RecipientError::EmailCharacter);
        }
        if address.len() > 254 {
            return Err(RecipientError::EmailLength);
        }
        match address.split_once('@') {
            Some((local, domain))
                if !local.is_empty() && !domain.contains('@') && domain.split('.').all(|label| !label.is_empty()) =>
            {
                Ok(Self::new(address.to_ascii_lowercase()))
            }
            _ => Err(RecipientError::EmailParts),
        }
    }

    /// An enrolled recipient whose address only the sender knows.
    #[must_use]
    pub const fn known_to_sender() -> Self {
        Self { address: None, display: None }
    }

    /// The recipient that the enrollment named; `None` where only the sender knows it.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// How the recipient is shown to the user, in place of [`masked`](Self::masked): such as "the phone that ends in
    /// 0111", or a device's name.
    #[must_use]
    pub fn display(self, text: impl Into<Box<str>>) -> Self {
        Self { display: Some(text.into()), ..self }
    }

    /// The recipient as the user is shown it, who knows which of their phones it is: the [`display`](Self::display)
    /// text, or the last four digits of a phone number, or the first character of an email address and its domain.
    /// `None` for any other recipient.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::Recipient;
    ///
    /// let masked = |recipient: Recipient| recipient.masked();
    /// assert_eq!(masked(Recipient::phone("+1 202 555 0111")?).as_deref(), Some("•••• 0111"));
    /// assert_eq!(masked(Recipient::email("alice@example.com")?).as_deref(), Some("a•••@example.com"));
    /// assert_eq!(masked(Recipient::new("device 7")), None);
    /// assert_eq!(masked(Recipient::new("device 7").display("Alice's phone")).as_deref(), Some("Alice's phone"));
    /// # Ok::<_, tower_step_up::RecipientError>(())
    /// ```
    #[must_use]
    pub fn masked(&self) -> Option<String> {
        if let Some(display) = &self.display {
            return Some(display.to_string());
        }
        let address = self.as_str()?;
        if let Some((local, domain)) = address.split_once('@') {
            // A handle, or something else with an `@` in it, would be shown whole.
            Self::email(address).ok().filter(|_| domain.contains('.'))?;
            // One character is the whole of it.
            let first = local.chars().next().filter(|_| local.len() > 1).map(String::from).unwrap_or_default();
            return Some(format!("{first}•••@{domain}"));
        }
        let international = address.starts_with('+');
        let is_of_phone = |c: char| c.is_ascii_digit() || "+ -()/".contains(c) || (international && c == '.');
        let digits: Vec<char> = address.chars().filter(char::is_ascii_digit).collect();
        if digits.is_empty() || !address.chars().all(is_of_phone) {
            return None;
        }
        Some(match digits.last_chunk::<4>() {
            Some(last) if digits.len() >= 8 => format!("•••• {}", String::from_iter(last)),
            // Four digits would be most of it.
            _ => "••••".to_owned(),
        })
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient(..)")
    }
}

/// Why a string is not a valid phone number or email address. Contains nothing of the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipientError {
    /// The number does not begin with `+` and a country code.
    CountryCode,
    /// The number has a trunk prefix in parentheses, which is not dialed from abroad.
    TrunkPrefix,
    /// The number has fewer than 8 digits or more than 15.
    PhoneLength,
    /// The number has a character that is neither a digit nor a separator between digits.
    PhoneCharacter,
    /// The address is not a local part and a domain with one `@` between them.
    EmailParts,
    /// The address is longer than 254 bytes.
    EmailLength,
    /// The address has white space, a quote, a bracket, another separator or a character outside ASCII.
    EmailCharacter,
}

impl fmt::Display for RecipientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CountryCode => "the phone number has no country code: write it as +4915123456789 (E.164)",
            Self::TrunkPrefix => "the phone number has a trunk prefix: leave the (0) out",
            Self::PhoneLength => "the phone number is too short or too long: E.164 has 8 to 15 digits after the +",
            Self::PhoneCharacter => {
                "the phone number has something other than digits, and spaces or -()./ between them: remove it"
            }
            Self::EmailParts => "the email address is incomplete: write it as name@example.com, with one @",
            Self::EmailLength => "the email address is longer than 254 bytes: enroll a shorter one",
            Self::EmailCharacter => {
                "the email address has white space, quotes, brackets or characters outside ASCII: write it as \
                 name@example.com, an internationalized domain as xn--"
            }
        })
    }
}

impl Error for RecipientError {}
