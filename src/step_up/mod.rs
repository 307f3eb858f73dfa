//! [`StepUp`]: the engine. Each operation loads, asks the pure core what follows, swaps, and only then answers.

use std::{fmt, sync::Arc};

use http::{HeaderValue, request::Parts};

mod builder;
mod channel;
mod otp;
mod outside;
mod push;

pub use self::{
    builder::StepUpBuilder,
    push::{AnswerError, PushAnswer, PushStarted},
};
pub(crate) use self::{
    builder::check_path,
    channel::Channels,
    outside::{BoxFuture, Deadline, finish, within},
};
use self::{
    channel::{Channel, find},
    outside::{ErasedEnrolment, both, unless_it_panics},
};
use crate::{
    caller::{Caller, Identify},
    clock::{Monotone, Timestamp},
    code::{Keyring, Random, RandomFailed},
    companion::ChallengeService,
    delivery::{DeliveryError, Recipient, Refused},
    error::ChallengeError,
    id::Ids,
    log,
    policy::Policy,
    requirement::{Reason, Requirement, check_scope, decide},
    session::{Grant, Session},
    store::{Key, MemoryStore, Record, Revision, Store, StoreError, Stored, Swapped},
    subject::{Listed, Subject},
};

/// How often an operation is tried again when others change the same record meanwhile. Each round somebody
/// gets through, so this many callers would have to be faster, one after the other.
const ROUNDS: usize = 256;

/// Step-up authentication: challenges, grants, and what they need. Cheap to clone.
///
/// Its methods are what the companion calls; an application can call them itself, from a handler of its own
/// or another protocol. All of them share one set of limits (T6).
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, ChallengeError, StepUp};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// let caller = Caller::new("alice", "session 1");
///
/// step_up.start_otp(&caller, "SMS", None).await?;
/// assert_eq!(step_up.verify_otp(&caller, "SMS", "000000").await, Err(ChallengeError::CodeInvalid));
/// let grant = step_up.verify_otp(&caller, "SMS", "123456").await?;
/// assert_eq!(grant.channel(), "SMS");
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct StepUp<S = MemoryStore>(pub(crate) Arc<Engine<S>>);

pub(crate) struct Engine<S> {
    pub(crate) channels: Channels,
    pub(crate) policy: Policy,
    pub(crate) store: S,
    pub(crate) sandbox: bool,
    pub(crate) public_path: Option<String>,
    pub(crate) authenticate: HeaderValue,
    pub(crate) ids: Ids,
    identify: Option<Arc<dyn Identify>>,
    enrolment: Arc<dyn ErasedEnrolment>,
    clock: Monotone,
    keyring: Keyring,
    random: Random,
    no_caller: log::OnceAMinute,
}

/// Where a caller stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The grants that are alive.
    pub grants: Vec<Grant>,
    /// The channels for one-time codes that this user has enrolled.
    pub otp: Vec<String>,
    /// The channels for pushes that this user has enrolled.
    pub push: Vec<String>,
    /// The time at which this was so.
    pub now: Timestamp,
}

/// Why a [`Requirement`] is not satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckError {
    /// The caller has to step up.
    StepUpRequired(Reason),
    /// The store failed: refused.
    Unavailable,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepUpRequired(reason) => write!(f, "step-up required: {reason}"),
            Self::Unavailable => f.write_str("temporarily unavailable"),
        }
    }
}

impl std::error::Error for CheckError {}

impl StepUp {
    /// A builder with the defaults.
    pub fn builder() -> StepUpBuilder {
        StepUpBuilder::new()
    }
}

impl<S: Store> StepUp<S> {
    /// The companion service: starts challenges and verifies them, over HTTP.
    pub fn challenges(&self) -> ChallengeService<S> {
        ChallengeService::new(self.clone())
    }

    /// Whether a caller's session satisfies a requirement now: what a guard asks, for a handler that knows
    /// only later what it needs.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, CheckError, Reason, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().otp("SMS", tower_step_up::discard).build()?;
    /// let refused = step_up.check(&Caller::new("alice", "1"), &Requirement::new().scope("payments")).await;
    /// assert_eq!(refused, Err(CheckError::StepUpRequired(Reason::Missing)));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CheckError`], and nothing may then be done for the caller.
    pub async fn check(&self, caller: &Caller, requirement: &Requirement) -> Result<Grant, CheckError> {
        let lookup = self.0.store.load(caller.session_key());
        let loaded = finish::<S>(lookup, self.0.policy.store_deadline).await;
        self.0.decide(loaded, requirement)
    }

    /// Where a caller stands: their grants, and the channels that they have enrolled.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store or the enrolment is down.
    pub async fn status(&self, caller: &Caller) -> Result<Status, ChallengeError> {
        let engine = &self.0;
        let stored = engine.load(caller.session_key()).await?;
        let now = engine.now();
        let session = session_of(stored.as_ref())?;
        let grants = session.map(|session| session.live_grants(&engine.policy, now).cloned().collect());
        Ok(Status {
            grants: grants.unwrap_or_default(),
            otp: engine.enrolled(caller, engine.channels.otp_names()).await?,
            push: engine.enrolled(caller, engine.channels.push_names()).await?,
            now,
        })
    }

    /// Drops a session's elevation: its grants and pending challenges. Tries, the time of the last start and
    /// every count stay. Call it at logout, too.
    ///
    /// A verification that is under way at the same time leaves no grant.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down: then nothing is dropped.
    pub async fn revoke(&self, caller: &Caller) -> Result<(), ChallengeError> {
        self.0.revoke(caller.session_key()).await
    }
}

impl<S> Clone for StepUp<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for StepUp<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUp")
            .field("channels", &self.0.channels)
            .field("policy", &self.0.policy)
            .field("sandbox", &self.0.sandbox)
            .finish_non_exhaustive()
    }
}

/// What the edges ask.
impl<S: Store> Engine<S> {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A reference for support, 32 hexadecimal digits, on every answer.
    pub(crate) fn request_ref(&self) -> HeaderValue {
        use std::io::Write as _;
        let mut digits = [b'0'; 32];
        // 128 bits are 32 digits, which fill the buffer exactly.
        let _ = write!(&mut digits[..], "{:032x}", self.ids.next());
        HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
    }

    /// Whether callers are read from the extensions.
    pub(crate) fn identifies_by_extension(&self) -> bool {
        self.identify.is_none()
    }

    pub(crate) fn identify(&self, request: &Parts) -> Option<Caller> {
        match &self.identify {
            Some(identify) => identify.identify(request),
            None => request.extensions.get::<Caller>().cloned(),
        }
    }

    pub(crate) fn note_no_caller(&self) {
        if self.no_caller.first(self.now()) {
            log::no_caller();
        }
    }

    /// The one decision behind layer and [`StepUp::check`].
    pub(crate) fn decide(
        &self,
        loaded: Result<Option<Stored>, StoreError>,
        requirement: &Requirement,
    ) -> Result<Grant, CheckError> {
        let unavailable = |error: StoreError| {
            log::store_failed(&error);
            CheckError::Unavailable
        };
        let stored = loaded.map_err(unavailable)?;
        let session = as_session(stored.as_ref()).map_err(unavailable)?;
        decide(session, requirement, &self.policy, self.now()).cloned().map_err(CheckError::StepUpRequired)
    }
}

/// Load and swap.
impl<S: Store> Engine<S> {
    async fn load(&self, key: &Key) -> Result<Option<Stored>, ChallengeError> {
        finish::<S>(self.store.load(key), self.policy.store_deadline).await.map_err(failed)
    }

    /// The user's record and the session's, in one round trip.
    async fn load_both(&self, caller: &Caller) -> Result<(Option<Stored>, Option<Stored>), ChallengeError> {
        let subject = self.store.load(&caller.subject_key());
        let session = self.store.load(caller.session_key());
        let deadline = self.policy.store_deadline;
        let (subject, session) = both(finish::<S>(subject, deadline), finish::<S>(session, deadline)).await;
        Ok((subject.map_err(failed)?, session.map_err(failed)?))
    }

    /// Whether the swap was done; `false` is a conflict.
    async fn swap(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        record: Record,
        now: Timestamp,
    ) -> Result<bool, ChallengeError> {
        let until = match &record {
            Record::Session(session) => session.keep_until(&self.policy),
            Record::Subject(subject) => subject.keep_until(),
        };
        let ttl = until.saturating_since(now);
        let next = (!ttl.is_zero()).then(|| Stored::new(Revision::new(self.ids.next()), ttl, record));
        let swap = self.store.swap(key, expected.map(Stored::revision), next);
        let swapped = within(self.policy.store_deadline, swap).await;
        match swapped.unwrap_or_else(|| Err(StoreError::deadline())).map_err(failed)? {
            Swapped::Done => Ok(true),
            Swapped::Conflict => Ok(false),
            Swapped::Full => Err(ChallengeError::Unavailable),
        }
    }

    async fn swap_session(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Session,
        now: Timestamp,
    ) -> Result<bool, ChallengeError> {
        self.swap(key, expected, Record::Session(next), now).await
    }

    async fn swap_subject(
        &self,
        key: &Key,
        expected: Option<&Stored>,
        next: Subject,
        now: Timestamp,
    ) -> Result<bool, ChallengeError> {
        self.swap(key, expected, Record::Subject(next), now).await
    }

    /// Changes a session that exists, for as long as `change` gives a new state of it.
    async fn change_session(
        &self,
        key: &Key,
        mut change: impl FnMut(&Session, Timestamp) -> Option<Session>,
    ) -> Result<bool, ChallengeError> {
        for _ in 0..ROUNDS {
            let stored = self.load(key).await?;
            let now = self.now();
            let Some(next) = session_of(stored.as_ref())?.and_then(|session| change(session, now)) else {
                return Ok(false);
            };
            if self.swap_session(key, stored.as_ref(), next, now).await? {
                return Ok(true);
            }
        }
        Err(ChallengeError::Unavailable)
    }

    /// Changes a user's record that exists.
    async fn change_subject(&self, key: &Key, change: impl Fn(&mut Subject)) -> Result<(), ChallengeError> {
        for _ in 0..ROUNDS {
            let stored = self.load(key).await?;
            let Some(mut next) = subject_of(stored.as_ref())?.cloned() else { return Ok(()) };
            change(&mut next);
            if self.swap_subject(key, stored.as_ref(), next, self.now()).await? {
                return Ok(());
            }
        }
        Err(ChallengeError::Unavailable)
    }

    async fn revoke(&self, key: &Key) -> Result<(), ChallengeError> {
        self.change_session(key, |session, _| Some(session.revoked()).filter(|next| next != session)).await?;
        Ok(())
    }

    /// Lists the session in the user's record before its own is written. Where the list is full, the grants
    /// of the oldest go first.
    async fn list(&self, subject: &mut Subject, session: &Key, now: Timestamp) -> Result<(), ChallengeError> {
        let policy = &self.policy;
        let until = now.saturating_add(policy.code_life.max(policy.push_life)).saturating_add(policy.grant_life);
        match subject.list(session, until, now) {
            Listed::Done => Ok(()),
            Listed::Displaced(oldest) => self.revoke(&oldest).await,
        }
    }
}

/// What the application is asked.
impl<S: Store> Engine<S> {
    /// Where a channel leads for a caller. What stands in the way comes in two parts, because a user who is
    /// disabled is told so before they are told that a channel is not enrolled.
    async fn resolve(
        &self,
        caller: &Caller,
        channel: &str,
    ) -> Result<Result<Recipient, ChallengeError>, ChallengeError> {
        let resolved = unless_it_panics(self.enrolment.resolve(caller, channel));
        match within(self.policy.sender_deadline, resolved).await.flatten() {
            Some(Ok(recipient)) => Ok(Ok(recipient)),
            Some(Err(Refused::NotEnrolled)) => Ok(Err(ChallengeError::ChannelNotRegistered)),
            Some(Err(Refused::NotSupported)) => Ok(Err(ChallengeError::ChannelNotSupported)),
            Some(Err(Refused::Forbidden)) => Err(ChallengeError::Forbidden),
            Some(Err(Refused::Unavailable)) | None => Err(ChallengeError::Unavailable),
        }
    }

    /// Those of the channels that this caller has enrolled.
    async fn enrolled(
        &self,
        caller: &Caller,
        channels: impl Iterator<Item = &str>,
    ) -> Result<Vec<String>, ChallengeError> {
        let mut enrolled = Vec::new();
        for channel in channels {
            match self.resolve(caller, channel).await {
                Ok(Ok(_)) => enrolled.push(channel.to_owned()),
                Ok(Err(_)) | Err(ChallengeError::Forbidden) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(enrolled)
    }

    /// Hands a message to its sender. In the sandbox nothing is sent.
    async fn deliver<M>(&self, channel: &Channel<M>, message: M) -> Result<(), NotDelivered> {
        if self.sandbox {
            return Ok(());
        }
        let send = unless_it_panics(async { (channel.deliver)(message).await });
        let (outcome, why) = match within(self.policy.sender_deadline, send).await {
            Some(Some(Ok(()))) => return Ok(()),
            Some(Some(Err(DeliveryError::RecipientInvalid))) => (NotDelivered::RecipientInvalid, "recipient refused"),
            Some(Some(Err(DeliveryError::Failed))) => (NotDelivered::Failed, "sender failed"),
            Some(None) => (NotDelivered::Unknown, "sender panicked"),
            None => (NotDelivered::Unknown, "sender too slow"),
        };
        log::send_failed(&channel.name, why);
        Err(outcome)
    }
}

/// What became of a message that was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotDelivered {
    /// Nothing was sent: the recipient was refused.
    RecipientInvalid,
    /// Nothing was sent.
    Failed,
    /// It may have been sent.
    Unknown,
}

/// Checks a scope that a start names.
fn check_start_scope(scope: Option<&str>) -> Result<(), ChallengeError> {
    scope.map_or(Ok(()), |scope| check_scope(scope).map_err(ChallengeError::MalformedScope))
}

fn failed(error: StoreError) -> ChallengeError {
    log::store_failed(&error);
    ChallengeError::Unavailable
}

fn no_random(RandomFailed: RandomFailed) -> ChallengeError {
    ChallengeError::Internal
}

/// A session's record. One of another kind under its key is as unreadable as one of another version.
fn as_session(stored: Option<&Stored>) -> Result<Option<&Session>, StoreError> {
    match stored.map(Stored::record) {
        Some(Record::Session(session)) => Ok(Some(session)),
        None => Ok(None),
        Some(Record::Subject(_)) => Err(StoreError::unreadable()),
    }
}

fn session_of(stored: Option<&Stored>) -> Result<Option<&Session>, ChallengeError> {
    as_session(stored).map_err(failed)
}

fn subject_of(stored: Option<&Stored>) -> Result<Option<&Subject>, ChallengeError> {
    match stored.map(Stored::record) {
        Some(Record::Subject(subject)) => Ok(Some(subject)),
        None => Ok(None),
        Some(Record::Session(_)) => Err(failed(StoreError::unreadable())),
    }
}
