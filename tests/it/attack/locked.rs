//! T9: during a lockout, no code is compared. Right and wrong codes get byte-identical responses after the same number
//! of store operations, without a write; after the lockout the right code still verifies.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use testkit::FaultyStore;
use tower::ServiceExt;
use tower_step_up::{Caller, ChallengeError, ManualClock, Policy, PushReply, StepUp, discard};

use super::{caller, passes, secs, was_wrong};

const RIGHT: &str = "123456";
const WRONG: &str = "000000";

struct Locked {
    store: FaultyStore,
    clock: ManualClock,
    step_up: StepUp,
}

/// Everything that a client sees, except what is random in every response.
type Seen = (StatusCode, Vec<(String, String)>, Bytes);

impl Locked {
    fn new(policy: Policy) -> Self {
        let (store, clock) = (FaultyStore::default(), ManualClock::new());
        let step_up = StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).push("BIO", discard);
        let step_up = store.on(step_up.policy(policy).clock(clock.clone())).build().unwrap();
        Self { store, clock, step_up }
    }

    /// Wrong codes in a session other than the observed one.
    async fn fail(&self, times: usize) {
        let thief = caller("alice", "thief");
        self.step_up.start_otp(&thief, "SMS", None).await.unwrap();
        for _ in 0..times {
            assert!(was_wrong(&self.step_up.verify_otp(&thief, "SMS", WRONG).await));
        }
    }

    /// The response to a code, and the number of store operations.
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

/// How a user is locked, the response during the lock, and how it ends.
#[derive(Clone, Copy, Debug)]
enum Lock {
    Wait,
    Disabled,
    AllDay,
    Application,
}

#[tokio::test]
async fn a_lock_responds_to_right_and_wrong_codes_alike() {
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

/// Besides codes, a lockout refuses starts on the channel, and a lock by the application also approvals.
#[tokio::test]
async fn a_lock_refuses_starts_and_approvals() {
    let locked = Locked::new(Policy::new().disable_after(4));
    let (step_up, alice) = (&locked.step_up, caller("alice", 1));
    let push = step_up.start_push(&alice, "BIO", None).await.unwrap();
    locked.fail(4).await;
    assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Forbidden));
    // Failures are counted per channel, and a push needs no code.
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
