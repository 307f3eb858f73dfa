//! The record of one user, over all their sessions. Pure: no clock, no lock, no I/O.
//!
//! It holds the counts that limit a user: failures, compared codes, messages sent and pushes declined. No new code,
//! session or channel and no success elsewhere resets them. Lockouts are derived from them; only the application's own
//! lock is stored.

mod challenges;
mod denials;
mod failures;
mod recipients;
mod sessions;
#[cfg(test)]
mod tests;
mod unsent;

pub(crate) use self::{
    challenges::Registration,
    failures::Attempt,
    sessions::{Listed, ListedBy, Seen},
};

use serde::{Deserialize, Serialize};

use self::{
    challenges::ListedChallenge, denials::Denials, failures::Failures, recipients::KnownRecipient,
    sessions::LiveSession,
};
use crate::rules::{
    DAY, FAILURES_KEPT, KNOWN_RECIPIENTS, LOCK_KEPT, RECORD_LIST_LIMIT, SESSIONS_PER_SUBJECT, Sends, TEN_MINUTES,
    Timestamp,
};

/// The record of one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// A number that changes when everything of this user is revoked.
    generation: u64,
    /// When the application locked the user.
    locked: Option<Timestamp>,
    /// Consecutive failures, for each channel that has any.
    failures: Vec<Failures>,
    /// Wrong codes of the last 24 hours, over all channels.
    wrong: Vec<Attempt>,
    /// When the application last unlocked the user, if within 24 hours: wrong codes before that no longer count.
    forgiven: Option<Timestamp>,
    /// Messages of the last 24 hours.
    sends: Sends,
    /// Starts of the last ten minutes whose sender reported that nothing was sent.
    unsent: Vec<Attempt>,
    /// Recipients with which a challenge was verified, the newest last.
    known: Vec<KnownRecipient>,
    /// Pushes declined since the last approved one.
    denials: Option<Denials>,
    /// Challenges that may be pending; answered pushes stay until their deadline.
    challenges: Vec<ListedChallenge>,
    /// Sessions that may hold a grant.
    sessions: Vec<LiveSession>,
}

impl Subject {
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            generation,
            locked: None,
            failures: Vec::new(),
            wrong: Vec::new(),
            forgiven: None,
            sends: Sends::default(),
            unsent: Vec::new(),
            known: Vec::new(),
            denials: None,
            challenges: Vec::new(),
            sessions: Vec::new(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Until when the record must be kept.
    pub(crate) fn keep_until(&self) -> Timestamp {
        let failures = self.failures.iter().filter_map(Failures::last).map(|at| at.saturating_add(FAILURES_KEPT));
        let wrong = self.wrong.iter().map(|attempt| attempt.at.saturating_add(DAY));
        let forgiven = self.forgiven.map(|at| at.saturating_add(DAY));
        let locked = self.locked.map(|at| at.saturating_add(LOCK_KEPT));
        let denials = self.denials.map(|denials| denials.last.saturating_add(DAY));
        let challenges = self.challenges.iter().map(|challenge| challenge.deadline);
        let sessions = self.sessions.iter().map(|session| session.until);
        let unsent = self.unsent.iter().map(|unsent| unsent.at.saturating_add(TEN_MINUTES));
        let known = self.known.iter().map(KnownRecipient::until);
        let denies = failures.chain(wrong).chain(forgiven).chain(locked).chain(denials).chain(unsent);
        denies.chain(challenges).chain(sessions).chain(known).fold(self.sends.keep_until(), Timestamp::max)
    }

    /// Whether its lists are within the bounds that every write observes.
    pub(crate) fn is_within_bounds(&self) -> bool {
        let lists = [self.failures.len(), self.wrong.len(), self.challenges.len(), self.unsent.len()];
        let attempts = self.failures.iter().map(|failures| failures.attempts.len());
        self.sessions.len() <= SESSIONS_PER_SUBJECT
            && self.known.len() <= KNOWN_RECIPIENTS
            && self.sends.is_within_bounds()
            && lists.into_iter().chain(attempts).all(|length| length <= RECORD_LIST_LIMIT)
    }
}
