//! Altered binding tokens: only the original token of a refusal starts a step-up for its operation.
//!
//! An input is the token as text. A leading `T` is replaced by the original token, cut off at the position in the next
//! byte and followed by the rest of the input.

#![no_main]

use std::{convert::Infallible, sync::LazyLock};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE, request::Parts};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_step_up::{Binding, Caller, ChallengeError, Purpose, RequireStepUp, StepUp, discard};
use tower_step_up_fuzz::{Answer, Kept, Shelf, run};

struct Bench {
    step_up: StepUp,
    shelf: Shelf,
    alice: Caller,
    token: String,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let (shelf, alice) = (Shelf::default(), Caller::user("alice").session("session"));
    let step_up = shelf.builder().sandbox().otp("SMS", discard).build().expect("it is sound");
    let describe = |_: &Parts, body: &[u8]| Some(format!("Pay {} EUR", body.len()));
    let guard = RequireStepUp::new(&step_up).bind(Binding::new(Binding::uri_as_received, describe));
    let mut guarded =
        guard.layer(service_fn(async |_| -> Result<Response<Full<Bytes>>, Infallible> { panic!("it passes") }));
    let mut request = Request::post("/payouts").body(Full::new(Bytes::from("12345"))).expect("it is sound");
    request.extensions_mut().insert(alice.clone());
    let Ok(refused) = run(guarded.call(request));
    let token = Answer::new(refused).json["binding"].as_str().expect("a refusal binds").to_owned();
    Bench { step_up, shelf, alice, token }
});

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Bench { step_up, shelf, alice, token } = &*BENCH;
    let tried = match text.strip_prefix('T').map(|rest| (rest.chars().next(), rest)) {
        Some((Some(cut), rest)) => {
            let at = cut as usize % (token.len() + 1);
            format!("{}{}", &token[..at], &rest[cut.len_utf8()..])
        }
        _ => text.to_owned(),
    };
    shelf.restore(&Kept::default());
    let started = run(step_up.start_otp(alice, "SMS", Purpose::new().binding(&tried)));
    if tried == *token {
        return assert_eq!(started, Ok(()));
    }
    assert!(matches!(started, Err(ChallengeError::MalformedBinding(_))), "{tried:?}: {started:?}");
    let body = Bytes::from(json!({ "binding": tried }).to_string());
    let request = Request::post("/otp/SMS").header(CONTENT_TYPE, "application/json").body(Full::new(body));
    let mut request = request.expect("it is sound");
    request.extensions_mut().insert(alice.clone());
    let Ok(answer) = run(step_up.challenges().call(request));
    let answer = Answer::new(answer);
    // A body over 4 KiB is refused.
    assert!(matches!(answer.status.as_u16(), 400 | 413), "{tried:?}: {}", answer.status);
});
