//! Configuration errors: [`ConfigError`].

use std::{error::Error, fmt, time::Duration};

/// A mistake in the configuration. The message says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value of the [`Policy`](crate::Policy) is outside its bounds.
    OutOfBounds {
        /// The setter's name.
        setting: &'static str,
        /// The value that was set, and the allowed range.
        detail: String,
    },
    /// A duration that is sent in whole seconds has a fraction of a second.
    FractionOfASecond {
        /// The setter's name.
        setting: &'static str,
    },
    /// No channel was registered, so no step-up is possible.
    NoChannel,
    /// A channel's name cannot be part of a URL path.
    InvalidChannelName {
        /// The name.
        channel: String,
    },
    /// A channel was registered twice for the same operation.
    DuplicateChannel {
        /// The name.
        channel: String,
    },
    /// A channel's sender is [`discard`](crate::discard()), outside the sandbox: its codes would never arrive.
    DiscardOutsideSandbox {
        /// The name.
        channel: String,
    },
    /// The policy limits sends by recipient prefix, and the default enrollment names no recipient.
    NoRecipients,
    /// Guards are to report users who have enrolled no channel, and the default enrollment knows none.
    NoEnrollment,
    /// A guard leads to the page, or the page is served, and nobody said under which path clients reach it.
    PageWithoutPath,
    /// The page is given something that it cannot show.
    Page {
        /// The setter's name.
        setting: &'static str,
        /// The value, and what may be set.
        detail: String,
    },
    /// A text of a message cannot be replaced so.
    MessageText {
        /// The name of the text.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The sender of e-mails is given something that it cannot use.
    Smtp {
        /// What it is, and what may be given.
        detail: String,
    },
    /// A webhook is given something that it cannot use.
    Webhook {
        /// What it is, and what may be given.
        detail: &'static str,
    },
    /// The policy allows no codes by e-mail, and a channel has a name for e-mail.
    EmailChannel {
        /// The name.
        channel: String,
    },
    /// A requirement accepts a channel that is not registered.
    UnknownChannel {
        /// The name.
        channel: String,
    },
    /// A requirement has a malformed scope, which no start can request.
    InvalidScope {
        /// The scope.
        scope: String,
    },
    /// A requirement has a scope that is not registered.
    UnknownScope {
        /// The scope.
        scope: String,
    },
    /// A requirement sets `or_session` but no scope.
    OrSessionWithoutScope,
    /// A requirement names a channel twice.
    RepeatedChannel {
        /// The name.
        channel: String,
    },
    /// A requirement names more than 16 channels.
    TooManyChannels,
    /// A requirement has a maximum age below one second, which no grant could reliably satisfy.
    MaxAgeTooShort,
    /// A path is malformed: it must begin with `/` and not end with it.
    InvalidPath {
        /// The setter's name.
        setting: &'static str,
        /// The path.
        path: String,
    },
    /// A response may go on for less than a second, or longer than anybody knows whether its grant was revoked.
    StreamLifetime {
        /// The longest possible: the lifetime of a grant and an hour.
        longest: Duration,
    },
    /// Not a URL to which a client may lead its user.
    InvalidUrl {
        /// The setter's name.
        setting: &'static str,
        /// The URL.
        url: String,
    },
    /// The challenge for `WWW-Authenticate` is not a header value, or asks for `Basic` credentials.
    InvalidAuthenticate {
        /// The value.
        value: String,
    },
    /// A parameter of an OAuth challenge is empty, or has a character that is not allowed in the header.
    InvalidOAuthParameter {
        /// The parameter.
        parameter: &'static str,
        /// The value.
        value: String,
    },
    /// The name of an exempt gRPC method is not a valid method name.
    InvalidGrpcMethod {
        /// The service.
        service: String,
        /// The method.
        method: String,
    },
    /// The domain for gRPC errors is empty, too long or not visible ASCII.
    InvalidGrpcDomain {
        /// The domain.
        domain: String,
    },
    /// A secret is shorter than 32 bytes.
    SecretTooShort,
    /// A store that is shared between processes needs a shared secret.
    SecretRequired,
    /// A store that is shared between processes needs a shared record key.
    RecordKeyRequired,
    /// The operating system's random generator failed.
    RandomUnavailable,
}

impl ConfigError {
    pub(crate) fn out_of_bounds(
        setting: &'static str,
        value: impl fmt::Display,
        least: impl fmt::Display,
        most: impl fmt::Display,
    ) -> Self {
        Self::OutOfBounds { setting, detail: format!("{value} is not within {least} to {most}") }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { setting, detail } => {
                write!(f, "Policy::{setting}: {detail}; set a value within the bounds")
            }
            Self::FractionOfASecond { setting } => {
                write!(f, "Policy::{setting} must be whole seconds; round it")
            }
            Self::NoChannel => f.write_str("no channel is registered; call .otp(name, sender) or .push(name, sender)"),
            Self::InvalidChannelName { channel } => {
                write!(f, "channel {channel:?} cannot be part of a path; use 1 to 32 of A-Z, a-z, 0-9, '_' and '-'")
            }
            Self::DuplicateChannel { channel } => {
                write!(f, "channel {channel:?} is registered twice; remove or rename one")
            }
            Self::DiscardOutsideSandbox { channel } => write!(
                f,
                "channel {channel:?} discards its messages, so no code would arrive; give .otp(..) or .push(..) a \
                 real sender, or call .sandbox() in development"
            ),
            Self::NoRecipients => f.write_str(
                "Policy::sends_per_prefix needs the recipients, and the default enrollment names none; call \
                 .enrollment(..) and return Recipient::phone(..), or remove the limit",
            ),
            Self::PageWithoutPath => f.write_str(
                "the page needs the path under which clients reach the challenge endpoints: StepUp::builder().public_path(..)",
            ),
            Self::Page { setting, detail } => write!(f, "Page::{setting}: {detail}"),
            Self::MessageText { name, detail } => write!(f, "message text {name:?}: {detail}"),
            Self::Smtp { detail } => write!(f, "SMTP: {detail}"),
            Self::Webhook { detail } => write!(f, "webhook: {detail}"),
            Self::NoEnrollment => {
                f.write_str("report_unenrolled needs to know who has enrolled what; call .enrollment(..), or remove it")
            }
            Self::EmailChannel { channel } => write!(
                f,
                "channel {channel:?} sends codes by e-mail, which Policy::nist() does not allow (NIST SP 800-63B-4 \
                 3.1.3.1); remove it, or start from Policy::new()"
            ),
            Self::UnknownChannel { channel } => write!(
                f,
                "the requirement accepts channel {channel:?}, which is not registered; register it on the \
                 builder, or name a registered channel"
            ),
            Self::InvalidScope { scope } => {
                write!(f, "scope {scope:?} is malformed; use 1 to 128 visible ASCII characters")
            }
            Self::UnknownScope { scope } => {
                write!(f, "scope {scope:?} is not registered; add it to .scopes([..])")
            }
            Self::OrSessionWithoutScope => {
                f.write_str("or_session() widens a scope, and no scope is set; call .scope(..), or remove or_session()")
            }
            Self::RepeatedChannel { channel } => {
                write!(f, "the requirement names channel {channel:?} twice; name it once")
            }
            Self::TooManyChannels => f.write_str("a requirement names at most 16 channels; name fewer"),
            Self::MaxAgeTooShort => f.write_str("a max_age below one second refuses every request; set at least one"),
            Self::InvalidPath { setting, path } => {
                write!(f, "{setting}({path:?}): a path begins with '/' and does not end with it")
            }
            Self::StreamLifetime { longest } => {
                write!(f, "stream_for: use at least a second and at most {} seconds", longest.as_secs())
            }
            Self::InvalidUrl { setting, url } => {
                write!(f, "{setting}({url:?}): use https://.., http://.. or a path that begins with one '/'")
            }
            Self::InvalidAuthenticate { value } => {
                write!(f, "{value:?} is not valid in WWW-Authenticate; use visible ASCII and no Basic scheme")
            }
            Self::InvalidOAuthParameter { parameter, value } => {
                write!(f, "{value:?} is not valid for {parameter}; use printable ASCII without quotes and backslashes")
            }
            Self::InvalidGrpcMethod { service, method } => write!(
                f,
                "exempt({service:?}, {method:?}): not a gRPC method name; give the service with its package and \
                 the method without a slash, as in exempt(\"bank.v1.Bank\", \"Accounts\")"
            ),
            Self::InvalidGrpcDomain { domain } => {
                write!(f, "grpc_domain({domain:?}): use 1 to 253 visible ASCII characters, such as \"bank.example\"")
            }
            Self::SecretTooShort => f.write_str("a secret needs at least 32 bytes; use a random generator"),
            Self::SecretRequired => {
                f.write_str("the store is shared between processes, which need a shared secret; call .secret(..)")
            }
            Self::RecordKeyRequired => f.write_str(
                "records leave the process, so their user data must be keyed; call .record_key(..) with 32 random \
                 bytes, the same in every process, and never rotate the key: with another key all lockouts and counts \
                 are lost",
            ),
            Self::RandomUnavailable => {
                f.write_str("the operating system's random generator failed; codes cannot be generated without it")
            }
        }
    }
}

impl Error for ConfigError {}
