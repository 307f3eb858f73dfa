//! [`StepUp`]: what an application holds; its builder, and what a guard and the challenge endpoints ask.

use std::{fmt, sync::Arc};

use futures_util::future::join;

use super::{Caller, Engine, Event, Grant, StepUpBuilder};
use crate::rules::{ChallengeError, Requirement, Session, Timestamp, Unmet};

/// Step-up authentication: challenges, grants, and what they need. Cheap to clone.
///
/// Senders, enrollments and stores outside the process have deadlines, so they need a tokio runtime with its time
/// driver (`enable_time` or `enable_all`).
///
/// The challenge endpoints call its methods; an application can call them itself, from a handler of its own
/// or another protocol. All of them share one set of limits (T6).
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

/// The grants of a caller's session, and the channels that the user has enrolled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepUpStatus {
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorizeError {
    /// The caller has to step up.
    StepUpRequired(Unmet),
    /// The store failed: refused.
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

    /// Whether a caller's session satisfies a requirement now: what a guard asks, for a handler that knows
    /// only later what it needs. Where the requirement is for [`once`](Requirement::once), this spends the grant.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, AuthorizeError, UnmetReason, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let refused = step_up.authorize(&Caller::user("alice").session("1"), &Requirement::new().scope("payments")).await;
    /// assert_eq!(refused, Err(AuthorizeError::StepUpRequired(UnmetReason::Missing.into())));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AuthorizeError`], and nothing may then be done for the caller.
    pub async fn authorize(&self, caller: &Caller, requirement: &Requirement) -> Result<Grant, AuthorizeError> {
        let engine = &*self.0;
        let checked = self.ask(caller, requirement, engine.spends(requirement)).await;
        checked.inspect_err(|error| {
            if let AuthorizeError::StepUpRequired(unmet) = error {
                engine.emit(&Event::GuardRefused { subject: caller.subject(), reason: unmet.reason() });
            }
        })
    }

    /// Decides for a caller, and spends what satisfies the requirement or leaves it.
    pub(crate) async fn ask(
        &self,
        caller: &Caller,
        requirement: &Requirement,
        spends: bool,
    ) -> Result<Grant, AuthorizeError> {
        if spends {
            return self.spend(caller, requirement, None, None).await;
        }
        self.0.decide(self.0.look_up(&self.0.session_key(caller)).await, requirement, None)
    }

    /// Waits for the work that goes on without its request: call it at shutdown, once no more requests are taken.
    ///
    /// A start that was counted, a revocation, a transfer and a lock run to their end where their request is dropped: a
    /// client that goes away neither keeps a message from being sent nor leaves half of its sessions elevated. The rest
    /// is done by a task on the tokio runtime in which the operation began. A runtime that ends before loses what was
    /// still to be done, such as a message; never a count.
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

    /// The grants of a caller's session, and the channels that the user has enrolled.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store or the enrollment is down.
    pub async fn status(&self, caller: &Caller) -> Result<StepUpStatus, ChallengeError> {
        let engine = &self.0;
        let otp = engine.enrolled(caller, engine.channels.otp_names());
        let push = engine.enrolled(caller, engine.channels.push_names());
        let (otp, push) = join(otp, push).await;
        let (otp, push) = (otp?, push?);
        // Last, so that the answer is not older than the application's.
        let stored = engine.load(&engine.session_key(caller)).await?;
        let now = engine.now();
        let all = engine.session_of(stored.as_ref())?.map_or(&[][..], Session::grants);
        let live = all.iter().enumerate().filter(|(_, grant)| grant.is_live(&engine.policy, now));
        let grants = live.filter_map(|(index, _)| Grant::of(stored.clone()?, index)).collect();
        Ok(StepUpStatus { grants, otp, push, now })
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
