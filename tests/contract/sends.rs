//! Budgets of messages over the wire: what is told, and the exact moment at which the next may be sent.

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
    vault_app::app(&builder.build().expect("a sound app"), clock, sandbox)
}

async fn start(session: &Session, path: &str) -> Answer {
    session.companion("POST", path).send().await
}

/// Starts which are refused until `wait` seconds have passed, exactly: on the second, and to the millisecond.
async fn refused(app: &App, session: &Session, path: &str, limit: &str, wait: u64, name: &str) {
    for (passes, left) in [(0, wait), (wait - 1, 1)] {
        app.wait(passes);
        let answer = start(session, path).await;
        assert_eq!(answer.says(), format!("429 {limit} {left}"), "{name}");
        assert_eq!(answer.seconds("x-ratelimit-reset"), left, "{name}");
    }
    app.wait_millis(999);
    assert_eq!(start(session, path).await.says(), format!("429 {limit} 1"), "{name}");
    app.wait_millis(1);
    let status = start(session, path).await.status;
    assert!(status.is_success(), "{name}: {status} when the wait is over");
}

const SMS: &[&str] = &["/otp/SMS"];
const BOTH: &[&str] = &["/otp/SMS", "/otp/EMAIL"];
const ALL: &[&str] = &["/otp/SMS", "/push/BIOMETRIC"];
const PUSH: &[&str] = &["/push/BIOMETRIC"];

/// Each budget, reached by nothing but itself: seconds at which something is started and dropped again, over which
/// channels in turn, the limit that is told at the last of these moments and 20 seconds, and the wait.
#[tokio::test]
async fn each_window_to_the_second() {
    type Row<'a> = (&'a str, Vec<u64>, &'a [&'a str], &'a str, u64);
    let every = |number: u64, seconds: u64| (0..number).map(|i| i * seconds).collect::<Vec<_>>();
    let rows: [Row; 9] = [
        ("3 in 5 minutes", vec![0, 15, 30], SMS, "3, 3;w=300", 250),
        ("over two channels", vec![0, 15, 30], BOTH, "3, 3;w=300", 250),
        ("spread over them", vec![0, 100, 200], SMS, "3, 3;w=300", 80),
        ("5 in 10 minutes", vec![0, 15, 30, 300, 315], SMS, "5, 5;w=600", 265),
        ("15 in an hour", every(15, 200), SMS, "15, 15;w=3600", 780),
        ("15 codes and pushes in an hour", every(15, 220), ALL, "15, 15;w=3600", 500),
        ("30 in a day", every(30, 1_000), SMS, "30, 30;w=86400", DAY - 29_020),
        ("30 codes and pushes in a day", every(30, 1_000), ALL, "30, 30;w=86400", DAY - 29_020),
        ("3 pushes in 10 minutes", vec![0, 0, 60], PUSH, "3, 3;w=600", 520),
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
                assert_eq!(alice.drop_elevation().await.says(), "204");
            }
            app.wait(20);
            // Another user is not concerned, and another session of the same user is.
            assert!(start(&app.session("bob", "1"), paths[0]).await.status.is_success(), "{name}");
            refused(&app, &app.session("alice", "2"), paths[0], limit, *wait, name).await;
        }
    }
}

/// The numbers are the policy's.
#[tokio::test]
async fn the_policys_own_numbers() {
    let app = app(
        Policy::new().send_budget(SendBudget::new().per_5_minutes(1).per_10_minutes(2).per_hour(3).per_day(4)),
        false,
    );
    let alice = app.session("alice", "1");
    // Each wait ends where the window lets go of its first.
    for (limit, wait) in [("1, 1;w=300", 285), ("2, 2;w=600", 285), ("3, 3;w=3600", 2985), ("4, 4;w=86400", 82_785)] {
        assert_eq!(start(&alice, "/otp/SMS").await.says(), "204", "{limit}");
        app.wait(15);
        let answer = start(&alice, "/otp/SMS").await;
        assert_eq!(answer.says(), format!("429 {limit} {wait}"));
        app.wait(wait);
    }
}

/// The state comes before the budget: 409 where there are both.
#[tokio::test]
async fn the_state_comes_first() {
    let app = app(Policy::new(), true);
    let alice = app.session("alice", "1");
    for told in ["204", "204"] {
        assert_eq!(start(&alice, "/otp/SMS").await.says(), told);
        app.wait(15);
    }
    assert_eq!(start(&alice, "/otp/SMS").await.says(), "204");
    for (wait, told) in [(0, "409 RETRY_IN_15SEC 15"), (14, "409 RETRY_IN_15SEC 1"), (1, "429 3, 3;w=300 255")] {
        app.wait(wait);
        assert_eq!(start(&alice, "/otp/SMS").await.says(), told);
    }
    for round in 0..3 {
        assert_eq!(start(&alice, "/push/BIOMETRIC").await.status, 200, "{round}");
        assert_eq!(start(&alice, "/push/BIOMETRIC").await.says(), "409 STATE_INVALID", "{round}");
        if round < 2 {
            assert_eq!(alice.drop_elevation().await.says(), "204");
        }
    }
    assert_eq!(start(&alice, "/push/BIOMETRIC").await.says(), "409 STATE_INVALID", "the budget is used up as well");
    assert_eq!(alice.drop_elevation().await.says(), "204");
    assert_eq!(start(&alice, "/push/BIOMETRIC").await.says(), "429 3, 3;w=600 600");
    // And what is malformed, or nobody's, before the state.
    assert_eq!(start(&alice, "/otp/BIOMETRIC").await.status, 400);
    assert_eq!(alice.companion("POST", "/otp/SMS").no_token().send().await.status, 401);
}

/// A refusal costs nothing: however often it is asked, the wait is no longer.
#[tokio::test]
async fn asking_in_vain() {
    let app = app(Policy::new(), false);
    let alice = app.session("alice", "1");
    for _ in 0..3 {
        assert_eq!(start(&alice, "/otp/SMS").await.says(), "204");
        app.wait(15);
    }
    for left in (1..=255).rev() {
        for session in ["1", "2"] {
            let told = start(&app.session("alice", session), "/otp/SMS").await.says();
            assert_eq!(told, format!("429 3, 3;w=300 {left}"));
        }
        app.wait(1);
    }
    assert_eq!(start(&alice, "/otp/SMS").await.says(), "204");
}

/// What gives a message back, and what does not: three were sent, one of them became this.
#[tokio::test]
async fn what_gives_back() {
    const FULL: &str = "429 3, 3;w=300 240";
    for (became, told) in [("verified", "204"), ("wrong", FULL), ("dropped", FULL), ("nothing", FULL)] {
        let app = app(Policy::new(), true);
        let [first, second] = ["1", "2"].map(|session| app.session("alice", session));
        for _ in 0..3 {
            assert_eq!(first.start().await.says(), "204");
            app.wait(15);
        }
        match became {
            "verified" => assert_eq!(first.verify(RIGHT).await.says(), "204"),
            "wrong" => assert_eq!(first.verify("000000").await.says(), "409 VERIFICATION_CODE_INVALID"),
            "dropped" => assert_eq!(first.drop_elevation().await.says(), "204"),
            _ => {}
        }
        app.wait(15);
        assert_eq!(second.start().await.says(), told, "{became}");
        app.wait(15);
        let again = second.start().await;
        assert_eq!(again.header("x-ratelimit-limit"), "3, 3;w=300", "{became}: one at most is given back");
    }
}

/// One number that several users have enrolled: at three times one user's budget it is refused.
#[tokio::test]
async fn a_shared_recipient() {
    let app = app(Policy::new(), false);
    for user in ["shared 1", "shared 2", "shared 3"] {
        for session in ["1", "2", "3"] {
            assert_eq!(app.session(user, session).start().await.says(), "204", "{user}");
        }
        assert_eq!(app.session(user, "4").start().await.header("x-ratelimit-limit"), "3, 3;w=300", "{user}");
    }
    refused(&app, &app.session("shared 4", "1"), "/otp/SMS", "9, 9;w=300", 300, "the tenth").await;
    assert_eq!(app.session("bob", "1").start().await.says(), "204");
}

/// What the process sends, and what it sends to numbers that begin alike.
#[tokio::test]
async fn windows_of_the_process() {
    let minute = Duration::from_secs(60);
    for (policy, limit) in [
        (Policy::new().sends_in_process(3, minute), "3, 3;w=60"),
        (Policy::new().sends_per_prefix(3, 3, minute), "3, 3;w=60"),
    ] {
        let app = app(policy, false);
        for user in ["alice", "bob", "carol"] {
            assert_eq!(app.session(user, "1").start().await.says(), "204");
        }
        refused(&app, &app.session("dave", "1"), "/otp/SMS", limit, 60, limit).await;
    }
}
