//! Pushes: ids, polling, and the phone's answer.

use std::collections::HashSet;

use serde_json::json;

use crate::app::{App, RIGHT};
use crate::script::{
    Accept, Card, Decline, Delete, Line, Poll, Push, Right, Start, Status, Transfer, Wait, Wrong, run_script,
};

const MISSING: &str = "403 STEP_UP_REQUIRED missing";

/// `{"id":"…"}` and nothing else: 128 random bits in decimal.
#[tokio::test]
async fn ids() {
    let app = App::demo();
    let (mut ids, mut ones, mut zeros) = (HashSet::new(), 0_u128, u128::MAX);
    for number in 0..100 {
        let alice = app.login(&format!("alice{number}")).await;
        let answer = alice.challenge("POST", "/push/BIOMETRIC").send().await;
        assert_eq!(answer.summary(), "200");
        let body = answer.json();
        let id = body["id"].as_str().expect("a string");
        assert_eq!(body, json!({"id": id}));
        assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
        let bits: u128 = id.parse().expect("128 bits");
        (ones, zeros) = (ones | bits, zeros & bits);
        assert!(ids.insert(id.to_owned()), "{id} came twice");
    }
    // Each bit was set and clear at least once.
    assert_eq!((ones, zeros), (u128::MAX, 0));
}

#[tokio::test]
async fn poll() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let id = alice.push().await;
    let pending = alice.poll(&id).await.json();
    let life = pending["expiresIn"].as_u64().expect("whole seconds");
    assert!((30..=600).contains(&life), "{life}");
    assert_eq!(pending, json!({"id": id, "status": "PENDING", "expiresIn": life}));
    app.wait(7);
    assert_eq!(alice.poll(&id).await.json(), json!({"id": id, "status": "PENDING", "expiresIn": life - 7}));

    assert_eq!(alice.phone(&id, "accept").await.summary(), "204");
    let fields = ["expiresIn", "id", "status"];
    let verified = alice.poll(&id).await.json();
    assert!(verified.as_object().expect("an object").keys().eq(fields), "{verified}");
    assert_eq!((&verified["id"], &verified["status"]), (&json!(id), &json!("VERIFIED")));
    assert!(verified["expiresIn"].is_u64(), "{verified}");

    let other = app.login("alice2").await;
    let id = other.push().await;
    assert_eq!(other.phone(&id, "decline").await.summary(), "204");
    let declined = other.poll(&id).await.json();
    assert!(declined.as_object().expect("an object").keys().eq(fields), "{declined}");
    assert_eq!((&declined["id"], &declined["status"]), (&json!(id), &json!("DECLINED")));
}

const LIFE: [(&str, &[Line]); 8] = [
    (
        "accepted",
        &[
            (0, Push, "200"),
            (0, Card, MISSING),
            (0, Status, "200 STANDARD"),
            (0, Poll, "200 PENDING"),
            (0, Card, MISSING),
            (0, Accept, "204"),
            (0, Poll, "200 VERIFIED"),
            (0, Poll, "200 VERIFIED"),
            (0, Status, "200 STEPPED_UP"),
            (0, Card, "200"),
            (0, Transfer, "201"),
            (1, Card, MISSING),
            (2, Card, MISSING),
            (0, Wait(601), ""),
            (0, Card, "403 STEP_UP_REQUIRED expired"),
        ],
    ),
    (
        "declined",
        &[
            (0, Push, "200"),
            (0, Decline, "204"),
            (0, Poll, "200 DECLINED"),
            (0, Card, MISSING),
            (0, Accept, "409"),
            (0, Poll, "200 DECLINED"),
            (0, Card, MISSING),
            (0, Wait(15), ""),
            (0, Push, "200"),
            (0, Poll, "200 PENDING"),
            (0, Accept, "204"),
            (0, Card, "200"),
        ],
    ),
    (
        "answered once",
        &[
            (0, Push, "200"),
            (0, Accept, "204"),
            (0, Accept, "409"),
            (0, Decline, "409"),
            (0, Poll, "200 VERIFIED"),
            (0, Card, "200"),
            (0, Delete, "204"),
            (0, Accept, "409"),
            (0, Card, MISSING),
        ],
    ),
    (
        "one pending push",
        &[
            (0, Push, "200"),
            (0, Push, "409 STATE_INVALID"),
            (0, Wait(20), ""),
            (0, Push, "409 STATE_INVALID"),
            (0, Poll, "200 PENDING"),
            (1, Push, "200"),
            (2, Push, "200"),
            (0, Accept, "204"),
            (0, Card, "200"),
            (1, Card, MISSING),
            (1, Poll, "200 PENDING"),
        ],
    ),
    (
        "late",
        &[
            (0, Push, "200"),
            (0, Wait(601), ""),
            (0, Poll, "200 EXPIRED"),
            (0, Accept, "409"),
            (0, Decline, "409"),
            (0, Poll, "200 EXPIRED"),
            (0, Card, MISSING),
            (0, Push, "200"),
            (0, Poll, "200 PENDING"),
        ],
    ),
    (
        "dropped",
        &[(0, Push, "200"), (0, Delete, "204"), (0, Accept, "409"), (0, Card, MISSING), (0, Status, "200 STANDARD")],
    ),
    (
        "together with a code",
        &[
            (0, Start, "204"),
            (0, Push, "200"),
            (0, Wrong, "409 VERIFICATION_CODE_INVALID"),
            (0, Accept, "204"),
            (0, Card, "200"),
            (0, Right, "204"),
            (0, Poll, "200 VERIFIED"),
        ],
    ),
    (
        "T4: a verified push does not restore the attempts of a code",
        &[
            (0, Start, "204"),
            (0, Wrong, "409 VERIFICATION_CODE_INVALID"),
            (0, Wrong, "409 VERIFICATION_CODE_INVALID"),
            (0, Wrong, "409 VERIFICATION_CODE_INVALID"),
            (0, Push, "200"),
            (0, Accept, "204"),
            (0, Wrong, "409 ONE_CHALLENGE_LIMIT_REMAINING"),
            (0, Wrong, "409 CHALLENGE_LIMIT_EXCEEDED"),
        ],
    ),
];

#[tokio::test]
async fn life() {
    for (name, lines) in LIFE {
        run_script(name, &["alice", "alice", "alice-too"], lines).await;
    }
}

/// A push is visible only to its session.
#[tokio::test]
async fn only_its_own_session() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let id = alice.push().await;
    let strangers = [app.login("alice").await, app.login("alice2").await];
    for stranger in &strangers {
        assert_eq!(stranger.poll(&id).await.status, 404);
    }
    let spellings = ["0", "1", "x", &id[1..], &*format!("{id}0"), &*format!("0{id}"), &*format!("+{id}")];
    for id in spellings {
        assert_eq!(alice.poll(id).await.status, 404, "{id}");
    }
    assert_eq!(alice.challenge("GET", &format!("/push/BIOMETRIC/{id}")).no_token().send().await.status, 401);
    assert_eq!(alice.phone(&id, "accept").await.summary(), "204");
    for stranger in &strangers {
        assert_eq!(stranger.poll(&id).await.status, 404);
        assert_eq!(stranger.card().await.summary(), MISSING);
    }
    assert_eq!(alice.poll(&id).await.summary(), "200 VERIFIED");
}

/// T15: a push that is answered after the logout elevates no session.
#[tokio::test]
async fn logout() {
    let app = App::demo();
    let (alice, other) = (app.login("alice").await, app.login("alice").await);
    let id = alice.push().await;
    assert_eq!(alice.logout().await.summary(), "204");
    assert_eq!(other.phone(&id, "accept").await.status, 409);
    let alice = app.login("alice").await;
    for session in [&alice, &other] {
        assert_eq!(session.card().await.summary(), MISSING);
        assert_eq!(session.poll(&id).await.status, 404);
    }
}

/// A push cannot be verified with a code.
#[tokio::test]
async fn no_code() {
    let alice = App::demo().login("alice").await;
    alice.push().await;
    assert_eq!(alice.verify(RIGHT).await.summary(), "409 STATE_INVALID");
    assert_eq!(alice.card().await.summary(), MISSING);
}
