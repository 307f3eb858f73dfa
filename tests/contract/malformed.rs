//! Malformed requests: constant responses that echo nothing; no attempt is counted.

use std::collections::HashSet;

use axum::body::{Body, Bytes};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::app::{Answer, App, RIGHT, Session, WRONG};

fn invalid(field: &str, error: &str) -> Value {
    let field = json!({"params": [], "fieldName": field, "error": error});
    json!({"errorCode": "INVALID_REQUEST", "message": "Invalid request", "syntaxErrors": {"invalidFields": [field]}})
}

/// Not one JSON object: no field is named.
fn names_no_field(answer: &Answer) -> bool {
    answer.json() == json!({"errorCode": "INVALID_REQUEST", "message": "Invalid request"})
}

/// Not declared as JSON.
fn is_undeclared(answer: &Answer) -> bool {
    answer.json() == json!({"errorCode": "UNSUPPORTED_MEDIA_TYPE", "message": "Send the body as application/json"})
}

/// A session with one attempt left, so that any counted attempt is noticed.
async fn with_one_attempt_left(app: &App, user: &str) -> Session {
    let session = app.login(user).await;
    assert_eq!(session.start().await.summary(), "204");
    for _ in 0..4 {
        assert_eq!(session.verify(WRONG).await.status, 409);
    }
    session
}

/// Asserts that the session still has exactly one attempt.
async fn assert_one_attempt_left(session: &Session) {
    assert_eq!(session.verify(RIGHT).await.summary(), "204");
    assert_eq!(session.card().await.summary(), "200");
}

/// The table of the contract, for codes.
#[tokio::test]
async fn codes() {
    let cases = [
        // Absent.
        ("", "REQUIRED"),
        ("{}", "REQUIRED"),
        (" {\n} ", "REQUIRED"),
        (r#"{"verificationCode":null}"#, "REQUIRED"),
        (r#"{"code":"123456"}"#, "REQUIRED"),
        (r#"{"VerificationCode":"123456"}"#, "REQUIRED"),
        (r#"{"verificationCode ":"123456"}"#, "REQUIRED"),
        (r#"{"a":{"verificationCode":"123456"}}"#, "REQUIRED"),
        // Empty or blank.
        (r#"{"verificationCode":""}"#, "HAS_TEXT"),
        (r#"{"verificationCode":" "}"#, "HAS_TEXT"),
        (r#"{"verificationCode":"      "}"#, "HAS_TEXT"),
        (r#"{"verificationCode":"\t\r\n"}"#, "HAS_TEXT"),
        // The wrong length.
        (r#"{"verificationCode":"1"}"#, "SIZE"),
        (r#"{"verificationCode":"12345"}"#, "SIZE"),
        (r#"{"verificationCode":"1234567"}"#, "SIZE"),
        (r#"{"verificationCode":"0123456"}"#, "SIZE"),
        (r#"{"verificationCode":"1234560"}"#, "SIZE"),
        (r#"{"verificationCode":"123456123456"}"#, "SIZE"),
        // Not ASCII digits.
        (r#"{"verificationCode":"12345a"}"#, "REGEX"),
        (r#"{"verificationCode":"abcdef"}"#, "REGEX"),
        (r#"{"verificationCode":"+12345"}"#, "REGEX"),
        (r#"{"verificationCode":"-12345"}"#, "REGEX"),
        (r#"{"verificationCode":" 12345"}"#, "REGEX"),
        (r#"{"verificationCode":"12345 "}"#, "REGEX"),
        (r#"{"verificationCode":"123 45"}"#, "REGEX"),
        (r#"{"verificationCode":"12345\n"}"#, "REGEX"),
        (r#"{"verificationCode":"12345\u0000"}"#, "REGEX"),
        (r#"{"verificationCode":"1234.5"}"#, "REGEX"),
        (r#"{"verificationCode":"1,2345"}"#, "REGEX"),
        (r#"{"verificationCode":"1e5000"}"#, "REGEX"),
        (r#"{"verificationCode":"0x1e24"}"#, "REGEX"),
        // Not a string: a number loses leading zeros.
        (r#"{"verificationCode":123456}"#, "REGEX"),
        (r#"{"verificationCode":0}"#, "REGEX"),
        (r#"{"verificationCode":123456.0}"#, "REGEX"),
        (r#"{"verificationCode":-123456}"#, "REGEX"),
        (r#"{"verificationCode":1.23456e5}"#, "REGEX"),
        (r#"{"verificationCode":true}"#, "REGEX"),
        (r#"{"verificationCode":false}"#, "REGEX"),
        (r#"{"verificationCode":[]}"#, "REGEX"),
        (r#"{"verificationCode":["123456"]}"#, "REGEX"),
        (r#"{"verificationCode":{}}"#, "REGEX"),
        (r#"{"verificationCode":{"verificationCode":"123456"}}"#, "REGEX"),
    ];
    let app = App::demo();
    let (fresh, alice) = (app.login("alice").await, with_one_attempt_left(&app, "alice-too").await);
    for (body, error) in cases {
        for session in [&fresh, &alice] {
            let answer = session.verify_with(body).await;
            assert_eq!(answer.status, 400, "{body}");
            assert_eq!(answer.json(), invalid("verificationCode", error), "{body}");
        }
    }
    // No body and no content type.
    let answer = alice.challenge("POST", "/otp/SMS/verify").send().await;
    assert_eq!(answer.json(), invalid("verificationCode", "REQUIRED"));
    assert_one_attempt_left(&alice).await;
}

/// T7: texts that a lenient comparison takes for the code. If several of `SIZE`, `REGEX` and `HAS_TEXT` apply, any of
/// them is right.
#[tokio::test]
async fn codes_that_normalise_to_the_right_one() {
    let codes = [
        " 123456",
        "123456 ",
        "123 456",
        "123-456",
        "123.456",
        "1 2 3 4 5 6",
        "\t123456",
        "123456\n",
        "123456\r\n",
        "123456\0",
        "\u{a0}123456",
        "123456\u{a0}",
        "123\u{a0}456",
        "123\u{2009}456",
        "\u{feff}123456",
        "\u{200b}123456",
        "123456\u{200b}",
        "\u{2060}123456",
        "123456\u{0301}",
        "\u{202e}654321",
        "１２３４５６",
        "12345６",
        "１23456",
        "١٢٣٤٥٦",
        "۱۲۳۴۵۶",
        "१२३४५६",
        "𝟏𝟐𝟑𝟒𝟓𝟔",
        "①②③④⑤⑥",
        "¹²³⁴⁵⁶",
        "Ⅰ23456",
        "+123456",
        "-123456",
        "+12345",
        "0123456",
        "00123456",
        "123456.0",
        "1.23456e5",
        "123456e0",
        "0x1E240",
        "0b1",
        "123_456",
        "123,456",
        "'123456'",
        "\"123456\"",
        "123456;",
        "123456,000000",
        "000000 123456",
        "%31%32%33456",
        "&#49;23456",
        "NaN",
        "null",
    ];
    let app = App::demo();
    let alice = with_one_attempt_left(&app, "alice").await;
    for code in codes {
        let answer = alice.verify(code).await;
        assert_eq!(answer.status, 400, "{code:?}: {answer:?}");
        let json = answer.json();
        let errors = ["SIZE", "REGEX", "HAS_TEXT"];
        assert!(errors.iter().any(|error| json == invalid("verificationCode", error)), "{code:?}: {json}");
        assert!(!answer.contains("12345") && !answer.contains(code), "{code:?}: {answer:?}");
    }
    assert_one_attempt_left(&alice).await;
}

/// Bodies that are not a JSON object: only a message.
#[tokio::test]
async fn not_an_object() {
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    let bodies: [&[u8]; 37] = [
        b"x",
        b"123456",
        b"\"123456\"",
        b"null",
        b"true",
        b"[]",
        b"[{\"verificationCode\":\"123456\"}]",
        b"[\"123456\"]",
        b"{",
        b"}",
        b"{]",
        b"{\"verificationCode\"}",
        b"{\"verificationCode\":}",
        b"{\"verificationCode\":\"123456\"",
        b"{\"verificationCode\":\"123456",
        b"{\"verificationCode\":\"123456\",}",
        b"{\"verificationCode\":\"123456\"} x",
        b"{\"verificationCode\":\"123456\"}{}",
        b"{\"verificationCode\":\"123456\"}]",
        b"{\"verificationCode\":\"123456\"}\0",
        b"{'verificationCode':'123456'}",
        b"{verificationCode:\"123456\"}",
        b"{\"verificationCode\":\"123456\" /* a comment */}",
        b"{\"verificationCode\":\"123456\"} // a comment",
        b"{\"verificationCode\":\"123\n456\"}",
        b"{\"verificationCode\":0123456}",
        b"{\"verificationCode\":NaN}",
        b"verificationCode=123456",
        b"<verificationCode>123456</verificationCode>",
        deep.as_bytes(),
        // A duplicate key, also if escaped or unknown.
        b"{\"verificationCode\":\"123456\",\"verificationCode\":\"123456\"}",
        b"{\"verificationCode\":\"000000\",\"verification\\u0043ode\":\"123456\"}",
        b"{\"a\":1,\"verificationCode\":\"123456\",\"a\":1}",
        // Invalid UTF-8, also in ignored fields; a BOM.
        b"{\"verificationCode\":\"12345\xff\"}",
        b"{\"a\":\"\xff\",\"verificationCode\":\"123456\"}",
        b"{\"a\xc3\":1,\"verificationCode\":\"123456\"}",
        b"\xef\xbb\xbf{\"verificationCode\":\"123456\"}",
    ];
    let app = App::demo();
    let alice = with_one_attempt_left(&app, "alice").await;
    let utf16: Vec<_> = r#"{"verificationCode":"123456"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in bodies.into_iter().chain([&*utf16]) {
        let answer = alice.verify_with(Bytes::copy_from_slice(body)).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, 400, "{shown}");
        assert!(names_no_field(&answer), "{shown}: {answer:?}");
        assert!(!answer.contains("123456"), "{shown}: {answer:?}");
    }
    assert_one_attempt_left(&alice).await;
}

/// The same if no body is needed: a body that is present is parsed.
#[tokio::test]
async fn starts() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let bodies: [&[u8]; 12] = [
        b"x",
        b"null",
        b"[]",
        b"\"\"",
        b"0",
        b"{",
        b"{}{}",
        b"{\"a\":1,\"a\":2}",
        b"{\"scope\":\"payments\",\"scope\":\"payments\"}",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"scope=payments",
    ];
    for path in ["/otp/SMS", "/push/BIOMETRIC"] {
        for body in bodies {
            let answer = alice.challenge("POST", path).json(Bytes::copy_from_slice(body)).send().await;
            let shown = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 400, "{path} {shown}");
            assert!(names_no_field(&answer), "{path} {shown}: {answer:?}");
        }
        // None of them started any_body.
        let answer = alice.challenge("POST", path).send().await;
        assert!(answer.status.is_success(), "{path} {answer:?}");
    }
}

/// A body must be declared as `application/json`; this excludes HTML forms.
#[tokio::test]
async fn content_types() {
    const BODY: &str = r#"{"verificationCode":"123456"}"#;
    let accepted = [
        "application/json",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json ; a=b; c=\"d\"",
        "Application/JSON",
    ];
    let refused = [
        None,
        Some(""),
        Some("text/plain"),
        Some("text/plain;charset=UTF-8"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("text/json"),
        Some("text/html"),
        Some("application/jsonx"),
        Some("application/json5"),
        Some("application/json-patch+json"),
        Some("application/problem+json"),
        Some("application/vnd.api+json"),
        Some("application/octet-stream"),
        Some("application"),
        Some("json"),
        Some("*/*"),
        Some("application/*"),
        Some("text/plain; application/json"),
        Some("text/plain, application/json"),
        Some("x-application/json"),
    ];
    let app = App::demo();
    let alice = with_one_attempt_left(&app, "alice").await;
    let bob = app.login("alice-too").await;
    for kind in refused {
        let requests = [
            (alice.challenge("POST", "/otp/SMS/verify"), BODY),
            (bob.challenge("POST", "/otp/SMS"), "{}"),
            (bob.challenge("POST", "/push/BIOMETRIC"), "{}"),
        ];
        for (request, body) in requests {
            let request = kind.iter().fold(request, |request, kind| request.header("content-type", kind));
            let answer = request.body(Body::from(body)).send().await;
            assert_eq!(answer.status, 400, "{kind:?}: {answer:?}");
            assert!(is_undeclared(&answer), "{kind:?}: {answer:?}");
        }
    }
    assert_one_attempt_left(&alice).await;
    for kind in accepted {
        let session = App::demo().login("alice").await;
        let start = session.challenge("POST", "/otp/SMS").header("content-type", kind).body(Body::from("{}"));
        assert_eq!(start.send().await.summary(), "204", "{kind}");
        let verify = session.challenge("POST", "/otp/SMS/verify").header("content-type", kind).body(Body::from(BODY));
        assert_eq!(verify.send().await.summary(), "204", "{kind}");
    }
}

/// The same for operations that never have a body.
#[tokio::test]
async fn content_types_of_operations_without_a_body() {
    let app = App::demo();
    let alice = app.login("alice").await;
    let id = alice.push().await;
    for (method, path) in [("DELETE", "/"), ("GET", "/"), ("GET", &*format!("/push/BIOMETRIC/{id}"))] {
        for (kind, body) in [("text/plain", "{}"), ("application/x-www-form-urlencoded", "a=b"), ("text/html", "x")] {
            let request = alice.challenge(method, path).header("content-type", kind).body(Body::from(body));
            let answer = request.send().await;
            assert_eq!(answer.status, 400, "{method} {path} {kind}: {answer:?}");
            assert!(is_undeclared(&answer), "{method} {path} {kind}: {answer:?}");
        }
    }
}

/// A channel that is not registered for the operation.
#[tokio::test]
async fn channels() {
    let app = App::demo();
    let alice = with_one_attempt_left(&app, "alice").await;
    let channels = ["EMAIL", "AUTHY", "sms", "Sms", "SMS2", "SM", "BIOMETRIC", "verify", "SMS%20", "SMS.", "S%4DS"];
    for channel in channels {
        let requests = [
            alice.challenge("POST", &format!("/otp/{channel}")),
            alice.challenge("POST", &format!("/otp/{channel}/verify")).json(r#"{"verificationCode":"123456"}"#),
        ];
        for request in requests {
            let answer = request.send().await;
            // A percent-encoded name is invalid or unknown.
            if channel.contains('%') {
                assert!([400, 404].contains(&answer.status.as_u16()), "{channel}: {answer:?}");
            } else {
                assert_eq!(answer.status, 400, "{channel}");
                assert_eq!(answer.json(), invalid("channel", "NOT_IN"), "{channel}");
            }
        }
    }
    for channel in ["SMS", "AUTHY", "biometric", "BIOMETRICS"] {
        let answer = alice.challenge("POST", &format!("/push/{channel}")).send().await;
        assert_eq!(answer.status, 400, "{channel}");
        assert_eq!(answer.json(), invalid("channel", "NOT_IN"), "{channel}");
    }
    assert_one_attempt_left(&alice).await;
}

/// A text that no response may contain.
const CANARY: &str = "ca1na2ry3";

fn values() -> impl Strategy<Value = Value> + Clone {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9]{0,14}".prop_map(Value::from),
        "[ \t\r\n]{0,8}".prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        ".{0,12}".prop_map(|text| Value::from(format!("{CANARY}{text}"))),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Bodies without a well-formed code.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let object = (values(), prop::collection::btree_map(".{0,8}", values(), 0..3)).prop_map(|(code, others)| {
        let mut object: serde_json::Map<_, _> = others.into_iter().collect();
        object.insert("verificationCode".to_owned(), code);
        Value::Object(object).to_string().into_bytes()
    });
    let broken = (object.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut body, at, byte)| {
        let at = at.index(body.len());
        body[at] = byte;
        body
    });
    let cut = (object.clone(), any::<prop::sample::Index>()).prop_map(|(mut body, at)| {
        body.truncate(at.index(body.len()));
        body
    });
    let bytes = prop::collection::vec(any::<u8>(), 0..64);
    let canary = prop::collection::vec(any::<u8>(), 0..16).prop_map(|bytes| [CANARY.as_bytes(), &bytes].concat());
    let value = values().prop_map(|value| value.to_string().into_bytes());
    prop_oneof![3 => object, 2 => broken, 1 => cut, 1 => bytes, 1 => canary, 1 => value].prop_filter("a code", |body| {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = json["verificationCode"].as_str();
        !code.is_some_and(|code| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// T23: the response to any body is one of a few constant texts, and no attempt is counted.
#[test]
fn any_body() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let alice = runtime.block_on(async { with_one_attempt_left(&App::demo(), "alice").await });
    let texts = std::cell::RefCell::new(HashSet::new());
    let config = ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&bodies(), |body| {
        let answer = runtime.block_on(alice.verify_with(body));
        prop_assert_eq!(answer.status, 400);
        prop_assert!(!answer.contains(CANARY));
        texts.borrow_mut().insert(answer.body);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let texts = texts.into_inner();
    // One for each error of a code, and one with only a message.
    assert!((2..=5).contains(&texts.len()), "constant texts: {texts:?}");
    runtime.block_on(assert_one_attempt_left(&alice));
}

/// T23: the same for the path and the headers.
#[test]
fn any_path_and_headers() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let alice = runtime.block_on(async { with_one_attempt_left(&App::demo(), "alice").await });
    let path = prop_oneof![
        "/[!-\"$->@-~]{0,24}",
        "/(otp|push)/[!-\"$->@-~]{0,24}",
        "/otp/SMS/[!-\"$->@-~]{0,12}",
        "/push/BIOMETRIC/[0-9]{0,60}",
    ];
    let method = prop_oneof![Just("GET"), Just("POST"), Just("PUT"), Just("OPTIONS"), Just("X")];
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&(method, path, ".{0,20}"), |(method, path, query)| {
        let query = query.escape_unicode().to_string().replace(['\\', '{', '}'], "%5C");
        // axum's `nest_service` strips one leading slash.
        let seen = if path.starts_with("//") { &path[1..] } else { &*path };
        let known = ["/", "/otp/SMS", "/push/BIOMETRIC", "/otp/SMS/verify"].contains(&seen);
        let request = alice.challenge(method, &format!("{path}?{query}{CANARY}"));
        if known || http::Uri::try_from(&*path).is_err() {
            return Ok(());
        }
        let answer = runtime.block_on(request.send());
        prop_assert!([400, 404, 405].contains(&answer.status.as_u16()), "{:?}", answer);
        prop_assert!(!answer.contains(CANARY));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(assert_one_attempt_left(&alice));
}
