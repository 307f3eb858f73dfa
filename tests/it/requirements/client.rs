//! A client that only follows what refusals tell it: it completes the challenges they name until the request passes.

use axum::{Router, routing::any};
use http::{Method, request::Parts};
use serde_json::{Value, json};
use tower_step_up::{Binding, Factor, ManualClock, PushReply, RequireStepUp, Requirement, StepUp};

use super::{
    CHALLENGES, CODE,
    app::{App, challenge_request, json_request},
    local, secs,
};

const WHO: &str = "alice/1";

/// A client, its user's phone (through `step_up`), and the clock that it waits on.
struct Client<'a> {
    step_up: &'a StepUp,
    app: App,
    clock: &'a ManualClock,
    /// Whether it sends the scope along with a binding, which contains the scope already.
    names_scope: bool,
}

impl Client<'_> {
    /// Repeats the request until it passes; returns the challenges that this took.
    async fn get_through(&self, method: &str, path: &str) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..4 {
            let answer = self.app.send(json_request(method, path, WHO, r#"{"amount":1}"#)).await;
            if answer.status == 200 {
                return done;
            }
            assert_eq!(answer.status, 403, "{answer:?}");
            let refusal = answer.json();
            assert_eq!(refusal["errorCode"], "STEP_UP_REQUIRED");
            let start = refusal["start"].as_array().unwrap();
            let needed = if refusal["all"] == true { start.len() } else { 1 };
            for url in &start[..needed] {
                let url = url.as_str().unwrap();
                self.step_up(url, &self.purpose(&refusal)).await;
                done.push(url.strip_prefix(CHALLENGES).unwrap().to_owned());
            }
        }
        panic!("does not pass: {path}");
    }

    /// The body of the start.
    fn purpose(&self, refusal: &Value) -> Value {
        match (&refusal["binding"], &refusal["scope"]) {
            (Value::Null, Value::Null) => Value::Null,
            (Value::Null, scope) => json!({ "scope": scope }),
            (binding, scope) if self.names_scope => json!({ "binding": binding, "scope": scope }),
            (binding, _) => json!({ "binding": binding }),
        }
    }

    async fn step_up(&self, url: &str, purpose: &Value) {
        let path = url.strip_prefix(CHALLENGES).unwrap();
        let mut started = self.app.send(challenge_request("POST", path, WHO, purpose)).await;
        if let Some(wait) = started.headers.get("retry-after") {
            self.clock.advance(secs(wait.to_str().unwrap().parse().unwrap()));
            started = self.app.send(challenge_request("POST", path, WHO, purpose)).await;
        }
        if started.status == 204 {
            let code = json!({ "verificationCode": CODE });
            assert_eq!(
                self.app.send(challenge_request("POST", &format!("{path}/verify"), WHO, &code)).await.summary(),
                "204"
            );
        } else {
            assert_eq!(started.status, 200, "{started:?}");
            let id = started.json()["id"].as_str().unwrap().to_owned();
            self.step_up.answer_push("alice", &id, PushReply::Approve).await.unwrap();
            let outcome = self.app.send(challenge_request("GET", &format!("{path}/{id}"), WHO, &Value::Null)).await;
            assert_eq!(outcome.json()["status"], "VERIFIED");
        }
    }
}

/// A requirement, whether the route is bound, and the challenges it takes: for the first request, for an immediate
/// second one, after 61 seconds, and after another 61.
type Row = (&'static str, Requirement, bool, [&'static [&'static str]; 4]);

#[tokio::test]
async fn every_kind_of_requirement_can_be_satisfied() {
    const SMS: &[&str] = &["/otp/SMS"];
    const BIO: &[&str] = &["/push/BIO"];
    const BOTH: &[&str] = &["/otp/SMS", "/push/BIO"];
    const CODES: &[&str] = &["/otp/SMS", "/otp/EMAIL"];
    const NONE: &[&str] = &[];
    let new = Requirement::new;
    let aged = || [Factor::new("SMS").max_age(secs(600)), Factor::new("BIO").max_age(secs(60))];
    let rows: Vec<Row> = vec![
        ("plain", new(), false, [SMS, NONE, NONE, NONE]),
        ("scope", new().scope("pay"), false, [SMS, NONE, NONE, NONE]),
        ("scope or session", new().scope("pay").or_session(), false, [SMS, NONE, NONE, NONE]),
        ("age", new().max_age(secs(120)), false, [SMS, NONE, NONE, SMS]),
        ("channels", new().channels(["BIO", "KEY"]), false, [BIO, NONE, NONE, NONE]),
        ("channels with ages", new().channels(aged()), false, [SMS, NONE, NONE, NONE]),
        ("all of", new().all_of(["BIO", "SMS"]), false, [BOTH, NONE, NONE, NONE]),
        ("all of two codes", new().all_of(["SMS", "EMAIL"]), false, [CODES, NONE, NONE, NONE]),
        ("all of, with ages", new().all_of(aged()), false, [BOTH, NONE, BIO, BIO]),
        ("all of, once", new().all_of(aged()).scope("pay").once(), false, [BOTH, BOTH, BOTH, BOTH]),
        ("once", new().once(), false, [SMS, SMS, SMS, SMS]),
        ("once, scope and age", new().scope("pay").max_age(secs(60)).once(), false, [SMS, SMS, SMS, SMS]),
        ("bound", new(), true, [SMS, SMS, SMS, SMS]),
        ("bound with scope", new().scope("pay"), true, [SMS, SMS, SMS, SMS]),
        ("bound, scope or session", new().scope("pay").or_session(), true, [SMS, SMS, SMS, SMS]),
        ("bound, all of", new().all_of(aged()).max_age(secs(90)), true, [BOTH, BOTH, BOTH, BOTH]),
        ("conditional", new(), false, [SMS, NONE, NONE, NONE]),
    ];
    for (name, requirement, is_bound, expected) in rows {
        for names_scope in [false, true] {
            let clock = ManualClock::new();
            let step_up = local(&clock);
            let mut guard = RequireStepUp::with(&step_up, requirement.clone()).unwrap();
            if name == "conditional" {
                guard = guard.when(|request: &Parts| request.method == Method::POST);
            }
            let handler = any(async || "through");
            let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
            let route = if is_bound { handler.layer(guard.bind(binding)) } else { handler.layer(guard) };
            let app = App::new(&step_up, Router::new().route("/", route));
            let client = Client { step_up: &step_up, app, clock: &clock, names_scope };
            let mut took = Vec::new();
            for wait in [0, 0, 61, 61] {
                clock.advance(secs(wait));
                took.push(client.get_through("POST", "/").await);
            }
            assert_eq!(took, expected, "{name}");
        }
    }
}

/// Requests that the condition exempts need no step-up.
#[tokio::test]
async fn exempt_requests_need_no_step_up() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let guard = RequireStepUp::with(&step_up, Requirement::new().once()).unwrap();
    let guard = guard.when(|request: &Parts| request.method == Method::POST);
    let app = App::new(&step_up, Router::new().route("/", any(async || "through").layer(guard)));
    let client = Client { step_up: &step_up, app, clock: &clock, names_scope: false };
    assert!(client.get_through("GET", "/").await.is_empty());
    assert_eq!(client.get_through("POST", "/").await, ["/otp/SMS"]);
    assert!(client.get_through("GET", "/").await.is_empty());
}
