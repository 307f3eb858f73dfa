//! T13: a thousand concurrent starts. The budget is taken before the sender runs, so the sender gets no more messages
//! than the budget allows.

use tower_step_up::{Caller, ManualClock, Policy, Recipient, SendBudget, StepUp};

use super::{caller, outbox::Outbox, secs, together};

const ROUNDS: usize = 20;
const STARTS: usize = 1000;

/// The caller of each start: fifty sessions of one user, or ten sessions of each of a hundred users.
type Who = fn(usize) -> Caller;

fn fifty_sessions(i: usize) -> Caller {
    caller("alice", i % 50)
}

fn hundred_users(i: usize) -> Caller {
    caller(&format!("user {}", i % 100), i / 100)
}

/// The number of messages sent in each round; every round begins with an empty store.
async fn flood(rounds: usize, policy: Policy, who: Who, push: bool) -> Vec<usize> {
    let mut sent = Vec::new();
    for _ in 0..rounds {
        let clock = ManualClock::new();
        let outbox = Outbox::new(&clock);
        let shared = async |_: Caller, _: String| Ok(Recipient::new("+44 1"));
        let step_up = StepUp::builder().otp("SMS", outbox.otp()).push("BIO", outbox.push()).enrollment(shared);
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
        assert_eq!(outbox.len(), answers.into_iter().filter(|started| *started).count());
        sent.push(outbox.len());
    }
    sent
}

/// Ten live challenges allowed, so that only the budget refuses.
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

/// A hundred users have enrolled one number: its budget is three times a user's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_to_one_recipient() {
    assert_eq!(flood(ROUNDS, roomy(), hundred_users, false).await, [9; ROUNDS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_to_one_recipient() {
    assert_eq!(flood(ROUNDS, roomy(), hundred_users, true).await, [9; ROUNDS]);
}

/// With a large budget, the number of live challenges is still limited.
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

/// The budget of a process over all users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process() {
    let policy = roomy()
        .send_budget(SendBudget::new().per_5_minutes(100).per_10_minutes(100).per_hour(100).per_day(100))
        .sends_in_process(7, secs(3600));
    assert_eq!(flood(5, policy, hundred_users, false).await, [7; 5]);
}
