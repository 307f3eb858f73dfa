//! Windows, restored messages, and factors.

use super::*;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + secs * 1000)
}

/// Codes sent at these times in seconds.
fn codes(secs: impl IntoIterator<Item = u64>) -> Sends {
    let mut sends = Sends::default();
    secs.into_iter()
        .zip(0..)
        .for_each(|(secs, challenge_id)| sends.add(ChallengeId(challenge_id), MessageKind::Code, at(secs)));
    sends
}

/// The limit, its window in seconds, and the wait in seconds.
fn hit(sends: &Sends, kind: MessageKind, now: u64) -> Option<(u32, u64, u64)> {
    let refused = sends.check(kind, 1, &Policy::new(), at(now)).err()?;
    Some((refused.limit, refused.window?.as_secs(), refused.wait.as_secs()))
}

#[test]
fn each_window_refuses_exactly_its_number() {
    let every = |n: u64, secs: u64| codes((0..n).map(|i| i * secs));
    let day = 86_400;
    let table = [
        ("none", codes([]), 0, None),
        ("two", codes([0, 1]), 1, None),
        ("three in five minutes", codes([0, 100, 200]), 200, Some((3, 300, 100))),
        ("the moment before", codes([0, 100, 200]), 299, Some((3, 300, 1))),
        ("and the moment", codes([0, 100, 200]), 300, None),
        ("five in ten minutes", codes([0, 1, 2, 300, 302]), 303, Some((5, 600, 297))),
        ("the longer wait counts", codes([0, 1, 300, 301, 302]), 303, Some((5, 600, 297))),
        ("fifteen in an hour", every(15, 200), 2_900, Some((15, 3_600, 700))),
        ("thirty in a day", every(30, 1_000), 29_001, Some((30, day, day - 29_001))),
        ("a day later", every(30, 1_000), day, None),
        ("from the future", codes([1_000, 1_001, 1_002]), 0, Some((3, 300, 1_300))),
    ];
    for (name, sends, now, expected) in table {
        assert_eq!(hit(&sends, MessageKind::Code, now), expected, "{name}");
    }
    let clock_at_its_end = Sends(List::from(vec![
        Send {
            challenge_id: ChallengeId(1),
            at: Timestamp::from_millis(u64::MAX),
            kind: MessageKind::Code,
            verified: false
        };
        3
    ]));
    assert!(clock_at_its_end.check(MessageKind::Code, 1, &Policy::new(), at(0)).is_err());
}

#[test]
fn pushes_have_a_short_window_of_their_own_and_share_the_long_ones() {
    let mut sends = codes([0, 1, 2]);
    assert_eq!(hit(&sends, MessageKind::Push, 2), None);
    (10..13).for_each(|challenge_id| sends.add(ChallengeId(challenge_id), MessageKind::Push, at(3)));
    assert_eq!(hit(&sends, MessageKind::Push, 3), Some((3, 600, 600)));
    assert_eq!(hit(&sends, MessageKind::Code, 300), None, "pushes are no codes");
    (20..29).for_each(|challenge_id| sends.add(ChallengeId(challenge_id), MessageKind::Push, at(700)));
    assert_eq!(hit(&sends, MessageKind::Code, 1_400), Some((15, 3_600, 2_200)), "but messages");
}

#[test]
fn what_was_verified_counts_for_the_day_alone_and_what_was_not_sent_not_at_all() {
    let mut sends = Sends::default();
    for challenge_id in 0..29 {
        sends.add(ChallengeId(challenge_id), MessageKind::Code, at(challenge_id));
        sends.verified(ChallengeId(challenge_id));
        assert_eq!(hit(&sends, MessageKind::Code, challenge_id), None, "{challenge_id}");
    }
    sends.add(ChallengeId(29), MessageKind::Code, at(29));
    assert_eq!(hit(&sends, MessageKind::Code, 29), Some((30, 86_400, 86_400 - 29)));
    sends.verified(ChallengeId(99));
    sends.remove(ChallengeId(99));
    assert_eq!(hit(&sends, MessageKind::Code, 29), Some((30, 86_400, 86_400 - 29)), "another start");
    sends.remove(ChallengeId(29));
    assert_eq!(hit(&sends, MessageKind::Code, 29), None);
    assert_eq!(sends.keep_until(), at(28).saturating_add(DAY));
    sends.add(ChallengeId(30), MessageKind::Code, at(28).saturating_add(DAY));
    assert_eq!(sends.0.len(), 1, "the others were forgotten");
}

#[test]
fn a_factor_multiplies_every_budget() {
    let sends = codes([0; 9]);
    let policy = Policy::new();
    assert!(sends.check(MessageKind::Code, 4, &policy, at(0)).is_ok());
    assert_eq!(sends.check(MessageKind::Code, 3, &policy, at(0)).unwrap_err().limit, 9);
}
