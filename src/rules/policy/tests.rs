//! The fixed limits, and both sides of each bound.

use super::{fixed::*, *};

#[test]
fn the_presets_are_within_their_bounds() {
    for policy in [Policy::new(), Policy::nist(), Policy::psd2()] {
        assert!(policy.check().is_ok(), "{policy:?}");
    }
}

/// The limits that cannot be configured, as literals.
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
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_bound_holds_on_both_sides() {
    let p = Policy::new;
    let ms = Duration::from_millis;
    let table: Vec<(&str, Policy, bool)> = vec![
        ("code_digits", p().code_digits(5), false),
        ("code_digits", p().code_digits(12), true),
        ("code_digits", p().code_digits(13), false),
        ("code_lifetime", p().code_lifetime(ms(29_999)), false),
        ("code_lifetime", p().code_lifetime(secs(30)), true),
        ("code_lifetime", p().code_lifetime(secs(600)), true),
        ("code_lifetime", p().code_lifetime(ms(600_001)), false),
        ("max_attempts", p().max_attempts(0), false),
        ("max_attempts", p().max_attempts(1), true),
        ("max_attempts", p().max_attempts(11), false),
        ("lockout_every", p().lockout_every(0), false),
        ("lockout_every", p().lockout_every(11), false),
        ("lockout_backoff.first", p().lockout_backoff(secs(29), secs(3600)), false),
        ("lockout_backoff.longest", p().lockout_backoff(secs(60), secs(59)), false),
        ("lockout_backoff.longest", p().lockout_backoff(secs(60), secs(86_401)), false),
        ("waits", p().lockout_backoff(secs(60), secs(60)), true),
        ("lockout_backoff.longest", p().lockout_backoff(secs(60), secs(86_400)), true),
        ("disable_after", p().disable_after(0), false),
        ("disable_after", p().disable_after(100), true),
        ("disable_after", p().disable_after(101), false),
        ("wrong_codes_a_day", p().wrong_codes_a_day(0), false),
        ("wrong_codes_a_day", p().wrong_codes_a_day(101), false),
        ("resend_interval", p().resend_interval(ms(14_999)), false),
        ("resend_interval", p().resend_interval(ms(15_500)), false),
        ("resend_interval", p().resend_interval(secs(600)), true),
        ("starts_per_session", p().starts_per_session(0), false),
        ("starts_per_session", p().starts_per_session(1), true),
        (
            "send_budget.per_5_minutes",
            p().send_budget(SendBudget::new().per_5_minutes(0).per_10_minutes(5).per_hour(15).per_day(30)),
            false,
        ),
        (
            "send_budget.per_5_minutes",
            p().send_budget(SendBudget::new().per_5_minutes(1001).per_10_minutes(1001).per_hour(1001).per_day(1001)),
            false,
        ),
        (
            "send_budget.per_10_minutes",
            p().send_budget(SendBudget::new().per_5_minutes(3).per_10_minutes(2).per_hour(15).per_day(30)),
            false,
        ),
        (
            "send_budget.per_10_minutes",
            p().send_budget(SendBudget::new().per_5_minutes(3).per_10_minutes(1001).per_hour(1001).per_day(1001)),
            false,
        ),
        (
            "send_budget.per_hour",
            p().send_budget(SendBudget::new().per_5_minutes(3).per_10_minutes(5).per_hour(4).per_day(30)),
            false,
        ),
        (
            "send_budget.per_hour",
            p().send_budget(SendBudget::new().per_5_minutes(3).per_10_minutes(5).per_hour(1001).per_day(1001)),
            false,
        ),
        (
            "send_budget.per_day",
            p().send_budget(SendBudget::new().per_5_minutes(3).per_10_minutes(5).per_hour(15).per_day(14)),
            false,
        ),
        (
            "send_budget.per_day",
            p().send_budget(SendBudget::new().per_5_minutes(3).per_10_minutes(5).per_hour(15).per_day(1001)),
            false,
        ),
        ("sends", p().send_budget(SendBudget::new().per_5_minutes(1).per_10_minutes(1).per_hour(1).per_day(1)), true),
        (
            "sends",
            p().send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000)),
            true,
        ),
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
        ("pause_after_declines", p().pause_after_declines(0, secs(60)), false),
        ("pause_after_declines", p().pause_after_declines(11, secs(60)), false),
        ("pause_after_declines.pause", p().pause_after_declines(3, secs(59)), false),
        ("pause_after_declines.pause", p().pause_after_declines(3, DAY + ms(1)), false),
        ("number_matching", p().number_matching(1), false),
        ("number_matching", p().number_matching(3), true),
        ("number_matching", p().number_matching(4), false),
        ("push_lifetime", p().push_lifetime(secs(29)), false),
        ("push_lifetime", p().push_lifetime(secs(601)), false),
        ("grant_lifetime", p().grant_lifetime(secs(9)), false),
        ("grant_lifetime", p().grant_lifetime(secs(12 * 3600)), true),
        ("grant_lifetime", p().grant_lifetime(secs(12 * 3600 + 1)), false),
        ("clock_skew", p().clock_skew(Duration::ZERO), true),
        ("clock_skew", p().clock_skew(secs(31)), false),
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

/// Every setter is read back.
#[test]
fn getters_return_what_was_set() {
    let secs = Duration::from_secs;
    let policy = Policy::new()
        .code_digits(8)
        .code_lifetime(secs(31))
        .max_attempts(3)
        .lockout_every(4)
        .lockout_backoff(secs(32), secs(33))
        .disable_after(34)
        .wrong_codes_a_day(35)
        .resend_interval(secs(36))
        .starts_per_session(37)
        .send_budget(SendBudget::new().per_5_minutes(1).per_10_minutes(2).per_hour(3).per_day(4))
        .sends_in_process(38, secs(39))
        .sends_per_prefix(5, 40, secs(41))
        .live_challenges(6)
        .pushes(42)
        .pause_after_declines(7, secs(43))
        .number_matching(2)
        .push_lifetime(secs(44))
        .grant_lifetime(secs(45))
        .one_time_grants()
        .bound_grants()
        .clock_skew(secs(46))
        .sender_deadline(secs(47))
        .store_deadline(secs(48));
    assert_eq!((policy.get_code_digits(), policy.get_max_attempts(), policy.get_lockout_every()), (8, 3, 4));
    assert_eq!((policy.get_code_lifetime(), policy.get_resend_interval()), (secs(31), secs(36)));
    assert_eq!(policy.get_lockout_backoff(), (secs(32), secs(33)));
    assert_eq!((policy.get_disable_after(), policy.get_wrong_codes_a_day()), (34, 35));
    assert_eq!((policy.get_starts_per_session(), policy.get_send_budget().get()), (Some(37), [1, 2, 3, 4]));
    assert_eq!(policy.get_sends_in_process(), Some((38, secs(39))));
    assert_eq!(policy.get_sends_per_prefix(), Some((5, 40, secs(41))));
    assert_eq!((policy.get_live_challenges(), policy.get_pushes()), (6, 42));
    assert_eq!((policy.get_pause_after_declines(), policy.get_number_matching()), ((7, secs(43)), Some(2)));
    assert_eq!((policy.get_push_lifetime(), policy.get_grant_lifetime()), (secs(44), secs(45)));
    assert!(policy.has_one_time_grants() && policy.has_bound_grants());
    assert!(!Policy::new().has_one_time_grants() && !Policy::new().has_bound_grants());
    assert_eq!((policy.get_clock_skew(), policy.get_sender_deadline()), (secs(46), secs(47)));
    assert_eq!(policy.get_store_deadline(), secs(48));
}
