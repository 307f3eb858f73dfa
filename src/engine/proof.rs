//! Proofs: [`StepUp::record_proof`] turns a factor that the application has verified itself into a grant.

use std::{error::Error, fmt};

use super::{
    Engine, StepUp,
    purpose::{CheckedPurpose, Moment, WrongPurpose},
    records::{StoreDown, Swap},
};
use crate::{
    engine::{Caller, Event, Grant, Purpose},
    rules::{Granted, ListedBy, Malformed, Seen, Session, Subject, Timestamp, Use},
    store::{Key, Stored},
};

/// A factor that the application has verified itself: a passkey, a TOTP code, a recent login at an identity provider.
///
/// # Example
///
/// From an `OpenID` Connect ID token that the application has checked:
///
/// ```
/// use tower_step_up::{Proof, Timestamp};
///
/// # let auth_time = 1_764_000_000;
/// let proof = Proof::new("OIDC").verified_at(Timestamp::from_millis(auth_time * 1000));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Proof<'a> {
    channel: &'a str,
    purpose: Purpose<'a>,
    verified_at: Option<Timestamp>,
}

impl<'a> Proof<'a> {
    /// A proof on a channel registered with [`StepUpBuilder::proof`](crate::StepUpBuilder::proof), for the whole
    /// session, verified now.
    pub const fn new(channel: &'a str) -> Self {
        Self { channel, purpose: Purpose::new(), verified_at: None }
    }

    /// Sets the scope or the operation that the proof is for.
    pub fn purpose(mut self, purpose: impl Into<Purpose<'a>>) -> Self {
        self.purpose = purpose.into();
        self
    }

    /// Sets when the user authenticated, such as `auth_time` of an ID token (`OpenID` Connect Core §2).
    pub const fn verified_at(mut self, time: Timestamp) -> Self {
        self.verified_at = Some(time);
        self
    }
}

/// Why a proof was not recorded as a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The channel is not registered for proofs.
    UnknownChannel,
    /// The scope is malformed, not registered, or different from that of the binding.
    Scope(Malformed),
    /// The binding is malformed, was made for another session, or has expired.
    Binding(Malformed),
    /// It was verified further in the future than [`Policy::clock_skew`](crate::Policy::clock_skew) allows.
    InTheFuture,
    /// It was verified longer ago than the lifetime of a grant.
    Expired,
    /// The application has locked the user.
    Locked,
    /// The session, or all sessions of the user, were revoked while the proof was being recorded.
    Revoked,
    /// The store is down, too slow or full. No grant was recorded.
    Unavailable,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownChannel => "the channel is not registered; call .proof(name) on the builder",
            Self::Scope(_) => "the scope cannot be asked for",
            Self::Binding(_) => "the binding is not one of this session, or too old",
            Self::InTheFuture => "it was verified in the future; compare the clocks",
            Self::Expired => "it was verified longer ago than a grant lives",
            Self::Locked => "the user is locked",
            Self::Revoked => "the session was revoked meanwhile; have the user prove it again",
            Self::Unavailable => "temporarily unavailable; try again",
        })
    }
}

impl Error for ProofError {}

/// After the checks, only the store can fail.
impl From<StoreDown> for ProofError {
    fn from(StoreDown: StoreDown) -> Self {
        Self::Unavailable
    }
}

impl StepUp {
    /// Records a grant for a factor that the application has verified itself, as if a challenge had been verified.
    ///
    /// Its lifetime is that of any grant, counted from the time of verification; [`revoke`](Self::revoke) and
    /// [`revoke_all`](Self::revoke_all) end it.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, Proof, Requirement, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().proof("PASSKEY").build()?;
    /// let caller = Caller::user("alice").session("1");
    ///
    /// // The application has verified the passkey's assertion.
    /// step_up.record_proof(&caller, Proof::new("PASSKEY")).await?;
    /// assert!(step_up.authorize(&caller, &Requirement::new().channels(["PASSKEY"])).await.is_ok());
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProofError`]; no grant was recorded.
    ///
    /// # Security
    ///
    /// This counts no failures: the application must limit failed attempts, and must accept each proof only once. A
    /// TOTP code, for example, is valid for a time step and must not be accepted twice (RFC 6238 §5.2).
    pub async fn record_proof(&self, caller: &Caller, proof: Proof<'_>) -> Result<Grant, ProofError> {
        self.0.grant(caller, proof).await
    }
}

impl Engine {
    async fn grant(&self, caller: &Caller, proof: Proof<'_>) -> Result<Grant, ProofError> {
        if !self.channels.proof.iter().any(|known| known == proof.channel) {
            return Err(ProofError::UnknownChannel);
        }
        let Purpose { scope, binding, .. } = proof.purpose;
        let purpose =
            self.parse_purpose(caller, Ok(scope), Ok(binding), Moment::Start).map_err(|wrong| match wrong {
                WrongPurpose { scope: Some(malformed), .. } => ProofError::Scope(malformed),
                WrongPurpose { binding, .. } => ProofError::Binding(binding.unwrap_or(Malformed::Unknown)),
            })?;
        let id = self.ids.next_u64();
        let (subject_key, session_key) = (&self.subject_key(caller.subject()), &self.session_key(caller));
        let begun = self.now();
        let mut first: Option<Seen> = None;
        let mut retries = self.retries();
        while retries.next().await {
            // After a conflict, a concurrent call may have recorded the same proof.
            let recorded = match first {
                None => None,
                Some(_) => self.load(session_key).await?,
            };
            let stored = self.load(subject_key).await?;
            let now = self.now();
            self.life_of(&proof, now)?;
            let mut subject = self.subject_or_new(stored.as_ref())?;
            // Without a user's record there is no earlier state to compare with.
            if let (None, Some(_)) = (first, &stored) {
                first = Some(Seen::of(&subject, session_key));
            }
            check(first, &subject, session_key)?;
            let since = proof.verified_at.unwrap_or(begun);
            if let Some(grant) = self.recorded_alike(recorded, &subject, session_key, &proof, &purpose, since)? {
                return Ok(grant);
            }
            // The session is listed and its record reserved before the user's state is read again: a later revocation
            // is either seen below, or changes the reserved record.
            self.list(&mut subject, session_key, ListedBy::Grant, now).await?;
            let seen = Seen::of(&subject, session_key);
            let Swap::Done(_) = self.swap_subject(subject_key, stored.as_ref(), subject, now).await? else { continue };
            first = Some(seen);
            self.take_place(session_key).await?;

            // In this order: a revocation after the reserved record was read changes that record.
            let place = self.load(session_key).await?;
            let stored = self.load(subject_key).await?;
            let now = self.now();
            let subject = self.subject_of(stored.as_ref())?.ok_or(ProofError::Unavailable)?;
            check(first, subject, session_key)?;
            let Some(session) = self.session_of(place.as_ref())? else { continue };
            let (verified_at, expires_at) = self.life_of(&proof, now)?;
            let granted = Granted {
                id,
                channel: proof.channel.into(),
                scope: purpose.scope.clone(),
                operation: purpose.digest(),
                verified_at,
                expires_at,
                generation: seen.generation,
                usage: Use::Fresh,
            };
            let next = session.with_grant(granted, now);
            if let Swap::Done(written) = self.swap_session(session_key, place.as_ref(), next, now).await? {
                let grant = written.and_then(Grant::newest).ok_or(ProofError::Unavailable)?;
                let (subject, channel, scope) = (caller.subject(), grant.channel(), grant.scope());
                self.emit(&Event::Verified { subject, channel, scope });
                return Ok(grant);
            }
        }
        Err(ProofError::Unavailable)
    }

    /// The grant that a concurrent call recorded for the same proof since then. The user's record was read after the
    /// session's, and shows that the session was not revoked (T40).
    fn recorded_alike(
        &self,
        recorded: Option<Stored>,
        subject: &Subject,
        session_key: &Key,
        proof: &Proof<'_>,
        purpose: &CheckedPurpose,
        since: Timestamp,
    ) -> Result<Option<Grant>, StoreDown> {
        let Some(recorded) = recorded.filter(|_| subject.tracks(session_key)) else { return Ok(None) };
        let now = self.now();
        let is_alike = |grant: &Granted| {
            *grant.channel == *proof.channel
                && grant.scope == purpose.scope
                && grant.operation == purpose.digest()
                && grant.generation == subject.generation()
                && since <= grant.verified_at
                && grant.is_live(&self.policy, now)
        };
        let grants = self.session_of(Some(&recorded))?.map_or(&[][..], Session::grants);
        let alike = grants.iter().position(is_alike);
        Ok(alike.and_then(|index| Grant::of(recorded, index)))
    }

    /// When a proof was verified, and when its grant expires.
    fn life_of(&self, proof: &Proof<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), ProofError> {
        let verified_at = proof.verified_at.unwrap_or(now);
        let expires_at = verified_at.saturating_add(self.policy.grant_lifetime);
        if verified_at > now.saturating_add(self.policy.clock_skew) {
            return Err(ProofError::InTheFuture);
        }
        if now >= expires_at { Err(ProofError::Expired) } else { Ok((verified_at, expires_at)) }
    }
}

/// Refuses where the user is locked, or a revocation has happened since `seen`.
fn check(seen: Option<Seen>, subject: &Subject, session: &Key) -> Result<(), ProofError> {
    if subject.is_locked() {
        return Err(ProofError::Locked);
    }
    let revoked = seen.is_some_and(|seen| !seen.still_holds(subject, session));
    if revoked { Err(ProofError::Revoked) } else { Ok(()) }
}
