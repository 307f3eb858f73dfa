//! Cancelling beside everything else: what was cancelled opens nothing, whatever is lost, late or repeated.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use testkit::{Fails, FaultyStore, passes, poll_at_most};
use tokio::sync::Notify;
use tower_step_up::{
    Caller, ChallengeError, DeliveryError, Event, ManualClock, OtpMessage, Policy, PushReply, PushReplyError, StepUp,
    discard,
};

use super::{caller, outbox::Outbox, secs};

fn stores() -> [FaultyStore; 2] {
    [FaultyStore::atomic(), FaultyStore::sequential()]
}

fn node(store: &FaultyStore) -> StepUp {
    let builder = store.on(StepUp::builder()).sandbox().otp("SMS", discard).push("BIO", discard);
    builder.policy(Policy::new().live_challenges(2).pause_after_declines(1, secs(1800))).build().unwrap()
}

type Act<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

fn cancel<'a>(step_up: &'a StepUp, alice: &'a Caller, push: Option<&'a str>) -> Act<'a> {
    Box::pin(async move {
        match push {
            Some(id) => step_up.cancel_push(alice, "BIO", id).await.is_ok(),
            None => step_up.cancel_otp(alice, "SMS").await.is_ok(),
        }
    })
}

fn approve<'a>(step_up: &'a StepUp, alice: &'a Caller, push: Option<&'a str>) -> Act<'a> {
    Box::pin(async move {
        match push {
            Some(id) => step_up.answer_push("alice", id, PushReply::Approve).await.is_ok(),
            None => step_up.verify_otp(alice, "SMS", "123456").await.is_ok(),
        }
    })
}

/// Stopped at each step, in either order: the session holds a grant exactly where the verification said so, and nothing
/// stays pending.
#[tokio::test]
async fn beside_a_verification() {
    for (is_push, cancel_first, atomic) in (0..8).map(|i| (i & 1 > 0, i & 2 > 0, i & 4 > 0)) {
        for polls in 0.. {
            let store = if atomic { FaultyStore::atomic() } else { FaultyStore::sequential() };
            let (step_up, alice) = (node(&store), caller("alice", 1));
            step_up.start_otp(&alice, "SMS", None).await.unwrap();
            let id = step_up.start_push(&alice, "BIO", None).await.unwrap().id;
            let push = is_push.then_some(&*id);
            let (mut cancels, mut approves) = (cancel(&step_up, &alice, push), approve(&step_up, &alice, push));
            let mut first = if cancel_first { &mut cancels } else { &mut approves };
            let done = poll_at_most(polls, &mut first);
            let what = format!("push {is_push}, cancel first {cancel_first}, atomic {atomic}, {polls} polls");
            let (cancelled, granted) = match (cancel_first, done) {
                (true, Some(done)) => (done, approves.await),
                (true, None) => {
                    let granted = approves.await;
                    (cancels.await, granted)
                }
                (false, Some(done)) => (cancels.await, done),
                (false, None) => {
                    let cancelled = cancels.await;
                    (cancelled, approves.await)
                }
            };
            assert!(cancelled, "{what}");
            assert_eq!(passes(&step_up, &alice).await, granted, "{what}");
            assert!(!(cancel_first && done.is_some() && granted), "{what}: approved after it was cancelled");
            let status = step_up.status(&alice).await.unwrap();
            assert!(if is_push { status.pending_push.is_none() } else { status.pending_otp.is_none() }, "{what}");
            if done.is_some() {
                break;
            }
        }
    }
}

/// T14: an answer of the store that is lost at any point, or a client that hangs up there. Then it is cancelled again, and
/// its place among the live challenges is free.
#[tokio::test]
async fn what_breaks_off_is_repeated() {
    for store in [FaultyStore::atomic, FaultyStore::sequential] {
        for (is_push, how) in [false, true]
            .into_iter()
            .flat_map(|is_push| [Some(Fails::Undone), Some(Fails::Unanswered), None].map(|how| (is_push, how)))
        {
            for step in 0.. {
                let store = store();
                let (step_up, alice) = (node(&store), caller("alice", 1));
                let id = step_up.start_push(&alice, "BIO", None).await.unwrap().id;
                step_up.start_otp(&alice, "SMS", None).await.unwrap();
                let push = is_push.then_some(&*id);
                let ended = if let Some(how) = how {
                    store.fail_after(step, how);
                    let _ = cancel(&step_up, &alice, push).await;
                    store.fail_no_more()
                } else {
                    poll_at_most(step, cancel(&step_up, &alice, push)).is_some()
                };
                step_up.drained().await;
                assert!(cancel(&step_up, &alice, push).await, "{how:?} {step}");
                assert!(!approve(&step_up, &alice, push).await, "{how:?} {step}");
                assert!(!passes(&step_up, &alice).await, "{how:?} {step}");
                let other = step_up.start_otp(&caller("alice", 2), "SMS", None).await;
                assert_eq!(other, Ok(()), "{how:?} {step}: two challenges may live");
                if is_push {
                    let no = step_up.answer_push("alice", &id, PushReply::Decline).await;
                    assert_eq!(no, Err(PushReplyError::Closed));
                    let paused = step_up.start_push(&alice, "BIO", None).await.map(drop);
                    assert!(matches!(paused, Err(ChallengeError::RateLimited(_))), "{how:?} {step}: {paused:?}");
                }
                if ended {
                    break;
                }
            }
        }
    }
}

/// T20: on a node whose clock is ahead the push may have expired; on the others it must not be approved.
#[tokio::test]
async fn on_a_node_whose_clock_is_ahead() {
    for (ahead, after) in [(2, 299), (2, 0), (0, 299)] {
        let store = FaultyStore::default();
        let clocks = [ManualClock::new(), ManualClock::new()];
        let nodes = clocks.clone().map(|clock| {
            let builder = store.on(StepUp::builder()).sandbox().otp("SMS", discard).push("BIO", discard);
            builder.clock(clock).build().unwrap()
        });
        let alice = caller("alice", 1);
        let id = nodes[0].start_push(&alice, "BIO", None).await.unwrap().id;
        nodes[0].start_otp(&alice, "SMS", None).await.unwrap();
        clocks[0].advance(secs(after));
        clocks[1].advance(secs(after + ahead));
        assert!(cancel(&nodes[1], &alice, Some(&id)).await && cancel(&nodes[1], &alice, None).await);
        assert!(!approve(&nodes[0], &alice, Some(&id)).await && !approve(&nodes[0], &alice, None).await, "{after}");
        assert!(!passes(&nodes[0], &alice).await);
    }
}

/// B7: the code of another channel that replaced it turns out unsent; what was cancelled does not come back.
#[tokio::test(start_paused = true)]
async fn while_another_code_is_being_sent() {
    let (clock, go) = (ManualClock::new(), Arc::new(Notify::new()));
    let (outbox, gate) = (Outbox::new(&clock), Arc::clone(&go));
    let late = move |_: OtpMessage| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Err(DeliveryError::Failed)
        }
    };
    let step_up = StepUp::builder().otp("SMS", outbox.otp()).otp("EMAIL", late).clock(clock.clone()).build().unwrap();
    let alice = caller("alice", 1);
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    clock.advance(secs(15));
    let email = tokio::spawn({
        let (step_up, alice) = (step_up.clone(), alice.clone());
        async move { step_up.start_otp(&alice, "EMAIL", None).await }
    });
    tokio::task::yield_now().await;
    step_up.cancel_otp(&alice, "SMS").await.unwrap();
    go.notify_one();
    assert_eq!(email.await.unwrap(), Err(ChallengeError::Unavailable));
    let verified = step_up.verify_otp(&alice, "SMS", &outbox.last().secret).await;
    assert_eq!(verified.map(drop), Err(ChallengeError::StateInvalid));
}

/// Emitted only by the call that has cancelled something.
#[tokio::test]
async fn nothing_is_said_that_has_not_happened() {
    for store in stores() {
        for polls in 0.. {
            let events = Arc::<Mutex<Vec<String>>>::default();
            let seen = Arc::clone(&events);
            let builder = store.on(StepUp::builder()).sandbox().otp("SMS", discard);
            let builder = builder.observe(move |event: &Event<'_>| seen.lock().unwrap().push(event.name().into()));
            let (step_up, alice) = (builder.build().unwrap(), caller("alice", polls));
            step_up.start_otp(&alice, "SMS", None).await.unwrap();
            let mut cancels = cancel(&step_up, &alice, None);
            let mut cx = Context::from_waker(Waker::noop());
            let ended = (0..polls).any(|_| cancels.as_mut().poll(&mut cx).is_ready());
            let verified = step_up.verify_otp(&alice, "SMS", "123456").await.is_ok();
            if !ended {
                cancels.await;
            }
            let cancelled = events.lock().unwrap().iter().any(|name| name == "cancelled");
            assert!(verified != cancelled, "{polls}: {:?}", events.lock().unwrap());
            step_up.revoke_all("alice").await.unwrap();
            store.forget();
            if ended {
                break;
            }
        }
    }
}

/// T9, T13: a client that cancels and starts again gains no message and no attempt.
#[tokio::test]
async fn again_and_again() {
    let clock = ManualClock::new();
    let builder = StepUp::builder().sandbox().otp("SMS", discard).push("BIO", discard);
    let step_up = builder.clock(clock.clone()).build().unwrap();
    let (mut codes, mut pushes) = (0, 0);
    for session in 0..20 {
        let alice = caller("alice", session);
        codes += usize::from(step_up.start_otp(&alice, "SMS", None).await.is_ok());
        step_up.cancel_otp(&alice, "SMS").await.unwrap();
        if let Ok(push) = step_up.start_push(&alice, "BIO", None).await {
            pushes += 1;
            assert!(step_up.cancel_push(&alice, "BIO", &push.id).await.unwrap());
        }
    }
    assert_eq!((codes, pushes), (3, 3));
    let (bob, mut wrong) = (caller("bob", 1), 0);
    for _ in 0..30 {
        clock.advance(secs(15));
        let _ = step_up.start_otp(&bob, "SMS", None).await;
        for _ in 0..4 {
            wrong += usize::from(super::was_wrong(&step_up.verify_otp(&bob, "SMS", "000000").await));
        }
        step_up.cancel_otp(&bob, "SMS").await.unwrap();
    }
    assert!(wrong < 15, "{wrong} attempts in eight minutes");
}
