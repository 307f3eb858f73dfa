//! Lockouts, the list of sessions, pending challenges, denials, and timestamps in the future.

use super::{challenges::ListedChallenge, *};
use crate::rules::{ChallengeError, ChallengeId, Key, Policy, PushDigest, RECIPIENT_KNOWN};

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + secs * 1000)
}

fn after(failures: u64, every: u64) -> Subject {
    let mut subject = Subject::new(1);
    (0..failures).for_each(|i| subject.record_failure("SMS", i, at(i * every)));
    subject
}

fn wait(subject: &Subject, channel: &str, now: u64) -> Option<(u32, u64)> {
    match subject.check_locked(channel, &Policy::new(), at(now)) {
        Ok(()) => None,
        Err(ChallengeError::RateLimited(limit)) => Some((limit.limit, limit.wait.as_secs())),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn waits_double_after_every_five_failures() {
    let table = [(5, 30), (10, 60), (15, 120), (20, 240), (25, 480), (30, 960), (35, 1920), (40, 3600), (45, 3600)];
    for (failures, expected) in table {
        let subject = after(failures, 0);
        assert_eq!(wait(&subject, "SMS", 0), Some((5, expected)), "{failures}");
        assert_eq!(wait(&subject, "SMS", expected - 1), Some((5, 1)), "{failures}");
        assert_eq!(wait(&subject, "SMS", expected), None, "{failures}");
        assert_eq!(wait(&subject, "EMAIL", 0), None, "another channel");
        assert_eq!(wait(&after(failures - 1, 0), "SMS", 0), None, "{failures} less one");
    }
}

#[test]
fn fifty_failures_disable_until_unlocked() {
    let disabled = |subject: &Subject, channel, now| subject.check_disabled(channel, &Policy::new(), now).is_err();
    assert!(!disabled(&after(49, 1), "SMS", at(49)));
    let subject = after(50, 1);
    assert!(disabled(&subject, "SMS", at(50)));
    assert!(disabled(&subject, "SMS", at(399 * 24 * 3600)));
    assert!(!disabled(&subject, "EMAIL", at(50)));
    assert!(!disabled(&subject, "SMS", at(49).saturating_add(FAILURES_KEPT)));
    assert_eq!(subject.keep_until(), at(49).saturating_add(FAILURES_KEPT));
    // A timestamp in the future still refuses.
    assert!(disabled(&subject, "SMS", Timestamp::from_millis(0)));
    assert!(wait(&after(5, 0), "SMS", 0).is_some());
}

#[test]
fn a_hundred_wrong_codes_a_day_whatever_succeeds() {
    let mut subject = Subject::new(1);
    for i in 0..100 {
        assert_eq!(wait(&subject, "SMS", i * 100), None, "{i}");
        subject.record_failure(if i % 2 == 0 { "SMS" } else { "EMAIL" }, i, at(i * 100));
        subject.clear_failures("SMS", 1000);
        subject.clear_failures("EMAIL", 1000);
    }
    let day = DAY.as_secs();
    for channel in ["SMS", "EMAIL", "OTHER"] {
        assert_eq!(wait(&subject, channel, 9900), Some((100, day - 9900)), "{channel}");
    }
    assert_eq!(wait(&subject, "SMS", day - 1), Some((100, 1)));
    assert_eq!(wait(&subject, "SMS", day), None);
    subject.record_failure("SMS", 2000, at(day));
    assert_eq!(subject.rare().wrong.len(), 100, "the oldest was forgotten");
    assert_eq!(wait(&subject, "SMS", day), Some((100, 100)));
}

/// The limit is five wrong codes a day here: after the fifth, the wait ends when the first is a day old.
#[test]
fn of_two_waits_as_long_the_consecutive_one_is_told() {
    let policy = Policy::new().wrong_codes_a_day(5);
    let mut subject = after(4, 0);
    let day = DAY.as_secs();
    for (last, expected) in [(day - 31, (5, Some(DAY))), (day - 30, (5, None)), (day - 29, (5, None))] {
        let mut subject = subject.clone();
        subject.record_failure("SMS", 4, at(last));
        match subject.check_locked("SMS", &policy, at(last)) {
            Err(ChallengeError::RateLimited(limit)) => assert_eq!((limit.limit, limit.window), expected, "{last}"),
            other => panic!("{other:?}"),
        }
    }
    subject.record_failure("SMS", 4, at(1));
    subject.retract_failure(4);
    assert_eq!(subject.check_locked("SMS", &policy, at(1)), Ok(()));
}

#[test]
fn what_a_record_has_lost_is_counted_again_unless_it_is_old_forgiven_or_known() {
    let attempts = |stamps: &[(u64, u64)]| stamps.iter().map(|&(id, secs)| Attempt { id, at: at(secs) }).collect();
    let remembered = |subject: &Subject, stamps: &[(u64, u64)], now| {
        let mut subject = subject.clone();
        subject.restore_failures(attempts(stamps), at(now));
        subject.rare().wrong.iter().map(|attempt| attempt.id).collect::<Vec<_>>()
    };
    let day = DAY.as_secs();
    let empty = Subject::new(1);
    assert_eq!(remembered(&empty, &[(1, 0), (2, 10)], day - 1), [1, 2]);
    assert_eq!(remembered(&empty, &[(1, 0), (2, 10)], day), [2], "a day has gone by");
    assert_eq!(remembered(&after(2, 0), &[(1, 0), (7, 0)], 0), [0, 1, 7], "one was known");
    let mut forgiven = empty;
    forgiven.unlock(&Policy::new(), at(5));
    assert_eq!(remembered(&forgiven, &[(1, 4), (2, 5), (3, 6)], 7), [3]);
}

#[test]
fn an_attempt_is_taken_out_alone_and_a_success_clears_its_channel() {
    let mut subject = after(4, 0);
    subject.record_failure("EMAIL", 50, at(0));
    subject.retract_failure(2);
    subject.retract_failure(99);
    assert_eq!(subject.failures("SMS", at(0)).len(), 3);
    assert_eq!(subject.rare().wrong.len(), 4);
    subject.record_failure("SMS", 60, at(1));
    subject.clear_failures("SMS", 60);
    assert_eq!(subject.failures("SMS", at(1)), []);
    assert_eq!(subject.failures("EMAIL", at(1)).len(), 1);
    assert_eq!(subject.rare().wrong.len(), 4, "wrong codes stay, the right one was none");
}

/// The rare part exists only while there is something in it.
#[test]
fn what_is_rare_is_freed_with_its_last_entry() {
    let mut subject = Subject::new(1);
    subject.withdraw(ChallengeId(1));
    assert!(subject.rare.is_none());
    subject.record_failure("SMS", 1, at(0));
    subject.lock(at(0));
    subject.retract_failure(1);
    assert!(subject.rare.is_some() && subject.is_locked());
    subject.rare_mut().locked = None;
    assert!(subject.rare.is_none());
    assert_eq!(subject, Subject::new(1));
}

#[test]
fn the_list_of_sessions_is_bounded_and_displaces_the_oldest() {
    let mut subject = Subject::new(1);
    let key = |i: u64| Key::session("a", &i.to_be_bytes());
    for i in 0..16 {
        assert_eq!(subject.track_session(&key(i), ListedBy::Grant, at(100 + i), at(0)), Listed::Done);
    }
    assert_eq!(subject.track_session(&key(0), ListedBy::Grant, at(200), at(0)), Listed::Done, "listed already");
    assert_eq!(subject.track_session(&key(16), ListedBy::Grant, at(300), at(0)), Listed::Displaced(key(1)));
    assert_eq!(subject.sessions.len(), SESSIONS_PER_SUBJECT);
    let ended = subject.clone();
    assert_eq!(
        subject.track_session(&key(17), ListedBy::Grant, at(300), at(150)),
        Listed::Done,
        "the ended ones made room"
    );
    assert_eq!(subject.sessions.len(), 3);
    for (now, left) in [(114, 4), (115, 3)] {
        let mut subject = ended.clone();
        subject.track_session(&key(17), ListedBy::Grant, at(300), at(now));
        assert_eq!(subject.sessions.len(), left, "the last of them ends at 115, and it is {now}");
    }
}

/// T32: an operation under way sees a revocation; the session stays listed and is removed first if the list is full.
#[test]
fn a_revocation_is_noted_and_its_session_stays_listed_until_there_is_no_room() {
    let mut subject = Subject::new(1);
    let key = |i: u64| Key::session("a", &i.to_be_bytes());
    let before = Seen::of(&subject, &key(5));
    for i in 0..16 {
        subject.track_session(&key(i), ListedBy::Grant, at(100 + i), at(0));
    }
    let seen = Seen::of(&subject, &key(5));
    assert!(before.still_holds(&subject, &key(5)) && seen.still_holds(&subject, &key(5)));
    subject.revoke(&key(5), 7);
    subject.revoke(&key(99), 7);
    assert!(!seen.still_holds(&subject, &key(5)) && subject.tracks(&key(5)));
    assert!(Seen::of(&subject, &key(4)).still_holds(&subject, &key(4)), "another session");
    let mut again = subject.clone();
    again.track_session(&key(5), ListedBy::Grant, at(200), at(0));
    assert!(!seen.still_holds(&again, &key(5)), "listed again, it was revoked all the same");
    assert_eq!(again.track_session(&key(16), ListedBy::Grant, at(300), at(0)), Listed::Displaced(key(0)));
    assert_eq!(subject.track_session(&key(16), ListedBy::Grant, at(300), at(0)), Listed::Displaced(key(5)));
    let seen = Seen::of(&subject, &key(4));
    subject.revoke_all(2);
    assert!(!seen.still_holds(&subject, &key(4)));
}

#[test]
fn a_start_takes_its_session_from_the_list_unless_another_relies_on_it() {
    let mut subject = Subject::new(1);
    let key = |i: u64| Key::session("a", &i.to_be_bytes());
    let listed =
        [(1, Some(7)), (1, Some(7)), (2, Some(7)), (2, Some(8)), (3, Some(7)), (3, None), (4, None), (4, Some(7))];
    for (session, by) in listed {
        subject.track_session(
            &key(session),
            by.map_or(ListedBy::Grant, |by| ListedBy::Start(ChallengeId(by))),
            at(300),
            at(0),
        );
    }
    subject.untrack_session(ChallengeId(9));
    assert_eq!(subject.sessions.len(), 4);
    subject.untrack_session(ChallengeId(7));
    subject.untrack_session(ChallengeId(8));
    assert_eq!(subject.sessions().collect::<Vec<_>>(), [key(2), key(3), key(4)]);
}

fn id(push: u64) -> PushDigest {
    PushDigest::new(&Key::subject("a"), &push.to_string())
}

/// Starts a code or a push in a session, with a lifetime of 300 seconds.
fn open(subject: &mut Subject, challenge: u64, session: u64, push: bool, now: u64) -> Result<(), (u32, u64)> {
    let session = &Key::session("a", &session.to_be_bytes());
    let opening = Registration {
        challenge_id: ChallengeId(challenge),
        session,
        deadline: at(now + 300),
        push: push.then(|| id(challenge)),
        recipient: None,
        replaces: None,
    };
    subject.register(&opening, &Policy::new(), at(now)).map_err(|error| match error {
        ChallengeError::RateLimited(limit) => (limit.limit, limit.wait.as_secs()),
        other => panic!("{other:?}"),
    })
}

type Make = fn(&mut Subject);

#[test]
fn three_challenges_live_at_once_whatever_became_of_the_others() {
    let mut subject = Subject::new(1);
    assert_eq!(open(&mut subject, 1, 1, false, 0), Ok(()));
    assert_eq!(open(&mut subject, 2, 1, true, 10), Ok(()));
    assert_eq!(open(&mut subject, 3, 2, false, 20), Ok(()));
    assert_eq!(open(&mut subject, 4, 3, true, 30), Err((3, 270)), "a fourth");
    assert_eq!(open(&mut subject.clone(), 5, 1, false, 30), Ok(()), "in the place of its like");
    assert_eq!(open(&mut subject.clone(), 3, 2, false, 30), Ok(()), "the same start, counted again");
    let makes: [(&str, Make); 5] = [
        ("verified", |subject| subject.record_verified(ChallengeId(1), None, at(0))),
        ("closed", |subject| subject.close(ChallengeId(2))),
        ("not sent", |subject| subject.withdraw(ChallengeId(3))),
        ("its session is no more", |subject| subject.close_session(&Key::session("a", &2_u64.to_be_bytes()))),
        ("all revoked", |subject| subject.revoke_all(2)),
    ];
    for (name, make) in makes {
        let mut subject = subject.clone();
        make(&mut subject);
        assert_eq!(open(&mut subject, 4, 3, true, 30), Ok(()), "{name}");
    }
    subject.close_session(&Key::session("a", &9_u64.to_be_bytes()));
    assert!(
        [1, 2, 3].iter().all(|challenge_id| subject.is_registered(ChallengeId(*challenge_id))),
        "another session's end closes none"
    );
    assert_eq!(open(&mut subject, 4, 3, true, 299), Err((3, 1)));
    assert_eq!(open(&mut subject, 4, 3, true, 300), Ok(()), "the first has expired");
}

#[test]
fn a_start_counts_its_message_once_and_gives_it_back() {
    let mut subject = Subject::new(1);
    for challenge_id in 1..=3 {
        assert_eq!(open(&mut subject, challenge_id, 1, false, challenge_id), Ok(()));
        assert_eq!(open(&mut subject, challenge_id, 1, false, challenge_id), Ok(()), "its second round");
    }
    assert_eq!(open(&mut subject, 4, 1, false, 3), Err((3, 298)));
    subject.record_verified(ChallengeId(2), None, at(0));
    assert_eq!(open(&mut subject, 4, 1, false, 3), Ok(()));
    subject.withdraw(ChallengeId(4));
    assert_eq!(open(&mut subject, 5, 1, false, 3), Ok(()));
}

#[test]
fn a_push_is_found_until_its_deadline_also_when_it_was_answered() {
    let mut subject = Subject::new(1);
    let session = Key::session("a", &1_u64.to_be_bytes());
    open(&mut subject, 7, 1, true, 0).unwrap();
    assert_eq!(subject.find_push(&id(7)), Some((&session, ChallengeId(7))));
    assert_eq!(subject.find_push(&id(8)), None);
    subject.record_verified(ChallengeId(7), None, at(0));
    assert_eq!(subject.find_push(&id(7)), Some((&session, ChallengeId(7))));
    open(&mut subject, 8, 1, true, 300).unwrap();
    assert_eq!(subject.find_push(&id(7)), None);
    subject.revoke_all(2);
    assert_eq!(subject.find_push(&id(8)), Some((&session, ChallengeId(8))), "its refusal counts all the same");
    assert!(!subject.is_registered(ChallengeId(8)));
}

/// Declines a push, without counting against the message budgets.
fn decline(subject: &mut Subject, challenge: u64, now: u64) {
    let session = Key::session("a", b"1");
    let deadline = at(now + 300);
    subject.rare_mut().challenges.push(ListedChallenge {
        challenge_id: ChallengeId(challenge),
        session,
        deadline,
        push: Some(id(challenge)),
        recipient: None,
        open: true,
        answered: false,
    });
    subject.record_decline(ChallengeId(challenge), &Policy::new(), at(now));
}

#[test]
fn three_denials_pause_and_an_approval_ends_their_row() {
    let policy = Policy::new();
    let paused = |subject: &Subject, now| subject.check_denials(&policy, at(now)).err().map(|hit| hit.wait.as_secs());
    let mut subject = Subject::new(1);
    decline(&mut subject, 1, 0);
    decline(&mut subject, 2, 2);
    subject.record_decline(ChallengeId(1), &policy, at(2));
    subject.record_decline(ChallengeId(2), &policy, at(2));
    subject.record_decline(ChallengeId(99), &policy, at(2));
    assert_eq!(paused(&subject, 2), None, "one of them was said twice");
    let mut approved = subject.clone();
    open(&mut approved, 9, 1, true, 2).unwrap();
    approved.record_verified(ChallengeId(9), None, at(2));
    decline(&mut approved, 10, 3);
    assert_eq!(paused(&approved, 3), None);
    decline(&mut subject, 3, 3);
    assert_eq!(paused(&subject, 3), Some(1800));
    let mut late = subject.clone();
    decline(&mut late, 4, 10);
    assert_eq!(paused(&late, 10), Some(1793), "one that was out already ends no pause");
    assert_eq!(open(&mut subject, 4, 1, true, 1802), Err((3, 1)));
    assert_eq!(open(&mut subject.clone(), 4, 1, false, 3), Ok(()), "a code is no push");
    assert_eq!(paused(&subject, 1803), None);
    decline(&mut subject, 4, 1803);
    decline(&mut subject, 5, 1803);
    assert_eq!(paused(&subject, 1803), None);
    decline(&mut subject, 6, 1803);
    assert_eq!(paused(&subject, 1803), Some(1800), "after every three");
    decline(&mut subject, 7, 1803 + 86_400);
    decline(&mut subject, 8, 1803 + 86_400);
    assert_eq!(paused(&subject, 1803 + 86_400), None, "a day forgets them");
    assert_eq!(subject.keep_until(), at(1803 + 2 * 86_400));
    let mut slow = Subject::new(1);
    (1..=3).for_each(|i| decline(&mut slow, i, i * 80_000));
    assert_eq!(paused(&slow, 240_000), Some(1800), "each came within a day of the one before");
}

#[test]
fn the_applications_lock_holds_until_it_unlocks_and_unlocking_lifts_every_lock() {
    let policy = Policy::new();
    let disabled = |subject: &Subject| subject.check_disabled("SMS", &policy, at(0)).is_err();
    let mut subject = after(50, 0);
    open(&mut subject, 2, 1, true, 0).unwrap();
    subject.record_decline(ChallengeId(2), &policy, at(0));
    subject.lock(at(0));
    open(&mut subject, 1, 1, false, 0).unwrap();
    assert!(disabled(&subject) && subject.is_locked());
    assert_eq!(subject.keep_until(), at(0).saturating_add(LOCK_KEPT));
    subject.unlock(&policy, at(0));
    assert!(!disabled(&subject) && !subject.is_locked());
    assert_eq!(wait(&subject, "SMS", 0), None);
    assert_eq!((subject.rare().wrong.len(), subject.rare().denials), (0, None));
    assert_eq!(subject.sends.keep_until(), at(86_400), "messages stay counted");
    open(&mut subject, 3, 1, false, 2).unwrap();
    open(&mut subject, 4, 2, true, 3).unwrap();
    subject.unlock(&policy, at(0));
    assert_eq!(subject.sends.keep_until(), at(2 + 86_400), "what two nodes may differ by is not the future");
    assert!(subject.is_registered(ChallengeId(3)) && !subject.is_registered(ChallengeId(4)));
}

/// T20: a timestamp from a clock ahead proves nothing, and unlocking lifts what it refuses.
#[test]
fn stamps_from_the_future_prove_nothing_and_can_be_lifted() {
    let (policy, recipient) = (Policy::new(), Key::subject("a recipient"));
    let mut subject = Subject::new(1);
    subject.record_verified(ChallengeId(1), Some(&recipient), at(2));
    let month = RECIPIENT_KNOWN.as_secs();
    let known = |now| subject.knows(&recipient, &policy, at(now));
    assert!(known(0) && known(2 + month - 1), "within the skew, and for thirty days");
    assert!(!known(2 + month));
    subject.record_verified(ChallengeId(1), Some(&recipient), at(3));
    assert!(!subject.knows(&recipient, &policy, at(0)));

    let session = Key::session("a", b"1");
    for challenge_id in 0..5 {
        subject.not_sent(ChallengeId(challenge_id), &session, None, at(1000));
        subject.not_sent(ChallengeId(challenge_id), &session, None, at(1000));
    }
    let refused = |subject: &Subject| subject.check_unsent(&policy, at(0)).map_err(|refused| refused.limit);
    assert_eq!((subject.rare().unsent.len(), refused(&subject)), (5, Err(5)), "each start counts once");
    subject.unlock(&policy, at(0));
    assert_eq!(refused(&subject), Ok(()));
}
