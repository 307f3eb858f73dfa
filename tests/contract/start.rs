//! Starting a one-time code.

use axum::body::Body;

use crate::app::{App, RIGHT};
use crate::body::{chunks, hanging};
use crate::script::{Delete, Line, Login, Logout, Millis, Right, Start, Wait, Wrong, play};

/// Where no body is needed: none, an empty one, `{}`, and a type without a body; `Accept` absent or empty.
#[tokio::test]
async fn bodies_that_need_not_be() {
    let headers: [&[(&str, &str)]; 8] = [
        &[],
        &[("content-type", "application/json")],
        &[("content-type", "application/json; charset=utf-8")],
        &[("content-length", "0")],
        &[("content-length", "0"), ("content-type", "application/json")],
        &[("accept", "")],
        &[("accept", "application/json"), ("content-type", "application/json")],
        &[("accept", "*/*"), ("content-length", "0")],
    ];
    let empty = headers.iter().map(|headers| (*headers, ""));
    let json: &[_] = &[("content-type", "application/json")];
    let utf8: &[_] = &[("content-type", "application/json; charset=utf-8")];
    let quiet: &[_] = &[("content-type", "application/json"), ("accept", "")];
    let declared: &[_] = &[("content-type", "application/json"), ("content-length", "2")];
    let object = [json, utf8, quiet, declared].map(|headers| (headers, "{}"));
    let spaced = [(json, " { } "), (json, "\r\n\t{}\n")];

    for (headers, body) in empty.chain(object).chain(spaced) {
        let app = App::demo();
        let (alice, other) = (app.login("alice").await, app.login("alice-too").await);
        let id = other.push().await;
        let operations = [
            (&alice, "POST", "/otp/SMS".to_owned(), "204"),
            (&alice, "POST", "/push/BIOMETRIC".to_owned(), "200"),
            (&other, "GET", format!("/push/BIOMETRIC/{id}"), "200 PENDING"),
            (&alice, "GET", "/".to_owned(), "200 STANDARD"),
            (&alice, "DELETE", "/".to_owned(), "204"),
        ];
        for (session, method, path, told) in operations {
            let ask = session.companion(method, &path).body(Body::from(body));
            let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
            assert_eq!(ask.send().await.says(), told, "{method} {path} with {headers:?} {body:?}");
        }
    }
    // The same, where the length is not known beforehand.
    for body in [chunks(&[]), chunks(&[""]), chunks(&["{}"]), chunks(&["{", "", " ", "}"])] {
        let alice = App::demo().login("alice").await;
        let ask = alice.companion("POST", "/otp/SMS").header("content-type", "application/json");
        assert_eq!(ask.body(body).send().await.says(), "204");
    }
}

/// Fields that nobody knows are ignored.
#[tokio::test]
async fn unknown_fields_are_ignored() {
    for body in [r#"{"channel":"EMAIL"}"#, r#"{"a":[1,{"b":null}],"c":{}}"#, r#"{"verificationCode":"123456"}"#] {
        let alice = App::demo().login("alice").await;
        assert_eq!(alice.companion("POST", "/otp/SMS").json(body).send().await.says(), "204", "{body}");
        assert_eq!(alice.status().await.says(), "200 STANDARD");
    }
}

/// A start may say what it is for; the grant then says it too.
#[tokio::test]
async fn a_scope_comes_back_in_the_grant() {
    let alice = App::demo().login("alice").await;
    let start = alice.companion("POST", "/otp/SMS").json(r#"{"scope":"payments"}"#).send().await;
    assert_eq!(start.says(), "204");
    assert_eq!(alice.verify(RIGHT).await.says(), "204");
    assert_eq!(alice.status().await.json()["grants"][0]["scope"], "payments");
    // T8: it is no step-up of the whole session.
    assert_eq!(alice.card().await.says(), "403 STEP_UP_REQUIRED wrong_scope");
}

/// Who may not start, and why.
#[tokio::test]
async fn not_this_user() {
    let cases = [
        ("alice", "/otp/SMS", "204"),
        ("bob", "/otp/SMS", "409 CHANNEL_NOT_REGISTERED"),
        ("bob", "/push/BIOMETRIC", "409 CHANNEL_NOT_REGISTERED"),
        ("carol", "/otp/SMS", "409 CHANNEL_NOT_SUPPORTED"),
        ("carol", "/push/BIOMETRIC", "200"),
        ("dave", "/otp/SMS", "403 INSUFFICIENT_PERMISSIONS"),
        ("dave", "/push/BIOMETRIC", "403 INSUFFICIENT_PERMISSIONS"),
    ];
    for (user, path, told) in cases {
        let session = App::demo().login(user).await;
        assert_eq!(session.companion("POST", path).send().await.says(), told, "{user} {path}");
    }
}

/// 15 seconds between two starts, whatever became of the first; `Retry-After` says how many are left and is true.
#[tokio::test]
async fn resend_interval() {
    let cases: [(&str, &[Line]); 6] = [
        (
            "counted down",
            &[
                (0, Start, "204"),
                (0, Start, "409 RETRY_IN_15SEC 15"),
                (0, Wait(1), ""),
                (0, Start, "409 RETRY_IN_15SEC 14"),
                (0, Wait(13), ""),
                (0, Start, "409 RETRY_IN_15SEC 1"),
                (0, Millis(999), ""),
                (0, Start, "409 RETRY_IN_15SEC 1"),
                (0, Millis(1), ""),
                (0, Start, "204"),
                (0, Start, "409 RETRY_IN_15SEC 15"),
            ],
        ),
        (
            "after a success",
            &[
                (0, Start, "204"),
                (0, Right, "204"),
                (0, Start, "409 RETRY_IN_15SEC 15"),
                (0, Wait(15), ""),
                (0, Start, "204"),
            ],
        ),
        (
            "after a failure",
            &[(0, Start, "204"), (0, Wrong, "409 VERIFICATION_CODE_INVALID"), (0, Start, "409 RETRY_IN_15SEC 15")],
        ),
        (
            "after DELETE",
            &[
                (0, Start, "204"),
                (0, Delete, "204"),
                (0, Start, "409 RETRY_IN_15SEC 15"),
                (0, Wait(15), ""),
                (0, Start, "204"),
            ],
        ),
        ("a session of its own", &[(0, Start, "204"), (1, Start, "204"), (0, Start, "409 RETRY_IN_15SEC 15")]),
        ("logout", &[(0, Start, "204"), (0, Logout, "204"), (0, Login, ""), (0, Wait(15), ""), (0, Start, "204")]),
    ];
    for (name, lines) in cases {
        play(name, &["alice", "alice"], lines).await;
    }
}

/// 413: 4 KiB and no more, whether the length was declared or not.
#[tokio::test]
async fn body_limit() {
    let alice = App::demo().login("alice").await;
    for (length, told) in [(4096, "400"), (4097, "413"), (100_000, "413")] {
        let body = "x".repeat(length);
        let declared = alice.companion("POST", "/otp/SMS").header("content-length", &length.to_string());
        assert_eq!(declared.body(Body::from(body.clone())).send().await.says(), told, "{length}");
        let undeclared = alice.companion("POST", "/otp/SMS").body(chunks(&[&*body.leak()]));
        assert_eq!(undeclared.send().await.says(), told, "{length}");
    }
    let large = || alice.companion("POST", "/otp/SMS").json(format!("{{{}}}", " ".repeat(4094)));
    assert_eq!(large().send().await.says(), "204");
}

/// 408: a body that does not come to its end. The wait is tokio's, and passes at once.
#[tokio::test(start_paused = true)]
async fn slow_body() {
    let alice = App::demo().login("alice").await;
    let asks = [
        alice.companion("POST", "/otp/SMS"),
        alice.companion("POST", "/otp/SMS/verify"),
        alice.companion("POST", "/push/BIOMETRIC"),
    ];
    for ask in asks {
        let answer = ask.header("content-type", "application/json").body(hanging("{")).send().await;
        assert_eq!(answer.status, 408, "{answer:?}");
    }
    // It cost nothing.
    alice.step_up().await;
}
