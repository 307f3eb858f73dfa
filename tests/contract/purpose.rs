//! What a verification is for (E4), and the language of a start's message.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tower_step_up::{DeliveryError, OtpMessage, Purpose, PushMessage, StepUp};

use crate::app::{App, RIGHT, Session, clock};
use crate::vault_app;

const TEN: &str = r#"{"to":"DE02120300000000202051","amount":10}"#;
const ELEVEN: &str = r#"{"to":"DE02120300000000202051","amount":11}"#;

async fn binding(session: &Session, payout: &str) -> Value {
    session.request("POST", "/payouts").json(payout.to_owned()).send().await.json()["binding"].take()
}

async fn start(session: &Session, body: Value) {
    let started = session.challenge("POST", "/otp/SMS").json(body.to_string()).send().await;
    assert_eq!(started.summary(), "204");
}

/// Verifies the right code, with these fields beside it.
async fn verify(session: &Session, fields: Value) -> String {
    let mut body = json!({ "verificationCode": RIGHT });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    session.verify_with(body.to_string()).await.summary()
}

/// The user asked for one thing, and another start has replaced its code: the right code of the other opens nothing.
#[tokio::test]
async fn the_code_of_something_else_is_not_compared() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let other = "409 STATE_INVALID";
    start(&alice, json!({"scope": "payments"})).await;
    for _ in 0..6 {
        assert_eq!(verify(&alice, json!({"scope": "profile"})).await, other, "it costs no attempt");
        assert_eq!(verify(&alice, json!({"binding": binding(&alice, TEN).await})).await, other);
    }
    assert_eq!(verify(&alice, json!({"scope": "payments"})).await, "204");
    assert_eq!(
        verify(&alice, json!({"scope": "profile"})).await,
        "409 ALREADY_VERIFIED",
        "what has ended is said first"
    );
    app.wait(15);
    start(&alice, json!({})).await;
    assert_eq!(verify(&alice, json!({"scope": "payments"})).await, other, "it is for the whole session");
    assert_eq!(verify(&alice, json!({"scope": null, "binding": null})).await, "204");
}

#[tokio::test]
async fn the_code_of_another_operation_is_not_compared() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let (ten, eleven) = (binding(&alice, TEN).await, binding(&alice, ELEVEN).await);
    app.wait(60);
    start(&alice, json!({ "binding": binding(&alice, TEN).await })).await;
    assert_eq!(verify(&alice, json!({"binding": eleven})).await, "409 STATE_INVALID");
    assert_eq!(verify(&alice, json!({"scope": "payments"})).await, "409 STATE_INVALID");
    // Its token has expired, and the code, which was started later, has not.
    app.wait(299);
    assert_eq!(alice.challenge("POST", "/otp/SMS").json(json!({"binding": ten}).to_string()).send().await.status, 400);
    assert_eq!(verify(&alice, json!({"binding": ten})).await, "204");
    assert_eq!(alice.request("POST", "/payouts").json(TEN).send().await.summary(), "201");
}

/// A purpose that is malformed costs no attempt, and is reported with the code.
#[tokio::test]
async fn malformed_purposes() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let foreign = binding(&app.login("alice2").await, TEN).await;
    start(&alice, json!({})).await;
    let field = |name: &str, error: &str| json!({"params": [], "fieldName": name, "error": error});
    let table = [
        (json!({"scope": ""}), vec![field("scope", "HAS_TEXT")]),
        (json!({"scope": 7}), vec![field("scope", "REGEX")]),
        (json!({"scope": "a b"}), vec![field("scope", "REGEX")]),
        (json!({"binding": "x"}), vec![field("binding", "REGEX")]),
        (json!({"binding": foreign}), vec![field("binding", "NOT_IN")]),
        (
            json!({"verificationCode": "12345", "scope": " ", "binding": ""}),
            vec![field("verificationCode", "SIZE"), field("scope", "HAS_TEXT"), field("binding", "HAS_TEXT")],
        ),
    ];
    for (fields, expected) in table {
        let mut body = json!({ "verificationCode": RIGHT });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let refused = alice.verify_with(body.to_string()).await;
        assert_eq!(refused.json()["syntaxErrors"]["invalidFields"], json!(expected), "{fields}");
    }
    assert_eq!(verify(&alice, json!({})).await, "204");
}

#[tokio::test]
async fn the_language_reaches_the_message() {
    let languages = Arc::<Mutex<Vec<Option<String>>>>::default();
    let (codes, pushes) = (Arc::clone(&languages), Arc::clone(&languages));
    let clock = clock();
    let step_up = StepUp::builder()
        .otp("SMS", move |message: OtpMessage| {
            codes.lock().unwrap().push(message.language().map(Into::into));
            async { Ok::<_, DeliveryError>(()) }
        })
        .push("BIOMETRIC", move |message: PushMessage| {
            pushes.lock().unwrap().push(message.language().map(Into::into));
            async { Ok::<_, DeliveryError>(()) }
        })
        .clock(clock.clone())
        .build()
        .unwrap();
    let app = vault_app::app(&step_up, clock, false);
    let table = [("", None), ("fr-CH, fr;q=0.9, *;q=0.5", Some("fr-CH")), ("*, de", Some("de")), ("de_DE", None)];
    for (user, (header, expected)) in table.into_iter().enumerate() {
        let alice = app.session(&format!("alice{user}"), "1");
        for path in ["/otp/SMS", "/push/BIOMETRIC"] {
            let start = alice.challenge("POST", path).header("accept-language", header).send().await;
            assert!(start.status.is_success(), "{header}");
            assert_eq!(languages.lock().unwrap().pop().unwrap().as_deref(), expected, "{path} {header}");
        }
    }
    let caller = tower_step_up::Caller::user("bob").session("1");
    step_up.start_otp(&caller, "SMS", Purpose::new().language("es")).await.unwrap();
    assert_eq!(languages.lock().unwrap().pop().unwrap().as_deref(), Some("es"));
}
