//! The public view of a verified challenge: [`Grant`].

use std::{fmt, sync::Arc};

use crate::{
    rules::{ChallengeError, Name, OperationDigest, Session, Summary, Timestamp},
    store::{Record, Stored},
    timeout::BoxFuture,
};

/// The result of a verified challenge: its channel, its scope, when it was verified and when it expires.
///
/// A guard puts it into the request's [`Caller`](crate::Caller). A clone is at most two atomic increments.
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, Grant};
///
/// fn receipt(caller: &Caller) -> Option<String> {
///     let grant: &Grant = caller.grant()?;
///     Some(format!("approved by {} at {}", grant.channel(), grant.verified_at().as_millis()))
/// }
/// # assert!(receipt(&Caller::user("alice").session("1")).is_none());
/// ```
#[derive(Clone)]
pub struct Grant(Kind);

#[derive(Clone)]
enum Kind {
    /// In the session's record as it was read, shared so that a guard copies nothing.
    Recorded {
        stored: Stored,
        index: usize,
        /// Set if this request has consumed the grant.
        spent: Option<Arc<dyn Restore>>,
    },
    /// Neither bound nor consumed.
    Summary(Summary),
}

/// Restores a grant that a request has consumed.
pub(crate) trait Restore: Send + Sync {
    fn restore(&self) -> BoxFuture<'_, Result<bool, ChallengeError>>;
}

impl Grant {
    /// One of the grants of a session's record; `None` if there is none at this index.
    pub(crate) fn of(stored: Stored, index: usize) -> Option<Self> {
        session(&stored)?.grants().get(index)?;
        Some(Self(Kind::Recorded { stored, index, spent: None }))
    }

    /// The most recent grant.
    pub(crate) fn newest(stored: Stored) -> Option<Self> {
        let last = session(&stored)?.grants().len().checked_sub(1)?;
        Self::of(stored, last)
    }

    pub(crate) fn of_summary(summary: Summary) -> Self {
        Self(Kind::Summary(summary))
    }

    pub(crate) fn id(&self) -> u64 {
        self.content().id
    }

    /// The channel of the verified challenge.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.content().channel
    }

    /// The scope of the step-up; `None` for the whole session.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.content().scope
    }

    /// When the challenge was verified.
    #[must_use]
    pub fn verified_at(&self) -> Timestamp {
        self.content().verified_at
    }

    /// When the grant expires; use does not extend it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.content().expires_at
    }

    /// Whether the grant is bound to one operation ([`Binding`](crate::Binding)).
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.operation().is_some()
    }

    /// The operation that the grant is bound to.
    pub(crate) fn operation(&self) -> Option<OperationDigest> {
        self.content().operation
    }

    /// Restores a grant that this request has consumed, for a handler that failed before any effect. The grant keeps
    /// its expiry, scope and binding, and can be consumed once more. Returns whether it was restored: `false` if it was
    /// not consumed, was already restored or has expired, or if the grant, its session or its generation no longer
    /// exists.
    ///
    /// Never automatic. A handler that calls it after a part of its work was done allows that part to be repeated.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// # let caller = Caller::user("alice").session("1");
    /// # step_up.start_otp(&caller, "SMS", None).await?;
    /// # step_up.verify_otp(&caller, "SMS", "123456").await?;
    /// let once = Requirement::new().once();
    /// let grant = step_up.authorize(&caller, &once).await?;
    /// assert!(step_up.authorize(&caller, &once).await.is_err()); // consumed
    ///
    /// // The ledger is down, and nothing was written.
    /// assert!(grant.restore().await?);
    /// assert!(step_up.authorize(&caller, &once).await.is_ok());
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] if the store is unavailable: the grant may stay consumed.
    pub async fn restore(&self) -> Result<bool, ChallengeError> {
        match &self.0 {
            Kind::Recorded { spent: Some(spent), .. } => spent.restore().await,
            Kind::Recorded { spent: None, .. } | Kind::Summary(_) => Ok(false),
        }
    }

    pub(crate) fn with_restore(self, restore: Arc<dyn Restore>) -> Self {
        match self.0 {
            Kind::Recorded { stored, index, .. } => Self(Kind::Recorded { stored, index, spent: Some(restore) }),
            Kind::Summary(_) => self,
        }
    }

    fn content(&self) -> Content<'_> {
        match &self.0 {
            Kind::Recorded { stored, index, .. } => {
                // `of` has checked the index, and a stored record is immutable.
                let granted = session(stored).and_then(|session| session.grants().get(*index));
                let granted = granted.expect("the index was checked when the grant was made");
                Content {
                    id: granted.id,
                    channel: &granted.channel,
                    scope: granted.scope.as_deref(),
                    verified_at: granted.verified_at,
                    expires_at: granted.expires_at,
                    operation: granted.operation,
                }
            }
            Kind::Summary(summary) => Content {
                id: summary.id,
                channel: summary.channel.as_str(),
                scope: summary.scope.map(Name::as_str),
                verified_at: summary.verified_at,
                expires_at: summary.expires_at,
                operation: None,
            },
        }
    }
}

/// What a grant says, however it is kept.
#[derive(PartialEq)]
struct Content<'a> {
    id: u64,
    channel: &'a str,
    scope: Option<&'a str>,
    verified_at: Timestamp,
    expires_at: Timestamp,
    operation: Option<OperationDigest>,
}

fn session(stored: &Stored) -> Option<&Session> {
    match stored.record() {
        Record::Session(session) => Some(session),
        Record::Subject(_) | Record::Recipient(_) => None,
    }
}

/// Two grants are equal if they come from the same challenge and say the same. Whether one has been consumed does not
/// count.
impl PartialEq for Grant {
    fn eq(&self, other: &Self) -> bool {
        self.content() == other.content()
    }
}

impl Eq for Grant {}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("channel", &self.channel())
            .field("scope", &self.scope())
            .field("verified_at", &self.verified_at())
            .field("expires_at", &self.expires_at())
            .finish()
    }
}
