//! Exact paths and methods.

use std::collections::BTreeSet;

use tower::ServiceExt;
use tower_step_up::StepUp;

use crate::app::{App, clock};
use crate::vault_app;

#[tokio::test]
async fn unknown_paths() {
    // A double leading slash is not here, because axum's `nest_service` strips one; `mounted` tests it.
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
            let answer = alice.challenge(method, path).send().await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
        assert_eq!(alice.challenge("POST", path).no_token().send().await.status, 404, "{path}");
    }
    // `/%53MS` is not `/SMS`.
    for path in ["/otp/%53MS", "/otp/S%4DS", "/otp/SMS%2fverify", "/otp/SMS;a=b/verify", "/push/%42IOMETRIC"] {
        let answer = alice.challenge("POST", path).send().await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {answer:?}");
    }
    // None of them started anything.
    assert_eq!(alice.start().await.summary(), "204");
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
        ("/otp/SMS", &["POST", "DELETE"]),
        ("/otp/AUTHY", &["POST", "DELETE"]),
        ("/otp/SMS/verify", &["POST"]),
        ("/otp/AUTHY/verify", &["POST"]),
        ("/push/BIOMETRIC", &["POST"]),
        ("/push/AUTHY", &["POST"]),
        ("/push/BIOMETRIC/123", &["GET", "DELETE"]),
    ];
    for (path, allowed) in cases {
        for method in METHODS {
            // HEAD may be supported along with GET.
            if allowed.contains(&method) || method == "HEAD" && allowed.contains(&"GET") {
                continue;
            }
            let requests = [
                alice.challenge(method, path),
                bob.challenge(method, path),
                alice.challenge(method, path).no_token(),
                alice.challenge(method, path).json(r#"{"verificationCode":"123456"}"#),
            ];
            for request in requests {
                let answer = request.send().await;
                assert_eq!(answer.status, 405, "{method} {path}");
                let allow = answer.header("allow");
                let mut methods: BTreeSet<_> = allow.split(',').map(str::trim).collect();
                methods.remove("HEAD");
                assert_eq!(methods, allowed.iter().copied().collect(), "{method} {path}");
            }
        }
    }
    alice.step_up().await;
}

/// Without a router, the challenge endpoints know their path from `mounted_at`.
#[tokio::test]
async fn mounted() {
    let clock = clock();
    let builder = StepUp::builder().otp("SMS", vault_app::send).clock(clock);
    let endpoints = builder.build().expect("a valid configuration").challenges().mounted_at("/a/b").expect("a path");
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
        let answer = endpoints.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        assert_eq!(answer.status(), status, "{method} {path}");
    }
}
