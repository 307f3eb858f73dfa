//! Requests that are bound to their operation, and those whose step-up was consumed.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::SystemTime,
};

use futures_util::future::join_all;
use tower_step_up_client::{Error, Reason};

use crate::support::{Ask, Bank, by_code, client, code_prompt, post, send};

#[tokio::test]
async fn bound_requests_never_share_and_queue() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let (all, texts) = (bank.clone(), Arc::new(Mutex::new(Vec::new())));
    let (shown, running) = (Arc::clone(&texts), Arc::new(Mutex::new(0)));
    let prompt = Ask::new(move |requirement, challenges| {
        let (all, shown, running) = (all.clone(), Arc::clone(&shown), Arc::clone(&running));
        async move {
            *running.lock().unwrap() += 1;
            all.reached(3, "POST /payouts", 403).await;
            assert_eq!(*running.lock().unwrap(), 1, "one at a time");
            shown.lock().unwrap().push(requirement.operation().expect("a text").to_owned());
            by_code(all.clock.clone(), challenges).await?;
            *running.lock().unwrap() -= 1;
            Ok(())
        }
    });
    let client = client(&bank, prompt);
    let answers = join_all([250, 7, 8].map(|amount| send(&client, post("/payouts", &token, amount)))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().0 == 201), "{answers:?}");
    let mut texts = texts.lock().unwrap().clone();
    texts.sort();
    assert_eq!(texts, ["Pay 250.00 EUR to bob", "Pay 7.00 EUR to bob", "Pay 8.00 EUR to bob"]);
}

#[tokio::test]
async fn what_was_spent_is_not_stepped_up_unasked() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let prompt = code_prompt(&bank);
    let (calls, confirmations) = (Arc::clone(&prompt.calls), Arc::clone(&prompt.confirmations));
    let client = client(&bank, prompt);
    assert_eq!(send(&client, post("/payouts", &token, 250)).await.unwrap().0, 201);
    let error = send(&client, post("/payouts", &token, 250)).await.unwrap_err();
    let Error::Spent(requirement) = &error else { panic!("{error:?}") };
    assert_eq!(requirement.reason(), &Reason::Spent);
    assert!(requirement.spent_at().is_some_and(|at| at > SystemTime::UNIX_EPOCH));
    assert_eq!(*confirmations.lock().unwrap(), [requirement.spent_at()]);
    assert_eq!((calls.load(Ordering::SeqCst), bank.count("POST /payouts", 201)), (1, 1));
    // Another payout is another operation.
    assert_eq!(send(&client, post("/payouts", &token, 251)).await.unwrap().0, 201);
    assert_eq!(confirmations.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_spent_is_stepped_up_once_the_user_says_yes() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let prompt = code_prompt(&bank).again_if_spent();
    let client = client(&bank, prompt);
    for _ in 0..2 {
        assert_eq!(send(&client, post("/payouts", &token, 250)).await.unwrap().0, 201);
    }
}

/// Without an answer of its own, a prompt says no.
#[tokio::test]
async fn no_is_the_default() {
    struct Silent(tower_step_up::ManualClock);
    impl tower_step_up_client::Prompt for Silent {
        async fn prompt(
            &self,
            _: &tower_step_up_client::Requirement,
            challenges: &tower_step_up_client::Challenges,
        ) -> Result<(), tower_step_up_client::PromptError> {
            by_code(self.0.clone(), challenges.clone()).await
        }
    }
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let client = client(&bank, Silent(bank.clock.clone()));
    assert_eq!(send(&client, post("/payouts", &token, 250)).await.unwrap().0, 201);
    assert!(matches!(send(&client, post("/payouts", &token, 250)).await, Err(Error::Spent(_))));
}

/// A step-up for the whole session does not open a bound request.
#[tokio::test]
async fn a_step_up_of_the_session_is_not_enough() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let prompt = code_prompt(&bank);
    let calls = Arc::clone(&prompt.calls);
    let client = client(&bank, prompt);
    assert_eq!(send(&client, post("/transfers", &token, 10)).await.unwrap().0, 201);
    assert_eq!(send(&client, post("/payouts", &token, 10)).await.unwrap().0, 201);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}
