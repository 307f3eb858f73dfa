//! Codes, bindings and tokens are in no `Debug` output and in no error.

use std::{
    error::Error as _,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use tower_step_up_client::{Error, PromptError};

use crate::support::{Ask, Bank, CODE, client, post, send};

#[tokio::test]
async fn nothing_secret_is_printed() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let printed = Arc::new(Mutex::new((String::new(), Vec::new())));
    let kept = Arc::clone(&printed);
    let wrong = "654321";
    let prompt = Ask::new(move |requirement, challenges: tower_step_up_client::Challenges| {
        let kept = Arc::clone(&kept);
        async move {
            challenges.start("SMS").await?;
            let error = challenges.verify("SMS", wrong).await.unwrap_err();
            let mut kept = kept.lock().unwrap();
            kept.1.push(requirement.binding().expect("a binding").to_owned());
            write!(kept.0, "{requirement:?} {challenges:?} {error:?} {error}").unwrap();
            Err(error.into())
        }
    });
    let layer = client(&bank, prompt);
    let error = send(&layer, post("/payouts", &token, 250)).await.unwrap_err();
    assert!(matches!(error, Error::Prompt(_, PromptError::Challenge(_))));
    let (mut text, mut secrets) = printed.lock().unwrap().clone();
    write!(text, "{layer:?} {error:?} {error}").unwrap();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, " {error:?} {error}").unwrap();
        cause = error.source();
    }
    for make in [Error::Cancelled, Error::Spent, Error::StillRefused, Error::NotRepeatable, Error::ForeignStart] {
        let error = make(error.requirement().unwrap().clone().into());
        write!(text, "{error:?} {error}").unwrap();
    }
    secrets.extend([token, wrong.into(), CODE.into()]);
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} in {text}");
    }
}
