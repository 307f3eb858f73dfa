//! The engine: each operation loads records, asks the rules what follows, swaps, and only then answers.

use std::sync::Arc;

use http::request::Parts;

use self::{
    deliver::ErasedEnrollment, local_failures::LocalFailures, rate_limit::RateLimits, recipient_guess::LastRecipients,
    records::as_session, store_check::StoreCheck, to_the_end::Unfinished, watch::Watch,
};
use crate::{
    catch::catch,
    rules::{
        BareOperation, ChallengeError, CompiledRequirement, Ids, Keyring, Policy, Random, RandomFailed, RecordKey,
        Requirement, Satisfied, Summary, Timestamp, UnmetReason, decide,
    },
    store::{Backend, Key, Lookup, StoreError, Stored},
    timeout::BoxFuture,
    wire::Settings,
};

// First, so that the documentation of `StepUp` begins with its builder.
mod step_up;

mod authorize;
mod builder;
mod caller;
mod cancel;
mod channel;
mod clock;
mod deliver;
mod delivery;
mod event;
mod grant;
mod local_failures;
mod lock;
mod message;
mod operation;
mod otp;
#[cfg(feature = "page")]
mod page;
mod proof;
mod purpose;
mod push;
mod rate_limit;
mod recipient;
mod recipient_guess;
mod records;
mod retries;
mod revoke;
mod sessions;
mod start;
mod status;
mod store_check;
mod telemetry;
mod to_the_end;
mod verify;
mod watch;

#[cfg(any(test, feature = "test-util"))]
pub use self::clock::ManualClock;
#[cfg(feature = "page")]
pub(crate) use self::page::{PageServed, Remaining};
pub use self::{
    builder::StepUpBuilder,
    caller::{Caller, CallerOf, Identify},
    clock::{Clock, SystemClock},
    delivery::{DeliveryError, Enrollment, EnrollmentError, OtpSender, PushSender, discard},
    event::{Event, Lockout, Observer, SendFailure},
    grant::Grant,
    message::{EmailText, OtpMessage, PushMessage, SmsText},
    proof::{Proof, ProofError},
    purpose::Purpose,
    push::{PushReply, PushReplyError, PushStarted},
    recipient::{Recipient, RecipientError},
    status::{PendingOtp, PendingPush, StepUpStatus},
    step_up::{AuthorizeError, StepUp},
    watch::StepUpEnded,
};
pub(crate) use self::{
    channel::Channels,
    clock::Monotone,
    delivery::is_discard,
    event::Observers,
    grant::Restore,
    message::{Envelope, MessageTexts},
    operation::{ApiCall, Field, InvalidField, Named, Outcome, Rejected},
};

/// What [`Engine::begin_decision`] has come to.
pub(crate) enum Decision {
    Made(Result<Grant, AuthorizeError>),
    /// The session's record, to be decided with [`Engine::decide`].
    Pending(BoxFuture<'static, Result<Option<Stored>, StoreError>>),
}

pub(crate) struct Engine {
    pub(crate) channels: Channels,
    pub(crate) policy: Policy,
    pub(crate) store: Backend,
    pub(crate) sandbox: bool,
    pub(crate) scopes: Option<Vec<Box<str>>>,
    /// The part of the builder's settings that the edges use.
    pub(crate) wire: Settings,
    ids: Ids,
    identify: Option<Arc<dyn Identify>>,
    /// `None`: every user has every channel, and only the sender knows the recipient.
    enrollment: Option<Arc<dyn ErasedEnrollment>>,
    report_unenrolled: bool,
    texts: Arc<MessageTexts>,
    clock: Monotone,
    keyring: Keyring,
    record_key: RecordKey,
    random: Random,
    rate_limits: RateLimits,
    local_failures: LocalFailures,
    last_recipients: LastRecipients,
    unfinished: Unfinished,
    watch: Watch,
    #[cfg(feature = "page")]
    page: PageServed,
    store_check: StoreCheck,
    observers: Observers,
    no_caller: telemetry::OnceAMinute,
    unbound: telemetry::OnceAMinute,
}

impl Engine {
    /// Warns about a guard without a binding where the policy accepts only bound step-ups.
    pub(crate) fn note_unbound(&self) {
        if self.policy.bound && self.unbound.first(self.clock.now()) {
            telemetry::unbound();
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The `request-ref` of a response, for support.
    pub(crate) fn request_ref(&self) -> u128 {
        self.ids.reference()
    }

    /// Whether callers are read from the request's extensions.
    pub(crate) fn identifies_by_extension(&self) -> bool {
        self.identify.is_none()
    }

    /// The caller of a request; `None` if the application's code panics.
    pub(crate) fn identify(&self, request: &Parts) -> Option<Caller> {
        match &self.identify {
            Some(identify) => catch(|| identify.identify(request)).flatten(),
            None => request.extensions.get::<Caller>().cloned(),
        }
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.observers.emit(event);
    }

    pub(crate) fn note_no_caller(&self) {
        self.emit(&Event::NoCaller);
        if self.no_caller.first(self.now()) {
            telemetry::no_caller();
        }
    }

    /// Whether a request consumes the grant that satisfies the requirement.
    pub(crate) fn spends(&self, requirement: &Requirement) -> bool {
        requirement.is_once() || self.policy.one_time
    }

    /// Interns the names of a requirement, so that it can be compared with what the store keeps beside its keys. `None` if
    /// it has to be decided by the record.
    pub(crate) fn compile(&self, requirement: &Requirement) -> Option<CompiledRequirement> {
        requirement.compile(|name| self.store.intern(name))
    }

    /// Decides for no bound operation: at once if the store is in process.
    pub(crate) fn begin_decision(
        &self,
        key: &Key,
        requirement: &Requirement,
        compiled: Option<&CompiledRequirement>,
    ) -> Decision {
        let lookup = match compiled {
            None => self.begin_load(key),
            Some(compiled) => {
                let permits = |summary: &Summary| compiled.permits(summary, &self.policy, self.now());
                match self.begin_load_unless(key, permits) {
                    Ok(summary) => return Decision::Made(Ok(Grant::of_summary(summary))),
                    Err(lookup) => lookup,
                }
            }
        };
        match lookup {
            Lookup::Ready(loaded) => Decision::Made(self.decide(loaded, requirement, None)),
            Lookup::Pending(load) => Decision::Pending(load),
        }
    }

    /// Decides, and returns the grant that satisfies the requirement.
    pub(crate) fn decide(
        &self,
        loaded: Result<Option<Stored>, StoreError>,
        requirement: &Requirement,
        operation: Option<&BareOperation>,
    ) -> Result<Grant, AuthorizeError> {
        let (stored, satisfied) = self.satisfied(loaded, requirement, operation)?;
        Grant::of(stored, satisfied.first).ok_or_else(|| AuthorizeError::StepUpRequired(UnmetReason::Missing.into()))
    }

    /// The decision shared by the layer, the extractor and [`StepUp::authorize`]: a session's record, and which of its
    /// grants satisfy the requirement.
    pub(crate) fn satisfied(
        &self,
        loaded: Result<Option<Stored>, StoreError>,
        requirement: &Requirement,
        operation: Option<&BareOperation>,
    ) -> Result<(Stored, Satisfied), AuthorizeError> {
        let unavailable = |error: StoreError| {
            self.emit(&Event::StoreFailed { error: &error });
            AuthorizeError::Unavailable
        };
        let stored = loaded.map_err(unavailable)?;
        let session = as_session(stored.as_ref()).map_err(unavailable)?;
        let operation = operation.map(|operation| self.record_key.operation(operation));
        let decided = decide(session, requirement, operation.as_ref(), &self.policy, self.now());
        let satisfied = decided.map_err(AuthorizeError::StepUpRequired)?;
        let stored = stored.ok_or_else(|| AuthorizeError::StepUpRequired(UnmetReason::Missing.into()))?;
        Ok((stored, satisfied))
    }

    /// Emits a refusal, with the channel if it is registered.
    fn emit_refused(&self, caller: &Caller, channel: Option<&str>, error: &ChallengeError) {
        self.emit(&Event::Refused { subject: caller.subject(), channel, error });
    }
}

fn no_random(RandomFailed: RandomFailed) -> ChallengeError {
    ChallengeError::Internal
}
