//! Records in a store and their encoding as bytes: [`Stored`], its [`Revision`], and the [`Record`] in it.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::rules::{Sends, Session, Subject};

/// The version of the encoding. Any other version is refused.
pub(super) const VERSION: u8 = 1;

/// Identifies one state of one record. Never used twice, so a record that was deleted and created again is never
/// mistaken for the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(u128);

impl Revision {
    pub(crate) fn new(number: u128) -> Self {
        Self(number)
    }

    /// The revision of an [encoded](Stored::encode) record: its first 16 bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there are fewer bytes.
    pub fn of(encoded: &[u8]) -> Result<Self, StoreError> {
        let (revision, _) = encoded.split_first_chunk::<16>().ok_or_else(StoreError::unreadable)?;
        Ok(Self(u128::from_be_bytes(*revision)))
    }

    /// The first 16 bytes of an encoded record.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// A record as a store keeps it. A clone is one atomic increment.
#[derive(Clone)]
pub struct Stored(Arc<Inner>);

impl Stored {
    pub(crate) fn new(revision: Revision, ttl: Duration, record: Record) -> Self {
        Self(Arc::new(Inner { revision, ttl, record }))
    }

    /// The revision of this state.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// How long the record must be kept after it is written. Deleting it earlier could lose a lock.
    ///
    /// Zero on a record decoded from bytes: each write sets its own.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.0.ttl
    }

    pub(crate) fn record(&self) -> &Record {
        &self.0.record
    }

    /// Whether both are the same allocation, not only equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The record as bytes: 16 bytes of revision, one byte of version, and JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.0.revision.to_bytes().to_vec();
        bytes.push(VERSION);
        // Cannot fail: records hold only strings, numbers and lists, and writing to a Vec does not fail.
        serde_json::to_writer(&mut bytes, &self.0.record).unwrap_or_default();
        bytes
    }

    /// Decodes a record from bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the bytes are not a record, have an unknown version, or exceed a bound that every write
    /// observes, such as 16 grants in a session. The request is then refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let revision = Revision::of(bytes)?;
        match bytes.get(16..) {
            Some([VERSION, json @ ..]) => {
                let record: Record = serde_json::from_slice(json).map_err(|_| StoreError::unreadable())?;
                if record.is_within_bounds() {
                    Ok(Self::new(revision, Duration::ZERO, record))
                } else {
                    Err(StoreError::unreadable())
                }
            }
            _ => Err(StoreError::unreadable()),
        }
    }
}

/// Prints nothing of the record.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("revision", &self.0.revision).finish_non_exhaustive()
    }
}

struct Inner {
    revision: Revision,
    ttl: Duration,
    record: Record,
}

/// The content of a record, by its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    Session(Session),
    Subject(Subject),
    /// The messages sent to a recipient.
    Recipient(Sends),
}

impl Record {
    /// Whether it is within the bounds on which the rules rely.
    fn is_within_bounds(&self) -> bool {
        match self {
            Self::Session(session) => session.is_within_bounds(),
            Self::Subject(subject) => subject.is_within_bounds(),
            Self::Recipient(sends) => sends.is_within_bounds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rules::{
        ChallengeId, GRANTS_PER_SESSION, Granted, Key, ListedBy, MessageKind as Message, Policy, RECORD_LIST_LIMIT,
        Registration, SESSIONS_PER_SUBJECT, Timestamp, Use,
    };

    /// Records with an entry in every list.
    fn records() -> [Record; 3] {
        let (key, now) = (Key::subject("alice"), Timestamp::from_millis(1_000_000));
        let grant = Granted {
            id: 1,
            channel: "SMS".into(),
            scope: None,
            operation: None,
            verified_at: now,
            expires_at: now,
            generation: 1,
            usage: Use::Fresh,
        };
        let mut subject = Subject::new(1);
        subject.record_failure("SMS", 1, now);
        subject.track_session(&key, ListedBy::Grant, now, now);
        let opening = Registration {
            challenge_id: ChallengeId(1),
            session: &key,
            deadline: now,
            push: None,
            recipient: None,
            replaces: None,
        };
        subject.register(&opening, &Policy::new(), now).unwrap();
        let mut sends = Sends::default();
        sends.add(ChallengeId(1), Message::Code, now);
        [Record::Session(Session::with_grants(vec![grant])), Record::Subject(subject), Record::Recipient(sends)]
    }

    /// E1: a list longer than any that is ever written makes a record from outside unreadable.
    #[test]
    fn a_record_that_exceeds_a_bound_is_unreadable() {
        let records = records().map(|record| serde_json::to_value(record).unwrap());
        for (record, list, most) in [
            (0, "/Session/grants", GRANTS_PER_SESSION),
            (1, "/Subject/sessions", SESSIONS_PER_SUBJECT),
            (1, "/Subject/sends", RECORD_LIST_LIMIT),
            (1, "/Subject/wrong", RECORD_LIST_LIMIT),
            (1, "/Subject/failures", RECORD_LIST_LIMIT),
            (1, "/Subject/failures/0/attempts", RECORD_LIST_LIMIT),
            (1, "/Subject/challenges", RECORD_LIST_LIMIT),
            (2, "/Recipient", RECORD_LIST_LIMIT),
        ] {
            let decode = |length: usize| {
                let mut record = records[record].clone();
                let entries = record.pointer_mut(list).unwrap();
                *entries = Value::from(vec![entries[0].clone(); length]);
                Stored::decode(&[&[0; 16][..], &[VERSION], record.to_string().as_bytes()].concat())
            };
            assert!(decode(most).is_ok(), "{list}");
            assert!(decode(most + 1).is_err_and(|error| error.is_unreadable()), "{list}");
        }
    }
}
