//! Budgets of messages per process, in total and per prefix of the recipient: in no window more than the limit.

use std::future::ready;

use tower_step_up::{
    Caller, ChallengeError, DeliveryError, ManualClock, OtpMessage, Policy, PushMessage, Recipient, StepUp,
};

use super::{caller, limited, secs};

/// A user's number is their name. The provider fails for names that end with `down`.
fn bank(policy: Policy) -> (StepUp, ManualClock) {
    let clock = ManualClock::new();
    let deliver = |user: &str| ready(if user.ends_with("down") { Err(DeliveryError::Failed) } else { Ok(()) });
    let step_up = StepUp::builder()
        .otp("SMS", move |message: OtpMessage| deliver(message.subject()))
        .push("BIO", move |message: PushMessage| deliver(message.subject()))
        .enrollment(async |caller: Caller, _: String| Ok(Recipient::new(caller.subject())));
    (step_up.policy(policy).clock(clock.clone()).build().unwrap(), clock)
}

async fn code(step_up: &StepUp, user: &str) -> Result<(), ChallengeError> {
    step_up.start_otp(&caller(user, 1), "SMS", None).await
}

async fn push(step_up: &StepUp, user: &str) -> Result<(), ChallengeError> {
    step_up.start_push(&caller(user, 1), "BIO", None).await.map(drop)
}

#[tokio::test]
async fn per_process() {
    let (step_up, clock) = bank(Policy::new().sends_in_process(5, secs(60)));
    for user in ["+49 1", "+49 2", "+43 1"] {
        code(&step_up, user).await.unwrap();
    }
    for user in ["+49 3", "+44 1"] {
        push(&step_up, user).await.unwrap();
    }
    // Codes and pushes, of all users and recipients.
    assert_eq!(limited(code(&step_up, "+1 1").await), (5, Some(60), 60));
    assert_eq!(limited(push(&step_up, "+1 2").await), (5, Some(60), 60));
    clock.advance(secs(59));
    assert_eq!(limited(code(&step_up, "+1 1").await), (5, Some(60), 1));
    clock.advance(secs(1));
    for user in ["+1 1", "+1 8", "+1 9", "+1 10", "+1 11"] {
        code(&step_up, user).await.unwrap();
    }
    assert_eq!(limited(push(&step_up, "+1 2").await), (5, Some(60), 60));
    // A refusal took nothing from the bucket or the user's budget.
    clock.advance(secs(3600));
    for user in ["+1 2", "+1 3", "+1 4", "+1 5", "+1 6"] {
        push(&step_up, user).await.unwrap();
    }
    assert_eq!(limited(push(&step_up, "+1 7").await).2, 60);
}

#[tokio::test]
async fn per_prefix() {
    let (step_up, clock) = bank(Policy::new().sends_per_prefix(3, 2, secs(60)));
    code(&step_up, "+49 1").await.unwrap();
    push(&step_up, "+49 1").await.unwrap();
    assert_eq!(limited(code(&step_up, "+49 2").await), (2, Some(60), 60));
    for user in ["+43 1", "+43 2", "+4", "+", "+4 9"] {
        code(&step_up, user).await.unwrap_or_else(|error| panic!("{user}: {error:?}"));
    }
    assert_eq!(limited(push(&step_up, "+43 3").await), (2, Some(60), 60));
    clock.advance(secs(30));
    assert_eq!(limited(code(&step_up, "+49 2").await), (2, Some(60), 30));
    clock.advance(secs(30));
    code(&step_up, "+49 2").await.unwrap();
    code(&step_up, "+49 3").await.unwrap();
    assert_eq!(limited(code(&step_up, "+49 4").await), (2, Some(60), 60));
}

/// A refusal by one budget takes nothing from the other.
#[tokio::test]
async fn both_budgets() {
    let (step_up, _) = bank(Policy::new().sends_in_process(3, secs(60)).sends_per_prefix(3, 2, secs(60)));
    code(&step_up, "+49 1").await.unwrap();
    code(&step_up, "+49 2").await.unwrap();
    for user in 3..10 {
        assert_eq!(limited(code(&step_up, &format!("+49 {user}")).await).0, 2);
    }
    code(&step_up, "+43 1").await.unwrap();
    assert_eq!(limited(code(&step_up, "+43 2").await), (3, Some(60), 60));
}

/// A message that the sender reports as unsent is restored.
#[tokio::test]
async fn unsent_messages_are_restored() {
    let (step_up, _) = bank(Policy::new().sends_in_process(3, secs(60)).sends_per_prefix(3, 2, secs(60)));
    for user in 0..20 {
        for failed in
            [code(&step_up, &format!("+49 {user} down")).await, push(&step_up, &format!("+49 {user} too down")).await]
        {
            assert_eq!(failed, Err(ChallengeError::Unavailable));
        }
    }
    code(&step_up, "+49 1").await.unwrap();
    code(&step_up, "+49 2").await.unwrap();
    assert_eq!(limited(code(&step_up, "+49 3").await).0, 2);
    code(&step_up, "+43 1").await.unwrap();
    assert_eq!(limited(code(&step_up, "+43 2").await).0, 3);
}

/// A start refused by the user's budget takes nothing from the process's budget.
#[tokio::test]
async fn one_user_cannot_use_them_up() {
    let (step_up, clock) = bank(Policy::new().sends_in_process(6, secs(3600)));
    for session in 0..50 {
        let _ = step_up.start_otp(&caller("+49 1", session), "SMS", None).await;
        let _ = step_up.start_otp(&caller("+49 1", 1), "SMS", None).await;
    }
    for user in ["+49 2", "+49 3", "+49 4"] {
        code(&step_up, user).await.unwrap();
    }
    assert_eq!(limited(code(&step_up, "+49 5").await), (6, Some(3600), 3600));
    clock.advance(secs(3600));
    code(&step_up, "+49 5").await.unwrap();
}
