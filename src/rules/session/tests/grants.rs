//! Grants: their number and lifetime, and how they are consumed and restored.

use super::*;

#[test]
fn grants_replace_their_like_and_the_oldest() {
    let mut session = Session::default();
    let grant = |scope: &str, secs| grant_of("SMS", Some(scope), secs);
    for i in 0..20 {
        session.add_grant(grant(&i.to_string(), i));
    }
    let scopes: Vec<_> = session.grants().iter().filter_map(|grant| grant.scope.as_deref()).collect();
    assert_eq!(scopes, (4..20).map(|i| i.to_string()).collect::<Vec<_>>());
    session.add_grant(grant("5", 100));
    assert_eq!(session.grants().len(), GRANTS_PER_SESSION);
    assert_eq!(session.grants().last(), Some(&grant("5", 100)));
    assert_eq!(session.keep_until(&policy()), at(100).saturating_add(10 * MINUTE + REMEMBRANCE));
    assert!(session.without_elevation(&Policy::new(), at(1)).grants().is_empty());
    let forgotten = session.pruned(at(10_000));
    assert!(forgotten.grants().is_empty());
}

#[test]
fn a_grant_lives_until_its_end_unless_it_is_spent_or_from_the_future() {
    let is_live = |usage, now: Timestamp| Granted { usage, ..grant_of("A", None, 0) }.is_live(&policy(), now);
    let table = [
        (Use::Fresh, at(0), true),
        (Use::Restored, at(0), true),
        (Use::Consumed(at(0)), at(0), false),
        (Use::ConsumedAgain(at(0)), at(0), false),
        (Use::Fresh, Timestamp::from_millis(at(600).as_millis() - 1), true),
        (Use::Fresh, at(600), false),
        (Use::Fresh, Timestamp::from_millis(at(0).as_millis() - 2000), true),
        (Use::Fresh, Timestamp::from_millis(at(0).as_millis() - 2001), false),
    ];
    for (usage, now, expected) in table {
        assert_eq!(is_live(usage, now), expected, "{usage:?} {now:?}");
    }
}

#[test]
fn grants_are_spent_by_their_places_and_given_back_once_by_their_ids() {
    let session = Session::with_grants(vec![grant_of("A", None, 1), grant_of("B", None, 2), grant_of("C", None, 3)]);
    let usages = |session: &Session| session.grants().iter().map(|grant| grant.usage).collect::<Vec<_>>();
    let spent = session.consume(|index| index != 1, at(4));
    assert_eq!(usages(&spent), [Use::Consumed(at(4)), Use::Fresh, Use::Consumed(at(4))]);
    let given = spent.restore(&[1, 3], 1, at(5)).unwrap();
    assert_eq!(usages(&given), [Use::Restored, Use::Fresh, Use::Restored]);
    let again = given.consume(|index| index == 0, at(5));
    assert_eq!(usages(&again), [Use::ConsumedAgain(at(5)), Use::Fresh, Use::Restored]);
    for (session, ids, generation) in
        [(&spent, &[1_u64, 2][..], 1), (&spent, &[1], 2), (&spent, &[9], 1), (&again, &[1], 1), (&given, &[1], 1)]
    {
        assert_eq!(session.restore(ids, generation, at(5)), None, "{ids:?} {generation}");
    }
}

#[test]
fn of_changed_factors_only_grants_from_before_go_on() {
    let session = Session::with_grants(vec![grant_of("A", None, 1), grant_of("B", None, 2)]);
    let next = session.in_generation(&[1], 7, &policy(), at(3));
    assert_eq!(next.grants(), [Granted { generation: 7, ..grant_of("A", None, 1) }]);
    assert_eq!(next.in_generation(&[1], 7, &policy(), at(3)), next, "however often it is written");
}

/// T27, E8: a response may be lost at any time, so the mark that a request has passed outlives whatever ends an elevation,
/// and permits nothing.
#[test]
fn the_mark_of_what_was_carried_out_stays() {
    let bound = |name: &str, secs| Granted { operation: Some(operation_of(name)), ..grant_of("A", None, secs) };
    let mut session = Session::with_grants(vec![bound("a", 1), grant_of("B", None, 2), bound("c", 3)]);
    session = session.consume(|index| index < 2, at(4));
    let spent = |session: &Session, name| session.spent_at(&operation_of(name), at(5));
    assert_eq!((spent(&session, "a"), spent(&session, "c")), (Some(at(4)), None));
    let dropped = session.without_elevation(&policy(), at(5));
    let everywhere = session.in_generation(&[], 7, &policy(), at(5));
    let moved = Session::default().merged_from(&everywhere, 9);
    let other_generation = Session::default().merged_from(&session, 9);
    for session in [&dropped, &everywhere, &moved, &other_generation] {
        assert_eq!((spent(session, "a"), spent(session, "c")), (Some(at(4)), None));
        assert_eq!(session.grants(), [], "and no grant");
        assert_eq!(session.restore(&[1], 1, at(5)), None, "revoked is revoked");
    }
    let kept = session.in_generation(&[1, 3], 7, &policy(), at(5));
    assert!(kept.restore(&[1], 7, at(5)).is_some(), "the caller's own elevation goes on");

    let end = 601 + 3600;
    assert_eq!(dropped.spent_at(&operation_of("a"), at(end - 1)), Some(at(4)));
    assert_eq!(dropped.spent_at(&operation_of("a"), at(end)), None);
    assert_eq!((dropped.pruned(at(end - 1)).marks.len(), dropped.pruned(at(end)).marks.len()), (1, 0));
    assert_eq!(dropped.keep_until(&policy()), at(end));
}

/// A grant that was restored has not carried anything out.
#[test]
fn a_restored_grant_leaves_no_mark() {
    let bound = Granted { operation: Some(operation_of("a")), ..grant_of("A", None, 1) };
    let session = Session::with_grants(vec![bound]).consume(|_| true, at(4)).restore(&[1], 1, at(5)).unwrap();
    assert_eq!(session.spent_at(&operation_of("a"), at(5)), None);
    assert_eq!(session.without_elevation(&policy(), at(5)).spent_at(&operation_of("a"), at(5)), None);
}

/// Marks have a list of their own: neither displaces the other.
#[test]
fn marks_and_grants_displace_each_other_not() {
    let bound = |i: u64| Granted { operation: Some(operation_of(&i.to_string())), ..grant_of("A", None, i) };
    let mut session = Session::default();
    session.add_grant(grant_of("SMS", Some("live"), 0));
    for i in 1..=40 {
        session.add_grant(bound(i));
        let last = session.grants().len() - 1;
        session = session.consume(|index| index == last, at(100 + i));
    }
    assert!(session.grants().iter().any(|grant| *grant.channel == *"SMS"), "consumed grants go first");
    let remembered = |session: &Session| {
        (1..=40).filter(|i| session.spent_at(&operation_of(&i.to_string()), at(200)).is_some()).collect::<Vec<u64>>()
    };
    assert_eq!(remembered(&session), (10..=40).collect::<Vec<_>>(), "fifteen in the list of grants, and sixteen marks");
    let dropped = session.without_elevation(&policy(), at(200));
    assert_eq!(remembered(&dropped), (25..=40).collect::<Vec<_>>(), "the latest stay");
    assert!(dropped.is_within_bounds());
    let mut again = dropped.clone();
    for i in 0..16 {
        again.add_grant(grant_of("B", Some(&i.to_string()), i));
    }
    assert_eq!((again.grants().len(), remembered(&again)), (16, remembered(&dropped)));
}

/// Approved once more: the earlier grant cannot be restored beside the new one, and the later time is remembered.
#[test]
fn an_operation_that_is_approved_again_is_carried_out_once_more() {
    let bound = |secs| Granted { operation: Some(operation_of("a")), ..grant_of("A", None, secs) };
    let mut session = Session::with_grants(vec![bound(1)]).consume(|_| true, at(50));
    session.add_grant(bound(60));
    assert_eq!(session.grants(), [bound(60)]);
    assert_eq!(session.restore(&[1], 1, at(61)), None);
    assert_eq!(session.spent_at(&operation_of("a"), at(61)), Some(at(50)));
    session = session.consume(|_| true, at(70));
    assert_eq!(session.spent_at(&operation_of("a"), at(71)), Some(at(70)));
    session.add_grant(bound(80));
    assert_eq!((session.marks.len(), session.spent_at(&operation_of("a"), at(81))), (1, Some(at(70))));

    // A mark that comes with another session's id removes no live grant.
    let old = Session::with_grants(vec![bound(1)]).consume(|_| true, at(50)).without_elevation(&policy(), at(51));
    let merged = Session::with_grants(vec![bound(60)]).merged_from(&old, 1);
    assert_eq!((merged.grants(), merged.spent_at(&operation_of("a"), at(61))), (&[bound(60)][..], Some(at(50))));
}
