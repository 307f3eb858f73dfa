//! Budgets of messages over the wire: the responses, and the exact moment at which the next message may be sent.

use std::time::Duration;

use tower_step_up::{Caller, Policy, Recipient, SendBudget, StepUp};

use crate::app::{Answer, App, RIGHT, Session, clock};
use crate::vault_app;

const DAY: u64 = 86_400;

fn app(policy: Policy, sandbox: bool) -> App {
    let clock = clock();
    let phone = async |caller: Caller, _: String| {
        let user = caller.subject();
        Ok(Recipient::new(if user.starts_with("shared") { "+49 shared".into() } else { format!("+49 {user}") }))
    };
    let builder = StepUp::builder()
        .otp("SMS", vault_app::send)
        .otp("EMAIL", vault_app::send)
        .push("BIOMETRIC", vault_app::notify);
    let builder = builder.enrollment(phone).policy(policy).clock(clock.clone());
    let builder = if sandbox { builder.sandbox() } else { builder };
    vault_app::app(&builder.build().expect("a valid configuration"), clock, sandbox)
}

async fn start(session: &Session, path: &str) -> Answer {
    session.challenge("POST", path).send().await
}

/// Asserts that starts are refused until `wait` seconds have passed, exact to the millisecond.
async fn refused(app: &App, session: &Session, path: &str, limit: &str, wait: u64, name: &str) {
    for (passes, left) in [(0, wait), (wait - 1, 1)] {
        app.wait(passes);
        let answer = start(session, path).await;
        assert_eq!(answer.summary(), format!("429 {limit} {left}"), "{name}");
        assert_eq!(answer.seconds("x-ratelimit-reset"), left, "{name}");
    }
    app.wait_millis(999);
    assert_eq!(start(session, path).await.summary(), format!("429 {limit} 1"), "{name}");
    app.wait_millis(1);
    let status = start(session, path).await.status;
    assert!(status.is_success(), "{name}: {status} after the wait");
}

const SMS: &[&str] = &["/otp/SMS"];
const BOTH: &[&str] = &["/otp/SMS", "/otp/EMAIL"];
const ALL: &[&str] = &["/otp/SMS", "/push/BIOMETRIC"];
const PUSH: &[&str] = &["/push/BIOMETRIC"];

/// Each budget, reached alone: the seconds at which a challenge is started and dropped, the channels in turn, the limit
/// reported 20 seconds after the last start, and the wait.
#[tokio::test]
async fn each_window_to_the_second() {
    type Row<'a> = (&'a str, Vec<u64>, &'a [&'a str], &'a str, u64);
    let every = |number: u64, seconds: u64| (0..number).map(|i| i * seconds).collect::<Vec<_>>();
    let rows: [Row; 9] = [
        ("3 in 5 minutes", vec![0, 15, 30], SMS, "3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400", 250),
        ("over two channels", vec![0, 15, 30], BOTH, "3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400", 250),
        ("spread over them", vec![0, 100, 200], SMS, "3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400", 80),
        ("5 in 10 minutes", vec![0, 15, 30, 300, 315], SMS, "5, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400", 265),
        ("15 in an hour", every(15, 200), SMS, "15, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400", 780),
        ("15 codes and pushes in an hour", every(15, 220), ALL, "15, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400", 500),
        ("30 in a day", every(30, 1_000), SMS, "30, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400", DAY - 29_020),
        (
            "30 codes and pushes in a day",
            every(30, 1_000),
            ALL,
            "30, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400",
            DAY - 29_020,
        ),
        ("3 pushes in 10 minutes", vec![0, 0, 60], PUSH, "3, 3;w=600, 15;w=3600, 30;w=86400", 520),
    ];
    for sandbox in [false, true] {
        for (name, starts, paths, limit, wait) in &rows {
            let app = app(Policy::new(), sandbox);
            let alice = app.session("alice", "1");
            let mut now = 0;
            for (number, at) in starts.iter().enumerate() {
                app.wait(at - now);
                now = *at;
                let answer = start(&alice, paths[number % paths.len()]).await;
                assert!(answer.status.is_success(), "{name}, the start at {at}: {answer:?}");
                assert_eq!(alice.drop_elevation().await.summary(), "204");
            }
            app.wait(20);
            // Another user is not affected; another session of the same user is.
            assert!(start(&app.session("bob", "1"), paths[0]).await.status.is_success(), "{name}");
            refused(&app, &app.session("alice", "2"), paths[0], limit, *wait, name).await;
        }
    }
}

/// Limits set by the policy.
#[tokio::test]
async fn configured_limits() {
    let app = app(
        Policy::new().send_budget(SendBudget::new().per_5_minutes(1).per_10_minutes(2).per_hour(3).per_day(4)),
        false,
    );
    let alice = app.session("alice", "1");
    // Each wait ends when the first message leaves the window.
    for (limit, wait) in [(1, 285), (2, 285), (3, 2985), (4, 82_785)] {
        let limit = format!("{limit}, 1;w=300, 2;w=600, 3;w=3600, 4;w=86400");
        assert_eq!(start(&alice, "/otp/SMS").await.summary(), "204", "{limit}");
        app.wait(15);
        let answer = start(&alice, "/otp/SMS").await;
        assert_eq!(answer.summary(), format!("429 {limit} {wait}"));
        app.wait(wait);
    }
}

/// The state is checked before the budget: 409 if both apply.
#[tokio::test]
async fn the_state_comes_first() {
    let app = app(Policy::new(), true);
    let alice = app.session("alice", "1");
    for expected in ["204", "204"] {
        assert_eq!(start(&alice, "/otp/SMS").await.summary(), expected);
        app.wait(15);
    }
    assert_eq!(start(&alice, "/otp/SMS").await.summary(), "204");
    for (wait, expected) in [
        (0, "409 RETRY_IN_15SEC 15"),
        (14, "409 RETRY_IN_15SEC 1"),
        (1, "429 3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400 255"),
    ] {
        app.wait(wait);
        assert_eq!(start(&alice, "/otp/SMS").await.summary(), expected);
    }
    for round in 0..3 {
        assert_eq!(start(&alice, "/push/BIOMETRIC").await.status, 200, "{round}");
        assert_eq!(start(&alice, "/push/BIOMETRIC").await.summary(), "409 STATE_INVALID", "{round}");
        if round < 2 {
            assert_eq!(alice.drop_elevation().await.summary(), "204");
        }
    }
    assert_eq!(
        start(&alice, "/push/BIOMETRIC").await.summary(),
        "409 STATE_INVALID",
        "although the budget is used up, too"
    );
    assert_eq!(alice.drop_elevation().await.summary(), "204");
    assert_eq!(start(&alice, "/push/BIOMETRIC").await.summary(), "429 3, 3;w=600, 15;w=3600, 30;w=86400 600");
    // And the syntax and the caller before the state.
    assert_eq!(start(&alice, "/otp/BIOMETRIC").await.status, 400);
    assert_eq!(alice.challenge("POST", "/otp/SMS").no_token().send().await.status, 401);
}

/// Refused starts do not prolong the wait.
#[tokio::test]
async fn refused_starts_do_not_prolong_the_wait() {
    let app = app(Policy::new(), false);
    let alice = app.session("alice", "1");
    for _ in 0..3 {
        assert_eq!(start(&alice, "/otp/SMS").await.summary(), "204");
        app.wait(15);
    }
    for left in (1..=255).rev() {
        for session in ["1", "2"] {
            let summary = start(&app.session("alice", session), "/otp/SMS").await.summary();
            assert_eq!(summary, format!("429 3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400 {left}"));
        }
        app.wait(1);
    }
    assert_eq!(start(&alice, "/otp/SMS").await.summary(), "204");
}

/// What restores a message to the budget: three were sent, one of which ended like this.
#[tokio::test]
async fn what_restores_a_message() {
    const FULL: &str = "429 3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400 240";
    for (became, expected) in [("verified", "204"), ("wrong", FULL), ("dropped", FULL), ("nothing", FULL)] {
        let app = app(Policy::new(), true);
        let [first, second] = ["1", "2"].map(|session| app.session("alice", session));
        for _ in 0..3 {
            assert_eq!(first.start().await.summary(), "204");
            app.wait(15);
        }
        match became {
            "verified" => assert_eq!(first.verify(RIGHT).await.summary(), "204"),
            "wrong" => assert_eq!(first.verify("000000").await.summary(), "409 VERIFICATION_CODE_INVALID"),
            "dropped" => assert_eq!(first.drop_elevation().await.summary(), "204"),
            _ => {}
        }
        app.wait(15);
        assert_eq!(second.start().await.summary(), expected, "{became}");
        app.wait(15);
        let again = second.start().await;
        assert_eq!(
            again.header("x-ratelimit-limit"),
            "3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400",
            "{became}: at most one is restored"
        );
    }
}

/// A number that several users have enrolled has three times one user's budget.
#[tokio::test]
async fn a_shared_recipient() {
    let app = app(Policy::new(), false);
    for user in ["shared 1", "shared 2", "shared 3"] {
        for session in ["1", "2", "3"] {
            assert_eq!(app.session(user, session).start().await.summary(), "204", "{user}");
        }
        assert_eq!(
            app.session(user, "4").start().await.header("x-ratelimit-limit"),
            "3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400",
            "{user}"
        );
    }
    refused(
        &app,
        &app.session("shared 4", "1"),
        "/otp/SMS",
        "9, 9;w=300, 15;w=600, 45;w=3600, 90;w=86400",
        300,
        "the tenth",
    )
    .await;
    assert_eq!(app.session("bob", "1").start().await.summary(), "204");
}

/// Budgets of the process, and of numbers with a common prefix.
#[tokio::test]
async fn budgets_of_the_process() {
    let minute = Duration::from_secs(60);
    for (policy, limit) in [
        (Policy::new().sends_in_process(3, minute), "3, 3;w=60"),
        (Policy::new().sends_per_prefix(3, 3, minute), "3, 3;w=60"),
    ] {
        let app = app(policy, false);
        for user in ["alice", "bob", "carol"] {
            assert_eq!(app.session(user, "1").start().await.summary(), "204");
        }
        refused(&app, &app.session("dave", "1"), "/otp/SMS", limit, 60, limit).await;
    }
}
