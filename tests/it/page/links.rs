//! URLs of the page and its forms, as an attacker uses them.

use tower_step_up::{ConfigError, Secret};

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

fn session(user: &str) -> Caller {
    Caller::user(user).session("1")
}

/// A guard around the page's own paths does not lead to it; one around a path that only begins like them does.
#[tokio::test]
async fn a_guard_around_the_page_does_not_lead_there() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).identify(caller).build().unwrap();
    let guard = RequireStepUp::with(&step_up, Requirement::new()).unwrap().page(original).unwrap();
    let nested = Router::new().fallback_service(step_up.challenges().with_page(Page::new()).unwrap());
    let router =
        Router::new().route("/stepup/challenges-of-today", get(async || "a report")).nest(BASE, nested).layer(guard);
    let app = App { router, step_up, clock };
    let table = [
        ("/stepup/challenges-of-today", 303),
        ("/stepup/challenges", 403),
        ("/stepup/challenges?a=b", 403),
        ("/stepup/challenges/page?t=x", 403),
    ];
    for (path, expected) in table {
        let status = app.send(request("GET", path, &[COOKIE, ("sec-fetch-mode", "navigate")], "")).await.0;
        assert_eq!(status, expected, "{path}");
    }
}

/// Only navigations are sent to the page. Everything else is refused as ever, and told of it.
#[tokio::test]
async fn who_is_sent_to_the_page() {
    let app = App::new();
    let table: [(&str, &str, Pairs, u16); 9] = [
        ("GET", "/cards/1", &[COOKIE, ("sec-fetch-mode", "navigate")], 303),
        ("GET", "/cards/1", &[COOKIE, ("accept", "text/html,*/*;q=0.8")], 303),
        ("GET", "/cards/1", &[COOKIE, ("accept", "*/*")], 403),
        ("GET", "/cards/1", &[COOKIE, ("sec-fetch-mode", "cors"), ("accept", "text/html")], 403),
        ("GET", "/cards/1", &[COOKIE], 403),
        ("HEAD", "/cards/1", &[COOKIE, ("sec-fetch-mode", "navigate")], 403),
        ("POST", "/transfers", &[COOKIE, ("sec-fetch-mode", "navigate")], 303),
        ("POST", "/transfers", &[COOKIE], 403),
        ("GET", "/cards/1", &[("sec-fetch-mode", "navigate")], 401),
    ];
    for (method, path, headers, expected) in table {
        let (status, headers_back, body) = app.send(request(method, path, headers, "")).await;
        assert_eq!(status, expected, "{method} {path} {headers:?}");
        assert_eq!(headers_back["cache-control"], "no-store");
        let location = headers_back.get(LOCATION).map(|location| location.to_str().unwrap());
        assert_eq!(location.is_some(), expected == 303);
        if expected == 401 || method == "HEAD" {
            continue;
        }
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["errorCode"], "STEP_UP_REQUIRED");
        let page = json["page"].as_str().unwrap();
        assert!(page.starts_with("/stepup/challenges/page?t="), "{page}");
        assert!(location.is_none_or(|location| location == page));
        // The way back is said for a GET, and for a form that was sent from a page.
        let html = app.browser_at(page).await.html;
        assert!(html.contains("How do you want to confirm?"));
    }
}

/// The way back is a path of this origin, whatever was asked for.
#[tokio::test]
async fn the_way_back_is_a_path_of_this_origin() {
    let clock = ManualClock::new();
    let table = [
        ("/cards/1?a=/&b=%2F%2Fevil.example", "/cards/1?a=/&b=%2F%2Fevil.example"),
        ("https://evil.example/cards/1", "/cards/1"),
        ("//evil.example/cards/1", "/"),
        ("/\\evil.example", "/"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/cards/1//evil.example", "/cards/1//evil.example"),
    ];
    for (path, expected) in table {
        let step_up = builder(&clock).identify(caller).build().unwrap();
        let guard = RequireStepUp::new(&step_up).page(Binding::uri_as_received).unwrap();
        let challenges = step_up.challenges().with_page(Page::new()).unwrap();
        let router = Router::new().nest_service(BASE, challenges).fallback(get(async || "here").layer(guard));
        let app = App { router, step_up, clock: clock.clone() };
        let Ok(uri) = path.parse::<Uri>() else {
            assert_eq!(path, "/\\evil.example", "hyper takes no other");
            continue;
        };
        let mut request = request("GET", "/", &[("cookie", "alice-1"), ("sec-fetch-mode", "navigate")], "");
        *request.uri_mut() = uri;
        let (status, headers, _) = app.send(request).await;
        assert_eq!(status, 303, "{path}");
        let mut alice = app.browser_at(headers[LOCATION].to_str().unwrap()).await;
        app.step_up.start_otp(&session("alice"), "SMS", None).await.unwrap();
        app.step_up.verify_otp(&session("alice"), "SMS", "123456").await.unwrap();
        alice.reload().await;
        assert!(
            alice.shows(&format!("href=\"{}\">Continue", expected.replace('&', "&amp;"))),
            "{path}: {}",
            alice.html
        );
    }
}

#[tokio::test]
async fn a_nested_router_and_a_foreign_form() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/nested/7").await;
    alice.start("SMS").await;
    alice.enter("SMS", "123456").await;
    assert_eq!((&*alice.at, &*alice.html), ("/nested/7", "nested"));
    app.step_up.revoke(&session("alice")).await.unwrap();
    app.clock.advance(secs(15));
    for (referer, expected) in [("https://evil.example/pay", "/"), ("https://bank.example/pay?x", "/pay?x")] {
        let headers = [("cookie", "alice-1"), ("sec-fetch-mode", "navigate"), ("referer", referer)];
        let (_, headers, _) = app.send(request("POST", "/transfers", &headers, "")).await;
        let mut alice = app.browser_at(headers[LOCATION].to_str().unwrap()).await;
        alice.start("EMAIL").await;
        alice.enter("EMAIL", "123456").await;
        alice.assert_shows(&format!("href=\"{expected}\">Back to the form"));
        app.step_up.revoke(&session("alice")).await.unwrap();
        app.clock.advance(secs(15));
    }
}

/// A URL opens in the session that it was made for, as it was made, until its deadline.
#[tokio::test]
async fn a_url_is_sealed() {
    let app = App::new();
    let requirement = Requirement::new().scope("canary-scope");
    let url = Page::url(&app.step_up, &session("alice"), &requirement, "/canary-path").unwrap();
    assert!(!url.contains("canary"));
    let other = Page::url(&app.step_up, &session("alice"), &requirement, "/canary-path").unwrap();
    assert_ne!(url, other, "no two are equal");
    assert_eq!(app.browser_at(&url).await.status, 200);
    let invalid = "This link is no longer valid.";
    for cookie in ["alice-2", "carol-1", "-1"] {
        let mut other = app.browser_of(cookie);
        other.open(&url).await;
        assert_eq!(other.status, 400, "{cookie}");
        other.assert_shows(invalid);
    }
    let begins = url.find("?t=").unwrap() + 3;
    for at in (begins..url.len()).step_by(7) {
        let mut changed = url.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(app.browser_at(&changed).await.status, 400, "{at}");
        assert_eq!(app.browser_at(&url[..at]).await.status, 400, "{at}");
    }
    for none in ["/stepup/challenges/page", "/stepup/challenges/page?t=", "/stepup/challenges/page?t=%00&t=x"] {
        assert_eq!(app.browser_at(none).await.status, 400);
    }
    app.clock.advance(Duration::from_millis(15 * 60 * 1000 - 1));
    assert_eq!(app.browser_at(&url).await.status, 200);
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(app.browser_at(&url).await.status, 400);
}

#[tokio::test]
async fn secrets_are_rotated() {
    let clock = ManualClock::new();
    let node = |secret: u8, previous: Option<u8>| {
        let secret_of = |byte| Secret::new([byte; 32]).unwrap();
        let builder = builder(&clock).secret(secret_of(secret));
        let builder = previous.into_iter().fold(builder, |builder, byte| builder.previous_secret(secret_of(byte)));
        App::of(builder, clock.clone(), Page::new())
    };
    let (old, new, newest) = (node(1, None), node(2, Some(1)), node(3, Some(2)));
    let url = Page::url(&old.step_up, &session("alice"), &Requirement::new(), "/").unwrap();
    let mut alice = old.browser_at(&url).await;
    alice.app = &new;
    alice.start("SMS").await;
    alice.assert_shows("We have sent a code");
    assert_eq!(newest.browser_at(&url).await.status, 400);
}

/// Forms from elsewhere do nothing (T30).
#[tokio::test]
async fn foreign_forms_are_refused() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    let good = alice.form("/page/start", "SMS");
    let mut carol = app.browser_of("carol-1");
    carol.open("/cards/1").await;
    let token = |browser: &Browser<'_>| browser.form("/page/start", "SMS").1.swap_remove(1).1;
    let with = |token: &str| {
        let mut form = good.clone();
        form.1[1].1 = token.into();
        form
    };
    assert_eq!(good.1[1].0, "csrf");
    let bad = [with(""), with("x"), with(&token(&carol)), with(&token(&alice)[1..])];
    for form in bad {
        let mut alice = alice.clone();
        alice.submit(form).await;
        assert_eq!(alice.status, 403);
        alice.assert_shows("This form was not sent from this page.");
    }
    let twice = (good.0.clone(), [good.1.clone(), good.1.clone()].concat());
    let mut doubled = alice.clone();
    doubled.submit(twice).await;
    assert_eq!(doubled.status, 400);
    let body = Serializer::new(String::new()).extend_pairs(&good.1).finish();
    let table: [(Pairs, u16); 8] = [
        (&[("content-type", FORM), ("sec-fetch-site", "cross-site")], 403),
        (&[("content-type", FORM), ("sec-fetch-site", "same-site")], 403),
        (&[("content-type", FORM), ("origin", "https://evil.example")], 403),
        (&[("content-type", "text/plain"), ("sec-fetch-site", "same-origin")], 400),
        (&[("sec-fetch-site", "same-origin")], 400),
        (&[("content-type", FORM), ("sec-fetch-site", "same-origin"), ("x", "other session")], 403),
        (&[("content-type", FORM), ("sec-fetch-site", "same-origin"), ("x", "nobody")], 401),
        (&[("content-type", FORM), ("origin", "null")], 303),
    ];
    for (headers, expected) in table {
        let cookie = match headers.last().unwrap().1 {
            "other session" => "alice-2",
            "nobody" => "nobody",
            _ => "alice-1",
        };
        let mut request = request("POST", "/stepup/challenges/page/start", headers, body.clone());
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        assert_eq!(app.send(request).await.0, expected, "{headers:?}");
        let pending = app.step_up.status(&session("alice")).await.unwrap().pending_otp;
        assert_eq!(pending.is_some(), expected == 303, "{headers:?}");
    }
    // The JSON endpoints take no form.
    let start = request("POST", "/stepup/challenges/otp/SMS", &[("content-type", FORM), ("cookie", "alice-1")], "a=b");
    assert_eq!(app.send(start).await.0, 400);
}

/// The whole URL has at most 4 KiB; what is too long for that is not the step-up, but the way back.
#[tokio::test]
async fn the_longest_text_and_path() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).identify(caller).build().unwrap();
    let text = "ü".repeat(512);
    let describe = move |_: &Parts, _: &[u8]| Some(text.clone());
    let scope = Requirement::new().scope("x".repeat(128));
    let guard = RequireStepUp::with(&step_up, scope).unwrap().page(Binding::uri_as_received).unwrap();
    let guard = guard.bind(Binding::new(Binding::uri_as_received, describe)).rebuild_with(Body::new);
    let challenges = step_up.challenges().with_page(Page::new()).unwrap();
    let router = Router::new().nest_service(BASE, challenges).fallback(get(async || "here").layer(guard));
    let app = App { router, step_up, clock };
    for len in [1, 500, 1_000, 3_000, 8_000] {
        let path = format!("/{}", "y".repeat(len));
        let headers = [("cookie", "alice-1"), ("sec-fetch-mode", "navigate")];
        let (status, headers, _) = app.send(request("GET", &path, &headers, "")).await;
        assert_eq!(status, 303);
        let url = headers[LOCATION].to_str().unwrap();
        assert!(url.len() <= 4096, "{len}: {}", url.len());
        let mut alice = app.browser_at(url).await;
        alice.start("SMS").await;
        alice.enter("SMS", "123456").await;
        // Back at `/`, which asks for a step-up of its own, where the path is too long.
        let back = (alice.at == path, &*alice.html == "here");
        assert!(back == (true, true) || (len >= 500 && alice.is_page()), "{len}: {}", alice.at);
        app.step_up.revoke(&session("alice")).await.unwrap();
        app.clock.advance(secs(700));
    }
}

#[tokio::test]
async fn methods_and_paths_are_exact() {
    let app = App::new();
    let url = Page::url(&app.step_up, &session("alice"), &Requirement::new(), "/").unwrap();
    let below = |path: &str| format!("/stepup/challenges/page{path}");
    let table = [
        ("HEAD", url.clone(), 200, None),
        ("POST", url.clone(), 405, Some("GET, HEAD")),
        ("DELETE", url, 405, Some("GET, HEAD")),
        ("GET", below("/start"), 405, Some("POST")),
        ("GET", below("/verify"), 405, Some("POST")),
        ("GET", below("/cancel"), 405, Some("POST")),
        ("GET", below("/"), 404, None),
        ("GET", below("/start/"), 404, None),
        ("POST", below("/Start"), 404, None),
        ("GET", below("/0123456789abcdef.css"), 404, None),
        ("GET", below("s"), 404, None),
    ];
    for (method, path, expected, allow) in table {
        let (status, headers, body) = app.send(request(method, &path, &[("cookie", "alice-1")], "")).await;
        assert_eq!(status, expected, "{method} {path}");
        assert_eq!(headers.get("allow").map(|allow| allow.to_str().unwrap()), allow, "{method} {path}");
        assert_eq!(body.is_empty(), method == "HEAD");
    }
}

/// Without a page that is served, a guard refuses as ever.
#[tokio::test]
async fn nobody_is_sent_to_a_page_that_is_not_there() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).identify(caller).build().unwrap();
    let guard = RequireStepUp::new(&step_up).page(Binding::uri_as_received).unwrap();
    let router = Router::new().nest_service(BASE, step_up.challenges()).fallback(get(async || "here").layer(guard));
    let app = App { router, step_up, clock };
    let (status, _, body) = app.send(request("GET", "/", &[("cookie", "alice-1"), ("accept", "text/html")], "")).await;
    assert_eq!(status, 403);
    assert!(!body.contains("page"));
    assert_eq!(app.send(request("GET", "/stepup/challenges/page?t=x", &[("cookie", "alice-1")], "")).await.0, 404);
    let url = Page::url(&app.step_up, &session("alice"), &Requirement::new(), "/");
    assert_eq!(url, Err(ConfigError::PageWithoutPath));
}

#[test]
fn what_is_wrong_is_said_when_it_is_built() {
    let clock = ManualClock::new();
    let without = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let no_path = RequireStepUp::new(&without).page(Binding::uri_as_received).unwrap_err();
    assert_eq!(no_path, ConfigError::PageWithoutPath);
    assert!(no_path.to_string().contains(".public_path("));
    assert_eq!(without.challenges().with_page(Page::new()).unwrap_err(), no_path);

    let step_up = builder(&clock).build().unwrap();
    let wrong = [
        (Page::new().logo("https://cdn.example/logo.svg", "Bank"), "logo"),
        (Page::new().leave("//evil.example"), "leave"),
        (Page::new().accent("red;} body{display:none", "#fff"), "accent"),
        (Page::new().accent("url(https://evil.example)", "#fff"), "accent"),
        (Page::new().accent(" ", "#fff"), "accent"),
        (Page::new().text_in("nl", "title", "x"), "text_in"),
    ];
    for (page, expected) in wrong {
        let Err(ConfigError::Page { setting, detail }) = step_up.challenges().with_page(page) else {
            panic!("{expected} is taken");
        };
        assert_eq!(setting, expected, "{detail}");
    }
    let challenges = step_up.challenges().with_page(Page::new()).unwrap();
    drop(challenges);
    let url = |back| Page::url(&step_up, &session("alice"), &Requirement::new(), back);
    for back in ["", "cards", "//evil.example", "/\\evil.example", "/a b", "https://bank.example/"] {
        assert!(matches!(url(back), Err(ConfigError::Page { setting: "url", .. })), "{back}");
    }
    let unknown = Page::url(&step_up, &session("alice"), &Requirement::new().channels(["FAX"]), "/");
    assert!(matches!(unknown, Err(ConfigError::UnknownChannel { .. })));
}

impl App {
    async fn browser_at(&self, url: &str) -> Browser<'_> {
        let mut browser = self.browser();
        browser.open(url).await;
        browser
    }
}
