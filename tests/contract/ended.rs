//! Commands of the application, as a client sees them: lock and unlock, revoke all sessions, transfer to a new session
//! id.

use std::time::Duration;

use tower_step_up::{Caller, Policy, PushReply, SendBudget, StepUp};

use crate::app::{App, RIGHT, Session, WRONG, clock};
use crate::vault_app;

const FORBIDDEN: &str = "403 INSUFFICIENT_PERMISSIONS";
const MISSING: &str = "403 STEP_UP_REQUIRED missing";
const INVALID: &str = "409 VERIFICATION_CODE_INVALID";
const ONE_LEFT: &str = "409 ONE_CHALLENGE_LIMIT_REMAINING";
const LIMIT: &str = "409 CHALLENGE_LIMIT_EXCEEDED";
const NONE: &str = "409 STATE_INVALID";

struct Bank {
    app: App,
    step_up: StepUp,
}

impl Bank {
    fn new(policy: Policy) -> Self {
        let clock = clock();
        let builder = StepUp::builder()
            .otp("SMS", vault_app::send)
            .otp("EMAIL", vault_app::send)
            .push("BIOMETRIC", vault_app::notify);
        let step_up = builder.policy(policy).sandbox().clock(clock.clone()).build().expect("a valid configuration");
        Self { app: vault_app::app(&step_up, clock, true), step_up }
    }

    fn alice(&self, session: usize) -> Session {
        self.app.session("alice", &session.to_string())
    }

    async fn transfer(&self, old: usize, new: usize) {
        let [old, new] = [old, new].map(|session| Caller::user("alice").session(session));
        self.step_up.transfer(&old, &new).await.expect("moved");
    }
}

/// More messages than the default, for tests of other limits.
fn plenty() -> Policy {
    Policy::new().send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
}

async fn start(session: &Session, path: &str) -> String {
    session.challenge("POST", path).send().await.summary()
}

/// A lock by the application: everything that could end in a grant is refused, in any state and with any code.
#[tokio::test]
async fn locked() {
    let bank = Bank::new(Policy::new());
    let [owner, pending, idle] = [1, 2, 3].map(|session| bank.alice(session));
    owner.step_up().await;
    assert_eq!(pending.start().await.summary(), "204");
    let push = pending.push().await;
    bank.step_up.lock("alice").await.expect("locked");

    for wait in [0, 15, 100] {
        bank.app.wait(wait);
        for session in [&owner, &pending, &idle] {
            for path in ["/otp/SMS", "/otp/EMAIL", "/push/BIOMETRIC"] {
                assert_eq!(start(session, path).await, FORBIDDEN, "{path}: 403 before 409 and 429");
            }
            let (right, wrong) = (session.verify(RIGHT).await, session.verify(WRONG).await);
            assert_eq!(right.summary(), FORBIDDEN);
            assert_eq!(right.bytes(), wrong.bytes());
            let started = session.start().await;
            assert!(!started.contains("alice") && started.header("retry-after").is_empty(), "{started:?}");
        }
        assert!(bank.step_up.answer_push("alice", &push, PushReply::Approve).await.is_err());
        assert_eq!(owner.vault().await.summary(), "200", "T26: existing grants stay valid");
        assert_eq!(pending.vault().await.summary(), MISSING);
    }
    // 400 and 401 come first; other users are not affected; `DELETE` is always possible.
    assert_eq!(idle.verify("12345").await.status, 400);
    assert_eq!(idle.challenge("POST", "/otp/SMS").no_token().send().await.status, 401);
    bank.app.session("bob", "1").step_up().await;

    bank.step_up.unlock("alice").await.expect("unlocked");
    assert_eq!(pending.verify(WRONG).await.summary(), INVALID, "no attempt was counted");
    assert_eq!(pending.verify(RIGHT).await.summary(), "204", "the code is still valid");
    assert_eq!(owner.drop_elevation().await.summary(), "204");
    bank.step_up.lock("alice").await.expect("locked");
    assert_eq!(pending.drop_elevation().await.summary(), "204");
    for session in [&owner, &pending, &idle] {
        assert_eq!(session.vault().await.summary(), MISSING);
    }
}

/// Neither time nor anything the user does lifts the lock.
#[tokio::test]
async fn locked_for_good() {
    let bank = Bank::new(Policy::new());
    bank.step_up.lock("alice").await.expect("a user who was never seen");
    for days in [1, 30, 365, 1000] {
        bank.app.wait(days * 86_400);
        let alice = bank.alice(usize::try_from(days).expect("few"));
        assert_eq!(alice.drop_elevation().await.summary(), "204");
        bank.step_up.revoke_all("alice").await.expect("revoked");
        assert_eq!(alice.start().await.summary(), FORBIDDEN, "after {days} days more");
    }
    bank.step_up.unlock("alice").await.expect("unlocked");
    bank.alice(1).step_up().await;
}

/// Unlocking lifts every lockout; the budgets of messages stay.
#[tokio::test]
async fn unlocked() {
    for name in ["a wait", "disabled", "a day's wrong codes", "the application's", "denials"] {
        let policy = match name {
            "disabled" => plenty().disable_after(5),
            "a day's wrong codes" => plenty().wrong_codes_a_day(5),
            _ => plenty(),
        };
        let bank = Bank::new(policy);
        let [alice, second] = [1, 2].map(|session| bank.alice(session));
        let path = match name {
            "denials" => {
                for _ in 0..3 {
                    let id = alice.push().await;
                    bank.step_up.answer_push("alice", &id, PushReply::Decline).await.expect("in time");
                }
                bank.app.wait(600);
                "/push/BIOMETRIC"
            }
            "the application's" => {
                bank.step_up.lock("alice").await.expect("locked");
                "/otp/SMS"
            }
            _ => {
                assert_eq!(alice.start().await.summary(), "204");
                for expected in [INVALID, INVALID, INVALID, ONE_LEFT, LIMIT] {
                    assert_eq!(alice.verify(WRONG).await.summary(), expected, "{name}");
                }
                "/otp/SMS"
            }
        };
        let refused = start(&second, path).await;
        assert!(refused.starts_with("429 ") || refused == FORBIDDEN, "{name}: {refused}");
        bank.step_up.unlock("bob").await.expect("another user");
        assert_eq!(start(&second, path).await, refused, "{name}");
        bank.step_up.unlock("alice").await.expect("unlocked");
        assert!(start(&second, path).await.starts_with("20"), "{name}");
        if path == "/otp/SMS" {
            // All failures are cleared.
            for expected in [INVALID, INVALID, INVALID, ONE_LEFT] {
                assert_eq!(second.verify(WRONG).await.summary(), expected, "{name}");
            }
            assert_eq!(second.verify(RIGHT).await.summary(), "204", "{name}");
        }
    }

    let bank = Bank::new(Policy::new());
    for _ in 0..3 {
        assert_eq!(bank.alice(1).start().await.summary(), "204");
        bank.app.wait(15);
    }
    bank.step_up.unlock("alice").await.expect("unlocked");
    assert_eq!(bank.alice(1).start().await.summary(), "429 3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400 255");
}

/// With more sessions than a user's record lists: none has a grant afterwards.
#[tokio::test]
async fn revoked_everywhere() {
    let bank = Bank::new(plenty().live_challenges(10));
    let mut elevated = 0;
    for session in 0..40 {
        bank.alice(session).step_up().await;
        bank.app.wait(1);
    }
    for session in 0..40 {
        elevated += usize::from(bank.alice(session).vault().await.status == 200);
    }
    assert!(elevated >= 16, "{elevated}");
    bank.app.session("bob", "1").step_up().await;
    let [code, push] = [40, 41].map(|session| bank.alice(session));
    assert_eq!(code.start().await.summary(), "204");
    assert_eq!(code.verify(WRONG).await.summary(), INVALID);
    let id = push.push().await;

    bank.step_up.revoke_all("alice").await.expect("revoked");
    for session in 0..42 {
        let alice = bank.alice(session);
        assert_eq!(alice.vault().await.summary(), MISSING, "{session}");
        assert_eq!(alice.status().await.summary(), "200 STANDARD", "{session}");
    }
    assert_eq!(code.verify(RIGHT).await.summary(), NONE);
    assert!(bank.step_up.answer_push("alice", &id, PushReply::Approve).await.is_err());
    assert_eq!(push.vault().await.summary(), MISSING);
    assert_eq!(bank.app.session("bob", "1").vault().await.summary(), "200");
    // The resend interval stays, and every session may step up again.
    assert_eq!(code.start().await.summary(), "409 RETRY_IN_15SEC 15");
    bank.alice(50).step_up().await;
    bank.alice(39).vault().await;
    assert_eq!(bank.alice(50).vault().await.summary(), "200");
    assert_eq!(bank.alice(39).vault().await.summary(), MISSING);
}

/// T4: neither revoking all sessions nor a transfer restores an attempt or a message.
#[tokio::test]
async fn nothing_is_reset() {
    for name in ["revoked", "moved", "moved and back"] {
        let bank = Bank::new(Policy::new());
        let act = async |from: usize| match name {
            "revoked" => bank.step_up.revoke_all("alice").await.expect("revoked"),
            "moved" => bank.transfer(from, from + 10).await,
            _ => {
                bank.transfer(from, 99).await;
                bank.transfer(99, from).await;
            }
        };
        let mut compared = 0;
        for session in 0..6 {
            let alice = bank.alice(session);
            if alice.start().await.status == 204 {
                for _ in 0..2 {
                    let summary = alice.verify(WRONG).await.summary();
                    compared += usize::from([INVALID, ONE_LEFT, LIMIT].contains(&&*summary));
                }
                act(session).await;
                assert_eq!(alice.verify(RIGHT).await.summary(), NONE, "{name}");
            }
            bank.app.wait(1);
        }
        assert_eq!(compared, 5, "{name}");
        assert_eq!(bank.alice(9).start().await.status, 429, "{name}");

        let bank = Bank::new(Policy::new().live_challenges(10));
        for session in 0..3 {
            assert_eq!(bank.alice(session).start().await.summary(), "204");
            match name {
                "revoked" => bank.step_up.revoke_all("alice").await.expect("revoked"),
                _ => bank.transfer(session, session + 10).await,
            }
        }
        assert_eq!(
            bank.alice(5).start().await.summary(),
            "429 3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400 300",
            "{name}"
        );
    }
}

/// A transfer to a new session id moves the elevation with its expiry; the old id has none.
#[tokio::test]
async fn moved() {
    let bank = Bank::new(plenty().lockout_every(10).live_challenges(10));
    let (old, new) = (bank.alice(1), bank.alice(2));
    old.step_up().await;
    bank.app.wait(15);
    assert_eq!(old.start().await.summary(), "204");
    for expected in [INVALID, INVALID, INVALID] {
        assert_eq!(old.verify(WRONG).await.summary(), expected);
    }
    let push = old.push().await;
    bank.app.wait(5);
    bank.transfer(1, 2).await;

    assert_eq!((old.vault().await.summary(), new.vault().await.summary()), (MISSING.into(), "200".into()));
    assert_eq!(old.status().await.summary(), "200 STANDARD");
    assert_eq!(new.status().await.json()["grants"][0]["expiresIn"], 580);
    // Code and push belong to the old id.
    for session in [&old, &new] {
        assert_eq!(session.verify(RIGHT).await.summary(), NONE);
        assert_ne!(session.poll(&push).await.summary(), "200 PENDING");
    }
    assert!(bank.step_up.answer_push("alice", &push, PushReply::Approve).await.is_err());
    // The resend interval is transferred, too.
    assert_eq!(new.start().await.summary(), "409 RETRY_IN_15SEC 10");
    bank.app.wait(10);
    assert_eq!(new.start().await.summary(), "204");
    assert_eq!(new.verify(RIGHT).await.summary(), "204");
    assert_eq!(old.vault().await.summary(), MISSING);

    let bob = Caller::user("bob").session("1");
    assert!(bank.step_up.transfer(&Caller::user("alice").session("2"), &bob).await.is_err());
    assert_eq!(bank.app.session("bob", "1").vault().await.summary(), MISSING);
    assert_eq!(new.vault().await.summary(), "200", "unchanged");
    bank.app.wait(569);
    assert_eq!(new.vault().await.summary(), "200");
}

/// Repeated transfers do not prolong an elevation.
#[tokio::test]
async fn moved_on_and_on() {
    let bank = Bank::new(Policy::new());
    bank.alice(0).step_up().await;
    for session in 0..40 {
        bank.app.wait(10);
        bank.transfer(session, session + 1).await;
        assert_eq!(bank.alice(session).vault().await.summary(), MISSING, "{session}");
        assert_eq!(bank.alice(session + 1).vault().await.summary(), "200", "{session}");
    }
    bank.app.wait(199);
    assert_eq!(bank.alice(40).vault().await.summary(), "200");
    bank.app.wait(1);
    assert_eq!(bank.alice(40).vault().await.summary(), "403 STEP_UP_REQUIRED expired");
    // A session without elevation transfers nothing.
    bank.transfer(7, 8).await;
    assert_eq!(bank.alice(8).vault().await.summary(), MISSING);
}

/// T15: a transferred elevation can be revoked under its new id, and stays revoked.
#[tokio::test]
async fn moved_and_revoked() {
    for everywhere in [false, true] {
        let bank = Bank::new(Policy::new());
        bank.alice(1).step_up().await;
        bank.transfer(1, 2).await;
        if everywhere {
            bank.step_up.revoke_all("alice").await.expect("revoked");
        } else {
            assert_eq!(bank.alice(2).drop_elevation().await.summary(), "204");
        }
        bank.transfer(2, 3).await;
        bank.transfer(1, 4).await;
        for session in 1..5 {
            assert_eq!(bank.alice(session).vault().await.summary(), MISSING, "{session}");
        }
    }
    // The limit of starts per session is transferred, too.
    let bank = Bank::new(Policy::new().starts_per_session(1).resend_interval(Duration::from_secs(15)));
    bank.alice(1).step_up().await;
    bank.app.wait(15);
    bank.transfer(1, 2).await;
    assert_eq!(bank.alice(2).start().await.summary(), LIMIT);
}
