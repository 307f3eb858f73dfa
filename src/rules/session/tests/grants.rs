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
    let mark = Granted { usage: Use::ConsumedAgain(at(4)), ..bound("a", 1) };
    let dropped = session.without_elevation(&policy(), at(5));
    assert_eq!(dropped.grants(), std::slice::from_ref(&mark), "of an unbound one nothing stays");
    assert_eq!(dropped.restore(&[1], 1, at(5)), None, "revoked is revoked");
    let everywhere = session.in_generation(&[], 7, &policy(), at(5));
    assert_eq!(everywhere.grants(), [Granted { generation: 7, ..mark.clone() }]);
    assert_eq!(everywhere.restore(&[1], 7, at(5)), None);
    let kept = session.in_generation(&[1, 3], 7, &policy(), at(5));
    assert!(kept.restore(&[1], 7, at(5)).is_some(), "the caller's own elevation goes on");
    assert_eq!(Session::default().merged_from(&everywhere, 9).grants(), everywhere.grants(), "the session moves");
    assert_eq!(dropped.pruned(at(601 + 3599)).grants().len(), 1);
    assert_eq!(dropped.pruned(at(601 + 3600)).grants().len(), 0);
}

#[test]
fn live_grants_displace_no_younger_mark() {
    let bound = |secs| Granted { operation: Some(operation_of("a")), ..grant_of("A", None, secs) };
    let mut session = Session::with_grants(vec![bound(1)]).consume(|_| true, at(50));
    for i in 0..15 {
        session.add_grant(grant_of("A", Some(&i.to_string()), 10 + i));
    }
    let is_marked = |session: &Session| session.grants().iter().any(|grant| grant.usage.is_spent());
    for i in 0..15 {
        session.add_grant(grant_of("B", Some(&i.to_string()), 60 + i));
        assert!(is_marked(&session) && session.grants().len() == 16, "older grants go first");
    }
    session.add_grant(grant_of("B", Some("last"), 99));
    assert!(!is_marked(&session), "it is the oldest now");

    // Approved once more: the mark stays beside the new grant, and of two marks the last.
    let mut again = Session::with_grants(vec![bound(1)]).consume(|_| true, at(50));
    again.add_grant(bound(60));
    let usages = |session: &Session| session.grants().iter().map(|grant| grant.usage).collect::<Vec<_>>();
    assert_eq!(usages(&again), [Use::Consumed(at(50)), Use::Fresh]);
    again = again.consume(|index| index == 1, at(70));
    again.add_grant(bound(80));
    assert_eq!(usages(&again), [Use::Consumed(at(70)), Use::Fresh]);
    again.add_grant(bound(90));
    assert_eq!(usages(&again), [Use::Consumed(at(70)), Use::Fresh], "a grant still replaces its like");
}
