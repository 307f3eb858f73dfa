//! Two demos on one Redis behave as one.

use axum::{
    Router,
    body::Body,
    http::{Request, header::CONTENT_TYPE},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_step_up::SystemClock;

use crate::{bank, server::Server};

async fn send_once(demo: &Router, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    let request = request.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_owned())).unwrap();
    let answer = demo.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Repeats requests on a 503, as a client would, because a busy machine may exceed the store's deadline.
async fn send(demo: &Router, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    for _ in 0..20 {
        let answer = send_once(demo, method, path, token, body).await;
        if answer.0 != 503 {
            return answer;
        }
    }
    panic!("{method} {path} is always 503");
}

#[tokio::test]
async fn two_demos_are_one() {
    let server = Server::start();
    let url = server.address();
    let [a, b] = [(); 2].map(|()| bank::app_on(SystemClock, &url).unwrap());
    let credentials = r#"{"username":"alice","password":"alice"}"#;
    let (status, login) = send(&a, "POST", "/login", "", credentials).await;
    assert_eq!(status, 200);
    let token = login["token"].as_str().unwrap();
    let card = async |demo: &Router| send(demo, "GET", "/cards/1", token, "").await.0;
    assert_eq!([card(&a).await, card(&b).await], [403, 403]);

    let (code, verify) = ("/stepup/challenges/otp/SMS", "/stepup/challenges/otp/SMS/verify");
    assert_eq!(send(&a, "POST", code, token, "").await.0, 204);
    assert_eq!(send(&b, "POST", verify, token, r#"{"verificationCode":"123456"}"#).await.0, 204);
    assert_eq!([card(&a).await, card(&b).await], [200, 200]);
    let transfer = r#"{"to":"bob","amount":10}"#;
    assert_eq!(send(&a, "POST", "/transfers", token, transfer).await.0, 201);
    let balance = send(&b, "GET", "/accounts", token, "").await.1["accounts"][0]["balance"].clone();
    assert_eq!(balance, "12490.00", "a transfer on one shows on the other");

    assert_eq!(send(&b, "DELETE", "/stepup/challenges", token, "").await.0, 204);
    assert_eq!(card(&a).await, 403);

    let (_, push) = send(&a, "POST", "/stepup/challenges/push/BIOMETRIC", token, "").await;
    let accept = format!("/simulate/push/{}/accept", push["id"].as_str().unwrap());
    assert_eq!(send(&b, "POST", &accept, "", "").await.0, 204);
    assert_eq!(card(&a).await, 200);

    assert_eq!(send(&b, "POST", "/logout", token, "").await.0, 204);
    assert_eq!([card(&a).await, card(&b).await], [401, 401]);
}
