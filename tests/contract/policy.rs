//! Apps with their own policies, channels and providers.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tower_step_up::{
    Caller, DeliveryError, EnrollmentError, OtpMessage, OtpSender, Policy, PushMessage, PushReply, Recipient, StepUp,
};

use crate::app::{App, RIGHT, Session, clock};
use crate::vault_app;

/// An app outside the sandbox, and the codes it has sent, each with user and channel.
fn real(policy: Policy) -> (App, Sent) {
    let (clock, sent) = (clock(), Sent::default());
    let step_up = StepUp::builder()
        .otp("SMS", sent.sender())
        .otp("EMAIL", sent.sender())
        .push("BIOMETRIC", vault_app::notify)
        .policy(policy)
        .clock(clock.clone())
        .build()
        .expect("a valid configuration");
    (vault_app::app(&step_up, clock, false), sent)
}

#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<[String; 3]>>>);

impl Sent {
    fn sender(&self) -> impl OtpSender + use<> {
        let sent = self.clone();
        move |message: OtpMessage| {
            let sent = sent.clone();
            async move {
                let code = message.code().expose().to_string();
                sent.0.lock().unwrap().push([message.subject().to_string(), message.channel().to_string(), code]);
                Ok(())
            }
        }
    }

    fn last(&self) -> String {
        self.0.lock().unwrap().last().expect("a code")[2].clone()
    }
}

/// Another code of the same length.
fn other(code: &str) -> String {
    code.chars().map(|digit| if digit == '9' { '0' } else { char::from(digit as u8 + 1) }).collect()
}

async fn verify(session: &Session, channel: &str, code: &str) -> String {
    let body = json!({"verificationCode": code}).to_string();
    session.challenge("POST", &format!("/otp/{channel}/verify")).json(body).send().await.summary()
}

#[tokio::test]
async fn codes_that_were_sent() {
    let (app, sent) = real(Policy::new());
    let alice = app.session("alice", "1");
    assert_eq!(alice.start().await.summary(), "204");
    let first = sent.last();
    assert_eq!(*sent.0.lock().unwrap(), [["alice".to_owned(), "SMS".to_owned(), first.clone()]]);
    assert!(first.len() == 6 && first.bytes().all(|byte| byte.is_ascii_digit()), "{first}");
    assert_eq!(alice.vault().await.summary(), "403 STEP_UP_REQUIRED missing");
    assert_eq!(verify(&alice, "SMS", &other(&first)).await, "409 VERIFICATION_CODE_INVALID");
    // A new start replaces the old code.
    app.wait(15);
    assert_eq!(alice.start().await.summary(), "204");
    let second = sent.last();
    if first != second {
        assert_eq!(verify(&alice, "SMS", &first).await, "409 VERIFICATION_CODE_INVALID");
    }
    // It is valid only on its channel and in its session.
    assert_eq!(verify(&alice, "EMAIL", &second).await, "409 STATE_INVALID");
    assert_eq!(verify(&app.session("alice", "2"), "SMS", &second).await, "409 STATE_INVALID");
    assert_eq!(verify(&app.session("alice2", "1"), "SMS", &second).await, "409 STATE_INVALID");
    assert_eq!(verify(&alice, "SMS", &second).await, "204");
    let vault = alice.vault().await;
    assert_eq!((vault.summary(), &*vault.body), ("200".to_owned(), vault_app::TREASURE.as_bytes()));
}

/// In the sandbox nothing is sent and the code is always the same; everything else is as outside.
#[tokio::test]
async fn sandbox() {
    let (clock, sent) = (clock(), Sent::default());
    let pushed = Arc::new(Mutex::new(0));
    let notified = pushed.clone();
    let notify = move |_: PushMessage| {
        *notified.lock().unwrap() += 1;
        async { Ok(()) }
    };
    let builder = StepUp::builder().otp("SMS", sent.sender()).push("BIOMETRIC", notify).sandbox();
    let app = vault_app::app(&builder.clock(clock.clone()).build().expect("a valid configuration"), clock, true);
    for user in ["alice", "bob", "carol"] {
        let session = app.session(user, "1");
        session.push().await;
        assert_eq!(session.start().await.summary(), "204");
        assert_eq!(verify(&session, "SMS", "123457").await, "409 VERIFICATION_CODE_INVALID");
        assert_eq!(session.vault().await.summary(), "403 STEP_UP_REQUIRED missing");
        assert_eq!(verify(&session, "SMS", RIGHT).await, "204");
        assert_eq!(session.vault().await.summary(), "200");
    }
    assert_eq!((sent.0.lock().unwrap().len(), *pushed.lock().unwrap()), (0, 0));
}

/// A code of another session, even of the same user, is a wrong code.
#[tokio::test]
async fn codes_are_not_exchanged() {
    let (app, sent) = real(Policy::new());
    let sessions = [app.session("alice", "1"), app.session("alice", "2"), app.session("bob", "1")];
    let mut codes = Vec::new();
    for session in &sessions {
        assert_eq!(session.start().await.summary(), "204");
        codes.push(sent.last());
    }
    for (at, session) in sessions.iter().enumerate() {
        for code in codes.iter().filter(|code| **code != codes[at]) {
            assert_eq!(verify(session, "SMS", code).await, "409 VERIFICATION_CODE_INVALID");
        }
    }
    for (session, code) in sessions.iter().zip(&codes) {
        assert_eq!(verify(session, "SMS", code).await, "204");
    }
}

/// A session has at most one pending code over all channels; a start on another channel replaces it and inherits its
/// attempts.
#[tokio::test]
async fn one_pending_code_a_session() {
    let (app, sent) = real(Policy::new());
    let alice = app.session("alice", "1");
    assert_eq!(alice.start().await.summary(), "204");
    let sms = sent.last();
    for _ in 0..3 {
        assert_eq!(verify(&alice, "SMS", &other(&sms)).await, "409 VERIFICATION_CODE_INVALID");
    }
    let email = || alice.challenge("POST", "/otp/EMAIL").send();
    assert_eq!(email().await.summary(), "409 RETRY_IN_15SEC 15");
    app.wait(15);
    assert_eq!(email().await.summary(), "204");
    let email = sent.last();
    assert_eq!(verify(&alice, "SMS", &sms).await, "409 STATE_INVALID");
    assert_eq!(verify(&alice, "SMS", &email).await, "409 STATE_INVALID");
    assert_eq!(verify(&alice, "EMAIL", &other(&email)).await, "409 ONE_CHALLENGE_LIMIT_REMAINING");
    assert_eq!(verify(&alice, "EMAIL", &email).await, "204");
    assert_eq!(alice.status().await.json()["grants"][0]["channel"], "EMAIL");
}

/// Attempts per challenge, and the response to each wrong one.
#[tokio::test]
async fn attempts() {
    const WAIT: &str = "429 5 30";
    const INVALID: &str = "409 VERIFICATION_CODE_INVALID";
    const ONE_LEFT: &str = "409 ONE_CHALLENGE_LIMIT_REMAINING";
    const LIMIT: &str = "409 CHALLENGE_LIMIT_EXCEEDED";
    const DEAD: &str = "409 STATE_INVALID";
    let cases: [(u8, &[&str]); 6] = [
        (1, &[LIMIT, DEAD]),
        (2, &[ONE_LEFT, LIMIT, DEAD]),
        (3, &[INVALID, ONE_LEFT, LIMIT, DEAD]),
        (5, &[INVALID, INVALID, INVALID, ONE_LEFT, LIMIT, DEAD]),
        (6, &[INVALID, INVALID, INVALID, INVALID, ONE_LEFT, WAIT, LIMIT, DEAD]),
        (10, &[INVALID, INVALID, INVALID, INVALID, INVALID, WAIT, INVALID, INVALID, INVALID, ONE_LEFT, LIMIT, DEAD]),
    ];
    for (attempts, expected) in cases {
        let (app, sent) = real(Policy::new().max_attempts(attempts));
        let alice = app.session("alice", "1");
        assert_eq!(alice.start().await.summary(), "204");
        for (number, expected) in expected.iter().enumerate() {
            assert_eq!(
                verify(&alice, "SMS", &other(&sent.last())).await,
                *expected,
                "{attempts} attempts, number {number}"
            );
            if *expected == WAIT {
                assert_eq!(verify(&alice, "SMS", &sent.last()).await, WAIT);
                app.wait(30);
            }
        }
        assert_eq!(verify(&alice, "SMS", &sent.last()).await, DEAD);
    }
}

#[tokio::test]
async fn longer_codes() {
    for digits in [6, 8, 12] {
        let (app, sent) = real(Policy::new().code_digits(digits));
        let alice = app.session("alice", "1");
        assert_eq!(alice.start().await.summary(), "204");
        let code = sent.last();
        assert_eq!(code.len(), usize::from(digits));
        for wrong in [&code[1..], &*format!("{code}0"), &*format!("0{code}")] {
            let answer = alice.verify(wrong).await;
            assert_eq!(answer.status, 400);
            assert_eq!(answer.json()["syntaxErrors"]["invalidFields"][0]["error"], "SIZE", "{digits}: {wrong}");
        }
        assert_eq!(verify(&alice, "SMS", &code).await, "204");
    }
}

/// The error code contains the configured interval.
#[tokio::test]
async fn resend_interval() {
    for interval in [15, 30, 90] {
        let (app, _) = real(Policy::new().resend_interval(Duration::from_secs(interval)));
        let alice = app.session("alice", "1");
        assert_eq!(alice.start().await.summary(), "204");
        app.wait(1);
        assert_eq!(alice.start().await.summary(), format!("409 RETRY_IN_{interval}SEC {}", interval - 1));
        app.wait(interval - 1);
        assert_eq!(alice.start().await.summary(), "204");
    }
}

#[tokio::test]
async fn starts_per_session() {
    let (app, _) = real(Policy::new().starts_per_session(2));
    let alice = app.session("alice", "1");
    for expected in ["204", "204", "409 CHALLENGE_LIMIT_EXCEEDED", "409 CHALLENGE_LIMIT_EXCEEDED"] {
        assert_eq!(alice.start().await.summary(), expected);
        app.wait(60);
    }
    assert_eq!(alice.drop_elevation().await.summary(), "204");
    assert_eq!(alice.start().await.summary(), "409 CHALLENGE_LIMIT_EXCEEDED");
    // Starts are counted per session.
    app.wait(3600);
    assert_eq!(app.session("alice", "2").start().await.summary(), "204");
}

/// The provider rejects (`bob`), fails (`carol`) or hangs.
#[tokio::test(start_paused = true)]
async fn deliveries_that_fail() {
    let clock = clock();
    let sender = async |message: OtpMessage| match message.subject().to_string().as_str() {
        "bob" => Err(DeliveryError::RecipientInvalid),
        "carol" => Err(DeliveryError::Failed),
        "eve" => pending().await,
        _ => Ok(()),
    };
    let builder = StepUp::builder().otp("SMS", sender).clock(clock.clone());
    let app = vault_app::app(&builder.build().expect("a valid configuration"), clock, false);
    let cases =
        [("alice", "204"), ("bob", "409 MOBILE_NUMBER_INVALID"), ("carol", "503"), ("eve", "503"), ("alice2", "204")];
    for (user, expected) in cases {
        let session = app.session(user, "1");
        let answer = session.start().await;
        assert!(answer.summary().starts_with(expected), "{user}: {answer:?}");
        // An unsent message does not start the resend interval.
        let again = session.start().await.summary();
        match user {
            "bob" | "carol" => assert!(again.starts_with(expected), "{user}: {again}"),
            _ => assert_eq!(again, "409 RETRY_IN_15SEC 15", "{user}"),
        }
        assert_eq!(session.vault().await.summary(), "403 STEP_UP_REQUIRED missing", "{user}");
    }
}

/// Enrollment is decided by the application.
#[tokio::test]
async fn enrollment_errors() {
    let clock = clock();
    let enrolled = async |caller: Caller, channel: String| -> Result<Recipient, EnrollmentError> {
        match (caller.subject(), &*channel) {
            ("bob", _) => Err(EnrollmentError::NotEnrolled),
            ("carol", "SMS") => Err(EnrollmentError::NotSupported),
            ("dave", _) => Err(EnrollmentError::Forbidden),
            ("erin", _) => Err(EnrollmentError::Unavailable),
            _ => Ok(Recipient::new("+4912345")),
        }
    };
    let builder = StepUp::builder()
        .otp("SMS", vault_app::send)
        .otp("EMAIL", vault_app::send)
        .push("BIOMETRIC", vault_app::notify);
    let step_up = builder.enrollment(enrolled).clock(clock.clone()).build().expect("a valid configuration");
    let app = vault_app::app(&step_up, clock, false);
    let users = [
        ("bob", ["409 CHANNEL_NOT_REGISTERED"; 3]),
        ("carol", ["409 CHANNEL_NOT_SUPPORTED", "204", "200"]),
        ("dave", ["403 INSUFFICIENT_PERMISSIONS"; 3]),
        ("erin", ["503"; 3]),
        ("alice", ["204", "409 RETRY_IN_15SEC 15", "200"]),
    ];
    for (user, expected) in users {
        let session = app.session(user, "1");
        for (path, expected) in ["/otp/SMS", "/otp/EMAIL", "/push/BIOMETRIC"].into_iter().zip(expected) {
            let summary = session.challenge("POST", path).send().await.summary();
            assert!(
                summary == expected || expected == "503" && summary.starts_with(expected),
                "{user} {path}: {summary}"
            );
        }
    }
    let channels = app.session("carol", "1").status().await.json()["channels"].take();
    assert_eq!(channels, json!({"otp": ["EMAIL"], "push": ["BIOMETRIC"], "proof": []}));
}

/// Without a public path, refusals have no `start`.
#[tokio::test]
async fn without_a_public_path() {
    let (app, _) = real(Policy::new());
    let answer = app.session("alice", "1").vault().await;
    assert_eq!(answer.status, 403);
    let body = json!({
        "errorCode": "STEP_UP_REQUIRED",
        "message": "STEP_UP_REQUIRED",
        "reason": "missing",
        "channels": {"otp": ["SMS", "EMAIL"], "push": ["BIOMETRIC"]},
    });
    assert_eq!(answer.json(), body);
}

#[tokio::test]
async fn with_a_public_path() {
    let clock = clock();
    let builder = StepUp::builder()
        .otp("SMS", vault_app::send)
        .push("BIOMETRIC", vault_app::notify)
        .push("AUTHY", vault_app::notify);
    let builder = builder.public_path("/api/v1/second-factor").clock(clock.clone());
    let app = vault_app::app(&builder.build().expect("a valid configuration"), clock, false);
    let body = app.session("alice", "1").vault().await.json();
    let start = ["otp/SMS", "push/BIOMETRIC", "push/AUTHY"].map(|path| format!("/api/v1/second-factor/{path}"));
    assert_eq!(body["start"], json!(start));
}

/// T14: an answer counts only for the user of the push, and once.
#[tokio::test]
async fn answers_of_other_users() {
    let clock = clock();
    let builder = StepUp::builder()
        .otp("SMS", vault_app::send)
        .push("BIOMETRIC", vault_app::notify)
        .push("AUTHY", vault_app::notify);
    let step_up = builder.clock(clock.clone()).build().expect("a valid configuration");
    let app = vault_app::app(&step_up, clock, false);
    let alice = app.session("alice", "1");
    let id = alice.push().await;
    for (subject, id) in [("mallory", &*id), ("alice", "1"), ("alice", &id[1..]), ("alice", &*format!("0{id}"))] {
        let answer = step_up.answer_push(subject, id, PushReply::Approve).await;
        assert!(answer.is_err(), "{subject} {id}");
        assert_eq!(alice.vault().await.summary(), "403 STEP_UP_REQUIRED missing");
    }
    // A push belongs to the channel that it was started on.
    let foreign = alice.challenge("GET", &format!("/push/AUTHY/{id}")).send().await;
    assert_eq!(foreign.status, 404);
    assert_eq!(alice.challenge("POST", "/push/AUTHY").send().await.summary(), "409 STATE_INVALID");
    assert_eq!(alice.poll(&id).await.summary(), "200 PENDING");
    assert!(step_up.answer_push("alice", &id, PushReply::Approve).await.is_ok());
    assert_eq!(alice.poll(&id).await.summary(), "200 VERIFIED");
    assert_eq!(alice.vault().await.summary(), "200");
    for answer in [PushReply::Approve, PushReply::Decline] {
        assert!(step_up.answer_push("alice", &id, answer).await.is_err());
    }
    assert_eq!(alice.vault().await.summary(), "200");
    assert_eq!(alice.verify(RIGHT).await.summary(), "409 STATE_INVALID");
}
