//! [`StepUpBuilder`]: what can be set, and the defaults.

use std::{fmt, sync::Arc};

use super::{
    channel::{Channel, Channels, Deliver},
    deliver::ErasedEnrollment,
};
use crate::{
    engine::{
        Clock, Enrollment, Identify, Observer, Observers, OtpMessage, OtpSender, PushMessage, PushSender, SystemClock,
        is_discard, telemetry,
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
    /// A channel whose sender is [`discard`](crate::discard()).
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
            store: MemoryStore::default().into_backend(),
            clock: Box::new(SystemClock),
            secret: None,
            record_key: None,
            previous: None,
            sandbox: false,
            scopes: None,
            public_path: None,
            authenticate: "StepUpSession".into(),
            grpc_domain: "step-up".into(),
            observers: telemetry::observers(),
            random: system_random,
        }
    }
}

impl StepUpBuilder {
    /// Registers a channel for one-time codes, and what sends them. The name stands in the path, case and
    /// all: 1 to 32 of `A-Z`, `a-z`, `0-9`, `_` and `-`. The sender [`discard`](crate::discard()) needs the
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

    /// Registers a channel for pushes, and what sends them. The name is as for [`otp`](Self::otp).
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

    /// Registers a channel for what the application verifies itself and hands to
    /// [`StepUp::record_proof`](crate::StepUp::record_proof), such as `PASSKEY`: a requirement can then name it. The
    /// name is as for [`otp`](Self::otp).
    pub fn proof(mut self, channel: impl Into<String>) -> Self {
        let channel = channel.into();
        if self.channels.proof.contains(&channel) {
            self.duplicate = Some(channel);
        } else {
            self.channels.proof.push(channel);
        }
        self
    }

    /// The scopes that there are: a start for any other is 400 `NOT_IN`, and a requirement for any other fails when
    /// built. Unless called, every scope of the right form can be started.
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

    /// How the caller of a request is found. The default reads a [`Caller`](crate::Caller) from the request's
    /// extensions.
    pub fn identify(mut self, identify: impl Identify) -> Self {
        self.identify = Some(Arc::new(identify));
        self
    }

    /// Who has enrolled what. The default: everybody everything.
    pub fn enrollment(mut self, enrollment: impl Enrollment) -> Self {
        self.enrollment = Some(Arc::new(enrollment));
        self
    }

    /// The numbers.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Where challenges and grants live. The default is a [`MemoryStore`] for a million entries.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = store.into_backend();
        self
    }

    /// Adds an observer of what happens. May be called several times.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.add(observer);
        self
    }

    /// The clock. The default is the [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// The secret under which codes are digested. In process the default is a random one; a
    /// store that processes share requires one that they share, too.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The secret before the last rotation, which still verifies. Drop it once a code's life has passed.
    pub fn previous_secret(mut self, secret: Secret) -> Self {
        self.previous = Some(secret);
        self
    }

    /// The key of the records: every digest that a store sees, in the keys and in the values of the records, is an
    /// HMAC-SHA-256 under it. A store that processes share requires one, the same in each of them. In process none is
    /// needed, and without one nothing is keyed.
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
    /// - **It is never rotated.** Under another key no record is found: every lock, count and grant is forgotten.
    /// - A bare hash of a phone number, an e-mail address or a user's id is reversed by hashing all there are. An attacker who
    ///   copies the store without this key learns none of them (T37), nor sessions, operations and push ids. So keep it
    ///   apart from the store and its backups.
    /// - The names of channels and scopes are in clear in the records, with times and counts: choose names that tell
    ///   nothing about a user.
    pub fn record_key(mut self, secret: Secret) -> Self {
        self.record_key = Some(secret);
        self
    }

    /// For development: nothing is sent, and the code is always `123456`. Everything else, enrollment and
    /// limits included, is as in production.
    ///
    /// # Security
    ///
    /// Anybody with a session can step up. It warns when built, and marks every answer with
    /// `x-stepup-sandbox: true`.
    pub fn sandbox(mut self) -> Self {
        self.sandbox = true;
        self
    }

    /// The path under which clients reach the challenge endpoints, such as `/stepup/challenges`: a guard's refusal then
    /// names the URLs at which a challenge starts.
    ///
    /// It is only told to clients. Where the endpoints are mounted is the router's matter, or that of
    /// [`ChallengeService::mounted_at`](crate::ChallengeService::mounted_at).
    pub fn public_path(mut self, path: impl Into<String>) -> Self {
        self.public_path = Some(path.into());
        self
    }

    /// The challenge in `WWW-Authenticate` of a 401 (RFC 9110 §11.6.1), without which a 401 is not complete.
    /// Default `StepUpSession`; never `Basic`, at which browsers ask for a password.
    pub fn authenticate(mut self, challenge: impl Into<String>) -> Self {
        self.authenticate = challenge.into();
        self
    }

    /// The domain in the `google.rpc.ErrorInfo` of every gRPC refusal, of guards and challenge endpoints alike: whose
    /// errors these are, such as `bank.example`. Default `step-up`.
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
