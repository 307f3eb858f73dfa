//! T15, T16: races stepped by hand. Every store operation is a step, and hundreds of orders are tried, the same in each
//! run.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use testkit::FaultyStore;
use tower_step_up::{
    Caller, ChallengeError, ManualClock, OtpMessage, Policy, PushReply, PushReplyError, Recipient, SendBudget, StepUp,
    discard,
};

use super::{caller, limited, passes};

const RIGHT: &str = "123456";
const ORDERS: u64 = 200;

type Act<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

/// Polls the futures in an order given by the seed until all have completed.
fn interleave(seed: u64, mut acts: Vec<Act<'_>>) -> Vec<bool> {
    let mut random = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut done = vec![None; acts.len()];
    let mut cx = Context::from_waker(Waker::noop());
    while done.iter().any(Option::is_none) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let turn = usize::try_from((random >> 20) % u64::try_from(acts.len()).unwrap()).unwrap();
        // Sometimes one runs far ahead of the others.
        for _ in 0..=(random >> 40) % 4 {
            if done[turn].is_none()
                && let Poll::Ready(output) = acts[turn].as_mut().poll(&mut cx)
            {
                done[turn] = Some(output);
            }
        }
    }
    done.into_iter().flatten().collect()
}

fn bank() -> StepUp {
    let builder = StepUp::builder().sandbox().otp("SMS", discard).push("BIO", discard).clock(ManualClock::new());
    FaultyStore::default().on(builder.policy(Policy::new().pushes(100))).build().unwrap()
}

async fn elevate(step_up: &StepUp, caller: &Caller) {
    step_up.start_otp(caller, "SMS", None).await.unwrap();
    step_up.verify_otp(caller, "SMS", RIGHT).await.unwrap();
}

/// Operations concurrent with a revocation of all sessions or of one session.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Verify,
    Approve,
    Transfer,
    StartAndVerify,
}

/// In any order, no grant is left after revoking all sessions.
#[tokio::test]
async fn revoking_all() {
    use Meanwhile::{Approve, StartAndVerify, Transfer, Verify};
    let step_up = bank();
    let mut leaks = Vec::new();
    for meanwhile in [Verify, Approve, Transfer, StartAndVerify] {
        let mut worked = 0;
        for order in 0..ORDERS {
            let user = &*format!("alice {meanwhile:?} {order}");
            let [old, new] = ["old", "new"].map(|session| caller(user, session));
            let mut id = String::new();
            match meanwhile {
                Verify => step_up.start_otp(&old, "SMS", None).await.unwrap(),
                Approve => id = step_up.start_push(&old, "BIO", None).await.unwrap().id,
                Transfer | StartAndVerify => elevate(&step_up, &old).await,
            }
            let revoke: Act<'_> = Box::pin(async { step_up.revoke_all(user).await.is_ok() });
            let other: Act<'_> = match meanwhile {
                Verify => Box::pin(async { step_up.verify_otp(&old, "SMS", RIGHT).await.is_ok() }),
                Approve => Box::pin(async { step_up.answer_push(user, &id, PushReply::Approve).await.is_ok() }),
                Transfer => Box::pin(async { step_up.transfer(&old, &new).await.is_ok() }),
                // A new start may have come after the revocation.
                StartAndVerify => Box::pin(async { step_up.start_otp(&new, "SMS", None).await.is_ok() }),
            };
            let acts = interleave(order, vec![revoke, other]);
            assert!(acts[0], "{meanwhile:?}, order {order}");
            worked += usize::from(acts[1]);
            if passes(&step_up, &old).await || passes(&step_up, &new).await {
                leaks.push((meanwhile, order));
            }
        }
        assert!(worked > 0, "{meanwhile:?} never came first");
    }
    assert!(leaks.is_empty(), "{} left a grant: {:?}", leaks.len(), leaks.first());
}

/// The same for revoking one session. A concurrent transfer may come first.
#[tokio::test]
async fn revoking_one() {
    let step_up = bank();
    for push in [false, true] {
        for order in 0..ORDERS {
            let user = &*format!("alice {push} {order}");
            let alice = caller(user, 1);
            step_up.start_otp(&alice, "SMS", None).await.unwrap();
            let id = step_up.start_push(&alice, "BIO", None).await.unwrap().id;
            let revoke: Act<'_> = Box::pin(async { step_up.revoke(&alice).await.is_ok() });
            let verify: Act<'_> = if push {
                Box::pin(async { step_up.answer_push(user, &id, PushReply::Approve).await.is_ok() })
            } else {
                Box::pin(async { step_up.verify_otp(&alice, "SMS", RIGHT).await.is_ok() })
            };
            assert!(interleave(order, vec![revoke, verify])[0], "order {order}");
            assert!(!passes(&step_up, &alice).await, "order {order}, push: {push}");
        }
    }
}

/// Two users start at once, and their common recipient may get one more message: one gets it, and the other keeps the
/// code that was sent before, and the budget.
#[tokio::test]
async fn the_last_message_to_a_recipient() {
    for order in 0..ORDERS {
        let (clock, codes) = (ManualClock::new(), Arc::new(Mutex::new(HashMap::<String, String>::new())));
        let sent = Arc::clone(&codes);
        let policy = Policy::new().send_budget(SendBudget::new().per_5_minutes(2));
        let builder = StepUp::builder()
            .otp("SMS", move |message: OtpMessage| {
                sent.lock().unwrap().insert(message.subject().into(), message.code().expose().into());
                std::future::ready(Ok(()))
            })
            .otp("EMAIL", async |_| Ok(()))
            .enrollment(async |caller: Caller, channel: String| {
                Ok(Recipient::new(if channel == "SMS" { "everybody's" } else { caller.subject() }))
            })
            .clock(clock.clone())
            .policy(policy);
        let step_up = FaultyStore::default().on(builder).build().unwrap();
        let users = ["alice", "bob", "carol", "dave", "erin"].map(|user| caller(user, 1));
        for user in &users {
            step_up.start_otp(user, "SMS", None).await.unwrap();
        }
        let before = codes.lock().unwrap().clone();
        clock.advance(Duration::from_secs(30));
        let [alice, bob, ..] = &users;
        let start = async |user| step_up.start_otp(user, "SMS", None).await.is_ok();
        let started = interleave(order, vec![Box::pin(start(alice)), Box::pin(start(bob))]);
        assert_eq!(started.iter().filter(|started| **started).count(), 1, "order {order}");
        let (winner, loser) = if started[0] { (alice, bob) } else { (bob, alice) };

        let code = |codes: &HashMap<String, String>, user: &Caller| codes[user.subject()].clone();
        let after = codes.lock().unwrap().clone();
        assert_eq!(code(&after, loser), code(&before, loser), "order {order}: nothing was sent");
        let elsewhere = |user: &Caller| caller(user.subject(), 2);
        step_up.start_otp(&elsewhere(loser), "EMAIL", None).await.expect("has had one message of two");
        step_up.start_otp(&elsewhere(winner), "EMAIL", None).await.expect_err("has had two messages");
        for user in [winner, loser] {
            step_up.verify_otp(user, "SMS", &code(&after, user)).await.expect("the last code that was sent");
        }
    }
}

/// An elevation transferred to two sessions concurrently ends up in exactly one of them.
#[tokio::test]
async fn transferring() {
    let step_up = bank();
    for order in 0..ORDERS {
        let user = &*format!("alice {order}");
        let [old, first, second] = ["old", "first", "second"].map(|session| caller(user, session));
        elevate(&step_up, &old).await;
        let to = |new| -> Act<'_> {
            let (step_up, old) = (&step_up, &old);
            Box::pin(async move { step_up.transfer(old, new).await.is_ok() })
        };
        interleave(order, vec![to(&first), to(&second)]);
        let elevated = [passes(&step_up, &first).await, passes(&step_up, &second).await];
        assert!(elevated[0] != elevated[1], "order {order}: {elevated:?}");
        assert!(!passes(&step_up, &old).await, "order {order}");
    }
}

/// Concurrent denials, each sent twice, are counted once for each push.
#[tokio::test]
async fn denials() {
    let step_up = bank();
    let mut wrong = Vec::new();
    for pushes in [2, 3] {
        for order in 0..ORDERS {
            let user = &*format!("alice {pushes} {order}");
            let mut ids = Vec::new();
            for session in 0..pushes {
                ids.push(step_up.start_push(&caller(user, session), "BIO", None).await.unwrap().id);
            }
            let decline = |id| -> Act<'_> {
                let step_up = &step_up;
                Box::pin(async move { step_up.answer_push(user, id, PushReply::Decline).await.is_ok() })
            };
            let acts = interleave(order, ids.iter().chain(&ids).map(|id| decline(id.as_str())).collect());
            assert_eq!(acts.into_iter().filter(|taken| *taken).count(), pushes, "order {order}");
            let next = step_up.start_push(&caller(user, 9), "BIO", None).await.map(drop);
            let paused = next.is_err() && limited(next) == (3, None, 1800);
            if paused != (pushes == 3) {
                wrong.push((pushes, order));
            }
        }
    }
    assert!(wrong.is_empty(), "{} were miscounted: {:?}", wrong.len(), wrong.first());
}

/// T14: one answer is accepted and decides, in any order.
#[tokio::test]
async fn answers() {
    let step_up = bank();
    for order in 0..ORDERS {
        let user = &*format!("alice {order}");
        let alice = caller(user, 1);
        let id = step_up.start_push(&alice, "BIO", None).await.unwrap().id;
        let answer = |answer| -> Act<'_> {
            let (step_up, id) = (&step_up, &id);
            Box::pin(async move { step_up.answer_push(user, id, answer).await.is_ok() })
        };
        let acts = interleave(order, vec![answer(PushReply::Approve), answer(PushReply::Decline)]);
        assert!(acts[0] != acts[1], "order {order}: {acts:?}");
        assert_eq!(passes(&step_up, &alice).await, acts[0], "order {order}");
        let late = step_up.answer_push(user, &id, PushReply::Approve).await;
        assert_eq!(late, Err(PushReplyError::Closed), "order {order}");
    }
}

/// T13: concurrent starts create at most one challenge per session, and the losers restore their messages.
#[tokio::test]
async fn starts() {
    let step_up = bank();
    for order in 0..ORDERS {
        let user = &*format!("alice {order}");
        let sessions: Vec<_> = (0..5).map(|session| caller(user, session % 2)).collect();
        let start = |session| -> Act<'_> {
            let step_up = &step_up;
            Box::pin(async move { step_up.start_otp(session, "SMS", None).await.is_ok() })
        };
        let acts = interleave(order, sessions.iter().map(start).collect());
        let started = acts.iter().filter(|started| **started).count();
        assert!((1..=2).contains(&started), "order {order}: {acts:?}");
        // Three in five minutes, and three live challenges.
        for session in started..3 {
            let more = step_up.start_otp(&caller(user, format!("more {session}")), "SMS", None).await;
            assert_eq!(more, Ok(()), "order {order}: {started} were started");
        }
        let fourth = step_up.start_otp(&caller(user, "fourth"), "SMS", None).await;
        assert!(matches!(fourth, Err(ChallengeError::RateLimited(_))), "order {order}: {fourth:?}");
        for (session, _) in sessions.iter().zip(acts).filter(|(_, started)| *started) {
            step_up.verify_otp(session, "SMS", RIGHT).await.unwrap();
        }
    }
}
