//! The engine under parallel, cancelled and flooding requests, and with a failing store or clock.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use testkit::{FaultyStore, Sender, passes, poll_at_most, together};
use tower_step_up::{
    AuthorizeError, Caller, ChallengeError, Clock as _, DeliveryError, EnrollmentError, ManualClock, OtpMessage,
    Policy, ProofError, Purpose, PushMessage, PushReply, PushReplyError, Recipient, Requirement, Secret, SendBudget,
    StepUp, Timestamp, UnmetReason, discard, store::MemoryStore,
};

const RIGHT: &str = "123456";
const WRONG: &str = "000000";

fn sandbox() -> StepUp {
    StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).push("BIO", discard).build().unwrap()
}

fn on_a_store(store: &FaultyStore) -> StepUp {
    store.on(StepUp::builder().sandbox().otp("SMS", discard).push("BIO", discard)).build().unwrap()
}

fn caller(subject: &str, session: usize) -> Caller {
    Caller::user(subject).session(session)
}

fn was_compared<T>(answer: &Result<T, ChallengeError>) -> bool {
    matches!(
        answer,
        Ok(_)
            | Err(ChallengeError::CodeInvalid
                | ChallengeError::OneTryRemaining
                | ChallengeError::ChallengeLimitExceeded)
    )
}

/// T1: parallel attempts do not exceed the limit, and afterwards the right code fails, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_wrong_guesses_are_counted_exactly() {
    for round in 0..20 {
        let step_up = sandbox();
        let alice = caller("alice", round);
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        let answers = together(64, |_| {
            let (step_up, alice) = (step_up.clone(), alice.clone());
            async move { step_up.verify_otp(&alice, "SMS", WRONG).await }
        })
        .await;
        assert_eq!(answers.iter().filter(|answer| was_compared(answer)).count(), 5, "{answers:?}");
        let right = step_up.verify_otp(&alice, "SMS", RIGHT).await;
        assert_eq!(right, Err(ChallengeError::StateInvalid));
        assert_eq!(step_up.verify_otp(&alice, "SMS", WRONG).await, right);
        assert!(!passes(&step_up, &alice).await);
    }
}

/// T2: one code, one success, one grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_right_codes_succeed_once() {
    for round in 0..20 {
        let step_up = sandbox();
        let alice = caller("alice", round);
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        let answers = together(64, |_| {
            let (step_up, alice) = (step_up.clone(), alice.clone());
            async move { step_up.verify_otp(&alice, "SMS", RIGHT).await }
        })
        .await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        assert_eq!(step_up.status(&alice).await.unwrap().grants.len(), 1);
        // The late ones compared nothing, so nothing is counted against the user.
        let again = caller("alice", round + 1000);
        step_up.start_otp(&again, "SMS", None).await.unwrap();
        for _ in 0..4 {
            assert!(was_compared(&step_up.verify_otp(&again, "SMS", WRONG).await));
        }
        step_up.verify_otp(&again, "SMS", RIGHT).await.unwrap();
    }
}

/// T3, T29: a verification dropped at any point stays counted if it was compared.
#[tokio::test]
async fn a_dropped_verification_is_counted() {
    let mut cut_short = 0;
    for polls in 0..40 {
        let store = FaultyStore::default();
        let step_up = on_a_store(&store);
        let alice = caller("alice", 1);
        let run =
            |future| poll_at_most::<std::pin::Pin<Box<dyn Future<Output = Result<(), ChallengeError>>>>>(1000, future);
        run(Box::pin(step_up.start_otp(&alice, "SMS", None))).unwrap().unwrap();

        let swaps = store.swaps();
        let ended = poll_at_most(polls, step_up.verify_otp(&alice, "SMS", WRONG)).is_some();
        let counted = store.swaps() > swaps;
        cut_short += usize::from(counted && !ended);

        let mut compared = 0;
        for _ in 0..10 {
            let answer = poll_at_most(1000, step_up.verify_otp(&alice, "SMS", WRONG)).unwrap();
            compared += usize::from(was_compared(&answer));
        }
        assert_eq!(compared, if counted { 4 } else { 5 }, "dropped after {polls} polls");
    }
    assert!(cut_short > 0, "never dropped between count and response");
}

/// An attempt overtaken by a revocation is compared with nothing, so it is not counted.
#[tokio::test]
async fn an_attempt_without_a_code_is_not_counted() {
    // Its count is written before the comparison.
    let store = FaultyStore::sequential();
    let step_up = on_a_store(&store);
    let (alice, again) = (caller("alice", 1), caller("alice", 2));
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    step_up.start_otp(&again, "SMS", None).await.unwrap();

    let swaps = store.swaps();
    let mut verify = std::pin::pin!(step_up.verify_otp(&alice, "SMS", WRONG));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while store.swaps() == swaps {
        assert!(verify.as_mut().poll(&mut cx).is_pending());
    }
    step_up.revoke(&alice).await.unwrap();
    assert_eq!(verify.await, Err(ChallengeError::StateInvalid));

    for guess in 1..=5 {
        assert!(was_compared(&step_up.verify_otp(&again, "SMS", WRONG).await), "guess {guess}");
    }
}

/// T4, T5: fifty sessions of one user share one budget; other users have their own.
#[tokio::test]
async fn many_sessions_share_the_budget_of_their_user() {
    let clock = ManualClock::new();
    // Enough messages, so that only failures limit.
    let policy = Policy::new()
        .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000));
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).policy(policy).clock(clock.clone()).build().unwrap();
    let mut compared = 0;
    for session in 0..50 {
        let alice = caller("alice", session);
        if step_up.start_otp(&alice, "SMS", None).await.is_ok() {
            compared += usize::from(was_compared(&step_up.verify_otp(&alice, "SMS", WRONG).await));
            step_up.revoke(&alice).await.unwrap();
        }
    }
    assert_eq!(compared, 5);
    let alice = caller("alice", 99);
    let refused = step_up.start_otp(&alice, "SMS", None).await;
    assert!(matches!(refused, Err(ChallengeError::RateLimited(limit)) if limit.limit == 5), "{refused:?}");

    let bob = caller("bob", 99);
    step_up.start_otp(&bob, "SMS", None).await.unwrap();
    step_up.verify_otp(&bob, "SMS", RIGHT).await.unwrap();
}

/// T7: anything but digits is malformed, and costs no attempt.
#[tokio::test]
async fn a_code_is_compared_exactly() {
    let step_up = sandbox();
    let alice = caller("alice", 1);
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    for _ in 0..4 {
        assert!(was_compared(&step_up.verify_otp(&alice, "SMS", WRONG).await));
    }
    for code in [" 123456", "123456 ", "123456\n", "\u{a0}123456", "123 456", "+123456", "0123456", "１２３４５６", ""]
    {
        let answer = step_up.verify_otp(&alice, "SMS", code).await;
        assert!(matches!(answer, Err(ChallengeError::MalformedCode(_))), "{code:?}: {answer:?}");
    }
    step_up.verify_otp(&alice, "SMS", RIGHT).await.unwrap();
}

/// T8: a challenge is verified only by its session, its user and its channel.
#[tokio::test]
async fn only_its_own_session_and_channel_verifies() {
    let places =
        [("alice", 1, "SMS"), ("alice", 1, "EMAIL"), ("alice", 2, "SMS"), ("bob", 1, "SMS"), ("bob", 2, "EMAIL")];
    for (i, (subject, session, channel)) in places.into_iter().enumerate() {
        let step_up = sandbox();
        step_up.start_otp(&caller(subject, session), channel, None).await.unwrap();
        for (j, (subject, session, channel)) in places.into_iter().enumerate().filter(|(j, _)| i != *j) {
            let answer = step_up.verify_otp(&caller(subject, session), channel, RIGHT).await;
            assert_eq!(answer, Err(ChallengeError::StateInvalid), "{i} {j}");
            assert!(!passes(&step_up, &caller(subject, session)).await);
        }
        step_up.verify_otp(&caller(subject, session), channel, RIGHT).await.unwrap();
        let opened = places.into_iter().map(|(subject, session, _)| caller(subject, session));
        for (j, place) in opened.enumerate() {
            let same_session = (places[j].0, places[j].1) == (subject, session);
            assert_eq!(passes(&step_up, &place).await, same_session, "{i} {j}");
        }
    }
}

/// T17: a full store refuses new records and keeps existing ones.
#[tokio::test]
async fn a_flood_evicts_nothing_and_resets_nothing() {
    let store = MemoryStore::with_capacity(100);
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).store(store.clone()).build().unwrap();
    let (victim, holder) = (caller("victim", 1), caller("holder", 1));
    step_up.start_otp(&holder, "SMS", None).await.unwrap();
    step_up.verify_otp(&holder, "SMS", RIGHT).await.unwrap();
    step_up.start_otp(&victim, "SMS", None).await.unwrap();
    for _ in 0..4 {
        assert!(was_compared(&step_up.verify_otp(&victim, "SMS", WRONG).await));
    }
    let mut refused = 0;
    for flood in 0..1000 {
        let answer = step_up.start_otp(&caller(&format!("flood{flood}"), 1), "SMS", None).await;
        refused += usize::from(answer == Err(ChallengeError::Unavailable));
    }
    assert!(refused > 900, "{refused}");
    assert!(store.len() <= 100);
    assert!(passes(&step_up, &holder).await);
    let last = step_up.verify_otp(&victim, "SMS", WRONG).await;
    assert_eq!(last, Err(ChallengeError::ChallengeLimitExceeded));
    assert_eq!(step_up.verify_otp(&victim, "SMS", RIGHT).await, Err(ChallengeError::StateInvalid));
}

/// T20: no step of the clock revives anything, or panics.
#[tokio::test]
async fn a_clock_that_jumps_prolongs_nothing() {
    let hour = 3_600_000;
    for to in [0, 1, u64::MAX, u64::MAX - 1] {
        let clock = ManualClock::new();
        let step_up =
            StepUp::builder().sandbox().otp("SMS", discard).push("BIO", discard).clock(clock.clone()).build().unwrap();
        let alice = caller("alice", 1);
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        clock.set(Timestamp::from_millis(to));
        let _ = step_up.verify_otp(&alice, "SMS", RIGHT).await;
        let _ = step_up.start_otp(&alice, "SMS", None).await;
        let _ = step_up.start_push(&alice, "BIO", None).await;
        step_up.status(&alice).await.unwrap();
        // At the end of time nothing can be written, and nothing is valid.
        assert!(step_up.revoke(&alice).await.is_ok() || to > 1);
        assert!(!passes(&step_up, &alice).await);
    }
    let clock = ManualClock::new();
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).clock(clock.clone()).build().unwrap();
    let alice = caller("alice", 1);
    let start = clock.now().as_millis();
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    step_up.verify_otp(&alice, "SMS", RIGHT).await.unwrap();
    clock.set(Timestamp::from_millis(start - hour));
    assert!(passes(&step_up, &alice).await, "a backward step leaves the grant");
    clock.set(Timestamp::from_millis(start + 600_000));
    assert!(!passes(&step_up, &alice).await);
    clock.set(Timestamp::from_millis(start));
    let expired = step_up.authorize(&alice, &Requirement::new()).await;
    assert_eq!(expired, Err(AuthorizeError::StepUpRequired(UnmetReason::Expired.into())), "what ended is not revived");
}

/// An exhausted challenge makes room for another, a live one does not.
#[tokio::test]
async fn the_last_attempt_ends_a_challenge_for_its_user_as_well() {
    let policy = Policy::new().max_attempts(2).live_challenges(1).lockout_every(10);
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).policy(policy).build().unwrap();
    let (first, second) = (caller("alice", 1), caller("alice", 2));
    step_up.start_otp(&first, "SMS", None).await.unwrap();
    let wrong = async || step_up.verify_otp(&first, "SMS", WRONG).await.map(drop);
    assert_eq!(wrong().await, Err(ChallengeError::OneTryRemaining));
    assert!(matches!(step_up.start_otp(&second, "SMS", None).await, Err(ChallengeError::RateLimited(_))));
    assert_eq!(wrong().await, Err(ChallengeError::ChallengeLimitExceeded));
    step_up.start_otp(&second, "SMS", None).await.unwrap();
}

#[tokio::test]
async fn a_purpose_has_a_scope_and_equal_grants_compare_equal() {
    let step_up = sandbox();
    let alice = caller("alice", 1);
    step_up.start_otp(&alice, "SMS", Purpose::new().scope("payments")).await.unwrap();
    let payments = step_up.verify_otp(&alice, "SMS", RIGHT).await.unwrap();
    assert_eq!(payments.scope(), Some("payments"));
    assert!(!passes(&step_up, &alice).await);
    step_up.start_otp(&caller("alice", 2), "SMS", None).await.unwrap();
    let session = step_up.verify_otp(&caller("alice", 2), "SMS", RIGHT).await.unwrap();
    assert_eq!(step_up.authorize(&alice, &Requirement::new().scope("payments")).await.unwrap(), payments);
    assert_ne!(payments, session);
}

/// Error messages say what is wrong, and are distinct.
#[test]
fn errors_have_distinct_messages() {
    let check = [AuthorizeError::StepUpRequired(UnmetReason::TooOld.into()), AuthorizeError::Unavailable]
        .map(|e| e.to_string());
    assert_eq!(check, ["step-up required: too_old", "temporarily unavailable"]);
    let wrong = |left| PushReplyError::WrongNumber { left };
    let answers = [
        PushReplyError::Unknown,
        PushReplyError::Closed,
        wrong(0),
        wrong(1),
        PushReplyError::NumberRequired,
        PushReplyError::Unavailable,
    ];
    let proofs = [
        ProofError::UnknownChannel,
        ProofError::InTheFuture,
        ProofError::Expired,
        ProofError::Locked,
        ProofError::Unavailable,
    ];
    let deliveries = [DeliveryError::RecipientInvalid, DeliveryError::Failed, DeliveryError::Unknown];
    let texts = [
        answers.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
        proofs.iter().map(ToString::to_string).collect(),
        deliveries.iter().map(ToString::to_string).collect(),
    ];
    assert_eq!(texts.each_ref().map(BTreeSet::len), [answers.len(), proofs.len(), deliveries.len()], "{texts:?}");
    assert!(texts.iter().flatten().all(|text| text.len() > 10), "{texts:?}");
    let refused = ChallengeError::RecipientInvalid.to_string();
    assert!(refused.len() > 10, "{refused}");
}

/// T26: a lockout leaves existing grants.
#[tokio::test]
async fn a_lock_leaves_existing_grants() {
    let step_up = sandbox();
    let (owner, thief) = (caller("alice", 1), caller("alice", 2));
    step_up.start_otp(&owner, "SMS", None).await.unwrap();
    step_up.verify_otp(&owner, "SMS", RIGHT).await.unwrap();
    step_up.start_otp(&thief, "SMS", None).await.unwrap();
    for _ in 0..5 {
        assert!(was_compared(&step_up.verify_otp(&thief, "SMS", WRONG).await));
    }
    assert!(passes(&step_up, &owner).await);
    assert!(!passes(&step_up, &thief).await);
}

/// With more sessions than a user's record lists, the oldest loses its grant before it is displaced.
#[tokio::test]
async fn a_displaced_session_has_lost_its_grant() {
    let clock = ManualClock::new();
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).clock(clock.clone()).build().unwrap();
    for session in 0..20 {
        let alice = caller("alice", session);
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        step_up.verify_otp(&alice, "SMS", RIGHT).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    for session in 0..20 {
        assert_eq!(passes(&step_up, &caller("alice", session)).await, session >= 4, "{session}");
    }
}

/// Sent codes.
type Outbox = Arc<Mutex<Vec<String>>>;

/// Senders fail in every way; each has its response.
#[tokio::test(start_paused = true)]
async fn senders_may_fail_hang_and_panic() {
    let table = [
        (Sender::Works, Ok(()), Ok(())),
        (Sender::Refuses, Err(ChallengeError::RecipientInvalid), Err(ChallengeError::StateInvalid)),
        (Sender::Fails, Err(ChallengeError::Unavailable), Err(ChallengeError::StateInvalid)),
        // It may have been sent, so it can be verified.
        (Sender::Hangs, Err(ChallengeError::Unavailable), Ok(())),
        (Sender::Panics, Err(ChallengeError::Unavailable), Ok(())),
        (Sender::Unsure, Err(ChallengeError::Unavailable), Ok(())),
    ];
    for (how, started, verified) in table {
        let outbox = Outbox::default();
        let sent = outbox.clone();
        let step_up = StepUp::builder()
            .otp("SMS", move |message: OtpMessage| {
                sent.lock().unwrap().push(message.code().expose().to_owned());
                how.act()
            })
            .push("BIO", move |_: PushMessage| how.act())
            .build()
            .unwrap();
        let alice = caller("alice", 1);
        assert_eq!(step_up.start_otp(&alice, "SMS", None).await, started, "{how:?}");
        let code = outbox.lock().unwrap().pop().unwrap();
        assert_eq!(step_up.verify_otp(&alice, "SMS", &code).await.map(drop), verified, "{how:?}");
        // An unsent message does not start the resend interval.
        let again = step_up.start_otp(&alice, "SMS", None).await;
        match how {
            Sender::Refuses | Sender::Fails => assert_eq!(again, started, "{how:?}"),
            _ => assert!(matches!(again, Err(ChallengeError::RetryIn { .. })), "{how:?}: {again:?}"),
        }
        // A push whose id was not returned does not block the next.
        let push = step_up.start_push(&alice, "BIO", None).await.map(drop);
        let again = step_up.start_push(&alice, "BIO", None).await.map(drop);
        match how {
            Sender::Works => assert_eq!((push, again), (Ok(()), Err(ChallengeError::StateInvalid))),
            _ => assert_eq!((push, again), (Err(ChallengeError::Unavailable), Err(ChallengeError::Unavailable))),
        }
    }
}

/// Enrollment is called for every start and status, and for a verification unless the records alone refuse it, also in
/// the sandbox.
#[tokio::test]
async fn enrollment_decides_first() {
    let table = [
        (EnrollmentError::NotEnrolled, ChallengeError::ChannelNotRegistered, true),
        (EnrollmentError::NotSupported, ChallengeError::ChannelNotSupported, true),
        (EnrollmentError::Forbidden, ChallengeError::Forbidden, true),
        (EnrollmentError::Unavailable, ChallengeError::Unavailable, false),
    ];
    for (refused, expected, has_status) in table {
        let enrolled = Arc::new(AtomicBool::new(true));
        let answer = {
            let enrolled = enrolled.clone();
            move || if enrolled.load(Relaxed) { Ok(Recipient::known_to_sender()) } else { Err(refused) }
        };
        let step_up = StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .push("BIO", discard)
            .enrollment(move |_: Caller, _: String| std::future::ready(answer()))
            .build()
            .unwrap();
        let (alice, bob) = (caller("alice", 1), caller("bob", 1));
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        enrolled.store(false, Relaxed);
        assert_eq!(step_up.verify_otp(&bob, "SMS", RIGHT).await.err(), Some(ChallengeError::StateInvalid));
        assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(expected.clone()));
        assert_eq!(step_up.verify_otp(&alice, "SMS", RIGHT).await.err(), Some(expected.clone()));
        assert_eq!(step_up.start_push(&alice, "BIO", None).await.err(), Some(expected.clone()));
        let status = step_up.status(&alice).await;
        assert_eq!(status.is_ok(), has_status);
        assert!(status.is_err() || status.is_ok_and(|status| status.otp.is_empty() && status.push.is_empty()));
    }
}

/// A status asks for the enrollment of all channels concurrently.
#[tokio::test(start_paused = true)]
async fn a_status_asks_for_all_channels_at_once() {
    let enrollment = async |_: Caller, _: String| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, EnrollmentError>(Recipient::known_to_sender())
    };
    let builder = StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).push("BIO", discard);
    let step_up = builder.push("AUTHY", discard).enrollment(enrollment).build().unwrap();
    let start = tokio::time::Instant::now();
    let status = step_up.status(&caller("alice", 1)).await.unwrap();
    assert_eq!((status.otp, status.push), (vec!["SMS".into(), "EMAIL".into()], vec!["BIO".into(), "AUTHY".into()]));
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

type Set = fn(&FaultyStore, bool);

/// T24: while the store is down or stuck everything is refused; afterwards everything works again.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_refuses() {
    let store = FaultyStore::default();
    let step_up = on_a_store(&store);
    let alice = caller("alice", 1);
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    step_up.verify_otp(&alice, "SMS", RIGHT).await.unwrap();
    let push = step_up.start_push(&alice, "BIO", None).await.unwrap();
    for (name, set) in [("down", FaultyStore::set_down as Set), ("stuck", FaultyStore::set_stuck)] {
        set(&store, true);
        let down = Err(ChallengeError::Unavailable);
        assert_eq!(step_up.authorize(&alice, &Requirement::new()).await, Err(AuthorizeError::Unavailable), "{name}");
        assert_eq!(step_up.start_otp(&alice, "SMS", None).await, down, "{name}");
        assert_eq!(step_up.verify_otp(&alice, "SMS", RIGHT).await.map(drop), down, "{name}");
        assert_eq!(step_up.revoke(&alice).await, down, "{name}");
        assert_eq!(step_up.status(&alice).await.map(drop), down, "{name}");
        assert_eq!(step_up.push_status(&alice, "BIO", &push.id).await.map(drop), down, "{name}");
        let answer = step_up.answer_push("alice", &push.id, PushReply::Approve).await;
        assert_eq!(answer, Err(PushReplyError::Unavailable), "{name}");
        set(&store, false);
        assert!(passes(&step_up, &alice).await, "{name}");
    }
}

/// T12: no key and no record contains the code, in any encoding.
#[tokio::test]
async fn no_code_reaches_the_store() {
    let store = FaultyStore::default();
    let outbox = Outbox::default();
    let sent = outbox.clone();
    let step_up = StepUp::builder()
        .otp("SMS", move |message: OtpMessage| {
            let printed = format!("{message:?}");
            assert!(!printed.contains(message.code().expose()) && !printed.contains("canary"), "{printed}");
            sent.lock().unwrap().push(message.code().expose().to_owned());
            std::future::ready(Ok(()))
        })
        .policy(Policy::new().code_digits(12))
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([7; 32]).unwrap())
        .build()
        .unwrap();
    let alice = Caller::user("canary-user").session("canary-session");
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    let code = outbox.lock().unwrap().pop().unwrap();
    step_up.verify_otp(&alice, "SMS", "000000000000").await.unwrap_err();
    step_up.verify_otp(&alice, "SMS", &code).await.unwrap();
    let seen = store.seen();
    assert!(seen.len() > 8);
    for secret in [code.as_str(), "canary-user", "canary-session"] {
        let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let spellings = [secret.to_owned(), hex.to_uppercase(), hex, bytes.join(",")];
        for record in &seen {
            for spelling in &spellings {
                let found = record.windows(spelling.len()).any(|window| window == spelling.as_bytes());
                assert!(!found, "{spelling} in {}", String::from_utf8_lossy(record));
            }
        }
    }
}

/// A dropped push is not counted as live, so the next can start.
#[tokio::test]
async fn a_dropped_push_is_not_live() {
    let policy = Policy::new().live_challenges(1).pushes(100);
    let step_up = StepUp::builder().push("BIO", async |_| Ok(())).policy(policy).build().unwrap();
    let [one, other] = ["1", "2"].map(|session| Caller::user("alice").session(session));
    step_up.start_push(&one, "BIO", None).await.unwrap();
    assert!(matches!(step_up.start_push(&other, "BIO", None).await, Err(ChallengeError::RateLimited(_))));
    step_up.revoke(&one).await.unwrap();
    step_up.start_push(&other, "BIO", None).await.unwrap();
}
