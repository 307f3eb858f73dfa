//! The record of one session and its state transitions. Pure: no clock, no lock, no I/O.
//!
//! A session has at most one pending one-time code and one pending push. Each stays in its slot after it has ended, so
//! that "expired" and "already verified" can be distinguished from "never started", and so that a new code inherits the
//! attempts of the one that it replaces. A replaced code is restored if the message of the new one was not sent.

mod chain;
mod challenge;
mod grants;
mod marks;
mod otp;
mod pending;
mod push;
#[cfg(test)]
mod tests;

pub use self::push::PushStatus;
pub(crate) use self::{
    challenge::NewChallenge,
    grants::{Granted, Use},
    otp::{CameBack, Compared},
    pending::Pending,
    push::{PushProof, Reply, ReplyOutcome, ReplyRejected},
};

use serde::{Deserialize, Serialize};

use self::{challenge::SessionChallenge, marks::Mark};
use crate::rules::{
    ChallengeError, CodeDigest, GRANTS_PER_SESSION, List, MARKS_PER_SESSION, Policy, RECORD_LIST_LIMIT, REMEMBRANCE,
    STARTS_KEPT, Timestamp,
};

/// The record of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    #[serde(with = "chain")]
    otp: Option<Box<SessionChallenge<CodeDigest>>>,
    push: Option<Box<SessionChallenge<PushProof>>>,
    /// The newest last.
    grants: List<Granted>,
    /// Of consumed grants that are gone.
    marks: List<Mark>,
    /// Challenges started, counted only where the policy limits them.
    starts: u32,
}

/// Most codes in one slot: the current one, and replaced ones that may be restored.
const CODES_KEPT: usize = 3;

impl Session {
    /// Drops pending challenges; attempts and start times stay. One that has expired on every node's clock, within the
    /// clock skew, is still reported as expired.
    pub(crate) fn without_pending(&self, policy: &Policy, now: Timestamp) -> Self {
        let mut next = self.clone();
        if let Some(otp) = next.otp.as_deref_mut().filter(|otp| otp.may_live(policy, now)) {
            otp.drop_pending();
        }
        if let Some(push) = next.push.as_deref_mut().filter(|push| push.may_live(policy, now)) {
            push.drop_pending();
        }
        next
    }

    /// The record of a session that continues under another id, with the grants of this generation and the marks of
    /// consumed ones. Challenges that the new session already has are kept.
    pub(crate) fn merged_from(&self, old: &Self, generation: u64) -> Self {
        let mut next = self.clone();
        next.otp = next.otp.or_else(|| old.otp.clone());
        next.push = next.push.or_else(|| old.push.clone());
        next.starts = next.starts.saturating_add(old.starts);
        let mut carried = old.clone();
        carried.remove_grants(|grant| grant.generation != generation);
        carried.grants.iter().for_each(|grant| next.add_grant(grant.clone()));
        carried.marks.iter().for_each(|mark| next.add_mark(mark.clone()));
        next
    }

    /// Removes grants and drops pending challenges; attempts, start times, counts and the marks of consumed grants stay
    /// (T4, T15).
    pub(crate) fn without_elevation(&self, policy: &Policy, now: Timestamp) -> Self {
        let mut session = self.without_pending(policy, now);
        session.remove_grants(|_| true);
        session
    }

    /// The record without pending challenges, with only the grants in `kept`, moved to the next generation.
    pub(crate) fn in_generation(&self, kept: &[u64], next: u64, policy: &Policy, now: Timestamp) -> Self {
        let mut session = self.without_pending(policy, now);
        session.remove_grants(|grant| !kept.contains(&grant.id));
        session.grants.iter_mut().for_each(|grant| grant.generation = next);
        session
    }

    /// Until when the record must be kept: the last deadline, plus the time for which it is remembered.
    pub(crate) fn keep_until(&self, policy: &Policy) -> Timestamp {
        let challenges = [
            self.otp.as_deref().map(|otp| (otp.started, otp.deadline)),
            self.push.as_deref().map(|push| (push.started, push.deadline)),
        ];
        let mut until = Timestamp::from_millis(0);
        for (started, deadline) in challenges.into_iter().flatten() {
            until = until.max(deadline.saturating_add(REMEMBRANCE)).max(started.saturating_add(policy.resend_interval));
            if policy.starts_per_session.is_some() {
                until = until.max(started.saturating_add(STARTS_KEPT));
            }
        }
        let grants = self.grants.iter().map(|grant| grant.expires_at.saturating_add(REMEMBRANCE));
        grants.chain(self.marks.iter().map(|mark| mark.until)).fold(until, Timestamp::max)
    }

    /// Whether its lists are within the bounds that every write observes. [`decide`](crate::rules::decide) relies on
    /// it.
    pub(crate) fn is_within_bounds(&self) -> bool {
        let codes = std::iter::successors(self.otp.as_deref(), |otp| otp.earlier.as_deref());
        let pushes = self.push.as_deref().into_iter();
        let mut wrong = codes.clone().map(|otp| otp.wrong.len()).chain(pushes.map(|push| push.wrong.len()));
        self.grants.len() <= GRANTS_PER_SESSION
            && self.marks.len() <= MARKS_PER_SESSION
            && codes.count() <= CODES_KEPT
            && wrong.all(|wrong| wrong <= RECORD_LIST_LIMIT)
    }

    fn may_start_more(&self, policy: &Policy) -> Result<(), ChallengeError> {
        match policy.starts_per_session {
            Some(limit) if self.starts >= limit => Err(ChallengeError::ChallengeLimitExceeded),
            _ => Ok(()),
        }
    }

    /// The record with one more start counted, if the policy limits starts.
    fn started(&self, policy: &Policy, now: Timestamp) -> Self {
        let counted = u32::from(policy.starts_per_session.is_some());
        Self { starts: self.starts.saturating_add(counted), ..self.pruned(now) }
    }
}

#[cfg(test)]
impl Session {
    pub(crate) fn with_grants(grants: Vec<Granted>) -> Self {
        Self { grants: grants.into(), ..Self::default() }
    }
}
