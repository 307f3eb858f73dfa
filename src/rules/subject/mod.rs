//! The record of one user, over all their sessions. Pure: no clock, no lock, no I/O.
//!
//! It holds the counts that limit a user: failures, compared codes, messages sent and pushes declined. No new code,
//! session or channel and no success elsewhere resets them. Lockouts are derived from them; only the application's own
//! lock is stored.

mod challenges;
mod denials;
mod failures;
mod rare;
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

use self::{failures::Failures, rare::Rare, recipients::KnownRecipient, sessions::LiveSession};
use crate::rules::{
    DAY, FAILURES_KEPT, KNOWN_RECIPIENTS, LOCK_KEPT, List, RECORD_LIST_LIMIT, SESSIONS_PER_SUBJECT, Sends, TEN_MINUTES,
    Timestamp,
};

/// The record of one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// A number that changes when everything of this user is revoked.
    generation: u64,
    /// Messages of the last 24 hours.
    sends: Sends,
    /// Recipients with which a challenge was verified, the newest last.
    known: List<KnownRecipient>,
    /// Sessions that may hold a grant.
    sessions: List<LiveSession>,
    /// Never one that is empty.
    rare: Option<Box<Rare>>,
}

impl Subject {
    pub(crate) fn new(generation: u64) -> Self {
        Self { generation, sends: Sends::default(), known: List::default(), sessions: List::default(), rare: None }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Until when the record must be kept.
    pub(crate) fn keep_until(&self) -> Timestamp {
        let rare = self.rare();
        let failures = rare.failures.iter().filter_map(Failures::last).map(|at| at.saturating_add(FAILURES_KEPT));
        let wrong = rare.wrong.iter().map(|attempt| attempt.at.saturating_add(DAY));
        let forgiven = rare.forgiven.map(|at| at.saturating_add(DAY));
        let locked = rare.locked.map(|at| at.saturating_add(LOCK_KEPT));
        let denials = rare.denials.map(|denials| denials.last.saturating_add(DAY));
        let challenges = rare.challenges.iter().map(|challenge| challenge.deadline);
        let sessions = self.sessions.iter().map(|session| session.until);
        let unsent = rare.unsent.iter().map(|unsent| unsent.at.saturating_add(TEN_MINUTES));
        let known = self.known.iter().map(KnownRecipient::until);
        let denies = failures.chain(wrong).chain(forgiven).chain(locked).chain(denials).chain(unsent);
        denies.chain(challenges).chain(sessions).chain(known).fold(self.sends.keep_until(), Timestamp::max)
    }

    /// Whether its lists are within the bounds that every write observes.
    pub(crate) fn is_within_bounds(&self) -> bool {
        let rare = self.rare();
        let lists = [rare.failures.len(), rare.wrong.len(), rare.challenges.len(), rare.unsent.len()];
        let attempts = rare.failures.iter().map(|failures| failures.attempts.len());
        self.sessions.len() <= SESSIONS_PER_SUBJECT
            && self.known.len() <= KNOWN_RECIPIENTS
            && self.sends.is_within_bounds()
            && lists.into_iter().chain(attempts).all(|length| length <= RECORD_LIST_LIMIT)
    }
}
