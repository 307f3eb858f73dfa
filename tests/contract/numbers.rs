//! Number matching: the app shows a number, and the user types it on the phone.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tower_step_up::{Event, Policy, PushMessage, PushReply, PushReplyError, StepUp};

use crate::app::{App, Session, clock};
use crate::vault_app;

const MISSING: &str = "403 STEP_UP_REQUIRED missing";

struct Phone {
    app: App,
    step_up: StepUp,
    /// `Debug` output of messages and events.
    seen: Arc<Mutex<Vec<String>>>,
}

fn number(text: &str) -> PushReply {
    PushReply::Number(text.to_owned())
}

impl Phone {
    fn new(policy: Policy) -> Self {
        let (clock, seen) = (clock(), Arc::<Mutex<Vec<String>>>::default());
        let (messages, events) = (seen.clone(), seen.clone());
        let notify = move |message: PushMessage| {
            // Without the id, which the phone answers with.
            let printed = format!("{message:?} {:?}", message.scope()).replace(message.id(), "");
            messages.lock().unwrap().push(printed);
            std::future::ready(Ok(()))
        };
        let builder = StepUp::builder().otp("SMS", vault_app::send).push("BIOMETRIC", notify).policy(policy);
        let builder = builder.observe(move |event: &Event<'_>| events.lock().unwrap().push(format!("{event:?}")));
        let step_up = builder.clock(clock.clone()).build().expect("a valid configuration");
        Self { app: vault_app::app(&step_up, clock, false), step_up, seen }
    }

    /// Starts a push; returns its id and its number.
    async fn push(&self, session: &Session) -> (String, String) {
        let answer = session.challenge("POST", "/push/BIOMETRIC").send().await;
        assert_eq!(answer.summary(), "200");
        let body = answer.json();
        let [id, number] = ["id", "number"].map(|field| body[field].as_str().expect("text").to_owned());
        assert_eq!(body, json!({"id": id, "number": number}));
        (id, number)
    }

    async fn answer(&self, id: &str, answer: PushReply) -> Result<(), PushReplyError> {
        self.step_up.answer_push("alice", id, answer).await
    }
}

/// Other numbers of the same length.
fn others(number: &str) -> [String; 3] {
    [1, 2, 3].map(|by| number.bytes().map(|digit| char::from(b'0' + (digit - b'0' + by) % 10)).collect())
}

/// The number is in the response to the start, with leading zeros, and nowhere else.
#[tokio::test]
async fn the_number_is_only_in_the_response_to_the_start() {
    for digits in [2, 3] {
        let mut first_is_zero = 0;
        for round in 0..100 {
            let phone = Phone::new(Policy::new().number_matching(digits));
            let alice = phone.app.session("alice", "one");
            let (id, right) = phone.push(&alice).await;
            assert!(right.len() == usize::from(digits) && right.bytes().all(|byte| byte.is_ascii_digit()), "{right}");
            first_is_zero += usize::from(right.starts_with('0'));
            assert_eq!(alice.poll(&id).await.json(), json!({"id": id, "status": "PENDING", "expiresIn": 300}));
            let status = alice.status().await.json();
            let keys =
                |value: &serde_json::Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&status), ["channels", "grants", "pending", "status", "to"], "{status}");
            assert_eq!(keys(&status["pending"]["push"]), ["channel", "expiresIn", "id"], "{status}");
            assert_eq!(
                phone.answer(&id, number(&others(&right)[0])).await,
                Err(PushReplyError::WrongNumber { left: 2 })
            );
            assert_eq!(phone.answer(&id, number(&right)).await, Ok(()), "{round}");
            let poll = alice.poll(&id).await.json();
            assert!(poll.as_object().expect("an object").keys().eq(["expiresIn", "id", "status"]), "{poll}");
            let seen = phone.seen.lock().unwrap();
            assert!(seen.len() >= 5, "{seen:?}");
            assert!(seen.iter().all(|text| !text.contains(&right) && !text.contains(&id)), "{right}: {seen:?}");
        }
        assert!((1..50).contains(&first_is_zero), "{first_is_zero} of 100");
    }
}

/// By default there is no number.
#[tokio::test]
async fn off_by_default() {
    let phone = Phone::new(Policy::new());
    let alice = phone.app.session("alice", "1");
    let id = alice.challenge("POST", "/push/BIOMETRIC").send().await.json();
    assert!(id.as_object().expect("an object").keys().eq(["id"]), "{id}");
}

/// Approving without the number is not enough, and not counted as a wrong number.
#[tokio::test]
async fn approving_without_the_number() {
    let phone = Phone::new(Policy::new().number_matching(2));
    let alice = phone.app.session("alice", "1");
    let (id, right) = phone.push(&alice).await;
    for _ in 0..10 {
        assert_eq!(phone.answer(&id, PushReply::Approve).await, Err(PushReplyError::NumberRequired));
        assert_eq!(alice.poll(&id).await.summary(), "200 PENDING");
        assert_eq!(alice.vault().await.summary(), MISSING);
    }
    assert_eq!(phone.answer(&id, number(&right)).await, Ok(()));
    assert_eq!(alice.poll(&id).await.summary(), "200 VERIFIED");
    assert_eq!(alice.vault().await.summary(), "200");
}

/// The third wrong number declines the push, and the right one fails afterwards. It counts as a denial.
#[tokio::test]
async fn three_wrong_numbers() {
    let phone = Phone::new(Policy::new().number_matching(2));
    let alice = phone.app.session("alice", "1");
    for _ in 0..3 {
        let (id, right) = phone.push(&alice).await;
        for (wrong, left) in others(&right).iter().zip([2, 1, 0]) {
            assert_eq!(alice.poll(&id).await.summary(), "200 PENDING");
            assert_eq!(phone.answer(&id, number(wrong)).await, Err(PushReplyError::WrongNumber { left }));
        }
        assert_eq!(alice.poll(&id).await.summary(), "200 DECLINED");
        for late in [number(&right), PushReply::Approve, PushReply::Decline, number("")] {
            assert_eq!(phone.answer(&id, late).await, Err(PushReplyError::Closed));
        }
        assert_eq!(alice.vault().await.summary(), MISSING);
    }
    assert_eq!(alice.challenge("POST", "/push/BIOMETRIC").send().await.summary(), "429 3 1800");
}

/// T7: the number is compared exactly.
#[tokio::test]
async fn spellings() {
    type Spell = fn(&str) -> String;
    let table: [(&str, Spell); 8] = [
        ("empty", |_| String::new()),
        ("a leading blank", |right| format!(" {right}")),
        ("a trailing blank", |right| format!("{right} ")),
        ("a sign", |right| format!("+{right}")),
        ("a leading zero", |right| format!("0{right}")),
        ("cut", |right| right[1..].to_owned()),
        ("twice", |right| format!("{right}{right}")),
        ("full width", |right| right.chars().map(|c| char::from_u32(0xFEE0 + u32::from(c)).expect("one")).collect()),
    ];
    for (name, spell) in table {
        let phone = Phone::new(Policy::new().number_matching(2));
        let alice = phone.app.session("alice", "1");
        let (id, right) = phone.push(&alice).await;
        let answer = phone.answer(&id, number(&spell(&right))).await;
        assert_eq!(answer, Err(PushReplyError::WrongNumber { left: 2 }), "{name}");
        assert_eq!(alice.vault().await.summary(), MISSING, "{name}");
    }
}

/// T14: the right number, but for another push, by another user, too late, twice, or after the session ended.
#[tokio::test]
async fn late_duplicate_and_foreign() {
    let table: [(&str, Result<(), PushReplyError>); 9] = [
        ("in time", Ok(())),
        ("one second before the end", Ok(())),
        ("late", Err(PushReplyError::Closed)),
        ("late, after a wrong one in time", Err(PushReplyError::Closed)),
        ("twice", Err(PushReplyError::Closed)),
        ("foreign", Err(PushReplyError::Unknown)),
        ("dropped", Err(PushReplyError::Closed)),
        ("revoked", Err(PushReplyError::Unknown)),
        ("locked", Err(PushReplyError::Closed)),
    ];
    for (name, expected) in table {
        let phone = Phone::new(Policy::new().number_matching(3));
        let alice = phone.app.session("alice", "1");
        let (id, right) = phone.push(&alice).await;
        let mut user = "alice";
        match name {
            "one second before the end" => phone.app.wait(299),
            "late" => phone.app.wait(300),
            "late, after a wrong one in time" => {
                phone.app.wait(299);
                let wrong = phone.answer(&id, number(&others(&right)[0])).await;
                assert_eq!(wrong, Err(PushReplyError::WrongNumber { left: 2 }));
                phone.app.wait(1);
            }
            "twice" => assert_eq!(phone.answer(&id, number(&right)).await, Ok(())),
            "foreign" => user = "mallory",
            "dropped" => assert_eq!(alice.drop_elevation().await.summary(), "204"),
            "revoked" => phone.step_up.revoke_all("alice").await.expect("revoked"),
            "locked" => phone.step_up.lock("alice").await.expect("locked"),
            _ => {}
        }
        let answer = phone.step_up.answer_push(user, &id, number(&right)).await;
        let too_late = matches!(answer, Err(PushReplyError::Closed | PushReplyError::Unknown));
        assert!(answer == expected || name == "revoked" && too_late, "{name}: {answer:?}");
        let open = expected.is_ok() || name == "twice";
        assert_eq!(alice.vault().await.summary(), if open { "200" } else { MISSING }, "{name}");
    }
    // The number of another push.
    let phone = Phone::new(Policy::new().number_matching(3));
    let [first, second] = ["1", "2"].map(|session| phone.app.session("alice", session));
    let ((first_id, first_number), (_, second_number)) = (phone.push(&first).await, phone.push(&second).await);
    if first_number != second_number {
        let crossed = phone.answer(&first_id, number(&second_number)).await;
        assert_eq!(crossed, Err(PushReplyError::WrongNumber { left: 2 }));
    }
    for session in [&first, &second] {
        assert_eq!(session.vault().await.summary(), MISSING);
    }
}

/// The presets require two digits, and PSD2 disables a channel at the fifth failure in a row.
#[tokio::test]
async fn presets() {
    for (name, policy, blocked) in
        [("nist", Policy::nist(), "429 5 30"), ("psd2", Policy::psd2(), "403 INSUFFICIENT_PERMISSIONS")]
    {
        let phone = Phone::new(policy);
        let alice = phone.app.session("alice", "1");
        let (id, right) = phone.push(&alice).await;
        assert_eq!(right.len(), 2, "{name}");
        assert_eq!(phone.answer(&id, PushReply::Approve).await, Err(PushReplyError::NumberRequired), "{name}");
        assert_eq!(phone.answer(&id, number(&right)).await, Ok(()), "{name}");
        // Under PSD2 grants must be bound, and this one is not.
        let opens = if name == "nist" { "200" } else { "403 STEP_UP_REQUIRED mismatch" };
        assert_eq!(alice.vault().await.summary(), opens, "{name}");
        assert_eq!(alice.start().await.summary(), "204");
        // One code in a million is guessed by chance.
        for wrong in ["000000", "111111", "222222", "333333", "444444"] {
            assert_eq!(alice.verify(wrong).await.status, 409, "{name}");
        }
        let second = phone.app.session("alice", "2");
        assert_eq!(second.start().await.summary(), blocked, "{name}");
        phone.app.wait(365 * 86_400);
        assert_eq!(second.start().await.summary(), if name == "nist" { "204" } else { blocked }, "{name}");
        phone.step_up.unlock("alice").await.expect("unlocked");
        phone.app.wait(15);
        assert_eq!(second.start().await.summary(), "204", "{name}");
    }
    let email = || StepUp::builder().otp("EMAIL", vault_app::send);
    assert!(email().policy(Policy::nist()).build().is_err());
    assert!(email().policy(Policy::psd2()).build().is_ok());
}
