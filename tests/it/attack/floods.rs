//! T13: a thousand starts at once. The budget is taken before the sender runs, so it never sees more than it allows.

use tower_step_up::{Caller, ManualClock, Policy, Recipient, SendBudget, StepUp};

use super::{caller, post::Post, secs, together};

const ROUNDS: usize = 20;
const STARTS: usize = 1000;

/// Whom the starts are for: fifty sessions of one user, or ten sessions of each of a hundred users.
type Who = fn(usize) -> Caller;

fn fifty_sessions(i: usize) -> Caller {
    caller("alice", i % 50)
}

fn hundred_users(i: usize) -> Caller {
    caller(&format!("user {}", i % 100), i / 100)
}

/// How many messages went out, each round from nothing.
async fn flood(rounds: usize, policy: Policy, who: Who, push: bool) -> Vec<usize> {
    let mut sent = Vec::new();
    for _ in 0..rounds {
        let clock = ManualClock::new();
        let post = Post::new(&clock);
        let shared = async |_: Caller, _: String| Ok(Recipient::new("+44 1"));
        let step_up = StepUp::builder().otp("SMS", post.otp()).push("BIO", post.push()).enrollment(shared);
        let step_up = step_up.policy(policy.clone()).clock(clock).build().unwrap();
        let answers = together(STARTS, |i| {
            let (step_up, caller) = (step_up.clone(), who(i));
            async move {
                if push {
                    step_up.start_push(&caller, "BIO", None).await.is_ok()
                } else {
                    step_up.start_otp(&caller, "SMS", None).await.is_ok()
                }
            }
        })
        .await;
        assert_eq!(post.len(), answers.into_iter().filter(|started| *started).count());
        sent.push(post.len());
    }
    sent
}

/// Of ten challenges that may live at once, so that it is the budget that refuses.
fn roomy() -> Policy {
    Policy::new().live_challenges(10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_to_one_user() {
    assert_eq!(flood(ROUNDS, roomy(), fifty_sessions, false).await, [3; ROUNDS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_to_one_user() {
    assert_eq!(flood(ROUNDS, roomy(), fifty_sessions, true).await, [3; ROUNDS]);
}

/// A hundred users have enrolled one number: three times one user's budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_to_one_recipient() {
    assert_eq!(flood(ROUNDS, roomy(), hundred_users, false).await, [9; ROUNDS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_to_one_recipient() {
    assert_eq!(flood(ROUNDS, roomy(), hundred_users, true).await, [9; ROUNDS]);
}

/// Where messages are plenty, no more challenges live at once than may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_challenges() {
    let plenty = || {
        Policy::new()
            .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
            .pushes(100)
    };
    assert_eq!(flood(5, plenty(), fifty_sessions, false).await, [3; 5]);
    assert_eq!(flood(5, plenty(), fifty_sessions, true).await, [3; 5]);
}

/// What a process sends, whoever asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process() {
    let policy = roomy()
        .send_budget(SendBudget::new().per_5_minutes(100).per_10_minutes(100).per_hour(100).per_day(100))
        .sends_in_process(7, secs(3600));
    assert_eq!(flood(5, policy, hundred_users, false).await, [7; 5]);
}
