//! `GET /`: the status of the session.

use serde_json::json;

use crate::app::{App, RIGHT, START};

#[tokio::test]
async fn shape() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let channels = json!({"otp": ["SMS"], "push": ["BIOMETRIC"], "proof": []});
    let to = json!({"SMS": "•••• 0111"});
    let standard = json!({"status": "STANDARD", "grants": [], "channels": channels, "to": to});
    assert_eq!(alice.status().await.json(), standard);
    app.wait_millis(1234);
    assert_eq!(alice.start().await.summary(), "204");
    let pending = json!({"otp": {"channel": "SMS", "to": "•••• 0111", "expiresIn": 300, "retryIn": 15}});
    let started = json!({"status": "STANDARD", "grants": [], "channels": channels, "pending": pending, "to": to});
    assert_eq!(alice.status().await.json(), started);
    app.wait_millis(766);
    assert_eq!(alice.verify(RIGHT).await.summary(), "204");
    // A step-up without scope has no `scope`; times are whole milliseconds, lifetimes whole seconds.
    let sms = |left: u64| json!({"channel": "SMS", "verifiedAt": START + 2000, "expiresIn": left});
    assert_eq!(
        alice.status().await.json(),
        json!({"status": "STEPPED_UP", "grants": [sms(600)], "channels": channels, "to": to})
    );
    app.wait(61);
    assert_eq!(
        alice.status().await.json(),
        json!({"status": "STEPPED_UP", "grants": [sms(539)], "channels": channels, "to": to})
    );

    let id = alice.push().await;
    assert_eq!(alice.phone(&id, "accept").await.summary(), "204");
    let pushed = json!({"channel": "BIOMETRIC", "verifiedAt": START + 63_000, "expiresIn": 600});
    let mut grants = alice.status().await.json()["grants"].take();
    let grants = grants.as_array_mut().expect("an array");
    grants.sort_by_key(|grant| grant["verifiedAt"].as_u64());
    assert_eq!(*grants, [sms(539), pushed]);

    app.wait(540);
    let status = alice.status().await.json();
    assert_eq!((&status["status"], &status["grants"].as_array().map(Vec::len)), (&json!("STEPPED_UP"), &Some(1)));
    assert_eq!(status["grants"][0]["channel"], "BIOMETRIC");
    assert_eq!(status["grants"][0]["expiresIn"], 60);
    app.wait(61);
    assert_eq!(alice.status().await.json(), standard);
}

/// `channels` lists the channels that this user has enrolled.
#[tokio::test]
async fn channels() {
    let app = App::demo();
    let cases = [
        ("alice", json!({"otp": ["SMS"], "push": ["BIOMETRIC"], "proof": []}), json!({"SMS": "•••• 0111"})),
        ("bob", json!({"otp": [], "push": [], "proof": []}), json!({})),
        ("carol", json!({"otp": [], "push": ["BIOMETRIC"], "proof": []}), json!({})),
    ];
    for (user, channels, to) in cases {
        let status = app.login(user).await.status().await;
        let expected = json!({"status": "STANDARD", "grants": [], "channels": channels, "to": to});
        assert_eq!(status.json(), expected, "{user}");
    }
}
