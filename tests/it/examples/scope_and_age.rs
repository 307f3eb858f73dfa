use std::time::Duration;

use serde_json::json;
use tower_step_up::ManualClock;

use testkit::client::{Client, refused};

#[path = "../../../examples/scope_and_age.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

#[tokio::test]
async fn a_route_requires_its_scope_and_age() {
    let clock = ManualClock::new();
    let app = example::app(clock.clone()).unwrap();
    let alice = Client::new(&app, "alice-1");

    let missing = alice.post("/transfers").await;
    assert_eq!(missing.why(), refused("missing"));
    let terms = missing.json();
    assert_eq!((&terms["scope"], &terms["maxAge"]), (&json!("payments"), &json!(120)));
    assert_eq!(terms["start"], json!(["/stepup/challenges/otp/SMS"]));
    let unknown = alice.post_json("/stepup/challenges/otp/SMS", &json!({ "scope": "payment" })).await;
    assert_eq!(unknown.status, 400, "{unknown:?}");

    alice.step_up_in_the_sandbox(&json!({})).await;
    assert_eq!(alice.post("/transfers").await.why(), refused("wrong_scope"));
    assert_eq!(alice.get("/cards/1").await.why(), refused("wrong_scope"));
    assert_eq!(alice.get("/limits").await.status, 200, "or_session");

    clock.advance(Duration::from_secs(20));
    alice.step_up_in_the_sandbox(&json!({ "scope": "payments" })).await;
    let paid = alice.post("/transfers").await;
    assert_eq!((paid.status, paid.body.as_str()), (200, "paid; approved by SMS for payments\n"));
    assert_eq!(alice.get("/cards/1").await.why(), refused("wrong_scope"));

    clock.advance(Duration::from_secs(121));
    assert_eq!(alice.post("/transfers").await.why(), refused("too_old"));
    alice.step_up_in_the_sandbox(&json!({ "scope": "cards" })).await;
    assert_eq!(alice.get("/cards/1").await.status, 200, "the guard in the handler");
    assert_eq!(alice.post("/transfers").await.why(), refused("too_old"));
}

#[tokio::test]
async fn a_scope_is_enough_with_or_session() {
    let app = example::app(ManualClock::new()).unwrap();
    let alice = Client::new(&app, "alice-1");
    assert_eq!(alice.get("/limits").await.why(), refused("missing"));
    alice.step_up_in_the_sandbox(&json!({ "scope": "payments" })).await;
    assert_eq!(alice.get("/limits").await.status, 200);
    for path in ["/limits", "/cards/1"] {
        assert_eq!(Client::new(&app, "alice-2").get(path).await.status, 403, "{path}");
        assert_eq!(Client::new(&app, "").get(path).await.status, 401, "{path}");
    }
}
