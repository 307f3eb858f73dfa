//! Response headers. Those without an exception (`no-store`, a unique `request-ref`, the sandbox header) are checked on
//! every response of every test, in `app.rs`.

use crate::app::{Answer, App, CHALLENGES, RIGHT};

/// Each operation once, with its documented success.
#[tokio::test]
async fn operations() {
    let app = App::demo();
    let alice = app.login("alice1").await;
    let id = app.login("alice2").await;
    let id = (id.push().await, id);
    let verification = format!(r#"{{"verificationCode":"{RIGHT}"}}"#);
    let cases = [
        (&alice, "POST", "/otp/SMS".to_owned(), "", "204"),
        (&alice, "POST", "/otp/SMS/verify".to_owned(), &*verification, "204"),
        (&alice, "POST", "/push/BIOMETRIC".to_owned(), "", "200"),
        (&id.1, "GET", format!("/push/BIOMETRIC/{}", id.0), "", "200 PENDING"),
        (&alice, "GET", String::new(), "", "200 STEPPED_UP"),
        (&alice, "GET", "/".to_owned(), "", "200 STEPPED_UP"),
        (&alice, "DELETE", "/".to_owned(), "", "204"),
        (&alice, "DELETE", String::new(), "", "204"),
    ];
    for (session, method, path, body, expected) in cases {
        let request = session.challenge(method, &path);
        let answer = if body.is_empty() { request.send().await } else { request.json(body.to_owned()).send().await };
        assert_eq!(answer.summary(), expected, "{method} {path}");
        assert_eq!(answer.status == 200, answer.header("content-type") == "application/json", "{method} {path}");
        assert_eq!(answer.status == 204, answer.body.is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn requests_are_never_echoed() {
    const CANARY: &str = "canary-4711-canary";
    let app = App::demo();
    let alice = app.login("alice").await;
    let requests = [
        alice.challenge("POST", "/otp/SMS"),
        alice.challenge("POST", "/otp/SMS"),
        alice.challenge("POST", &format!("/otp/{CANARY}")),
        alice.challenge("POST", "/otp/SMS/verify").json(format!(r#"{{"verificationCode":"{CANARY}"}}"#)),
        alice.challenge("POST", "/otp/SMS/verify").json(format!(r#"{{"{CANARY}":"{CANARY}"}}"#)),
        alice.challenge("POST", "/otp/SMS/verify").json(CANARY),
        alice.challenge("POST", "/otp/SMS/verify").json(r#"{"verificationCode":"123456"}"#).no_token(),
        alice.challenge("GET", ""),
        alice.challenge("GET", &format!("/push/BIOMETRIC/{CANARY}")),
        alice.challenge("POST", &format!("/{CANARY}")),
        alice.challenge(CANARY, "/otp/SMS"),
        alice.challenge("DELETE", ""),
        alice.request("GET", "/cards/1"),
        alice.request("GET", "/cards/1").no_token(),
    ];
    for request in requests {
        let request = ["request-ref", "idempotency-ref", "api-key", "call-ref"]
            .into_iter()
            .fold(request, |request, name| request.header(name, CANARY));
        let answer = request.header("x-request-id", CANARY).send().await;
        assert!(!answer.contains(CANARY), "{answer:?}");
        assert!(!answer.header("request-ref").contains(CANARY), "{answer:?}");
    }
}

/// `idempotency-ref` replays nothing and `api-key` grants nothing.
#[tokio::test]
async fn references_are_accepted_and_ignored() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let start = || {
        let request = alice.challenge("POST", "/otp/SMS").header("idempotency-ref", "one");
        request.header("api-key", "two").header("call-ref", "three").send()
    };
    assert_eq!(start().await.summary(), "204");
    assert_eq!(start().await.summary(), "409 RETRY_IN_15SEC 15");
    app.wait(15);
    assert_eq!(start().await.summary(), "204");
    let stranger = app.request("GET", CHALLENGES).header("api-key", &alice.token).send().await;
    assert_eq!(stranger.summary(), "401 UNAUTHORIZED");
}

/// Every refusal with an `errorCode` contains that, a message, and nothing else.
#[tokio::test]
async fn refusals_contain_a_message_and_a_code() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let bob = app.login("bob").await;
    let cases: [(Answer, &str); 5] = [
        (app.request("GET", CHALLENGES).send().await, "UNAUTHORIZED"),
        (app.request("GET", "/cards/1").send().await, "UNAUTHORIZED"),
        (app.login("dave").await.start().await, "INSUFFICIENT_PERMISSIONS"),
        (bob.start().await, "CHANNEL_NOT_REGISTERED"),
        (alice.verify(RIGHT).await, "STATE_INVALID"),
    ];
    for (answer, code) in cases {
        let json = answer.json();
        let fields: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, ["errorCode", "message"], "{answer:?}");
        assert_eq!(json["errorCode"], code);
        assert!(!json["message"].as_str().expect("text").is_empty());
    }
}
