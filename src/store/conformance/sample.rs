//! Sample records with a value in every part.

use std::time::Duration;

use super::super::{Key, Record};
use crate::rules::{
    ChallengeId, Keyring, ListedBy, MessageKind, NewChallenge, OneTimeCode, Policy, PushDigest, PushProof,
    Registration, Reply, SealedOperation, SealedText, Secret, Sends, Session, Subject, Timestamp, operation_of,
};

pub(super) fn records() -> [(&'static str, Record); 4] {
    [
        ("session", Record::Session(session())),
        ("empty session", Record::Session(Session::default())),
        ("subject", Record::Subject(subject())),
        ("recipient", Record::Recipient(recipient())),
    ]
}

/// A pending code after a wrong attempt, the code that it replaced, a verified push, its grant, and the mark of another.
fn session() -> Session {
    let (policy, now) = (Policy::default(), Timestamp::from_millis(1_790_000_000_123));
    let (key, scope) = (Key::session("ünïcode \"quoted\" \u{0}", b"\xff\x00"), Some("transfer".into()));
    let secret = Secret::new([7; 32]).expect("32 bytes are enough");
    let keyring = Keyring::new(&secret, None);
    let seven = |buffer: &mut [u8]| {
        buffer.fill(7);
        Ok(())
    };
    let proof = keyring.digest(&key, "SMS", &OneTimeCode::sandbox(6), seven).expect("sevens are random enough");
    let id = PushDigest::new(&key, "id");
    let text = SealedText::plain;
    let push = PushProof { id, number: Some(Box::new(proof.clone())), shown: text("4711"), sent: true };
    let push = NewChallenge {
        id: ChallengeId(u64::MAX),
        channel: "PHONE".into(),
        scope: scope.clone(),
        operation: Some(SealedOperation { digest: operation_of("a"), text: text("Pay 5 EUR to Bob") }),
        recipient: Some(key),
        generation: u64::MAX,
        proof: push,
    };
    let approved = |session: &Session| {
        let started = session.start_push(push.clone(), &policy, now).expect("nothing is in flight");
        let reply = Reply::Number { typed: "47", attempt: 1 };
        started.reply_to_push(&id, u64::MAX, reply, |_, _, _| true, &policy, now).expect("it is answered in time").0
    };
    // Carried out and approved once more.
    let answered = approved(&approved(&Session::default()).consume(|_| true, now));
    let (channel, operation, recipient, generation) = ("SMS".into(), None, Some(key), 1);
    let first = NewChallenge { id: ChallengeId(2), channel, scope, operation, recipient, generation, proof };
    let (second, later) =
        (NewChallenge { id: ChallengeId(3), ..first.clone() }, now.saturating_add(policy.resend_interval));
    answered
        .start_otp(first, &policy, now)
        .and_then(|session| session.start_otp(second, &policy, later))
        .and_then(|session| session.compare(u64::MAX, |_| false, &policy, later))
        .expect("one start after the other, and a try")
        .0
}

/// Failures, messages, challenges, denials, a lock and sessions.
fn subject() -> Subject {
    let now = Timestamp::from_millis(u64::MAX / 2);
    let key = Key::session("alice", b"1");
    let mut subject = Subject::new(u64::MAX);
    subject.unlock(&Policy::default(), now);
    subject.record_failure("SMS", 1, now);
    subject.record_failure("E-MAIL/ü", u64::MAX, now.saturating_add(Duration::from_millis(1)));
    subject.track_session(&key, ListedBy::Start(ChallengeId(1)), now.saturating_add(Duration::from_secs(60)), now);
    let deadline = now.saturating_add(Duration::from_secs(60));
    let push = Some(PushDigest::new(&key, "id"));
    subject
        .register(
            &Registration {
                challenge_id: ChallengeId(u64::MAX),
                session: &key,
                deadline,
                push,
                recipient: Some(key),
                replaces: None,
            },
            &Policy::default(),
            now,
        )
        .expect("nothing stands in the way of the first");
    subject.record_decline(ChallengeId(u64::MAX), &Policy::default(), now);
    subject.record_verified(ChallengeId(0), Some(&key), now);
    subject.not_sent(ChallengeId(1), &key, None, now);
    subject.lock(now);
    subject
}

/// A message that was verified, and one that was not.
fn recipient() -> Sends {
    let now = Timestamp::from_millis(1_790_000_000_123);
    let mut sends = Sends::default();
    sends.add(ChallengeId(u64::MAX), MessageKind::Code, now);
    sends.verified(ChallengeId(u64::MAX));
    sends.add(ChallengeId(0), MessageKind::Push, now);
    sends
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn no_part_is_empty() {
        for (name, record) in records().into_iter().filter(|(name, _)| !name.starts_with("empty")) {
            let json = serde_json::to_value(record).unwrap();
            let fields = |value: &Value| match value {
                Value::Object(fields) => fields.clone().into_iter().collect(),
                other => vec![(String::new(), other.clone())],
            };
            let parts = fields(&json).into_iter().flat_map(|(_, record)| fields(&record));
            let parts = parts.flat_map(|(name, part)| if name == "rare" { fields(&part) } else { vec![(name, part)] });
            for (_, part) in parts {
                assert!(!part.is_null() && part.as_array().is_none_or(|list| !list.is_empty()), "{name}: {json}");
            }
        }
    }
}
