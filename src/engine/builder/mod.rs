//! [`StepUpBuilder`]: all settings, and their defaults.

use std::{fmt, sync::Arc};

use super::{
    channel::{Channel, Channels, Deliver},
    deliver::ErasedEnrollment,
};
use crate::{
    engine::{
        Clock, Enrollment, Identify, MessageTexts, Observer, Observers, OtpMessage, OtpSender, PushMessage, PushSender,
        SystemClock, is_discard, telemetry,
    },
    rules::{Policy, Random, Secret, system_random},
    store::{Backend, MemoryStore, Store},
};

#[cfg(test)]
mod tests;
mod validate;

/// Builds a [`StepUp`](crate::StepUp). Made by [`StepUp::builder`](crate::StepUp::builder).
#[must_use]
pub struct StepUpBuilder {
    channels: Channels,
    duplicate: Option<String>,
    /// The first channel whose sender is [`discard`](crate::discard()).
    discards: Option<String>,
    identify: Option<Arc<dyn Identify>>,
    enrollment: Option<Arc<dyn ErasedEnrollment>>,
    policy: Policy,
    store: Backend,
    clock: Box<dyn Clock>,
    secret: Option<Secret>,
    record_key: Option<Secret>,
    previous: Option<Secret>,
    sandbox: bool,
    scopes: Option<Vec<Box<str>>>,
    public_path: Option<String>,
    report_unenrolled: bool,
    texts: MessageTexts,
    enroll_url: Option<String>,
    authenticate: String,
    grpc_domain: String,
    observers: Observers,
    random: Random,
}

impl StepUpBuilder {
    pub(super) fn new() -> Self {
        Self {
            channels: Channels::default(),
            duplicate: None,
            discards: None,
            identify: None,
            enrollment: None,
            policy: Policy::new(),
            store: Backend::new(MemoryStore::default()),
            clock: Box::new(SystemClock),
            secret: None,
            record_key: None,
            previous: None,
            sandbox: false,
            scopes: None,
            public_path: None,
            report_unenrolled: false,
            texts: MessageTexts::default(),
            enroll_url: None,
            authenticate: "StepUpSession".into(),
            grpc_domain: "step-up".into(),
            observers: telemetry::observers(),
            random: system_random,
        }
    }

    /// Registers a channel for one-time codes, and its sender. The name is part of the URL and case-sensitive: 1 to 32
    /// of `A-Z`, `a-z`, `0-9`, `_` and `-`. The sender [`discard`](crate::discard()) requires the
    /// [sandbox](Self::sandbox).
    pub fn otp(mut self, channel: impl Into<String>, sender: impl OtpSender) -> Self {
        let discards = is_discard(&sender);
        let sender = Arc::new(sender);
        let deliver: Deliver<OtpMessage> = Arc::new(move |message| {
            let sender = Arc::clone(&sender);
            Box::pin(async move { sender.send(message).await })
        });
        let channel = Channel { name: channel.into(), deliver };
        self.discards = self.discards.or_else(|| discards.then(|| channel.name.clone()));
        Self::register(&mut self.channels.otp, &mut self.duplicate, channel);
        self
    }

    /// Registers a channel for pushes, and its sender. The rules for names are those of [`otp`](Self::otp).
    pub fn push(mut self, channel: impl Into<String>, sender: impl PushSender) -> Self {
        let discards = is_discard(&sender);
        let sender = Arc::new(sender);
        let deliver: Deliver<PushMessage> = Arc::new(move |message| {
            let sender = Arc::clone(&sender);
            Box::pin(async move { sender.send(message).await })
        });
        let channel = Channel { name: channel.into(), deliver };
        self.discards = self.discards.or_else(|| discards.then(|| channel.name.clone()));
        Self::register(&mut self.channels.push, &mut self.duplicate, channel);
        self
    }

    /// Registers a channel for a factor that the application verifies itself and passes to
    /// [`StepUp::record_proof`](crate::StepUp::record_proof), such as `PASSKEY`, so that requirements can name it. The
    /// rules for names are those of [`otp`](Self::otp).
    pub fn proof(mut self, channel: impl Into<String>) -> Self {
        let channel = channel.into();
        if self.channels.proof.contains(&channel) {
            self.duplicate = Some(channel);
        } else {
            self.channels.proof.push(channel);
        }
        self
    }

    /// Registers all scopes: a start for any other is refused with 400 `NOT_IN`, and a guard that requires any other
    /// fails when built. Without this, every syntactically valid scope is accepted.
    pub fn scopes<T: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    fn register<M>(channels: &mut Vec<Arc<Channel<M>>>, duplicate: &mut Option<String>, channel: Channel<M>) {
        if channels.iter().any(|known| known.name == channel.name) {
            *duplicate = Some(channel.name);
        } else {
            channels.push(Arc::new(channel));
        }
    }

    /// Sets how the caller of a request is identified. The default reads a [`Caller`](crate::Caller) from the request's
    /// extensions.
    pub fn identify(mut self, identify: impl Identify) -> Self {
        self.identify = Some(Arc::new(identify));
        self
    }

    /// Sets who has enrolled which channel. By default every user has every channel.
    pub fn enrollment(mut self, enrollment: impl Enrollment) -> Self {
        self.enrollment = Some(Arc::new(enrollment));
        self
    }

    /// Replaces a text of the messages ([`OtpMessage::sms_text`], [`OtpMessage::email_text`]) in every language, by its name:
    /// `code` with the placeholder `{code}`, `approves` with `{what}`, `private`, `lifetime` with `{minutes}`, and `subject`;
    /// or names a scope in words, as `scope.` and the scope.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::StepUp;
    ///
    /// let step_up = StepUp::builder()
    ///     .sandbox()
    ///     .otp("SMS", tower_step_up::discard)
    ///     .message_text("code", "Example Bank: {code} is your code.")
    ///     .message_text("scope.payouts", "payouts of today")
    ///     .message_text_in("de", "code", "Beispielbank: {code} ist Ihr Code.")
    ///     .build()?;
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    pub fn message_text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.texts.replace(None, name.into(), text.into());
        self
    }

    /// The same in one language: `en`, `de`, `fr` or `es`.
    pub fn message_text_in(
        mut self,
        language: impl Into<String>,
        name: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        self.texts.replace(Some(language.into()), name.into(), text.into());
        self
    }

    /// Sets limits and lifetimes.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets where challenges and grants are stored. The default is a [`MemoryStore`] for a million entries.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Backend::new(store);
        self
    }

    /// Adds an observer of events. May be called several times.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.add(observer);
        self
    }

    /// Sets the source of time. The default is the [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the secret under which codes are digested. The default is a random one, sufficient for an in-process store;
    /// a store shared between processes requires one that they share too.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Sets the secret before the last rotation, which is still accepted. Remove it once the lifetime of a code has
    /// passed.
    pub fn previous_secret(mut self, secret: Secret) -> Self {
        self.previous = Some(secret);
        self
    }

    /// Sets the key of the records: every digest that a store sees, in the keys and in the values of records, is an
    /// HMAC-SHA-256 under it. A store shared between processes requires one, the same in each process. An in-process
    /// store needs none; without one, digests are not keyed.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Secret, StepUp};
    ///
    /// # let from_the_vault = |_: &str| [7; 32];
    /// let step_up = StepUp::builder()
    ///     .proof("PASSKEY")
    ///     .record_key(Secret::new(from_the_vault("step-up/records"))?) // never rotated
    ///     .secret(Secret::new(from_the_vault("step-up/codes"))?)       // may be rotated
    ///     .build()?;
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    ///
    /// # Security
    ///
    /// - **It is never rotated.** Under another key no record is found: all lockouts, counts and grants are lost.
    /// - An unkeyed hash of a phone number, an e-mail address or a user's id can be reversed by hashing all candidates.
    ///   A copy of the store without this key reveals none of them (T37), nor sessions, operations and push ids. So
    ///   keep it apart from the store and its backups.
    /// - The names of channels and scopes are in clear text in the records, with times and counts: choose names that
    ///   reveal nothing about a user.
    pub fn record_key(mut self, secret: Secret) -> Self {
        self.record_key = Some(secret);
        self
    }

    /// Enables the sandbox, for development: nothing is sent, and the code is always `123456`. Everything else,
    /// enrollment and limits included, is as in production.
    ///
    /// # Security
    ///
    /// Anyone with a session can step up. A warning is printed when built, and every response has the header
    /// `x-stepup-sandbox: true`.
    pub fn sandbox(mut self) -> Self {
        self.sandbox = true;
        self
    }

    /// Sets the path under which clients reach the challenge endpoints, such as `/stepup/challenges`: a guard's refusal
    /// then contains the URLs at which a challenge starts.
    ///
    /// It is only sent to clients. Where the endpoints are mounted is set in the router, or by
    /// [`ChallengeService::mounted_at`](crate::ChallengeService::mounted_at).
    pub fn public_path(mut self, path: impl Into<String>) -> Self {
        self.public_path = Some(path.into());
        self
    }

    /// Lets guards tell a user who has enrolled no channel that is accepted: the refusal's reason is then `no_channel`
    /// instead of `missing`, so that a client can offer to enroll one. Needs an [`enrollment`](Self::enrollment), which
    /// is then asked on each refusal for a missing step-up; if it fails or is late, the reason stays `missing`.
    ///
    /// # Security
    ///
    /// - The holder of a session learns that its user has enrolled nothing.
    /// - It asks for every accepted channel at each such refusal, also for users who are locked, and nothing limits how
    ///   often: answer from a cache if that costs much.
    pub fn report_unenrolled(mut self) -> Self {
        self.report_unenrolled = true;
        self
    }

    /// Sets the page on which a user enrolls a channel, a path or an absolute URL, for the refusals of
    /// [`report_unenrolled`](Self::report_unenrolled), which this implies.
    pub fn enroll_url(mut self, url: impl Into<String>) -> Self {
        self.enroll_url = Some(url.into());
        self.report_unenrolled()
    }

    /// Sets the challenge in `WWW-Authenticate`, which a 401 must have (RFC 9110 §11.6.1). Default `StepUpSession`;
    /// never use `Basic`, for which browsers prompt for a password.
    pub fn authenticate(mut self, challenge: impl Into<String>) -> Self {
        self.authenticate = challenge.into();
        self
    }

    /// Sets the domain in the `google.rpc.ErrorInfo` of every gRPC refusal, by guards and challenge endpoints: the
    /// service that defines these errors, such as `bank.example`. Default `step-up`.
    pub fn grpc_domain(mut self, domain: impl Into<String>) -> Self {
        self.grpc_domain = domain.into();
        self
    }

    #[cfg(test)]
    pub(crate) fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }
}

impl fmt::Debug for StepUpBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUpBuilder")
            .field("channels", &self.channels)
            .field("policy", &self.policy)
            .field("sandbox", &self.sandbox)
            .finish_non_exhaustive()
    }
}
