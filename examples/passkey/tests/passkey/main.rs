//! The example as its own page uses it, and the cases that it must refuse.

use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use tower_step_up::ManualClock;

use authenticator::Authenticator;
use testkit::client::{Client, refused};

#[path = "../../passkey.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

mod authenticator;

fn app() -> (ManualClock, Router) {
    let clock = ManualClock::new();
    (clock.clone(), example::app(clock).unwrap())
}

async fn options(client: &Client, path: &str) -> Value {
    let options = client.post(path).await;
    assert_eq!(options.status, 200, "{options:?}");
    options.json()
}

async fn finish(client: &Client, what: &str, credential: &Value) -> u16 {
    client.post_json(&format!("/passkeys/{what}/finish"), credential).await.status
}

/// Steps up with a code and registers a passkey; returns the status.
async fn register(client: &Client, authenticator: &Authenticator) -> u16 {
    client.step_up_in_the_sandbox(&json!({})).await;
    let created = authenticator.create(&options(client, "/passkeys/register").await);
    finish(client, "register", &created).await
}

async fn assert(client: &Client, authenticator: &mut Authenticator) -> u16 {
    let signed = authenticator.get(&options(client, "/passkeys/assert").await);
    finish(client, "assert", &signed).await
}

#[tokio::test]
async fn registered_after_a_step_up_and_then_used_for_one() {
    let (_, app) = app();
    let alice = Client::new(&app, "alice-1");
    let mut key = Authenticator::new(1);
    assert_eq!(alice.post("/transfers").await.why(), refused("missing"));
    assert_eq!(alice.post("/transfers").await.json()["channels"]["proof"], json!(["PASSKEY"]));
    for path in ["/passkeys/register", "/passkeys/register/finish"] {
        assert_eq!(alice.post(path).await.why(), refused("missing"), "a stolen session registers none");
    }
    assert_eq!(alice.post("/passkeys/assert").await.status, 409, "none is registered");
    assert_eq!(Client::new(&app, "").post("/passkeys/assert").await.status, 401);

    assert_eq!(register(&alice, &key).await, 204);
    assert_eq!(alice.post("/transfers").await.why(), refused("wrong_channel"), "so far, by a code");
    assert_eq!(assert(&alice, &mut key).await, 204);
    assert_eq!(alice.post("/transfers").await.status, 200);

    let other = Client::new(&app, "alice-2");
    assert_eq!(other.post("/transfers").await.status, 403, "another session");
    assert_eq!(assert(&other, &mut key).await, 204);
    assert_eq!(other.post("/transfers").await.status, 200);
    assert_eq!(
        options(&other, "/passkeys/register").await["publicKey"]["rp"]["id"],
        "localhost",
        "a passkey does, too"
    );
}

#[tokio::test]
async fn an_assertion_is_accepted_once_and_in_its_own_session() {
    let (_, app) = app();
    let (alice, other) = (Client::new(&app, "alice-1"), Client::new(&app, "alice-2"));
    let mut key = Authenticator::new(1);
    assert_eq!(register(&alice, &key).await, 204);

    let signed = key.get(&options(&alice, "/passkeys/assert").await);
    assert_eq!(finish(&other, "assert", &signed).await, 409, "it has no challenge");
    options(&other, "/passkeys/assert").await;
    assert_eq!(finish(&other, "assert", &signed).await, 409, "another challenge");
    assert_eq!(finish(&alice, "assert", &signed).await, 204);
    assert_eq!(finish(&alice, "assert", &signed).await, 409, "answered already");
    options(&alice, "/passkeys/assert").await;
    assert_eq!(finish(&alice, "assert", &signed).await, 409, "an old answer to a new challenge");
    assert_eq!(other.post("/transfers").await.status, 403);
}

/// A registration challenge is accepted once as well.
#[tokio::test]
async fn a_registration_is_accepted_once_and_a_passkey_has_one_user() {
    let (_, app) = app();
    let (alice, bob) = (Client::new(&app, "alice-1"), Client::new(&app, "bob-1"));
    let key = Authenticator::new(1);
    alice.step_up_in_the_sandbox(&json!({})).await;
    let created = key.create(&options(&alice, "/passkeys/register").await);
    assert_eq!(finish(&alice, "register", &created).await, 204);
    assert_eq!(finish(&alice, "register", &created).await, 409);
    assert_eq!(register(&bob, &key).await, 409, "alice has it");
    assert_eq!(bob.post("/passkeys/assert").await.status, 409);
    let carol = Client::new(&app, "carol-1");
    assert_eq!(register(&carol, &Authenticator::new(2)).await, 204);
    assert_eq!(assert(&carol, &mut key.clone()).await, 409, "carol has another");
}

#[tokio::test]
async fn what_a_phisher_or_a_thief_could_send_is_refused() {
    let (clock, app) = app();
    let alice = Client::new(&app, "alice-1");
    let mut key = Authenticator::new(1);
    assert_eq!(register(&alice, &key).await, 204);
    let twin = Authenticator { id: key.id, ..Authenticator::new(2) };
    let liars = [
        ("signed for another origin", Authenticator { origin: "https://evil.example", ..key.clone() }),
        ("for another relying party", Authenticator { rp_id: "evil.example", ..key.clone() }),
        ("without having verified the user", Authenticator { verifies_the_user: false, ..key.clone() }),
        ("with another key", twin),
    ];
    for (what, mut liar) in liars {
        assert_eq!(assert(&alice, &mut liar).await, 409, "{what}");
    }
    let options_of = options(&alice, "/passkeys/assert").await;
    clock.advance(Duration::from_secs(5 * 60));
    assert_eq!(finish(&alice, "assert", &key.get(&options_of)).await, 409, "too late");
    assert_eq!(alice.post("/transfers").await.status, 403);

    let mut copy = key.clone();
    assert_eq!(assert(&alice, &mut key).await, 204);
    assert_eq!(assert(&alice, &mut key).await, 204);
    assert_eq!(assert(&alice, &mut copy).await, 409, "a copy: its counter is behind");
}

/// Browsers reject `null` as a value of the wrong type.
#[tokio::test]
async fn a_browser_can_parse_the_options() {
    let (_, app) = app();
    let alice = Client::new(&app, "alice-1");
    assert_eq!(register(&alice, &Authenticator::new(1)).await, 204);
    for path in ["/passkeys/register", "/passkeys/assert"] {
        let options = options(&alice, path).await;
        assert!(!options["publicKey"].to_string().contains("null"), "{options}");
        assert!(options["publicKey"]["challenge"].is_string());
    }
    assert!(alice.get("/").await.body.contains("parseCreationOptionsFromJSON"));
}
