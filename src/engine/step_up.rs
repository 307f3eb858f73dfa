//! [`StepUp`]: what an application holds; its builder, and what a guard asks.

use std::{fmt, sync::Arc};

use super::{Caller, Decision, Engine, Event, Grant, StepUpBuilder};
use crate::rules::{CompiledRequirement, Requirement, Unmet};

/// Step-up authentication: challenges, grants, and their configuration. Cheap to clone.
///
/// Calls to senders, enrollments and remote stores have deadlines, so they need a tokio runtime with its time driver
/// (`enable_time` or `enable_all`).
///
/// The challenge endpoints call these methods; an application can call them itself, from its own handler or for another
/// protocol. All of them share one set of limits (T6).
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, ChallengeError, StepUp};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// let caller = Caller::user("alice").session("session 1");
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
pub struct StepUp(pub(crate) Arc<Engine>);

/// Why a [`Requirement`] is not satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorizeError {
    /// The caller has to step up.
    StepUpRequired(Unmet),
    /// The store failed, so the request is refused.
    Unavailable,
}

impl fmt::Display for AuthorizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepUpRequired(unmet) => write!(f, "step-up required: {}", unmet.reason()),
            Self::Unavailable => f.write_str("temporarily unavailable"),
        }
    }
}

impl std::error::Error for AuthorizeError {}

impl StepUp {
    /// A builder with the defaults.
    pub fn builder() -> StepUpBuilder {
        StepUpBuilder::new()
    }

    /// Whether a caller's session satisfies a requirement now: the guard's decision, for a handler that knows its
    /// requirement only later. If the requirement is for [`once`](Requirement::once), this consumes the grant.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, AuthorizeError, UnmetReason, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let caller = Caller::user("alice").session("1");
    /// let refused = step_up.authorize(&caller, &Requirement::new().scope("payments")).await;
    /// assert_eq!(refused, Err(AuthorizeError::StepUpRequired(UnmetReason::Missing.into())));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AuthorizeError`]; the handler must then do nothing for the caller.
    pub async fn authorize(&self, caller: &Caller, requirement: &Requirement) -> Result<Grant, AuthorizeError> {
        let engine = &*self.0;
        let checked = self.ask(caller, requirement, None, engine.spends(requirement)).await;
        let checked = engine.told_of_channels(caller, requirement, checked).await;
        checked.inspect_err(|error| {
            if let AuthorizeError::StepUpRequired(unmet) = error {
                engine.emit(&Event::GuardRefused { subject: caller.subject(), reason: unmet.reason() });
            }
        })
    }

    /// Decides for a caller; consumes the grants that satisfy the requirement where `spends` is set.
    pub(crate) async fn ask(
        &self,
        caller: &Caller,
        requirement: &Requirement,
        compiled: Option<&CompiledRequirement>,
        spends: bool,
    ) -> Result<Grant, AuthorizeError> {
        if spends {
            return self.spend(caller, requirement, None, None).await;
        }
        match self.0.begin_decision(&self.0.session_key(caller), requirement, compiled) {
            Decision::Made(decided) => decided,
            Decision::Pending(load) => self.0.decide(self.0.in_time(load).await, requirement, None),
        }
    }

    /// Waits for background work to finish: call it at shutdown, once no more requests are accepted.
    ///
    /// A start that was counted, a revocation, a transfer and a lock are completed even if their request is dropped: a
    /// client that disconnects cannot keep a message from being sent, or leave half of the user's sessions elevated. A
    /// task on the tokio runtime of the request does the rest. If that runtime shuts down first, the remaining work,
    /// such as sending a message, is lost; counts are not.
    ///
    /// # Example
    ///
    /// ```
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # let step_up = tower_step_up::StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// // axum::serve(listener, app).with_graceful_shutdown(signal).await?;
    /// step_up.drained().await;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub async fn drained(&self) {
        self.0.unfinished.drained().await;
    }
}

impl Clone for StepUp {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for StepUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUp")
            .field("channels", &self.0.channels)
            .field("policy", &self.0.policy)
            .field("sandbox", &self.0.sandbox)
            .finish_non_exhaustive()
    }
}
