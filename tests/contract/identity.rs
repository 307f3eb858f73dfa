//! Requests without a caller, and forged callers (T21).

use http::HeaderMap;
use tower_step_up::StepUp;

use crate::app::{App, CHALLENGES, RIGHT, WRONG, clock};
use crate::body::with_trailers;
use crate::vault_app;

/// 401 from the guard and from every challenge endpoint.
#[tokio::test]
async fn no_caller() {
    let app = App::demo();
    let operations = [
        ("POST", "/otp/SMS"),
        ("POST", "/otp/SMS/verify"),
        ("POST", "/push/BIOMETRIC"),
        ("GET", "/push/BIOMETRIC/1"),
        ("GET", ""),
        ("DELETE", ""),
    ];
    let endpoints = operations.map(|(method, path)| (method, format!("{CHALLENGES}{path}")));
    let guarded = [("GET", "/cards/1".to_owned()), ("POST", "/transfers".to_owned())];
    for (method, path) in endpoints.into_iter().chain(guarded) {
        let answer = app.request(method, &path).send().await;
        assert_eq!(answer.summary(), "401 UNAUTHORIZED", "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), "StepUpSession", "{method} {path}");
    }
}

/// Only a single `Authorization: Bearer` with an issued token identifies a caller.
#[tokio::test]
async fn only_a_token() {
    let app = App::demo();
    let (alice, mallory) = (app.login("alice").await, app.login("alice-mallory").await);
    alice.step_up().await;
    let bearer = |token: &str| format!("Bearer {token}");
    let (token, stranger) = (bearer(&alice.token), bearer(&mallory.token));
    let doubled = format!("{token}, {stranger}");
    let half = bearer(&alice.token[..alice.token.len() / 2]);
    let cases: [&[(&str, &str)]; 18] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer alice")],
        &[("authorization", &half)],
        &[("authorization", &alice.token)],
        &[("authorization", &doubled)],
        &[("authorization", "Basic YWxpY2U6YWxpY2U=")],
        &[("authorization", &token), ("authorization", &stranger)],
        &[("authorization", &stranger), ("authorization", &token)],
        &[("authorization", &token), ("authorization", &token)],
        &[("authorization", &token), ("authorization", "")],
        &[("proxy-authorization", &token)],
        &[("x-authorization", &token), ("api-key", &alice.token)],
        &[("cookie", &*format!("token={0}; session={0}; sid={0}", alice.token).leak())],
        &[("x-stepup-subject", "alice"), ("x-stepup-session", &alice.token), ("x-stepup-caller", "alice")],
        &[("x-forwarded-user", "alice"), ("x-user", "alice"), ("remote-user", "alice"), ("x-stepup-token", &token)],
    ];
    for headers in cases {
        for (method, path) in [("GET", "/cards/1"), ("GET", CHALLENGES), ("DELETE", CHALLENGES), ("GET", "/accounts")] {
            let request =
                headers.iter().fold(app.request(method, path), |request, (name, value)| request.header(name, value));
            assert_eq!(request.send().await.status, 401, "{method} {path} with {headers:?}");
        }
    }
    let query = format!("/cards/1?token={0}&access_token={0}", alice.token);
    assert_eq!(app.request("GET", &query).send().await.status, 401);
    // The elevation is unchanged.
    assert_eq!(alice.card().await.summary(), "200");
}

/// Nothing else in the request changes the caller.
#[tokio::test]
async fn other_headers_do_not_change_the_caller() {
    let app = App::demo();
    let (alice, mallory) = (app.login("alice").await, app.login("alice-mallory").await);
    alice.step_up().await;
    let smuggled = [
        ("x-stepup-subject", "alice"),
        ("x-stepup-session", &alice.token),
        ("x-stepup-status", "STEPPED_UP"),
        ("x-stepup-grant", "SMS"),
        ("x-stepup-sandbox", "true"),
        ("x-stepup-verified", "true"),
        ("x-forwarded-user", "alice"),
        ("x-auth-subject", "alice"),
        ("cookie", &*format!("token={}", alice.token).leak()),
    ];
    let with = |request| {
        smuggled.iter().fold(request, |request: crate::app::RequestBuilder, (name, value)| request.header(name, value))
    };
    assert_eq!(with(mallory.request("GET", "/cards/1")).send().await.summary(), "403 STEP_UP_REQUIRED missing");
    assert_eq!(with(mallory.challenge("GET", "")).send().await.summary(), "200 STANDARD");
    let query = format!("/cards/1?token={}", alice.token);
    assert_eq!(mallory.request("GET", &query).send().await.summary(), "403 STEP_UP_REQUIRED missing");
    assert_eq!(with(mallory.challenge("DELETE", "")).send().await.summary(), "204");
    assert_eq!(alice.card().await.summary(), "200");
}

/// Trailers do not identify a caller.
#[tokio::test]
async fn trailers() {
    const BODY: &str = r#"{"verificationCode":"123456"}"#;
    let app = App::demo();
    let (alice, mallory) = (app.login("alice").await, app.login("alice-mallory").await);
    assert_eq!(alice.start().await.summary(), "204");
    let mut trailers = HeaderMap::new();
    trailers.insert("authorization", format!("Bearer {}", alice.token).parse().unwrap());
    trailers.insert("x-stepup-subject", "alice".parse().unwrap());
    let verify = |request: crate::app::RequestBuilder| {
        let request = request.header("content-type", "application/json").header("trailer", "authorization");
        request.body(with_trailers(BODY, trailers.clone())).send()
    };
    let nobody = verify(app.request("POST", &format!("{CHALLENGES}/otp/SMS/verify"))).await;
    assert_eq!(nobody.summary(), "401 UNAUTHORIZED");
    let stranger = verify(mallory.challenge("POST", "/otp/SMS/verify")).await;
    assert_eq!(stranger.summary(), "409 STATE_INVALID");
    assert_eq!(verify(app.request("POST", "/transfers")).await.status, 401);
    assert_eq!(alice.card().await.status, 403);
    assert_eq!(mallory.card().await.status, 403);
    assert_eq!(verify(alice.challenge("POST", "/otp/SMS/verify")).await.summary(), "204");
}

/// User and session are separate: concatenations that are equal do not collide.
#[tokio::test]
async fn ids_are_not_joined() {
    let clock = clock();
    let step_up = StepUp::builder()
        .otp("SMS", vault_app::send)
        .sandbox()
        .clock(clock.clone())
        .build()
        .expect("a valid configuration");
    let app = vault_app::app(&step_up, clock, true);
    let pairs =
        [("ab", "c"), ("a", "bc"), ("abc", "x"), ("x", "abc"), ("c", "ab"), ("ab", "C"), ("ab", "c "), ("Ab", "c")];
    let sessions = pairs.map(|(user, session)| app.session(user, session));
    for (at, session) in sessions.iter().enumerate() {
        session.step_up().await;
        for (of, session) in sessions.iter().enumerate() {
            assert_eq!(session.vault().await.status == 200, of <= at, "{:?} after {:?}", pairs[of], pairs[at]);
        }
    }
}

/// User names are compared exactly.
#[tokio::test]
async fn names_are_not_confused() {
    let app = App::demo();
    let users = ["alice", "alice1", "alice 1", "alice/1", "alice:1", "alice\u{0}1", "aliceé", "alicee\u{301}"];
    let mut sessions = Vec::new();
    for user in users {
        sessions.push(app.login(user).await);
    }
    sessions[0].step_up().await;
    for (user, session) in users.iter().zip(&sessions).skip(1) {
        assert_eq!(session.card().await.summary(), "403 STEP_UP_REQUIRED missing", "{user:?}");
        assert_eq!(session.start().await.summary(), "204", "{user:?}");
        assert_eq!(session.verify(WRONG).await.summary(), "409 VERIFICATION_CODE_INVALID", "{user:?}");
        assert_eq!(session.verify(RIGHT).await.summary(), "204", "{user:?}");
    }
}
