//! Bodies of bound requests: read only for a known caller, up to a limit and a deadline, and passed on unchanged.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    response::Response,
};
use http::{HeaderMap, Request, request::Parts};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use tokio_stream::StreamExt;
use tower::{Layer, Service, limit::ConcurrencyLimit, service_fn};
use tower_step_up::{Binding, ManualClock, Proof, Purpose, Refusal, RequireStepUp, StepUp, guard::Replayed};

use super::{
    alice,
    app::{Answer, App, challenge_request, oneshot},
    local, of, secs,
};

const LIMIT: usize = 64 * 1024;
const APPROVED: &str = "Approve this";

/// Responds with the body and the trailers of the request.
fn echo() -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(async |request: Request<Body>| Ok(Response::new(request.into_body())))
}

/// A bound guard around a handler that echoes the request.
fn bound(
    step_up: &StepUp,
    binding: Binding,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible> + Clone {
    RequireStepUp::new(step_up).bind(binding).rebuild_with(Body::new::<Replayed>).layer(echo())
}

fn described(text: impl Into<Option<&'static str>>) -> Binding {
    let text = text.into();
    Binding::new(Binding::uri_as_received, move |_: &Parts, _: &[u8]| text.map(Into::into))
}

async fn call(step_up: &StepUp, binding: Binding, request: Request<Body>) -> Answer {
    oneshot(bound(step_up, binding), request).await
}

/// Steps up for the operation that a refusal names.
async fn approve(step_up: &StepUp, refused: &Answer) {
    let Some(Refusal::StepUpRequired(unmet)) = &refused.refusal else { panic!("{refused:?}") };
    let purpose = Purpose::new().binding(unmet.binding().expect("no binding"));
    step_up.record_proof(&alice(), Proof::new("KEY").purpose(purpose)).await.unwrap();
}

/// Bytes of unknown length, in frames of a kibibyte.
fn stream(bytes: usize) -> Body {
    let frames = (0..bytes.div_ceil(1024)).map(move |at| (bytes - at * 1024).min(1024));
    let frames = frames.map(|len| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; len]))));
    Body::new(StreamBody::new(tokio_stream::iter(frames)))
}

/// The body passed on has the same size hint and the same `is_end_stream` as the original.
#[tokio::test]
async fn a_body_passed_on_keeps_its_length_and_its_end() {
    let step_up = local(&ManualClock::new());
    let measure = service_fn(async |request: Request<Body>| {
        let mut body = request.into_body();
        let mut said = vec![format!("{:?} {}", body.size_hint().exact(), body.is_end_stream())];
        while let Some(frame) = body.frame().await {
            let kind = if frame.unwrap().is_data() { "data" } else { "trailers" };
            said.push(format!("{kind} {}", body.is_end_stream()));
        }
        Ok::<_, Infallible>(Response::new(Body::from(said.join(", "))))
    });
    let with_trailers = || {
        let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), "1".parse().unwrap())]);
        Body::new(Full::new(Bytes::from("four")).with_trailers(async move { Some(Ok(trailers)) }))
    };
    let table: [(&dyn Fn() -> Body, &str); 3] = [
        (&Body::empty, "Some(0) true"),
        (&|| Body::from("four"), "Some(4) false, data true"),
        (&with_trailers, "Some(4) false, data false, trailers true"),
    ];
    for (body, expected) in table {
        let guarded =
            RequireStepUp::new(&step_up).bind(described(APPROVED)).rebuild_with(Body::new::<Replayed>).layer(measure);
        let send = async || oneshot(guarded.clone(), of(&alice(), Request::new(body()))).await;
        approve(&step_up, &send().await).await;
        assert_eq!(send().await.body, expected);
    }
}

/// A body that must not be polled.
struct Untouched;

impl http_body::Body for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was polled")
    }
}

/// A body with a size hint, which must not be polled.
struct Claims(u64);

impl http_body::Body for Claims {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was polled")
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn the_limit_is_64_kib() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    for body in [|len| Body::from(vec![b'x'; len]), stream] {
        let refused = call(&step_up, described(APPROVED), of(&alice(), Request::new(body(LIMIT)))).await;
        approve(&step_up, &refused).await;
        let passed = call(&step_up, described(APPROVED), of(&alice(), Request::new(body(LIMIT)))).await;
        assert_eq!((passed.summary().as_str(), passed.body.len()), ("200", LIMIT));
        let larger = call(&step_up, described(APPROVED), of(&alice(), Request::new(body(LIMIT + 1)))).await;
        assert_eq!((larger.summary().as_str(), &larger.refusal), ("413 CONTENT_TOO_LARGE", &Some(Refusal::TooLarge)));
        assert_eq!(
            larger.json(),
            serde_json::json!({ "errorCode": "CONTENT_TOO_LARGE", "message": "Request body too large" })
        );
    }
    let claims = call(&step_up, described(APPROVED), of(&alice(), Request::new(Body::new(Claims(1 << 40))))).await;
    assert_eq!(claims.summary(), "413 CONTENT_TOO_LARGE");
}

/// An outer body limit applies to bodies of unknown length, too: guard and challenge endpoints respond with 413.
#[tokio::test]
async fn an_outer_limit_responds_with_too_large() {
    let step_up = local(&ManualClock::new());
    let limited = || Body::new(Limited::new(stream(2000), 1999));
    let refused = call(&step_up, described(APPROVED), of(&alice(), Request::new(limited()))).await;
    assert_eq!((refused.summary().as_str(), &refused.refusal), ("413 CONTENT_TOO_LARGE", &Some(Refusal::TooLarge)));
    let app = App::new(&step_up, Router::new());
    let mut start = challenge_request("POST", "/otp/SMS", "alice/1", &serde_json::Value::Null);
    *start.body_mut() = limited();
    let refused = app.send(start).await;
    assert_eq!(refused.summary(), "413 CONTENT_TOO_LARGE");
}

/// A body that stalls times out, and one that fails is invalid.
#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_or_fails_is_refused() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let begun = || tokio_stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from("{")))]);
    let slow = Body::new(StreamBody::new(begun().chain(tokio_stream::pending())));
    let start = tokio::time::Instant::now();
    let refused = call(&step_up, described(APPROVED), of(&alice(), Request::new(slow))).await;
    assert_eq!((refused.summary().as_str(), &refused.refusal), ("408 REQUEST_TIMEOUT", &Some(Refusal::TooSlow)));
    assert_eq!(start.elapsed(), secs(5));
    assert_eq!(
        refused.json(),
        serde_json::json!({ "errorCode": "REQUEST_TIMEOUT", "message": "Request body timed out" })
    );

    let broken = begun().chain(tokio_stream::once(Err(std::io::Error::other("broken"))));
    let broken = Body::new(StreamBody::new(broken));
    let refused = call(&step_up, described(APPROVED), of(&alice(), Request::new(broken))).await;
    assert_eq!((refused.summary().as_str(), &refused.refusal), ("400 INVALID_REQUEST", &Some(Refusal::Invalid)));
    assert_eq!(refused.json(), serde_json::json!({ "errorCode": "INVALID_REQUEST", "message": "Invalid request" }));
}

/// While a slow body is read, the request holds no permit of the inner service.
#[tokio::test(start_paused = true)]
async fn a_slow_body_holds_no_permit_of_the_inner_service() {
    let step_up = local(&ManualClock::new());
    let inner = ConcurrencyLimit::new(echo(), 1);
    let guarded = RequireStepUp::new(&step_up).bind(described(APPROVED)).rebuild_with(Body::new::<Replayed>);
    let guarded = guarded.layer(inner.clone());
    let slow = Body::new(StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>()));
    let mut first = Box::pin(oneshot(guarded.clone(), of(&alice(), Request::new(slow))));
    assert!(futures_util::poll!(&mut first).is_pending());

    let start = tokio::time::Instant::now();
    approve(&step_up, &oneshot(guarded.clone(), of(&alice(), get_empty())).await).await;
    assert_eq!(oneshot(guarded.clone(), of(&alice(), get_empty())).await.summary(), "200");
    assert_eq!(start.elapsed(), secs(0));
    assert_eq!(first.await.summary(), "408 REQUEST_TIMEOUT");

    // A request that may pass waits for the inner service.
    approve(&step_up, &oneshot(guarded.clone(), of(&alice(), get_empty())).await).await;
    let mut busy = inner;
    std::future::poll_fn(|cx| busy.poll_ready(cx)).await.unwrap();
    let mut waits = Box::pin(oneshot(guarded, of(&alice(), get_empty())));
    for _ in 0..9 {
        tokio::task::yield_now().await;
        assert!(futures_util::poll!(&mut waits).is_pending());
    }
    drop(busy);
    assert_eq!(waits.await.summary(), "200");
}

/// Without a caller, or on a route that does not bind the body, no body is read.
#[tokio::test]
async fn unneeded_bodies_are_not_read() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let untouched = || Request::new(Body::new(Untouched));
    assert_eq!(call(&step_up, described(APPROVED), untouched()).await.summary(), "401 UNAUTHORIZED");

    let drop_body = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::<Body>::default()));
    let bodiless = RequireStepUp::new(&step_up).bind(described(APPROVED).without_body()).layer(drop_body);
    let refused = oneshot(bodiless.clone(), of(&alice(), untouched())).await;
    assert_eq!(refused.summary(), "403 missing");
    approve(&step_up, &refused).await;
    assert_eq!(oneshot(bodiless.clone(), of(&alice(), untouched())).await.summary(), "200");
    assert_eq!(oneshot(bodiless, of(&alice(), untouched())).await.summary(), "403 spent");

    let never = RequireStepUp::new(&step_up).when(|_| false).bind(described(APPROVED)).layer(drop_body);
    assert_eq!(oneshot(never, untouched()).await.summary(), "200");
    let report_only = RequireStepUp::new(&step_up).report_only().bind(described(APPROVED)).layer(drop_body);
    assert_eq!(oneshot(report_only, of(&alice(), untouched())).await.summary(), "200");
}

/// With `without_body`, the content of the body is not bound.
#[tokio::test]
async fn without_body_the_body_is_not_bound() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let binding =
        || Binding::new(Binding::uri_as_received, |_: &Parts, body: &[u8]| Some(format!("{} bytes", body.len())));
    let request = |body: &'static str| of(&alice(), Request::new(Body::from(body)));
    approve(&step_up, &call(&step_up, binding().without_body(), request("one")).await).await;
    // An omitted body differs from an empty one.
    assert_eq!(call(&step_up, binding(), request("")).await.summary(), "403 mismatch");
    let passed = call(&step_up, binding().without_body(), request("another")).await;
    assert_eq!((passed.summary().as_str(), &*passed.body), ("200", &b"another"[..]));
}

/// A retried form with another multipart boundary passes, and the handler gets it unchanged.
#[tokio::test]
async fn a_form_passes_with_another_boundary() {
    let step_up = local(&ManualClock::new());
    let form = |boundary: &str, amount: u32| {
        let part = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"amount\"\r\n\r\n{amount}\r\n");
        let request = Request::post("/pay").header("content-type", format!("multipart/form-data; boundary={boundary}"));
        of(&alice(), request.body(Body::from(format!("{part}--{boundary}--\r\n"))).unwrap())
    };
    let parts = |request: &Parts, body: &[u8]| {
        let (_, boundary) = request.headers.get("content-type")?.to_str().ok()?.split_once("boundary=")?;
        Some(str::from_utf8(body).ok()?.replace(boundary, "").into_bytes())
    };
    let binding = || described(APPROVED).content(parts);
    approve(&step_up, &call(&step_up, binding(), form("one", 10)).await).await;
    assert_eq!(call(&step_up, binding(), form("two", 11)).await.summary(), "403 mismatch");
    let untyped = of(&alice(), Request::post("/pay").body(Body::from("10")).unwrap());
    assert_eq!(call(&step_up, binding(), untyped).await.summary(), "400 INVALID_REQUEST");
    let passed = call(&step_up, binding(), form("two", 10)).await;
    assert_eq!(passed.summary(), "200");
    assert!(passed.body.starts_with(b"--two\r\n"));
}

#[tokio::test]
async fn trailers_are_passed_on() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let trailers = HeaderMap::from_iter([("checksum".parse().unwrap(), "1".parse().unwrap())]);
    for data in ["", "data"] {
        let with_trailers = || {
            let body = Full::new(Bytes::from(data)).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
            of(&alice(), Request::new(Body::new(body)))
        };
        approve(&step_up, &call(&step_up, described(APPROVED), with_trailers()).await).await;
        let passed = call(&step_up, described(APPROVED), with_trailers()).await;
        assert_eq!((passed.summary().as_str(), &*passed.body), ("200", data.as_bytes()));
        assert_eq!(passed.trailers.as_ref(), Some(&trailers));
    }
}

/// Without `rebuild_with`, the body is built with `From<Bytes>`.
#[tokio::test]
async fn a_body_is_built_from_its_bytes() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let guard = RequireStepUp::new(&step_up).bind(described(APPROVED));
    let echo = service_fn(async |request: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Body::new(request.into_body())))
    });
    let mut guarded = guard.layer(echo);
    let mut request = || {
        let mut request = Request::new(Full::new(Bytes::from("data")));
        request.extensions_mut().insert(alice());
        guarded.call(request)
    };
    approve(&step_up, &Answer::of(request().await.unwrap()).await).await;
    assert_eq!(&*Answer::of(request().await.unwrap()).await.body, b"data");
}

/// Texts that a user could not read, or could misread, are invalid.
#[tokio::test]
async fn misleading_descriptions_are_invalid() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let too_long: &'static str = Box::leak("x".repeat(1025).into_boxed_str());
    let texts = [
        None,
        Some(""),
        Some(" \u{a0}"),
        Some("Pay\n10"),
        Some("Pay\r10"),
        Some("Pay\t10"),
        Some("Pay\0"),
        Some("Pay\u{7f}"),
        Some("Pay\u{85}10"),
        Some("Pay \u{202e}01 EUR"),
        Some("Pay \u{2066}01 EUR\u{2069}"),
        Some("Pay \u{200f}10"),
        Some("Pay \u{61c}10"),
        Some("Pay 10\u{2028}to Bob"),
        Some("Pay 1\u{200b}0"),
        Some(too_long),
    ];
    for text in texts {
        let refused = call(&step_up, described(text), of(&alice(), Request::new(Body::from("{}")))).await;
        assert_eq!(
            (refused.summary().as_str(), &refused.refusal),
            ("400 INVALID_REQUEST", &Some(Refusal::Invalid)),
            "{text:?}"
        );
        assert_eq!(
            refused.json(),
            serde_json::json!({ "errorCode": "INVALID_REQUEST", "message": "Invalid request" }),
            "{text:?}"
        );
    }
    let panics = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| panic!("in the application's code"));
    assert_eq!(call(&step_up, panics, of(&alice(), get_empty())).await.summary(), "400 INVALID_REQUEST");
    let longest: &'static str = Box::leak("ü".repeat(512).into_boxed_str());
    let refused = call(&step_up, described(longest), of(&alice(), get_empty())).await;
    assert_eq!(refused.summary(), "403 missing");
    approve(&step_up, &refused).await;
    assert_eq!(call(&step_up, described(longest), of(&alice(), get_empty())).await.summary(), "200");
}

fn get_empty() -> Request<Body> {
    Request::new(Body::empty())
}
