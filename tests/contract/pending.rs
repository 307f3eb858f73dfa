//! What is pending, to whom it went, and how it is cancelled.

use http::header::ALLOW;
use serde_json::{Value, json};
use tower_step_up::{Caller, EnrollmentError, Proof, Recipient, StepUp};

use crate::app::{App, RIGHT, Session, WRONG, clock};
use crate::vault_app;

const PAYOUT: &str = r#"{"to":"DE02120300000000202051","amount":10}"#;

async fn pending(session: &Session) -> Value {
    session.status().await.json()["pending"].take()
}

async fn cancel(session: &Session, path: &str) -> String {
    session.challenge("DELETE", path).send().await.summary()
}

async fn start(session: &Session, body: &Value) -> String {
    session.challenge("POST", "/otp/SMS").json(body.to_string()).send().await.summary()
}

/// What a client that has lost the response to its start needs to go on.
#[tokio::test]
async fn what_is_pending() {
    let app = App::demo();
    let alice = app.login("alice").await;
    assert_eq!(pending(&alice).await, Value::Null);
    assert_eq!(start(&alice, &json!({"scope": "payments"})).await, "204");
    app.wait(10);
    let id = alice.push().await;
    app.wait_millis(500);
    let otp = json!({"channel": "SMS", "scope": "payments", "to": "•••• 0111", "expiresIn": 289, "retryIn": 5});
    let push = json!({"id": id, "channel": "BIOMETRIC", "expiresIn": 299});
    assert_eq!(pending(&alice).await, json!({"otp": otp, "push": push}));
    app.wait(5);
    assert_eq!(pending(&alice).await["otp"]["retryIn"], 0);
    assert_eq!(alice.verify(RIGHT).await.summary(), "204");
    assert_eq!(pending(&alice).await, json!({"push": {"id": id, "channel": "BIOMETRIC", "expiresIn": 294}}));
    assert_eq!(alice.phone(&id, "accept").await.summary(), "204");
    assert_eq!(pending(&alice).await, Value::Null);
    assert_eq!(pending(&app.login("alice").await).await, Value::Null, "another session has nothing pending");
}

/// What ends a challenge ends its place in the status, too.
#[tokio::test]
async fn what_has_ended_is_not_pending() {
    let app = App::demo();
    let ends: [(&str, usize); 3] = [("five wrong codes", 5), ("dropped", 0), ("expired", 0)];
    for (user, (end, wrong)) in ends.into_iter().enumerate() {
        let alice = app.login(&format!("alice{user}")).await;
        assert_eq!(alice.start().await.summary(), "204");
        for _ in 0..wrong {
            assert_eq!(alice.verify(WRONG).await.status, 409);
        }
        match end {
            "dropped" => assert_eq!(alice.drop_elevation().await.summary(), "204"),
            "expired" => app.wait(300),
            _ => {}
        }
        assert_eq!(pending(&alice).await, Value::Null, "{end}");
    }
}

/// The text that will be approved is in the refusal and in what is pending, for the owner's session only.
#[tokio::test]
async fn the_operation_is_shown() {
    let app = App::demo();
    let (alice, other) = (app.login("alice").await, app.login("alice").await);
    let refused = alice.request("POST", "/payouts").json(PAYOUT).send().await.json();
    let operation = refused["operation"].as_str().expect("an operation");
    assert!(operation.contains("10") && operation.contains("DE02120300000000202051"), "{operation}");
    assert_eq!(start(&alice, &json!({"binding": refused["binding"]})).await, "204");
    let body = json!({"binding": refused["binding"]}).to_string();
    let push = alice.challenge("POST", "/push/BIOMETRIC").json(body).send().await.json();
    let shown = pending(&alice).await;
    assert_eq!((&shown["otp"]["operation"], &shown["push"]["operation"]), (&json!(operation), &json!(operation)));
    assert_eq!(shown["push"]["id"], push["id"]);
    assert_eq!(pending(&other).await, Value::Null);
    assert!(alice.card().await.json()["operation"].is_null(), "an unbound refusal has none");
}

/// `to` is where the channel leads now; of what was sent elsewhere it is left out.
#[tokio::test]
async fn to_whom() {
    let recipients = |_: Caller, channel: String| async move {
        Ok::<_, EnrollmentError>(match &*channel {
            "SMS" => Recipient::phone("+1 202 555 0143").unwrap(),
            "EMAIL" => Recipient::email("alice@example.com").unwrap(),
            "SHORT" => Recipient::new("1234567"),
            "DEVICE" => Recipient::new("device 7"),
            "NAMED" => Recipient::new("device 8").display("Alice's phone"),
            "PASSKEY" => return Err(EnrollmentError::NotEnrolled),
            _ => Recipient::known_to_sender(),
        })
    };
    let clock = clock();
    let mut builder = StepUp::builder().sandbox().clock(clock.clone()).enrollment(recipients);
    for channel in ["SMS", "EMAIL", "SHORT", "DEVICE", "NAMED"] {
        builder = builder.otp(channel, tower_step_up::discard);
    }
    let step_up = builder.proof("TOTP").proof("PASSKEY").build().unwrap();
    let app = vault_app::app(&step_up, clock, true);
    let alice = app.session("alice", "1");
    let status = alice.status().await.json();
    let to = json!({
        "SMS": "•••• 0143", "EMAIL": "a•••@example.com", "SHORT": "••••", "NAMED": "Alice's phone",
    });
    assert_eq!(status["to"], to);
    assert_eq!(status["channels"]["proof"], json!(["TOTP"]));
    step_up.record_proof(&Caller::user("alice").session("1"), Proof::new("TOTP")).await.unwrap();
    assert_eq!(alice.status().await.json()["grants"][0]["channel"], "TOTP");

    let app = App::demo();
    let bob = app.login("bob").await;
    let enrol = async |number: &str| {
        let number = json!({ "number": number }).to_string();
        let enrols = bob.request("POST", "/authentication_factors/otp/SMS").json(number).send();
        assert_eq!(enrols.await.summary(), "204");
        let code = json!({ "verificationCode": RIGHT }).to_string();
        let confirms = bob.request("POST", "/authentication_factors/otp/SMS/verify").json(code).send();
        assert_eq!(confirms.await.summary(), "204");
    };
    enrol("+1 555 0111").await;
    assert_eq!(bob.start().await.summary(), "204");
    assert_eq!(pending(&bob).await["otp"]["to"], "•••• 0111");
}

/// Of a recipient that only the sender knows, nobody can say whether it is still the same.
#[tokio::test]
async fn to_whom_nobody_knows() {
    let device = |_: Caller, _: String| async { Ok(Recipient::known_to_sender().display("my tablet")) };
    let clock = clock();
    let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).enrollment(device);
    let step_up = builder.clock(clock.clone()).build().unwrap();
    let app = vault_app::app(&step_up, clock, true);
    let alice = app.session("alice", "1");
    assert_eq!(alice.start().await.summary(), "204");
    let status = alice.status().await.json();
    assert_eq!((&status["to"]["SMS"], &status["pending"]["otp"]["to"]), (&json!("my tablet"), &Value::Null));
}

/// Until the application unlocks them, a user can verify nothing.
#[tokio::test]
async fn of_a_locked_user_nothing_is_pending() {
    let clock = clock();
    let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).clock(clock.clone());
    let step_up = builder.push("BIOMETRIC", tower_step_up::discard).build().unwrap();
    let app = vault_app::app(&step_up, clock, true);
    let alice = app.session("alice", "1");
    assert_eq!(alice.start().await.summary(), "204");
    alice.push().await;
    assert!(pending(&alice).await["push"].is_object());
    step_up.lock("alice").await.unwrap();
    assert_eq!(pending(&alice).await, Value::Null);
}

#[tokio::test]
async fn a_code_is_cancelled() {
    let app = App::demo();
    let alice = app.login("alice").await;
    assert_eq!(cancel(&alice, "/otp/SMS").await, "204", "nothing is pending");
    alice.step_up().await;
    app.wait(15);
    assert_eq!(alice.start().await.summary(), "204");
    for _ in 0..3 {
        assert_eq!(alice.verify(WRONG).await.status, 409);
    }
    assert_eq!(cancel(&app.login("alice").await, "/otp/SMS").await, "204", "another session's code stays");
    assert!(pending(&alice).await.is_object());
    assert_eq!(cancel(&alice, "/otp/SMS").await, "204");
    assert_eq!(pending(&alice).await, Value::Null);
    assert_eq!(alice.verify(RIGHT).await.summary(), "409 STATE_INVALID");
    assert_eq!(alice.card().await.summary(), "200", "grants stay");
    assert_eq!(cancel(&alice, "/otp/SMS").await, "204", "it is cancelled already");
    assert_eq!(alice.start().await.summary(), "409 RETRY_IN_15SEC 15", "the resend interval stays");
    app.wait(15);
    assert_eq!(alice.start().await.summary(), "204");
    assert_eq!(alice.verify(WRONG).await.summary(), "409 ONE_CHALLENGE_LIMIT_REMAINING", "its tries were inherited");
    app.wait(15);
    assert_eq!(alice.start().await.summary(), "204");
    app.wait(15);
    assert_eq!(alice.start().await.summary(), "429 3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400 255", "counts stay");
}

/// Only the code of the channel that is named.
#[tokio::test]
async fn another_channel_s_code_stays() {
    let clock = clock();
    let step_up = StepUp::builder().sandbox().clock(clock.clone()).otp("SMS", tower_step_up::discard);
    let step_up = step_up.otp("EMAIL", tower_step_up::discard).build().unwrap();
    let app = vault_app::app(&step_up, clock, true);
    let alice = app.session("alice", "1");
    assert_eq!(alice.start().await.summary(), "204");
    assert_eq!(cancel(&alice, "/otp/EMAIL").await, "204");
    assert_eq!(alice.verify(RIGHT).await.summary(), "204");
}

#[tokio::test]
async fn a_push_is_cancelled() {
    let app = App::demo();
    let (alice, other) = (app.login("alice").await, app.login("alice").await);
    let id = alice.push().await;
    let path = format!("/push/BIOMETRIC/{id}");
    assert_eq!(cancel(&other, &path).await, "404 NOT_FOUND");
    assert_eq!(cancel(&alice, "/push/BIOMETRIC/1").await, "404 NOT_FOUND");
    assert_eq!(alice.poll(&id).await.summary(), "200 PENDING");
    assert_eq!(cancel(&alice, &path).await, "204");
    assert_eq!(alice.poll(&id).await.summary(), "200 EXPIRED");
    assert_eq!(pending(&alice).await, Value::Null);
    assert_eq!(cancel(&alice, &path).await, "204", "it has ended already");
    assert_eq!(alice.phone(&id, "accept").await.status, 409);
    assert_eq!(alice.card().await.summary(), "403 STEP_UP_REQUIRED missing");
    let next = alice.push().await;
    assert_eq!(alice.phone(&next, "accept").await.summary(), "204");
    assert_eq!(cancel(&alice, &format!("/push/BIOMETRIC/{next}")).await, "204");
    assert_eq!(alice.poll(&next).await.summary(), "200 VERIFIED", "one that was answered stays as it is");
    let dropped = alice.push().await;
    assert_eq!(alice.drop_elevation().await.summary(), "204");
    let path = format!("/push/BIOMETRIC/{dropped}");
    assert_eq!(
        (alice.poll(&dropped).await.status.as_u16(), cancel(&alice, &path).await),
        (404, "404 NOT_FOUND".into())
    );
    alice.step_up().await;
    assert_eq!(alice.card().await.summary(), "200", "grants stay");
}

/// T18: a client must not spare an attacker the pause by cancelling what the user declines.
#[tokio::test]
async fn a_no_after_the_cancel_counts() {
    let app = App::demo();
    let alice = app.login("alice").await;
    for _ in 0..3 {
        let id = alice.push().await;
        assert_eq!(cancel(&alice, &format!("/push/BIOMETRIC/{id}")).await, "204");
        assert_eq!(alice.phone(&id, "decline").await.status, 409);
    }
    assert_eq!(alice.challenge("POST", "/push/BIOMETRIC").send().await.status, 429);
}

#[tokio::test]
async fn what_is_refused() {
    let app = App::demo();
    let alice = app.login("alice").await;
    for path in ["/otp/BIOMETRIC", "/otp/sms", "/push/SMS/1"] {
        let refused = alice.challenge("DELETE", path).send().await;
        let fields = &refused.json()["syntaxErrors"]["invalidFields"];
        assert_eq!(*fields, json!([{"params": [], "fieldName": "channel", "error": "NOT_IN"}]), "{path}");
    }
    for path in ["/otp/SMS", "/push/BIOMETRIC/1"] {
        assert_eq!(alice.challenge("DELETE", path).no_token().send().await.summary(), "401 UNAUTHORIZED");
    }
    for (path, allow) in [("/otp/SMS", "POST, DELETE"), ("/push/BIOMETRIC/1", "GET, HEAD, DELETE")] {
        assert_eq!(alice.challenge("PUT", path).send().await.header(ALLOW), allow);
    }
    for path in ["/otp/SMS/verify", "/push/BIOMETRIC", "/otp/"] {
        assert!([404, 405].contains(&alice.challenge("DELETE", path).send().await.status.as_u16()), "{path}");
    }
}
