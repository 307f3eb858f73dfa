//! Tests of [`Binding`]: what an operation consists of.

use http::{HeaderValue, Request};

use super::*;
use crate::rules::BareOperation;

fn binding() -> Binding {
    let describe = |_: &Parts, body: &[u8]| Some(format!("{} bytes", body.len()));
    Binding::new(Binding::uri_as_received, describe).header(HeaderName::from_static("x-a"))
}

fn digest(binding: &Binding, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> BareOperation {
    let mut request = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        request.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    binding.operation(&request, body.as_bytes()).unwrap().digest
}

/// Any two of these differ, so no bound field can run into the next.
#[test]
fn every_bound_byte_counts() {
    let whole = binding();
    let other_text = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("other".into()))
        .header(HeaderName::from_static("x-a"));
    let all = [
        digest(&whole, "POST", "/a", &[], "1"),
        digest(&whole, "PUT", "/a", &[], "1"),
        digest(&whole, "POST", "/a/", &[], "1"),
        digest(&whole, "POST", "/%61", &[], "1"),
        digest(&whole, "POST", "/a?", &[], "1"),
        digest(&whole, "POST", "/a?b", &[], "1"),
        digest(&whole, "POST", "/a", &[], "2"),
        digest(&whole, "POST", "/a", &[], ""),
        digest(&whole, "POST", "/a", &[("x-a", "")], "1"),
        digest(&whole, "POST", "/a", &[("x-a", "1")], "1"),
        digest(&whole, "POST", "/a", &[("x-a", "1"), ("x-a", "2")], "1"),
        digest(&whole, "POST", "/a", &[("x-a", "2"), ("x-a", "1")], "1"),
        digest(&whole, "POST", "/a", &[("x-a", "1, 2")], "1"),
        digest(&whole, "POST", "/a", &[("x-a", "12")], "1"),
        digest(&whole, "POST", "/a", &[("content-type", "1")], "1"),
        digest(&whole, "POST", "/a", &[("content-encoding", "1")], "1"),
        digest(&whole.clone().header(HeaderName::from_static("x-b")), "POST", "/a", &[], "1"),
        digest(&other_text, "POST", "/a", &[], "1"),
    ];
    for (i, one) in all.iter().enumerate() {
        assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
    }
    let again = digest(&whole, "POST", "/a", &[("x-b", "unbound")], "1");
    assert_eq!(again, all[0], "what is not bound");
    let bodiless = whole.without_body();
    assert_eq!(digest(&bodiless, "POST", "/a", &[], ""), digest(&bodiless, "POST", "/a", &[], ""));
    assert_ne!(digest(&bodiless, "POST", "/a", &[], ""), all[7], "no body is bound, and an empty one is");
}

/// A URI, the `Host` headers, and the authority that is bound.
#[test]
fn authorities_have_one_spelling() {
    let table: [(&str, &[&str], Option<&str>); 24] = [
        ("/", &[], Some("")),
        ("/", &[""], Some("")),
        ("/", &["eu.example"], Some("eu.example")),
        ("/", &["EU.Example"], Some("eu.example")),
        ("/", &["eu.example:443"], Some("eu.example")),
        ("/", &["eu.example:80"], Some("eu.example")),
        ("/", &["eu.example:"], Some("eu.example")),
        ("/", &["eu.example:08443"], Some("eu.example:8443")),
        ("/", &["eu.example."], Some("eu.example.")),
        ("/", &["[2001:DB8::1]:8443"], Some("[2001:db8::1]:8443")),
        ("/", &["[::1]"], Some("[::1]")),
        ("/", &["127.0.0.1:3000"], Some("127.0.0.1:3000")),
        ("/", &["eu.example", "us.example"], None),
        ("/", &["eu.example", "eu.example"], None),
        ("/", &["eu.example, us.example"], None),
        ("/", &["eu.example@us.example"], None),
        ("/", &["eu.example:99999"], None),
        ("/", &["eu.example/us"], None),
        ("http://EU.example:80/", &[], Some("eu.example")),
        ("https://eu.example/", &["EU.example:443"], Some("eu.example")),
        // The handler may read either of the two.
        ("https://eu.example/", &["us.example"], None),
        ("/", &["eu.example:+443"], None),
        ("https://eu.example/", &["us.example", "eu.example"], None),
        ("https://us.example@eu.example/", &[], None),
    ];
    for (uri, hosts, expected) in table {
        let mut request = Request::get(uri).header("x-forwarded-host", "evil.example").body(()).unwrap().into_parts().0;
        for host in hosts {
            request.headers.append(HOST, HeaderValue::from_static(host));
        }
        assert_eq!(authority_as_received(&request).as_deref(), expected, "{uri} {hosts:?}");
        let operation = binding().operation(&request, b"");
        assert_eq!(operation.is_some(), expected.is_some(), "{uri} {hosts:?}");
    }
}

#[test]
fn the_authority_is_bound_as_the_application_finds_it() {
    let whole = binding();
    let of = |binding: &Binding, host: &str| digest(binding, "POST", "/a", &[("host", host)], "1");
    assert_ne!(of(&whole, "eu.example"), of(&whole, "us.example"));
    assert_eq!(of(&whole, "eu.example"), digest(&whole, "POST", "https://EU.example:443/a", &[], "1"));
    let single = whole.clone().authority(|_| Some(Authority::from_static("Bank.example:443")));
    assert_eq!(of(&single, "eu.example"), of(&single, "us.example"));
    assert_eq!(of(&single, "eu.example"), of(&whole, "bank.example"));
    let request = Request::new(()).into_parts().0;
    assert_eq!(whole.clone().authority(|_| None).operation(&request, b""), None);
    assert_eq!(whole.authority(|_| panic!("the application's own")).operation(&request, b""), None);
}

/// The fields of a form, whatever the boundary is.
#[test]
fn the_application_names_the_content() {
    let fields = |request: &Parts, body: &[u8]| {
        let separator = request.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(str::from_utf8(body).ok()?.replace(separator, "\n").into_bytes())
    };
    let whole = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let named = whole.clone().content(fields);
    let of = |binding: &Binding, separator: &str, body: &str| {
        digest(binding, "POST", "/a", &[("content-type", separator), ("content-encoding", separator)], body)
    };
    assert_eq!(of(&named, "--x", "a--xb"), of(&named, "--y", "a--yb"));
    assert_ne!(of(&named, "--x", "a--xb"), of(&named, "--x", "a--xc"));
    let typed = named.clone().header(CONTENT_TYPE);
    assert_ne!(of(&typed, "--x", "a--xb"), of(&typed, "--y", "a--yb"), "bound by its name");
    let request = Request::new(()).into_parts().0;
    assert_eq!(named.operation(&request, b"a"), None, "no content type");
    assert_eq!(whole.content(|_, _| panic!("the application's own")).operation(&request, b"a"), None);
}

#[test]
fn what_cannot_be_described_is_none() {
    let request = Request::new(()).into_parts().0;
    for text in [String::new(), " ".into(), "a\nb".into(), "a\0".into(), "a\u{202e}b".into(), "x".repeat(1025)] {
        let binding = Binding::new(Binding::uri_as_received, move |_: &Parts, _: &[u8]| Some(text.clone()));
        assert_eq!(binding.operation(&request, b""), None);
    }
    let lost = Binding::new(|_: &Parts| None, |_: &Parts, _: &[u8]| Some("text".into()));
    assert_eq!(lost.operation(&request, b""), None);
    let panics = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| panic!("the application's own"));
    assert_eq!(panics.operation(&request, b""), None);
    let longest = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("ü".repeat(512)));
    assert!(longest.operation(&request, b"").is_some());
}
