//! The sessions of a user that may hold a grant, and what revokes them.

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::rules::{Key, SESSIONS_PER_SUBJECT, Timestamp};

/// Which operation lists a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListedBy {
    /// A start, which takes the entry back where it comes to nothing.
    Start(u64),
    /// An operation that may write a grant.
    Grant,
}

/// What listing a session came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listed {
    /// There is room, or it was listed before.
    Done,
    /// The list was full: the grants of this session must go before the record is written.
    Displaced(Key),
}

/// What an operation that is about to write a grant has found of its user and session, once that is listed: a
/// revocation since then has changed it (T32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) generation: u64,
    /// As of [`Subject::revocation`].
    revocation: Option<u64>,
}

impl Seen {
    pub(crate) fn of(subject: &Subject, session: &Key) -> Self {
        Self { generation: subject.generation(), revocation: subject.revocation(session) }
    }

    /// Whether nothing was revoked since. A session that was not listed yet may be by now.
    pub(crate) fn still_holds(self, subject: &Subject, session: &Key) -> bool {
        let now = Self::of(subject, session);
        self.generation == now.generation && (self.revocation.is_none() || self.revocation == now.revocation)
    }
}

/// Sessions.
impl Subject {
    /// Lists a session before its record is written, so that everything of a user can be revoked.
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
        self.sessions.reserve_exact(1);
        self.sessions.push(LiveSession { key: *session, until, by, revocation: 0, idle: false });
        displaced
    }

    /// A start came to nothing before its session's record was written.
    pub(crate) fn untrack_session(&mut self, challenge_id: u64) {
        self.sessions.retain(|live| live.by != Some(challenge_id));
        self.sessions.shrink_to_fit();
    }

    /// Whether a session is listed: only then does a revocation of everything find a grant in it (T32).
    pub(crate) fn tracks(&self, session: &Key) -> bool {
        self.listed(session).is_some()
    }

    /// The last revocation of a session that is listed, or zero; `None` where it is not listed.
    pub(crate) fn revocation(&self, session: &Key) -> Option<u64> {
        self.listed(session).map(|live| live.revocation)
    }

    /// Notes that a session is revoked, before its own record is changed. It stays listed: until that is done, and
    /// where it fails, it may hold a grant.
    pub(crate) fn revoke(&mut self, session: &Key, revocation: u64) {
        if let Some(live) = self.sessions.iter_mut().find(|live| live.key == *session) {
            live.revocation = revocation;
            live.idle = true;
        }
    }

    /// Begins a new generation, in which nothing that was started before verifies. Pushes stay in the list, closed: the
    /// phone's "No" to one of them counts all the same.
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
    const fn start(self) -> Option<u64> {
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
    /// The start that has listed it, as long as no other operation relies on that.
    by: Option<u64>,
    /// The last revocation of this session, or zero: what was under way before it grants nothing after it.
    revocation: u64,
    /// Revoked, and not listed again since: the first to make room.
    idle: bool,
}
