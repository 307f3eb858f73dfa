//! Verifying a one-time code.

use crate::app::{App, RIGHT, WRONG};
use crate::script::{Card, Line, Login, Logout, Right, Start, Status, Transfer, Wait, Wrong, run_script};

#[tokio::test]
async fn a_verified_code_passes_the_guard() {
    const MISSING: &str = "403 STEP_UP_REQUIRED missing";
    let lines: &[Line] = &[
        (0, Card, MISSING),
        (0, Transfer, MISSING),
        // Neither a sent code nor a wrong one passes the guard.
        (0, Start, "204"),
        (0, Card, MISSING),
        (0, Status, "200 STANDARD"),
        (0, Wrong, "409 VERIFICATION_CODE_INVALID"),
        (0, Transfer, MISSING),
        (0, Right, "204"),
        (0, Card, "200"),
        (0, Transfer, "201"),
        (0, Transfer, "201"),
        (0, Status, "200 STEPPED_UP"),
        (1, Card, MISSING),
        (1, Status, "200 STANDARD"),
        (2, Card, MISSING),
        (2, Status, "200 STANDARD"),
    ];
    run_script("verified", &["alice", "alice", "alice2"], lines).await;
}

/// T8: a code is verified only in the session that started it. Attempts in other sessions cost its session nothing.
#[tokio::test]
async fn only_its_own_session() {
    for started in 0..4 {
        let app = App::demo();
        let mut sessions = Vec::new();
        for user in ["alice1", "alice1", "alice2", "alice2"] {
            sessions.push(app.login(user).await);
        }
        assert_eq!(sessions[started].start().await.summary(), "204");
        let mut answers = Vec::new();
        for (tried, session) in sessions.iter().enumerate().filter(|(tried, _)| *tried != started) {
            for _ in 0..6 {
                answers.push(session.verify(WRONG).await);
            }
            answers.push(session.verify(RIGHT).await);
            assert_eq!(session.card().await.summary(), "403 STEP_UP_REQUIRED missing", "{started} → {tried}");
        }
        for answer in &answers {
            assert_eq!(answer.summary(), "409 STATE_INVALID");
            assert_eq!(answer.bytes(), answers[0].bytes());
        }
        assert_eq!(sessions[started].verify(RIGHT).await.summary(), "204");
        for (tried, session) in sessions.iter().enumerate() {
            let expected = if tried == started { "409 ALREADY_VERIFIED" } else { "409 STATE_INVALID" };
            assert_eq!(session.verify(RIGHT).await.summary(), expected, "{started} → {tried}");
            assert_eq!(session.card().await.status == 200, tried == started, "{started} → {tried}");
        }
    }
}

/// T26: without a session of the victim, an attacker cannot use up the victim's attempts.
#[tokio::test]
async fn strangers_use_up_no_attempts() {
    let app = App::demo();
    let (alice, mallory) = (app.login("alice").await, app.login("alice-mallory").await);
    assert_eq!(alice.start().await.summary(), "204");
    for round in 0..12 {
        let stranger = alice.challenge("POST", "/otp/SMS/verify").no_token();
        let answer = stranger.json(format!(r#"{{"verificationCode":"00000{}"}}"#, round % 10)).send().await;
        assert_eq!(answer.summary(), "401 UNAUTHORIZED");
        assert_eq!(mallory.verify(WRONG).await.summary(), "409 STATE_INVALID");
    }
    for expected in ["INVALID", "INVALID", "INVALID"] {
        assert_eq!(alice.verify(WRONG).await.summary(), format!("409 VERIFICATION_CODE_{expected}"));
    }
    assert_eq!(alice.verify(RIGHT).await.summary(), "204");
}

/// Verifying when no code was started.
#[tokio::test]
async fn no_pending_code() {
    let cases = [
        ("alice", "409 STATE_INVALID"),
        // The state in the records is checked before the application is called.
        ("bob", "409 STATE_INVALID"),
        ("carol", "409 STATE_INVALID"),
        ("dave", "409 STATE_INVALID"),
    ];
    for (user, expected) in cases {
        let session = App::demo().login(user).await;
        for code in [RIGHT, WRONG] {
            assert_eq!(session.verify(code).await.summary(), expected, "{user} {code}");
        }
    }
}

/// T15: an elevation does not outlive the session.
#[tokio::test]
async fn logout_ends_the_elevation() {
    let app = App::demo();
    let (alice, other) = (app.login("alice").await, app.login("alice").await);
    alice.step_up().await;
    assert_eq!(alice.card().await.summary(), "200");
    assert_eq!(alice.logout().await.summary(), "204");
    for answer in [alice.card().await, alice.transfer().await, alice.status().await, alice.start().await] {
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    assert_eq!(alice.verify(RIGHT).await.status, 401);
    assert_eq!(other.status().await.summary(), "200 STANDARD");
    let lines: &[Line] = &[
        (0, Start, "204"),
        (0, Right, "204"),
        (0, Logout, "204"),
        (0, Login, ""),
        (0, Card, "403 STEP_UP_REQUIRED missing"),
        (0, Status, "200 STANDARD"),
        (0, Right, "409 STATE_INVALID"),
        // A pending code ends with its session.
        (0, Wait(15), ""),
        (0, Start, "204"),
        (0, Logout, "204"),
        (0, Login, ""),
        (0, Right, "409 STATE_INVALID"),
    ];
    run_script("logout", &["alice"], lines).await;
}

/// JSON spellings of the right code.
#[tokio::test]
async fn spellings_that_are_json() {
    let bodies = [
        r#"{"verificationCode":"123456"}"#,
        " \r\n\t{ \"verificationCode\" :\t\"123456\" } \n",
        r#"{"a":1,"verificationCode":"123456","b":{"verificationCode":"000000"}}"#,
        r#"{"verificationCode":"\u0031\u0032\u0033456"}"#,
        r#"{"verification\u0043ode":"123456"}"#,
        r#"{"verificationcode":"000000","VERIFICATIONCODE":7,"verification_code":null,"verificationCode":"123456"}"#,
    ];
    for body in bodies {
        let alice = App::demo().login("alice").await;
        assert_eq!(alice.start().await.summary(), "204");
        assert_eq!(alice.verify_with(body).await.summary(), "204", "{body}");
    }
}
