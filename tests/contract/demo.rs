//! The demo's own surface.

use serde_json::json;

use crate::app::{App, RIGHT, Session};

#[tokio::test]
async fn login() {
    let app = App::demo();
    let ask = |body: serde_json::Value| app.ask("POST", "/login").json(body.to_string()).send();
    let answer = ask(json!({"username": "alice", "password": "alice"})).await;
    assert_eq!(answer.status, 200);
    let token = answer.json()["token"].as_str().expect("a string").to_owned();
    assert_eq!(answer.json(), json!({"token": token}));
    let again = ask(json!({"username": "alice", "password": "alice"})).await;
    assert_ne!(again.json()["token"], token, "every login is a session of its own");
    for (username, password) in [("alice", "bob"), ("alice", ""), ("alice", "alice1"), ("alice1", "alice")] {
        let answer = ask(json!({"username": username, "password": password})).await;
        assert!(answer.status.is_client_error(), "{username} {password}: {answer:?}");
        assert!(answer.json_or_null()["token"].is_null(), "{username} {password}");
    }
}

#[tokio::test]
async fn bank() {
    let app = App::demo();
    let alice = app.login("alice").await;
    assert_eq!(alice.ask("GET", "/accounts").send().await.status, 200);
    alice.step_up().await;
    let transfer = alice.transfer().await;
    assert_eq!(transfer.status, 201);
    assert!(!transfer.json()["id"].is_null(), "{transfer:?}");
    assert_eq!(alice.card().await.status, 200);
}

/// A page that shows all of it to a person.
#[tokio::test]
async fn page() {
    let answer = App::demo().ask("GET", "/").send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
}

/// Who has enrolled nothing enrols a phone, and then steps up with it.
#[tokio::test]
async fn enrollment() {
    let app = App::demo();
    let bob = app.login("bob").await;
    assert_eq!(bob.start().await.says(), "409 CHANNEL_NOT_REGISTERED");
    let begin = bob.ask("POST", "/authentication_factors/otp/SMS").json(r#"{"number":"+491701234567"}"#).send().await;
    assert!(begin.status.is_success(), "{begin:?}");
    assert_eq!(bob.start().await.says(), "409 CHANNEL_NOT_REGISTERED");
    let verify = |code: &str| {
        let body = json!({"verificationCode": code}).to_string();
        bob.ask("POST", "/authentication_factors/otp/SMS/verify").json(body).send()
    };
    assert!(verify("000000").await.status.is_client_error());
    assert_eq!(bob.start().await.says(), "409 CHANNEL_NOT_REGISTERED");
    let enrolled = verify("123456").await;
    assert!(enrolled.status.is_success(), "{enrolled:?}");
    bob.step_up().await;
    assert_eq!(bob.card().await.status, 200);
}

/// T38: a code on its way to the old phone opens nothing once another is enrolled, and nor does another session.
#[tokio::test]
async fn a_new_phone() {
    let app = App::demo();
    let bob = app.login("bob").await;
    let enrol = async |number: &str| {
        let number = json!({ "number": number }).to_string();
        assert_eq!(bob.ask("POST", "/authentication_factors/otp/SMS").json(number).send().await.says(), "204");
        let code = r#"{"verificationCode":"123456"}"#;
        assert_eq!(bob.ask("POST", "/authentication_factors/otp/SMS/verify").json(code).send().await.says(), "204");
    };
    enrol("+1 555 0111").await;
    let other = app.login("bob").await;
    other.step_up().await;
    app.wait(15);
    assert_eq!(bob.start().await.says(), "204");
    enrol("+1 555 0222").await;
    assert_eq!(bob.verify(RIGHT).await.says(), "409 STATE_INVALID");
    assert_eq!(other.card().await.status, 403);
}

/// B9: a number has one budget however it was spelled, and what is no number is not enrolled.
#[tokio::test]
async fn a_phone_has_one_form() {
    let app = App::demo();
    let enrol = async |user: &Session, number: &str| {
        let body = json!({ "number": number }).to_string();
        let begun = user.ask("POST", "/authentication_factors/otp/SMS").json(body).send().await;
        if begun.status.is_success() {
            let code = r#"{"verificationCode":"123456"}"#;
            assert_eq!(
                user.ask("POST", "/authentication_factors/otp/SMS/verify").json(code).send().await.says(),
                "204"
            );
        }
        begun.says()
    };
    // One user's budget is three codes in five minutes, and a recipient's is three times that.
    let spellings = ["+49 170 1234567", "+49-170-1234567", "+49 (170) 123 45 67", "+491701234567"];
    let mut users = Vec::new();
    for (spelling, user) in spellings.iter().zip(["bob 1", "bob 2", "bob 3", "bob 4"]) {
        let user = app.login(user).await;
        assert_eq!(enrol(&user, spelling).await, "204", "{spelling}");
        users.push(user);
    }
    let mut sent = 0;
    for _ in 0..3 {
        for user in &users {
            sent += usize::from(user.start().await.status == 204);
        }
        app.wait(20);
    }
    assert_eq!(sent, 9);
    let bob = app.login("bob").await;
    for number in ["", "0170 1234567", "1701234567", "+49 (0)170 1234567", "+49 170 12345x7", "+12345", "\u{ff0b}49170"]
    {
        assert_eq!(enrol(&bob, number).await, "400", "{number}");
    }
}

#[tokio::test]
async fn phone() {
    let app = App::demo();
    let alice = app.login("alice").await;
    for answer in ["accept", "decline"] {
        assert_eq!(alice.phone("1", answer).await.status, 409, "{answer}");
    }
    let id = alice.push().await;
    assert_eq!(alice.phone(&id, "decline").await.says(), "204");
    assert_eq!(alice.phone(&id, "accept").await.status, 409);
}
