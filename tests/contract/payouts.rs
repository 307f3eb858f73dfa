//! Transfers, which ask for a step-up of the last two minutes, and payouts, each of which is approved for itself and
//! passes once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::app::{Answer, App, RIGHT, Session};

const TEN: &str = r#"{"to":"DE02120300000000202051","amount":10}"#;

async fn payout(session: &Session, json: &str) -> Answer {
    session.ask("POST", "/payouts").json(json.to_owned()).send().await
}

/// Approves what was refused, with a code.
async fn approve(session: &Session, refused: &Answer) {
    let start = json!({ "binding": refused.json()["binding"] }).to_string();
    assert_eq!(session.companion("POST", "/otp/SMS").json(start).send().await.says(), "204");
    assert_eq!(session.verify(RIGHT).await.says(), "204");
}

#[tokio::test]
async fn transfers_ask_for_a_step_up_of_the_last_two_minutes() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let refused = alice.transfer().await;
    assert_eq!(refused.says(), "403 STEP_UP_REQUIRED missing");
    assert_eq!(refused.json()["maxAge"], 120);
    assert!(refused.json()["binding"].is_null(), "{refused:?}");
    alice.step_up().await;
    app.wait(120);
    assert_eq!(alice.transfer().await.says(), "201");
    app.wait_millis(1);
    assert_eq!(alice.transfer().await.says(), "403 STEP_UP_REQUIRED too_old");
    assert_eq!(alice.card().await.says(), "200");
    alice.step_up().await;
    assert_eq!(alice.transfer().await.says(), "201");
}

#[tokio::test]
async fn a_payout_is_approved_for_itself_and_passes_once() {
    for factor in ["otp", "push"] {
        let app = App::demo();
        let alice = app.login("alice").await;
        alice.step_up().await;
        let refused = payout(&alice, TEN).await;
        assert_eq!(refused.says(), "403 STEP_UP_REQUIRED mismatch", "one of the whole session does not do");
        let start = json!({ "binding": refused.json()["binding"] }).to_string();
        if factor == "otp" {
            app.wait(15);
            approve(&alice, &refused).await;
        } else {
            let started = alice.companion("POST", "/push/BIOMETRIC").json(start).send().await;
            let id = started.json()["id"].as_str().expect("an id").to_owned();
            assert_eq!(alice.phone(&id, "accept").await.says(), "204");
        }
        let standing = alice.status().await.json();
        assert_eq!(standing["grants"][1]["bound"], true, "{standing}");
        for other in
            [r#"{"to":"DE02120300000000202051","amount":11}"#, r#"{"to":"DE1","amount":10}"#, &TEN.replace(',', ", ")]
        {
            assert_eq!(payout(&alice, other).await.says(), "403 STEP_UP_REQUIRED mismatch", "{other}");
        }
        let other = app.login("alice").await;
        assert_eq!(payout(&other, TEN).await.says(), "403 STEP_UP_REQUIRED missing", "another session");
        let paid = payout(&alice, TEN).await;
        assert_eq!((paid.says().as_str(), &paid.json()["amount"]), ("201", &json!(10)), "and nothing was spent");
        assert!(!paid.json()["id"].is_null(), "{paid:?}");
        assert_eq!(payout(&alice, TEN).await.says(), "403 STEP_UP_REQUIRED spent");
        assert_eq!(alice.card().await.says(), "200", "the step-up of the session is another");
    }
}

/// T27: many replays at once.
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
                payout(&alice, TEN).await.says()
            });
        }
        let mut told = BTreeMap::<String, usize>::new();
        for says in tasks.join_all().await {
            *told.entry(says).or_default() += 1;
        }
        let expected = [("201".to_owned(), 1), ("403 STEP_UP_REQUIRED spent".to_owned(), 199)];
        assert_eq!(told, BTreeMap::from(expected), "round {round}");
        let accounts = alice.ask("GET", "/accounts").send().await.json();
        assert_eq!(accounts["accounts"][0]["balance"], "12490.00", "ten were paid, once");
    }
}

/// What cannot be described is not asked for, whatever the session holds; whoever is nobody is told so first.
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
        assert_eq!(refused.says(), "400", "{json}");
        assert_eq!(refused.json()["message"], "Invalid request", "{json}");
        assert!(refused.json()["binding"].is_null(), "{json}");
    }
    let nobody = app.ask("POST", "/payouts").json("{").send().await;
    assert_eq!(nobody.says(), "401 UNAUTHORIZED");
    let large = format!(r#"{{"to":"{}","amount":10}}"#, "x".repeat(64 * 1024));
    assert_eq!(payout(&alice, &large).await.says(), "413");
}

/// A payout that the handler refuses was not made, so its approval is given back, once.
#[tokio::test]
async fn what_was_not_paid_is_given_back() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let undeclared = || alice.ask("POST", "/payouts").body(TEN.into()).send();
    approve(&alice, &undeclared().await).await;
    assert_eq!(payout(&alice, TEN).await.says(), "403 STEP_UP_REQUIRED mismatch", "declared, it is another");
    assert_eq!(undeclared().await.says(), "400", "the guard lets it pass, and the handler takes only JSON");
    assert_eq!(undeclared().await.says(), "400", "it was given back");
    assert_eq!(undeclared().await.says(), "403 STEP_UP_REQUIRED spent", "and not again");
    let accounts = alice.ask("GET", "/accounts").send().await.json();
    assert_eq!(accounts["accounts"][0]["balance"], "12500.00", "nothing was paid");
}
