//! Restored messages: those that were certainly not sent, and those of verified challenges, except in the budget of a
//! day. A message that may have been sent stays counted, also if the request fails.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use testkit::{FaultyStore, Sender, poll_at_most};
use tower_step_up::{
    Caller, ChallengeError, DeliveryError, EnrollmentError, Event, ManualClock, OtpMessage, Policy, PushMessage,
    PushReply, Recipient, Secret, StepUp,
};

use super::{caller, limited, other, outbox::Outbox, passes, secs};

/// A provider with a configured behaviour, which counts its calls.
#[derive(Clone)]
struct Provider(Arc<(Mutex<Sender>, AtomicUsize)>);

impl Provider {
    fn new(how: Sender) -> Self {
        Self(Arc::new((Mutex::new(how), AtomicUsize::new(0))))
    }

    fn set(&self, how: Sender) {
        *self.0.0.lock().unwrap() = how;
    }

    fn called(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    async fn act(self) -> Result<(), DeliveryError> {
        self.0.1.fetch_add(1, Ordering::SeqCst);
        let how = *self.0.0.lock().unwrap();
        how.act().await
    }
}

/// Every user has their own number, but all users whose name begins with `shared` have the same.
async fn phone(caller: Caller, _: String) -> Result<Recipient, EnrollmentError> {
    let number = if caller.subject().starts_with("shared") { "shared" } else { caller.subject() };
    Ok(Recipient::new(format!("+1 {number}")))
}

fn through(provider: &Provider, clock: &ManualClock, policy: Policy) -> StepUp {
    let (otp, push) = (provider.clone(), provider.clone());
    let builder = StepUp::builder()
        .otp("SMS", move |_: OtpMessage| otp.clone().act())
        .push("BIO", move |_: PushMessage| push.clone().act())
        .enrollment(phone);
    builder.policy(policy.live_challenges(10)).clock(clock.clone()).build().unwrap()
}

/// Starts codes, each in a new session, until one is refused; returns their number and the refusal.
async fn codes_until_refused(step_up: &StepUp, subject: &str, from: usize) -> (usize, (u32, Option<u64>, u64)) {
    for i in 0..1000 {
        let started = step_up.start_otp(&caller(subject, from + i), "SMS", None).await;
        if matches!(started, Err(ChallengeError::RateLimited(_))) {
            return (i, limited(started));
        }
    }
    panic!("never refused")
}

async fn pushes_until_refused(step_up: &StepUp, subject: &str, from: usize) -> (usize, (u32, Option<u64>, u64)) {
    for i in 0..1000 {
        let started = step_up.start_push(&caller(subject, from + i), "BIO", None).await.map(drop);
        if matches!(started, Err(ChallengeError::RateLimited(_))) {
            return (i, limited(started));
        }
    }
    panic!("never refused")
}

/// An error from the sender restores the message to the user's and the recipient's budgets; a sender that times out or
/// panics may have sent it.
#[tokio::test(start_paused = true)]
async fn results_of_a_sender() {
    const OF_CODES: (u32, Option<u64>, u64) = (3, Some(300), 300);
    const OF_PUSHES: (u32, Option<u64>, u64) = (3, Some(600), 600);
    const OF_UNSENT: (u32, Option<u64>, u64) = (5, Some(600), 600);
    let table = [
        (Sender::Works, false),
        (Sender::Refuses, true),
        (Sender::Fails, true),
        (Sender::Hangs, false),
        (Sender::Panics, false),
        (Sender::Unsure, false),
    ];
    for (how, given_back) in table {
        let provider = Provider::new(how);
        let clock = ManualClock::new();
        let step_up = through(&provider, &clock, Policy::new().sender_deadline(secs(1)));
        let attempts: usize = if given_back { 40 } else { 3 };
        for session in 0..attempts {
            // Unsent starts have a budget of five in ten minutes.
            if given_back && session.is_multiple_of(2) {
                clock.advance(secs(600));
            }
            let code = step_up.start_otp(&caller("alice", session), "SMS", None).await;
            let push = step_up.start_push(&caller("alice", session), "BIO", None).await;
            assert_eq!((code.is_ok(), push.is_ok()), (how == Sender::Works, how == Sender::Works), "{how:?}");
            assert!(!matches!(code, Err(ChallengeError::RateLimited(_))), "{how:?}: {code:?}");
        }
        assert_eq!(provider.called(), 2 * attempts, "{how:?}");
        if given_back {
            assert!(step_up.start_otp(&caller("alice", 99), "SMS", None).await.is_err());
            assert_eq!(codes_until_refused(&step_up, "alice", 100).await, (0, OF_UNSENT), "{how:?}");
            assert_eq!(pushes_until_refused(&step_up, "alice", 200).await, (0, OF_UNSENT), "{how:?}");
            clock.advance(secs(600));
        }
        provider.set(Sender::Works);
        let left = if given_back { 3 } else { 0 };
        assert_eq!(codes_until_refused(&step_up, "alice", 100).await, (left, OF_CODES), "{how:?}");
        assert_eq!(pushes_until_refused(&step_up, "alice", 200).await, (left, OF_PUSHES), "{how:?}");
    }
}

/// A push whose id was not returned is not counted as live. A code that may have arrived can still be typed, and is.
#[tokio::test(start_paused = true)]
async fn a_late_sender_leaves_a_live_code_and_no_push() {
    let provider = Provider::new(Sender::Hangs);
    let (otp, push) = (provider.clone(), provider.clone());
    let step_up = StepUp::builder()
        .otp("SMS", move |_: OtpMessage| otp.clone().act())
        .push("BIO", move |_: PushMessage| push.clone().act())
        .policy(Policy::new().live_challenges(1).sender_deadline(secs(1)))
        .build()
        .unwrap();
    let [push, code, third] = ["1", "2", "3"].map(|session| caller("alice", session));
    let late = Err(ChallengeError::Unavailable);
    assert_eq!(step_up.start_push(&push, "BIO", None).await.map(drop), late);
    assert_eq!(step_up.start_otp(&code, "SMS", None).await, late);
    assert_eq!(limited(step_up.start_otp(&third, "SMS", None).await).0, 1);
}

/// The same for a recipient that several users share.
#[tokio::test(start_paused = true)]
async fn results_of_a_sender_for_a_shared_recipient() {
    for (how, left) in [(Sender::Fails, 9), (Sender::Hangs, 0), (Sender::Panics, 0), (Sender::Unsure, 0)] {
        let provider = Provider::new(how);
        let step_up = through(&provider, &ManualClock::new(), Policy::new().sender_deadline(secs(1)));
        for user in ["shared 1", "shared 2", "shared 3"] {
            for session in 0..3 {
                step_up.start_otp(&caller(user, session), "SMS", None).await.unwrap_err();
            }
        }
        provider.set(Sender::Works);
        let mut sent = 0;
        for user in ["shared 4", "shared 5", "shared 6", "shared 7"] {
            sent += codes_until_refused(&step_up, user, 0).await.0;
        }
        assert_eq!(sent, left, "{how:?}");
    }
}

/// A request dropped at any point is counted: the sender is called no more often than the budget allows.
#[tokio::test]
async fn a_dropped_start_is_counted() {
    for push in [false, true] {
        let mut cut_short = 0;
        for polls in 0..60 {
            let store = FaultyStore::default();
            let provider = Provider::new(Sender::Hangs);
            let (otp, pushes) = (provider.clone(), provider.clone());
            let step_up = StepUp::builder()
                .otp("SMS", move |_: OtpMessage| otp.clone().act())
                .push("BIO", move |_: PushMessage| pushes.clone().act())
                .enrollment(phone)
                .policy(Policy::new().live_challenges(10))
                .store(store.clone())
                .record_key(Secret::new([1; 32]).unwrap())
                .secret(Secret::new([7; 32]).unwrap())
                .build()
                .unwrap();
            for session in 0..12 {
                let started = poll_at_most(polls, start(&step_up, session, push));
                cut_short += usize::from(started.is_none() && provider.called() > 0);
            }
            assert!(provider.called() <= 3, "{} after {polls} polls", provider.called());
            provider.set(Sender::Works);
            let called = provider.called();
            for session in 20..32 {
                poll_at_most(1000, start(&step_up, session, push)).unwrap();
            }
            assert!(provider.called() <= 3, "{called} and then {} after {polls} polls", provider.called());
        }
        assert!(cut_short > 0, "no request was dropped during sending");
    }
}

async fn start(step_up: &StepUp, session: usize, push: bool) -> bool {
    let alice = caller("alice", session);
    if push {
        step_up.start_push(&alice, "BIO", None).await.is_ok()
    } else {
        step_up.start_otp(&alice, "SMS", None).await.is_ok()
    }
}

/// A user who verifies every challenge is limited only by the budget of a day: thirty codes and pushes.
#[tokio::test]
async fn thirty_a_day_if_all_are_verified() {
    for (name, by_push) in [("codes", [false, false]), ("pushes", [true, true]), ("both", [false, true])] {
        let clock = ManualClock::new();
        let outbox = Outbox::new(&clock);
        let step_up = StepUp::builder().otp("SMS", outbox.otp()).push("BIO", outbox.push()).clock(clock.clone());
        let step_up = step_up.build().unwrap();
        let alice = caller("alice", 1);
        for i in 0..30 {
            if by_push[i % 2] {
                let push = step_up.start_push(&alice, "BIO", None).await.unwrap_or_else(|e| panic!("{name} {i}: {e}"));
                step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
            } else {
                let started = step_up.start_otp(&alice, "SMS", None).await;
                started.unwrap_or_else(|error| panic!("{name} {i}: {error}"));
                step_up.verify_otp(&alice, "SMS", &outbox.last().secret).await.unwrap();
            }
            assert!(passes(&step_up, &alice).await);
            clock.advance(secs(15));
        }
        let day = (30, Some(24 * 3600), 24 * 3600 - 30 * 15);
        assert_eq!(limited(step_up.start_otp(&alice, "SMS", None).await), day, "{name}");
        assert_eq!(limited(step_up.start_push(&alice, "BIO", None).await.map(drop)), day, "{name}");
        assert_eq!(outbox.len(), 30, "{name}");
        clock.advance(secs(day.2 - 1));
        assert_eq!(limited(step_up.start_otp(&alice, "SMS", None).await), (30, Some(24 * 3600), 1), "{name}");
        clock.advance(secs(1));
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
    }
}

/// Only verifying its own challenge restores a message: not another challenge, a wrong code, or dropping it.
#[tokio::test]
async fn only_a_verified_message_is_restored() {
    let clock = ManualClock::new();
    let outbox = Outbox::new(&clock);
    let step_up =
        StepUp::builder().otp("SMS", outbox.otp()).policy(Policy::new().live_challenges(10)).clock(clock.clone());
    let step_up = step_up.build().unwrap();
    let [first, second, third] = ["1", "2", "3"].map(|session| caller("alice", session));
    step_up.start_otp(&first, "SMS", None).await.unwrap();
    step_up.start_otp(&second, "SMS", None).await.unwrap();
    step_up.start_otp(&third, "SMS", None).await.unwrap();
    let code = outbox.last().secret;
    step_up.revoke(&first).await.unwrap();
    step_up.verify_otp(&second, "SMS", &other(&code, 1)).await.unwrap_err();
    let next = caller("alice", "4");
    assert_eq!(limited(step_up.start_otp(&next, "SMS", None).await), (3, Some(300), 300));
    step_up.verify_otp(&third, "SMS", &code).await.unwrap();
    step_up.start_otp(&next, "SMS", None).await.unwrap();
    assert_eq!(limited(step_up.start_otp(&caller("alice", "5"), "SMS", None).await), (3, Some(300), 300));
    // Revoking and unlocking restore nothing either.
    step_up.revoke_all("alice").await.unwrap();
    step_up.unlock("alice").await.unwrap();
    assert_eq!(limited(step_up.start_otp(&caller("alice", "6"), "SMS", None).await), (3, Some(300), 300));
}

/// A recipient's budgets are restored like the user's: one user with one phone is never refused because of the phone,
/// and the phone is never reported as shared.
#[tokio::test]
async fn one_user_with_one_phone_is_not_reported_as_several() {
    for by_push in [false, true] {
        let clock = ManualClock::new();
        let outbox = Outbox::new(&clock);
        let shared = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&shared);
        let step_up = StepUp::builder().otp("SMS", outbox.otp()).push("BIO", outbox.push()).enrollment(phone);
        let step_up = step_up.clock(clock.clone()).observe(move |event: &Event<'_>| {
            seen.fetch_add(usize::from(matches!(event, Event::RecipientShared { .. })), Ordering::SeqCst);
        });
        let step_up = step_up.build().unwrap();
        let alice = caller("alice", 1);
        for i in 0..30 {
            if by_push {
                let push = step_up.start_push(&alice, "BIO", None).await;
                let push = push.unwrap_or_else(|error| panic!("push {i}: {error:?}"));
                step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
            } else {
                let started = step_up.start_otp(&alice, "SMS", None).await;
                started.unwrap_or_else(|error| panic!("code {i}: {error:?}"));
                step_up.verify_otp(&alice, "SMS", &outbox.last().secret).await.unwrap();
            }
            clock.advance(secs(15));
        }
        assert_eq!(shared.load(Ordering::SeqCst), 0, "push: {by_push}");
    }
}
