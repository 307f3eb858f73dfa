//! Decisions for combinations of grants and requirements, and requirements that are refused.

use super::*;
use crate::rules::{Granted, Name, Policy, Session, Timestamp, Use, operation_of};

const T0: u64 = 1_000_000_000;

fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(T0.checked_add_signed(offset).unwrap())
}

fn grant(channel: &str, scope: Option<&str>, verified: i64) -> Granted {
    Granted {
        id: 1,
        channel: channel.into(),
        scope: scope.map(Into::into),
        operation: None,
        verified_at: at(verified),
        expires_at: at(verified + 600_000),
        generation: 1,
        usage: Use::Fresh,
    }
}

/// A name, the grants, the requirement, the time, and the index of the deciding grant or the reason.
type Row = (&'static str, Vec<Granted>, Requirement, i64, Result<usize, UnmetReason>);

#[test]
fn decide_is_a_table() {
    let any = Requirement::new;
    let pay = || any().scope("pay");
    let fresh = || any().max_age(Duration::from_secs(120));
    let sms = || grant("SMS", None, 0);
    let table: [Row; 22] = [
        ("no grant", vec![], any(), 0, Err(UnmetReason::Missing)),
        ("fits", vec![sms()], any(), 0, Ok(0)),
        ("last moment", vec![sms()], any(), 599_999, Ok(0)),
        ("deadline", vec![sms()], any(), 600_000, Err(UnmetReason::Expired)),
        ("scope unasked", vec![grant("SMS", Some("pay"), 0)], any(), 0, Err(UnmetReason::WrongScope)),
        ("scope missing", vec![sms()], pay(), 0, Err(UnmetReason::WrongScope)),
        ("scope fits", vec![grant("SMS", Some("pay"), 0)], pay(), 0, Ok(0)),
        ("scope other case", vec![grant("SMS", Some("Pay"), 0)], pay(), 0, Err(UnmetReason::WrongScope)),
        ("scope prefix", vec![grant("SMS", Some("pay2"), 0)], pay(), 0, Err(UnmetReason::WrongScope)),
        ("second fits", vec![sms(), grant("SMS", Some("pay"), 0)], pay(), 0, Ok(1)),
        ("channel fits", vec![sms()], any().channels(["SMS"]), 0, Ok(0)),
        ("channel other", vec![sms()], any().channels(["BIO"]), 0, Err(UnmetReason::WrongChannel)),
        ("channel case", vec![sms()], any().channels(["sms"]), 0, Err(UnmetReason::WrongChannel)),
        ("age at bound", vec![sms()], fresh(), 120_000, Ok(0)),
        ("age past bound", vec![sms()], fresh(), 120_001, Err(UnmetReason::TooOld)),
        ("expired before old", vec![sms()], fresh(), 600_000, Err(UnmetReason::Expired)),
        ("nearest wins", vec![sms(), grant("SMS", Some("pay"), -600_000)], pay(), 0, Err(UnmetReason::Expired)),
        ("skew counts as now", vec![grant("SMS", None, 2_000)], fresh(), 0, Ok(0)),
        ("from the future", vec![grant("SMS", None, 2_001)], any(), 0, Err(UnmetReason::Missing)),
        ("remembered for an hour", vec![sms()], any(), 4_199_999, Err(UnmetReason::Expired)),
        ("forgotten", vec![sms()], any(), 4_200_000, Err(UnmetReason::Missing)),
        ("end of time", vec![sms()], any(), i64::MAX - 1_000_000_001, Err(UnmetReason::Missing)),
    ];
    for (name, grants, requirement, now, expected) in table {
        let session = Session::with_grants(grants);
        let decided = decide(Some(&session), &requirement, None, &Policy::new(), at(now));
        let decided = decided.map(|satisfied| satisfied.first).map_err(|unmet| unmet.reason());
        assert_eq!(decided, expected, "{name}");
    }
    assert_eq!(decide(None, &any(), None, &Policy::new(), at(0)), Err(UnmetReason::Missing.into()));
}

/// A row is the grants, the requirement, the time, and the result: the indexes of the grants that satisfy it, or the
/// reason and the reasons of each channel.
#[test]
fn channels_are_any_or_all_each_with_its_age() {
    let bio = || Factor::new("BIO").max_age(Duration::from_secs(60));
    let both = || Requirement::new().all_of([Factor::new("SMS"), bio()]);
    let either = || Requirement::new().channels([Factor::new("SMS"), bio()]);
    let strict = || either().max_age(Duration::from_secs(30));
    let at = |channel, verified| grant(channel, None, verified);
    let table = [
        (vec![], both(), 0, "missing: SMS missing, BIO missing"),
        (vec![at("SMS", 0)], both(), 0, "missing: BIO missing"),
        (vec![at("BIO", 0)], both(), 0, "missing: SMS missing"),
        (vec![at("SMS", 0), at("BIO", 0)], both(), 0, "0b11"),
        (vec![at("BIO", 0), at("X", 0), at("SMS", 0)], both(), 0, "0b101"),
        (vec![at("SMS", 0), at("BIO", 0)], both(), 60_000, "0b11"),
        (vec![at("SMS", 0), at("BIO", 0)], both(), 60_001, "too_old: BIO too_old"),
        (vec![at("BIO", 0)], both(), 60_001, "too_old: SMS missing, BIO too_old"),
        (vec![at("X", 0)], both(), 0, "missing: SMS missing, BIO missing"),
        (vec![at("SMS", 0)], either(), 60_001, "0b1"),
        (vec![at("X", 0), at("BIO", 0)], either(), 60_000, "0b10"),
        (vec![at("BIO", 0)], either(), 60_001, "too_old: SMS missing, BIO too_old"),
        (vec![at("X", 0)], either(), 0, "wrong_channel: SMS missing, BIO missing"),
        (vec![at("SMS", 0)], strict(), 30_000, "0b1"),
        (vec![at("SMS", 0)], strict(), 30_001, "too_old: SMS too_old, BIO missing"),
    ];
    for (row, (grants, requirement, now, expected)) in table.into_iter().enumerate() {
        let session = Session::with_grants(grants);
        let decided = match decide(Some(&session), &requirement, None, &Policy::new(), self::at(now)) {
            Ok(satisfied) => {
                let taken: Vec<_> = (0..4).filter(|index| satisfied.contains(*index)).collect();
                assert_eq!(satisfied.all, taken.iter().map(|index| 1 << index).sum::<u32>());
                format!("{:#b}", satisfied.all)
            }
            Err(unmet) => {
                let part = |part: &UnmetPart| format!("{} {}", part.channel(), part.reason());
                let parts: Vec<_> = unmet.parts().iter().map(part).collect();
                format!("{}: {}", unmet.reason(), parts.join(", "))
            }
        };
        assert_eq!(decided, expected, "row {row}");
    }
}

#[test]
fn what_is_bound_spent_or_for_the_session() {
    let this = operation_of("this");
    let bound = |name| Granted { operation: Some(operation_of(name)), ..grant("SMS", None, 0) };
    let used = |usage| Granted { usage, ..grant("SMS", None, 0) };
    let any = Requirement::new;
    let decided = |grants: Vec<Granted>, requirement: &Requirement, operation: Option<_>, policy: &Policy| {
        let decided = decide(Some(&Session::with_grants(grants)), requirement, operation, policy, at(0));
        decided.map(|satisfied| satisfied.first).map_err(|unmet| unmet.reason())
    };
    let policy = &Policy::new();
    assert_eq!(decided(vec![bound("this")], &any(), Some(&this), policy), Ok(0));
    assert_eq!(decided(vec![bound("other")], &any(), Some(&this), policy), Err(UnmetReason::Mismatch));
    assert_eq!(decided(vec![bound("this")], &any(), None, policy), Err(UnmetReason::Mismatch), "it opens nothing else");
    assert_eq!(decided(vec![grant("SMS", None, 0)], &any(), Some(&this), policy), Err(UnmetReason::Mismatch));
    assert_eq!(
        decided(vec![grant("SMS", None, 0)], &any(), None, &policy.clone().bound_grants()),
        Err(UnmetReason::Mismatch)
    );
    assert_eq!(decided(vec![used(Use::Consumed(at(0)))], &any(), None, policy), Err(UnmetReason::Spent));
    assert_eq!(decided(vec![used(Use::Restored)], &any(), None, policy), Ok(0));
    assert_eq!(decided(vec![used(Use::ConsumedAgain(at(0)))], &any(), None, policy), Err(UnmetReason::Spent));
    let pay = || any().scope("pay");
    assert_eq!(decided(vec![grant("SMS", None, 0)], &pay().or_session(), None, policy), Ok(0));
    assert_eq!(decided(vec![grant("SMS", Some("pay"), 0)], &pay().or_session(), None, policy), Ok(0));
    assert_eq!(
        decided(vec![grant("SMS", Some("x"), 0)], &pay().or_session(), None, policy),
        Err(UnmetReason::WrongScope)
    );
}

/// T27: whatever else stands nearer, a client learns that this very operation has been carried out.
#[test]
fn what_this_operation_has_spent_is_said_first() {
    let (this, policy) = (operation_of("this"), Policy::new());
    let spent = |name: &str, secs| {
        let (operation, usage) = (Some(operation_of(name)), Use::Consumed(at(secs)));
        Granted { operation, usage, ..grant("SMS", None, 0) }
    };
    let live = Granted { operation: Some(this), ..grant("SMS", None, 0) };
    let aged = Granted { operation: Some(this), expires_at: at(1), ..grant("BIO", None, 0) };
    let elsewhere = Granted { scope: Some("pay".into()), ..spent("this", 3) };
    let session = grant("SMS", None, 0);
    let mut unbound = session.clone();
    unbound.usage = Use::Consumed(at(9));
    let (reason, missing) = (UnmetReason::Spent, UnmetReason::Missing);
    let table = [
        (vec![spent("this", 1)], Err((reason, Some(at(1))))),
        (vec![spent("this", 1), spent("this", 2)], Err((reason, Some(at(2))))),
        (vec![spent("this", 1), aged.clone()], Err((reason, Some(at(1))))),
        (vec![elsewhere], Err((reason, Some(at(3))))),
        (vec![spent("this", 1), live], Ok(1)),
        (vec![spent("other", 1)], Err((UnmetReason::Mismatch, None))),
        (vec![spent("other", 1), aged], Err((UnmetReason::Expired, None))),
        (vec![session, unbound], Err((UnmetReason::Mismatch, None))),
        (vec![], Err((missing, None))),
    ];
    for (row, (grants, expected)) in table.into_iter().enumerate() {
        let decided = decide(Some(&Session::with_grants(grants)), &Requirement::new(), Some(&this), &policy, at(5));
        let decided = decided.map(|satisfied| satisfied.first).map_err(|unmet| (unmet.reason(), unmet.spent_at()));
        assert_eq!(decided, expected, "row {row}");
    }
    let both = Requirement::new().all_of(["SMS", "BIO"]);
    let unmet = decide(Some(&Session::with_grants(vec![spent("this", 1)])), &both, Some(&this), &policy, at(5));
    assert_eq!(
        unmet.map_err(|unmet| (unmet.reason(), unmet.spent_at(), unmet.parts().len())),
        Err((reason, Some(at(1)), 2))
    );
    // The operation of an unbound route is not known, so nothing says that this request has passed.
    let unmet = decide(Some(&Session::with_grants(vec![spent("this", 1)])), &Requirement::new(), None, &policy, at(5));
    assert_eq!(unmet.map_err(|unmet| (unmet.reason(), unmet.spent_at())), Err((UnmetReason::Mismatch, None)));
}

#[test]
fn a_record_with_too_many_grants_satisfies_nothing() {
    let any = Requirement::new;
    for (count, fits) in [(16, true), (17, false), (32, false), (41, false), (65, false)] {
        let mut grants = vec![grant("SMS", Some("pay"), 0); count - 1];
        grants.push(grant("SMS", None, 0));
        let session = Session::with_grants(grants);
        for asked in [any(), any().channels(["SMS"]), any().all_of(["SMS"])] {
            let decided = decide(Some(&session), &asked, None, &Policy::new(), at(0));
            let expected = if fits { Ok(count - 1) } else { Err(UnmetReason::Missing) };
            assert_eq!(decided.as_ref().map(|it| it.first).map_err(Unmet::reason), expected, "{count}");
            assert!(decided.is_err() || (0..100).all(|at| decided.as_ref().unwrap().contains(at) == (at == count - 1)));
        }
    }
}

#[test]
fn what_is_said_of_a_requirement_and_what_it_lacks() {
    let any = Requirement::new;
    assert_eq!((any().is_once(), any().once().is_once()), (false, true));
    assert_eq!((any().accepts("X"), any().channels(["SMS"]).accepts("X")), (true, false));
    assert!(any().all_of(["SMS", "BIO"]).accepts("BIO"));
    let unmet = Unmet::from(UnmetReason::Spent).bound("canary".into(), "canary: 5 EUR".into());
    assert_eq!((unmet.binding(), unmet.operation()), (Some("canary"), Some("canary: 5 EUR")));
    let printed = format!("{unmet:?}");
    assert!(printed.contains("Spent") && !printed.contains("canary"), "{printed}");
}

#[test]
fn requirements_that_nothing_satisfies_are_refused() {
    let check = |requirement: Requirement| {
        requirement.check(["SMS", "BIO"].into_iter(), Some(&["pay:eur".into()]), &Policy::new())
    };
    let any = Requirement::new;
    assert_eq!(check(any()), Ok(()));
    assert_eq!(check(any().scope("pay:eur").max_age(Duration::from_secs(1)).channels(["BIO"])), Ok(()));
    assert_eq!(check(any().max_age(Duration::from_millis(999))), Err(ConfigError::MaxAgeTooShort));
    assert_eq!(check(any().channels(Vec::<String>::new())), Err(ConfigError::NoChannel));
    assert_eq!(check(any().channels(["SMS", "EMAIL"])), Err(ConfigError::UnknownChannel { channel: "EMAIL".into() }));
    assert_eq!(check(any().scope("pay")), Err(ConfigError::UnknownScope { scope: "pay".into() }));
    assert_eq!(check_scope(&"x".repeat(128)), Ok(()));
    assert_eq!(check(any().or_session()), Err(ConfigError::OrSessionWithoutScope));
    assert_eq!(check(any().scope("pay:eur").or_session().once()), Ok(()));
    assert_eq!(check(any().all_of([Factor::new("SMS").max_age(Duration::ZERO)])), Err(ConfigError::MaxAgeTooShort));
    assert_eq!(check(any().all_of(["SMS", "BIO"])), Ok(()));
    assert_eq!(check(any().all_of(["SMS", "SMS"])), Err(ConfigError::RepeatedChannel { channel: "SMS".into() }));
    assert_eq!(check(any().channels(vec!["SMS"; 17])), Err(ConfigError::TooManyChannels));
    assert!(matches!(check(any().channels(vec!["SMS"; 16])), Err(ConfigError::RepeatedChannel { .. })));
    let secs = Duration::from_secs;
    for (lifetime, fits) in [(secs(1), true), (secs(4_198), true), (secs(0), false), (secs(4_199), false)] {
        assert_eq!(check(any().stream_for(lifetime)).is_ok(), fits, "{lifetime:?}");
    }
    for scope in ["", " ", "a b", "a\"", "a\\", "ü", "a\r\nb", &"x".repeat(129)] {
        assert_eq!(check(any().scope(scope)), Err(ConfigError::InvalidScope { scope: scope.into() }));
    }
}

#[test]
fn reasons_are_ordered_as_they_are_checked() {
    assert!(UnmetReason::ALL.is_sorted());
}

/// A variant that `ALL` lacks would be answered as `missing`. This match does not compile until a new one is counted here;
/// list it there, too.
#[test]
fn every_reason_is_listed() {
    let one = |reason| match reason {
        UnmetReason::Missing
        | UnmetReason::WrongScope
        | UnmetReason::WrongChannel
        | UnmetReason::Mismatch
        | UnmetReason::Spent
        | UnmetReason::Expired
        | UnmetReason::TooOld
        | UnmetReason::NoChannel => 1,
    };
    assert_eq!(UnmetReason::ALL.map(one).iter().sum::<usize>(), 8);
}

#[test]
fn getters_return_what_was_asked_for() {
    let secs = Duration::from_secs;
    let asked = Requirement::new().scope("pay").max_age(secs(60)).all_of([Factor::new("SMS").max_age(secs(30))]).once();
    assert_eq!((asked.get_scope(), asked.get_max_age(), asked.is_once()), (Some("pay"), Some(secs(60)), true));
    let factors: Vec<_> = asked.get_factors().map(|factor| (factor.channel(), factor.get_max_age())).collect();
    assert_eq!((factors, asked.takes_all()), (vec![("SMS", Some(secs(30)))], true));
    let any = Requirement::new();
    assert_eq!((any.get_scope(), any.get_max_age(), any.is_once(), any.get_factors().count()), (None, None, false, 0));
}

/// Names as an interner that knows some of them.
fn names() -> impl Fn(&str) -> Option<Name> {
    let known = ["SMS", "BIO", "pay", "card"].map(Name::leak);
    move |text| known.into_iter().find(|name| name.as_str() == text)
}

/// Every combination of a grant's parts and a requirement's.
#[test]
fn the_fast_path_permits_what_the_record_does_and_nothing_else() {
    let names = names();
    let (mut permitted, mut undecided) = (0, 0);
    let requirements: Vec<_> = [None, Some("pay"), Some("card"), Some("unknown")]
        .into_iter()
        .flat_map(|scope| [false, true].map(|or_session| (scope, or_session)))
        .flat_map(|(scope, or_session)| [None, Some(60), Some(600)].map(|max_age| (scope, or_session, max_age)))
        .flat_map(|(scope, or_session, max_age)| {
            let sms = Factor::new("SMS");
            let channels = [None, Some(vec![sms.clone()]), Some(vec![Factor::new("BIO"), sms.max_age(secs(30))])];
            channels.map(|channels| {
                let mut requirement = Requirement::new();
                requirement.scope = scope.map(Into::into);
                requirement.or_session = or_session;
                requirement.max_age = max_age.map(secs);
                requirement.factors = channels.map(|list| Factors { list, all: false });
                (requirement.compile(&names), requirement)
            })
        })
        .collect();
    for channel in ["SMS", "BIO", "FAX"] {
        for scope in [None, Some("pay"), Some("Pay"), Some("unknown")] {
            for (usage, bound) in
                [(Use::Fresh, false), (Use::Restored, false), (Use::Consumed(at(0)), false), (Use::Fresh, true)]
            {
                let mut grant = grant(channel, scope, 0);
                (grant.usage, grant.operation) = (usage, bound.then(|| operation_of("a")));
                let session = Session::with_grants(vec![grant]);
                let Some(summary) = Summary::of(&session, &names) else {
                    undecided += 1;
                    continue;
                };
                for (compiled, requirement) in &requirements {
                    let Some(compiled) = compiled else { continue };
                    for policy in [Policy::new(), Policy::new().bound_grants()] {
                        for now in [-2_001, -2_000, 0, 30_000, 30_001, 60_001, 599_999, 600_000] {
                            let decided = decide(Some(&session), requirement, None, &policy, at(now));
                            let permits = compiled.permits(&summary, &policy, at(now));
                            assert_eq!(permits, decided.is_ok(), "{summary:?} {requirement:?} {now}");
                            permitted += u32::from(permits);
                        }
                    }
                }
            }
        }
    }
    assert!(permitted > 500 && undecided > 20, "{permitted} {undecided}");
}

#[test]
fn the_fast_path_leaves_other_records_and_requirements_alone() {
    let names = names();
    assert_eq!(Summary::of(&Session::default(), &names), None);
    let two = Session::with_grants(vec![grant("SMS", None, 0), grant("BIO", None, 0)]);
    assert_eq!(Summary::of(&two, &names), None, "which of them decides, the record says");
    let compiles = |requirement: Requirement| requirement.compile(&names).is_some();
    assert!(compiles(Requirement::new().scope("pay").channels(["SMS"])));
    assert!(!compiles(Requirement::new().scope("unknown")));
    assert!(!compiles(Requirement::new().channels(["FAX"])));
    assert!(!compiles(Requirement::new().all_of(["SMS"])));
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
