//! What one process sends, in all and to recipients that begin alike: no more than the limit in any window.

use std::future::ready;

use tower_step_up::{
    Caller, ChallengeError, DeliveryError, ManualClock, OtpMessage, Policy, PushMessage, Recipient, StepUp,
};

use super::{caller, limited, secs};

/// A user's number is their name. The provider fails for those whose name ends with `down`.
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
async fn in_all() {
    let (step_up, clock) = bank(Policy::new().sends_in_process(5, secs(60)));
    for user in ["+49 1", "+49 2", "+43 1"] {
        code(&step_up, user).await.unwrap();
    }
    for user in ["+49 3", "+44 1"] {
        push(&step_up, user).await.unwrap();
    }
    // Codes and pushes, whoever asks and wherever it goes.
    assert_eq!(limited(code(&step_up, "+1 1").await), (5, Some(60), 60));
    assert_eq!(limited(push(&step_up, "+1 2").await), (5, Some(60), 60));
    clock.advance(secs(59));
    assert_eq!(limited(code(&step_up, "+1 1").await), (5, Some(60), 1));
    clock.advance(secs(1));
    for user in ["+1 1", "+1 8", "+1 9", "+1 10", "+1 11"] {
        code(&step_up, user).await.unwrap();
    }
    assert_eq!(limited(push(&step_up, "+1 2").await), (5, Some(60), 60));
    // A refusal took nothing: neither of the bucket, nor of the user.
    clock.advance(secs(3600));
    for user in ["+1 2", "+1 3", "+1 4", "+1 5", "+1 6"] {
        push(&step_up, user).await.unwrap();
    }
    assert_eq!(limited(push(&step_up, "+1 7").await).2, 60);
}

#[tokio::test]
async fn of_those_that_begin_alike() {
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

/// A refusal of the one takes nothing of the other.
#[tokio::test]
async fn both() {
    let (step_up, _) = bank(Policy::new().sends_in_process(3, secs(60)).sends_per_prefix(3, 2, secs(60)));
    code(&step_up, "+49 1").await.unwrap();
    code(&step_up, "+49 2").await.unwrap();
    for user in 3..10 {
        assert_eq!(limited(code(&step_up, &format!("+49 {user}")).await).0, 2);
    }
    code(&step_up, "+43 1").await.unwrap();
    assert_eq!(limited(code(&step_up, "+43 2").await), (3, Some(60), 60));
}

/// What the sender returned as an error was not sent.
#[tokio::test]
async fn given_back() {
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

/// What a user's own limit refuses costs the process nothing.
#[tokio::test]
async fn a_user_alone_cannot_use_them_up() {
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
