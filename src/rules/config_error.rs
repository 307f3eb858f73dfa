//! What is wrong with a configuration, and what to do about it.

use std::{error::Error, fmt};

/// A mistake in the configuration. It says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number of the [`Policy`](crate::Policy) is outside its bounds.
    OutOfBounds {
        /// The setter's name.
        setting: &'static str,
        /// What was set, and what may be.
        detail: String,
    },
    /// A duration that appears on the wire in whole seconds has a fraction.
    FractionOfASecond {
        /// The setter's name.
        setting: &'static str,
    },
    /// No channel was registered, so nobody could ever step up.
    NoChannel,
    /// A channel's name cannot stand in a path.
    InvalidChannelName {
        /// The name.
        channel: String,
    },
    /// A channel was registered twice for the same operation.
    DuplicateChannel {
        /// The name.
        channel: String,
    },
    /// A channel's sender is [`discard`](crate::discard()), outside the sandbox: its codes would reach nobody.
    DiscardOutsideSandbox {
        /// The name.
        channel: String,
    },
    /// The policy limits sends to recipients that begin alike, and the default enrollment names no recipient.
    NoRecipients,
    /// The policy allows no codes by e-mail, and a channel is called so.
    EmailChannel {
        /// The name.
        channel: String,
    },
    /// A requirement asks for a channel that is not registered.
    UnknownChannel {
        /// The name.
        channel: String,
    },
    /// A requirement asks for a scope that no start could name.
    InvalidScope {
        /// The scope.
        scope: String,
    },
    /// A requirement asks for a scope that is not among those registered.
    UnknownScope {
        /// The scope.
        scope: String,
    },
    /// A requirement says `or_session` and has no scope.
    OrSessionWithoutScope,
    /// A requirement names a channel twice.
    RepeatedChannel {
        /// The name.
        channel: String,
    },
    /// A requirement names more than 16 channels.
    TooManyChannels,
    /// A requirement asks for an age under a second, which no grant could reliably satisfy.
    MaxAgeTooShort,
    /// A path is not one: it must begin with `/` and not end with it.
    InvalidPath {
        /// The setter's name.
        setting: &'static str,
        /// The path.
        path: String,
    },
    /// The challenge for `WWW-Authenticate` is not a header value, or asks for `Basic` credentials.
    InvalidAuthenticate {
        /// The value.
        value: String,
    },
    /// A parameter of an OAuth challenge is empty, or has a character that would break the header.
    InvalidOAuthParameter {
        /// The parameter.
        parameter: &'static str,
        /// The value.
        value: String,
    },
    /// A gRPC method that is to be exempt cannot be called so.
    InvalidGrpcMethod {
        /// The service.
        service: String,
        /// The method.
        method: String,
    },
    /// The domain of gRPC errors is empty, too long or not visible ASCII.
    InvalidGrpcDomain {
        /// The domain.
        domain: String,
    },
    /// A secret is shorter than 32 bytes.
    SecretTooShort,
    /// A store that is shared between processes needs a secret that they share.
    SecretRequired,
    /// A store that is shared between processes needs a key of the records that they share.
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
                write!(f, "channel {channel:?} cannot stand in a path; use 1 to 32 of A-Z, a-z, 0-9, '_' and '-'")
            }
            Self::DuplicateChannel { channel } => {
                write!(f, "channel {channel:?} is registered twice; remove one, or rename it")
            }
            Self::DiscardOutsideSandbox { channel } => write!(
                f,
                "channel {channel:?} discards its messages, so no code would arrive; give .otp(..) or .push(..) a \
                 sender that sends them, or call .sandbox() in development"
            ),
            Self::NoRecipients => f.write_str(
                "Policy::sends_per_prefix needs to know the recipients, and the default enrollment names none; call \
                 .enrollment(..) and return Recipient::phone(..), or leave the limit out",
            ),
            Self::EmailChannel { channel } => write!(
                f,
                "channel {channel:?} sends codes by e-mail, which Policy::nist() does not allow (NIST SP 800-63B-4 \
                 3.1.3.1); remove it, or begin from Policy::new()"
            ),
            Self::UnknownChannel { channel } => write!(
                f,
                "the requirement accepts channel {channel:?}, which is not registered; register it on the \
                 builder, or name one that is"
            ),
            Self::InvalidScope { scope } => {
                write!(f, "scope {scope:?} cannot be asked for; use 1 to 128 visible ASCII characters")
            }
            Self::UnknownScope { scope } => {
                write!(f, "scope {scope:?} is not registered, so no start could name it; add it to .scopes([..])")
            }
            Self::OrSessionWithoutScope => {
                f.write_str("or_session() widens a scope, and there is none; call .scope(..), or leave it out")
            }
            Self::RepeatedChannel { channel } => {
                write!(f, "the requirement names channel {channel:?} twice; name it once, with the age that is meant")
            }
            Self::TooManyChannels => f.write_str("a requirement names at most 16 channels; name fewer"),
            Self::MaxAgeTooShort => f.write_str("a max age under a second refuses everybody; ask for a second or more"),
            Self::InvalidPath { setting, path } => {
                write!(f, "{setting}({path:?}): a path begins with '/' and does not end with it")
            }
            Self::InvalidAuthenticate { value } => {
                write!(f, "{value:?} cannot stand in WWW-Authenticate; use a scheme other than Basic, in visible ASCII")
            }
            Self::InvalidOAuthParameter { parameter, value } => {
                write!(f, "{value:?} cannot stand in {parameter}; use printable ASCII without quotes and backslashes")
            }
            Self::InvalidGrpcMethod { service, method } => write!(
                f,
                "exempt({service:?}, {method:?}): no gRPC method is called so; name the service with its package and \
                 the method without a slash, as in exempt(\"bank.v1.Bank\", \"Accounts\")"
            ),
            Self::InvalidGrpcDomain { domain } => {
                write!(f, "grpc_domain({domain:?}): use 1 to 253 visible ASCII characters, such as \"bank.example\"")
            }
            Self::SecretTooShort => f.write_str("a secret needs at least 32 bytes; take them from a generator"),
            Self::SecretRequired => {
                f.write_str("the store is shared between processes, so they must share a secret; call .secret(..)")
            }
            Self::RecordKeyRequired => f.write_str(
                "records leave the process, so what they say of users must be keyed; call .record_key(..) with 32 bytes from a \
                 generator, the same in every process, and never rotate it: under another key every lock and count is \
                 forgotten",
            ),
            Self::RandomUnavailable => {
                f.write_str("the operating system's random generator failed; codes cannot be made without it")
            }
        }
    }
}

impl Error for ConfigError {}
