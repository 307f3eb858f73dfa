//! Concurrent requests: tasks on several threads, and many streams of one HTTP/2 connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::app::{Answer, App, CHALLENGES, RIGHT, Session, WRONG};

/// The responses to the five attempts that are compared.
const COMPARED: [(&str, usize); 3] = [
    ("409 VERIFICATION_CODE_INVALID", 3),
    ("409 ONE_CHALLENGE_LIMIT_REMAINING", 1),
    ("409 CHALLENGE_LIMIT_EXCEEDED", 1),
];

/// Sends this many requests concurrently; returns the count of each response.
async fn together<F>(times: usize, send: impl Fn(usize) -> F) -> BTreeMap<String, usize>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(times));
    let mut tasks = JoinSet::new();
    for number in 0..times {
        let (barrier, request) = (barrier.clone(), send(number));
        tasks.spawn(async move {
            barrier.wait().await;
            request.await.summary()
        });
    }
    let mut counts = BTreeMap::new();
    for summary in tasks.join_all().await {
        *counts.entry(summary).or_default() += 1;
    }
    counts
}

fn verify(session: &Session, code: &'static str) -> impl Future<Output = Answer> + Send + 'static {
    let session = session.clone();
    async move { session.verify(code).await }
}

/// Asserts that exactly five were compared; the others found no live code, or the lockout.
fn exactly_five(mut counts: BTreeMap<String, usize>) {
    for (summary, times) in COMPARED {
        assert_eq!(counts.remove(summary), Some(times), "{summary} in {counts:?}");
    }
    assert!(counts.keys().all(|summary| summary == "409 STATE_INVALID" || summary.starts_with("429 5 ")), "{counts:?}");
}

/// T1: afterwards the right code fails, with the same bytes as a wrong one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_guesses() {
    for round in 0..12 {
        let app = App::demo();
        let (alice, other) = (app.login("alice").await, app.login("alice").await);
        assert_eq!(alice.start().await.summary(), "204");
        exactly_five(together(40, |_| verify(&alice, WRONG)).await);
        let (right, wrong) = (alice.verify(RIGHT).await, alice.verify(WRONG).await);
        assert_eq!(right.summary(), "409 STATE_INVALID", "round {round}");
        assert_eq!(right.bytes(), wrong.bytes());
        assert_eq!(alice.card().await.summary(), "403 STEP_UP_REQUIRED missing");
        app.wait(15);
        assert_eq!(other.start().await.summary(), "429 5 15", "locked out once, for the compared attempts");
    }
}

/// T1, T5: the same over several sessions of one user, each with its own code.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_guesses_in_three_sessions() {
    for _ in 0..6 {
        let app = App::demo();
        let mut sessions = Vec::new();
        for _ in 0..3 {
            let session = app.login("alice").await;
            assert_eq!(session.start().await.summary(), "204");
            sessions.push(session);
        }
        let counts = together(48, |number| verify(&sessions[number % 3], WRONG)).await;
        let compared: usize = COMPARED.iter().filter_map(|(summary, _)| counts.get(*summary)).sum();
        assert_eq!(compared, 5, "{counts:?}");
        for session in &sessions {
            assert!(!session.verify(RIGHT).await.status.is_success());
            assert_eq!(session.card().await.status, 403);
        }
    }
}

/// T2: a code is consumed once; late attempts are not counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_codes() {
    for _ in 0..12 {
        let app = App::demo();
        let alice = app.login("alice").await;
        assert_eq!(alice.start().await.summary(), "204");
        let mut counts = together(32, |_| verify(&alice, RIGHT)).await;
        assert_eq!(counts.remove("204"), Some(1), "{counts:?}");
        assert!(
            counts.keys().all(|summary| summary.starts_with("409 ") || summary.starts_with("429 5 ")),
            "{counts:?}"
        );
        assert_eq!(alice.status().await.json()["grants"].as_array().map(Vec::len), Some(1));
        assert_eq!(alice.card().await.summary(), "200");
        app.wait(15);
        assert_eq!(alice.start().await.summary(), "204");
        for _ in 0..4 {
            assert_eq!(alice.verify(WRONG).await.status, 409);
        }
        assert_eq!(alice.verify(RIGHT).await.summary(), "204");
    }
}

/// Right codes among wrong ones: at most one success, and at most five compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_right_code_among_wrong_ones() {
    for _ in 0..12 {
        let app = App::demo();
        let alice = app.login("alice").await;
        assert_eq!(alice.start().await.summary(), "204");
        let counts = together(40, |number| verify(&alice, if number % 8 == 7 { RIGHT } else { WRONG })).await;
        let successes = counts.get("204").copied().unwrap_or_default();
        let compared: usize = COMPARED.iter().filter_map(|(summary, _)| counts.get(*summary)).sum();
        assert!(successes <= 1 && successes + compared <= 5, "{counts:?}");
        assert_eq!(alice.card().await.status == 200, successes == 1, "{counts:?}");
    }
}

/// Of concurrent starts, one code and one push are sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts() {
    for _ in 0..6 {
        let alice = App::demo().login("alice").await;
        let start = |path: &'static str| {
            let alice = alice.clone();
            async move { alice.challenge("POST", path).send().await }
        };
        let counts = together(32, |_| start("/otp/SMS")).await;
        assert_eq!(counts, [("204".to_owned(), 1), ("409 RETRY_IN_15SEC 15".to_owned(), 31)].into());
        let counts = together(32, |_| start("/push/BIOMETRIC")).await;
        assert_eq!(counts, [("200".to_owned(), 1), ("409 STATE_INVALID".to_owned(), 31)].into());
    }
}

/// T14: a push is answered once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers() {
    for _ in 0..6 {
        let alice = App::demo().login("alice").await;
        let id = alice.push().await;
        let counts = together(32, |number| {
            let (alice, id) = (alice.clone(), id.clone());
            async move { alice.phone(&id, ["accept", "decline"][number % 2]).await }
        });
        let counts = counts.await;
        let mut by_status: Vec<_> = counts.iter().map(|(summary, count)| (&summary[..3], *count)).collect();
        by_status.sort_unstable();
        assert_eq!(by_status, [("204", 1), ("409", 31)], "{counts:?}");
        let verified = alice.poll(&id).await.summary() == "200 VERIFIED";
        assert_eq!(alice.card().await.status == 200, verified);
    }
}

/// T16: a verification concurrent with `DELETE` or logout leaves no elevation, unless it came after the `DELETE`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logout_while_verifying() {
    for _ in 0..24 {
        let app = App::demo();
        let alice = app.login("alice").await;
        assert_eq!(alice.start().await.summary(), "204");
        together(8, |number| {
            let alice = alice.clone();
            async move { if number == 0 { alice.logout().await } else { alice.verify(RIGHT).await } }
        })
        .await;
        assert_eq!(alice.card().await.status, 401);
        let again = app.login("alice").await;
        assert_eq!(again.card().await.summary(), "403 STEP_UP_REQUIRED missing");
        assert_eq!(again.status().await.summary(), "200 STANDARD");
    }
}

/// T1 over one HTTP/2 connection: a hundred streams sent in one flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_of_one_connection() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("an address");
    let service = TowerToHyperService::new(app.router());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let server = Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(stream), service).await.expect("a connection that ends well");
    });
    let stream = TcpStream::connect(address).await.expect("a connection");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (client, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);

    let send = |path: &str, code: &str| {
        let body = if code.is_empty() { String::new() } else { json!({"verificationCode": code}).to_string() };
        let request = Request::post(format!("http://{address}{CHALLENGES}{path}"))
            .header("authorization", format!("Bearer {}", alice.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answer = client.clone().send_request(request);
        async move {
            let (parts, body) = answer.await.expect("an answer").into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            Answer { status: parts.status, headers: parts.headers, body }
        }
    };
    for round in 0..4 {
        // Twice as long as the last lockout, and long enough for the budgets of messages.
        app.wait(3600);
        assert_eq!(send("/otp/SMS", "").await.summary(), "204", "round {round}");
        let guesses: Vec<_> = (0..100).map(|_| send("/otp/SMS/verify", WRONG)).collect();
        let mut counts = BTreeMap::new();
        for guess in guesses {
            *counts.entry(guess.await.summary()).or_default() += 1;
        }
        exactly_five(counts);
        let (right, wrong) = (send("/otp/SMS/verify", RIGHT).await, send("/otp/SMS/verify", WRONG).await);
        assert_eq!(right.summary(), "409 STATE_INVALID");
        assert_eq!(right.bytes(), wrong.bytes());
    }
    assert_eq!(alice.card().await.summary(), "403 STEP_UP_REQUIRED missing");
}
