//! Configured values in headers: any configuration that builds produces well-formed headers and bodies with its values.
//!
//! An input is the settings, separated by `|`: the public path, the challenge of a 401, the gRPC domain, a code
//! channel, a push channel, the scope that a guard requires, and the description and the context class of an OAuth challenge.
//! Empty settings are not set, except the channel names.

#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header::CONTENT_TYPE};
use http_body_util::{Empty, Full};
use serde_json::json;
use tower::{Service, service_fn};
use tower_step_up::{Caller, RequireStepUp, Requirement, guard::refusal::OAuth};
use tower_step_up_fuzz::{Answer, Shelf, run};

type Body = Full<Bytes>;

fn request(method: Method, path: &str, kind: &'static str, caller: Option<&Caller>) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, kind);
    let mut request = request.body(Empty::new()).expect("the name of a channel stands in a path");
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller.clone());
    }
    request
}

/// Decodes base64 without padding, the format of `-bin` headers.
fn unbase64(text: &str) -> Vec<u8> {
    let digit = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{text:?} is not base64"),
    };
    assert_ne!(text.len() % 4, 1, "{text:?} is not base64");
    let bits: Vec<_> =
        text.bytes().map(digit).flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1)).collect();
    bits.as_chunks::<8>().0.iter().map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

/// Whether one of the challenges in a `WWW-Authenticate` is `Basic`, for which a browser prompts for a password.
fn asks_for_password(challenges: &str) -> bool {
    let unescaped = challenges.replace(r"\\", "").replace(r#"\""#, "");
    // Every other piece is quoted.
    let unquoted = unescaped.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    unquoted.split(',').map(str::trim).any(|item| {
        let (scheme, rest) = item.split_once(' ').unwrap_or((item, ""));
        scheme.eq_ignore_ascii_case("basic") && !rest.trim_start().starts_with('=')
    })
}

/// Checks a gRPC refusal, whose `google.rpc.ErrorInfo` must contain all of these.
fn is_grpc(answer: &Answer, code: &str, holds: &[&str]) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/grpc"));
    assert_eq!(answer.header("grpc-status"), code);
    let details = unbase64(answer.header("grpc-status-details-bin"));
    for text in holds {
        let found = details.windows(text.len().max(1)).any(|window| window == text.as_bytes());
        assert!(found || text.is_empty(), "{text:?} is not in {:?}", String::from_utf8_lossy(&details));
    }
}

/// Checks that the header is one challenge with exactly these parameters.
fn oauth(description: &str, class: &str) {
    let built = OAuth::new().description(description).and_then(|oauth| oauth.acr_values([class]));
    let Ok(oauth) = built else { return };
    let step_up = Shelf::default().builder().otp("SMS", async |_| Ok(())).build().expect("it is sound");
    let guard = RequireStepUp::new(&step_up).with_refusal_response(oauth);
    let mut guarded = guard.layer(service_fn(async |_| -> Result<Response<Body>, Infallible> { panic!("it passes") }));
    let Ok(answer) = run(guarded.call(request(
        Method::GET,
        "/",
        "application/json",
        Some(&Caller::user("alice").session("session")),
    )));
    let answer = Answer::new(answer);
    let expected = format!(
        "Bearer error=\"insufficient_user_authentication\", error_description=\"{description}\", acr_values=\"{class}\""
    );
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, &*expected));
    assert_eq!(expected.matches('"').count(), 6, "{expected:?} has a quote too many");
    assert!(!expected.contains('\\'), "{expected:?} escapes");
}

libfuzzer_sys::fuzz_target!(|settings: &str| {
    let mut settings = settings.split('|');
    let mut next = || settings.next().unwrap_or_default();
    let (path, authenticate, domain, otp, push, scope) = (next(), next(), next(), next(), next(), next());
    oauth(next(), next());

    let mut builder = Shelf::default().builder().otp(otp, async |_| Ok(())).push(push, async |_| Ok(()));
    builder = if path.is_empty() { builder } else { builder.public_path(path) };
    builder = if authenticate.is_empty() { builder } else { builder.authenticate(authenticate) };
    builder = if domain.is_empty() { builder } else { builder.grpc_domain(domain) };
    let step_up = match builder.build() {
        Ok(step_up) => step_up,
        Err(error) => return assert!(!error.to_string().contains(char::is_control), "{error} breaks a log"),
    };
    let requirement = if scope.is_empty() { Requirement::new() } else { Requirement::new().scope(scope) };
    let guard = match RequireStepUp::with(&step_up, requirement) {
        Ok(guard) => guard,
        Err(error) => return assert!(!error.to_string().contains(char::is_control), "{error} breaks a log"),
    };
    let alice = Caller::user("alice").session("session");

    let mut guarded = guard.layer(service_fn(async |_| -> Result<Response<Body>, Infallible> { panic!("it passes") }));
    let mut ask = |method, kind, caller| {
        let Ok(answer) = run(guarded.call(request(method, "/transfers", kind, caller)));
        Answer::new(answer)
    };
    let nobody = ask(Method::GET, "application/json", None);
    let refused = ask(Method::POST, "application/json", Some(&alice));
    is_grpc(&ask(Method::POST, "application/grpc", None), "16", &["UNAUTHORIZED", domain]);
    is_grpc(&ask(Method::POST, "application/grpc", Some(&alice)), "7", &["STEP_UP_REQUIRED", domain, scope, otp, push]);

    let ask = |method, path: &str, caller| {
        let Ok(answer) = run(step_up.challenges().call(request(method, path, "application/json", caller)));
        Answer::new(answer)
    };
    let stranger = ask(Method::GET, "/", None);
    let unknown = ask(Method::POST, &format!("/otp/{otp}-"), Some(&alice));
    let status = ask(Method::GET, "/", Some(&alice));

    for answer in [&nobody, &stranger] {
        let challenge = if authenticate.is_empty() { "StepUpSession" } else { authenticate };
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, challenge));
        assert!(!asks_for_password(challenge), "{challenge:?} asks for a password");
        assert_eq!(answer.json["errorCode"], "UNAUTHORIZED");
    }
    assert_eq!((unknown.status.as_u16(), status.status.as_u16(), refused.status.as_u16()), (400, 200, 403));
    let channels = json!({ "otp": [otp], "push": [push] });
    let starts = [("otp", otp), ("push", push)].map(|(kind, channel)| format!("{path}/{kind}/{channel}"));
    assert_eq!(refused.json["channels"], channels);
    let mut enrolled = channels.clone();
    enrolled["proof"] = json!([]);
    assert_eq!(status.json["channels"], enrolled);
    assert_eq!(refused.json["scope"], if scope.is_empty() { json!(null) } else { json!(scope) });
    assert_eq!(refused.json["start"], if path.is_empty() { json!(null) } else { json!(starts) });
    for start in starts.iter().filter(|_| !path.is_empty()) {
        let uri: Uri = start.parse().unwrap_or_else(|error| panic!("{start:?} is no URL: {error}"));
        assert!(uri.path() == start && !start.starts_with("//"), "{start:?} leads elsewhere");
    }
});
