//! T9: while a lock holds, nothing is compared. Right and wrong codes are told the same, byte for byte, for the same
//! work in the store, in which nothing changes; and when it is over the right code still verifies.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use testkit::Elsewhere;
use tower::ServiceExt;
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, PushReply, Secret, StepUp, discard};

use super::{caller, passes, secs, was_wrong};

const RIGHT: &str = "123456";
const WRONG: &str = "000000";

struct Locked {
    store: Elsewhere,
    clock: ManualClock,
    step_up: StepUp,
}

/// All that a client sees, but for what is random in every answer.
type Seen = (StatusCode, Vec<(String, String)>, Bytes);

impl Locked {
    fn new(policy: Policy) -> Self {
        let (store, clock) = (Elsewhere::default(), ManualClock::new());
        let step_up = StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).push("BIO", discard);
        let step_up = step_up.policy(policy).clock(clock.clone()).store(store.clone());
        let step_up =
            step_up.record_key(Secret::new([1; 32]).unwrap()).secret(Secret::new([7; 32]).unwrap()).build().unwrap();
        Self { store, clock, step_up }
    }

    /// Wrong codes in another session than the one that is looked at.
    async fn fail(&self, times: usize) {
        let thief = caller("alice", "thief");
        self.step_up.start_otp(&thief, "SMS", None).await.unwrap();
        for _ in 0..times {
            assert!(was_wrong(&self.step_up.verify_otp(&thief, "SMS", WRONG).await));
        }
    }

    /// The answer to a code, and how many operations of the store it took.
    async fn verify(&self, caller: &Caller, code: &str) -> (Seen, usize) {
        let body = Full::new(Bytes::from(format!(r#"{{"verificationCode":"{code}"}}"#)));
        let request = Request::post("/otp/SMS/verify").header("content-type", "application/json");
        let request = request.extension(caller.clone()).body(body).unwrap();
        let (operations, swaps) = (self.store.operations(), self.store.swaps());
        let response = self.step_up.challenges().oneshot(request).await.unwrap();
        assert_eq!(self.store.swaps(), swaps, "nothing changes");
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter().filter(|(name, _)| *name != "request-ref");
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let body = body.collect().await.unwrap().to_bytes();
        ((parts.status, headers, body), self.store.operations() - operations)
    }
}

/// How a user comes to be locked, what they are told then, and how it ends.
#[derive(Clone, Copy, Debug)]
enum Lock {
    Wait,
    Disabled,
    AllDay,
    Application,
}

#[tokio::test]
async fn a_lock_answers_right_and_wrong_alike() {
    for lock in [Lock::Wait, Lock::Disabled, Lock::AllDay, Lock::Application] {
        let policy = match lock {
            Lock::Disabled => Policy::new().disable_after(4),
            Lock::AllDay => Policy::new().wrong_codes_a_day(3),
            Lock::Wait | Lock::Application => Policy::new(),
        };
        let status = match lock {
            Lock::Wait | Lock::AllDay => StatusCode::TOO_MANY_REQUESTS,
            Lock::Disabled | Lock::Application => StatusCode::FORBIDDEN,
        };
        let locked = Locked::new(policy);
        let alice = caller("alice", 1);
        locked.step_up.start_otp(&alice, "SMS", None).await.unwrap();
        match lock {
            Lock::Wait => locked.fail(5).await,
            Lock::Disabled => locked.fail(4).await,
            Lock::AllDay => locked.fail(3).await,
            Lock::Application => locked.step_up.lock("alice").await.unwrap(),
        }
        let first = locked.verify(&alice, WRONG).await;
        assert_eq!(first.0.0, status, "{lock:?}");
        for code in [RIGHT, WRONG, "999999", RIGHT, "123457", RIGHT] {
            assert_eq!(locked.verify(&alice, code).await, first, "{lock:?}: {code}");
        }
        assert!(!passes(&locked.step_up, &alice).await, "{lock:?}");

        match lock {
            Lock::Wait => locked.clock.advance(secs(30)),
            _ => locked.step_up.unlock("alice").await.unwrap(),
        }
        locked.step_up.verify_otp(&alice, "SMS", RIGHT).await.unwrap_or_else(|error| panic!("{lock:?}: {error}"));
    }
}

/// What the locks refuse beside codes: a start on the channel, and an approval where the application locked.
#[tokio::test]
async fn a_lock_refuses_starts_and_approvals() {
    let locked = Locked::new(Policy::new().disable_after(4));
    let (step_up, alice) = (&locked.step_up, caller("alice", 1));
    let push = step_up.start_push(&alice, "BIO", None).await.unwrap();
    locked.fail(4).await;
    assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Forbidden));
    // A failure belongs to its channel, and a push needs no code.
    step_up.start_otp(&alice, "EMAIL", None).await.unwrap();
    step_up.verify_otp(&alice, "EMAIL", RIGHT).await.unwrap();

    step_up.lock("alice").await.unwrap();
    let (operations, swaps) = (locked.store.operations(), locked.store.swaps());
    for channel in ["SMS", "EMAIL"] {
        assert_eq!(step_up.start_otp(&alice, channel, None).await, Err(ChallengeError::Forbidden), "{channel}");
    }
    assert!(step_up.start_push(&caller("alice", 2), "BIO", None).await.is_err());
    assert!(step_up.answer_push("alice", &push.id, PushReply::Approve).await.is_err());
    assert!(locked.store.operations() > operations);
    assert_eq!(locked.store.swaps(), swaps);
    assert_eq!(grants(step_up, &alice).await, ["EMAIL"]);

    step_up.unlock("alice").await.unwrap();
    step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
    assert_eq!(grants(step_up, &alice).await, ["EMAIL", "BIO"]);
}

async fn grants(step_up: &StepUp, caller: &Caller) -> Vec<String> {
    let status = step_up.status(caller).await.unwrap();
    status.grants.iter().map(|grant| grant.channel().to_owned()).collect()
}

/// Nothing of an attempt that a lock refused is counted: the wait is as long as it was.
#[tokio::test]
async fn a_lock_is_not_prolonged() {
    let locked = Locked::new(Policy::new());
    let alice = caller("alice", 1);
    locked.step_up.start_otp(&alice, "SMS", None).await.unwrap();
    locked.fail(5).await;
    for left in (1..=30).rev() {
        for code in [WRONG, RIGHT] {
            let ((_, headers, _), _) = locked.verify(&alice, code).await;
            assert!(headers.contains(&("retry-after".to_owned(), left.to_string())), "{left}: {headers:?}");
        }
        locked.clock.advance(secs(1));
    }
    for told in [ChallengeError::CodeInvalid, ChallengeError::CodeInvalid] {
        assert_eq!(locked.step_up.verify_otp(&alice, "SMS", WRONG).await, Err(told));
    }
    locked.step_up.verify_otp(&alice, "SMS", RIGHT).await.unwrap();
}
