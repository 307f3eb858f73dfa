//! Exact paths and methods.

use std::collections::BTreeSet;

use tower::ServiceExt;
use tower_step_up::StepUp;

use crate::app::{App, clock};
use crate::vault_app;

#[tokio::test]
async fn unknown_paths() {
    // One slash too many at the very beginning is axum's to see: `nest_service` takes it for its own. What the companion
    // makes of it stands in `mounted`.
    let app = App::demo();
    let alice = app.login("alice").await;
    let paths = [
        "/x",
        "/otp",
        "/otp/",
        "/push",
        "/push/",
        "///otp/SMS",
        "/otp//SMS",
        "/otp/SMS/",
        "/otp/SMS//verify",
        "/otp/SMS/verify/",
        "/otp/SMS/verify/1",
        "/otp/SMS/Verify",
        "/otp/SMS/VERIFY",
        "/otp/SMS/1",
        "/OTP/SMS",
        "/Otp/SMS",
        "/%6ftp/SMS",
        "/otp%2fSMS",
        "/otp/SMS/%76erify",
        "/./otp/SMS",
        "/otp/./SMS",
        "/otp/../otp/SMS",
        "/push/BIOMETRIC/",
        "/push/BIOMETRIC/1/",
        "/push/BIOMETRIC/1/2",
        "/otp/SMS/verify%00",
        "/index.html",
        "/.well-known/x",
    ];
    for path in paths {
        for method in ["GET", "POST", "DELETE", "PUT", "OPTIONS", "X"] {
            let answer = alice.companion(method, path).send().await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
        assert_eq!(alice.companion("POST", path).no_token().send().await.status, 404, "{path}");
    }
    // `/%53MS` is no spelling of `/SMS`.
    for path in ["/otp/%53MS", "/otp/S%4DS", "/otp/SMS%2fverify", "/otp/SMS;a=b/verify", "/push/%42IOMETRIC"] {
        let answer = alice.companion("POST", path).send().await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {answer:?}");
    }
    // Nothing was started by any of them.
    assert_eq!(alice.start().await.says(), "204");
    alice.push().await;
}

/// Each path, its methods, and every other method: 405, with `Allow`.
#[tokio::test]
async fn wrong_methods() {
    const METHODS: [&str; 12] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "get", "post", "FOO"];
    let app = App::demo();
    let (alice, bob) = (app.login("alice").await, app.login("bob").await);
    let cases: [(&str, &[&str]); 9] = [
        ("", &["GET", "DELETE"]),
        ("/", &["GET", "DELETE"]),
        ("/otp/SMS", &["POST"]),
        ("/otp/AUTHY", &["POST"]),
        ("/otp/SMS/verify", &["POST"]),
        ("/otp/AUTHY/verify", &["POST"]),
        ("/push/BIOMETRIC", &["POST"]),
        ("/push/AUTHY", &["POST"]),
        ("/push/BIOMETRIC/123", &["GET"]),
    ];
    for (path, allowed) in cases {
        for method in METHODS {
            // Whether HEAD is a way to GET is left open.
            if allowed.contains(&method) || method == "HEAD" && allowed.contains(&"GET") {
                continue;
            }
            let asks = [
                alice.companion(method, path),
                bob.companion(method, path),
                alice.companion(method, path).no_token(),
                alice.companion(method, path).json(r#"{"verificationCode":"123456"}"#),
            ];
            for ask in asks {
                let answer = ask.send().await;
                assert_eq!(answer.status, 405, "{method} {path}");
                let allow = answer.header("allow");
                let mut told: BTreeSet<_> = allow.split(',').map(str::trim).collect();
                told.remove("HEAD");
                assert_eq!(told, allowed.iter().copied().collect(), "{method} {path}");
            }
        }
    }
    alice.step_up().await;
}

/// On plain hyper the companion is told where it is mounted.
#[tokio::test]
async fn mounted() {
    let clock = clock();
    let builder = StepUp::builder().otp("SMS", vault_app::send).clock(clock);
    let companion = builder.build().expect("a sound app").challenges().mounted_at("/a/b").expect("a path");
    let cases = [
        ("POST", "/a/b/otp/SMS", 401),
        ("GET", "/a/b", 401),
        ("GET", "/a/b/", 401),
        ("PUT", "/a/b/otp/SMS", 405),
        ("POST", "/a/b/otp", 404),
        ("POST", "/a/botp/SMS", 404),
        ("POST", "/a/b//otp/SMS", 404),
        ("POST", "/otp/SMS", 404),
        ("GET", "/", 404),
        ("GET", "/a", 404),
        ("POST", "/x/a/b/otp/SMS", 404),
        ("POST", "/A/B/otp/SMS", 404),
    ];
    for (method, path, status) in cases {
        let request = http::Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
        let answer = companion.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        assert_eq!(answer.status(), status, "{method} {path}");
    }
}
