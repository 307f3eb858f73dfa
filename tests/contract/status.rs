//! `GET /`: the status of the session.

use serde_json::json;

use crate::app::{App, RIGHT, START};

#[tokio::test]
async fn shape() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let channels = json!({"otp": ["SMS"], "push": ["BIOMETRIC"]});
    let standard = json!({"status": "STANDARD", "grants": [], "channels": channels});
    assert_eq!(alice.status().await.json(), standard);
    app.wait_millis(1234);
    assert_eq!(alice.start().await.summary(), "204");
    assert_eq!(alice.status().await.json(), standard);
    app.wait_millis(766);
    assert_eq!(alice.verify(RIGHT).await.summary(), "204");
    // A step-up without scope has no `scope`; times are whole milliseconds, lifetimes whole seconds.
    let sms = |left: u64| json!({"channel": "SMS", "verifiedAt": START + 2000, "expiresIn": left});
    assert_eq!(
        alice.status().await.json(),
        json!({"status": "STEPPED_UP", "grants": [sms(600)], "channels": channels})
    );
    app.wait(61);
    assert_eq!(
        alice.status().await.json(),
        json!({"status": "STEPPED_UP", "grants": [sms(539)], "channels": channels})
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
        ("alice", json!({"otp": ["SMS"], "push": ["BIOMETRIC"]})),
        ("bob", json!({"otp": [], "push": []})),
        ("carol", json!({"otp": [], "push": ["BIOMETRIC"]})),
    ];
    for (user, channels) in cases {
        let status = app.login(user).await.status().await;
        assert_eq!(status.json(), json!({"status": "STANDARD", "grants": [], "channels": channels}), "{user}");
    }
}
