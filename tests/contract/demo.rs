//! The demo's own routes.

use axum::body::Body;
use serde_json::json;
use tower::ServiceExt;

use crate::app::{App, RIGHT, Session};

#[tokio::test]
async fn login() {
    let app = App::demo();
    let send = |body: serde_json::Value| app.request("POST", "/login").json(body.to_string()).send();
    let answer = send(json!({"username": "alice", "password": "alice"})).await;
    assert_eq!(answer.status, 200);
    let token = answer.json()["token"].as_str().expect("a string").to_owned();
    assert_eq!(answer.json(), json!({"token": token}));
    let again = send(json!({"username": "alice", "password": "alice"})).await;
    assert_ne!(again.json()["token"], token, "every login creates a session");
    for (username, password) in [("alice", "bob"), ("alice", ""), ("alice", "alice1"), ("alice1", "alice")] {
        let answer = send(json!({"username": username, "password": password})).await;
        assert!(answer.status.is_client_error(), "{username} {password}: {answer:?}");
        assert!(answer.json_or_null()["token"].is_null(), "{username} {password}");
    }
}

#[tokio::test]
async fn bank() {
    let app = App::demo();
    let alice = app.login("alice").await;
    assert_eq!(alice.request("GET", "/accounts").send().await.status, 200);
    alice.step_up().await;
    let transfer = alice.transfer().await;
    assert_eq!(transfer.status, 201);
    assert!(!transfer.json()["id"].is_null(), "{transfer:?}");
    assert_eq!(alice.card().await.status, 200);
}

/// The page for browsers.
#[tokio::test]
async fn page() {
    let answer = App::demo().request("GET", "/").send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
}

/// A user without factors enrolls a phone, and then steps up with it.
#[tokio::test]
async fn enrollment() {
    let app = App::demo();
    let bob = app.login("bob").await;
    assert_eq!(bob.start().await.summary(), "409 CHANNEL_NOT_REGISTERED");
    let begin =
        bob.request("POST", "/authentication_factors/otp/SMS").json(r#"{"number":"+491701234567"}"#).send().await;
    assert!(begin.status.is_success(), "{begin:?}");
    assert_eq!(bob.start().await.summary(), "409 CHANNEL_NOT_REGISTERED");
    let verify = |code: &str| {
        let body = json!({"verificationCode": code}).to_string();
        bob.request("POST", "/authentication_factors/otp/SMS/verify").json(body).send()
    };
    assert!(verify("000000").await.status.is_client_error());
    assert_eq!(bob.start().await.summary(), "409 CHANNEL_NOT_REGISTERED");
    let enrolled = verify("123456").await;
    assert!(enrolled.status.is_success(), "{enrolled:?}");
    bob.step_up().await;
    assert_eq!(bob.card().await.status, 200);
}

/// T38: after a new phone is enrolled, a code sent to the old one is invalid, and other sessions lose their elevation.
#[tokio::test]
async fn a_new_phone() {
    let app = App::demo();
    let bob = app.login("bob").await;
    let enrol = async |number: &str| {
        let number = json!({ "number": number }).to_string();
        assert_eq!(bob.request("POST", "/authentication_factors/otp/SMS").json(number).send().await.summary(), "204");
        let code = r#"{"verificationCode":"123456"}"#;
        assert_eq!(
            bob.request("POST", "/authentication_factors/otp/SMS/verify").json(code).send().await.summary(),
            "204"
        );
    };
    enrol("+1 555 0111").await;
    let other = app.login("bob").await;
    other.step_up().await;
    app.wait(15);
    assert_eq!(bob.start().await.summary(), "204");
    enrol("+1 555 0222").await;
    assert_eq!(bob.verify(RIGHT).await.summary(), "409 STATE_INVALID");
    assert_eq!(other.card().await.status, 403);
}

/// B9: all spellings of a number share one budget, and invalid numbers are not enrolled.
#[tokio::test]
async fn spellings_of_a_number_share_one_budget() {
    let app = App::demo();
    let enrol = async |user: &Session, number: &str| {
        let body = json!({ "number": number }).to_string();
        let begun = user.request("POST", "/authentication_factors/otp/SMS").json(body).send().await;
        if begun.status.is_success() {
            let code = r#"{"verificationCode":"123456"}"#;
            assert_eq!(
                user.request("POST", "/authentication_factors/otp/SMS/verify").json(code).send().await.summary(),
                "204"
            );
        }
        begun.summary()
    };
    // A user's budget is three codes in five minutes, and a recipient's is three times that.
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
    assert_eq!(alice.phone(&id, "decline").await.summary(), "204");
    assert_eq!(alice.phone(&id, "accept").await.status, 409);
}

/// T30: another site's requests are refused. The forms of the page check that themselves, and pass with `Origin: null`.
#[tokio::test]
async fn requests_of_other_sites() {
    let app = App::demo();
    let token = app.login("alice").await.token;
    let foreign = [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")];
    for path in ["/transfers", "/stepup/challenges/otp/SMS", "/stepup/challenges/page/start", "/logout"] {
        for (name, value) in foreign {
            let request = http::Request::post(path).header("host", "bank.example").header(name, value);
            let request = request.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
            let status = app.router().oneshot(request).await.unwrap().status();
            let expected = if path.contains("/page/") && value == "null" { 400 } else { 403 };
            assert_eq!(status, expected, "{path} {name}: {value}");
        }
    }
}
