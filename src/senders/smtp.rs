//! Codes by e-mail, over SMTP: [`Smtp`].

use std::fmt;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
    transport::smtp,
};

use super::SPARE;
use crate::{
    engine::{DeliveryError, OtpMessage, OtpSender},
    rules::{ConfigError, random_bytes, system_random},
    timeout::within,
};

/// Replies to a recipient who is refused (RFC 5321 §4.2.3).
const NO_SUCH_MAILBOX: [&str; 3] = ["550", "551", "553"];

/// Sends codes by e-mail, in plain text and HTML ([`OtpMessage::email_text`]): lettre, over a pool of connections.
///
/// | what comes back | what follows |
/// |---|---|
/// | 2xx after the message | sent |
/// | 550, 551 or 553 for a mailbox (RFC 3463: X.1.X, or no such code) | the recipient is refused: 409 `MOBILE_NUMBER_INVALID` |
/// | any other 4xx or 5xx, such as a greylist; no connection, no TLS, no login | nothing was sent: 503 |
/// | a connection that is lost or hangs, a reply that is none | it may have been sent: 503, and the send is counted |
///
/// It is not sent again: a server that has a message tries for itself.
///
/// # Example
///
/// ```
/// use tower_step_up::{Recipient, StepUp, senders::Smtp};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let smtp = Smtp::new("smtps://user:password@smtp.example", "Example Bank <no-reply@bank.example>")?;
/// let step_up = StepUp::builder()
///     .otp("EMAIL", smtp)
///     .enrollment(async |_, _| Recipient::email("alice@example.com").map_err(|_| tower_step_up::EnrollmentError::NotEnrolled))
///     .build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
///
/// NIST SP 800-63B-4 (3.1.3.1) permits no codes by e-mail, and [`Policy::nist`](crate::Policy::nist) refuses such a channel.
/// TLS is required but to this machine. The subject does not contain the code.
#[derive(Clone)]
#[must_use = "it sends what it is registered for: `StepUp::builder().otp(\"EMAIL\", smtp)`"]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// A server by its URL: `smtps://user:password@smtp.example`, or `smtp://user:password@smtp.example?tls=required` with
    /// STARTTLS; and the sender's address, such as `Example Bank <no-reply@bank.example>`. Certificates are checked against
    /// those that the system trusts.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Smtp`] if either is invalid, or the URL permits a connection without TLS to another machine.
    pub fn new(url: &str, from: &str) -> Result<Self, ConfigError> {
        let wrong = |detail: &str| ConfigError::Smtp { detail: detail.into() };
        let encrypts = url.starts_with("smtps://") || url.ends_with("tls=required");
        let is_local = ["smtp://localhost", "smtp://127.0.0.1", "smtp://[::1]"].iter().any(|local| {
            url.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?']))
        });
        if !encrypts && !is_local {
            return Err(wrong(
                "the URL permits a connection without TLS: begin it with smtps://, or end it with ?tls=required",
            ));
        }
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url);
        // The error may contain the password.
        let transport =
            transport.map_err(|_| wrong("the URL is not that of a server, such as smtps://user:password@host"))?;
        Self::over(transport.build(), from)
    }

    /// A transport of the application's own, with its certificates, its pool and its login.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Smtp`] if the sender's address is invalid.
    pub fn over(transport: AsyncSmtpTransport<Tokio1Executor>, from: &str) -> Result<Self, ConfigError> {
        let from =
            from.parse().map_err(|error| ConfigError::Smtp { detail: format!("the sender {from:?}: {error}") })?;
        Ok(Self { transport, from })
    }

    fn email(&self, message: &OtpMessage) -> Result<Message, DeliveryError> {
        let recipient = message.recipient().as_str().ok_or(DeliveryError::Failed)?;
        let recipient = recipient.parse().map_err(|_| DeliveryError::RecipientInvalid)?;
        let id = random_bytes::<16>(system_random).map_err(|_| DeliveryError::Failed)?;
        let text = message.email_text();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, recipient))
            .subject(text.subject())
            .message_id(Some(format!("<{:032x}@{}>", u128::from_be_bytes(id), self.from.email.domain())))
            .multipart(MultiPart::alternative_plain_html(text.plain().to_owned(), text.html().to_owned()))
            .map_err(|_| DeliveryError::Failed)
    }
}

impl OtpSender for Smtp {
    async fn send(&self, message: OtpMessage) -> Result<(), DeliveryError> {
        let email = self.email(&message)?;
        match within(message.deadline().saturating_sub(SPARE), self.transport.send(email)).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(outcome(&error)),
            None => Err(DeliveryError::Unknown),
        }
    }
}

fn outcome(error: &smtp::Error) -> DeliveryError {
    let text = error.to_string();
    if let Some(code) = error.status() {
        let has_none =
            !["5.0.", "5.2.", "5.3.", "5.4.", "5.5.", "5.6.", "5.7."].iter().any(|enhanced| text.contains(enhanced));
        let is_recipient = NO_SUCH_MAILBOX.contains(&&*code.to_string()) && (text.contains("5.1.") || has_none);
        return if is_recipient { DeliveryError::RecipientInvalid } else { DeliveryError::Failed };
    }
    // No other predicate tells a connection that was not made from one that was lost.
    let connected = !text.starts_with("Connection error");
    let before = error.is_client() || error.is_tls() || error.is_transport_shutdown() || !connected;
    if before { DeliveryError::Failed } else { DeliveryError::Unknown }
}

/// Prints neither the server nor the login.
impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_server_fails_when_built() {
        let from = "Bank <no-reply@bank.example>";
        for url in
            ["smtps://u:p@smtp.example", "smtp://smtp.example?tls=required", "smtp://127.0.0.1:25", "smtp://localhost"]
        {
            let _ = Smtp::new(url, from).unwrap();
        }
        for (url, from, expected) in [
            ("smtp://smtp.example", from, "without TLS"),
            ("smtp://localhost.evil.example", from, "without TLS"),
            ("smtp://smtp.example?tls=opportunistic", from, "without TLS"),
            ("http://canary@smtp.example?tls=required", from, "not that of a server"),
            ("smtps://canary@", from, "not that of a server"),
            ("smtps://smtp.example", "Bank", "\"Bank\""),
        ] {
            let said = Smtp::new(url, from).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("canary"), "{url}: {said}");
        }
    }
}
