//! Starting a one-time code.

use axum::body::Body;

use crate::app::{App, RIGHT};
use crate::body::{chunks, hanging};
use crate::script::{Delete, Line, Login, Logout, Millis, Right, Start, Wait, Wrong, run_script};

/// No body, an empty one, `{}`, and a content type without a body; `Accept` absent or empty.
#[tokio::test]
async fn optional_bodies() {
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
        for (session, method, path, expected) in operations {
            let request = session.challenge(method, &path).body(Body::from(body));
            let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
            assert_eq!(request.send().await.summary(), expected, "{method} {path} with {headers:?} {body:?}");
        }
    }
    // The same without a declared length.
    for body in [chunks(&[]), chunks(&[""]), chunks(&["{}"]), chunks(&["{", "", " ", "}"])] {
        let alice = App::demo().login("alice").await;
        let request = alice.challenge("POST", "/otp/SMS").header("content-type", "application/json");
        assert_eq!(request.body(body).send().await.summary(), "204");
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    for body in [r#"{"channel":"EMAIL"}"#, r#"{"a":[1,{"b":null}],"c":{}}"#, r#"{"verificationCode":"123456"}"#] {
        let alice = App::demo().login("alice").await;
        assert_eq!(alice.challenge("POST", "/otp/SMS").json(body).send().await.summary(), "204", "{body}");
        assert_eq!(alice.status().await.summary(), "200 STANDARD");
    }
}

/// The scope of a start is the scope of the grant.
#[tokio::test]
async fn the_grant_has_the_scope_of_the_start() {
    let alice = App::demo().login("alice").await;
    let start = alice.challenge("POST", "/otp/SMS").json(r#"{"scope":"payments"}"#).send().await;
    assert_eq!(start.summary(), "204");
    assert_eq!(alice.verify(RIGHT).await.summary(), "204");
    assert_eq!(alice.status().await.json()["grants"][0]["scope"], "payments");
    // T8: it is not a session-wide step-up.
    assert_eq!(alice.card().await.summary(), "403 STEP_UP_REQUIRED wrong_scope");
}

/// Users and channels for which a start is refused.
#[tokio::test]
async fn refused_users_and_channels() {
    let cases = [
        ("alice", "/otp/SMS", "204"),
        ("bob", "/otp/SMS", "409 CHANNEL_NOT_REGISTERED"),
        ("bob", "/push/BIOMETRIC", "409 CHANNEL_NOT_REGISTERED"),
        ("carol", "/otp/SMS", "409 CHANNEL_NOT_SUPPORTED"),
        ("carol", "/push/BIOMETRIC", "200"),
        ("dave", "/otp/SMS", "403 INSUFFICIENT_PERMISSIONS"),
        ("dave", "/push/BIOMETRIC", "403 INSUFFICIENT_PERMISSIONS"),
    ];
    for (user, path, expected) in cases {
        let session = App::demo().login(user).await;
        assert_eq!(session.challenge("POST", path).send().await.summary(), expected, "{user} {path}");
    }
}

/// 15 seconds between two starts, in any state of the first; `Retry-After` is exact.
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
        ("another session", &[(0, Start, "204"), (1, Start, "204"), (0, Start, "409 RETRY_IN_15SEC 15")]),
        ("logout", &[(0, Start, "204"), (0, Logout, "204"), (0, Login, ""), (0, Wait(15), ""), (0, Start, "204")]),
    ];
    for (name, lines) in cases {
        run_script(name, &["alice", "alice"], lines).await;
    }
}

/// 413 above 4 KiB, with and without a declared length.
#[tokio::test]
async fn body_limit() {
    let alice = App::demo().login("alice").await;
    for (length, expected) in
        [(4096, "400 UNSUPPORTED_MEDIA_TYPE"), (4097, "413 CONTENT_TOO_LARGE"), (100_000, "413 CONTENT_TOO_LARGE")]
    {
        let body = "x".repeat(length);
        let declared = alice.challenge("POST", "/otp/SMS").header("content-length", &length.to_string());
        assert_eq!(declared.body(Body::from(body.clone())).send().await.summary(), expected, "{length}");
        let undeclared = alice.challenge("POST", "/otp/SMS").body(chunks(&[&*body.leak()]));
        assert_eq!(undeclared.send().await.summary(), expected, "{length}");
    }
    let large = || alice.challenge("POST", "/otp/SMS").json(format!("{{{}}}", " ".repeat(4094)));
    assert_eq!(large().send().await.summary(), "204");
}

/// 408 for a body that stalls. The wait is on tokio's paused clock.
#[tokio::test(start_paused = true)]
async fn slow_body() {
    let alice = App::demo().login("alice").await;
    let requests = [
        alice.challenge("POST", "/otp/SMS"),
        alice.challenge("POST", "/otp/SMS/verify"),
        alice.challenge("POST", "/push/BIOMETRIC"),
    ];
    for request in requests {
        let answer = request.header("content-type", "application/json").body(hanging("{")).send().await;
        assert_eq!(answer.status, 408, "{answer:?}");
    }
    // It was not counted.
    alice.step_up().await;
}
