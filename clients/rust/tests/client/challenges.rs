//! The challenge endpoints, as a prompt calls them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::Method;
use serde_json::Value;
use tower_step_up_client::{Challenges, Error, PromptError, PushStatus, Requirement};

use crate::support::{Ask, Bank, CODE, client, post, send};

/// Runs this as the prompt of a refused request.
async fn as_prompt<F, Fut>(bank: &Bank, path: &str, name: &str, prompt: F) -> Result<u16, Error>
where
    F: Fn(Requirement, Challenges) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), PromptError>> + Send,
{
    let token = bank.login(name).await;
    send(&client(bank, Ask::new(prompt)), post(path, &token, 10)).await.map(|(status, _)| status)
}

#[tokio::test]
async fn a_wrong_code_may_be_tried_again_and_beside_it_is_stripped() {
    let bank = Bank::new();
    let status = as_prompt(&bank, "/transfers", "alice", async |_, challenges| {
        challenges.start("SMS").await?;
        let wrong = challenges.verify("SMS", "000000").await.unwrap_err();
        assert_eq!((wrong.code(), wrong.retry_after()), (Some("VERIFICATION_CODE_INVALID"), None));
        let soon = challenges.start("SMS").await.unwrap_err();
        assert_eq!((soon.code(), soon.retry_after()), (Some("RETRY_IN_15SEC"), Some(Duration::from_secs(15))));
        assert_eq!(challenges.verify("SMS", "").await.unwrap_err().code(), Some("INVALID_REQUEST"));
        assert_eq!(challenges.start("FAX").await.unwrap_err().code(), Some("INVALID_REQUEST"));
        Ok(challenges.verify("SMS", " 123-456\u{200b}").await?)
    });
    assert_eq!(status.await.unwrap(), 201);
}

#[tokio::test]
async fn a_push_is_polled_until_it_is_answered() {
    for (path, answer, status) in [
        ("/transfers", "accept", PushStatus::Verified),
        ("/payouts", "accept", PushStatus::Verified),
        ("/payouts", "decline", PushStatus::Declined),
    ] {
        let bank = Bank::new();
        let phone = bank.clone();
        let outcome = as_prompt(&bank, path, "alice", move |_, challenges| {
            let phone = phone.clone();
            async move {
                let push = challenges.start_push("BIOMETRIC").await?;
                assert_eq!(push.number, None);
                let pending = challenges.poll("BIOMETRIC", &push.id).await?;
                assert_eq!((pending.status, pending.expires_in), (PushStatus::Pending, Duration::from_secs(300)));
                phone.phone(&push.id, answer).await;
                assert_eq!(challenges.poll("BIOMETRIC", &push.id).await?.status, status);
                if status == PushStatus::Verified { Ok(()) } else { Err(PromptError::Cancelled) }
            }
        });
        let outcome = outcome.await;
        assert!(
            matches!((&outcome, answer), (Ok(201), "accept") | (Err(Error::Cancelled(_)), "decline")),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn what_is_pending_can_be_seen_and_cancelled() {
    let bank = Bank::new();
    let outcome = as_prompt(&bank, "/payouts", "alice", async |requirement, challenges| {
        challenges.start("SMS").await?;
        let push = challenges.start_push("BIOMETRIC").await?;
        let status = challenges.status().await?;
        assert!(!status.stepped_up && status.grants.is_empty());
        assert_eq!(
            (&*status.channels.otp, &*status.channels.push),
            (&["SMS".to_owned()][..], &["BIOMETRIC".into()][..])
        );
        let (otp, pending) = (status.pending.otp.unwrap(), status.pending.push.unwrap());
        assert_eq!((otp.operation.as_deref(), &pending.id), (requirement.operation(), &push.id));
        assert_eq!((otp.expires_in.as_secs(), otp.retry_in.as_secs()), (300, 15));
        challenges.cancel("SMS").await?;
        challenges.cancel_push("BIOMETRIC", &push.id).await?;
        assert_eq!(challenges.verify("SMS", CODE).await.unwrap_err().code(), Some("STATE_INVALID"));
        assert_eq!(challenges.poll("BIOMETRIC", &push.id).await?.status, PushStatus::Expired);
        assert_eq!(challenges.poll("BIOMETRIC", "1").await.unwrap_err().code(), Some("NOT_FOUND"));
        Err(PromptError::Cancelled)
    });
    assert!(matches!(outcome.await, Err(Error::Cancelled(_))));
}

/// The binding of the refusal is in the start and in the verification; and the scope where there is one.
#[tokio::test]
async fn starts_and_verifications_say_what_they_are_for() {
    let (bank, token) = (Bank::new(), Arc::new(Mutex::new(None)));
    let binding = Arc::clone(&token);
    let status = as_prompt(&bank, "/payouts", "alice", move |requirement, challenges| {
        *binding.lock().unwrap() = requirement.binding().map(str::to_owned);
        async move {
            challenges.start("SMS").await?;
            Ok(challenges.verify("SMS", CODE).await?)
        }
    });
    assert_eq!(status.await.unwrap(), 201);
    let passed = bank.passed.lock().unwrap();
    let token = token.lock().unwrap().clone().expect("a binding");
    for challenge in passed.iter().filter(|passed| passed.path.starts_with("/stepup") && passed.method == Method::POST)
    {
        let body: Value = serde_json::from_slice(&challenge.body).unwrap();
        assert_eq!(body["binding"], token);
        assert_eq!(challenge.headers["content-type"], "application/json");
    }
}

/// The response to a verification was lost, and it is sent again.
#[tokio::test]
async fn already_verified_succeeds_only_with_a_live_grant() {
    // A transfer asks for two minutes; the clock of the bank is that much behind.
    for (behind, path, holds) in [(0, "/transfers", true), (200, "/transfers", false), (200, "/payouts", true)] {
        let bank = Bank::new();
        bank.clock.set((SystemTime::now() - Duration::from_secs(behind)).into());
        let outcome = as_prompt(&bank, path, "alice", async |_, challenges| {
            challenges.start("SMS").await?;
            challenges.verify("SMS", CODE).await?;
            Ok(challenges.verify("SMS", CODE).await?)
        });
        let outcome = outcome.await;
        match &outcome {
            Ok(status) => assert!(holds && *status == 201, "{outcome:?}"),
            Err(Error::Prompt(_, PromptError::Challenge(error))) => {
                assert!(!holds && error.code() == Some("ALREADY_VERIFIED"), "{outcome:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(bank.count("GET /stepup/challenges", 200), 1);
    }
}

#[tokio::test]
async fn a_user_without_a_channel_is_told_so() {
    let bank = Bank::new();
    let outcome = as_prompt(&bank, "/transfers", "bob", async |_, challenges| Ok(challenges.start("SMS").await?));
    let outcome = outcome.await;
    let Err(Error::Prompt(requirement, PromptError::Challenge(error))) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((error.code(), &*requirement.channels().otp), (Some("CHANNEL_NOT_REGISTERED"), &["SMS".to_owned()][..]));
}
