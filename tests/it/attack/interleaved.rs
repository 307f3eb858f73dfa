//! T15, T16: what races, stepped by hand. Every operation of the store is a step, and hundreds of orders are tried,
//! the same in each run.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use testkit::Elsewhere;
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, PushReply, PushReplyError, Secret, StepUp, discard};

use super::{caller, limited, passes};

const RIGHT: &str = "123456";
const ORDERS: u64 = 200;

type Act<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

/// Polls them in turns that the seed decides, to their end.
fn interleave(seed: u64, mut acts: Vec<Act<'_>>) -> Vec<bool> {
    let mut random = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut done = vec![None; acts.len()];
    let mut cx = Context::from_waker(Waker::noop());
    while done.iter().any(Option::is_none) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let turn = usize::try_from((random >> 20) % u64::try_from(acts.len()).unwrap()).unwrap();
        // Sometimes one gets far ahead of the others.
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
    let builder = builder.policy(Policy::new().pushes(100)).store(Elsewhere::default().clone());
    builder.record_key(Secret::new([1; 32]).unwrap()).secret(Secret::new([7; 32]).unwrap()).build().unwrap()
}

async fn elevate(step_up: &StepUp, caller: &Caller) {
    step_up.start_otp(caller, "SMS", None).await.unwrap();
    step_up.verify_otp(caller, "SMS", RIGHT).await.unwrap();
}

/// What may happen while everything of the user is revoked, or the one session.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Verify,
    Approve,
    Transfer,
    StartAndVerify,
}

/// Whatever comes first, nothing is left when everything is revoked.
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
                // Whoever starts anew may have done so after everything was revoked.
                StartAndVerify => Box::pin(async { step_up.start_otp(&new, "SMS", None).await.is_ok() }),
            };
            let acts = interleave(order, vec![revoke, other]);
            assert!(acts[0], "{meanwhile:?}, order {order}");
            worked += usize::from(acts[1]);
            if passes(&step_up, &old).await || passes(&step_up, &new).await {
                leaks.push((meanwhile, order));
            }
        }
        assert!(worked > 0, "{meanwhile:?} came first sometimes");
    }
    assert!(leaks.is_empty(), "{} left a grant: {:?}", leaks.len(), leaks.first());
}

/// The same of the one session that is revoked. One that is moved at the same time may be moved before.
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

/// An elevation that is moved to two places at once stands in one of them, and is left nowhere else.
#[tokio::test]
async fn moving() {
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

/// Denials that race, each said twice: of two pushes they are two, of three they are three.
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

/// T14: one answer is taken, and it decides, whichever order they come in.
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

/// T13: starts that race are one challenge a session at most, and those that came too late have given theirs back.
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
        // Three in five minutes, and three alive.
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
