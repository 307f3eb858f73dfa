//! What the application brings: who has enrolled what ([`Enrolment`]), and how a challenge reaches the user
//! ([`OtpSender`], [`PushSender`]).

use std::{any::TypeId, error::Error, fmt, future::Future, time::Duration};

use crate::{engine::Caller, rules::OneTimeCode};

/// Where a challenge goes: a phone number, an address, a device. Opaque to this crate, and never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Recipient(Option<Box<str>>);

impl Recipient {
    /// The recipient that the user enrolled.
    ///
    /// It must have one canonical form per destination: budgets are counted for each string, and a number in several
    /// spellings has several budgets. [`phone`](Self::phone) and [`email`](Self::email) establish that form.
    #[must_use]
    pub fn new(recipient: impl Into<Box<str>>) -> Self {
        Self(Some(recipient.into()))
    }

    /// A phone number in E.164: `+`, the country code and the number, 8 to 15 digits, the first of them 1 to 9.
    ///
    /// Spaces and `-`, `(`, `)`, `.`, `/` between the digits are removed. A number without its country code is
    /// refused, since which country is meant cannot be known here, and so is one with a trunk prefix in parentheses,
    /// as in `+49 (0)151`. Without parentheses a trunk prefix cannot be recognized, since some countries dial it from
    /// abroad, too: `+490151…` is another recipient than `+49151…`.
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
    /// [`RecipientError`] names what is wrong and its cure.
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
    /// What only the provider knows is left as it is: tags such as `+shop`, and dots that it ignores.
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
    /// [`RecipientError`] names what is wrong and its cure.
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

    /// Enrolled, and only the sender knows where.
    #[must_use]
    pub const fn known_to_sender() -> Self {
        Self(None)
    }

    /// What the enrolment said, if it said anything.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient(..)")
    }
}

/// Why a string is no phone number or email address. Prints nothing of it.
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
    /// The address is not a name and a domain with one `@` between them.
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

/// Why a caller cannot use a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The user has not enrolled it.
    NotEnrolled,
    /// The application has switched it off for this user.
    NotSupported,
    /// The application's policy forbids this caller to step up.
    Forbidden,
    /// It cannot be told now: the request is refused with 503.
    Unavailable,
}

/// Tells which channels a caller has enrolled, and where they lead.
///
/// Asked for every start, verification and status, before anything is counted or sent, in the sandbox too.
/// The default says that everybody has enrolled everything and the sender knows where. A closure serves.
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, Recipient, Refused, StepUp};
///
/// # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
/// # async fn phone_of(_: &str) -> Option<String> { None }
/// let step_up = StepUp::builder()
///     .otp("SMS", send_sms)
///     .enrolment(async |caller: Caller, channel: String| match channel.as_str() {
///         "SMS" => {
///             let phone = phone_of(caller.subject()).await.ok_or(Refused::NotEnrolled)?;
///             Recipient::phone(phone).map_err(|_| Refused::NotEnrolled)
///         }
///         _ => Err(Refused::NotSupported),
///     });
/// ```
pub trait Enrolment: Send + Sync + 'static {
    /// Where this channel leads for this caller.
    ///
    /// # Errors
    ///
    /// [`Refused`] says why it leads nowhere.
    fn resolve(&self, caller: &Caller, channel: &str) -> impl Future<Output = Result<Recipient, Refused>> + Send;
}

impl<F, Fut> Enrolment for F
where
    F: Fn(Caller, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Recipient, Refused>> + Send,
{
    fn resolve(&self, caller: &Caller, channel: &str) -> impl Future<Output = Result<Recipient, Refused>> + Send {
        self(caller.clone(), channel.to_owned())
    }
}

/// A one-time code on its way to a user.
#[derive(Debug)]
pub struct OtpMessage {
    pub(crate) envelope: Envelope,
    pub(crate) code: OneTimeCode,
}

/// A request for approval on its way to a user's phone.
pub struct PushMessage {
    pub(crate) envelope: Envelope,
    pub(crate) id: String,
}

/// What every message says.
pub(crate) struct Envelope {
    pub(crate) subject: Box<str>,
    pub(crate) channel: Box<str>,
    pub(crate) recipient: Recipient,
    pub(crate) expires_in: Duration,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) operation: Option<Box<str>>,
}

/// Prints no id.
impl fmt::Debug for PushMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushMessage").field("envelope", &self.envelope).finish_non_exhaustive()
    }
}

/// Prints neither the user nor the recipient.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("channel", &self.channel).finish_non_exhaustive()
    }
}

macro_rules! envelope_accessors {
    ($message:ty) => {
        impl $message {
            /// The user's id.
            #[must_use]
            pub fn subject(&self) -> &str {
                &self.envelope.subject
            }

            /// The channel, as registered.
            #[must_use]
            pub fn channel(&self) -> &str {
                &self.envelope.channel
            }

            /// Where the [`Enrolment`] said that it goes.
            #[must_use]
            pub fn recipient(&self) -> &Recipient {
                &self.envelope.recipient
            }

            /// How long the challenge lives from now.
            #[must_use]
            pub fn expires_in(&self) -> Duration {
                self.envelope.expires_in
            }

            /// What the step-up is for: show it to the user. `None` for the whole session.
            #[must_use]
            pub fn scope(&self) -> Option<&str> {
                self.envelope.scope.as_deref()
            }

            /// The one operation that is being approved, where it is [bound](crate::Binding), in the words of the
            /// application: the message must show it (PSD2 RTS art. 5(1)(a)).
            #[must_use]
            pub fn operation(&self) -> Option<&str> {
                self.envelope.operation.as_deref()
            }
        }
    };
}

envelope_accessors!(OtpMessage);

envelope_accessors!(PushMessage);

impl OtpMessage {
    /// The code.
    #[must_use]
    pub fn code(&self) -> &OneTimeCode {
        &self.code
    }
}

impl PushMessage {
    /// The push's id, which the answer names
    /// ([`StepUp::answer_push`](crate::StepUp::answer_push)).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Sends one-time codes. A closure or an `async fn(OtpMessage) -> Result<(), DeliveryError>` serves.
///
/// It has [`Policy::sender_deadline`](crate::Policy::sender_deadline), after which it is dropped.
pub trait OtpSender: Send + Sync + 'static {
    /// Sends a code.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`], and only where nothing was sent.
    fn send(&self, message: OtpMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

impl<F, Fut> OtpSender for F
where
    F: Fn(OtpMessage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), DeliveryError>> + Send,
{
    fn send(&self, message: OtpMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send {
        self(message)
    }
}

/// Asks for an approval on the user's phone. A closure or an
/// `async fn(PushMessage) -> Result<(), DeliveryError>` serves.
///
/// It has [`Policy::sender_deadline`](crate::Policy::sender_deadline), after which it is dropped.
pub trait PushSender: Send + Sync + 'static {
    /// Sends a request for approval.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`], and only where nothing was sent.
    fn send(&self, message: PushMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

impl<F, Fut> PushSender for F
where
    F: Fn(PushMessage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), DeliveryError>> + Send,
{
    fn send(&self, message: PushMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send {
        self(message)
    }
}

/// A sender that discards every message: for the sandbox, which sends nothing.
///
/// Outside the [sandbox](crate::StepUpBuilder::sandbox) the builder refuses it
/// ([`ConfigError::Discards`](crate::ConfigError::Discards)): a start would be answered 204 while no code exists. A
/// closure that calls it is not recognized.
///
/// # Example
///
/// ```
/// let step_up = tower_step_up::StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
///
/// # Errors
///
/// None.
pub async fn discard<M: Send>(message: M) -> Result<(), DeliveryError> {
    drop(message);
    Ok(())
}

/// Whether a sender is [`discard`] itself.
pub(crate) fn is_discard<T: 'static>(_: &T) -> bool {
    fn type_of<T: 'static>(_: T) -> TypeId {
        TypeId::of::<T>()
    }
    [type_of(discard::<OtpMessage>), type_of(discard::<PushMessage>)].contains(&TypeId::of::<T>())
}

/// Nothing was sent, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The provider refused the recipient: 409 `MOBILE_NUMBER_INVALID` on the start of a code.
    RecipientInvalid,
    /// The provider failed: 503.
    Failed,
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecipientInvalid => "the provider refused the recipient",
            Self::Failed => "the provider failed",
        })
    }
}

impl Error for DeliveryError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(recipient: &Result<Recipient, RecipientError>) -> Result<&str, RecipientError> {
        recipient.as_ref().map(|recipient| recipient.as_str().unwrap()).map_err(|error| *error)
    }

    #[test]
    fn one_phone_has_one_form() {
        use RecipientError::{CountryCode, PhoneCharacter, PhoneLength, TrunkPrefix};
        for (number, expected) in [
            ("+4915123456789", Ok("+4915123456789")),
            ("+49 151 234 567 89", Ok("+4915123456789")),
            ("+49 (151) 234-567.89", Ok("+4915123456789")),
            ("+49/151/23456789", Ok("+4915123456789")),
            ("+49 (0)151 23456789", Err(TrunkPrefix)),
            ("+49 (0151) 23456789", Err(TrunkPrefix)),
            ("+49 ( 0 )151 23456789", Err(TrunkPrefix)),
            ("+ 4915123456789", Err(PhoneCharacter)),
            ("+4915123456789 ", Err(PhoneCharacter)),
            ("+12345678", Ok("+12345678")),
            ("+123456789012345", Ok("+123456789012345")),
            ("+1234567", Err(PhoneLength)),
            ("+1234567890123456", Err(PhoneLength)),
            ("+", Err(PhoneLength)),
            ("", Err(CountryCode)),
            ("4915123456789", Err(CountryCode)),
            ("004915123456789", Err(CountryCode)),
            ("+0491512345678", Err(CountryCode)),
            (" +4915123456789", Err(CountryCode)),
            ("++4915123456789", Err(PhoneCharacter)),
            ("+49151234567x9", Err(PhoneCharacter)),
            ("+4915123456789\u{200b}", Err(PhoneCharacter)),
            ("+49\u{a0}15123456789", Err(PhoneCharacter)),
            ("+49\n15123456789", Err(PhoneCharacter)),
            ("+\u{664}\u{669}15123456789", Err(PhoneCharacter)),
        ] {
            assert_eq!(form(&Recipient::phone(number)), expected, "{number:?}");
        }
    }

    #[test]
    fn one_mailbox_has_one_form() {
        use RecipientError::{EmailCharacter, EmailLength, EmailParts};
        let (longest, longer) = (format!("{}@b.example", "a".repeat(244)), format!("{}@b.example", "a".repeat(245)));
        for (address, expected) in [
            ("alice@example.com", Ok("alice@example.com")),
            ("Alice@EXAMPLE.com", Ok("alice@example.com")),
            ("a.b+shop@example.com", Ok("a.b+shop@example.com")),
            (&longest, Ok(&*longest)),
            (&longer, Err(EmailLength)),
            ("", Err(EmailParts)),
            ("alice", Err(EmailParts)),
            ("@example.com", Err(EmailParts)),
            ("alice@", Err(EmailParts)),
            ("alice@home@example.com", Err(EmailParts)),
            (" alice@example.com", Err(EmailCharacter)),
            ("alice@example.com\n", Err(EmailCharacter)),
            ("ali\u{a0}ce@example.com", Err(EmailCharacter)),
            ("alice\0@example.com", Err(EmailCharacter)),
            ("\"alice\"@example.com", Err(EmailCharacter)),
            ("alice(at home)@example.com", Err(EmailCharacter)),
            ("alice(home)@example.com", Err(EmailCharacter)),
            ("Alice<alice@example.com>", Err(EmailCharacter)),
            ("ali\u{200b}ce@example.com", Err(EmailCharacter)),
            ("alice@\u{ff45}xample.com", Err(EmailCharacter)),
            ("alice@example.com.", Err(EmailParts)),
            ("alice@.example.com", Err(EmailParts)),
            ("alice@example..com", Err(EmailParts)),
        ] {
            assert_eq!(form(&Recipient::email(address)), expected, "{address:?}");
        }
    }

    #[test]
    fn errors_name_the_cure_and_nothing_of_the_recipient() {
        let errors = ["0151 23456789", "+49 (0)151 23456789", "+49", "+49 x", "alice", "a b@c"];
        let phone = errors[..4].iter().filter_map(|number| Recipient::phone(number).err());
        let email = errors[4..].iter().filter_map(|address| Recipient::email(address).err());
        let said: Vec<_> = phone.chain(email).map(|error| error.to_string()).collect();
        assert_eq!(said.len(), errors.len());
        for (said, recipient) in said.iter().zip(errors) {
            assert!(said.contains(": ") && !said.contains(recipient), "{said}");
        }
    }
}
