//! The numbers that are fixed, and both sides of each bound.

use super::{fixed::*, *};

#[test]
fn the_presets_are_within_their_bounds() {
    for policy in [Policy::new(), Policy::nist(), Policy::psd2()] {
        assert!(policy.check().is_ok(), "{policy:?}");
    }
}

/// The numbers that no setting changes, written out.
#[test]
fn what_is_fixed_is_as_documented() {
    let seconds = [
        (REMEMBRANCE, 3_600),
        (FAILURES_KEPT, 34_560_000),
        (DAY, 86_400),
        (STARTS_KEPT, 2_592_000),
        (BODY_DEADLINE, 5),
        (FIVE_MINUTES, 300),
        (TEN_MINUTES, 600),
        (HOUR, 3_600),
        (LOCK_KEPT, 315_360_000),
        (secs(7), 7),
    ];
    for (duration, expected) in seconds {
        assert_eq!(duration, Duration::from_secs(expected));
    }
    assert_eq!((BODY_LIMIT, BOUND_BODY_LIMIT, RECORD_LIST_LIMIT), (4_096, 65_536, 10_000));
    assert_eq!((GRANTS_PER_SESSION, SESSIONS_PER_SUBJECT, RECIPIENT_FACTOR, NUMBER_TRIES), (16, 16, 3, 3));
    assert_eq!((UNSENT_STARTS, KNOWN_RECIPIENTS, RECIPIENT_KNOWN), (5, 4, DAY * 30));
    assert_eq!(KNOWN_RECIPIENT_FACTOR, 6);
}

#[test]
fn each_bound_holds_on_both_sides() {
    let p = Policy::new;
    let ms = Duration::from_millis;
    let table: Vec<(&str, Policy, bool)> = vec![
        ("code_digits", p().code_digits(5), false),
        ("code_digits", p().code_digits(12), true),
        ("code_digits", p().code_digits(13), false),
        ("code_life", p().code_life(ms(29_999)), false),
        ("code_life", p().code_life(secs(30)), true),
        ("code_life", p().code_life(secs(600)), true),
        ("code_life", p().code_life(ms(600_001)), false),
        ("tries", p().tries(0), false),
        ("tries", p().tries(1), true),
        ("tries", p().tries(11), false),
        ("wait_every", p().wait_every(0), false),
        ("wait_every", p().wait_every(11), false),
        ("waits.first", p().waits(secs(29), secs(3600)), false),
        ("waits.longest", p().waits(secs(60), secs(59)), false),
        ("waits.longest", p().waits(secs(60), secs(86_401)), false),
        ("waits", p().waits(secs(60), secs(60)), true),
        ("waits.longest", p().waits(secs(60), secs(86_400)), true),
        ("disable_at", p().disable_at(0), false),
        ("disable_at", p().disable_at(100), true),
        ("disable_at", p().disable_at(101), false),
        ("wrong_codes_a_day", p().wrong_codes_a_day(0), false),
        ("wrong_codes_a_day", p().wrong_codes_a_day(101), false),
        ("resend_interval", p().resend_interval(ms(14_999)), false),
        ("resend_interval", p().resend_interval(ms(15_500)), false),
        ("resend_interval", p().resend_interval(secs(600)), true),
        ("starts_per_session", p().starts_per_session(0), false),
        ("starts_per_session", p().starts_per_session(1), true),
        ("sends.five_minutes", p().sends(0, 5, 15, 30), false),
        ("sends.five_minutes", p().sends(1001, 1001, 1001, 1001), false),
        ("sends.ten_minutes", p().sends(3, 2, 15, 30), false),
        ("sends.ten_minutes", p().sends(3, 1001, 1001, 1001), false),
        ("sends.hour", p().sends(3, 5, 4, 30), false),
        ("sends.hour", p().sends(3, 5, 1001, 1001), false),
        ("sends.day", p().sends(3, 5, 15, 14), false),
        ("sends.day", p().sends(3, 5, 15, 1001), false),
        ("sends", p().sends(1, 1, 1, 1), true),
        ("sends", p().sends(1000, 1000, 1000, 1000), true),
        ("sends_in_process", p().sends_in_process(0, secs(1)), false),
        ("sends_in_process", p().sends_in_process(1, secs(1)), true),
        ("sends_in_process.per", p().sends_in_process(1, ms(999)), false),
        ("sends_in_process.per", p().sends_in_process(1, DAY + ms(1)), false),
        ("sends_per_prefix", p().sends_per_prefix(4, 0, secs(1)), false),
        ("sends_per_prefix.characters", p().sends_per_prefix(0, 1, secs(1)), false),
        ("sends_per_prefix.characters", p().sends_per_prefix(9, 1, secs(1)), false),
        ("sends_per_prefix", p().sends_per_prefix(8, 1, DAY), true),
        ("sends_per_prefix.per", p().sends_per_prefix(4, 1, ms(999)), false),
        ("live_challenges", p().live_challenges(0), false),
        ("live_challenges", p().live_challenges(10), true),
        ("live_challenges", p().live_challenges(11), false),
        ("pushes", p().pushes(0), false),
        ("pushes", p().pushes(100), true),
        ("pushes", p().pushes(101), false),
        ("denials", p().denials(0, secs(60)), false),
        ("denials", p().denials(11, secs(60)), false),
        ("denials.pause", p().denials(3, secs(59)), false),
        ("denials.pause", p().denials(3, DAY + ms(1)), false),
        ("push_number", p().push_number(1), false),
        ("push_number", p().push_number(3), true),
        ("push_number", p().push_number(4), false),
        ("push_life", p().push_life(secs(29)), false),
        ("push_life", p().push_life(secs(601)), false),
        ("grant_life", p().grant_life(secs(9)), false),
        ("grant_life", p().grant_life(secs(12 * 3600)), true),
        ("grant_life", p().grant_life(secs(12 * 3600 + 1)), false),
        ("skew", p().skew(Duration::ZERO), true),
        ("skew", p().skew(secs(31)), false),
        ("sender_deadline", p().sender_deadline(secs(61)), false),
        ("store_deadline", p().store_deadline(Duration::ZERO), false),
        ("store_deadline", p().store_deadline(Duration::MAX), false),
    ];
    for (setting, policy, ok) in table {
        let checked = policy.check();
        assert_eq!(checked.is_ok(), ok, "{setting}: {checked:?}");
        if let Err(error) = checked {
            assert!(error.to_string().contains(setting), "{error}");
        }
    }
}
