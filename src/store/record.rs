//! Records in a store and their encoding as bytes: [`Stored`], its [`Revision`], and the [`Record`] in it.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::rules::{Sends, Session, Subject, decode, encode, millis};

/// The version of the encoding, which changes with every type in a record. Any other version is refused.
pub(super) const VERSION: u8 = 3;

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
        Self(Arc::new(Inner { revision: revision.to_bytes(), ttl_millis: millis(ttl), record }))
    }

    /// The revision of this state.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(u128::from_be_bytes(self.0.revision))
    }

    /// How long the record must be kept after it is written. Deleting it earlier could lose a lock.
    ///
    /// Zero on a record decoded from bytes: each write sets its own.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(self.0.ttl_millis)
    }

    pub(crate) fn record(&self) -> &Record {
        &self.0.record
    }

    /// Whether both are the same allocation, not only equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The record as bytes: 16 bytes of revision, one byte of version, and the record in a compact binary format
    /// ([postcard](https://postcard.jamesmunns.com)), in which a session or a user takes some 100 to 400 bytes.
    ///
    /// The format changes with the crate: a version that does not know it refuses the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self.0.revision.to_vec(), VERSION, &self.0.record)
    }

    /// The record as JSON, for tests and for people who look into a store. The names in it may change at any time.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn to_json(&self) -> String {
        // Cannot fail: records hold only strings, numbers and lists.
        serde_json::to_string(&self.0.record).unwrap_or_default()
    }

    /// Decodes a record from bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the bytes are not exactly one record, have an unknown version, or exceed a bound that every
    /// write observes, such as 16 grants in a session. The request is then refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let revision = Revision::of(bytes)?;
        let record = bytes.get(16..).and_then(|bytes| decode(bytes, VERSION)).filter(Record::is_within_bounds);
        record.map(|record| Self::new(revision, Duration::ZERO, record)).ok_or_else(StoreError::unreadable)
    }
}

/// Prints nothing of the record.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

/// There are two for each user, so every byte counts.
struct Inner {
    /// As bytes, which need no alignment to 16.
    revision: [u8; 16],
    ttl_millis: u64,
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
        ChallengeId, CodeDigest, GRANTS_PER_SESSION, Granted, Key, Keyring, ListedBy, MessageKind as Message,
        NewChallenge, OneTimeCode, Policy, RECORD_LIST_LIMIT, Registration, SESSIONS_PER_SUBJECT, Secret, Timestamp,
        Use,
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
            (1, "/Subject/rare/wrong", RECORD_LIST_LIMIT),
            (1, "/Subject/rare/failures", RECORD_LIST_LIMIT),
            (1, "/Subject/rare/failures/0/attempts", RECORD_LIST_LIMIT),
            (1, "/Subject/rare/challenges", RECORD_LIST_LIMIT),
            (2, "/Recipient", RECORD_LIST_LIMIT),
        ] {
            let decode = |length: usize| {
                let mut record = records[record].clone();
                let entries = record.pointer_mut(list).unwrap();
                *entries = Value::from(vec![entries[0].clone(); length]);
                let record = serde_json::from_value(record).unwrap();
                Stored::decode(&Stored::new(Revision::new(0), Duration::ZERO, record).encode())
            };
            assert!(decode(most).is_ok(), "{list}");
            assert!(decode(most + 1).is_err_and(|error| error.is_unreadable()), "{list}");
        }
    }
    /// The encoded front of a record, up to and including its version and its kind.
    fn front(kind: u8) -> Vec<u8> {
        [&[0; 16][..], &[VERSION, kind]].concat()
    }

    /// Neither decoding nor dropping recurses, however many codes somebody else writes into a slot.
    #[test]
    fn codes_that_replaced_each_other_without_end_are_unreadable() {
        let encoded = |codes: u8| {
            let mut session = Session::default();
            for n in 0..codes {
                let now = Timestamp::from_millis(u64::from(n) * 60_000);
                session = session.start_otp(new_code(n), &Policy::new(), now).unwrap();
            }
            Stored::new(Revision::new(0), Duration::ZERO, Record::Session(session)).encode()
        };
        let [none, one, two] = [0, 1, 2].map(encoded);
        // The second code of the longer list is the only one of the shorter.
        let code = &one[19..one.len() - (none.len() - 19)];
        assert_eq!([none[18], one[18], two[18]], [0, 1, 2]);
        assert!(two[19..].ends_with(&one[19..]));
        let listed = |count: &[u8], codes: usize| {
            let bytes = [&front(0), count, &code.repeat(codes), &none[19..]].concat();
            Stored::decode(&bytes)
        };
        assert!(listed(&[3], 3).is_ok());
        assert!(listed(&[4], 4).is_err_and(|error| error.is_unreadable()));
        // 10,000 as a varint: in a list; and each as if it owned the next.
        let deep = || {
            assert!(listed(&[0x90, 0x4e], 10_000).is_err_and(|error| error.is_unreadable()));
            let nested = [&front(0)[..], &[1], &[code, &[1]].concat().repeat(10_000)].concat();
            assert!(Stored::decode(&nested).is_err_and(|error| error.is_unreadable()));
        };
        std::thread::scope(|scope| {
            let small = std::thread::Builder::new().stack_size(64 * 1024);
            small.spawn_scoped(scope, deep).unwrap().join().unwrap();
        });
    }

    fn new_code(id: u8) -> NewChallenge<CodeDigest> {
        let ring = Keyring::new(&Secret::new([7; 32]).unwrap(), None);
        let code = OneTimeCode::sandbox(6);
        let sevens = |buffer: &mut [u8]| {
            buffer.fill(7);
            Ok(())
        };
        NewChallenge {
            id: ChallengeId(id.into()),
            channel: "SMS".into(),
            scope: None,
            operation: None,
            recipient: None,
            generation: 1,
            proof: ring.digest(&Key::subject("alice"), "SMS", &code, sevens).unwrap(),
        }
    }

    #[test]
    fn what_is_not_exactly_one_record_of_this_version_is_unreadable() {
        for record in records() {
            let bytes = Stored::new(Revision::new(1), Duration::ZERO, record.clone()).encode();
            assert_eq!(Stored::decode(&bytes).unwrap().record(), &record);
            let refused = |bytes: &[u8]| Stored::decode(bytes).is_err_and(|error| error.is_unreadable());
            assert!((0..bytes.len()).all(|cut| refused(&bytes[..cut])));
            assert!((0..=u8::MAX).all(|byte| refused(&[&bytes[..], &[byte]].concat())));
            let of_version = |version| [&bytes[..16], &[version], &bytes[17..]].concat();
            assert!((0..=u8::MAX).all(|version| refused(&of_version(version)) == (version != VERSION)));
            let json = serde_json::to_vec(&record).unwrap();
            assert!(refused(&[&bytes[..16], &[1], &json].concat()), "what earlier versions wrote");
        }
    }

    /// Whatever byte is changed, decoding ends, and what it accepts is within bounds and survives its encoding.
    #[test]
    fn no_changed_byte_panics() {
        for record in records() {
            let bytes = Stored::new(Revision::new(1), Duration::ZERO, record).encode();
            for at in 0..bytes.len() {
                for byte in 0..=u8::MAX {
                    let mut changed = bytes.clone();
                    changed[at] = byte;
                    if let Ok(stored) = Stored::decode(&changed) {
                        assert_eq!(Stored::decode(&stored.encode()).unwrap().record(), stored.record());
                    }
                }
            }
        }
    }
}
