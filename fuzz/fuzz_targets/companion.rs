//! Any request to the challenge endpoints: the router, the reading of bodies, and the parser.
//!
//! An input is three bytes for the caller and the arrival of the body, one that is skipped, and a request in text form:
//! a line, headers, an empty line, the body. `ID` at the end of a path is replaced by a push id.

#![no_main]

use std::{collections::HashSet, sync::LazyLock};

use http::{HeaderValue, Method, Request, header::CONTENT_TYPE};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tower::Service;
use tower_step_up::{Caller, Requirement, StepUp, discard};
use tower_step_up_fuzz::{
    Answer, Kept, Shelf,
    request_text::{self, Ending, Frames},
    run,
};

const NOBODY: usize = 0;
const CHALLENGED: usize = 2;
const STEPPED_UP: usize = 3;

/// All statuses that occur without a fault of store or sender and without a lockout.
const STATUSES: [u16; 9] = [200, 204, 400, 401, 404, 405, 408, 409, 413];

struct Bench {
    shelf: Shelf,
    alice: Caller,
    /// No caller; a new session; one with a pending code and push; one that is stepped up.
    states: [Kept; 4],
    push: String,
}

impl Bench {
    /// A new engine for every input, because an engine remembers wrong codes independently of the store.
    fn step_up(&self) -> StepUp {
        engine(&self.shelf)
    }
}

fn engine(shelf: &Shelf) -> StepUp {
    shelf.builder().sandbox().otp("SMS", discard).push("BIO", discard).build().expect("it is sound")
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let (shelf, alice) = (Shelf::default(), Caller::user("alice").session("session"));
    let step_up = engine(&shelf);
    let fresh = Kept::default();
    run(step_up.start_otp(&alice, "SMS", None)).expect("it is the first");
    let push = run(step_up.start_push(&alice, "BIO", None)).expect("it is the first").id;
    let challenged = Kept { written: 0, ..shelf.kept().clone() };
    run(step_up.verify_otp(&alice, "SMS", "123456")).expect("it is the sandbox's code");
    let stepped_up = Kept { written: 0, ..shelf.kept().clone() };
    Bench { shelf, alice, states: [challenged.clone(), fresh, challenged, stepped_up], push }
});

/// All sequences of 8 bytes in the responses to requests without any content of their own.
static WORDS: LazyLock<HashSet<[u8; 8]>> = LazyLock::new(|| {
    let paths =
        ["/", "/otp/SMS", "/otp/NO", "/otp/SMS/verify", "/otp/NO/verify", "/push/BIO", "/push/NO", "/push/BIO/ID"];
    let long = format!(r#"{{"scope":"{}"}}"#, "a".repeat(129));
    let codes = ["null", "1", r#""""#, r#""1""#, r#""a23456""#, r#""000000""#, r#""123456""#];
    let codes = codes.map(|code| format!(r#"{{"verificationCode":{code}}}"#));
    let scopes = ["1", r#""""#, r#"" ""#, r#""a b""#].map(|scope| format!(r#"{{"scope":{scope}}}"#));
    let bindings = ["1", r#""""#, r#""A""#, r#""AAAA""#].map(|token| format!(r#"{{"binding":{token}}}"#));
    let bodies: Vec<_> =
        codes.iter().chain(&scopes).chain(&bindings).map(String::as_str).chain(["", "{", &long]).collect();
    let mut words = HashSet::new();
    for (state, method, path) in
        (0..4).flat_map(|s| ["GET", "POST", "DELETE"].map(|m| paths.map(|p| (s, m, p)))).flatten()
    {
        for (ending, body) in bodies.iter().map(|body| (0, *body)).chain((1..5).map(|ending| (ending, ""))) {
            for declared in ["content-type: application/json\n", ""] {
                let text = format!("{state}{ending}~\n{method} {path}\n{declared}\n{body}");
                let answer = Case::read(text.as_bytes()).expect("it is a request").answer();
                words.extend(spans(&answer));
            }
        }
    }
    words
});

/// All sequences of 8 bytes in a response, without its random numbers.
fn spans(answer: &Answer) -> Vec<[u8; 8]> {
    let body = match answer.json.get("id").and_then(Value::as_str) {
        Some(id) => String::from_utf8_lossy(&answer.body).replace(id, "").into(),
        None => answer.body.clone(),
    };
    let headers = answer.headers.iter().filter(|(name, _)| *name != "request-ref").map(|(_, value)| value.as_bytes());
    headers.chain([&*body]).flat_map(|text| text.windows(8)).filter_map(|span| span.first_chunk().copied()).collect()
}

struct Case<'a> {
    state: usize,
    mounted: bool,
    ending: Ending,
    length: usize,
    request: Request<&'a [u8]>,
}

impl<'a> Case<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let &[who, ending, length, _, ref text @ ..] = data else { return None };
        let (ending, length) = (Ending::of(ending), usize::from(length) + 1);
        let request = request_text::request(text, &BENCH.push)?;
        Some(Self { state: usize::from(who & 3), mounted: who & 4 != 0, ending, length, request })
    }

    fn answer(&self) -> Answer {
        let mut request = self.request.clone().map(|body| Frames::new(body, self.length, self.ending));
        if self.state != NOBODY {
            request.extensions_mut().insert(BENCH.alice.clone());
        }
        BENCH.shelf.restore(&BENCH.states[self.state]);
        let service = BENCH.step_up().challenges();
        let mut service = if self.mounted { service.mounted_at("/step/up").expect("it is a path") } else { service };
        let Ok(answer) = run(service.call(request));
        Answer::new(answer)
    }

    fn is(&self, method: Method, path: &str) -> bool {
        let below = self.request.uri().path().strip_prefix(if self.mounted { "/step/up" } else { "" });
        self.request.method() == method && below.is_some_and(|it| it == path || (it.is_empty() && path == "/"))
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let words = &*WORDS;
    let Some(case) = Case::read(data) else { return Corpus::Reject };
    let answer = case.answer();
    let status = answer.status.as_u16();
    assert!(STATUSES.contains(&status), "{status}");
    let is_head = *case.request.method() == Method::HEAD;
    assert_eq!(answer.json.is_null(), status == 204 || is_head, "{status}: {}", answer.json);
    let named = |status: u16, header: &str| assert_eq!(answer.headers.contains_key(header), answer.status == status);
    named(401, "www-authenticate");
    named(405, "allow");

    // Requests that are malformed, incomplete or without a caller change no record, so they cost no attempt.
    let body = *case.request.body();
    let whole = case.ending.is_whole() && body.len() <= 4096;
    assert!(case.state != NOBODY || matches!(status, 401 | 404 | 405), "{status} to nobody");
    assert!(whole || matches!(status, 400 | 401 | 404 | 405 | 408 | 413), "{status} to half a body");
    assert!(matches!(status, 200 | 204 | 409) || BENCH.shelf.kept().written == 0, "{status} has changed a record");

    // Only the right code grants, and only DELETE removes a grant.
    let verify = case.is(Method::POST, "/otp/SMS/verify");
    let verified = verify && status == 204;
    let dropped = case.is(Method::DELETE, "/") && status == 204;
    let granted = run(BENCH.step_up().authorize(&BENCH.alice, &Requirement::new())).is_ok();
    assert_eq!(granted, verified || (case.state == STEPPED_UP && !dropped), "{status}");
    let declared: Vec<_> = case.request.headers().get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes).collect();
    if verified {
        assert_eq!(case.state, CHALLENGED);
        let body: Value = serde_json::from_slice(body).expect("what verifies is JSON");
        assert_eq!(body["verificationCode"], "123456");
        let json = |it: &&[u8]| it.to_ascii_lowercase().starts_with(b"application/json");
        assert!(!declared.is_empty() && declared.iter().all(json), "{declared:?}");
    }
    if verify && whole && case.state == CHALLENGED && declared == [b"application/json"] {
        assert!(verified || body != br#"{"verificationCode":"123456"}"#, "{status} to the right code");
    }

    // Everything that is not part of a constant response must not come from the request.
    for span in spans(&answer).iter().filter(|span| !words.contains(*span)) {
        let echoed = data.windows(8).any(|window| window == span);
        assert!(!echoed, "{:?} is an echo", String::from_utf8_lossy(span));
    }
    Corpus::Keep
});
