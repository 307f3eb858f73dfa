//! Interfaces that the application implements: the channels of a user ([`Enrollment`]), and the delivery of challenges
//! ([`OtpSender`], [`PushSender`]).

use std::{any::TypeId, error::Error, fmt, future::Future, time::Duration};

use crate::{
    engine::{Caller, Recipient},
    rules::OneTimeCode,
};

/// Why a caller cannot use a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrollmentError {
    /// The user has not enrolled it.
    NotEnrolled,
    /// The application has switched it off for this user.
    NotSupported,
    /// The application's policy forbids this caller to step up.
    Forbidden,
    /// The enrollment cannot be determined now: the request is refused with 503.
    Unavailable,
}

/// Looks up the channels that a caller has enrolled, and their recipients.
///
/// Called for every start, verification and status, before anything is counted or sent, in the sandbox too. By default
/// every caller has enrolled every channel, and the recipient is known to the sender. Implemented for closures; a trait
/// object is called from one, as [`OtpSender`] shows.
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, Recipient, EnrollmentError, StepUp};
///
/// # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
/// # async fn phone_of(_: &str) -> Option<String> { None }
/// let step_up = StepUp::builder()
///     .otp("SMS", send_sms)
///     .enrollment(async |caller: Caller, channel: String| match channel.as_str() {
///         "SMS" => {
///             let phone = phone_of(caller.subject()).await.ok_or(EnrollmentError::NotEnrolled)?;
///             Recipient::phone(phone).map_err(|_| EnrollmentError::NotEnrolled)
///         }
///         _ => Err(EnrollmentError::NotSupported),
///     });
/// ```
pub trait Enrollment: Send + Sync + 'static {
    /// The recipient of this channel for this caller.
    ///
    /// # Errors
    ///
    /// [`EnrollmentError`] if the caller cannot use this channel.
    fn resolve(
        &self,
        caller: &Caller,
        channel: &str,
    ) -> impl Future<Output = Result<Recipient, EnrollmentError>> + Send;
}

impl<F, Fut> Enrollment for F
where
    F: Fn(Caller, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Recipient, EnrollmentError>> + Send,
{
    fn resolve(
        &self,
        caller: &Caller,
        channel: &str,
    ) -> impl Future<Output = Result<Recipient, EnrollmentError>> + Send {
        self(caller.clone(), channel.to_owned())
    }
}

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
    pub(crate) language: Option<Box<str>>,
}

/// Does not print the id.
impl fmt::Debug for PushMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushMessage").field("envelope", &self.envelope).finish_non_exhaustive()
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

            /// The recipient, as returned by the [`Enrollment`].
            #[must_use]
            pub fn recipient(&self) -> &Recipient {
                &self.envelope.recipient
            }

            /// The remaining lifetime of the challenge.
            #[must_use]
            pub fn expires_in(&self) -> Duration {
                self.envelope.expires_in
            }

            /// The scope of the step-up: show it to the user. `None` for the whole session.
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
}

impl PushMessage {
    /// The push's id, to be passed to [`StepUp::answer_push`](crate::StepUp::answer_push) with the answer.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Sends one-time codes. Implemented for closures and for `async fn(OtpMessage) -> Result<(), DeliveryError>`.
///
/// The future is dropped after [`Policy::sender_deadline`](crate::Policy::sender_deadline).
///
/// # Example
///
/// A sender with a client of its own, and one that is chosen at run time: a trait object behind an `Arc`, in a closure.
///
/// ```
/// use std::{future::Future, pin::Pin, sync::Arc};
/// use tower_step_up::{DeliveryError, OtpMessage, OtpSender, StepUp};
///
/// # struct Client;
/// # impl Client { async fn text(&self, _: Option<&str>, _: &str) -> Result<(), ()> { Ok(()) } }
/// struct Sms(Client);
///
/// impl OtpSender for Sms {
///     async fn send(&self, message: OtpMessage) -> Result<(), DeliveryError> {
///         let sent = self.0.text(message.recipient().as_str(), message.code().expose()).await;
///         sent.map_err(|_| DeliveryError::Failed)
///     }
/// }
///
/// type Sending = Pin<Box<dyn Future<Output = Result<(), DeliveryError>> + Send>>;
///
/// # fn mail_from_settings() -> Arc<dyn Fn(OtpMessage) -> Sending + Send + Sync> { Arc::new(|_| Box::pin(async { Ok(()) })) }
/// let mail: Arc<dyn Fn(OtpMessage) -> Sending + Send + Sync> = mail_from_settings();
/// let step_up = StepUp::builder().otp("SMS", Sms(Client)).otp("EMAIL", move |message| mail(message)).build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
pub trait OtpSender: Send + Sync + 'static {
    /// Sends a code.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`], only if nothing was sent.
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

/// Requests an approval on the user's phone. Implemented for closures and for
/// `async fn(PushMessage) -> Result<(), DeliveryError>`.
///
/// The future is dropped after [`Policy::sender_deadline`](crate::Policy::sender_deadline).
pub trait PushSender: Send + Sync + 'static {
    /// Sends a request for approval.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`], only if nothing was sent.
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
/// Outside the [sandbox](crate::StepUpBuilder::sandbox) the builder rejects it
/// ([`ConfigError::DiscardOutsideSandbox`](crate::ConfigError::DiscardOutsideSandbox)): a start would be answered with
/// 204, and no code would arrive. A closure that calls it is not detected.
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

/// Why nothing was sent.
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
