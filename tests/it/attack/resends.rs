//! A code is resent and its sender reports that nothing was sent: the earlier code stays valid, and a failing sender
//! gains neither attempts nor calls.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;
use tower_step_up::{
    Caller, ChallengeError, DeliveryError, ManualClock, OtpMessage, Policy, PushMessage, PushReply, Recipient, StepUp,
};

use super::{caller, limited, other, passes, secs, was_wrong};

/// The result of the next message.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Arrives,
    NotSent,
    /// Not sent; the sender waits for a signal before it reports that.
    NotSentLater,
}

struct Bank {
    step_up: StepUp,
    clock: ManualClock,
    next: Arc<Mutex<Next>>,
    later: Arc<Notify>,
    /// Codes given to a sender.
    codes: Arc<Mutex<Vec<String>>>,
    phone: Arc<Mutex<&'static str>>,
    /// Number of calls of the enrollment.
    asked: Arc<AtomicUsize>,
}

impl Bank {
    fn new(policy: Policy) -> Self {
        let clock = ManualClock::new();
        let (next, later) = (Arc::new(Mutex::new(Next::Arrives)), Arc::new(Notify::new()));
        let (codes, phone) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Mutex::new("+1 555 0111")));
        let asked = Arc::new(AtomicUsize::new(0));
        let send = {
            let (next, later) = (next.clone(), later.clone());
            move || {
                let (next, later) = (*next.lock().unwrap(), later.clone());
                async move {
                    if next == Next::NotSentLater {
                        later.notified().await;
                    }
                    if next == Next::Arrives { Ok(()) } else { Err(DeliveryError::Failed) }
                }
            }
        };
        let otp = || {
            let (codes, send) = (codes.clone(), send.clone());
            move |message: OtpMessage| {
                codes.lock().unwrap().push(message.code().expose().to_owned());
                send()
            }
        };
        let enrollment = {
            let (phone, asked) = (phone.clone(), asked.clone());
            move |_: Caller, _: String| {
                asked.fetch_add(1, SeqCst);
                std::future::ready(Ok(Recipient::new(*phone.lock().unwrap())))
            }
        };
        let step_up = StepUp::builder()
            .otp("SMS", otp())
            .otp("EMAIL", otp())
            .push("BIO", move |_: PushMessage| send())
            .enrollment(enrollment)
            .policy(policy)
            .clock(clock.clone());
        Self { step_up: step_up.build().unwrap(), clock, next, later, codes, phone, asked }
    }

    async fn start(&self, caller: &Caller, channel: &str, next: Next) -> Result<(), ChallengeError> {
        *self.next.lock().unwrap() = next;
        self.step_up.start_otp(caller, channel, None).await
    }

    /// Starts a code that arrives; returns it.
    async fn code(&self, caller: &Caller) -> String {
        self.start(caller, "SMS", Next::Arrives).await.unwrap();
        self.codes.lock().unwrap().last().unwrap().clone()
    }

    async fn verify(&self, caller: &Caller, code: &str) -> Result<(), ChallengeError> {
        self.step_up.verify_otp(caller, "SMS", code).await.map(drop)
    }
}

const NOT_SENT: Result<(), ChallengeError> = Err(ChallengeError::Unavailable);
const STATE_INVALID: Result<(), ChallengeError> = Err(ChallengeError::StateInvalid);

#[tokio::test]
async fn the_earlier_code_stays_valid_and_keeps_its_wrong_attempts() {
    for channel in ["SMS", "EMAIL"] {
        let (bank, alice) = (Bank::new(Policy::new()), caller("alice", 1));
        let first = bank.code(&alice).await;
        bank.clock.advance(secs(20));
        for _ in 0..2 {
            // Immediately: an unsent message does not start the resend interval.
            assert_eq!(bank.start(&alice, channel, Next::NotSent).await, NOT_SENT);
            assert!(was_wrong(&bank.verify(&alice, &other(&first, 1)).await), "{channel}");
        }
        bank.clock.advance(secs(279));
        assert_eq!(bank.verify(&alice, &first).await, Ok(()), "{channel}");

        let (bank, alice) = (Bank::new(Policy::new()), caller("alice", 1));
        let first = bank.code(&alice).await;
        for _ in 0..3 {
            bank.clock.advance(secs(20));
            assert_eq!(bank.start(&alice, channel, Next::NotSent).await, NOT_SENT);
            assert!(was_wrong(&bank.verify(&alice, &other(&first, 1)).await), "{channel}");
        }
        assert_eq!(bank.verify(&alice, &other(&first, 1)).await, Err(ChallengeError::OneTryRemaining), "{channel}");
        bank.clock.advance(secs(240));
        assert_eq!(
            bank.verify(&alice, &first).await,
            Err(ChallengeError::CodeExpired),
            "{channel}: at its own deadline"
        );
    }
}

/// While the message is being sent, only the new code is compared, and its attempts count for both.
#[tokio::test]
async fn operations_while_a_message_is_being_sent_count() {
    type Meanwhile = (&'static str, Result<(), ChallengeError>);
    let table: [Meanwhile; 8] = [
        ("nothing", Ok(())),
        ("guessed", Ok(())),
        ("used up", STATE_INVALID),
        ("verified with the new code", Err(ChallengeError::AlreadyVerified)),
        ("revoked", STATE_INVALID),
        ("all revoked", STATE_INVALID),
        ("locked, and unlocked later", STATE_INVALID),
        ("under another id", STATE_INVALID),
    ];
    for (meanwhile, expected) in table {
        let (bank, alice) = (Bank::new(Policy::new()), caller("alice", 1));
        let bank = Arc::new(bank);
        let first = bank.code(&alice).await;
        bank.clock.advance(secs(20));
        let resend = tokio::spawn({
            let (bank, alice) = (bank.clone(), alice.clone());
            async move { bank.start(&alice, "SMS", Next::NotSentLater).await }
        });
        while bank.codes.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        let second = bank.codes.lock().unwrap()[1].clone();
        let wrong = (1..10).map(|by| other(&first, by)).find(|code| *code != second).unwrap();
        let step_up = &bank.step_up;
        match meanwhile {
            "guessed" if first != second => assert!(was_wrong(&bank.verify(&alice, &first).await)),
            "nothing" | "guessed" => {}
            "used up" => {
                for _ in 0..5 {
                    assert!(was_wrong(&bank.verify(&alice, &wrong).await));
                }
            }
            "verified with the new code" => bank.verify(&alice, &second).await.unwrap(),
            "revoked" => step_up.revoke(&alice).await.unwrap(),
            "all revoked" => step_up.revoke_all("alice").await.unwrap(),
            "locked, and unlocked later" => step_up.lock("alice").await.unwrap(),
            "under another id" => step_up.transfer(&alice, &caller("alice", 2)).await.unwrap(),
            other => panic!("{other}"),
        }
        bank.later.notify_one();
        assert_eq!(resend.await.unwrap(), NOT_SENT, "{meanwhile}");
        step_up.unlock("alice").await.unwrap();
        assert_eq!(bank.verify(&alice, &first).await, expected, "{meanwhile}");
        let moved = bank.verify(&caller("alice", 2), &first).await;
        assert_eq!(moved, STATE_INVALID, "{meanwhile}");
    }
}

/// A failing provider is called five times in ten minutes for one user, over all channels and sessions.
#[tokio::test]
async fn unsent_starts_have_their_own_budget() {
    let bank = Bank::new(Policy::new().live_challenges(10));
    *bank.next.lock().unwrap() = Next::NotSent;
    for i in 0..5 {
        let failed = match i % 3 {
            0 => bank.step_up.start_otp(&caller("alice", i), "SMS", None).await,
            1 => bank.step_up.start_otp(&caller("alice", i), "EMAIL", None).await,
            _ => bank.step_up.start_push(&caller("alice", i), "BIO", None).await.map(drop),
        };
        assert_eq!(failed, NOT_SENT, "{i}");
        bank.clock.advance(secs(1));
    }
    *bank.next.lock().unwrap() = Next::Arrives;
    assert_eq!(limited(bank.step_up.start_otp(&caller("alice", 9), "SMS", None).await), (5, Some(600), 595));
    assert_eq!(limited(bank.step_up.start_push(&caller("alice", 9), "BIO", None).await), (5, Some(600), 595));
    bank.step_up.start_otp(&caller("bob", 1), "SMS", None).await.unwrap();
    bank.clock.advance(secs(594));
    assert_eq!(limited(bank.step_up.start_otp(&caller("alice", 9), "SMS", None).await).2, 1);
    bank.clock.advance(secs(1));
    bank.step_up.start_otp(&caller("alice", 9), "SMS", None).await.unwrap();
    // Four failed within the last ten minutes, and this one may still fail.
    assert_eq!(limited(bank.step_up.start_otp(&caller("alice", 8), "SMS", None).await), (5, Some(600), 1));
}

/// T38: after the user's phone changes, a code sent to the old one is refused and costs no attempt.
#[tokio::test]
async fn a_code_verifies_only_while_its_recipient_is_the_users() {
    let (bank, alice) = (Bank::new(Policy::new()), caller("alice", 1));
    let code = bank.code(&alice).await;
    *bank.phone.lock().unwrap() = "+1 555 0222";
    for guess in [&code, &other(&code, 1)] {
        assert_eq!(bank.verify(&alice, guess).await, STATE_INVALID);
    }
    *bank.phone.lock().unwrap() = "+1 555 0111";
    for by in 1..=4 {
        assert!(was_wrong(&bank.verify(&alice, &other(&code, by)).await));
    }
    assert_eq!(bank.verify(&alice, &code).await, Ok(()));
}

/// T38: after the phone changes, only the session in which it was changed stays stepped up.
#[tokio::test]
async fn changed_factors_end_all_elevations_but_the_callers() {
    let bank = Bank::new(Policy::new().live_challenges(10));
    let (laptop, tablet) = (caller("alice", "laptop"), caller("alice", "tablet"));
    for session in [&laptop, &tablet] {
        let code = bank.code(session).await;
        bank.verify(session, &code).await.unwrap();
    }
    bank.clock.advance(secs(20));
    let pending = bank.code(&laptop).await;
    let push = bank.step_up.start_push(&laptop, "BIO", None).await.unwrap();
    bank.step_up.factors_changed(&laptop).await.unwrap();
    assert!(passes(&bank.step_up, &laptop).await && !passes(&bank.step_up, &tablet).await);
    assert_eq!(bank.verify(&laptop, &pending).await, STATE_INVALID);
    assert!(bank.step_up.answer_push("alice", &push.id, PushReply::Approve).await.is_err());
    // It is an ordinary grant: it can be transferred, and it ends.
    let moved = caller("alice", "moved");
    bank.step_up.transfer(&laptop, &moved).await.unwrap();
    assert!(passes(&bank.step_up, &moved).await);
    bank.step_up.revoke_all("alice").await.unwrap();
    assert!(!passes(&bank.step_up, &moved).await);
    // A session without a grant gains none, and neither does an unknown user.
    bank.step_up.factors_changed(&tablet).await.unwrap();
    bank.step_up.factors_changed(&caller("nobody", 1)).await.unwrap();
    assert!(!passes(&bank.step_up, &tablet).await && !passes(&bank.step_up, &caller("nobody", 1)).await);
}

/// T40: the application is not called for a locked user.
#[tokio::test]
async fn the_application_is_not_called_for_what_the_records_refuse() {
    let (bank, alice) = (Bank::new(Policy::new()), caller("alice", 1));
    let asked = |more: usize, what: &str| assert_eq!(bank.asked.swap(0, SeqCst), more, "{what}");
    for _ in 0..100 {
        assert_eq!(bank.verify(&alice, "123456").await, STATE_INVALID);
    }
    asked(0, "no pending code");
    let push = bank.step_up.start_push(&alice, "BIO", None).await.unwrap();
    asked(1, "a push");
    for _ in 0..100 {
        assert_eq!(bank.step_up.start_push(&alice, "BIO", None).await.map(drop), STATE_INVALID);
    }
    asked(0, "one pending code");
    let code = bank.code(&alice).await;
    for by in 1..=5 {
        assert!(was_wrong(&bank.verify(&alice, &other(&code, by)).await));
    }
    asked(6, "a code, and five attempts");
    let again = caller("alice", 2);
    for _ in 0..100 {
        assert_eq!(limited(bank.step_up.start_otp(&again, "SMS", None).await).0, 5);
        assert_eq!(limited(bank.step_up.start_otp(&again, "SMS", None).await).0, 5);
    }
    asked(0, "locked out");
    bank.clock.advance(secs(30));
    bank.code(&again).await;
    bank.step_up.lock("alice").await.unwrap();
    asked(1, "another code");
    for _ in 0..100 {
        assert_eq!(bank.verify(&again, &code).await, Err(ChallengeError::Forbidden));
        assert_eq!(bank.step_up.start_otp(&again, "SMS", None).await, Err(ChallengeError::Forbidden));
        assert!(bank.step_up.start_push(&again, "BIO", None).await.is_err());
    }
    asked(0, "locked");
    bank.step_up.answer_push("alice", &push.id, PushReply::Decline).await.unwrap();
}
