//! The user's count of failures: lockouts, the stop at 50, the cap of 24 hours, and what does not reset them.

use std::future::Future;
use std::pin::Pin;

use tower_step_up::StepUp;

use crate::app::{App, RIGHT, Session, WRONG, clock};
use crate::script::{Accept, Card, Delete, Line, Push, Right, Start, Transfer, Wait, Wrong, run_script};
use crate::vault_app;

const INVALID: &str = "409 VERIFICATION_CODE_INVALID";
const ONE_LEFT: &str = "409 ONE_CHALLENGE_LIMIT_REMAINING";
const LIMIT: &str = "409 CHALLENGE_LIMIT_EXCEEDED";
const ROUND: [&str; 5] = [INVALID, INVALID, INVALID, ONE_LEFT, LIMIT];
const HOUR: u64 = 3600;

/// Uses all five attempts of a new code.
async fn fail(session: &Session) {
    for expected in ROUND {
        assert_eq!(session.verify(WRONG).await.summary(), expected);
    }
}

/// Every five failures in a row lock the user out for a time that doubles up to an hour; fifty disable the user. Each
/// wait is exact, and the same in `Retry-After` and `x-ratelimit-reset`.
#[tokio::test]
async fn waits_double_until_the_user_is_disabled() {
    let app = App::demo();
    let (alice, other) = (app.login("alice").await, app.login("alice").await);
    for wait in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
        assert_eq!(alice.start().await.summary(), "204", "before the wait of {wait}");
        fail(&alice).await;
        app.wait(15);
        for (passes, left) in [(0, wait - 15), (wait - 16, 1)] {
            app.wait(passes);
            let answer = alice.start().await;
            assert_eq!(answer.summary(), format!("429 5 {left}"), "in the wait of {wait}");
            assert_eq!(answer.seconds("x-ratelimit-reset"), left);
        }
        app.wait_millis(999);
        assert_eq!(alice.start().await.summary(), "429 5 1", "in the wait of {wait}");
        app.wait_millis(1);
        assert_eq!(alice.start().await.summary(), "204", "after the wait of {wait}");
        // Long enough for every budget of messages.
        app.wait(HOUR);
    }
    assert_eq!(alice.start().await.summary(), "204");
    for expected in &ROUND[..4] {
        assert_eq!(alice.verify(WRONG).await.summary(), *expected);
    }
    // A live code, and a grant by push, at the fiftieth failure.
    assert_eq!(other.start().await.summary(), "204");
    let id = other.push().await;
    assert_eq!(other.phone(&id, "accept").await.summary(), "204");
    assert_eq!(alice.verify(WRONG).await.summary(), LIMIT);

    for wait in [0, 15, 200, HOUR, 48 * HOUR, 365 * 24 * HOUR] {
        app.wait(wait);
        assert_eq!(alice.start().await.summary(), "403 INSUFFICIENT_PERMISSIONS", "{wait} s on");
        for session in [&alice, &other] {
            let (right, wrong) = (session.verify(RIGHT).await, session.verify(WRONG).await);
            assert_eq!(right.summary(), "403 INSUFFICIENT_PERMISSIONS", "{wait} s on");
            assert_eq!(right.bytes(), wrong.bytes(), "{wait} s on");
        }
        // T26: an existing grant stays valid until it expires.
        assert_eq!(other.card().await.status == 200, wait < HOUR, "{wait} s on");
    }
    // Other users are not affected.
    app.login("alice2").await.step_up().await;
}

/// T9: during a lockout no code is compared; the responses to right and wrong codes are identical in every session.
#[tokio::test]
async fn a_lockout_reveals_nothing() {
    let app = App::demo();
    let (alice, other) = (app.login("alice").await, app.login("alice").await);
    assert_eq!(other.start().await.summary(), "204");
    assert_eq!(alice.start().await.summary(), "204");
    fail(&alice).await;
    for left in [30, 29, 1] {
        let codes = [RIGHT, WRONG, "999999", RIGHT, "123457"];
        let mut answers = Vec::new();
        for code in codes.into_iter().cycle().take(20) {
            answers.push(other.verify(code).await);
        }
        assert_eq!(answers[0].summary(), format!("429 5 {left}"));
        assert_eq!(answers[0].seconds("x-ratelimit-reset"), left);
        assert!(answers.iter().all(|answer| answer.bytes() == answers[0].bytes()));
        assert_eq!(other.card().await.summary(), "403 STEP_UP_REQUIRED missing");
        app.wait(if left == 30 { 1 } else { 28 });
    }
    // After 57 seconds. None of the sixty attempts was counted.
    for expected in &ROUND[..4] {
        assert_eq!(other.verify(WRONG).await.summary(), *expected);
    }
    assert_eq!(other.verify(RIGHT).await.summary(), "204");
}

#[tokio::test]
async fn what_a_lockout_does_not_affect() {
    let cases: [(&str, &[Line]); 4] = [
        (
            "T26: a grant stays valid",
            &[
                (0, Start, "204"),
                (0, Right, "204"),
                (1, Start, "204"),
                (1, Wrong, INVALID),
                (1, Wrong, INVALID),
                (1, Wrong, INVALID),
                (1, Wrong, ONE_LEFT),
                (1, Wrong, LIMIT),
                (0, Wait(20), ""),
                (0, Start, "429 5 10"),
                (0, Card, "200"),
                (0, Transfer, "201"),
            ],
        ),
        (
            "another user",
            &[
                (2, Start, "204"),
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, ONE_LEFT),
                (0, Wrong, LIMIT),
                (2, Wrong, INVALID),
                (2, Wrong, INVALID),
                (2, Right, "204"),
            ],
        ),
        (
            "another channel: pushes work",
            &[
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, ONE_LEFT),
                (0, Wrong, LIMIT),
                (0, Push, "200"),
                (0, Accept, "204"),
                (0, Card, "200"),
                (0, Wait(15), ""),
                (0, Start, "429 5 15"),
            ],
        ),
        (
            "DELETE works, and does not lift it",
            &[
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, ONE_LEFT),
                (0, Wrong, LIMIT),
                (0, Delete, "204"),
                (0, Wait(15), ""),
                (0, Start, "429 5 15"),
            ],
        ),
    ];
    for (name, lines) in cases {
        run_script(name, &["alice", "alice", "alice-too"], lines).await;
    }
}

/// A success on the channel resets the count, in any session of the user.
#[tokio::test]
async fn a_success_resets() {
    let app = App::demo();
    let (alice, other) = (app.login("alice").await, app.login("alice").await);
    assert_eq!(alice.start().await.summary(), "204");
    for expected in &ROUND[..4] {
        assert_eq!(alice.verify(WRONG).await.summary(), *expected);
    }
    other.step_up().await;
    assert_eq!(alice.verify(WRONG).await.summary(), LIMIT);
    app.wait(15);
    // One failure in a row now: four more until the lockout.
    assert_eq!(alice.start().await.summary(), "204");
    for expected in &ROUND[..4] {
        assert_eq!(alice.verify(WRONG).await.summary(), *expected);
    }
    assert_eq!(alice.verify(RIGHT).await.summary(), "429 5 30");
}

/// T4, T5: nothing done between attempts lets more than five be compared before the lockout.
#[tokio::test]
async fn nothing_else_resets() {
    type Doing = Pin<Box<dyn Future<Output = Session> + Send>>;
    type Trick = fn(App, Session) -> Doing;
    let tricks: [(&str, Trick); 8] = [
        ("a new code", |app, session| Box::pin(async move { restart(&app, session).await })),
        ("a new code after the old one expired", |app, session| {
            Box::pin(async move {
                app.wait(301);
                restart(&app, session).await
            })
        }),
        ("a day", |app, session| {
            Box::pin(async move {
                app.wait(24 * HOUR);
                restart(&app, session).await
            })
        }),
        ("DELETE", |app, session| {
            Box::pin(async move {
                assert_eq!(session.drop_elevation().await.summary(), "204");
                restart(&app, session).await
            })
        }),
        ("logout", |app, session| {
            Box::pin(async move {
                assert_eq!(session.logout().await.summary(), "204");
                let session = app.login("alice").await;
                restart(&app, session).await
            })
        }),
        ("another session", |app, _| {
            Box::pin(async move {
                let session = app.login("alice").await;
                restart(&app, session).await
            })
        }),
        ("a step-up by push", |app, session| {
            Box::pin(async move {
                let id = session.push().await;
                assert_eq!(session.phone(&id, "accept").await.summary(), "204");
                restart(&app, session).await
            })
        }),
        ("using a grant", |_, session| {
            Box::pin(async move {
                let id = session.push().await;
                assert_eq!(session.phone(&id, "accept").await.summary(), "204");
                assert_eq!(session.card().await.summary(), "200");
                assert_eq!(session.status().await.summary(), "200 STEPPED_UP");
                session
            })
        }),
    ];
    for (name, trick) in tricks {
        // Done once, after `before` wrong attempts; the budgets of messages do not always allow more.
        for before in 1..=4 {
            let app = App::demo();
            let alice = app.login("alice").await;
            let watch = app.login("alice").await;
            assert_eq!(alice.start().await.summary(), "204");
            for expected in &ROUND[..before] {
                assert_eq!(alice.verify(WRONG).await.summary(), *expected);
            }
            let alice = trick(app.clone(), alice).await;
            let mut compared = before;
            for _ in before..12 {
                compared += usize::from(ROUND.contains(&&*alice.verify(WRONG).await.summary()));
            }
            assert_eq!(compared, 5, "{before} attempts, then {name}");
            app.wait(15);
            assert_eq!(watch.start().await.summary(), "429 5 15", "{before} attempts, then {name}");
        }
    }
}

async fn restart(app: &App, session: Session) -> Session {
    app.wait(15);
    assert_eq!(session.start().await.summary(), "204");
    session
}

/// Messages to one user: three in five minutes, five in ten. A verified code restores its message.
#[tokio::test]
async fn sends() {
    let app = App::demo();
    let alice = app.login("alice").await;
    for _ in 0..6 {
        alice.step_up().await;
        app.wait(15);
    }
    for expected in [204, 204, 204, 429] {
        let answer = alice.start().await;
        assert_eq!(answer.status, expected, "{answer:?}");
        app.wait(15);
    }
    let answer = alice.start().await;
    assert!(answer.header("x-ratelimit-limit").starts_with('3'), "{answer:?}");
    assert!(answer.header("x-ratelimit-limit").contains("3;w=300"), "{answer:?}");
    assert_eq!(answer.seconds("x-ratelimit-reset"), answer.seconds("retry-after"));
    app.wait(answer.seconds("retry-after"));
    assert_eq!(alice.start().await.summary(), "204");
    assert_eq!(app.login("alice2").await.start().await.summary(), "204");
}

/// T5: fifty sessions of a user share one budget; another user has their own.
#[tokio::test]
async fn many_sessions_one_budget() {
    let app = App::demo();
    let mut compared = 0;
    for _ in 0..50 {
        let session = app.login("alice").await;
        session.start().await;
        for _ in 0..2 {
            compared += usize::from(ROUND.contains(&&*session.verify(WRONG).await.summary()));
        }
    }
    assert_eq!(compared, 5);
    let other = app.login("alice2").await;
    assert_eq!(other.start().await.summary(), "204");
    fail(&other).await;
}

/// At most a hundred wrong codes of a user are compared in any 24 hours, over all channels; successes do not reset it.
#[tokio::test]
async fn a_hundred_in_a_day() {
    let clock = clock();
    let step_up = StepUp::builder()
        .otp("SMS", vault_app::send)
        .otp("EMAIL", vault_app::send)
        .clock(clock.clone())
        .sandbox()
        .build()
        .expect("a valid configuration");
    let app = vault_app::app(&step_up, clock, true);
    let alice = app.session("alice", "1");
    let verify = async |channel: &str, code: &str| {
        let body = format!(r#"{{"verificationCode":"{code}"}}"#);
        alice.challenge("POST", &format!("/otp/{channel}/verify")).json(body).send().await
    };
    let start = async |channel: &str| alice.challenge("POST", &format!("/otp/{channel}")).send().await;

    for round in 0..25 {
        let channel = ["SMS", "EMAIL"][round % 2];
        app.wait(15);
        assert_eq!(start(channel).await.summary(), "204", "round {round}");
        for expected in &ROUND[..4] {
            assert_eq!(verify(channel, WRONG).await.summary(), *expected, "round {round}");
        }
        if round < 24 {
            assert_eq!(verify(channel, RIGHT).await.summary(), "204", "round {round}");
        }
    }
    // 25 × 15 seconds have passed, the first 15 before the first wrong code.
    let (right, wrong) = (verify("SMS", RIGHT).await, verify("SMS", WRONG).await);
    assert_eq!(right.status, 429, "{right:?}");
    assert_eq!(right.bytes(), wrong.bytes());
    assert!(right.seconds("retry-after") <= 24 * HOUR - 24 * 15);
    app.wait(12 * HOUR);
    assert_eq!(start("EMAIL").await.status, 429);
    // 24 hours after the last of them.
    app.wait(12 * HOUR);
    assert_eq!(start("EMAIL").await.summary(), "204");
    assert_eq!(verify("EMAIL", RIGHT).await.summary(), "204");
    assert_eq!(alice.vault().await.summary(), "200");
}
