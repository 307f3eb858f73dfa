//! Binding tokens: how a start responds to tokens that are altered, expired or of another session.

use axum::{Router, routing::post};
use http::{Request, request::Parts};
use serde_json::{Value, json};
use testkit::FaultyStore;
use tower_step_up::{
    Binding, Caller, ChallengeError, Malformed, ManualClock, Purpose, RequireStepUp, Requirement, Secret, StepUp,
};

use super::{
    CODE, alice,
    app::{App, challenge_request, json_request},
    builder, local, secs,
};

/// `/pay` is bound, `/scoped` is bound and for payments only.
fn app(step_up: &StepUp) -> App {
    let bound = |requirement| {
        let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
        RequireStepUp::with(step_up, requirement).unwrap().bind(binding)
    };
    let routes = Router::new()
        .route("/pay", post(async || "paid").layer(bound(Requirement::new())))
        .route("/scoped", post(async || "paid").layer(bound(Requirement::new().scope("payments"))));
    App::new(step_up, routes)
}

async fn token(app: &App, path: &str, who: &str) -> String {
    app.send(json_request("POST", path, who, "")).await.binding()
}

fn start(who: &str, body: &Value) -> Request<axum::body::Body> {
    challenge_request("POST", "/otp/SMS", who, body)
}

/// Bodies of starts, and the responses.
#[tokio::test]
async fn starts_with_tokens() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let app = app(&step_up);
    let (mine, scoped) = (token(&app, "/pay", "alice/1").await, token(&app, "/scoped", "alice/1").await);
    let other_secret = self::app(&builder(&clock).secret(Secret::new([8; 32]).unwrap()).build().unwrap());
    let table = [
        (json!({"binding": ""}), "400 binding HAS_TEXT INVALID_REQUEST"),
        (json!({"binding": " \t\n"}), "400 binding HAS_TEXT INVALID_REQUEST"),
        (json!({"binding": "\u{a0}"}), "400 binding HAS_TEXT INVALID_REQUEST"),
        (json!({"binding": 7}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": true}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": [mine]}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": {"binding": mine}}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": "A"}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": "AAAA"}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": "ü".repeat(20)}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": "A".repeat(2048)}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": "A".repeat(2049)}), "400 binding SIZE INVALID_REQUEST"),
        (json!({"binding": "ü".repeat(1025)}), "400 binding SIZE INVALID_REQUEST"),
        (json!({"binding": format!("{mine}A")}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": format!(" {mine}")}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": format!("{mine}=")}), "400 binding REGEX INVALID_REQUEST"),
        (json!({"binding": token(&app, "/pay", "alice/2").await}), "400 binding NOT_IN INVALID_REQUEST"),
        (json!({"binding": token(&app, "/pay", "bob/1").await}), "400 binding NOT_IN INVALID_REQUEST"),
        (json!({"binding": token(&other_secret, "/pay", "alice/1").await}), "400 binding NOT_IN INVALID_REQUEST"),
        (json!({"binding": mine, "scope": "payments"}), "400 scope NOT_IN INVALID_REQUEST"),
        (json!({"binding": scoped, "scope": "other"}), "400 scope NOT_IN INVALID_REQUEST"),
        (json!({"binding": scoped, "scope": "PAYMENTS"}), "400 scope NOT_IN INVALID_REQUEST"),
        (json!({"binding": "", "scope": "a b"}), "400 scope REGEX binding HAS_TEXT INVALID_REQUEST"),
    ];
    for (body, expected) in table {
        let answer = app.send(start("alice/1", &body)).await;
        assert_eq!(answer.summary(), expected, "{body}");
        assert_eq!(answer.json()["message"], "Invalid request", "{body}");
    }
    // Altered tokens: some still have the format of a token.
    for altered in
        [mine.to_lowercase(), format!("{mine}AA"), format!("AAAA{mine}"), mine.repeat(2), mine.replace('A', "B")]
    {
        let summary = app.send(start("alice/1", &json!({ "binding": altered }))).await.summary();
        assert!(
            ["400 binding NOT_IN INVALID_REQUEST", "400 binding REGEX INVALID_REQUEST"].contains(&summary.as_str()),
            "{altered}: {summary}"
        );
    }
    let wrong_channel = challenge_request("POST", "/otp/BIO", "alice/1", &json!({"binding": "A"}));
    assert_eq!(app.send(wrong_channel).await.summary(), "400 channel NOT_IN binding REGEX INVALID_REQUEST");
    // None of them was counted as a start.
    assert_eq!(app.send(start("alice/1", &json!({"binding": mine}))).await.summary(), "204");
    assert_eq!(app.send(start("alice/1", &json!({"binding": mine}))).await.summary(), "409 RETRY_IN_15SEC");
}

/// Every other character in every position, and every prefix, is refused.
#[tokio::test]
async fn every_character_of_a_token_counts() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let app = app(&step_up);
    for path in ["/pay", "/scoped"] {
        let token = token(&app, path, "alice/1").await;
        let refused = async |token: &str| match step_up.start_otp(&alice(), "SMS", Purpose::new().binding(token)).await
        {
            Err(ChallengeError::MalformedBinding(Malformed::Unknown)) => "NOT_IN",
            Err(ChallengeError::MalformedBinding(Malformed::InvalidCharacter)) => "REGEX",
            Err(ChallengeError::MalformedBinding(Malformed::Blank)) => "HAS_TEXT",
            other => panic!("{token}: {other:?}"),
        };
        let mut forged = 0;
        for at in 0..token.len() {
            let mut over_http = None;
            for other in (b' '..=b'~').map(char::from).filter(|other| !token[at..].starts_with(*other)) {
                let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                let error = refused(&changed).await;
                forged += usize::from(error == "NOT_IN");
                over_http = Some((changed, error));
            }
            let (changed, error) = over_http.unwrap();
            let answer = app.send(start("alice/1", &json!({ "binding": changed }))).await;
            assert_eq!(answer.summary(), format!("400 binding {error} INVALID_REQUEST"), "{at}");
            let answer = app.send(start("alice/1", &json!({ "binding": token[..at] }))).await;
            assert_eq!(
                answer.summary(),
                format!("400 binding {} INVALID_REQUEST", refused(&token[..at]).await),
                "{at}"
            );
        }
        assert!(forged > 50 * 63, "too few were well-formed: {forged}");
        assert!(step_up.start_otp(&alice(), "SMS", Purpose::new().binding(&token)).await.is_ok());
        clock.advance(secs(15));
    }
}

/// A token can be used for the lifetime of a code, and the code that it starts has its full lifetime.
#[tokio::test]
async fn a_token_expires() {
    for (millis, expected) in [
        (299_999, "204"),
        (300_000, "400 binding NOT_IN INVALID_REQUEST"),
        (86_400_000, "400 binding NOT_IN INVALID_REQUEST"),
    ] {
        let clock = ManualClock::new();
        let app = app(&local(&clock));
        let token = token(&app, "/pay", "alice/1").await;
        clock.advance(std::time::Duration::from_millis(millis));
        assert_eq!(app.send(start("alice/1", &json!({ "binding": token }))).await.summary(), expected, "{millis}");
    }
    let clock = ManualClock::new();
    let app = app(&local(&clock));
    let token = token(&app, "/pay", "alice/1").await;
    clock.advance(secs(299));
    assert_eq!(app.send(start("alice/1", &json!({ "binding": token }))).await.summary(), "204");
    clock.advance(secs(299));
    let code = json!({ "verificationCode": CODE });
    assert_eq!(app.send(challenge_request("POST", "/otp/SMS/verify", "alice/1", &code)).await.summary(), "204");
    assert_eq!(app.send(json_request("POST", "/pay", "alice/1", "")).await.summary(), "200");
}

/// The token contains the scope; naming the same scope in addition changes nothing.
#[tokio::test]
async fn a_token_carries_its_scope() {
    for named in [json!({}), json!({"scope": "payments"}), json!({"scope": null})] {
        let clock = ManualClock::new();
        let app = app(&local(&clock));
        let mut body = named.clone();
        body["binding"] = token(&app, "/scoped", "alice/1").await.into();
        assert_eq!(app.send(start("alice/1", &body)).await.summary(), "204", "{named}");
        let code = json!({ "verificationCode": CODE });
        assert_eq!(app.send(challenge_request("POST", "/otp/SMS/verify", "alice/1", &code)).await.summary(), "204");
        let status = app.send(challenge_request("GET", "", "alice/1", &Value::Null)).await.json();
        assert_eq!((&status["grants"][0]["scope"], &status["grants"][0]["bound"]), (&json!("payments"), &json!(true)));
        assert_eq!(app.send(json_request("POST", "/pay", "alice/1", "")).await.summary(), "403 wrong_scope");
        assert_eq!(app.send(json_request("POST", "/scoped", "alice/1", "")).await.summary(), "200");
    }
}

/// A token stays valid after a rotation while its secret is a previous one, and for no other session.
#[tokio::test]
async fn a_token_and_its_secret() {
    let clock = ManualClock::new();
    let store = FaultyStore::default();
    let secret = |byte: u8| Secret::new([byte; 32]).unwrap();
    let of =
        |byte: u8| builder(&clock).store(store.clone()).record_key(Secret::new([1; 32]).unwrap()).secret(secret(byte));
    let before = of(1).build().unwrap();
    let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let routes = Router::new().route("/pay", post(async || "")).layer(RequireStepUp::new(&before).bind(binding));
    let token = token(&App::new(&before, routes), "/pay", "alice/1").await;
    let rotated = of(2).previous_secret(secret(1)).build().unwrap();
    let dropped = of(3).previous_secret(secret(2)).build().unwrap();
    let purpose = Purpose::new().binding(&token);
    let not_in = Err(ChallengeError::MalformedBinding(Malformed::Unknown));
    assert_eq!(dropped.start_otp(&alice(), "SMS", purpose).await, not_in);
    assert_eq!(rotated.start_otp(&Caller::user("alice").session("2"), "SMS", purpose).await, not_in);
    assert_eq!(rotated.start_otp(&alice(), "SMS", purpose).await, Ok(()));
}
