//! The order of checks: every combination of faults in a request.

use crate::app::{App, RIGHT, Session, WRONG};

/// The statuses in the order of the contract.
const ORDER: [u16; 8] = [404, 405, 401, 413, 400, 403, 409, 429];

async fn lock(app: &App) {
    let other = app.login("alice").await;
    assert_eq!(other.start().await.summary(), "204");
    for _ in 0..5 {
        assert_eq!(other.verify(WRONG).await.status, 409);
    }
}

async fn send(session: &Session, path: &str, is: impl Fn(u16) -> bool, body: &str, malformed: &str) -> u16 {
    let path = if is(404) { format!("{path}/no/where") } else { path.to_owned() };
    let method = if is(405) { "PUT" } else { "POST" };
    let body = if is(400) { malformed } else { body };
    let body = if is(413) { format!("{body}{}", " ".repeat(5000)) } else { body.to_owned() };
    let request = session.challenge(method, &path).json(body);
    let request = if is(401) { request.no_token() } else { request };
    request.send().await.status.as_u16()
}

/// Every set of faults, and the expected status: the first of them.
fn combinations() -> impl Iterator<Item = (Vec<u16>, Option<u16>)> {
    (0_u32..1 << ORDER.len()).map(|set| {
        let faults = ORDER.iter().enumerate().filter(move |(bit, _)| set & 1 << bit != 0);
        let faults: Vec<_> = faults.map(|(_, fault)| *fault).collect();
        let first = faults.first().copied();
        (faults, first)
    })
}

#[tokio::test]
async fn verify() {
    for (faults, first) in combinations() {
        let is = |fault| faults.contains(&fault);
        // A user who may not step up has no failures to be locked out for; see `disabled`.
        if is(403) && is(429) {
            continue;
        }
        let app = App::demo();
        let session = app.login(if is(403) { "dave" } else { "alice" }).await;
        if is(409) {
            // No challenge is pending.
        } else if is(403) {
            session.start().await;
        } else {
            assert_eq!(session.start().await.summary(), "204");
        }
        if is(429) {
            lock(&app).await;
        }
        // The state in the records is checked before the application is called.
        let first = if first == Some(403) { Some(409) } else { first };
        let body = format!(r#"{{"verificationCode":"{RIGHT}"}}"#);
        let status = send(&session, "/otp/SMS/verify", is, &body, r#"{"verificationCode":"12"}"#).await;
        assert_eq!(status, first.unwrap_or(204), "{faults:?}");
    }
}

#[tokio::test]
async fn start() {
    for (faults, first) in combinations() {
        let is = |fault| faults.contains(&fault);
        if is(403) && is(429) {
            continue;
        }
        let app = App::demo();
        let session = app.login(if is(403) { "dave" } else { "alice" }).await;
        if is(429) {
            lock(&app).await;
        }
        if is(409) && !is(403) {
            if is(429) {
                // Started, and then locked out, within 15 seconds.
                app.wait(30);
                assert_eq!(session.start().await.summary(), "204");
                for _ in 0..5 {
                    assert_eq!(session.verify(WRONG).await.status, 409);
                }
            } else {
                assert_eq!(session.start().await.summary(), "204");
            }
        }
        let status = send(&session, "/otp/SMS", is, "{}", "[]").await;
        assert_eq!(status, first.unwrap_or(204), "{faults:?}");
    }
}

#[tokio::test]
async fn start_push() {
    for (faults, first) in combinations() {
        let is = |fault| faults.contains(&fault);
        // Pushes lead to no lockout here.
        if is(429) {
            continue;
        }
        let app = App::demo();
        let session = app.login(if is(403) { "dave" } else { "alice" }).await;
        if is(409) && !is(403) {
            session.push().await;
        }
        let status = send(&session, "/push/BIOMETRIC", is, "{}", "[]").await;
        assert_eq!(status, first.unwrap_or(200), "{faults:?}");
    }
}

/// Enrollment is checked only for well-formed requests.
#[tokio::test]
async fn enrollment_comes_after_syntax() {
    for user in ["bob", "carol", "dave"] {
        let session = App::demo().login(user).await;
        for body in ["", "{}", "[]", r#"{"verificationCode":"12"}"#, r#"{"verificationCode":123456}"#] {
            assert_eq!(session.verify_with(body).await.status, 400, "{user} {body}");
        }
        assert_eq!(session.challenge("POST", "/otp/EMAIL").send().await.status, 400, "{user}");
        assert_eq!(session.challenge("POST", "/push/SMS").send().await.status, 400, "{user}");
    }
}

/// 400 comes before the errors of the state.
#[tokio::test]
async fn syntax_comes_before_state() {
    let app = App::demo();
    let alice = app.login("alice").await;
    for wait in [0, 301, 3600] {
        assert_eq!(alice.verify("12").await.status, 400);
        alice.start().await;
        app.wait(wait);
    }
    alice.step_up().await;
    assert_eq!(alice.verify("12").await.status, 400);
    assert_eq!(alice.challenge("POST", "/otp/SMS").json("[]").send().await.status, 400);
}

/// A disabled user gets 403 before 409, and after everything else.
#[tokio::test]
async fn disabled() {
    let app = App::demo();
    for round in 0..10 {
        let session = app.login("alice").await;
        assert_eq!(session.start().await.summary(), "204", "round {round}");
        for _ in 0..5 {
            assert_eq!(session.verify(WRONG).await.status, 409, "round {round}");
        }
        app.wait(3600);
    }
    let alice = app.login("alice").await;
    for (faults, first) in combinations() {
        let is = |fault| faults.contains(&fault);
        if !is(403) || !is(409) || is(429) {
            continue;
        }
        let body = format!(r#"{{"verificationCode":"{RIGHT}"}}"#);
        let status = send(&alice, "/otp/SMS/verify", is, &body, r#"{"verificationCode":"12"}"#).await;
        assert_eq!(Some(status), first, "verify {faults:?}");
        let status = send(&alice, "/otp/SMS", is, "{}", "[]").await;
        assert_eq!(Some(status), first, "start {faults:?}");
    }
}
