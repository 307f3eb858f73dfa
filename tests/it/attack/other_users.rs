//! T26: limits cannot be used against a user. Only sessions of the user use up the user's limits, and existing grants
//! stay valid when the user is refused.

use std::sync::{Arc, Mutex};

use tower_step_up::{Caller, ChallengeError, Event, ManualClock, Policy, PushReply, PushReplyError, Recipient, StepUp};

use super::{caller, limited, other, outbox::Outbox, passes, secs, was_wrong};

struct Street {
    step_up: StepUp,
    clock: ManualClock,
    outbox: Outbox,
    /// Users reported for sending to a shared recipient.
    shared: Arc<Mutex<Vec<String>>>,
}

impl Street {
    /// Every user has their own number, except `mallory…`, who have enrolled Alice's.
    fn new(policy: Policy) -> Self {
        let clock = ManualClock::new();
        let outbox = Outbox::new(&clock);
        let number = async |caller: Caller, _: String| {
            let user = caller.subject();
            Ok(Recipient::new(if user.starts_with("mallory") { "+44 alice".into() } else { format!("+44 {user}") }))
        };
        let shared: Arc<Mutex<Vec<String>>> = Arc::default();
        let reported = Arc::clone(&shared);
        let step_up = StepUp::builder()
            .otp("SMS", outbox.otp())
            .push("BIO", outbox.push())
            .enrollment(number)
            .policy(policy)
            .clock(clock.clone())
            .observe(move |event: &Event<'_>| {
                if let Event::RecipientShared { subject, .. } = event {
                    reported.lock().unwrap().push((*subject).to_owned());
                }
            });
        Self { step_up: step_up.build().unwrap(), clock, outbox, shared }
    }

    /// Starts codes until the budget of five minutes is used up; returns their number.
    async fn exhaust(&self, user: &str) -> usize {
        for session in 0..100 {
            let started = self.step_up.start_otp(&caller(user, format!("exhaust {session}")), "SMS", None).await;
            if started.is_err() {
                limited(started);
                return session;
            }
            self.step_up.revoke(&caller(user, format!("exhaust {session}"))).await.unwrap();
        }
        panic!("no budget")
    }

    async fn step_up(&self, alice: &Caller) {
        self.step_up.start_otp(alice, "SMS", None).await.unwrap();
        let code = self.outbox.last().secret;
        self.step_up.verify_otp(alice, "SMS", &code).await.unwrap();
    }

    async fn fail(&self, session: &Caller, times: u8) {
        self.step_up.start_otp(session, "SMS", None).await.unwrap();
        let code = self.outbox.last().secret;
        for by in 1..=times {
            assert!(was_wrong(&self.step_up.verify_otp(session, "SMS", &other(&code, by)).await));
        }
    }
}

/// Users without a session of Alice's cannot use up her limits: three codes, three pushes, five attempts.
#[tokio::test]
async fn other_users_cannot_use_up_a_users_budgets() {
    let street = Street::new(Policy::new().live_challenges(10));
    let step_up = &street.step_up;
    let alice = caller("alice", 1);
    let push = step_up.start_push(&alice, "BIO", None).await.unwrap();
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    let code = street.outbox.last().secret;

    // With the id of her session, her code and the id of her push, but as another user.
    for user in ["bob", "Alice", "alice ", "alice2", ""] {
        let stranger = caller(user, 1);
        for by in 0..9 {
            let verified = step_up.verify_otp(&stranger, "SMS", &other(&code, by)).await;
            assert_eq!(verified.map(drop), Err(ChallengeError::StateInvalid), "{user}");
        }
        for answer in [PushReply::Decline, PushReply::Approve, PushReply::Number("47".into())] {
            assert_eq!(step_up.answer_push(user, &push.id, answer).await, Err(PushReplyError::Unknown), "{user}");
        }
        assert_eq!(step_up.push_status(&stranger, "BIO", &push.id).await, Ok(None), "{user}");
        assert_eq!(street.exhaust(user).await, 3, "{user}");
        for session in 0..3 {
            let push = step_up.start_push(&caller(user, session), "BIO", None).await.unwrap();
            step_up.answer_push(user, &push.id, PushReply::Decline).await.unwrap();
        }
        assert_eq!(limited(step_up.start_push(&stranger, "BIO", None).await.map(drop)).0, 3, "{user}");
        step_up.transfer(&alice, &stranger).await.unwrap_err();
        step_up.revoke(&stranger).await.unwrap();
        step_up.revoke_all(user).await.unwrap();
        step_up.lock(user).await.unwrap();
        assert!(!passes(step_up, &stranger).await, "{user}");
    }

    for by in 1..=4 {
        assert!(was_wrong(&step_up.verify_otp(&alice, "SMS", &other(&code, by)).await));
    }
    step_up.verify_otp(&alice, "SMS", &code).await.unwrap();
    step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
    assert_eq!(street.exhaust("alice").await, 3);
    for session in 10..13 {
        step_up.start_push(&caller("alice", session), "BIO", None).await.unwrap();
    }
    assert_eq!(limited(step_up.start_push(&caller("alice", 13), "BIO", None).await.map(drop)).0, 3);
}

/// Two other users who have enrolled Alice's number use up their own budgets, are reported, and do not block her.
#[tokio::test]
async fn another_user_cannot_block_a_number() {
    let street = Street::new(Policy::new().live_challenges(10));
    assert_eq!(street.exhaust("mallory 1").await, 3);
    assert!(street.shared.lock().unwrap().is_empty(), "only one user so far");
    assert_eq!(street.exhaust("mallory 2").await, 3);
    assert_eq!(*street.shared.lock().unwrap(), ["mallory 2"; 3], "several users reach one user's budget");
    assert_eq!(street.exhaust("alice").await, 3);
    assert_eq!(street.shared.lock().unwrap().len(), 6);
    // The tenth in five minutes is refused for every user; it uses up no other budget.
    let mallory = caller("mallory 3", 1);
    assert_eq!(limited(street.step_up.start_otp(&mallory, "SMS", None).await), (9, Some(300), 300));
    assert_eq!(street.exhaust("bob").await, 3);
    street.clock.advance(secs(300));
    assert_eq!(street.exhaust("mallory 3").await, 3);
}

/// Why a user is refused.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Wait,
    Disabled,
    AllDay,
    Application,
    Codes,
    Pushes,
    Denials,
    Live,
    Process,
    Prefix,
}

#[tokio::test]
async fn existing_grants_stay_valid() {
    use Trouble::{AllDay, Application, Codes, Denials, Disabled, Live, Prefix, Process, Pushes, Wait};
    for trouble in [Wait, Disabled, AllDay, Application, Codes, Pushes, Denials, Live, Process, Prefix] {
        let policy = Policy::new();
        let street = Street::new(match trouble {
            Disabled => policy.disable_after(5),
            AllDay => policy.wrong_codes_a_day(5),
            Process => policy.sends_in_process(2, secs(600)),
            Prefix => policy.sends_per_prefix(4, 2, secs(600)),
            Live => policy.live_challenges(1),
            _ => policy,
        });
        let step_up = &street.step_up;
        let [owner, thief, third] = ["owner", "thief", "third"].map(|session| caller("alice", session));
        street.step_up(&owner).await;
        match trouble {
            Wait | Disabled | AllDay => street.fail(&thief, 5).await,
            Application => step_up.lock("alice").await.unwrap(),
            Codes => assert_eq!(street.exhaust("alice").await, 3),
            Pushes | Denials => {
                for _ in 0..3 {
                    let push = step_up.start_push(&thief, "BIO", None).await.unwrap();
                    match trouble {
                        Denials => step_up.answer_push("alice", &push.id, PushReply::Decline).await.unwrap(),
                        _ => step_up.revoke(&thief).await.unwrap(),
                    }
                }
            }
            Live | Process | Prefix => step_up.start_otp(&thief, "SMS", None).await.unwrap(),
        }
        let refused = match trouble {
            Pushes | Denials => step_up.start_push(&third, "BIO", None).await.map(drop),
            _ => step_up.start_otp(&third, "SMS", None).await,
        };
        let expected = matches!(refused, Err(ChallengeError::RateLimited(_) | ChallengeError::Forbidden));
        assert!(expected, "{trouble:?}: {refused:?}");
        for wait in [0, 300, 299] {
            street.clock.advance(secs(wait));
            assert!(passes(step_up, &owner).await, "{trouble:?}, {wait}");
            assert!(!passes(step_up, &thief).await, "{trouble:?}, {wait}");
        }
        street.clock.advance(secs(1));
        assert!(!passes(step_up, &owner).await, "{trouble:?}: it expires");
    }
}

/// Other users who have enrolled a number use up its budget, but not that of a user who has verified with it.
#[tokio::test]
async fn a_user_who_has_verified_with_a_number_keeps_their_own_budget() {
    let street = Street::new(Policy::new().live_challenges(10));
    let alice = caller("alice", 1);
    street.step_up(&alice).await;
    street.clock.advance(secs(24 * 3600));
    let mut messages = 0;
    let blocked = |refused: Result<(), ChallengeError>| limited(refused).0;
    for mallory in 0..3 {
        let user = format!("mallory {mallory}");
        messages += street.exhaust(&user).await;
    }
    assert_eq!(messages, 9);
    assert_eq!(blocked(street.step_up.start_otp(&caller("mallory 9", 1), "SMS", None).await), 9);
    // Her own budget is still three in five minutes.
    assert_eq!(street.exhaust("alice").await, 3);
    street.clock.advance(secs(29 * 24 * 3600 - 1));
    for mallory in 0..3 {
        street.exhaust(&format!("mallory {mallory}")).await;
    }
    street.step_up.start_otp(&caller("alice", 4), "SMS", None).await.unwrap();
    // Thirty days after her verification it no longer counts.
    street.clock.advance(secs(1));
    assert_eq!(blocked(street.step_up.start_otp(&caller("alice", 5), "SMS", None).await), 9);
}
