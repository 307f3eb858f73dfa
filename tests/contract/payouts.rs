//! Transfers, which require a step-up of the last two minutes, and payouts, which are approved singly and pass once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::app::{Answer, App, RIGHT, START, Session};

const TEN: &str = r#"{"to":"DE02120300000000202051","amount":10}"#;

async fn payout(session: &Session, json: &str) -> Answer {
    session.request("POST", "/payouts").json(json.to_owned()).send().await
}

/// Approves the refused request with a code.
async fn approve(session: &Session, refused: &Answer) {
    let start = json!({ "binding": refused.json()["binding"] }).to_string();
    assert_eq!(session.challenge("POST", "/otp/SMS").json(start).send().await.summary(), "204");
    assert_eq!(session.verify(RIGHT).await.summary(), "204");
}

#[tokio::test]
async fn transfers_require_a_step_up_of_the_last_two_minutes() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let refused = alice.transfer().await;
    assert_eq!(refused.summary(), "403 STEP_UP_REQUIRED missing");
    assert_eq!(refused.json()["maxAge"], 120);
    assert!(refused.json()["binding"].is_null(), "{refused:?}");
    alice.step_up().await;
    app.wait(120);
    assert_eq!(alice.transfer().await.summary(), "201");
    app.wait_millis(1);
    assert_eq!(alice.transfer().await.summary(), "403 STEP_UP_REQUIRED too_old");
    assert_eq!(alice.card().await.summary(), "200");
    alice.step_up().await;
    assert_eq!(alice.transfer().await.summary(), "201");
}

#[tokio::test]
async fn each_payout_needs_its_own_approval_and_passes_once() {
    for factor in ["otp", "push"] {
        let app = App::demo();
        let alice = app.login("alice").await;
        alice.step_up().await;
        let refused = payout(&alice, TEN).await;
        assert_eq!(refused.summary(), "403 STEP_UP_REQUIRED mismatch", "a session-wide step-up is not enough");
        let start = json!({ "binding": refused.json()["binding"] }).to_string();
        if factor == "otp" {
            app.wait(15);
            approve(&alice, &refused).await;
        } else {
            let started = alice.challenge("POST", "/push/BIOMETRIC").json(start).send().await;
            let id = started.json()["id"].as_str().expect("an id").to_owned();
            assert_eq!(alice.phone(&id, "accept").await.summary(), "204");
        }
        let status = alice.status().await.json();
        assert_eq!(status["grants"][1]["bound"], true, "{status}");
        for other in
            [r#"{"to":"DE02120300000000202051","amount":11}"#, r#"{"to":"DE1","amount":10}"#, &TEN.replace(',', ", ")]
        {
            assert_eq!(payout(&alice, other).await.summary(), "403 STEP_UP_REQUIRED mismatch", "{other}");
        }
        let other = app.login("alice").await;
        assert_eq!(payout(&other, TEN).await.summary(), "403 STEP_UP_REQUIRED missing", "another session");
        let paid = payout(&alice, TEN).await;
        assert_eq!(
            (paid.summary().as_str(), &paid.json()["amount"]),
            ("201", &json!(10)),
            "no other request has consumed it"
        );
        assert!(!paid.json()["id"].is_null(), "{paid:?}");
        assert_eq!(payout(&alice, TEN).await.summary(), "403 STEP_UP_REQUIRED spent");
        assert_eq!(alice.card().await.summary(), "200", "the session-wide step-up is unaffected");
    }
}

/// T27: concurrent replays.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_replays_one_pays() {
    for round in 0..6 {
        let app = App::demo();
        let alice = app.login("alice").await;
        approve(&alice, &payout(&alice, TEN).await).await;
        let (barrier, mut tasks) = (Arc::new(Barrier::new(200)), JoinSet::new());
        for _ in 0..200 {
            let (alice, barrier) = (alice.clone(), Arc::clone(&barrier));
            tasks.spawn(async move {
                barrier.wait().await;
                payout(&alice, TEN).await.summary()
            });
        }
        let mut counts = BTreeMap::<String, usize>::new();
        for summary in tasks.join_all().await {
            *counts.entry(summary).or_default() += 1;
        }
        let expected = [("201".to_owned(), 1), ("403 STEP_UP_REQUIRED spent".to_owned(), 199)];
        assert_eq!(counts, BTreeMap::from(expected), "round {round}");
        let accounts = alice.request("GET", "/accounts").send().await.json();
        assert_eq!(accounts["accounts"][0]["balance"], "12490.00", "paid once");
    }
}

/// Payouts that cannot be described are invalid, with any grant; 401 comes first.
#[tokio::test]
async fn malformed_payouts() {
    let app = App::demo();
    let alice = app.login("alice").await;
    alice.step_up().await;
    let malformed = [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"to":"DE1"}"#,
        r#"{"amount":10}"#,
        r#"{"to":"","amount":10}"#,
        r#"{"to":" ","amount":10}"#,
        r#"{"to":7,"amount":10}"#,
        r#"{"to":"DE1","amount":0}"#,
        r#"{"to":"DE1","amount":-1}"#,
        r#"{"to":"DE1","amount":0.001}"#,
        r#"{"to":"DE1","amount":1e-3}"#,
        r#"{"to":"DE1","amount":"ten"}"#,
        r#"{"to":"DE1","amount":10,"amount":11}"#,
        r#"{"to":"DE1\n to DE2","amount":10}"#,
        "{\"to\":\"DE1\u{202e}\",\"amount\":10}",
    ];
    for json in malformed {
        let refused = payout(&alice, json).await;
        assert_eq!(refused.summary(), "400 INVALID_REQUEST", "{json}");
        assert_eq!(refused.json()["message"], "Invalid request", "{json}");
        assert!(refused.json()["binding"].is_null(), "{json}");
    }
    let nobody = app.request("POST", "/payouts").json("{").send().await;
    assert_eq!(nobody.summary(), "401 UNAUTHORIZED");
    let large = format!(r#"{{"to":"{}","amount":10}}"#, "x".repeat(64 * 1024));
    assert_eq!(payout(&alice, &large).await.summary(), "413 CONTENT_TOO_LARGE");
}

/// If the handler refuses a payout, its approval is restored, once.
#[tokio::test]
async fn a_refused_payout_restores_its_approval() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let undeclared = || alice.request("POST", "/payouts").body(TEN.into()).send();
    approve(&alice, &undeclared().await).await;
    assert_eq!(
        payout(&alice, TEN).await.summary(),
        "403 STEP_UP_REQUIRED mismatch",
        "with a content type, it is another request"
    );
    assert_eq!(undeclared().await.summary(), "400", "the guard lets it pass, and the handler accepts only JSON");
    assert_eq!(undeclared().await.summary(), "400", "it was restored");
    assert_eq!(undeclared().await.summary(), "403 STEP_UP_REQUIRED spent", "but only once");
    let accounts = alice.request("GET", "/accounts").send().await.json();
    assert_eq!(accounts["accounts"][0]["balance"], "12500.00", "nothing was paid");
}

/// E8: a client whose response was lost learns that its request has passed, and when, until an hour after the grant's end.
#[tokio::test]
async fn what_has_passed_is_said() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let first = payout(&alice, TEN).await;
    assert!(first.json()["spentAt"].is_null(), "{first:?}");
    approve(&alice, &first).await;
    app.wait_millis(1_250);
    assert_eq!(payout(&alice, TEN).await.summary(), "201");
    let spent_at = json!(START + 1_250);
    let said = async |what: &str| {
        let refused = payout(&alice, TEN).await;
        assert_eq!(refused.summary(), "403 STEP_UP_REQUIRED spent", "{what}");
        assert_eq!(refused.json()["spentAt"], spent_at, "{what}");
        assert!(refused.json()["binding"].is_string(), "after the user's yes it can be approved again: {what}");
    };
    said("at once").await;
    app.wait(15);
    alice.step_up().await;
    said("beside a session-wide step-up").await;
    assert_eq!(alice.drop_elevation().await.summary(), "204");
    said("after the elevation was dropped").await;
    assert_eq!(alice.status().await.json()["grants"], json!([]));
    let other = payout(&alice, &TEN.replace("10", "11")).await;
    assert_eq!((other.summary().as_str(), &other.json()["spentAt"]), ("403 STEP_UP_REQUIRED missing", &json!(null)));
    assert_eq!(
        payout(&app.login("alice").await, TEN).await.summary(),
        "403 STEP_UP_REQUIRED missing",
        "another session"
    );
    app.wait(584);
    said("after the grant's end").await;
    app.wait(3_599);
    said("an hour later").await;
    app.wait(1);
    let forgotten = payout(&alice, TEN).await;
    assert_eq!(
        (forgotten.summary().as_str(), &forgotten.json()["spentAt"]),
        ("403 STEP_UP_REQUIRED missing", &json!(null))
    );
}

/// Approved again, the same request passes again, and then the later time is said.
#[tokio::test]
async fn what_is_approved_again_passes_again() {
    let app = App::demo();
    let alice = app.login("alice").await;
    for seconds in [0_u64, 20] {
        let refused = payout(&alice, TEN).await;
        approve(&alice, &refused).await;
        assert_eq!(payout(&alice, TEN).await.summary(), "201");
        assert_eq!(payout(&alice, TEN).await.json()["spentAt"], json!(START + 1000 * seconds));
        app.wait(20);
    }
    // A third approval that is not used: it does not hide that the request has passed.
    approve(&alice, &payout(&alice, TEN).await).await;
    app.wait(600);
    let refused = payout(&alice, TEN).await;
    assert_eq!(
        (refused.summary().as_str(), &refused.json()["spentAt"]),
        ("403 STEP_UP_REQUIRED spent", &json!(START + 20_000))
    );
}
