//! Shared helpers for the tests of sessions, and the tests of the record as a whole.

mod codes;
mod grants;
mod pending;
mod pushes;

use std::{cell::Cell, time::Duration};

use super::*;
use crate::rules::{
    ChallengeId, Key, Keyring, OneTimeCode, PushDigest, SealedOperation, SealedText, Secret, decode, encode,
    operation_of, system_random,
};

const MINUTE: Duration = Duration::from_secs(60);

fn grant_of(channel: &str, scope: Option<&str>, secs: u64) -> Granted {
    Granted {
        id: secs,
        channel: channel.into(),
        scope: scope.map(Into::into),
        operation: None,
        verified_at: at(secs),
        expires_at: at(secs).saturating_add(10 * MINUTE),
        generation: 1,
        usage: Use::Fresh,
    }
}

fn policy() -> Policy {
    Policy::new()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + secs * 1000)
}

fn otp(channel: &str, scope: Option<&str>) -> NewChallenge<CodeDigest> {
    let ring = Keyring::new(&Secret::new([1; 32]).unwrap(), None);
    let proof = ring.digest(&Key::subject("a"), channel, &OneTimeCode::sandbox(6), system_random).unwrap();
    NewChallenge {
        id: ChallengeId(1),
        channel: channel.into(),
        scope: scope.map(Into::into),
        operation: None,
        recipient: None,
        generation: 1,
        proof,
    }
}

fn push(id: &str) -> NewChallenge<PushProof> {
    let proof = PushProof {
        id: PushDigest::new(&Key::subject("a"), id),
        number: None,
        shown: SealedText::plain(id),
        sent: true,
    };
    NewChallenge {
        id: ChallengeId(1),
        channel: "BIO".into(),
        scope: None,
        operation: None,
        recipient: None,
        generation: 1,
        proof,
    }
}

fn operation(name: &str) -> SealedOperation {
    SealedOperation { digest: operation_of(name), text: SealedText::plain(name) }
}

fn may_verify(session: &Session, channel: &str, now: u64) -> Result<(), ChallengeError> {
    session.may_verify(channel, Some(1), |_| true, &policy(), at(now))
}

thread_local! {
    static ATTEMPTS: Cell<u64> = const { Cell::new(0) };
}

fn guess(session: &mut Session, right: bool, now: u64) -> Option<ChallengeError> {
    let attempt = ATTEMPTS.replace(ATTEMPTS.get() + 1);
    let (next, compared) = session.compare(attempt, |_| right, &policy(), at(now)).unwrap();
    *session = next;
    match compared {
        Compared::Right => None,
        Compared::Wrong(error) => Some(error),
    }
}

fn guesses(session: &mut Session, wrong: usize, now: u64) {
    for _ in 0..wrong {
        assert!(guess(session, false, now).is_some());
    }
}

fn started(now: u64) -> Session {
    Session::default().start_otp(otp("SMS", None), &policy(), at(now)).unwrap()
}

/// The record after a start of `challenge` with a code sent to `recipient`.
fn next(session: &Session, challenge: u64, recipient: &str, now: u64) -> Session {
    let otp = NewChallenge { id: ChallengeId(challenge), recipient: Some(Key::subject(recipient)), ..otp("SMS", None) };
    session.start_otp(otp, &policy(), at(now)).unwrap()
}

fn wrong_since(session: &Session) -> usize {
    session.otp.as_ref().map_or(0, |otp| otp.wrong.len())
}

#[test]
fn a_session_under_another_id_keeps_grants_tries_and_stamps_and_no_pending_code() {
    let mut old = started(0);
    guesses(&mut old, 4, 1);
    let mut grant = grant_of("A", None, 1);
    old.add_grant(grant.clone());
    assert!(
        Session::default().merged_from(&old.without_pending(&Policy::new(), at(1)), 2).grants().is_empty(),
        "revoked meanwhile"
    );
    let next = Session::default().merged_from(&old.without_pending(&Policy::new(), at(1)), 1);
    assert_eq!(next.grants(), old.grants());
    grant.channel = "B".into();
    assert_eq!(Session::with_grants(vec![grant]).merged_from(&old, 1).grants().len(), 2);
    assert_eq!(may_verify(&next, "SMS", 1), Err(ChallengeError::StateInvalid));
    assert!(next.may_start_otp(&policy(), at(14)).is_err());
    let mut again = next.start_otp(otp("SMS", None), &policy(), at(15)).unwrap();
    assert_eq!(guess(&mut again, false, 15), Some(ChallengeError::ChallengeLimitExceeded));
    let kept = started(5).merged_from(&old.without_pending(&Policy::new(), at(1)), 1);
    assert_eq!(may_verify(&kept, "SMS", 6), Ok(()), "the new session's own code");
}

#[test]
fn records_survive_their_encoding() {
    let mut session = started(0).start_push(push("1"), &policy(), at(0)).unwrap();
    guess(&mut session, true, 1);
    session = session.start_otp(otp("SMS", None), &policy(), at(15)).unwrap();
    guess(&mut session, false, 16);
    let bytes = encode(Vec::new(), 1, &session);
    assert_eq!(decode(&bytes, 1), Some(session));
}
