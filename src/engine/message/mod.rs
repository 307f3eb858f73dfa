//! The messages that are sent to a user, and their texts.

mod email;
mod sms;
mod texts;

use std::{fmt, sync::Arc, time::Duration};

pub(crate) use self::texts::MessageTexts;
pub use self::{email::EmailText, sms::SmsText};
use crate::{engine::Recipient, rules::OneTimeCode};

/// A one-time code to send to a user.
#[derive(Debug)]
pub struct OtpMessage {
    pub(crate) envelope: Envelope,
    pub(crate) code: OneTimeCode,
}

/// A request for approval to send to a user's phone.
pub struct PushMessage {
    pub(crate) envelope: Envelope,
    pub(crate) id: String,
}

/// The fields of every message.
pub(crate) struct Envelope {
    pub(crate) subject: Box<str>,
    pub(crate) channel: Box<str>,
    pub(crate) recipient: Recipient,
    pub(crate) expires_in: Duration,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) operation: Option<Box<str>>,
    /// Whether the builder has registered the scope.
    pub(crate) knows_scope: bool,
    pub(crate) language: Option<Box<str>>,
    pub(crate) deadline: Duration,
    pub(crate) texts: Arc<MessageTexts>,
}

/// Does not print the id.
impl fmt::Debug for PushMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushMessage").field("envelope", &self.envelope).finish_non_exhaustive()
    }
}

impl Envelope {
    /// A text in the message's language, with its values.
    fn text(&self, name: &str, values: &[(&str, &str)]) -> String {
        self.texts.fill(self.language.as_deref(), name, values)
    }

    /// What is approved: the operation, or the application's text for the scope, else its name.
    fn approves(&self) -> Option<String> {
        match (&self.operation, &self.scope) {
            (Some(operation), _) => Some(operation.to_string()),
            (None, Some(scope)) => {
                let words = self.texts.of_scope(self.language.as_deref(), scope);
                // Without words, and not registered, it is whatever the client has sent, such as a link.
                words.or(self.knows_scope.then_some(scope)).map(str::to_owned)
            }
            (None, None) => None,
        }
    }
}

/// Does not print the user or the recipient.
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

            /// The recipient, as returned by the [`Enrollment`](crate::Enrollment).
            #[must_use]
            pub fn recipient(&self) -> &Recipient {
                &self.envelope.recipient
            }

            /// The remaining lifetime of the challenge.
            #[must_use]
            pub fn expires_in(&self) -> Duration {
                self.envelope.expires_in
            }

            /// How long the sender has: its future is dropped after
            /// [`Policy::sender_deadline`](crate::Policy::sender_deadline).
            #[must_use]
            pub fn deadline(&self) -> Duration {
                self.envelope.deadline
            }

            /// The scope of the step-up: show it to the user where the builder registers
            /// [scopes](crate::StepUpBuilder::scopes); otherwise it is the client's word, and may be a link. `None` for the
            /// whole session.
            #[must_use]
            pub fn scope(&self) -> Option<&str> {
                self.envelope.scope.as_deref()
            }

            /// The application's text for the operation that is being approved, if the challenge is
            /// [bound](crate::Binding) to one: the message must show it (PSD2 RTS art. 5(1)(a)).
            #[must_use]
            pub fn operation(&self) -> Option<&str> {
                self.envelope.operation.as_deref()
            }

            /// The language that the client asked for: a tag of BCP 47, such as `de-AT`, from the start's
            /// `Accept-Language` or [`Purpose::language`](crate::Purpose::language). Compare it with the languages that
            /// you have; it is the client's word.
            #[must_use]
            pub fn language(&self) -> Option<&str> {
                self.envelope.language.as_deref()
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

    /// A text message with the code, what it approves, and the origin on which it is to be entered: browsers fill it in on
    /// pages of this host alone (WICG, "Origin-bound one-time codes delivered via SMS"). In the message's
    /// [language](Self::language), where there are texts in it; [`message_text`](crate::StepUpBuilder::message_text)
    /// replaces each.
    ///
    /// `host` is that of the page that takes the code, such as `bank.example`, without scheme and port. Anything else
    /// leaves the last line out, and is logged as a warning. A scope is named where the builder knows it
    /// ([`scopes`](crate::StepUpBuilder::scopes)) or has words for it: otherwise it is the client's word.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{DeliveryError, OtpMessage};
    ///
    /// # async fn provider(_: Option<&str>, _: &str) -> Result<(), DeliveryError> { Ok(()) }
    /// async fn send_sms(message: OtpMessage) -> Result<(), DeliveryError> {
    ///     // 123456 is your code. It approves: Pay 250.00 EUR to carol. Do not share it.
    ///     // @bank.example #123456
    ///     let text = message.sms_text("bank.example");
    ///     provider(message.recipient().as_str(), text.expose()).await
    /// }
    /// ```
    #[must_use]
    pub fn sms_text(&self, host: &str) -> SmsText {
        SmsText::new(self, host)
    }

    /// The same as an e-mail: subject, plain text and HTML.
    #[must_use]
    pub fn email_text(&self) -> EmailText {
        EmailText::new(self)
    }
}

impl PushMessage {
    /// The push's id, to be passed to [`StepUp::answer_push`](crate::StepUp::answer_push) with the answer.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}
