//! [`StepUpBuilder::build`]: validates the configuration, so that a misconfiguration fails here and not at request
//! time.

use std::sync::Arc;

use super::StepUpBuilder;
use crate::{
    engine::{
        Engine, Monotone, StepUp, local_failures::LocalFailures, rate_limit::RateLimits,
        recipient_guess::LastRecipients, store_check::StoreCheck, telemetry, to_the_end::Unfinished, watch::Watch,
    },
    rules::{ConfigError, Ids, Keyring, RandomFailed, RecordKey, Secret, check_scope, random_bytes},
    wire::Settings,
};

impl StepUpBuilder {
    /// Validates the configuration and builds the engine.
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
    /// [`ConfigError`] names the problem and how to fix it.
    pub fn build(self) -> Result<StepUp, ConfigError> {
        self.policy.check()?;
        self.channels.check()?;
        if let Some(channel) = self.duplicate {
            return Err(ConfigError::DuplicateChannel { channel });
        }
        if let Some(channel) = self.channels.otp_names().find(|name| !self.policy.email && is_email(name)) {
            return Err(ConfigError::EmailChannel { channel: channel.into() });
        }
        if let Some(channel) = self.discards.filter(|_| !self.sandbox) {
            return Err(ConfigError::DiscardOutsideSandbox { channel });
        }
        if self.policy.sends_per_prefix.is_some() && self.enrollment.is_none() {
            return Err(ConfigError::NoRecipients);
        }
        if let Some(scope) = self.scopes.iter().flatten().find(|scope| check_scope(scope).is_err()) {
            return Err(ConfigError::InvalidScope { scope: scope.to_string() });
        }
        if self.report_unenrolled && self.enrollment.is_none() {
            return Err(ConfigError::NoEnrollment);
        }
        self.texts.check().map_err(|(name, detail)| ConfigError::MessageText { name, detail })?;
        let wire = Settings::new(self.sandbox, self.public_path, self.authenticate, self.grpc_domain)?
            .enroll_url(self.enroll_url)?;
        if self.store.is_shared() && self.secret.is_none() {
            return Err(ConfigError::SecretRequired);
        }
        if self.store.is_shared() && self.record_key.is_none() {
            return Err(ConfigError::RecordKeyRequired);
        }
        let secret = self.secret.map_or_else(|| Secret::generate(self.random), Ok)?;
        let seed = random_bytes(self.random).map_err(|RandomFailed| ConfigError::RandomUnavailable)?;
        if self.sandbox {
            telemetry::sandbox();
        }
        // Before any grant is written, so that each has a summary.
        for name in self.channels.names().chain(self.scopes.iter().flatten().map(|scope| &**scope)) {
            let _ = self.store.intern(name);
        }
        Ok(StepUp(Arc::new(Engine {
            keyring: Keyring::new(&secret, self.previous.as_ref()),
            record_key: RecordKey::new(self.record_key.as_ref(), self.sandbox),
            channels: self.channels,
            identify: self.identify,
            enrollment: self.enrollment,
            report_unenrolled: self.report_unenrolled,
            texts: Arc::new(self.texts),
            policy: self.policy,
            store: self.store,
            clock: Monotone::new(self.clock),
            ids: Ids::new(seed),
            random: self.random,
            sandbox: self.sandbox,
            scopes: self.scopes,
            wire,
            rate_limits: RateLimits::default(),
            local_failures: LocalFailures::default(),
            last_recipients: LastRecipients::default(),
            unfinished: Unfinished::default(),
            watch: Watch::default(),
            #[cfg(feature = "page")]
            page: crate::engine::PageServed::default(),
            store_check: StoreCheck::default(),
            observers: self.observers,
            no_caller: telemetry::OnceAMinute::default(),
            unbound: telemetry::OnceAMinute::default(),
        })))
    }
}

/// Whether a channel's name suggests that it sends e-mail.
fn is_email(name: &str) -> bool {
    ["EMAIL", "E-MAIL", "E_MAIL", "MAIL"].iter().any(|email| email.eq_ignore_ascii_case(name))
}
