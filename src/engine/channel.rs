//! The registered channels: their names and senders.

use std::{fmt, sync::Arc};

use crate::{
    engine::{DeliveryError, OtpMessage, PushMessage},
    rules::ConfigError,
    timeout::BoxFuture,
};

/// A type-erased sender.
pub(crate) type Deliver<M> = Arc<dyn Fn(M) -> BoxFuture<'static, Result<(), DeliveryError>> + Send + Sync>;

/// A registered channel.
pub(crate) struct Channel<M> {
    pub(crate) name: String,
    pub(crate) deliver: Deliver<M>,
}

/// All channels, by kind.
#[derive(Default)]
pub(crate) struct Channels {
    pub(crate) otp: Vec<Arc<Channel<OtpMessage>>>,
    pub(crate) push: Vec<Arc<Channel<PushMessage>>>,
    /// For factors that the application verifies itself.
    pub(crate) proof: Vec<String>,
}

impl Channels {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.names().next().is_none() {
            return Err(ConfigError::NoChannel);
        }
        match self.names().find(|name| !is_name(name)) {
            Some(channel) => Err(ConfigError::InvalidChannelName { channel: channel.into() }),
            None => Ok(()),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.otp_names().chain(self.push_names()).chain(self.proof_names())
    }

    pub(crate) fn otp_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.otp.iter().map(|channel| channel.name.as_str())
    }

    pub(crate) fn push_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.push.iter().map(|channel| channel.name.as_str())
    }

    pub(crate) fn proof_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.proof.iter().map(String::as_str)
    }
}

/// Finds a channel by its name, byte for byte.
pub(crate) fn find<'a, M>(channels: &'a [Arc<Channel<M>>], name: &str) -> Option<&'a Arc<Channel<M>>> {
    channels.iter().find(|channel| channel.name == name)
}

/// Whether a name needs no escaping in a path or in JSON.
fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
