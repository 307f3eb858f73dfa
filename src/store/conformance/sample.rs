//! Records with something in every part.

use std::time::Duration;

use super::super::{Key, Record};
use crate::{
    clock::Timestamp,
    code::{Keyring, OneTimeCode, PushDigest, Secret},
    policy::Policy,
    session::{Session, Start},
    subject::Subject,
};

pub(super) fn records() -> [(&'static str, Record); 3] {
    [
        ("session", Record::Session(session())),
        ("empty session", Record::Session(Session::default())),
        ("subject", Record::Subject(subject())),
    ]
}

/// A pending code, a verified push, and its grant.
fn session() -> Session {
    let (policy, now) = (Policy::default(), Timestamp::from_millis(1_790_000_000_123));
    let (key, scope) = (Key::session("ünïcode \"quoted\" \u{0}", b"\xff\x00"), Some("transfer".into()));
    let secret = Secret::new([7; 32]).expect("32 bytes are enough");
    let keyring = Keyring::new(&secret, None).expect("a secret makes a keyring");
    let seven = |buffer: &mut [u8]| {
        buffer.fill(7);
        Ok(())
    };
    let proof = keyring.digest(&key, "SMS", &OneTimeCode::sandbox(6), seven).expect("sevens are random enough");
    let push = PushDigest::new(&key, "id");
    Session::default()
        .start_push(
            Start { channel: "PHONE".into(), scope: scope.clone(), generation: u64::MAX, proof: push },
            &policy,
            now,
        )
        .expect("nothing is in flight")
        .answer_push(&push, u64::MAX, true, &policy, now)
        .expect("it is answered in time")
        .start_otp(Start { channel: "SMS".into(), scope, generation: 1, proof }, &policy, now)
        .expect("the first start is early enough")
}

/// Failures, pushes and sessions.
fn subject() -> Subject {
    let now = Timestamp::from_millis(u64::MAX / 2);
    let key = Key::session("alice", b"1");
    let mut subject = Subject::new(u64::MAX);
    subject.count("SMS", 1, now);
    subject.count("E-MAIL/ü", u64::MAX, now.saturating_add(Duration::from_millis(1)));
    subject.list(&key, now.saturating_add(Duration::from_secs(60)), now);
    subject.open_push(PushDigest::new(&key, "id"), &key, now.saturating_add(Duration::from_secs(60)), now);
    subject
}
