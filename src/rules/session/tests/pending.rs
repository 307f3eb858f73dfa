//! What is pending, as its owner is shown it.

use super::*;

#[test]
fn what_can_be_verified_is_pending() {
    let policy = policy();
    let start = NewChallenge {
        operation: Some(operation("Pay 5 EUR")),
        recipient: Some(Key::subject("a")),
        ..otp("SMS", Some("pay"))
    };
    let session = Session::default().start_otp(start, &policy, at(0)).unwrap();
    let session = session.start_push(push("4711"), &policy, at(0)).unwrap();
    let seconds = Duration::from_secs;
    let otp = Pending {
        channel: "SMS".into(),
        scope: Some("pay".into()),
        operation: Some(operation("Pay 5 EUR")),
        recipient: Some(Key::subject("a")),
        id: None,
        expires_in: seconds(299),
        retry_in: seconds(14),
    };
    let push = Pending {
        channel: "BIO".into(),
        scope: None,
        operation: None,
        recipient: None,
        id: Some(SealedText::plain("4711")),
        expires_in: seconds(299),
        retry_in: Duration::ZERO,
    };
    let at_once = |session: &Session, generation, secs| {
        (session.pending_otp(generation, &policy, at(secs)), session.pending_push(generation, &policy, at(secs)))
    };
    assert_eq!(at_once(&session, 1, 1), (Some(otp.clone()), Some(push)));
    let later = Pending { expires_in: seconds(280), retry_in: Duration::ZERO, ..otp };
    assert_eq!(session.pending_otp(1, &policy, at(20)), Some(later));
    assert_eq!(at_once(&session, 1, 300), (None, None), "expired");
    assert_eq!(at_once(&session, 2, 1), (None, None), "revoked everywhere");
    assert_eq!(at_once(&session.without_elevation(&policy, at(1)), 1, 1), (None, None), "revoked");
    assert_eq!(at_once(&Session::default(), 1, 1), (None, None));

    let mut tried = started(0);
    guesses(&mut tried, 4, 1);
    assert!(tried.pending_otp(1, &policy, at(1)).is_some());
    guesses(&mut tried, 1, 1);
    assert_eq!(tried.pending_otp(1, &policy, at(1)), None, "used up");
    let mut verified = started(0);
    assert_eq!(guess(&mut verified, true, 1), None);
    assert_eq!(verified.pending_otp(1, &policy, at(1)), None, "verified");
}
