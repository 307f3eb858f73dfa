//! The OAuth profile (RFC 9470), read by a strict parser of RFC 9110 §11.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::Response};
use http::Request;
use proptest::prelude::*;
use tower::service_fn;
use tower_step_up::{ConfigError, ManualClock, RequireStepUp, Requirement, StepUp, guard::refusal::OAuth};

use super::{
    alice,
    app::{Answer, oneshot},
    get, grant, local, secs,
};

/// One challenge: its scheme, and its parameters in order.
type Challenge = (String, Params);
type Params = Vec<(String, String)>;

/// `auth-scheme [ 1*SP #auth-param ]` with `auth-param = token BWS "=" BWS quoted-string` (RFC 6750 quotes them all).
fn parse(header: &[u8]) -> Option<Challenge> {
    let mut rest = header;
    let scheme = token(&mut rest)?;
    let mut params = Vec::new();
    if rest.is_empty() {
        return Some((scheme, params));
    }
    rest = rest.strip_prefix(b" ")?;
    loop {
        let name = token(&mut rest)?;
        rest = rest.strip_prefix(b"=")?;
        let value = quoted(&mut rest)?;
        if params.iter().any(|(known, _): &(String, String)| known.eq_ignore_ascii_case(&name)) {
            return None;
        }
        params.push((name, value));
        match rest {
            [] => return Some((scheme, params)),
            _ => rest = rest.strip_prefix(b", ")?,
        }
    }
}

/// `1*tchar` (RFC 9110 §5.6.2).
fn token(rest: &mut &[u8]) -> Option<String> {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = rest.iter().take_while(|byte| is_tchar(byte)).count();
    let (token, after) = rest.split_at(length);
    *rest = after;
    (length > 0).then(|| String::from_utf8(token.to_vec()).unwrap())
}

/// `DQUOTE *( qdtext / quoted-pair ) DQUOTE` (RFC 9110 §5.6.4).
fn quoted(rest: &mut &[u8]) -> Option<String> {
    let mut value = Vec::new();
    *rest = rest.strip_prefix(b"\"")?;
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        match byte {
            b'"' => return String::from_utf8(value).ok(),
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                *rest = after;
                value.push(*escaped);
            }
            b'\t' | b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' | 0x80.. => value.push(*byte),
            _ => return None,
        }
    }
}

async fn refused(step_up: &StepUp, oauth: OAuth, requirement: Requirement, request: Request<Body>) -> Answer {
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::default()));
    oneshot(RequireStepUp::with(step_up, requirement).unwrap().with_refusal_response(oauth).layer(handler), request)
        .await
}

fn challenge(answer: &Answer) -> Challenge {
    let all: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(all.len(), 1, "{answer:?}");
    parse(all[0].as_bytes()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn params(answer: &Answer) -> Params {
    let (scheme, params) = challenge(answer);
    assert_eq!(scheme, "Bearer");
    params
}

#[test]
fn the_parser_is_strict() {
    let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let good: [(&[u8], Params); 4] = [
        (b"Bearer", vec![]),
        (b"Bearer a=\"\"", one("a", "")),
        (b"Bearer a=\"b, c=\\\"d\\\\\"", one("a", "b, c=\"d\\")),
        (b"Bearer a=\"1\", b=\"2\"", [one("a", "1"), one("b", "2")].concat()),
    ];
    for (header, expected) in good {
        assert_eq!(parse(header), Some(("Bearer".into(), expected)));
    }
    let bad: [&[u8]; 9] = [
        b"",
        b"Bearer ",
        b"Bearer a=b",
        b"Bearer a=\"b",
        b"Bearer a=\"b\"c",
        b"Bearer a=\"1\" b=\"2\"",
        b"Bearer a=\"1\", a=\"2\"",
        b"Bearer a=\"\n\"",
        b"Bearer a=\"\\",
    ];
    for header in bad {
        assert_eq!(parse(header), None, "{}", header.escape_ascii());
    }
}

/// Configuration, requirement, and the expected parameters.
#[tokio::test]
async fn challenges() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let new = OAuth::new;
    let description = "A more recent or a stronger authentication is required";
    let classes = || new().acr_values(["gold", "urn:x:1"]).unwrap();
    let table = [
        (new(), Requirement::new(), description, None, None),
        (new(), Requirement::new().max_age(secs(120)), description, None, Some("120")),
        (new(), Requirement::new().max_age(Duration::from_millis(1_999)), description, None, Some("1")),
        (classes(), Requirement::new().once(), description, Some("gold urn:x:1"), None),
        (
            classes().description("Log in again, please: it's 'urgent'").unwrap(),
            Requirement::new().scope("pay").max_age(secs(1)).all_of(["KEY", "SMS"]),
            "Log in again, please: it's 'urgent'",
            Some("gold urn:x:1"),
            Some("1"),
        ),
        (classes().acr_values(["silver"]).unwrap(), Requirement::new(), description, Some("silver"), None),
    ];
    for (oauth, requirement, description, acr_values, max_age) in table {
        let answer = refused(&step_up, oauth, requirement, get(&alice())).await;
        assert_eq!(answer.summary(), "401 missing");
        assert_eq!(answer.json()["errorCode"], "STEP_UP_REQUIRED");
        assert_eq!(
            (&answer.headers["cache-control"], answer.headers["request-ref"].len()),
            (&"no-store".parse().unwrap(), 32)
        );
        let mut expected = vec![("error", "insufficient_user_authentication"), ("error_description", description)];
        expected.extend(acr_values.map(|values| ("acr_values", values)));
        expected.extend(max_age.map(|age| ("max_age", age)));
        let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(params(&answer), expected);
    }
}

/// Without a caller the challenge is only the scheme (RFC 6750 §3.1); other refusals and passed requests have none.
#[tokio::test]
async fn responses_without_parameters() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let nobody = refused(&step_up, OAuth::new(), Requirement::new(), Request::default()).await;
    assert_eq!((nobody.summary().as_str(), params(&nobody)), ("401 UNAUTHORIZED", vec![]));
    grant(&step_up, &alice(), "KEY").await;
    let passed = refused(&step_up, OAuth::new(), Requirement::new(), get(&alice())).await;
    assert_eq!((passed.summary().as_str(), passed.headers.get("www-authenticate")), ("200", None));

    let store = testkit::FaultyStore::default();
    let step_up = super::remote(&clock, &store);
    store.set_down(true);
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::<Body>::default()));
    let guard = RequireStepUp::new(&step_up).with_refusal_response(OAuth::new()).layer(handler);
    let down = oneshot(guard, get(&alice())).await;
    assert_eq!((down.summary().as_str(), down.headers.get("www-authenticate")), ("503 UNAVAILABLE", None));
}

fn answer(oauth: OAuth, requirement: Requirement) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(refused(&local(&ManualClock::new()), oauth, requirement, get(&alice())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Accepted values are sent unchanged.
    #[test]
    fn accepted_values_are_sent_unchanged(
        description in r"[ -!#-\[\]-~]{0,20}[!#-\[\]-~][ -!#-\[\]-~]{0,20}",
        classes in proptest::collection::vec(r"[!#-\[\]-~]{1,12}", 1..5),
        age in 1..10_000_000_u64,
    ) {
        let oauth = OAuth::new().description(&description).unwrap().acr_values(&classes).unwrap();
        let read = params(&answer(oauth, Requirement::new().max_age(secs(age))));
        prop_assert_eq!(&read[1..], [
            ("error_description".to_owned(), description),
            ("acr_values".to_owned(), classes.join(" ")),
            ("max_age".to_owned(), age.to_string()),
        ]);
    }

    /// Any string is either refused when built, or sent unchanged.
    #[test]
    fn any_string_is_refused_or_sent_unchanged(text in any::<String>()) {
        if let Ok(oauth) = OAuth::new().description(&text) {
            prop_assert_eq!(&params(&answer(oauth, Requirement::new()))[1].1, &text);
        }
        match OAuth::new().acr_values([&text]) {
            Ok(oauth) => prop_assert_eq!(&params(&answer(oauth, Requirement::new()))[2].1, &text),
            Err(error) => {
                prop_assert_eq!(error, ConfigError::InvalidOAuthParameter { parameter: "acr_values", value: text });
            }
        }
    }

    /// A character that would break the header is refused in any position.
    #[test]
    fn characters_that_would_break_the_header_are_refused(
        before in r"[ -!#-\[\]-~]{0,8}",
        bad in prop_oneof![r#"["\\]"#, r"[\x00-\x1f\x7f]", r"[^\x00-\x7f]"],
        after in r"[ -!#-\[\]-~]{0,8}",
    ) {
        let text = format!("{before}{bad}{after}");
        let refused = |parameter| Some(ConfigError::InvalidOAuthParameter { parameter, value: text.clone() });
        prop_assert_eq!(OAuth::new().description(&text).err(), refused("error_description"));
        prop_assert_eq!(OAuth::new().acr_values([&text]).err(), refused("acr_values"));
        prop_assert_eq!(OAuth::new().acr_values(["good", &text]).err(), refused("acr_values"));
        prop_assert!(OAuth::new().acr_values([format!("a {before}")]).is_err(), "a space separates two values");
    }
}
