//! What is one of our refusals, and that everything else passes as it was.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, util::BoxCloneService};
use tower_step_up_client::{ChallengeError, Error, PromptError, StepUpClient};

use crate::support::{Ask, CODE};

const OURS: &str = r#"{"errorCode":"STEP_UP_REQUIRED","message":"STEP_UP_REQUIRED"}"#;

type Fake = BoxCloneService<Request<Full<Bytes>>, Response<Body>, Infallible>;
type Asked = Arc<Mutex<Vec<Uri>>>;

/// A server that answers one path with this, and everything else with 204. And what it was asked.
fn server(answer: impl Fn() -> Response<Body> + Clone + Send + 'static) -> (Fake, Asked) {
    let asked = Asked::default();
    let list = Arc::clone(&asked);
    let serve = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let is_guarded = request.uri().path() == "/guarded";
        list.lock().unwrap().push(request.uri().clone());
        let no_content = || Response::builder().status(204).body(Body::empty()).unwrap();
        let response = if is_guarded { answer() } else { no_content() };
        Box::pin(async { Ok(response) }) as BoxFuture<'static, _>
    });
    (BoxCloneService::new(serve), asked)
}

fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let response = Response::builder().status(status).header("x-own", "1");
    let response = if content_type.is_empty() { response } else { response.header("content-type", content_type) };
    response.body(body.into()).unwrap()
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn refusals_are_recognised() {
    let json = "application/json";
    for (status, content_type, body) in [
        (403, json, OURS),
        (401, json, OURS),
        (403, "Application/JSON; charset=utf-8", OURS),
        (403, json, r#"{"errorCode":"STEP_UP_REQUIRED"}"#),
        (403, json, r#"{"message":"STEP_UP_REQUIRED","errorCode":"FORBIDDEN"}"#),
    ] {
        let (server, _) = server(move || answer(status, content_type, body));
        let client = StepUpClient::new(Ask::new(async |_, _| Err(PromptError::Cancelled))).layer(server);
        let outcome = client.oneshot(get("/guarded")).await;
        assert!(matches!(outcome, Err(Error::Cancelled(_))), "{status} {content_type} {body}: {outcome:?}");
    }
}

#[tokio::test]
async fn everything_else_passes_as_it_was() {
    let json = "application/json";
    // Longer than any refusal, in one frame or in several.
    let long = format!("{OURS}{}", " ".repeat(64 << 10));
    let chunks = |text: &str| {
        let chunks = text.as_bytes().chunks(1 << 10).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>);
        Body::from_stream(stream::iter(chunks.collect::<Vec<_>>()))
    };
    let table: [(u16, &str, &str); 11] = [
        (403, json, r#"{"errorCode":"INSUFFICIENT_PERMISSIONS","message":"no"}"#),
        (401, json, r#"{"errorCode":"UNAUTHORIZED"}"#),
        (403, json, ""),
        (403, json, "{"),
        (403, json, r#"["STEP_UP_REQUIRED"]"#),
        (403, "text/html", OURS),
        (403, "application/problem+json", OURS),
        (403, "", OURS),
        (200, json, OURS),
        (404, json, OURS),
        (403, json, &long),
    ];
    for (status, content_type, body) in table {
        for whole in [true, false] {
            let (text, kind) = (body.to_owned(), content_type.to_owned());
            let make = move || if whole { Body::from(text.clone()) } else { chunks(&text) };
            let (server, asked) = server(move || answer(status, &kind, make()));
            let prompt = Ask::new(async |_, _| Ok(()));
            let calls = Arc::clone(&prompt.calls);
            let response = StepUpClient::new(prompt).layer(server).oneshot(get("/guarded")).await.unwrap();
            assert_eq!((response.status().as_u16(), &response.headers()["x-own"]), (status, &"1".parse().unwrap()));
            let size = http_body::Body::size_hint(response.body()).exact();
            assert!(!whole || size == Some(body.len() as u64), "{size:?}");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
            assert_eq!((calls.load(Ordering::SeqCst), asked.lock().unwrap().len()), (0, 1));
        }
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_caller() {
    let (server, _) = server(|| {
        let frames = [Ok(Bytes::from(OURS)), Err(std::io::Error::other("broken"))];
        answer(403, "application/json", Body::from_stream(stream::iter(frames)))
    });
    let client = StepUpClient::new(Ask::new(async |_, _| Ok(()))).layer(server);
    let mut body = client.oneshot(get("/guarded")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), OURS);
    assert!(body.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_start_at_another_origin_is_refused_and_never_called() {
    for start in ["https://evil.example/otp/SMS", "//evil.example/otp/SMS", "http://bank.example/otp/SMS"] {
        let refusal = OURS.replace('}', &format!(r#","binding":"b","start":["/otp/SMS","{start}"]}}"#));
        let (server, asked) = server(move || answer(403, "application/json", refusal.clone()));
        let prompt = Ask::new(async |_, _| Ok(()));
        let calls = Arc::clone(&prompt.calls);
        let outcome = StepUpClient::new(prompt).layer(server).oneshot(get("https://bank.example/guarded")).await;
        assert!(matches!(outcome, Err(Error::ForeignStart(_))), "{start}: {outcome:?}");
        assert_eq!((calls.load(Ordering::SeqCst), asked.lock().unwrap().len()), (0, 1));
    }
}

#[tokio::test]
async fn challenges_are_called_at_the_origin_of_the_request() {
    let starts = r#","start":["https://bank.example/in/otp/SMS"]}"#;
    for (refusal, endpoints, base) in [
        (OURS.replace('}', starts), None, "/in"),
        (OURS.replace('}', starts), Some("/set"), "/in"),
        (OURS.to_owned(), Some("/set/"), "/set"),
    ] {
        let (server, asked) = server(move || answer(403, "application/json", refusal.clone()));
        let layer = StepUpClient::new(Ask::new(async |_, challenges: tower_step_up_client::Challenges| {
            challenges.start("SMS").await?;
            Ok(challenges.verify("SMS", CODE).await?)
        }));
        let layer = if let Some(path) = endpoints { layer.endpoints(path).unwrap() } else { layer };
        let outcome = layer.layer(server).oneshot(get("https://bank.example/guarded")).await;
        assert!(matches!(outcome, Err(Error::StillRefused(_))), "{outcome:?}");
        let at = |path: &str| format!("https://bank.example{path}").parse::<Uri>().unwrap();
        let (start, guarded) = (format!("{base}/otp/SMS"), at("/guarded"));
        let expected = [guarded.clone(), at(&start), at(&format!("{start}/verify")), guarded];
        assert_eq!(*asked.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn without_a_start_the_endpoints_have_to_be_set() {
    let (server, _) = server(|| answer(403, "application/json", OURS));
    let prompt = Ask::new(async |_, challenges: tower_step_up_client::Challenges| Ok(challenges.start("SMS").await?));
    let outcome = StepUpClient::new(prompt).layer(server).oneshot(get("/guarded")).await;
    let Err(Error::Prompt(_, PromptError::Challenge(error))) = &outcome else { panic!("{outcome:?}") };
    assert!(matches!(**error, ChallengeError::NoEndpoints));
    let layer = || StepUpClient::new(Ask::new(async |_, _| Ok(())));
    for path in ["x", "//evil.example", "/a?b", "/\\evil.example", "https://evil.example/"] {
        assert!(layer().endpoints(path).is_err(), "{path}");
    }
    assert!(layer().endpoints("/").is_ok() && layer().endpoints("/stepup/challenges").is_ok());
}
