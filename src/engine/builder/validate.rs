//! [`StepUpBuilder::build`]: everything is checked here, so that nothing can be wrong at request time.

use std::sync::Arc;

use http::HeaderValue;

use super::StepUpBuilder;
use crate::{
    engine::{
        Engine, Monotone, StepUp, local_failures::Floor, log, rate_limit::Rates, store_check::StoreCheck,
        to_the_end::Unfinished,
    },
    rules::{ConfigError, Ids, Keyring, RandomFailed, RecordKey, Secret, check_scope, random_bytes},
    store::Store,
};

impl<S: Store> StepUpBuilder<S> {
    /// Checks everything, and builds.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{ConfigError, StepUp};
    ///
    /// let refused = StepUp::builder().build().unwrap_err();
    /// assert_eq!(refused, ConfigError::NoChannel);
    /// assert!(refused.to_string().contains(".otp(name, sender)"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names what is wrong and what to do about it.
    pub fn build(self) -> Result<StepUp<S>, ConfigError> {
        self.policy.check()?;
        self.channels.check()?;
        if let Some(channel) = self.duplicate {
            return Err(ConfigError::DuplicateChannel { channel });
        }
        if let Some(channel) = self.channels.otp_names().find(|name| !self.policy.email && is_email(name)) {
            return Err(ConfigError::EmailChannel { channel: channel.into() });
        }
        if let Some(channel) = self.discards.filter(|_| !self.sandbox) {
            return Err(ConfigError::Discards { channel });
        }
        if self.policy.sends_per_prefix.is_some() && self.enrolment.is_none() {
            return Err(ConfigError::NoRecipients);
        }
        if let Some(scope) = self.scopes.iter().flatten().find(|scope| check_scope(scope).is_err()) {
            return Err(ConfigError::Scope { scope: scope.to_string() });
        }
        if let Some(path) = &self.public_path {
            check_path("public_path", path)?;
        }
        let authenticate = HeaderValue::try_from(&self.authenticate)
            .ok()
            .filter(|_| is_challenge(&self.authenticate))
            .ok_or(ConfigError::Authenticate { value: self.authenticate })?;
        if !(1..=253).contains(&self.grpc_domain.len()) || !self.grpc_domain.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(ConfigError::GrpcDomain { domain: self.grpc_domain });
        }
        if S::SHARED && self.secret.is_none() {
            return Err(ConfigError::SecretRequired);
        }
        if S::SHARED && self.record_key.is_none() {
            return Err(ConfigError::RecordKeyRequired);
        }
        let secret = self.secret.map_or_else(|| Secret::generate(self.random), Ok)?;
        let seed = random_bytes(self.random).map_err(|RandomFailed| ConfigError::Random)?;
        if self.sandbox {
            log::sandbox();
        }
        Ok(StepUp(Arc::new(Engine {
            keyring: Keyring::new(&secret, self.previous.as_ref()),
            record_key: RecordKey::new(self.record_key.as_ref(), self.sandbox),
            channels: self.channels,
            identify: self.identify,
            enrolment: self.enrolment,
            policy: self.policy,
            store: self.store,
            clock: Monotone::new(self.clock),
            ids: Ids::new(seed),
            random: self.random,
            sandbox: self.sandbox,
            scopes: self.scopes,
            public_path: self.public_path,
            authenticate,
            grpc_domain: self.grpc_domain,
            rates: Rates::default(),
            floor: Floor::default(),
            unfinished: Unfinished::default(),
            store_check: StoreCheck::default(),
            observers: self.observers,
            no_caller: log::OnceAMinute::default(),
            unbound: log::OnceAMinute::default(),
        })))
    }
}

/// A path that can stand before another: `/a`, `/a/b`. Not `//a`, which names a host (RFC 3986 §4.2), nor what no
/// path may hold (§3.3).
pub(crate) fn check_path(setting: &'static str, path: &str) -> Result<(), ConfigError> {
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/');
    let is_pchar = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    if is_path && path.bytes().all(is_pchar) { Ok(()) } else { Err(ConfigError::Path { setting, path: path.into() }) }
}

/// What a channel that sends e-mail is called.
fn is_email(name: &str) -> bool {
    ["EMAIL", "E-MAIL", "E_MAIL", "MAIL"].iter().any(|email| email.eq_ignore_ascii_case(name))
}

/// Challenges of schemes other than `Basic`, in visible ASCII and spaces. There may be several, behind commas (RFC 9110
/// §11.6.1); a comma between quotes is none.
fn is_challenge(value: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    let mut items = value.split(|c| {
        let ends = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        ends
    });
    let is_item = |item: &str| {
        let scheme = item.trim_start().split(' ').next().unwrap_or_default();
        !scheme.is_empty() && !scheme.eq_ignore_ascii_case("basic")
    };
    items.all(is_item) && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
