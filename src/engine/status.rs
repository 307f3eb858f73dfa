//! Where a session stands: [`StepUpStatus`].

use std::{collections::BTreeMap, fmt, time::Duration};

use futures_util::future::join3;

use super::{Engine, StepUp, records::Loaded};
use crate::{
    engine::{Caller, Grant, Recipient},
    rules::{ChallengeError, Pending, Session, Subject, Timestamp},
    store::Key,
};

/// The step-up state of a caller's session.
#[derive(Clone)]
#[non_exhaustive]
pub struct StepUpStatus {
    /// The grants that have not expired.
    pub grants: Vec<Grant>,
    /// The user's enrolled channels for one-time codes.
    pub otp: Vec<String>,
    /// The user's enrolled channels for pushes.
    pub push: Vec<String>,
    /// The user's enrolled channels for what the application verifies itself.
    pub proof: Vec<String>,
    /// Where each channel leads, [as the user is shown it](crate::Recipient::masked). Without an entry where the
    /// enrollment does not say.
    pub to: BTreeMap<String, String>,
    /// The code that can be verified; a lockout may delay it.
    pub pending_otp: Option<PendingOtp>,
    /// The push that can be answered.
    pub pending_push: Option<PendingPush>,
    /// The time at which this was read.
    pub now: Timestamp,
}

/// A one-time code that can be verified.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingOtp {
    /// The channel on which it was sent.
    pub channel: String,
    /// What it is for; `None` for the whole session.
    pub scope: Option<String>,
    /// The text of the operation that it approves, if it is [bound](crate::Binding) to one.
    pub operation: Option<String>,
    /// Where it was sent, as the user is shown it; `None` also where the channel now leads elsewhere, so that the code
    /// can no longer be verified.
    pub to: Option<String>,
    /// How long it can be verified.
    pub expires_in: Duration,
    /// How long no other code can be started.
    pub retry_in: Duration,
}

/// A push that can be answered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingPush {
    /// Its id, with which the client polls.
    pub id: String,
    /// The channel on which it was sent.
    pub channel: String,
    /// What it is for; `None` for the whole session.
    pub scope: Option<String>,
    /// The text of the operation that it approves, if it is [bound](crate::Binding) to one.
    pub operation: Option<String>,
    /// Where it was sent, as the user is shown it; `None` also where the channel now leads elsewhere.
    pub to: Option<String>,
    /// How long it can be answered.
    pub expires_in: Duration,
    /// The number that the user types (number matching), for the page: no poll returns it.
    #[cfg_attr(not(feature = "page"), allow(dead_code, reason = "for the page"))]
    pub(crate) number: Option<String>,
}

/// Prints neither where the channels lead nor what is approved.
impl fmt::Debug for StepUpStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUpStatus")
            .field("grants", &self.grants)
            .field("otp", &self.otp)
            .field("push", &self.push)
            .field("proof", &self.proof)
            .field("pending_otp", &self.pending_otp)
            .field("pending_push", &self.pending_push)
            .finish_non_exhaustive()
    }
}

/// Does not print the operation, whose text contains data such as payer and payee.
impl fmt::Debug for PendingOtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingOtp")
            .field("channel", &self.channel)
            .field("scope", &self.scope)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Prints neither the id nor the operation.
impl fmt::Debug for PendingPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingPush")
            .field("channel", &self.channel)
            .field("scope", &self.scope)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl StepUpStatus {
    /// Whether a grant opens more than one operation: the `status` of the challenge endpoints.
    #[must_use]
    pub fn is_stepped_up(&self) -> bool {
        self.grants.iter().any(|grant| !grant.is_bound())
    }
}

impl StepUp {
    /// Asks the store for a record that is not there: whether requests can be served now, for a health check.
    ///
    /// # Example
    ///
    /// ```
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # let step_up = tower_step_up::StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let status = if step_up.ping().await.is_ok() { 200 } else { 503 };
    /// # assert_eq!(status, 200);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store is down or too slow.
    pub async fn ping(&self) -> Result<(), ChallengeError> {
        self.0.load(&self.0.subject_key("")).await?;
        Ok(())
    }

    /// The step-up state of a caller: their grants, what is pending, and the channels that they have enrolled.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, StepUp};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let caller = Caller::user("alice").session("1");
    /// step_up.start_otp(&caller, "SMS", "payments").await?;
    ///
    /// let status = step_up.status(&caller).await?;
    /// assert!(!status.is_stepped_up());
    /// assert_eq!(status.pending_otp.unwrap().scope.as_deref(), Some("payments"));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ChallengeError::Unavailable`] where the store or the enrollment is down.
    pub async fn status(&self, caller: &Caller) -> Result<StepUpStatus, ChallengeError> {
        let engine = &self.0;
        let channels = &engine.channels;
        let otp = engine.enrolled(caller, channels.otp_names());
        let push = engine.enrolled(caller, channels.push_names());
        let proof = engine.enrolled(caller, channels.proof_names());
        let (otp, push, proof) = join3(otp, push, proof).await;
        let (otp, push, proof) = (otp?, push?, proof?);
        let enrolled = || otp.iter().chain(&push).chain(&proof);
        let masked = |(channel, recipient): &(String, Recipient)| Some((channel.clone(), recipient.masked()?));
        let to = enrolled().filter_map(masked).collect();

        // Loaded last, so that it is as recent as possible.
        let session_key = &engine.session_key(caller);
        let Loaded { subject, session } = engine.load_both(&engine.subject_key(caller.subject()), session_key).await?;
        let now = engine.now();
        let user = engine.subject_of(subject.as_ref())?;
        let generation = user.map(Subject::generation).unwrap_or_default();
        let empty = Session::default();
        let current = engine.session_of(session.as_ref())?.unwrap_or(&empty);
        let live = current.grants().iter().enumerate().filter(|(_, grant)| grant.is_live(&engine.policy, now));
        let grants = live.filter_map(|(index, _)| Grant::of(session.clone()?, index)).collect();
        // A user who is locked or disabled can verify nothing until the application unlocks them.
        let locked = |pending: &Pending| {
            let check = |user: &Subject| user.check_disabled(&pending.channel, &engine.policy, now).is_err();
            user.is_some_and(check)
        };
        let shown = |pending: Pending| (!locked(&pending)).then(|| engine.shown(pending, session_key, enrolled()));
        let pending_otp = current.pending_otp(generation, &engine.policy, now).and_then(shown).map(|(otp, _)| otp);
        let pending_push =
            current.pending_push(generation, &engine.policy, now).and_then(shown).and_then(|(push, id)| {
                let PendingOtp { channel, scope, operation, to, expires_in, .. } = push;
                let id = id?;
                let (id, number) =
                    id.split_once(' ').map_or((&*id, None), |(id, number)| (id, Some(number.to_owned())));
                Some(PendingPush { id: id.to_owned(), number, channel, scope, operation, to, expires_in })
            });
        let names = |enrolled: Vec<(String, Recipient)>| enrolled.into_iter().map(|(channel, _)| channel).collect();
        let (otp, push, proof) = (names(otp), names(push), names(proof));
        Ok(StepUpStatus { grants, otp, push, proof, to, pending_otp, pending_push, now })
    }
}

impl Engine {
    /// What the owner of a session is shown of a pending challenge, and the id of a push with its number.
    fn shown<'a>(
        &self,
        pending: Pending,
        session_key: &Key,
        mut enrolled: impl Iterator<Item = &'a (String, Recipient)>,
    ) -> (PendingOtp, Option<String>) {
        let Pending { channel, scope, operation, recipient, id, expires_in, retry_in } = pending;
        let is_it = |(name, to): &&(String, Recipient)| **name == *channel && self.recipient_key(to) == recipient;
        // Of a recipient that only the sender knows, nobody can say whether it is still the same.
        let to = enrolled.find(is_it).filter(|_| recipient.is_some()).and_then(|(_, to)| to.masked());
        let operation = operation.and_then(|operation| self.record_key.open(session_key, &operation.text));
        let id = id.and_then(|id| self.record_key.open(session_key, &id));
        let scope = scope.map(Into::into);
        (PendingOtp { channel: channel.into(), scope, operation, to, expires_in, retry_in }, id)
    }
}
