//! The builder: everything is checked here, so that nothing can be wrong at request time.

use std::{fmt, sync::Arc};

use http::HeaderValue;

use super::{
    Engine, StepUp,
    channel::{Channel, Channels, Deliver},
    deliver::ErasedEnrolment,
    local_failures::Floor,
    rate_limit::Rates,
    store_check::StoreCheck,
    to_the_end::Unfinished,
};
use crate::{
    engine::{
        Clock, Enrolment, Identify, Monotone, Observer, Observers, OtpMessage, OtpSender, PushMessage, PushSender,
        SystemClock, is_discard, telemetry,
    },
    rules::{
        ConfigError, Ids, Keyring, Policy, Random, RandomFailed, RecordKey, Secret, check_scope, random_bytes,
        system_random,
    },
    store::{MemoryStore, Store},
    wire::Settings,
};

/// Builds a [`StepUp`]. Made by [`StepUp::builder`].
#[must_use]
pub struct StepUpBuilder<S = MemoryStore> {
    channels: Channels,
    duplicate: Option<String>,
    /// A channel whose sender is [`discard`](crate::discard()).
    discards: Option<String>,
    identify: Option<Arc<dyn Identify>>,
    enrolment: Option<Arc<dyn ErasedEnrolment>>,
    policy: Policy,
    store: S,
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
            enrolment: None,
            policy: Policy::new(),
            store: MemoryStore::default(),
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

impl<S> StepUpBuilder<S> {
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

    /// Registers a channel for what the application verifies itself and hands to [`StepUp::grant`], such as `PASSKEY`:
    /// a requirement can then name it. The name is as for [`otp`](Self::otp).
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

    /// How the caller of a request is found. The default reads a [`Caller`](crate::Caller) from the request's extensions.
    pub fn identify(mut self, identify: impl Identify) -> Self {
        self.identify = Some(Arc::new(identify));
        self
    }

    /// Who has enrolled what. The default: everybody everything.
    pub fn enrolment(mut self, enrolment: impl Enrolment) -> Self {
        self.enrolment = Some(Arc::new(enrolment));
        self
    }

    /// The numbers.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Where challenges and grants live. The default is a [`MemoryStore`] for a million entries.
    pub fn store<T: Store>(self, store: T) -> StepUpBuilder<T> {
        StepUpBuilder {
            channels: self.channels,
            duplicate: self.duplicate,
            discards: self.discards,
            identify: self.identify,
            enrolment: self.enrolment,
            policy: self.policy,
            store,
            clock: self.clock,
            secret: self.secret,
            record_key: self.record_key,
            previous: self.previous,
            sandbox: self.sandbox,
            scopes: self.scopes,
            public_path: self.public_path,
            authenticate: self.authenticate,
            grpc_domain: self.grpc_domain,
            observers: self.observers,
            random: self.random,
        }
    }

    /// Who is told what happens. May be called several times.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.add(observer);
        self
    }

    /// What tells the time. The default is the [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// The secret under which codes are digested. In process a random one serves, which is the default; a
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
    /// - A bare hash of a phone number, an e-mail address or a user's id is reversed by hashing all there are. Whoever
    ///   copies the store without this key learns none of them (T37), nor sessions, operations and push ids. So keep it
    ///   apart from the store and its backups.
    /// - The names of channels and scopes are in clear in the records, with times and counts: choose names that tell
    ///   nothing about a user.
    pub fn record_key(mut self, secret: Secret) -> Self {
        self.record_key = Some(secret);
        self
    }

    /// For development: nothing is sent, and the code is always `123456`. Everything else, enrolment and
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

    /// The path under which clients reach the companion, such as `/stepup/challenges`: a guard's refusal then
    /// names the URLs at which a challenge starts.
    ///
    /// It is only told to clients. Where the companion is mounted is the router's matter, or that of
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

    /// The domain in the `google.rpc.ErrorInfo` of every gRPC refusal, the guards' and the companion's alike: whose
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
            telemetry::sandbox();
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
            wire: Settings {
                sandbox: self.sandbox,
                public_path: self.public_path,
                authenticate,
                grpc_domain: self.grpc_domain,
            },
            rates: Rates::default(),
            floor: Floor::default(),
            unfinished: Unfinished::default(),
            store_check: StoreCheck::default(),
            observers: self.observers,
            no_caller: telemetry::OnceAMinute::default(),
            unbound: telemetry::OnceAMinute::default(),
        })))
    }
}

impl<S> fmt::Debug for StepUpBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUpBuilder")
            .field("channels", &self.channels)
            .field("policy", &self.policy)
            .field("sandbox", &self.sandbox)
            .finish_non_exhaustive()
    }
}

/// What a channel that sends e-mail is called.
fn is_email(name: &str) -> bool {
    ["EMAIL", "E-MAIL", "E_MAIL", "MAIL"].iter().any(|email| email.eq_ignore_ascii_case(name))
}

/// A path that can stand before another: `/a`, `/a/b`. Not `//a`, which names a host (RFC 3986 §4.2), nor what no
/// path may hold (§3.3).
pub(crate) fn check_path(setting: &'static str, path: &str) -> Result<(), ConfigError> {
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/');
    let is_pchar = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    if is_path && path.bytes().all(is_pchar) { Ok(()) } else { Err(ConfigError::Path { setting, path: path.into() }) }
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

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;
    use crate::{
        engine::{Caller, DeliveryError, Recipient, discard},
        rules::ChallengeError,
        store::{Remote, RemoteStore, Revision, StoreError, Stored, Swapped},
    };

    fn builder() -> StepUpBuilder {
        StepUp::builder().otp("SMS", ignored)
    }

    /// A sender of codes or pushes that do not matter here.
    async fn ignored<M: Send>(_: M) -> Result<(), DeliveryError> {
        Ok(())
    }

    fn refuses_challenge(value: &str) -> (StepUpBuilder, Option<ConfigError>) {
        (builder().authenticate(value), Some(ConfigError::Authenticate { value: value.into() }))
    }

    #[test]
    fn mistakes_are_found_when_built() {
        let per_prefix = || Policy::new().sends_per_prefix(3, 1, Duration::from_secs(60));
        let enrolment = async |_: Caller, _: String| Ok(Recipient::known_to_sender());
        let table = vec![
            (StepUp::builder(), Some(ConfigError::NoChannel)),
            (builder(), None),
            (builder().push("SMS", ignored), None),
            (builder().otp("SMS", ignored), Some(ConfigError::DuplicateChannel { channel: "SMS".into() })),
            (builder().otp("", ignored), Some(ConfigError::ChannelName { channel: String::new() })),
            (builder().push("a/b", ignored), Some(ConfigError::ChannelName { channel: "a/b".into() })),
            (builder().push("ü", ignored), Some(ConfigError::ChannelName { channel: "ü".into() })),
            (builder().push("BIO", discard), Some(ConfigError::Discards { channel: "BIO".into() })),
            (builder().otp("EMAIL", discard), Some(ConfigError::Discards { channel: "EMAIL".into() })),
            (builder().otp("EMAIL", discard).push("BIO", discard).sandbox(), None),
            (builder().policy(per_prefix()), Some(ConfigError::NoRecipients)),
            (builder().policy(per_prefix()).enrolment(enrolment), None),
            (builder().public_path("/a/b"), None),
            (builder().public_path("/a/"), Some(ConfigError::Path { setting: "public_path", path: "/a/".into() })),
            (builder().public_path("a"), Some(ConfigError::Path { setting: "public_path", path: "a".into() })),
            (builder().public_path("/"), Some(ConfigError::Path { setting: "public_path", path: "/".into() })),
            (builder().public_path("//a"), Some(ConfigError::Path { setting: "public_path", path: "//a".into() })),
            (builder().public_path("/`"), Some(ConfigError::Path { setting: "public_path", path: "/`".into() })),
            (builder().public_path("/a-b_c.d~1/%20"), None),
            (builder().public_path("/a\"b"), Some(ConfigError::Path { setting: "public_path", path: "/a\"b".into() })),
            (builder().authenticate("Bearer realm=\"x\""), None),
            (
                builder().authenticate("basic realm=x"),
                Some(ConfigError::Authenticate { value: "basic realm=x".into() }),
            ),
            (builder().authenticate("Bearer realm=\"Basic, \\\", Basic\", error=\"x\""), None),
            (builder().authenticate("A,Basic"), Some(ConfigError::Authenticate { value: "A,Basic".into() })),
            (builder().authenticate("Basic,"), Some(ConfigError::Authenticate { value: "Basic,".into() })),
            (
                builder().authenticate("A x=\"1\", basic realm=x"),
                Some(ConfigError::Authenticate { value: "A x=\"1\", basic realm=x".into() }),
            ),
            // What stands between quotes is no item, and what is escaped there ends none.
            (builder().authenticate(r#"A x="1, Basic y""#), None),
            (builder().authenticate(r#"A x="\", Basic y""#), None),
            (builder().authenticate(r#"A x="\\\", Basic y""#), None),
            (builder().authenticate(r#"A x=\", Basic y""#), None),
            refuses_challenge(r#"A x="\\", Basic y"#),
            refuses_challenge(r#"A x="\"", Basic y"#),
            refuses_challenge(r#"A x="a\b", Basic y"#),
            (builder().authenticate(""), Some(ConfigError::Authenticate { value: String::new() })),
            (builder().authenticate("A\r\nB: c"), Some(ConfigError::Authenticate { value: "A\r\nB: c".into() })),
            (builder().grpc_domain("bank.example"), None),
            (builder().grpc_domain(""), Some(ConfigError::GrpcDomain { domain: String::new() })),
            (builder().grpc_domain("a b"), Some(ConfigError::GrpcDomain { domain: "a b".into() })),
            (builder().random(|_| Err(RandomFailed)), Some(ConfigError::Random)),
            (builder().otp("e-Mail", ignored).policy(Policy::psd2()), None),
            (builder().push("EMAIL", ignored).policy(Policy::nist()), None),
            (
                builder().otp("e-Mail", ignored).policy(Policy::nist()),
                Some(ConfigError::EmailChannel { channel: "e-Mail".into() }),
            ),
        ];
        for (i, (builder, expected)) in table.into_iter().enumerate() {
            assert_eq!(builder.build().err(), expected, "row {i}");
        }
        assert!(matches!(
            builder().policy(Policy::new().tries(0)).build().err(),
            Some(ConfigError::OutOfBounds { setting: "tries", .. })
        ));
    }

    /// T11: what cannot be random is not started, and nothing is sent.
    #[tokio::test]
    async fn a_generator_that_fails_later_fails_the_start() {
        thread_local! {
            static LEFT: Cell<u8> = const { Cell::new(2) };
        }
        // Enough for the secret and the seed of a build, and no more.
        let random: Random = |buffer| match LEFT.get().checked_sub(1) {
            Some(left) => {
                LEFT.set(left);
                system_random(buffer)
            }
            None => Err(RandomFailed),
        };
        let sender = |_: OtpMessage| async { panic!("nothing is to be sent") };
        let step_up = StepUp::builder().otp("SMS", sender).push("BIO", ignored).random(random).build().unwrap();
        let alice = Caller::user("alice").session("1");
        assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Internal));
        assert_eq!(step_up.start_push(&alice, "BIO", None).await.map(drop), Err(ChallengeError::Internal));
        assert_eq!(step_up.verify_otp(&alice, "SMS", "123456").await.map(drop), Err(ChallengeError::StateInvalid));
    }

    #[test]
    fn a_shared_store_needs_a_shared_secret_and_a_record_key() {
        #[derive(Clone)]
        struct Elsewhere;
        impl RemoteStore for Elsewhere {
            async fn load(&self, _: crate::store::Key) -> Result<Option<Stored>, StoreError> {
                Ok(None)
            }
            async fn swap(
                &self,
                _: crate::store::Key,
                _: Option<Revision>,
                _: Option<Stored>,
            ) -> Result<Swapped, StoreError> {
                Ok(Swapped::Done)
            }
        }
        let shared = || builder().store(Remote::new(Elsewhere));
        assert_eq!(shared().build().err(), Some(ConfigError::SecretRequired));
        let with_secret = || shared().secret(Secret::new([1; 32]).unwrap());
        let refused = with_secret().build().unwrap_err();
        assert_eq!(refused, ConfigError::RecordKeyRequired);
        assert!(refused.to_string().contains(".record_key("), "{refused}");
        assert!(with_secret().record_key(Secret::new([2; 32]).unwrap()).build().is_ok());
    }
}
