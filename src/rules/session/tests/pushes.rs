//! Pushes: answered once, before the deadline, and with the number if number matching is on.

use super::*;

#[test]
fn a_push_is_answered_once_in_time_by_its_id() {
    let policy = policy();
    let session = Session::default().start_push(push("1"), &policy, at(0)).unwrap();
    let id = |id| PushDigest::new(&Key::subject("a"), id);
    let answer = |session: &Session, name, generation, now| {
        let answered = session.reply_to_push(&id(name), generation, Reply::Yes, |_, _, _| false, &policy, at(now));
        answered.ok().map(|(next, answered)| {
            assert_eq!(answered, ReplyOutcome::Approved);
            next
        })
    };
    assert_eq!(session.may_start_push(1, &policy, at(299)), Err(ChallengeError::StateInvalid));
    assert_eq!(session.may_start_push(2, &policy, at(1)), Ok(()), "another generation is not in flight");
    assert_eq!(session.may_start_push(1, &policy, at(300)), Ok(()));
    assert!(answer(&session, "2", 1, 1).is_none(), "foreign id");
    assert!(answer(&session, "1", 2, 1).is_none(), "another generation");
    assert!(answer(&session, "1", 1, 300).is_none(), "late");
    assert!(answer(&session.without_elevation(&Policy::new(), at(1)), "1", 1, 1).is_none(), "revoked");
    let approved = answer(&session, "1", 1, 299).unwrap();
    assert_eq!(approved.grants().len(), 1);
    assert!(answer(&approved, "1", 1, 299).is_none(), "twice");
    let (declined, answered) = session.reply_to_push(&id("1"), 1, Reply::No, |_, _, _| true, &policy, at(1)).unwrap();
    assert_eq!(answered, ReplyOutcome::Declined);
    assert!(declined.grants().is_empty());
    assert!(answer(&declined, "1", 1, 2).is_none(), "approved after it was declined");

    let status = |session: &Session, channel, name, now| session.push_status(channel, &id(name), &policy, at(now));
    let expires_in = Duration::from_secs(299);
    assert_eq!(status(&session, "BIO", "1", 1), Some(PushStatus::Pending { expires_in }));
    assert_eq!(status(&session, "BIO", "2", 1), None);
    assert_eq!(status(&session, "OTHER", "1", 1), None);
    assert_eq!(status(&session, "BIO", "1", 300), Some(PushStatus::Expired));
    assert_eq!(status(&session, "BIO", "1", 300 + 3600), None);
    assert_eq!(status(&approved, "BIO", "1", 299 + 3599), Some(PushStatus::Verified));
    assert_eq!(status(&declined, "BIO", "1", 1), Some(PushStatus::Declined));
    assert_eq!(status(&session.without_elevation(&Policy::new(), at(1)), "BIO", "1", 1), None);
    assert_eq!(status(&session.without_elevation(&policy, at(302)), "BIO", "1", 302), Some(PushStatus::Expired));
}

#[test]
fn a_push_is_sent_while_it_is_pending_and_the_one_in_its_slot() {
    let session = Session::default().start_push(push("1"), &policy(), at(0)).unwrap();
    let id = PushDigest::new(&Key::subject("a"), "1");
    let (declined, _) = session.reply_to_push(&id, 1, Reply::No, |_, _, _| true, &policy(), at(1)).unwrap();
    let table = [("pending", &session, 1, true), ("another", &session, 2, false), ("answered", &declined, 1, false)];
    for (name, session, challenge_id, expected) in table {
        assert_eq!(session.push_sent(ChallengeId(challenge_id)).is_some(), expected, "{name}");
    }
    assert!(Session::default().push_sent(ChallengeId(1)).is_none());
}

#[test]
fn a_push_with_a_number_takes_that_number_three_times_wrong_at_most() {
    let policy = policy();
    let mut challenge_id = push("1");
    let number = Box::new(otp("BIO", None).proof);
    challenge_id.proof.number = Some(number);
    let session = Session::default().start_push(challenge_id, &policy, at(0)).unwrap();
    let id = PushDigest::new(&Key::subject("a"), "1");
    let attempts = Cell::new(0);
    let number = |typed| Reply::Number { typed, attempt: attempts.replace(attempts.get() + 1) };
    let answer =
        |session: &Session, said| session.reply_to_push(&id, 1, said, |_, _, typed| typed == "47", &policy, at(1));
    assert_eq!(answer(&session, Reply::Yes), Err(ReplyRejected::NumberRequired));
    assert_eq!(answer(&session, Reply::No).unwrap().1, ReplyOutcome::Declined);
    let (approved, answered) = answer(&session, number("47")).unwrap();
    assert_eq!((answered, approved.grants().len()), (ReplyOutcome::Approved, 1));
    let (once, answered) = answer(&session, number("48")).unwrap();
    assert_eq!(answered, ReplyOutcome::WrongNumber { left: 2 });
    let (twice, answered) = answer(&once, number("")).unwrap();
    assert_eq!(answered, ReplyOutcome::WrongNumber { left: 1 });
    assert_eq!(answer(&twice, number("47")).unwrap().1, ReplyOutcome::Approved);
    let late = twice.reply_to_push(&id, 1, number("47"), |_, _, _| true, &policy, at(300));
    assert_eq!(late, Err(ReplyRejected::TooLate), "a wrong one leaves the deadline");
    let (declined, answered) = answer(&twice, number("47 ")).unwrap();
    assert_eq!(answered, ReplyOutcome::WrongNumber { left: 0 });
    assert_eq!(answer(&declined, number("47")), Err(ReplyRejected::TooLate));
    assert_eq!(declined.push_status("BIO", &id, &policy, at(1)), Some(PushStatus::Declined));
    let again = |attempt| answer(&twice, Reply::Number { typed: "49", attempt });
    let second = twice.push.as_ref().unwrap().wrong[1];
    assert_eq!(again(second).unwrap(), (twice.clone(), ReplyOutcome::WrongNumber { left: 1 }), "the same attempt");
    assert_eq!(again(99).unwrap().1, ReplyOutcome::WrongNumber { left: 0 }, "another");
}

#[test]
fn a_cancelled_push_opens_nothing_and_can_be_declined() {
    let (policy, id) = (policy(), |id| PushDigest::new(&Key::subject("a"), id));
    let session = Session::default().start_push(push("1"), &policy, at(0)).unwrap();
    let cancel = |session: &Session, channel, name, now| session.cancel_push(channel, &id(name), &policy, at(now));
    assert_eq!(cancel(&session, "BIO", "2", 1), None, "another id");
    assert_eq!(cancel(&session, "OTHER", "1", 1), None, "another channel");
    assert_eq!(cancel(&session, "BIO", "1", 302), None, "it has expired");
    assert!(cancel(&session, "BIO", "1", 301).is_some(), "it may live on another node's clock");
    let cancelled = cancel(&session, "BIO", "1", 1).unwrap();
    assert_eq!((session.cancelled_push(), cancelled.cancelled_push()), (None, Some(ChallengeId(1))));
    assert_eq!(cancel(&cancelled, "BIO", "1", 2), None, "twice");
    assert_eq!(cancelled.push_status("BIO", &id("1"), &policy, at(2)), Some(PushStatus::Expired));
    assert_eq!(cancelled.push_status("BIO", &id("1"), &policy, at(3601)), None);
    assert_eq!(cancelled.may_start_push(1, &policy, at(2)), Ok(()));
    for said in [Reply::Yes, Reply::No] {
        let answered = cancelled.reply_to_push(&id("1"), 1, said, |_, _, _| true, &policy, at(2));
        assert_eq!(answered, Err(ReplyRejected::TooLate), "{said:?}");
    }
    let (approved, _) = session.reply_to_push(&id("1"), 1, Reply::Yes, |_, _, _| true, &policy, at(1)).unwrap();
    assert_eq!(cancel(&approved, "BIO", "1", 2), None, "grants stay");
    assert_eq!(approved.push_status("BIO", &id("1"), &policy, at(2)), Some(PushStatus::Verified));
}
