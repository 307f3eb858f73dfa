//! Codes by e-mail, over SMTP: [`Smtp`].

use std::fmt;

use http::Uri;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
    transport::smtp::{self, AsyncSmtpTransportBuilder, response::Severity},
};

use super::{is_local, message_id, time_to_send};
use crate::{
    engine::{DeliveryError, OtpMessage, OtpSender},
    rules::ConfigError,
    timeout::within,
};

/// Replies to a recipient who is refused (RFC 5321 §4.2.3), and what they say of the address (RFC 3463 §3.2, RFC 7505 §3): what
/// is said of the sender, or without a word, is not the user's fault.
const NO_SUCH_MAILBOX: [&str; 3] = ["550", "551", "553"];
const BAD_ADDRESS: [&str; 5] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"];

/// Sends codes by e-mail, in plain text and HTML ([`OtpMessage::email_text`]): lettre, on a connection for each.
///
/// | what comes back | what follows |
/// |---|---|
/// | 2xx after the message | sent |
/// | 550, 551 or 553 with 5.1.1, 5.1.2, 5.1.3, 5.1.6 or 5.1.10 (RFC 3463) | the recipient is refused: 409 `MOBILE_NUMBER_INVALID` |
/// | any other 4xx or 5xx, such as a greylist; a connection that is refused, no TLS, no login | nothing was sent: 503 |
/// | a connection that is lost, hangs or is not made in time, a reply that is none; also after the message, where the server does not answer `QUIT` | it may have been sent: 503, and the send is counted |
///
/// It is not sent again: a server that has a message tries for itself. Connections are not kept: a message whose time is up
/// would leave its replies to the next one.
///
/// # Example
///
/// ```
/// use tower_step_up::{Recipient, StepUp, senders::Smtp};
///
/// let smtp = Smtp::new("smtps://user:password@smtp.example", "Example Bank <no-reply@bank.example>")?;
/// let step_up = StepUp::builder()
///     .otp("EMAIL", smtp)
///     .enrollment(async |_, _| Recipient::email("alice@example.com").map_err(|_| tower_step_up::EnrollmentError::NotEnrolled))
///     .build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
///
/// # Security
///
/// NIST SP 800-63B-4 (3.1.3.1) permits no codes by e-mail, and [`Policy::nist`](crate::Policy::nist) refuses such a channel.
/// TLS is required but to this machine. The subject does not contain the code. With lettre's own feature `tracing`, it logs
/// what it sends at level DEBUG: the code, and the login.
#[derive(Clone)]
#[must_use = "it sends what it is registered for: `StepUp::builder().otp(\"EMAIL\", smtp)`"]
pub struct Smtp {
    builder: AsyncSmtpTransportBuilder,
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
        let wrong = |detail: &str| Err(ConfigError::Smtp { detail: detail.into() });
        // As another parser reads it: nothing that only one of both takes for the host or the encryption.
        let uri: Option<Uri> = url.parse().ok().filter(|uri: &Uri| uri.host().is_some() && !url.contains('#'));
        let login = |uri: &Uri| match uri.authority().map(|authority| authority.as_str().rsplit_once('@')) {
            Some(Some((login, _))) => {
                login.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
            }
            _ => true,
        };
        // lettre resolves the brackets of an IPv6 address, too, and finds no host.
        let is_named = |uri: &Uri| !uri.host().is_some_and(|host| host.starts_with('['));
        let Some(uri) = uri.filter(|uri| matches!(uri.path(), "" | "/") && login(uri) && is_named(uri)) else {
            return wrong("the URL is not that of a server, such as smtps://user:password@smtp.example");
        };
        match (uri.scheme_str(), uri.query()) {
            (Some("smtps"), None) | (Some("smtp"), Some("tls=required")) => {}
            (Some("smtp"), None) if is_local(&uri) => {}
            (Some("smtp" | "smtps"), _) => {
                return wrong(
                    "the URL permits a connection without TLS: begin it with smtps://, or end it with ?tls=required",
                );
            }
            _ => return wrong("the URL begins neither with smtps:// nor with smtp://"),
        }
        // The error may contain the password.
        match AsyncSmtpTransport::<Tokio1Executor>::from_url(url) {
            Ok(builder) => Self::over(builder, from),
            Err(_) => wrong("the URL is not that of a server, such as smtps://user:password@smtp.example"),
        }
    }

    /// A server with the application's own settings, such as the certificates that it trusts. Set no `min_idle`: a pool is made for each message.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Smtp`] if the sender's address is invalid.
    pub fn over(builder: AsyncSmtpTransportBuilder, from: &str) -> Result<Self, ConfigError> {
        let from =
            from.parse().map_err(|error| ConfigError::Smtp { detail: format!("the sender {from:?}: {error}") })?;
        Ok(Self { builder, from })
    }

    fn email(&self, message: &OtpMessage) -> Result<Message, DeliveryError> {
        let recipient = message.recipient().as_str().ok_or(DeliveryError::Failed)?;
        let recipient = recipient.parse().map_err(|_| DeliveryError::RecipientInvalid)?;
        let id = message_id()?;
        let text = message.email_text();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, recipient))
            .subject(text.subject())
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .multipart(MultiPart::alternative_plain_html(text.plain().to_owned(), text.html().to_owned()))
            .map_err(|_| DeliveryError::Failed)
    }
}

impl OtpSender for Smtp {
    async fn send(&self, message: OtpMessage) -> Result<(), DeliveryError> {
        let email = self.email(&message)?;
        // Not kept: where the application has turned lettre's pool on, it would keep a connection in the middle of a message.
        let transport = self.builder.clone().build::<Tokio1Executor>();
        match within(time_to_send(message.deadline()), transport.send(email)).await {
            Some(Ok(reply)) if reply.code().severity == Severity::PositiveCompletion => Ok(()),
            Some(Err(error)) => Err(outcome(&error)),
            // Also a 3xx, which lettre takes for a success.
            Some(Ok(_)) | None => Err(DeliveryError::Unknown),
        }
    }
}

fn outcome(error: &smtp::Error) -> DeliveryError {
    let text = error.to_string();
    if let Some(code) = error.status() {
        let refused = refuses_recipient(&code.to_string(), &text);
        return if refused { DeliveryError::RecipientInvalid } else { DeliveryError::Failed };
    }
    // No other predicate tells a connection that was not made from one that was lost.
    let connected = !text.starts_with("Connection error");
    let before = error.is_client() || error.is_tls() || error.is_transport_shutdown() || !connected;
    if before { DeliveryError::Failed } else { DeliveryError::Unknown }
}

/// Whether a reply is about the recipient's address: by its code, and the enhanced one at the beginning of its text.
fn refuses_recipient(code: &str, text: &str) -> bool {
    let reply = text.split_once("): ").map_or("", |(_, reply)| reply);
    let enhanced = reply.split_whitespace().next().unwrap_or_default();
    NO_SUCH_MAILBOX.contains(&code) && BAD_ADDRESS.contains(&enhanced)
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

    #[test]
    fn replies_about_the_recipient() {
        let table = [
            ("550", "5.1.1 No such user", true),
            ("553", "5.1.3 Bad address syntax", true),
            ("550", "No such user here", false),
            ("550", "5.7.1 Client host [195.1.2.3] blocked, see 5.1.1", false),
            ("550", "5.1.8 Sender address rejected", false),
            ("550", "5.1.7 Bad sender", false),
            ("552", "5.1.1 over quota", false),
            ("451", "4.1.1 later", false),
        ];
        for (code, reply, expected) in table {
            assert_eq!(
                refuses_recipient(code, &format!("permanent error ({code}): {reply}")),
                expected,
                "{code} {reply}"
            );
        }
    }

    /// Also outside a runtime.
    #[test]
    fn what_is_no_server_fails_when_built() {
        let from = "Bank <no-reply@bank.example>";
        for url in [
            "smtps://u:p@smtp.example",
            "smtps://u:p@smtp.example:465/",
            "smtp://smtp.example?tls=required",
            "smtp://127.0.0.1:25",
            "smtp://localhost",
        ] {
            let _ = Smtp::new(url, from).unwrap();
        }
        for (url, from, expected) in [
            ("smtp://smtp.example", from, "without TLS"),
            ("smtp://localhost.evil.example", from, "without TLS"),
            ("smtp://localhost:canary@smtp.example", from, "without TLS"),
            ("smtp://smtp.example?tls=opportunistic", from, "without TLS"),
            ("smtp://smtp.example?tls=opportunistic&tls=required", from, "without TLS"),
            ("smtp://smtp.example?xtls=required", from, "without TLS"),
            ("smtp://smtp.example/tls=required", from, "not that of a server"),
            ("smtp://smtp.example#tls=required", from, "not that of a server"),
            ("http://u:canary@smtp.example?tls=required", from, "begins neither"),
            ("smtps://canary@smtp.example", from, "not that of a server"),
            ("smtps://", from, "not that of a server"),
            ("smtps://canary:@smtp.example", from, "not that of a server"),
            ("smtp://[::1]:25", from, "not that of a server"),
            ("smtps://smtp.example", "Bank", "\"Bank\""),
        ] {
            let said = Smtp::new(url, from).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("canary"), "{url}: {said}");
        }
    }
}
