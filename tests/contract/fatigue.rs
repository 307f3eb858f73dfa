//! Push fatigue: limits on pushes, and the pause after declined ones.

use tower_step_up::{Policy, PushReply, SendBudget, StepUp};

use crate::app::{App, RIGHT, Session, clock};
use crate::vault_app;

const PAUSED: &str = "429 3 1800";
const PUSH: &str = "/push/BIOMETRIC";
const CODE: &str = "/otp/SMS";

struct Phone {
    app: App,
    step_up: StepUp,
}

impl Phone {
    fn new(policy: Policy) -> Self {
        let clock = clock();
        let builder = StepUp::builder().otp("SMS", vault_app::send).push("BIOMETRIC", vault_app::notify).policy(policy);
        let step_up = builder.sandbox().clock(clock.clone()).build().expect("a valid configuration");
        Self { app: vault_app::app(&step_up, clock, true), step_up }
    }

    fn alice(&self, session: usize) -> Session {
        self.app.session("alice", &session.to_string())
    }

    /// Starts a push in this session and answers it.
    async fn answers(&self, session: &Session, answer: PushReply) {
        let id = session.push().await;
        self.step_up.answer_push("alice", &id, answer).await.expect("in time");
    }

    async fn declines(&self, session: &Session) {
        self.answers(session, PushReply::Decline).await;
    }
}

async fn start(session: &Session, path: &str) -> String {
    session.challenge("POST", path).send().await.summary()
}

/// Three declined in a row: no push for half an hour, exact to the second. Codes are not affected.
#[tokio::test]
async fn three_denials() {
    for apart in [0, 300, 1000, 20_000] {
        let phone = Phone::new(Policy::new());
        let alice = phone.alice(1);
        for denial in 0..3 {
            phone.app.wait(if denial == 0 { 0 } else { apart });
            phone.declines(&alice).await;
        }
        for (wait, left) in [(0, 1800), (899, 901), (900, 1)] {
            phone.app.wait(wait);
            for session in [&alice, &phone.alice(2)] {
                assert_eq!(start(session, PUSH).await, format!("429 3 {left}"), "{apart} apart");
            }
        }
        assert_eq!(start(&alice, CODE).await, "204");
        assert_eq!(alice.verify(RIGHT).await.summary(), "204", "{apart} apart");
        assert_eq!(start(&phone.app.session("bob", "1"), PUSH).await, "200");
        phone.app.wait_millis(999);
        assert_eq!(start(&alice, PUSH).await, "429 3 1", "a verified code does not end the pause");
        phone.app.wait_millis(1);
        assert_eq!(start(&alice, PUSH).await, "200", "{apart} apart");
    }
}

/// Further denials during the pause, of pushes sent before, do not change it.
#[tokio::test]
async fn denials_after_the_third() {
    // Declined before, and then pushes in flight at once, which are all declined.
    for (before, at_once) in [(0, 3), (1, 3), (2, 1), (2, 2), (2, 3)] {
        let phone = Phone::new(Policy::new());
        for _ in 0..before {
            phone.declines(&phone.alice(0)).await;
        }
        phone.app.wait(600);
        let mut ids = Vec::new();
        for session in 0..at_once {
            ids.push(phone.alice(session).push().await);
        }
        for id in &ids {
            phone.step_up.answer_push("alice", id, PushReply::Decline).await.expect("in time");
        }
        assert_eq!(start(&phone.alice(9), PUSH).await, PAUSED, "{before} and {at_once}");
        phone.app.wait(1799);
        assert_eq!(start(&phone.alice(9), PUSH).await, "429 3 1", "{before} and {at_once}");
        phone.app.wait(1);
        assert_eq!(start(&phone.alice(9), PUSH).await, "200", "{before} and {at_once}");
    }
}

/// What resets the count of denials, and what does not; two before, two after.
#[tokio::test]
async fn what_resets_the_count_of_denials() {
    for (between, expected) in
        [("approved", "200"), ("code", PAUSED), ("expired", PAUSED), ("dropped", PAUSED), ("unlocked", "200")]
    {
        let phone = Phone::new(Policy::new());
        let alice = phone.alice(1);
        phone.declines(&alice).await;
        phone.declines(&alice).await;
        phone.app.wait(600);
        match between {
            "approved" => phone.answers(&alice, PushReply::Approve).await,
            "code" => alice.step_up().await,
            "expired" => drop(alice.push().await),
            "dropped" => {
                alice.push().await;
                assert_eq!(alice.drop_elevation().await.summary(), "204");
            }
            _ => phone.step_up.unlock("alice").await.expect("unlocked"),
        }
        phone.app.wait(600);
        phone.declines(&alice).await;
        assert_eq!(start(&alice, PUSH).await, expected, "{between}");
        if expected == "200" {
            assert_eq!(alice.drop_elevation().await.summary(), "204");
            phone.app.wait(600);
            phone.declines(&alice).await;
            phone.declines(&alice).await;
            assert_eq!(start(&alice, PUSH).await, PAUSED, "{between}");
        }
    }
}

/// Three in ten minutes. An approved push is restored to the budget; a declined, expired or dropped one is not.
#[tokio::test]
async fn three_in_ten_minutes() {
    let phone = Phone::new(Policy::new());
    let alice = phone.alice(1);
    for _ in 0..12 {
        phone.answers(&alice, PushReply::Approve).await;
        assert_eq!(alice.vault().await.summary(), "200");
    }
    phone.declines(&alice).await;
    alice.push().await;
    assert_eq!(alice.drop_elevation().await.summary(), "204");
    alice.push().await;
    phone.app.wait(301);
    assert_eq!(start(&alice, PUSH).await, "429 3, 3;w=600, 15;w=3600, 30;w=86400 299");
    phone.app.wait(299);
    for _ in 0..3 {
        assert_eq!(start(&alice, PUSH).await, "200");
        assert_eq!(alice.drop_elevation().await.summary(), "204");
    }
    assert_eq!(start(&alice, PUSH).await, "429 3, 3;w=600, 15;w=3600, 30;w=86400 600");
}

/// Three live challenges per user, at most one code and one push per session. The fourth waits for the first to end.
#[tokio::test]
async fn a_fourth_challenge() {
    type Becomes = (&'static str, u64, &'static str);
    let cases: [Becomes; 6] = [
        ("it is live", 0, "429 3 260"),
        ("one is verified", 0, "ok"),
        ("one is dropped", 0, "ok"),
        ("one is declined", 0, "ok"),
        ("one has one second left", 259, "429 3 1"),
        ("one has expired", 260, "ok"),
    ];
    for (name, wait, expected) in cases {
        for path in [CODE, PUSH] {
            let phone = Phone::new(
                Policy::new()
                    .send_budget(SendBudget::new().per_5_minutes(10).per_10_minutes(10).per_hour(15).per_day(30)),
            );
            let [alice, second, third] = [1, 2, 3].map(|session| phone.alice(session));
            assert_eq!(start(&alice, CODE).await, "204");
            phone.app.wait(20);
            let push = alice.push().await;
            phone.app.wait(20);
            assert_eq!(start(&second, CODE).await, "204");
            assert_eq!(start(&third, path).await, "429 3 260", "{name}");
            assert_eq!(start(&second, PUSH).await, "429 3 260", "{name}");
            // One that replaces a challenge of its kind is not a fourth.
            if name == "it lives" {
                assert_eq!(start(&alice, CODE).await, "204");
                assert_eq!(start(&third, path).await, "429 3 280", "now the push is the oldest");
                continue;
            }
            match name {
                "one is verified" => assert_eq!(alice.verify(RIGHT).await.summary(), "204"),
                "one is dropped" => assert_eq!(second.drop_elevation().await.summary(), "204"),
                "one is declined" => {
                    phone.step_up.answer_push("alice", &push, PushReply::Decline).await.expect("in time");
                }
                _ => phone.app.wait(wait),
            }
            let summary = start(&third, path).await;
            assert!(summary == expected || expected == "ok" && summary.starts_with("20"), "{name}: {summary}");
            assert_eq!(start(&phone.app.session("bob", "1"), path).await[..2], *"20");
        }
    }
}

/// Limits set by the policy.
#[tokio::test]
async fn configured_limits() {
    let hour = std::time::Duration::from_secs(3600);
    let phone = Phone::new(Policy::new().pushes(5).pause_after_declines(2, hour).live_challenges(1));
    let alice = phone.alice(1);
    assert_eq!(start(&alice, CODE).await, "204");
    assert_eq!(start(&alice, PUSH).await, "429 1 300");
    assert_eq!(alice.drop_elevation().await.summary(), "204");
    phone.declines(&alice).await;
    phone.declines(&alice).await;
    assert_eq!(start(&alice, PUSH).await, "429 2 3600");
    phone.app.wait(3600);
    for _ in 0..5 {
        alice.push().await;
        assert_eq!(alice.drop_elevation().await.summary(), "204");
    }
    assert_eq!(start(&alice, PUSH).await, "429 5, 5;w=600, 15;w=3600, 30;w=86400 600");
}
