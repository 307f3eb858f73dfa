use std::sync::{Arc, Mutex};

use axum::Router;
use serde_json::{Value, json};
use tower_step_up::OtpMessage;

use testkit::client::{Client, refused};

#[path = "../../../examples/dynamic_linking.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

/// The phone's display: the operation, and the code.
type Phone = Arc<Mutex<Option<(String, String)>>>;

fn app() -> (Router, Phone) {
    let phone = Phone::default();
    let shown = Arc::clone(&phone);
    let sender = move |message: OtpMessage| {
        let text = message.operation().unwrap_or_default().to_owned();
        *shown.lock().unwrap() = Some((text, message.code().expose().to_owned()));
        std::future::ready(Ok(()))
    };
    (example::app(sender).unwrap(), phone)
}

/// Steps up for the refused request; returns the text on the phone.
async fn approve(client: &Client, phone: &Phone, refusal: &Value) -> String {
    let code = async || phone.lock().unwrap().clone().unwrap().1;
    client.step_up(&json!({ "binding": refusal["binding"] }), code).await;
    phone.lock().unwrap().take().unwrap().0
}

#[tokio::test]
async fn an_approved_payout_passes_once() {
    let (app, phone) = app();
    let alice = Client::new(&app, "alice-1");
    let payout = json!({ "to": "carol", "cents": 25_000 });
    let refusal = alice.post_json("/payouts", &payout).await;
    assert_eq!(refusal.why(), refused("missing"));
    assert_eq!(approve(&alice, &phone, &refusal.json()).await, "Pay 250.00 EUR to carol");

    for other in [json!({ "to": "carol", "cents": 25_001 }), json!({ "to": "mallory", "cents": 25_000 })] {
        assert_eq!(alice.post_json("/payouts", &other).await.why(), refused("mismatch"), "{other}");
    }
    assert_eq!(Client::new(&app, "alice-2").post_json("/payouts", &payout).await.status, 403, "another session");
    let paid = alice.post_json("/payouts", &payout).await;
    assert_eq!((paid.status, paid.body.as_str()), (200, "paid 25000 cents to carol\n"));
    assert_eq!(alice.post_json("/payouts", &payout).await.why(), refused("spent"));
}

#[tokio::test]
async fn indescribable_payouts_are_invalid() {
    let (app, _) = app();
    let alice = Client::new(&app, "alice-1");
    let bodies =
        ["", "{}", r#"{"to":"a\nb","cents":1}"#, r#"{"to":"a","cents":1,"fee":9}"#, r#"{"to":"a","to":"b","cents":1}"#];
    for body in bodies {
        assert_eq!(alice.send("POST /payouts", &[], body).await.status, 400, "{body}");
    }
    for path in ["/eu/cards/x/reveal", "/eu/cards/-1/reveal"] {
        assert_eq!(alice.post(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_card_is_bound_by_its_original_path() {
    let (app, phone) = app();
    let alice = Client::new(&app, "alice-1");
    let refusal = alice.post("/eu/cards/1/reveal").await;
    assert_eq!(refusal.why(), refused("missing"));
    assert_eq!(approve(&alice, &phone, &refusal.json()).await, "Show the number of card 1 (eu)");
    for other in ["/us/cards/1/reveal", "/eu/cards/2/reveal", "/eu/cards/1/reveal?all"] {
        assert_eq!(alice.post(other).await.why(), refused("mismatch"), "{other}");
    }
    assert_eq!(alice.post("/eu/cards/1/reveal").await.status, 200);
    assert_eq!(alice.post("/eu/cards/1/reveal").await.why(), refused("spent"));
}
