//! The sessions of a user that may hold a grant, and their revocation.

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::rules::{ChallengeId, Key, SESSIONS_PER_SUBJECT, Timestamp};

/// The operation that lists a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListedBy {
    /// A start, which removes the entry again if it fails.
    Start(ChallengeId),
    /// An operation that may write a grant.
    Grant,
}

/// The result of listing a session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listed {
    /// There was room, or the session was listed before.
    Done,
    /// The list was full: the grants of this session must be removed before the record is written.
    Displaced(Key),
}

/// What an operation saw of its user and session before it writes a grant. A later revocation changes these values, and
/// the grant is not written (T32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) generation: u64,
    /// As returned by [`Subject::revocation`].
    revocation: Option<u64>,
}

impl Seen {
    pub(crate) fn of(subject: &Subject, session: &Key) -> Self {
        Self { generation: subject.generation(), revocation: subject.revocation(session) }
    }

    /// Whether nothing has been revoked since. A session that was not listed then may be listed now.
    pub(crate) fn still_holds(self, subject: &Subject, session: &Key) -> bool {
        let now = Self::of(subject, session);
        self.generation == now.generation && (self.revocation.is_none() || self.revocation == now.revocation)
    }
}

/// Sessions.
impl Subject {
    /// Lists a session before its record is written, so that revoking all sessions of the user finds it.
    pub(crate) fn track_session(&mut self, session: &Key, by: ListedBy, until: Timestamp, now: Timestamp) -> Listed {
        let by = by.start();
        self.sessions.retain(|live| now < live.until);
        if let Some(live) = self.sessions.iter_mut().find(|live| live.key == *session) {
            live.until = live.until.max(until);
            live.by = live.by.filter(|_| live.by == by);
            live.idle = false;
            return Listed::Done;
        }
        let mut displaced = Listed::Done;
        if self.sessions.len() >= SESSIONS_PER_SUBJECT
            && let Some(oldest) =
                (0..self.sessions.len()).min_by_key(|&i| (!self.sessions[i].idle, self.sessions[i].until))
        {
            let oldest = self.sessions.remove(oldest).key;
            self.close_session(&oldest);
            displaced = Listed::Displaced(oldest);
        }
        self.sessions.push(LiveSession { key: *session, until, by, revocation: 0, idle: false });
        displaced
    }

    /// Removes the session that a start listed, if the start failed before the session's record was written.
    pub(crate) fn untrack_session(&mut self, challenge_id: ChallengeId) {
        self.sessions.retain(|live| live.by != Some(challenge_id));
    }

    /// Whether a session is listed: only then does revoking all sessions find a grant in it (T32).
    pub(crate) fn tracks(&self, session: &Key) -> bool {
        self.listed(session).is_some()
    }

    /// The last revocation of a listed session, or zero; `None` if it is not listed.
    pub(crate) fn revocation(&self, session: &Key) -> Option<u64> {
        self.listed(session).map(|live| live.revocation)
    }

    /// Records that a session is revoked, before its own record is changed. It stays listed, because it may hold a
    /// grant until that change is written, or longer if the write fails.
    pub(crate) fn revoke(&mut self, session: &Key, revocation: u64) {
        if let Some(live) = self.sessions.iter_mut().find(|live| live.key == *session) {
            live.revocation = revocation;
            live.idle = true;
        }
    }

    /// Starts a new generation: no challenge of an earlier one can be verified. Pushes stay in the list, closed,
    /// because declining one still counts.
    pub(crate) fn revoke_all(&mut self, generation: u64) {
        self.generation = generation;
        self.close_where(|_| true);
    }

    /// The sessions that may hold a grant or a challenge.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = Key> {
        self.sessions.iter().map(|session| session.key)
    }

    fn listed(&self, session: &Key) -> Option<&LiveSession> {
        self.sessions.iter().find(|live| live.key == *session)
    }
}

impl ListedBy {
    const fn start(self) -> Option<ChallengeId> {
        match self {
            Self::Start(id) => Some(id),
            Self::Grant => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LiveSession {
    key: Key,
    pub(super) until: Timestamp,
    /// The start that listed it, until another operation relies on the entry.
    by: Option<ChallengeId>,
    /// The last revocation of this session, or zero. Operations that began before it must not grant anything after it.
    revocation: u64,
    /// Revoked and not listed again since: removed first if the list is full.
    idle: bool,
}
