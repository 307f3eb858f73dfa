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
        (Use::Consumed, at(0), false),
        (Use::ConsumedAgain, at(0), false),
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
    let spent = session.consume(|index| index != 1);
    assert_eq!(usages(&spent), [Use::Consumed, Use::Fresh, Use::Consumed]);
    let given = spent.restore(&[1, 3], 1, at(5)).unwrap();
    assert_eq!(usages(&given), [Use::Restored, Use::Fresh, Use::Restored]);
    let again = given.consume(|index| index == 0);
    assert_eq!(usages(&again), [Use::ConsumedAgain, Use::Fresh, Use::Restored]);
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
