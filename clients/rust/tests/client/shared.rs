//! One prompt for all requests that wait for the same thing; one repetition each.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Notify;
use tower::{Layer, Service};
use tower_step_up_client::{Error, PromptError, Reason, StepUpClient};

use crate::support::{Answer, Ask, Bank, by_code, client, code_prompt, post, send, until};

#[tokio::test]
async fn a_refused_request_steps_up_and_is_repeated_as_it_was() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let prompt = code_prompt(&bank);
    let calls = Arc::clone(&prompt.calls);
    let client = client(&bank, prompt);
    let mut request = post("/transfers", &token, 10);
    for (name, value) in [("idempotency-key", "k-1"), ("x-own", "a"), ("x-own", "b")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let (status, body) = send(&client, request).await.unwrap();
    assert_eq!((status, &body["approvedBy"]), (201, &"SMS".into()));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let challenges = "/stepup/challenges/otp/SMS";
    let expected = [
        "POST /transfers 403".to_owned(),
        format!("POST {challenges} 204"),
        format!("POST {challenges}/verify 204"),
        "POST /transfers 201".to_owned(),
    ];
    assert_eq!(bank.lines(), expected);
    let passed = bank.passed.lock().unwrap();
    assert_eq!((&passed[0].headers, &passed[0].body), (&passed[3].headers, &passed[3].body));
    assert!(!passed[1].headers.contains_key("idempotency-key"), "a challenge is another request");
}

#[tokio::test]
async fn fifty_refused_at_once_have_one_prompt() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let all = bank.clone();
    let prompt = Ask::new(move |_, challenges| {
        let all = all.clone();
        async move {
            all.reached(50, "POST /transfers", 403).await;
            by_code(all.clock.clone(), challenges).await
        }
    });
    let calls = Arc::clone(&prompt.calls);
    let client = client(&bank, prompt);
    let answers = join_all((1..=50).map(|amount| send(&client, post("/transfers", &token, amount)))).await;
    for (answer, amount) in answers.into_iter().zip(1..) {
        let (status, body) = answer.unwrap();
        assert_eq!((status, &body["amount"]), (201, &amount.into()));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!((bank.count("POST /transfers", 403), bank.count("POST /transfers", 201)), (50, 50));
}

/// A bank whose refusal of one amount is late.
#[derive(Clone)]
struct Late(Bank, Arc<Notify>);

impl Service<Request<Full<Bytes>>> for Late {
    type Response = Response<axum::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let (late, open) = (request.headers().contains_key("x-late"), Arc::clone(&self.1));
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if late && answer.status() == 403 {
                open.notified().await;
            }
            Ok(answer)
        })
    }
}

#[tokio::test]
async fn a_late_refusal_has_waited_for_the_prompt_that_has_ended() {
    for cancelled in [false, true] {
        let bank = Bank::new();
        let token = bank.login("alice").await;
        let seen = bank.clone();
        let prompt = Ask::new(move |_, challenges| {
            let seen = seen.clone();
            async move {
                seen.reached(2, "POST /transfers", 403).await;
                if cancelled { Err(PromptError::Cancelled) } else { by_code(seen.clock.clone(), challenges).await }
            }
        });
        let calls = Arc::clone(&prompt.calls);
        let open = Arc::new(Notify::new());
        let client = StepUpClient::new(prompt).layer(Late(bank.clone(), Arc::clone(&open)));
        let mut late = post("/transfers", &token, 2);
        late.headers_mut().insert("x-late", "1".parse().unwrap());
        let (late, first) = tokio::join!(send(&client, late), async {
            let first = send(&client, post("/transfers", &token, 1)).await;
            open.notify_one();
            first
        });
        let ends = |answer: Answer| match answer {
            Ok((status, _)) => status == 201 && !cancelled,
            Err(error) => matches!(error, Error::Cancelled(_)) && cancelled,
        };
        assert!(ends(first) && ends(late));
        assert_eq!((calls.load(Ordering::SeqCst), bank.count("POST /transfers", 403)), (1, 2));
    }
}

#[tokio::test]
async fn sessions_scopes_and_ages_do_not_share() {
    let bank = Bank::new();
    let tokens = [bank.login("alice1").await, bank.login("alice1").await, bank.login("alice2").await];
    let prompt = code_prompt(&bank);
    let calls = Arc::clone(&prompt.calls);
    let client = client(&bank, prompt);
    let answers = join_all(tokens.iter().map(|token| send(&client, post("/transfers", token, 10)))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().0 == 201), "{answers:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 3, "a prompt for each login");
}

/// A transfer asks for an age, and the card does not: two prompts of one session, one after the other.
#[tokio::test]
async fn prompts_of_one_session_queue() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let (seen, running) = (bank.clone(), Arc::new(Mutex::new(0)));
    let prompt = Ask::new(move |_, challenges| {
        let (seen, running) = (seen.clone(), Arc::clone(&running));
        async move {
            *running.lock().unwrap() += 1;
            seen.reached(1, "POST /transfers", 403).await;
            seen.reached(1, "GET /cards/1", 403).await;
            assert_eq!(*running.lock().unwrap(), 1);
            by_code(seen.clock.clone(), challenges).await?;
            *running.lock().unwrap() -= 1;
            Ok(())
        }
    });
    let calls = Arc::clone(&prompt.calls);
    let client = client(&bank, prompt);
    let mut card = post("/cards/1", &token, 0);
    *card.method_mut() = http::Method::GET;
    let (transfer, card) = tokio::join!(send(&client, post("/transfers", &token, 1)), send(&client, card));
    assert_eq!((transfer.unwrap().0, card.unwrap().0), (201, 200));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// A prompt that claims to have stepped up.
#[tokio::test]
async fn a_second_refusal_is_an_error_and_no_loop() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let prompt = Ask::new(async |_, _| Ok(()));
    let calls = Arc::clone(&prompt.calls);
    let client = client(&bank, prompt);
    let error = send(&client, post("/transfers", &token, 10)).await.unwrap_err();
    assert!(matches!(&error, Error::StillRefused(again) if *again.reason() == Reason::Missing), "{error:?}");
    assert_eq!((calls.load(Ordering::SeqCst), bank.count("POST /transfers", 403)), (1, 2));
}

#[tokio::test]
async fn a_cancelled_prompt_fails_all_that_wait() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let all = bank.clone();
    let prompt = Ask::new(move |_, _| {
        let all = all.clone();
        async move {
            all.reached(3, "POST /transfers", 403).await;
            Err(PromptError::Cancelled)
        }
    });
    let calls = Arc::clone(&prompt.calls);
    let client = client(&bank, prompt);
    for error in join_all((1..=3).map(|amount| send(&client, post("/transfers", &token, amount)))).await {
        assert!(matches!(error, Err(Error::Cancelled(_))), "{error:?}");
    }
    assert_eq!((calls.load(Ordering::SeqCst), bank.lines().len()), (1, 3), "nothing was repeated");
    // The next request asks again.
    assert!(matches!(send(&client, post("/transfers", &token, 4)).await, Err(Error::Cancelled(_))));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_prompt_that_fails_or_panics_is_an_error() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let failing = client(&bank, Ask::new(async |_, _| Err(PromptError::other("no terminal"))));
    let error = send(&failing, post("/transfers", &token, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Prompt(_, PromptError::Other(_))), "{error:?}");
    let panicking = client(&bank, Ask::new(async |_, _| panic!("on purpose")));
    let error = send(&panicking, post("/transfers", &token, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Prompt(_, PromptError::Panicked)), "{error:?}");
}

/// Says when it is dropped.
struct Dropped(Arc<Mutex<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = true;
    }
}

#[tokio::test]
async fn the_last_waiter_drops_the_prompt() {
    for path in ["/transfers", "/payouts"] {
        let bank = Bank::new();
        let token = bank.login("alice").await;
        let (dropped, open) = (Arc::new(Mutex::new(false)), Arc::new(Notify::new()));
        let (flag, started) = (Arc::clone(&dropped), Arc::clone(&open));
        let prompt = Ask::new(move |_, _| {
            let (guard, started) = (Dropped(Arc::clone(&flag)), Arc::clone(&started));
            async move {
                started.notify_one();
                let _guard = guard;
                std::future::pending().await
            }
        });
        let calls = Arc::clone(&prompt.calls);
        let client = client(&bank, prompt);
        let spawn = |amount| {
            let (client, request) = (client.clone(), post(path, &token, amount));
            tokio::spawn(async move { send(&client, request).await })
        };
        let (first, second) = (spawn(1), spawn(2));
        open.notified().await;
        bank.reached(2, &format!("POST {path}"), 403).await;
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{path}");
        if path == "/transfers" {
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
            assert!(!*dropped.lock().unwrap(), "another request waits");
        } else {
            first.abort();
        }
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        until(|| *dropped.lock().unwrap()).await;
        // The next request has a prompt of its own.
        let third = spawn(3);
        open.notified().await;
        assert!(calls.load(Ordering::SeqCst) >= 2);
        third.abort();
    }
}
