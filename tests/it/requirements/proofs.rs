//! Proofs verified by the application, and registered scopes.

use axum::{Router, routing::post};
use serde_json::json;
use testkit::{Fails, FaultyStore};
use tower_step_up::{
    Caller, ChallengeError, ConfigError, Malformed, ManualClock, Proof, ProofError, Purpose, RequireStepUp,
    Requirement, StepUp, Timestamp, UnmetReason,
};

use super::{
    alice,
    app::{App, challenge_request, json_request},
    builder, grant, local,
    once::reason,
    remote, secs,
};

fn after(clock: &ManualClock, millis: i64) -> Timestamp {
    Timestamp::from_millis(tower_step_up::Clock::now(clock).as_millis().checked_add_signed(millis).unwrap())
}

/// Time of the verification in milliseconds from now, and the result. The clock skew is two seconds, the lifetime ten
/// minutes.
#[tokio::test]
async fn times_of_verification() {
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
        record_at(&local(&clock), &clock, millis, expected).await;
        let store = FaultyStore::default();
        record_at(&remote(&clock, &store), &clock, millis, expected).await;
    }
}

async fn record_at(step_up: &StepUp, clock: &ManualClock, millis: i64, expected: Result<(), ProofError>) {
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
    assert_eq!(granted.expires_at(), verified.saturating_add(secs(600)), "the lifetime starts at the verification");
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, None, "{millis}");
    clock.set(Timestamp::from_millis(granted.expires_at().as_millis() - 1));
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, None, "{millis}");
    clock.set(granted.expires_at());
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, Some(UnmetReason::Expired), "{millis}");
    clock.set(now);
}

/// The age counts from the verification, not from `record_proof`.
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

/// Two nodes whose clocks differ: a grant from the future does not count.
#[tokio::test]
async fn a_grant_from_a_node_with_a_fast_clock() {
    for (ahead, expected) in [(2_000, None), (2_001, Some(UnmetReason::Missing))] {
        let store = FaultyStore::default();
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
async fn a_refused_proof_grants_nothing() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).scopes(["pay"]).build().unwrap();
    let long = "A".repeat(2049);
    let table = [
        (Proof::new("PASSKEY"), ProofError::UnknownChannel),
        (Proof::new("key"), ProofError::UnknownChannel),
        // Channels of codes and pushes take no proofs.
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

/// The grant of a proof ends with revocations, and moves with the session to another id.
#[tokio::test]
async fn a_proof_ends_like_any_other() {
    for end in ["revoke", "revoke_all", "transfer"] {
        let clock = ManualClock::new();
        ends(&local(&clock), end).await;
        let store = FaultyStore::default();
        ends(&remote(&clock, &store), end).await;
    }
}

async fn ends(step_up: &StepUp, end: &str) {
    let (one, two, bob) = (alice(), Caller::user("alice").session("2"), Caller::user("bob").session("1"));
    let sessions = async || {
        let any = Requirement::new;
        [&one, &two, &bob].map(|caller| (caller, any()))
    };
    for (caller, _) in sessions().await {
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
    for ((caller, requirement), expected) in sessions().await.into_iter().zip(expected) {
        assert_eq!(step_up.authorize(caller, &requirement).await.is_ok(), expected, "{end}");
    }
    grant(step_up, &one, "KEY").await;
    assert!(step_up.authorize(&one, &Requirement::new()).await.is_ok(), "{end}: a new proof counts");
}

/// If any store operation fails, there is no grant, unless only the response to the last one was lost.
#[tokio::test]
async fn a_proof_while_the_store_fails() {
    let clock = ManualClock::new();
    let mut failed = 0;
    for how in [Fails::Undone, Fails::Unanswered] {
        for skip in 0.. {
            let store = FaultyStore::default();
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
            // The user's record lists the session already, so its grant can be revoked.
            step_up.revoke_all("alice").await.unwrap();
            assert_eq!(reason(&step_up, &alice(), Requirement::new()).await, Some(UnmetReason::Missing));
        }
    }
    assert_eq!(failed, 14, "four loads and three swaps, failing in two ways");
}

/// A refusal names the channels of proofs; they have no start endpoint.
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
    let refused = async |path: &str| app.send(json_request("POST", path, "alice/1", "")).await.json();
    let any = refused("/any").await;
    assert_eq!(any["channels"], json!({"otp": ["SMS", "EMAIL"], "push": ["BIO"], "proof": ["KEY", "CARD"]}));
    let key = refused("/key").await;
    assert_eq!((&key["channels"], &key["start"]), (&json!({"otp": [], "push": [], "proof": ["KEY"]}), &json!([])));
    let both = refused("/both").await;
    assert_eq!(both["channels"], json!({"otp": ["SMS"], "push": [], "proof": ["KEY"]}));
    assert_eq!(both["start"], json!(["/stepup/challenges/otp/SMS"]));
    grant(&step_up, &alice(), "KEY").await;
    assert_eq!(refused("/both").await["channels"], json!({"otp": ["SMS"], "push": []}));
    assert_eq!(app.send(json_request("POST", "/key", "alice/1", "")).await.summary(), "200");
    let status = app.send(challenge_request("GET", "", "alice/1", &json!(null))).await.json();
    assert_eq!((&status["status"], &status["grants"][0]["channel"]), (&json!("STEPPED_UP"), &json!("KEY")));
    // They cannot be started.
    for path in ["/otp/KEY", "/push/KEY"] {
        assert_eq!(
            app.send(challenge_request("POST", path, "alice/1", &json!(null))).await.summary(),
            "400 channel NOT_IN INVALID_REQUEST"
        );
    }
}

/// With registered scopes, no other scope can be started, proven or required.
#[tokio::test]
async fn registered_scopes() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).scopes(["pay", "look"]).build().unwrap();
    let app = App::new(&step_up, Router::new());
    for path in ["/otp/SMS", "/push/BIO"] {
        for scope in ["buy", "Pay", "pay2", "pa"] {
            let start = challenge_request("POST", path, "alice/1", &json!({ "scope": scope }));
            assert_eq!(app.send(start).await.summary(), "400 scope NOT_IN INVALID_REQUEST", "{path} {scope}");
        }
    }
    let refused = step_up.start_otp(&alice(), "SMS", Some("buy")).await;
    assert_eq!(refused, Err(ChallengeError::MalformedScope(Malformed::Unknown)));
    let start = challenge_request("POST", "/otp/SMS", "alice/1", &json!({"scope": "pay"}));
    assert_eq!(app.send(start).await.summary(), "204");
    assert_eq!(app.send(challenge_request("POST", "/push/BIO", "alice/1", &json!(null))).await.summary(), "200");

    let with = |scope: &str| RequireStepUp::with(&step_up, Requirement::new().scope(scope)).err();
    assert_eq!([with("pay"), with("look")], [None, None]);
    let unknown = with("buy").unwrap();
    assert_eq!(unknown, ConfigError::UnknownScope { scope: "buy".into() });
    assert!(unknown.to_string().contains(".scopes([..])"), "{unknown}");
    let malformed = builder(&clock).scopes(["pay", "a b"]).build().err();
    assert_eq!(malformed, Some(ConfigError::InvalidScope { scope: "a b".into() }));
}
