//! reqwest and hyper-util, over sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use axum::{Json, Router, response::Redirect, routing::post};
use futures_util::FutureExt;
use http::{Request, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};
use tower_step_up_client::{
    ChallengeError, Challenges, Error, PromptError, StepUpClient,
    adapters::{hyper_util, reqwest::Reqwest},
};

use crate::support::{Ask, Bank, code_prompt};

const TEN: &str = r#"{"to":"bob","amount":10}"#;

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn reqwest_steps_up() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let address = serve(bank.router.clone()).await;
    let http = reqwest::Client::new();
    let client = StepUpClient::new(code_prompt(&bank)).layer(Reqwest::new(http.clone()));
    for path in ["transfers", "payouts"] {
        let url = format!("http://{address}/{path}");
        let request = http.post(&url).bearer_auth(&token).header("content-type", "application/json").body(TEN);
        let response = client.execute(request.build().unwrap()).await.unwrap();
        assert_eq!((response.status().as_u16(), response.url().as_str()), (201, &*url));
        assert!(response.text().await.unwrap().contains("\"approvedBy\":\"SMS\""));
    }
}

#[tokio::test]
async fn reqwest_hands_a_stream_and_what_is_too_long_through() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let address = serve(bank.router.clone()).await;
    let http = reqwest::Client::new();
    let client = StepUpClient::new(code_prompt(&bank)).repeat_up_to(8).layer(Reqwest::new(http.clone()));
    let slow = async_body(TEN);
    for body in [reqwest::Body::from(TEN), slow] {
        let request = http.post(format!("http://{address}/transfers")).bearer_auth(&token);
        let request = request.header("content-type", "application/json").body(body);
        let error = client.execute(request.build().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::NotRepeatable(_)), "{error:?}");
    }
}

/// A body whose frames come one by one.
fn async_body(text: &'static str) -> reqwest::Body {
    let frames = futures_util::stream::unfold(Some(text), |text| async move {
        tokio::task::yield_now().await;
        text.map(|text| (Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::from(text))), None))
    });
    reqwest::Body::wrap(http_body_util::StreamBody::new(SyncStream(Box::pin(frames))))
}

/// A stream in an exclusive place.
struct SyncStream<S>(std::pin::Pin<Box<S>>);

impl<S: futures_util::Stream> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// Nobody but the server that was asked sends its user to a prompt.
#[tokio::test]
async fn a_refusal_behind_a_redirect_to_another_origin_passes() {
    let refusal = || (StatusCode::FORBIDDEN, Json(json!({ "errorCode": "STEP_UP_REQUIRED", "start": ["/otp/SMS"] })));
    let app = Router::new().route("/transfers", post(async move || refusal()));
    let elsewhere = serve(app.clone()).await;
    let to = format!("http://{elsewhere}/transfers");
    let app = app.route("/away", post(async move || Redirect::temporary(&to)));
    let asked = serve(app.route("/here", post(async || Redirect::temporary("/transfers")))).await;
    let prompt = Ask::new(async |_, _| Ok(()));
    let calls = Arc::clone(&prompt.calls);
    let http = reqwest::Client::new();
    let client = StepUpClient::new(prompt).layer(Reqwest::new(http.clone()));
    let send = |path| client.execute(http.post(format!("http://{asked}/{path}")).body(TEN).build().unwrap()).boxed();
    let response = send("away").await.unwrap();
    assert_eq!((response.status().as_u16(), response.url().port()), (403, Some(elsewhere.port())));
    assert!(response.text().await.unwrap().contains("STEP_UP_REQUIRED"));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(matches!(send("here").await, Err(Error::StillRefused(_))));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// What another server says to a challenge is no success.
#[tokio::test]
async fn a_challenge_behind_a_redirect_to_another_origin_fails() {
    let elsewhere = serve(Router::new().route("/otp/SMS", post(async || StatusCode::NO_CONTENT))).await;
    let to = format!("http://{elsewhere}/otp/SMS");
    let refusal = || (StatusCode::FORBIDDEN, Json(json!({ "errorCode": "STEP_UP_REQUIRED", "start": ["/otp/SMS"] })));
    let app = Router::new().route("/transfers", post(async move || refusal()));
    let asked = serve(app.route("/otp/SMS", post(async move || Redirect::temporary(&to)))).await;
    let prompt = Ask::new(async |_, challenges: Challenges| Ok(challenges.start("SMS").await?));
    let http = reqwest::Client::new();
    let client = StepUpClient::new(prompt).layer(Reqwest::new(http.clone()));
    let outcome = client.execute(http.post(format!("http://{asked}/transfers")).body(TEN).build().unwrap()).await;
    let Err(Error::Prompt(_, PromptError::Challenge(error))) = &outcome else { panic!("{outcome:?}") };
    assert!(matches!(**error, ChallengeError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn hyper_util_steps_up() {
    let bank = Bank::new();
    let token = bank.login("alice").await;
    let address = serve(bank.router.clone()).await;
    let client = StepUpClient::new(code_prompt(&bank)).layer(hyper_util::client());
    let request = Request::post(format!("http://{address}/transfers")).header(AUTHORIZATION, format!("Bearer {token}"));
    let request = request.header("content-type", "application/json").body(hyper_util::body(TEN)).unwrap();
    let response = client.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
}
