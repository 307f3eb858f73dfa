//! E8: the marks of what was carried out permit nothing, whatever happens to their grants and sessions.

use std::sync::{Arc, Mutex};

use axum::{Extension, Router, body::Body, routing::any};
use http::{Request, request::Parts};
use http_body_util::BodyExt;
use serde_json::Value;
use testkit::FaultyStore;
use tower::ServiceExt;
use tower_step_up::{
    Binding, Caller, Clock as _, Grant, ManualClock, Proof, Purpose, RequireStepUp, Requirement, StepUp, Timestamp,
    discard,
};

/// A bank whose payments are bound, and which keeps every grant that it has seen.
struct Bank {
    step_up: StepUp,
    clock: ManualClock,
    app: Router,
    grants: Arc<Mutex<Vec<Grant>>>,
}

fn session(number: usize) -> Caller {
    Caller::user("alice").session(number)
}

impl Bank {
    fn new(store: Option<&FaultyStore>) -> Self {
        let clock = ManualClock::new();
        let builder = StepUp::builder().sandbox().otp("SMS", discard).proof("TOTP").clock(clock.clone());
        let builder = match store {
            Some(store) => store.on(builder),
            None => builder,
        };
        let (step_up, grants) = (builder.build().unwrap(), Arc::<Mutex<Vec<Grant>>>::default());
        let describe = |request: &Parts, _: &[u8]| Some(format!("Pay {}", request.uri.query().unwrap_or("nothing")));
        let guard = RequireStepUp::new(&step_up).bind(Binding::new(Binding::uri_as_received, describe));
        let seen = Arc::clone(&grants);
        let paid = async move |Extension(caller): Extension<Caller>| {
            seen.lock().unwrap().push(caller.grant().unwrap().clone());
            "paid"
        };
        let app = Router::new().route("/pay", any(paid)).route_layer(guard.rebuild_with(Body::new));
        Self { step_up, clock, app, grants }
    }

    /// Pays, or says why not, with the binding.
    async fn pay(&self, caller: &Caller, what: &str) -> Result<(), Value> {
        let mut request = Request::post(format!("/pay?{what}")).body(Body::empty()).unwrap();
        request.extensions_mut().insert(caller.clone());
        let response = self.app.clone().oneshot(request).await.unwrap();
        if response.status() == 200 {
            return Ok(());
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Err(serde_json::from_slice(&body).unwrap())
    }

    async fn reason(&self, caller: &Caller, what: &str) -> Option<String> {
        Some(self.pay(caller, what).await.err()?["reason"].as_str().unwrap().to_owned())
    }

    async fn approve(&self, caller: &Caller, what: &str) {
        let refused = self.pay(caller, what).await.unwrap_err();
        self.clock.advance(std::time::Duration::from_secs(1));
        let purpose = Purpose::new().binding(refused["binding"].as_str().unwrap());
        self.step_up.record_proof(caller, Proof::new("TOTP").purpose(purpose)).await.unwrap();
    }

    async fn approve_and_pay(&self, caller: &Caller, what: &str) {
        self.approve(caller, what).await;
        self.pay(caller, what).await.unwrap();
    }

    async fn restores_the_first(&self) -> bool {
        let first = self.grants.lock().unwrap()[0].clone();
        first.restore().await.unwrap()
    }
}

/// T27: a late handler restores what has been approved and carried out once more since.
#[tokio::test]
async fn what_was_approved_again_is_not_restored() {
    for paid_again in [true, false] {
        let (bank, alice) = (Bank::new(None), session(1));
        bank.approve_and_pay(&alice, "x").await;
        assert_eq!(bank.reason(&alice, "x").await.as_deref(), Some("spent"));
        bank.approve(&alice, "x").await;
        if paid_again {
            bank.pay(&alice, "x").await.unwrap();
        }
        assert!(!bank.restores_the_first().await);
        assert_eq!(bank.pay(&alice, "x").await.is_ok(), !paid_again);
        assert_eq!(bank.reason(&alice, "x").await.as_deref(), Some("spent"), "once for each approval");
    }
}

/// T32: after whatever ends the elevation nothing is restored, and where the session goes on it says that it has passed.
#[tokio::test]
async fn nothing_is_restored_after_its_end() {
    let ends = ["revoke", "revoke all", "factors", "transfer", "moved, revoked, moved back", "revoked, moved", "twice"];
    for end in ends {
        for store in [None, Some(FaultyStore::atomic()), Some(FaultyStore::sequential())] {
            let (bank, here, next) = (Bank::new(store.as_ref()), session(1), session(2));
            bank.approve_and_pay(&here, "x").await;
            let step_up = &bank.step_up;
            let holder = match end {
                "revoke" => {
                    step_up.revoke(&here).await.unwrap();
                    &here
                }
                "revoke all" => {
                    step_up.revoke_all("alice").await.unwrap();
                    &here
                }
                "factors" => {
                    step_up.factors_changed(&next).await.unwrap();
                    &here
                }
                "transfer" => {
                    step_up.transfer(&here, &next).await.unwrap();
                    &next
                }
                "moved, revoked, moved back" => {
                    step_up.transfer(&here, &next).await.unwrap();
                    step_up.revoke(&next).await.unwrap();
                    step_up.transfer(&next, &here).await.unwrap();
                    &here
                }
                "revoked, moved" => {
                    step_up.revoke_all("alice").await.unwrap();
                    step_up.transfer(&here, &next).await.unwrap();
                    &next
                }
                _ => {
                    step_up.factors_changed(&next).await.unwrap();
                    step_up.transfer(&here, &next).await.unwrap();
                    step_up.factors_changed(&here).await.unwrap();
                    &next
                }
            };
            assert!(!bank.restores_the_first().await, "{end}");
            assert_eq!(bank.reason(holder, "x").await.as_deref(), Some("spent"), "{end}");
            assert!(step_up.status(holder).await.unwrap().grants.is_empty(), "{end}");
        }
    }
}

/// A mark that another id of the session brings along takes nothing from this one.
#[tokio::test]
async fn a_mark_removes_no_live_grant() {
    let (bank, old, new) = (Bank::new(None), session(1), session(2));
    bank.approve_and_pay(&old, "x").await;
    bank.step_up.revoke(&old).await.unwrap();
    bank.approve(&new, "x").await;
    bank.step_up.transfer(&old, &new).await.unwrap();
    bank.pay(&new, "x").await.unwrap();

    // Sixteen payments, and a step-up for the session beside them.
    let (bank, alice) = (Bank::new(None), session(1));
    bank.step_up.record_proof(&alice, Proof::new("TOTP")).await.unwrap();
    for i in 0..16 {
        bank.approve_and_pay(&alice, &i.to_string()).await;
    }
    assert!(bank.step_up.authorize(&alice, &Requirement::new()).await.is_ok());
    bank.step_up.revoke(&alice).await.unwrap();
    let early = Timestamp::from_millis(bank.clock.now().as_millis() - 60_000);
    for scope in ["p", "q"] {
        bank.step_up.record_proof(&alice, Proof::new("TOTP").purpose(scope).verified_at(early)).await.unwrap();
    }
    for scope in ["p", "q"] {
        assert!(bank.step_up.authorize(&alice, &Requirement::new().scope(scope)).await.is_ok(), "{scope}");
    }
    for i in 0..16 {
        assert_eq!(bank.reason(&alice, &i.to_string()).await.as_deref(), Some("spent"), "{i}");
    }
}
