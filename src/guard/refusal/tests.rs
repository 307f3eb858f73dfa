//! A refusal takes over the maps of its request, and nothing that was in them.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::{Caller, RequireStepUp, StepUp};

/// A request with many headers, some of them twice, and with extensions.
fn request(method: Method, content_type: &'static str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    request.headers_mut().insert("content-length", HeaderValue::from_static("1000000"));
    request.headers_mut().insert("retry-after", HeaderValue::from_static("1000000"));
    for value in ["one", "two"] {
        request.headers_mut().append("cookie", HeaderValue::from_static(value));
        request.headers_mut().append("www-authenticate", HeaderValue::from_static(value));
        request.headers_mut().append("request-ref", HeaderValue::from_static(value));
        request.headers_mut().append("cache-control", HeaderValue::from_static(value));
    }
    request.extensions_mut().insert("an extension of the application");
    request.extensions_mut().insert(Caller::user("bob").session("1"));
    request
}

/// What a guard answers, without the reference, which is another each time.
async fn refused<R>(guard: &RequireStepUp<R>, request: Request<()>) -> Response<Full<Bytes>>
where
    R: ResponseForRefusal<Full<Bytes>>,
{
    let unreachable = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::default()));
    let mut response = guard.layer(unreachable).oneshot(request).await.unwrap();
    let reference = response.headers_mut().remove("request-ref").unwrap();
    assert!(reference.len() == 32 && response.headers().get_all("request-ref").iter().next().is_none());
    response
}

fn names<B>(response: &Response<B>) -> Vec<&str> {
    response.headers().iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn nothing_of_the_request_is_in_the_response() {
    let step_up = StepUp::builder().proof("PASSKEY").build().unwrap();
    let guard = RequireStepUp::new(&step_up);
    // A closure only reads the request, so the map is its own.
    let own = guard.clone().with_refusal_response(|refusal: &Refusal, terms: &RefusalTerms, request: &Parts| {
        Negotiate.response_for_refusal(refusal, terms, request)
    });
    for (method, content_type) in [(Method::GET, ""), (Method::HEAD, ""), (Method::POST, "application/grpc")] {
        let response = refused(&guard, request(method.clone(), content_type)).await;
        let expected = refused(&own, request(method.clone(), content_type)).await;
        assert_eq!(response.headers(), expected.headers(), "{method} {content_type}");
        assert_eq!(names(&response), names(&expected), "in the same order");
        assert_eq!(response.status(), expected.status());
        for response in [response, expected] {
            assert!(matches!(response.extensions().get(), Some(Refusal::StepUpRequired(_))));
            assert_eq!(response.extensions().len(), 1);
        }
    }

    let response = refused(&guard.clone().with_refusal_response(OAuth::new()), request(Method::GET, "")).await;
    assert_eq!(names(&response), ["content-type", "www-authenticate", "cache-control"]);

    let response = refused(&guard.grpc(), request(Method::POST, "application/grpc")).await;
    let grpc = ["content-type", "grpc-status", "grpc-message", "grpc-status-details-bin", "cache-control"];
    assert_eq!(names(&response), grpc);
}

/// An extension of the application's own response is kept.
#[tokio::test]
async fn an_extension_of_a_closure_is_in_the_response() {
    let step_up = StepUp::builder().proof("PASSKEY").build().unwrap();
    let guard = RequireStepUp::new(&step_up).with_refusal_response(|_: &Refusal, _: &RefusalTerms, request: &Parts| {
        assert_eq!(request.extensions.len(), 2);
        let mut response = Response::new(Full::default());
        response.extensions_mut().insert(1_u8);
        response
    });
    let response = refused(&guard, request(Method::GET, "")).await;
    assert_eq!(response.extensions().get(), Some(&1_u8));
    assert_eq!(response.extensions().len(), 2);
}
