//! Proofs that the application has verified itself, and the scopes that there are.

use axum::{Router, routing::post};
use serde_json::json;
use testkit::{Elsewhere, Fails};
use tower_step_up::{
    Caller, ChallengeError, ConfigError, Malformed, ManualClock, Proof, ProofError, Purpose, RequireStepUp,
    Requirement, StepUp, Timestamp, UnmetReason,
};

use super::{
    alice,
    app::{App, ask, companion},
    builder, grant, local,
    once::reason,
    remote, secs,
};

fn after(clock: &ManualClock, millis: i64) -> Timestamp {
    Timestamp::from_millis(tower_step_up::Clock::now(clock).as_millis().checked_add_signed(millis).unwrap())
}

/// When it was verified, in milliseconds from now, and what becomes of it. The skew is two seconds, a life ten minutes.
#[tokio::test]
async fn times_are_a_table() {
    let table = [
        (i64::MIN, Err(ProofError::Expired)),
        (-600_000, Err(ProofError::Expired)),
        (-599_999, Ok(())),
        (0, Ok(())),
        (2_000, Ok(())),
        (2_001, Err(ProofError::InTheFuture)),
        (3_600_000, Err(ProofError::InTheFuture)),
        (i64::MAX, Err(ProofError::InTheFuture)),
    ];
    for (millis, expected) in table {
        let clock = ManualClock::new();
        at(&local(&clock), &clock, millis, expected).await;
        let store = Elsewhere::default();
        at(&remote(&clock, &store), &clock, millis, expected).await;
    }
}

async fn at(step_up: &StepUp, clock: &ManualClock, millis: i64, expected: Result<(), ProofError>) {
    let now = tower_step_up::Clock::now(clock);
    let verified = Timestamp::from_millis(now.as_millis().saturating_add_signed(millis));
    let granted = step_up.record_proof(&alice(), Proof::new("KEY").verified_at(verified)).await;
    assert_eq!(granted.as_ref().map(|_| ()).map_err(|error| *error), expected, "{millis}");
    let Ok(granted) = granted else {
        assert_eq!(reason(step_up, &alice(), Requirement::new()).await, Some(UnmetReason::Missing), "{millis}");
        return;
    };
    assert_eq!((granted.channel(), granted.scope(), granted.is_bound()), ("KEY", None, false));
    assert_eq!(granted.verified_at(), verified);
    assert_eq!(granted.expires_at(), verified.saturating_add(secs(600)), "its life is counted from when it was proven");
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, None, "{millis}");
    clock.set(Timestamp::from_millis(granted.expires_at().as_millis() - 1));
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, None, "{millis}");
    clock.set(granted.expires_at());
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, Some(UnmetReason::Expired), "{millis}");
    clock.set(now);
}

/// An age counts from when it was proven, not from when the application said so.
#[tokio::test]
async fn ages_count_from_the_proof() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let proof = Proof::new("KEY").verified_at(after(&clock, -100_000));
    step_up.record_proof(&alice(), proof).await.unwrap();
    let fresh = |age| Requirement::new().max_age(secs(age));
    assert_eq!(reason(&step_up, &alice(), fresh(100)).await, None);
    assert_eq!(reason(&step_up, &alice(), fresh(99)).await, Some(UnmetReason::TooOld));
}

/// Two nodes whose clocks differ: what the one has granted is from the future for the other, and proves nothing there.
#[tokio::test]
async fn a_node_that_is_ahead() {
    for (ahead, expected) in [(2_000, None), (2_001, Some(UnmetReason::Missing))] {
        let store = Elsewhere::default();
        let (behind, ahead_clock) = (ManualClock::new(), ManualClock::new());
        ahead_clock.set(after(&behind, ahead));
        let (here, there) = (remote(&behind, &store), remote(&ahead_clock, &store));
        grant(&there, &alice(), "KEY").await;
        for requirement in [Requirement::new(), Requirement::new().all_of(["KEY"]), Requirement::new().once()] {
            assert_eq!(reason(&here, &alice(), requirement).await, expected, "{ahead}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_grants_nothing() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).scopes(["pay"]).build().unwrap();
    let long = "A".repeat(2049);
    let table = [
        (Proof::new("PASSKEY"), ProofError::UnknownChannel),
        (Proof::new("key"), ProofError::UnknownChannel),
        // A channel for codes or pushes is proven by a code or a push.
        (Proof::new("SMS"), ProofError::UnknownChannel),
        (Proof::new("BIO"), ProofError::UnknownChannel),
        (Proof::new("KEY").purpose(Some("")), ProofError::Scope(Malformed::Blank)),
        (Proof::new("KEY").purpose(Some("a b")), ProofError::Scope(Malformed::InvalidCharacter)),
        (Proof::new("KEY").purpose(Some("look")), ProofError::Scope(Malformed::Unknown)),
        (Proof::new("KEY").purpose(Purpose::new().binding("")), ProofError::Binding(Malformed::Blank)),
        (Proof::new("KEY").purpose(Purpose::new().binding("A")), ProofError::Binding(Malformed::InvalidCharacter)),
        (Proof::new("KEY").purpose(Purpose::new().binding(&long)), ProofError::Binding(Malformed::WrongLength)),
    ];
    for (proof, expected) in table {
        assert_eq!(step_up.record_proof(&alice(), proof).await.err(), Some(expected));
    }
    assert!(step_up.status(&alice()).await.unwrap().grants.is_empty());
    step_up.lock("alice").await.unwrap();
    assert_eq!(step_up.record_proof(&alice(), Proof::new("KEY")).await.err(), Some(ProofError::Locked));
    step_up.unlock("alice").await.unwrap();
    assert!(step_up.record_proof(&alice(), Proof::new("KEY")).await.is_ok());
}

/// What ends an elevation ends that of a proof, and a session that gets another id takes it along.
#[tokio::test]
async fn a_proof_ends_like_any_other() {
    for end in ["revoke", "revoke_all", "transfer"] {
        let clock = ManualClock::new();
        ends(&local(&clock), end).await;
        let store = Elsewhere::default();
        ends(&remote(&clock, &store), end).await;
    }
}

async fn ends(step_up: &StepUp, end: &str) {
    let (one, two, bob) = (alice(), Caller::user("alice").session("2"), Caller::user("bob").session("1"));
    let standing = async || {
        let any = Requirement::new;
        [&one, &two, &bob].map(|caller| (caller, any()))
    };
    for (caller, _) in standing().await {
        if !(end == "transfer" && std::ptr::eq(caller, &raw const two)) {
            grant(step_up, caller, "KEY").await;
        }
    }
    let expected = match end {
        "revoke" => {
            step_up.revoke(&one).await.unwrap();
            [false, true, true]
        }
        "revoke_all" => {
            step_up.revoke_all("alice").await.unwrap();
            [false, false, true]
        }
        _ => {
            step_up.transfer(&one, &two).await.unwrap();
            [false, true, true]
        }
    };
    for ((caller, requirement), expected) in standing().await.into_iter().zip(expected) {
        assert_eq!(step_up.authorize(caller, &requirement).await.is_ok(), expected, "{end}");
    }
    grant(step_up, &one, "KEY").await;
    assert!(step_up.authorize(&one, &Requirement::new()).await.is_ok(), "{end}: and a new one is a new one");
}

/// Whatever operation fails, an error leaves no grant, but where the answer of the last was lost.
#[tokio::test]
async fn a_proof_while_the_store_fails() {
    let clock = ManualClock::new();
    let mut failed = 0;
    for how in [Fails::Undone, Fails::Unanswered] {
        for skip in 0.. {
            let store = Elsewhere::default();
            let step_up = remote(&clock, &store);
            store.fail_after(skip, how);
            let granted = step_up.record_proof(&alice(), Proof::new("KEY")).await;
            if store.fail_no_more() {
                assert!(granted.is_ok());
                break;
            }
            failed += 1;
            assert_eq!(granted.err(), Some(ProofError::Unavailable), "{skip} {how:?}");
            let lost = how == Fails::Unanswered && skip == 6;
            let expected = (!lost).then_some(UnmetReason::Missing);
            assert_eq!(reason(&step_up, &alice(), Requirement::new()).await, expected, "{skip} {how:?}");
            // The user's record lists the session before, so whatever is there can be ended.
            step_up.revoke_all("alice").await.unwrap();
            assert_eq!(reason(&step_up, &alice(), Requirement::new()).await, Some(UnmetReason::Missing));
        }
    }
    assert_eq!(failed, 14, "four loads and three swaps, each in both ways");
}

/// A refusal names the channels that the application has to prove; there is no start for them.
#[tokio::test]
async fn a_refusal_names_the_channels_of_proofs() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let guard = |requirement| RequireStepUp::with(&step_up, requirement).unwrap();
    let routes = Router::new()
        .route("/any", post(async || "").layer(guard(Requirement::new())))
        .route("/key", post(async || "").layer(guard(Requirement::new().channels(["KEY"]))))
        .route("/both", post(async || "").layer(guard(Requirement::new().all_of(["SMS", "KEY"]))));
    let app = App::new(&step_up, routes);
    let refused = async |path: &str| app.ask(ask("POST", path, "alice/1", "")).await.json();
    let any = refused("/any").await;
    assert_eq!(any["channels"], json!({"otp": ["SMS", "EMAIL"], "push": ["BIO"], "proof": ["KEY", "CARD"]}));
    let key = refused("/key").await;
    assert_eq!((&key["channels"], &key["start"]), (&json!({"otp": [], "push": [], "proof": ["KEY"]}), &json!([])));
    let both = refused("/both").await;
    assert_eq!(both["channels"], json!({"otp": ["SMS"], "push": [], "proof": ["KEY"]}));
    assert_eq!(both["start"], json!(["/stepup/challenges/otp/SMS"]));
    grant(&step_up, &alice(), "KEY").await;
    assert_eq!(refused("/both").await["channels"], json!({"otp": ["SMS"], "push": []}));
    assert_eq!(app.ask(ask("POST", "/key", "alice/1", "")).await.says(), "200");
    let standing = app.ask(companion("GET", "", "alice/1", &json!(null))).await.json();
    assert_eq!((&standing["status"], &standing["grants"][0]["channel"]), (&json!("STEPPED_UP"), &json!("KEY")));
    // There is nothing to start.
    for path in ["/otp/KEY", "/push/KEY"] {
        assert_eq!(app.ask(companion("POST", path, "alice/1", &json!(null))).await.says(), "400 channel NOT_IN");
    }
}

/// The scopes that there are: nothing else can be started, proven or asked for.
#[tokio::test]
async fn scopes_that_are_registered() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).scopes(["pay", "look"]).build().unwrap();
    let app = App::new(&step_up, Router::new());
    for path in ["/otp/SMS", "/push/BIO"] {
        for scope in ["buy", "Pay", "pay2", "pa"] {
            let start = companion("POST", path, "alice/1", &json!({ "scope": scope }));
            assert_eq!(app.ask(start).await.says(), "400 scope NOT_IN", "{path} {scope}");
        }
    }
    let refused = step_up.start_otp(&alice(), "SMS", Some("buy")).await;
    assert_eq!(refused, Err(ChallengeError::MalformedScope(Malformed::Unknown)));
    let start = companion("POST", "/otp/SMS", "alice/1", &json!({"scope": "pay"}));
    assert_eq!(app.ask(start).await.says(), "204");
    assert_eq!(app.ask(companion("POST", "/push/BIO", "alice/1", &json!(null))).await.says(), "200");

    let with = |scope: &str| RequireStepUp::with(&step_up, Requirement::new().scope(scope)).err();
    assert_eq!([with("pay"), with("look")], [None, None]);
    let unknown = with("buy").unwrap();
    assert_eq!(unknown, ConfigError::UnknownScope { scope: "buy".into() });
    assert!(unknown.to_string().contains(".scopes([..])"), "{unknown}");
    let malformed = builder(&clock).scopes(["pay", "a b"]).build().err();
    assert_eq!(malformed, Some(ConfigError::InvalidScope { scope: "a b".into() }));
}
