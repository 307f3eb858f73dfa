//! Interfaces that the application implements: the channels of a user ([`Enrollment`]), and the delivery of challenges
//! ([`OtpSender`], [`PushSender`]).

use std::{any::TypeId, error::Error, fmt, future::Future};

use crate::engine::{Caller, OtpMessage, PushMessage, Recipient};

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
/// every caller has enrolled every channel, and the recipient is known to the sender. Implemented for async closures that
/// own what they use, such as a pool: they are cloned for each call, so what they change is lost.
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, Recipient, EnrollmentError, StepUp};
///
/// # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
/// # #[derive(Clone)] struct Pool;
/// # impl Pool { async fn phone_of(&self, _: &str) -> Result<Option<String>, ()> { Ok(None) } }
/// # let pool = Pool;
/// let step_up = StepUp::builder()
///     .otp("SMS", send_sms)
///     .enrollment(async move |caller: Caller, channel: String| match channel.as_str() {
///         "SMS" => {
///             let phone = pool.phone_of(caller.subject()).await.map_err(|_| EnrollmentError::Unavailable)?;
///             let phone = phone.ok_or(EnrollmentError::NotEnrolled)?;
///             Recipient::phone(phone).map_err(|_| EnrollmentError::NotEnrolled)
///         }
///         _ => Err(EnrollmentError::NotSupported),
///     });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which channels a user has enrolled",
    label = "not an `Enrollment`",
    note = "an async closure: `async move |caller: Caller, channel: String| {{ .. }}`, which returns a `Result<Recipient, \
            EnrollmentError>`",
    note = "it is cloned for each call: what it captures must be `Clone`, `Send` and `Sync`, such as a pool or an `Arc`",
    note = "or a type of yours that implements `Enrollment`"
)]
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
    F: FnOnce(Caller, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Recipient, EnrollmentError>> + Send,
{
    fn resolve(
        &self,
        caller: &Caller,
        channel: &str,
    ) -> impl Future<Output = Result<Recipient, EnrollmentError>> + Send {
        self.clone()(caller.clone(), channel.to_owned())
    }
}

/// Sends one-time codes. Implemented for `async fn(OtpMessage) -> Result<(), DeliveryError>`, and for async closures that
/// own what they use, such as a client: they are cloned for each message, so what they change is lost (keep a count behind an
/// `Arc`).
///
/// The future is dropped after [`Policy::sender_deadline`](crate::Policy::sender_deadline).
///
/// # Example
///
/// A closure over a client, which is `Clone` as most are:
///
/// ```
/// use tower_step_up::{DeliveryError, OtpMessage, StepUp};
///
/// # #[derive(Clone)] struct Client;
/// # impl Client { async fn text(&self, _: Option<&str>, _: &str) -> Result<(), ()> { Ok(()) } }
/// # let client = Client;
/// let step_up = StepUp::builder().otp("SMS", async move |message: OtpMessage| {
///     let text = message.sms_text("bank.example");
///     let sent = client.text(message.recipient().as_str(), text.expose()).await;
///     sent.map_err(|_| DeliveryError::Unknown) // `Failed` only where nothing was sent for certain
/// });
/// ```
///
/// A type of its own, and a sender that is chosen at run time: a trait object behind an `Arc`, in a closure.
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
///         sent.map_err(|_| DeliveryError::Unknown) // `Failed` only where nothing was sent for certain
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot send `OtpMessage`s",
    label = "not an `OtpSender`",
    note = "an async closure: `async move |message: OtpMessage| {{ .. }}`, which returns a `Result<(), DeliveryError>`",
    note = "it is cloned for each message: what it captures must be `Clone`, `Send` and `Sync`, such as a client or an `Arc`",
    note = "or a type of yours that implements `OtpSender`"
)]
pub trait OtpSender: Send + Sync + 'static {
    /// Sends a code.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`]: it says whether something may have been sent.
    fn send(&self, message: OtpMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

impl<F, Fut> OtpSender for F
where
    F: FnOnce(OtpMessage) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), DeliveryError>> + Send,
{
    fn send(&self, message: OtpMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send {
        self.clone()(message)
    }
}

/// Requests an approval on the user's phone. Implemented for functions and closures as [`OtpSender`] is.
///
/// The future is dropped after [`Policy::sender_deadline`](crate::Policy::sender_deadline).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot send `PushMessage`s",
    label = "not an `PushSender`",
    note = "an async closure: `async move |message: PushMessage| {{ .. }}`, which returns a `Result<(), DeliveryError>`",
    note = "it is cloned for each message: what it captures must be `Clone`, `Send` and `Sync`, such as a client or an `Arc`",
    note = "or a type of yours that implements `PushSender`"
)]
pub trait PushSender: Send + Sync + 'static {
    /// Sends a request for approval.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`]: it says whether something may have been sent.
    fn send(&self, message: PushMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

impl<F, Fut> PushSender for F
where
    F: FnOnce(PushMessage) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), DeliveryError>> + Send,
{
    fn send(&self, message: PushMessage) -> impl Future<Output = Result<(), DeliveryError>> + Send {
        self.clone()(message)
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

/// Why a message was not sent, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The provider refused the recipient: 409 `MOBILE_NUMBER_INVALID` on the start of a code.
    RecipientInvalid,
    /// The provider failed, and it is certain that nothing was sent, such as where it has refused the request: 503. The send is
    /// not counted. A time-out, a lost response and an answer of a proxy leave that open: [`Unknown`](Self::Unknown).
    Failed,
    /// It is not known whether the message was sent, as after a lost response: 503. The send is counted, as after a
    /// time-out, and a code that arrives can be verified.
    Unknown,
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecipientInvalid => "the provider refused the recipient",
            Self::Failed => "the provider failed",
            Self::Unknown => "the message may have been sent",
        })
    }
}

impl Error for DeliveryError {}
