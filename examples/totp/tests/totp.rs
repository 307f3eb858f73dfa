//! The example's commands, and the cases that it must refuse.

use std::time::Duration;

use axum::Router;
use serde_json::json;
use tower_step_up::{ManualClock, StepUp};

use testkit::client::{Client, refused};

#[path = "../totp.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

const STEP: Duration = Duration::from_secs(30);

fn app() -> (ManualClock, Router, StepUp) {
    let clock = ManualClock::new();
    let (app, step_up) = example::app(clock.clone()).unwrap();
    (clock, app, step_up)
}

async fn code(client: &Client) -> String {
    client.get("/simulate/phone").await.body
}

async fn verify(client: &Client, code: &str) -> u16 {
    client.post_json("/totp", &json!({ "code": code })).await.status
}

/// A code of six digits that is invalid in the current and the adjacent time steps.
async fn wrong(client: &Client) -> String {
    let right: u32 = code(client).await.parse().unwrap();
    format!("{:06}", (right + 1) % 1_000_000)
}

#[tokio::test]
async fn a_code_counts_for_its_session_and_once() {
    let (clock, app, _) = app();
    let alice = Client::new(&app, "alice-1");
    assert_eq!(alice.post("/transfers").await.why(), refused("missing"));
    assert_eq!(alice.post("/transfers").await.json()["channels"]["proof"], json!(["TOTP"]));

    let first = code(&alice).await;
    assert_eq!(verify(&Client::new(&app, ""), &first).await, 401);
    assert_eq!(verify(&Client::new(&app, "bob-1"), &first).await, 409, "bob has another secret");
    assert_eq!(verify(&alice, &first).await, 204);
    assert_eq!(alice.post("/transfers").await.status, 200);

    let other = Client::new(&app, "alice-2");
    assert_eq!(verify(&other, &first).await, 409, "taken once, in whatever session");
    assert_eq!(other.post("/transfers").await.status, 403);
    clock.advance(STEP);
    assert_eq!(verify(&other, &first).await, 409, "still within the skew, and still taken");
    assert_eq!(verify(&other, &code(&other).await).await, 204);
}

#[tokio::test]
async fn codes_older_than_the_last_one_are_refused() {
    let (clock, app, _) = app();
    let alice = Client::new(&app, "alice-1");
    let before = code(&alice).await;
    clock.advance(STEP);
    let late = Client::new(&app, "alice-2");
    assert_eq!(verify(&late, &code(&late).await).await, 204);
    assert_eq!(verify(&alice, &before).await, 409);
    assert_eq!(alice.post("/transfers").await.status, 403);
}

#[tokio::test]
async fn a_code_is_late_by_one_step_at_most() {
    let (clock, app, _) = app();
    let (alice, bob) = (Client::new(&app, "alice-1"), Client::new(&app, "bob-1"));
    let (of_alice, of_bob) = (code(&alice).await, code(&bob).await);
    clock.advance(STEP);
    assert_eq!(verify(&alice, &of_alice).await, 204);
    clock.advance(STEP);
    assert_eq!(verify(&bob, &of_bob).await, 409);
}

#[tokio::test]
async fn five_wrong_codes_lock_the_user() {
    let (clock, app, step_up) = app();
    let alice = Client::new(&app, "alice-1");
    for expected in [409, 409, 409, 409, 403, 403] {
        assert_eq!(verify(&alice, &wrong(&alice).await).await, expected);
    }
    for wait in [Duration::ZERO, Duration::from_secs(24 * 60 * 60)] {
        clock.advance(wait);
        assert_eq!(verify(&alice, &code(&alice).await).await, 403, "the right code");
    }
    assert_eq!(alice.post("/transfers").await.status, 403);
    step_up.unlock("alice").await.unwrap();
    assert_eq!(verify(&alice, &code(&alice).await).await, 403, "the app's own count holds as well");
    let bob = Client::new(&app, "bob-1");
    assert_eq!(verify(&bob, &code(&bob).await).await, 204);
}

#[tokio::test]
async fn a_right_code_resets_the_count() {
    let (clock, app, _) = app();
    let alice = Client::new(&app, "alice-1");
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(verify(&alice, &wrong(&alice).await).await, 409);
        }
        assert_eq!(verify(&alice, &code(&alice).await).await, 204);
        clock.advance(STEP);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_codes_one_is_accepted() {
    let (_, app, _) = app();
    let code = code(&Client::new(&app, "alice-1")).await;
    let sessions = ["alice-1", "alice-2", "alice-3", "alice-4"].map(|session| {
        let (client, code) = (Client::new(&app, session), code.clone());
        tokio::spawn(async move { verify(&client, &code).await })
    });
    let mut taken = 0;
    for one in sessions {
        taken += usize::from(one.await.unwrap() == 204);
    }
    assert_eq!(taken, 1);
}
