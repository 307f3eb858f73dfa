//! Each response of the example ends as its client understands it.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body};
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use tokio::{net::TcpListener, time::timeout};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};
use tower::ServiceExt;
use tower_step_up::{Caller, StepUp};

#[path = "../streams.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

fn alice() -> Caller {
    Caller::user("alice").session("alice-1")
}

async fn step_up(step_up: &StepUp) {
    step_up.start_otp(&alice(), "SMS", None).await.unwrap();
    step_up.verify_otp(&alice(), "SMS", "123456").await.unwrap();
}

async fn get(app: &Router, path: &str) -> axum::response::Response {
    let request = axum::http::Request::get(path).header("authorization", "Bearer alice-1").body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn the_balance_ends_with_the_refusal() {
    let (app, engine) = example::app().unwrap();
    assert_eq!(get(&app, "/balance").await.status(), 403);
    step_up(&engine).await;
    let mut body = get(&app, "/balance").await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 0 EUR\n\n");
    engine.revoke(&alice()).await.unwrap();
    let end = body.collect().await.unwrap().to_bytes();
    let end = String::from_utf8(end.to_vec()).unwrap();
    assert!(end.contains("event: step-up\ndata: {\"errorCode\":\"STEP_UP_REQUIRED\""), "{end}");
}

#[tokio::test]
async fn the_statement_breaks_off() {
    let (app, engine) = example::app().unwrap();
    step_up(&engine).await;
    let mut body = get(&app, "/statement").await.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    engine.revoke(&alice()).await.unwrap();
    let end = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    timeout(Duration::from_secs(5), end).await.unwrap();
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn the_websocket_is_closed_with_a_reason() {
    let (app, engine) = example::app().unwrap();
    let address = serve(app).await;
    let request = || {
        let mut request = format!("ws://{address}/trades").into_client_request().unwrap();
        request.headers_mut().insert("authorization", "Bearer alice-1".parse().unwrap());
        request
    };
    let Err(tungstenite::Error::Http(refused)) = connect_async(request()).await else { panic!("it was not refused") };
    assert_eq!(refused.status(), 403);

    step_up(&engine).await;
    let (mut socket, _) = connect_async(request()).await.unwrap();
    socket.send(Message::text("buy")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("done: buy"));
    engine.lock("alice").await.unwrap();
    socket.send(Message::text("sell")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("done: sell"), "a lock ends nothing");
    engine.revoke_all("alice").await.unwrap();
    let Some(Ok(Message::Close(Some(close)))) = socket.next().await else { panic!("it is not closed") };
    assert_eq!((close.code, &*close.reason), (CloseCode::Policy, "STEP_UP_REQUIRED"));
}
