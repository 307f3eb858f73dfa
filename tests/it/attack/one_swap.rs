//! A store that is atomic writes the count of an attempt together with its result: until that is written, nothing else
//! may tell a right code from a wrong one. And what was written beside a swap that fails is taken back.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use testkit::{Fails, FaultyStore};
use tokio::time::Instant;
use tower_step_up::{
    Caller, ChallengeError, EnrollmentError, ManualClock, OtpMessage, Policy, Recipient, StepUp, Store, discard,
    store::{Change, Key, StoreError, StoreWarning, Stored, Swapped},
};

use super::{caller, secs, was_wrong};

const WRONG: &str = "000000";
const RIGHT: &str = "123456";

/// An atomic store, a millisecond away, that fails in part.
#[derive(Clone)]
struct PartlyFaulty {
    store: FaultyStore,
    /// Whether swaps of a user's and a session's record fail.
    pairs_fail: Arc<AtomicBool>,
    /// Whether loads of recipients hang.
    recipients_hang: Arc<AtomicBool>,
}

impl PartlyFaulty {
    fn new() -> Self {
        let store = FaultyStore::atomic();
        store.set_trip(Duration::from_millis(1));
        Self { store, pairs_fail: Arc::default(), recipients_hang: Arc::default() }
    }

    /// Texts go to one recipient, mail to one that only the sender knows.
    fn node(&self, clock: &ManualClock, policy: Policy) -> StepUp {
        let enrolled = async |_: Caller, channel: String| {
            Ok::<_, EnrollmentError>(match &*channel {
                "SMS" => Recipient::new("+49123"),
                _ => Recipient::known_to_sender(),
            })
        };
        let builder = StepUp::builder().sandbox().otp("SMS", discard).otp("MAIL", discard).enrollment(enrolled);
        self.store.on(builder).store(self.clone()).clock(clock.clone()).policy(policy).build().unwrap()
    }
}

impl Store for PartlyFaulty {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        let is_recipient = || self.store.written("Recipient").iter().any(|(of, _)| *of == key);
        if self.recipients_hang.load(SeqCst) && is_recipient() {
            std::future::pending::<()>().await;
        }
        self.store.load(key).await
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        if changes.len() > 1 && self.pairs_fail.load(SeqCst) {
            return Err(StoreError::new("READONLY"));
        }
        self.store.swap(changes).await
    }

    fn is_atomic(&self) -> bool {
        true
    }

    async fn check(&self) -> Result<(), StoreWarning> {
        Ok(())
    }
}

/// T1: the attempt could not be written, so the recipient's budget says nothing of its code.
#[tokio::test(start_paused = true)]
async fn a_code_whose_count_fails_is_not_told_by_the_recipients_budget() {
    for code in [WRONG, RIGHT] {
        let (store, clock) = (PartlyFaulty::new(), ManualClock::new());
        let step_up = store.node(&clock, Policy::new());
        let alice = caller("alice", 1);
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        let before = store.store.records("Recipient");
        store.pairs_fail.store(true, SeqCst);
        let answer = step_up.verify_otp(&alice, "SMS", code).await.map(drop);
        assert_eq!(answer, Err(ChallengeError::Unavailable));
        assert_eq!(store.store.records("Recipient"), before, "{code}");
    }
}

/// T1, T10: while no attempt can be written, this process counts each, so its limit says nothing of their codes.
#[tokio::test(start_paused = true)]
async fn codes_whose_counts_fail_are_not_told_by_the_limit_of_a_day() {
    for right_at in [None, Some(0), Some(57), Some(99)] {
        let (store, clock) = (PartlyFaulty::new(), ManualClock::new());
        let step_up = store.node(&clock, Policy::new());
        let alice = caller("alice", 1);
        step_up.start_otp(&alice, "MAIL", None).await.unwrap();
        store.pairs_fail.store(true, SeqCst);
        for guess in 0..100 {
            let code = if right_at == Some(guess) { RIGHT } else { WRONG };
            let answer = step_up.verify_otp(&alice, "MAIL", code).await.map(drop);
            assert_eq!(answer, Err(ChallengeError::Unavailable), "{right_at:?}, {guess}");
        }
        let answer = step_up.verify_otp(&alice, "MAIL", WRONG).await.map(drop);
        assert!(matches!(answer, Err(ChallengeError::RateLimited(_))), "{right_at:?}: {answer:?}");
    }
}

/// T1, T10: of a hundred guesses at once, at the edge of a lockout, one is counted and the others are refused. The right
/// one among these takes no longer, and leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_right_code_among_refused_guesses_is_not_told() {
    for at in [1, 13, 50, 99] {
        let (store, clock) = (PartlyFaulty::new(), ManualClock::new());
        let (one, other) = (store.node(&clock, Policy::new()), store.node(&clock, Policy::new()));
        let alice = caller("alice", 1);
        one.start_otp(&alice, "SMS", None).await.unwrap();
        for _ in 0..4 {
            assert!(was_wrong(&one.verify_otp(&alice, "SMS", WRONG).await));
        }
        clock.advance(secs(301));
        one.start_otp(&alice, "SMS", None).await.unwrap();
        let before = store.store.records("Recipient");
        let guesses = (0..100).map(|i| {
            let (other, alice) = (other.clone(), alice.clone());
            let code = if i == at { RIGHT.to_owned() } else { format!("{:06}", 200_000 + i) };
            tokio::spawn(async move {
                let began = Instant::now();
                (other.verify_otp(&alice, "SMS", &code).await.map(drop), began.elapsed())
            })
        });
        let mut answers = Vec::new();
        for guess in guesses.collect::<Vec<_>>() {
            answers.push(guess.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|(answer, _)| was_wrong(answer)).count(), 1, "{at}");
        let refused = answers.iter().filter(|(answer, _)| matches!(answer, Err(ChallengeError::RateLimited(_))));
        let times: std::collections::BTreeSet<_> = refused.map(|(_, time)| time.as_millis()).collect();
        assert_eq!(times.len(), 1, "{at}: all refused guesses take the same time");
        assert_eq!(store.store.records("Recipient"), before, "{at}");
    }
}

/// T13: a start that is not written leaves no count at the recipient, so others may still be sent messages there.
#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_not_counted_at_the_recipient() {
    for full in [true, false] {
        let (store, clock) = (PartlyFaulty::new(), ManualClock::new());
        let step_up = store.node(&clock, Policy::new());
        step_up.start_otp(&caller("first", 1), "SMS", None).await.unwrap();
        let before = store.store.records("Recipient");
        let fails = |fails| if full { store.store.set_full(fails) } else { store.pairs_fail.store(fails, SeqCst) };
        fails(true);
        for _ in 0..12 {
            let refused = step_up.start_otp(&caller("alice", 1), "SMS", None).await;
            assert_eq!(refused, Err(ChallengeError::Unavailable));
        }
        fails(false);
        assert_eq!(store.store.records("Recipient"), before, "full: {full}");
        step_up.start_otp(&caller("bob", 1), "SMS", None).await.unwrap();
    }
}

/// A start whose last answer is lost sends nothing, so the code that the user has is valid again.
#[tokio::test]
async fn a_start_that_is_not_confirmed_gives_the_earlier_code_back() {
    for store in [FaultyStore::atomic(), FaultyStore::sequential()] {
        let (clock, codes) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
        let sent = Arc::clone(&codes);
        let builder = StepUp::builder().clock(clock.clone()).otp("SMS", move |message: OtpMessage| {
            sent.lock().unwrap().push(message.code().expose().to_owned());
            std::future::ready(Ok(()))
        });
        let step_up = store.on(builder).build().unwrap();
        let alice = caller("alice", 1);
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        clock.advance(secs(16));
        // After the loads of both records: the swap of the session's.
        store.fail_after(if store.is_atomic() { 2 } else { 3 }, Fails::Unanswered);
        assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Unavailable));
        assert!(!store.fail_no_more());
        let codes = codes.lock().unwrap().clone();
        assert_eq!(codes.len(), 1, "nothing more was sent");
        step_up.verify_otp(&alice, "SMS", &codes[0]).await.unwrap();
    }
}

/// T13: a thousand starts of one user leave the recipient what that user has not been sent.
#[tokio::test(start_paused = true)]
async fn a_storm_of_starts_leaves_the_rest_of_the_recipients_budget() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let (store, clock) = (PartlyFaulty::new(), ManualClock::new());
    let builder = StepUp::builder()
        .otp("SMS", move |_: OtpMessage| {
            counted.fetch_add(1, SeqCst);
            std::future::ready(Ok(()))
        })
        .enrollment(async |_: Caller, _: String| Ok(Recipient::new("+49123")))
        .policy(Policy::new().store_deadline(secs(10)));
    let step_up = store.store.on(builder).store(store.clone()).clock(clock).build().unwrap();
    let starts = (0..1000).map(|session| {
        let step_up = step_up.clone();
        tokio::spawn(async move { step_up.start_otp(&caller("alice", session), "SMS", None).await })
    });
    for start in starts.collect::<Vec<_>>() {
        let _ = start.await.unwrap();
    }
    assert_eq!(sent.load(SeqCst), 3, "the user's budget");
    let of_recipient = &store.store.records("Recipient")[0];
    assert_eq!(of_recipient.as_array().unwrap().len(), 3, "{of_recipient}");
}

/// T24, T33: an attempt whose swap was sent twice is remembered by this process, should the store lose it.
#[tokio::test]
async fn an_attempt_that_was_sent_twice_is_remembered() {
    let (store, clock) = (FaultyStore::atomic(), ManualClock::new());
    let builder = StepUp::builder().sandbox().otp("SMS", discard).clock(clock.clone());
    let step_up = store.on(builder.policy(Policy::new().wrong_codes_a_day(3))).build().unwrap();
    let alice = caller("alice", 1);
    let mut compared = 0;
    for _ in 0..12 {
        clock.advance(secs(301));
        if step_up.start_otp(&alice, "SMS", None).await.is_err() {
            break;
        }
        store.conflict_after(0);
        compared += usize::from(was_wrong(&step_up.verify_otp(&alice, "SMS", WRONG).await));
        store.forget();
    }
    assert_eq!(compared, 3);
}

/// T40: the guess of a recipient delays no operation that needs none.
#[tokio::test(start_paused = true)]
async fn a_recipients_record_that_hangs_delays_no_other_channel() {
    let (store, clock) = (PartlyFaulty::new(), ManualClock::new());
    let step_up = store.node(&clock, Policy::new());
    let alice = caller("alice", 1);
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    clock.advance(secs(20));
    step_up.start_otp(&alice, "MAIL", None).await.unwrap();
    store.recipients_hang.store(true, SeqCst);
    let began = Instant::now();
    step_up.verify_otp(&alice, "MAIL", RIGHT).await.unwrap();
    clock.advance(secs(20));
    step_up.start_otp(&alice, "MAIL", None).await.unwrap();
    step_up.lock("alice").await.unwrap();
    assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Forbidden));
    assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
}
