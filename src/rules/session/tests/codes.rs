//! One-time codes: which may be compared, how often, and what is restored if one was not sent.

use super::*;
use crate::rules::operation_of;

#[test]
fn what_may_be_verified_is_a_table() {
    let verified = {
        let mut session = started(0);
        guess(&mut session, true, 10);
        session
    };
    let dead = {
        let mut session = started(0);
        guesses(&mut session, 5, 1);
        session
    };
    let revoked = |now| started(0).without_elevation(&policy(), at(now));
    let table = [
        ("nothing", Session::default(), "SMS", 0, Err(ChallengeError::StateInvalid)),
        ("alive", started(0), "SMS", 0, Ok(())),
        ("last moment", started(0), "SMS", 299, Ok(())),
        ("other channel", started(0), "EMAIL", 0, Err(ChallengeError::StateInvalid)),
        ("expired", started(0), "SMS", 300, Err(ChallengeError::CodeExpired)),
        ("expired, remembered", started(0), "SMS", 300 + 3599, Err(ChallengeError::CodeExpired)),
        ("expired, forgotten", started(0), "SMS", 300 + 3600, Err(ChallengeError::StateInvalid)),
        ("verified", verified.clone(), "SMS", 10, Err(ChallengeError::AlreadyVerified)),
        ("verified, remembered", verified.clone(), "SMS", 10 + 3599, Err(ChallengeError::AlreadyVerified)),
        ("verified, forgotten", verified.clone(), "SMS", 10 + 3600, Err(ChallengeError::StateInvalid)),
        ("verified elsewhere", verified, "EMAIL", 10, Err(ChallengeError::StateInvalid)),
        ("dead", dead, "SMS", 2, Err(ChallengeError::StateInvalid)),
        ("revoked", revoked(1), "SMS", 1, Err(ChallengeError::StateInvalid)),
        ("revoked when it had expired", revoked(302), "SMS", 302, Err(ChallengeError::CodeExpired)),
        ("where another clock may be behind", revoked(301), "SMS", 302, Err(ChallengeError::StateInvalid)),
        ("within the skew", started(2), "SMS", 0, Ok(())),
        ("from the future", started(3), "SMS", 0, Err(ChallengeError::StateInvalid)),
    ];
    for (name, session, channel, now, expected) in table {
        assert_eq!(may_verify(&session, channel, now), expected, "{name}");
    }
    let mut spent = started(0);
    guesses(&mut spent, 4, 1);
    for (tries, expected) in [(5, Ok(())), (4, Err(ChallengeError::StateInvalid))] {
        let allowed = policy().max_attempts(tries);
        assert_eq!(spent.may_verify("SMS", Some(1), |_| true, &allowed, at(1)), expected, "a policy of {tries}");
    }
    let session = started(0);
    for (generation, knows) in [(Some(2), true), (None, true), (Some(1), false)] {
        let refused = session.may_verify("SMS", generation, |_| knows, &policy(), at(0));
        assert_eq!(refused, Err(ChallengeError::StateInvalid), "{generation:?} {knows}");
    }
}

#[test]
fn five_tries_and_the_right_code_on_the_fifth() {
    let mut session = started(0);
    for expected in [
        ChallengeError::CodeInvalid,
        ChallengeError::CodeInvalid,
        ChallengeError::CodeInvalid,
        ChallengeError::OneTryRemaining,
    ] {
        assert_eq!(guess(&mut session, false, 1), Some(expected));
    }
    assert_eq!(guess(&mut session.clone(), true, 1), None);
    assert_eq!(guess(&mut session, false, 1), Some(ChallengeError::ChallengeLimitExceeded));
}

#[test]
fn a_guess_and_a_read_leave_the_deadline() {
    let mut session = started(0);
    for now in [1, 100, 299] {
        guess(&mut session, false, now);
        may_verify(&session, "SMS", now).unwrap();
    }
    assert_eq!(may_verify(&session, "SMS", 300), Err(ChallengeError::CodeExpired));
}

#[test]
fn tries_are_inherited_while_the_code_lives() {
    let spent = |now| {
        let mut session = started(0);
        guesses(&mut session, 4, now);
        session
    };
    let first_after = |session: &Session, now| {
        let mut next = session.start_otp(otp("EMAIL", None), &policy(), at(now)).unwrap();
        guess(&mut next, false, now)
    };
    assert_eq!(first_after(&spent(1), 15), Some(ChallengeError::ChallengeLimitExceeded), "alive");
    let revoked = spent(1).without_elevation(&Policy::new(), at(1));
    assert_eq!(first_after(&revoked, 15), Some(ChallengeError::ChallengeLimitExceeded), "dropped");
    let again =
        revoked.start_otp(otp("SMS", None), &policy(), at(15)).unwrap().without_elevation(&Policy::new(), at(1));
    assert_eq!(first_after(&again, 30), Some(ChallengeError::ChallengeLimitExceeded), "dropped twice");
    assert_eq!(first_after(&spent(1), 300), Some(ChallengeError::CodeInvalid), "expired");
    let mut dead = spent(1);
    guess(&mut dead, false, 1);
    assert_eq!(first_after(&dead, 15), Some(ChallengeError::CodeInvalid), "dead");
    let mut verified = spent(1);
    guess(&mut verified, true, 1);
    assert_eq!(first_after(&verified, 15), Some(ChallengeError::CodeInvalid), "verified");
}

#[test]
fn starts_keep_their_distance_and_their_number() {
    let session = started(0);
    let wait = |now| match session.may_start_otp(&policy(), at(now)) {
        Err(ChallengeError::RetryIn { wait, .. }) => wait.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!([wait(0), wait(14)], [15, 1]);
    assert_eq!(session.may_start_otp(&policy(), at(15)), Ok(()));
    // In any state, and with a start time arbitrarily far in the future.
    assert!(session.without_elevation(&Policy::new(), at(1)).may_start_otp(&policy(), at(14)).is_err());
    assert!(started(1_000_000).may_start_otp(&policy(), at(0)).is_err());

    let twice = policy().starts_per_session(2);
    let session = Session::default().start_push(push("1"), &twice, at(0)).unwrap();
    let session = session.start_otp(otp("SMS", None), &twice, at(0)).unwrap();
    let refused = Err(ChallengeError::ChallengeLimitExceeded);
    assert_eq!(session.may_start_otp(&twice, at(15)), refused);
    assert_eq!(session.without_elevation(&Policy::new(), at(1)).may_start_push(1, &twice, at(15)), refused);
    assert!(session.keep_until(&twice) >= at(30 * 24 * 3600));
}

#[test]
fn a_code_that_was_not_sent_verifies_nothing_and_holds_no_interval() {
    let mut session = started(0);
    guesses(&mut session, 2, 1);
    let (withdrawn, came_back) = session.withdraw_otp(ChallengeId(1), true, at(1)).unwrap();
    assert_eq!(came_back, None);
    assert_eq!(may_verify(&withdrawn, "SMS", 1), Err(ChallengeError::StateInvalid));
    assert_eq!(wrong_since(&next(&withdrawn, 2, "a", 1)), 2, "the next one may start at once and inherits the tries");
    assert!(session.withdraw_otp(ChallengeId(2), true, at(1)).is_none(), "another start");
    assert!(Session::default().withdraw_otp(ChallengeId(1), true, at(1)).is_none());
}

#[test]
fn the_earlier_code_comes_back_with_all_that_was_wrong_since() {
    let mut first = next(&Session::default(), 1, "a", 0);
    guesses(&mut first, 1, 1);
    let mut second = next(&first, 2, "b", 20);
    guesses(&mut second, 2, 21);
    let (back, came_back) = second.withdraw_otp(ChallengeId(2), true, at(22)).unwrap();
    let recipient = Some(Key::subject("a"));
    assert_eq!(came_back, Some(CameBack { challenge_id: ChallengeId(1), deadline: at(300), recipient }));
    assert_eq!((may_verify(&back, "SMS", 22), wrong_since(&back)), (Ok(()), 3));
    assert_eq!(may_verify(&back, "SMS", 300), Err(ChallengeError::CodeExpired), "its own deadline");
    assert!(back.was_sent_to(recipient.as_ref()).is_ok() && second.was_sent_to(recipient.as_ref()).is_err());
    assert_eq!(back.may_start_otp(&policy(), at(22)), Ok(()));
    let (late, came_back) = second.withdraw_otp(ChallengeId(2), true, at(300)).unwrap();
    assert_eq!((may_verify(&late, "SMS", 300), came_back), (Err(ChallengeError::CodeExpired), None));
}

#[test]
fn the_earlier_code_stays_away_where_it_must() {
    let first = next(&Session::default(), 1, "a", 0);
    let second = next(&first, 2, "a", 20);
    let mut used_up = second.clone();
    guesses(&mut used_up, 5, 21);
    let mut verified = second.clone();
    guess(&mut verified, true, 21);
    let revoked = second.without_elevation(&policy(), at(21));
    let state_invalid = Err(ChallengeError::StateInvalid);
    let table = [
        ("used up", &used_up, true, state_invalid.clone()),
        ("verified", &verified, true, Err(ChallengeError::AlreadyVerified)),
        ("revoked", &revoked, true, state_invalid.clone()),
        ("locked", &second, false, state_invalid),
    ];
    for (name, session, comes_back, expected) in table {
        let (withdrawn, came_back) = session.withdraw_otp(ChallengeId(2), comes_back, at(22)).unwrap();
        assert_eq!((may_verify(&withdrawn, "SMS", 22), came_back), (expected, None), "{name}");
    }
}

#[test]
fn of_three_codes_those_that_were_not_sent_go_in_any_order() {
    let third = next(&next(&next(&Session::default(), 1, "a", 0), 2, "a", 20), 3, "a", 40);
    let starts = |session: &Session| session.otp_id();
    for (order, left) in [
        (&[3][..], Some(2)),
        (&[3, 2], Some(1)),
        (&[2, 3], Some(1)),
        (&[2], Some(3)),
        (&[1, 3], Some(2)),
        (&[1, 2], Some(3)),
    ] {
        let withdraw = |session: Session, id: &u64| session.withdraw_otp(ChallengeId(*id), true, at(41)).unwrap().0;
        let session = order.iter().fold(third.clone(), withdraw);
        assert_eq!((starts(&session), may_verify(&session, "SMS", 41)), (left.map(ChallengeId), Ok(())), "{order:?}");
    }
}

#[test]
fn few_codes_are_kept_however_many_are_started() {
    let started = (0..100).fold(Session::default(), |session, i| next(&session, i, "a", i * 20));
    let codes = std::iter::successors(started.otp.as_deref(), |otp| otp.earlier.as_deref());
    assert_eq!(codes.map(|otp| otp.challenge_id.0).collect::<Vec<_>>(), [99, 98, 97]);
    assert!(started.is_within_bounds());
    let mut longer = next(&Session::default(), 0, "a", 0);
    longer.otp.as_mut().unwrap().earlier = started.otp.clone();
    assert!(!longer.is_within_bounds());
}

#[test]
fn what_is_over_comes_back_as_it_was_told_of() {
    let mut verified = next(&Session::default(), 1, "a", 0);
    guess(&mut verified, true, 1);
    let second = next(&verified, 2, "a", 20);
    let (back, came_back) = second.withdraw_otp(ChallengeId(2), true, at(21)).unwrap();
    assert_eq!((may_verify(&back, "SMS", 21), came_back), (Err(ChallengeError::AlreadyVerified), None));
    let mut guessed = second;
    guesses(&mut guessed, 1, 21);
    let (unsent, _) = guessed.withdraw_otp(ChallengeId(2), true, at(22)).unwrap();
    assert_eq!(wrong_since(&next(&unsent, 3, "a", 22)), 1, "but no try is forgotten");
}

#[test]
fn an_attempt_knows_that_it_was_wrong() {
    let (session, _) = started(0).compare(7, |_| false, &policy(), at(1)).unwrap();
    assert_eq!(session.was_wrong(7, &policy()), Some(ChallengeError::CodeInvalid));
    assert_eq!(session.was_wrong(8, &policy()), None);
    assert_eq!(session.without_elevation(&policy(), at(2)).was_wrong(7, &policy()), Some(ChallengeError::CodeInvalid));
    let next = next(&session, 2, "a", 20);
    assert_eq!(next.was_wrong(7, &policy()), Some(ChallengeError::CodeInvalid), "whose code was replaced since");
    let (verified, _) = session.compare(8, |_| true, &policy(), at(2)).unwrap();
    assert_eq!(verified.was_wrong(7, &policy()), Some(ChallengeError::CodeInvalid), "whose code was verified since");
}

/// What is not needed any more takes no memory for the hour in which the code is remembered.
#[test]
fn a_verified_code_keeps_nothing_to_compare() {
    let start =
        NewChallenge { operation: Some(operation("a")), recipient: Some(Key::subject("a")), ..otp("SMS", Some("pay")) };
    let mut session = Session::default().start_otp(start, &policy(), at(0)).unwrap();
    assert_eq!(guess(&mut session, true, 1), None);
    let grant = &session.grants()[0];
    assert_eq!((grant.scope.as_deref(), grant.operation), (Some("pay"), Some(operation_of("a"))));
    let code = session.otp.as_deref().unwrap();
    assert!(code.scope.is_none() && code.operation.is_none() && code.recipient.is_none() && code.proof.is_none());
    assert_eq!(may_verify(&session, "SMS", 2), Err(ChallengeError::AlreadyVerified));
}

/// E4: where another start has replaced the code, the user has typed the code of something else.
#[test]
fn a_code_is_compared_for_what_it_was_started() {
    let start = |scope, name: Option<&str>| {
        let start = NewChallenge { operation: name.map(operation), ..otp("SMS", scope) };
        Session::default().start_otp(start, &policy(), at(0)).unwrap()
    };
    let (whole, pay, bound) = (start(None, None), start(Some("pay"), None), start(Some("pay"), Some("a")));
    let (a, b) = (operation_of("a"), operation_of("b"));
    let table = [
        (&whole, None, None, true),
        (&whole, Some("pay"), None, false),
        (&whole, None, Some(&a), false),
        (&pay, None, None, true),
        (&pay, Some("pay"), None, true),
        (&pay, Some("PAY"), None, false),
        (&pay, Some("pay"), Some(&a), false),
        (&bound, None, None, true),
        (&bound, Some("pay"), None, true),
        (&bound, Some("pay"), Some(&a), true),
        (&bound, None, Some(&b), false),
        (&bound, Some("card"), Some(&a), false),
    ];
    for (row, (session, scope, operation, expected)) in table.into_iter().enumerate() {
        assert_eq!(session.is_for(scope, operation, false).is_ok(), expected, "row {row}");
        // Exactly: what is not said must not be there either.
        let own = [(&whole, None, None), (&pay, Some("pay"), None), (&bound, Some("pay"), Some(&a))];
        let exact = own.contains(&(session, scope, operation));
        assert_eq!(session.is_for(scope, operation, true).is_ok(), exact, "row {row}");
    }
    assert!(Session::default().is_for(None, None, false).is_err());
}

#[test]
fn a_cancelled_code_is_dead_and_leaves_its_tries() {
    let mut session = started(0);
    guesses(&mut session, 4, 1);
    assert_eq!(session.cancel_otp("EMAIL", &policy(), at(16)), None, "another channel's code stays");
    let cancelled = session.cancel_otp("SMS", &policy(), at(16)).unwrap();
    assert_eq!(may_verify(&cancelled, "SMS", 2), Err(ChallengeError::StateInvalid));
    assert_eq!(cancelled.cancel_otp("SMS", &policy(), at(16)), None, "it is cancelled already");
    assert!(cancelled.may_start_otp(&policy(), at(14)).is_err(), "the resend interval stays");
    let mut again = next(&cancelled, 2, "a", 15);
    assert_eq!(guess(&mut again, false, 16), Some(ChallengeError::ChallengeLimitExceeded), "and so do the tries");

    let mut verified = started(0);
    assert_eq!(guess(&mut verified, true, 1), None);
    assert_eq!(verified.cancel_otp("SMS", &policy(), at(16)), None, "grants stay");
    assert_eq!(may_verify(&verified, "SMS", 2), Err(ChallengeError::AlreadyVerified));
    assert_eq!(Session::default().cancel_otp("SMS", &policy(), at(16)), None);

    // One that has expired is still said to have expired.
    let expired = started(0);
    assert_eq!(expired.cancel_otp("SMS", &policy(), at(302)), None);
    assert!(expired.cancel_otp("SMS", &policy(), at(301)).is_some(), "it may live on another node's clock");

    // A replaced code that is cancelled does not come back when the message of the other channel turns out unsent.
    let email = NewChallenge { id: ChallengeId(2), ..otp("EMAIL", None) };
    let replaced =
        started(0).start_otp(email, &policy(), at(15)).unwrap().cancel_otp("SMS", &policy(), at(16)).unwrap();
    assert_eq!(may_verify(&replaced, "EMAIL", 16), Ok(()), "another channel's code stays");
    let (unsent, came_back) = replaced.withdraw_otp(ChallengeId(2), true, at(17)).unwrap();
    assert_eq!((may_verify(&unsent, "SMS", 17), came_back), (Err(ChallengeError::StateInvalid), None));

    // The code that it replaced must not come back when its message turns out unsent.
    let replaced = next(&started(0), 2, "a", 15).cancel_otp("SMS", &policy(), at(16)).unwrap();
    let (unsent, came_back) = replaced.withdraw_otp(ChallengeId(2), true, at(16)).unwrap();
    assert_eq!((may_verify(&unsent, "SMS", 16), came_back), (Err(ChallengeError::StateInvalid), None));
}
