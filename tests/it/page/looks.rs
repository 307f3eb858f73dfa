//! What the page is made of: headers, texts, style, and what of it an application replaces.

use super::*;

async fn page_of(app: &App, headers: &[(&str, &str)]) -> (HeaderMap, String) {
    let url = Page::url(&app.step_up, &Caller::user("alice").session("1"), &Requirement::new(), "/cards/1").unwrap();
    let mut request = Request::get(url).header("cookie", "alice-1").header("host", "bank.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (_, headers, html) = app.send(request.body(Body::empty()).unwrap()).await;
    (headers, html)
}

/// Nothing inline, nothing from elsewhere, no frame around it, nothing stored but files that never change.
#[tokio::test]
async fn headers() {
    let app = App::new();
    let (headers, html) = page_of(&app, &[]).await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-stepup-sandbox"], "true");
    let policy = headers["content-security-policy"].to_str().unwrap();
    for directive in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("data:"));
    for inline in [" style=", "<style", " onclick", " onload", "javascript:"] {
        assert!(!html.contains(inline), "{inline}");
    }
    let script = html.split("<script ").nth(1).unwrap();
    assert!(script.split("</script>").next().unwrap().ends_with("\">"), "an empty script element");

    for (tag, name, content_type) in [
        ("<link rel=\"stylesheet\" ", "href", "text/css; charset=utf-8"),
        ("<script ", "src", "text/javascript; charset=utf-8"),
    ] {
        let path = attribute(html.split(tag).nth(1).unwrap(), name);
        let (status, headers, file) = app.send(Request::get(&path).body(Body::empty()).unwrap()).await;
        assert_eq!(status, 200, "{path}: it needs no login");
        assert_eq!(headers["content-type"], content_type);
        assert_eq!(headers["cache-control"], "private, max-age=31536000, immutable");
        assert!(file.len() > 1_000);
    }
}

/// One request before it can be used, besides its style, and little in all.
#[tokio::test]
async fn weight() {
    let app = App::new();
    let (_, html) = page_of(&app, &[]).await;
    let mut sizes = vec![html.len()];
    for (tag, name) in [("<link rel=\"stylesheet\" ", "href"), ("<script ", "src")] {
        let path = attribute(html.split(tag).nth(1).unwrap(), name);
        sizes.push(app.send(Request::get(&path).body(Body::empty()).unwrap()).await.2.len());
    }
    println!("bytes of HTML, style, script: {sizes:?}, in all {}", sizes.iter().sum::<usize>());
    assert_eq!(html.matches(" src=").count() + html.matches("<link ").count(), 2, "nothing else is loaded");
    assert!(sizes.iter().sum::<usize>() <= 20 * 1024, "{sizes:?}");
}

#[tokio::test]
async fn languages() {
    let app = App::new();
    let table = [
        ("de-AT,de;q=0.9", "de", "Wie möchten Sie bestätigen?"),
        ("fr", "fr", "Comment"),
        ("es-MX", "es", "¿"),
        ("nl, ja", "en", "How do you want to confirm?"),
    ];
    for (accept, language, text) in table {
        let (_, html) = page_of(&app, &[("accept-language", accept)]).await;
        assert!(html.contains(&format!("<html lang=\"{language}\">")), "{accept}");
        assert!(html.contains(text), "{accept}: {html}");
    }
}

#[tokio::test]
async fn what_an_application_replaces() {
    let clock = ManualClock::new();
    let page = Page::new()
        .title("Bank & <Co>")
        .logo("/logo.svg", "The \"Bank\"")
        .accent("#123456", "#fff")
        .dark_accent("rgb(1 2 3 / 50%)", "white")
        .text("title", "Prove it")
        .text_in("de", "title", "Beweisen Sie es")
        .text("SMS", "your phone")
        .leave("/home?a&b");
    let app = App::of(builder(&clock), clock, page);
    let (_, html) = page_of(&app, &[]).await;
    for expected in [
        "<title>Bank &amp; &lt;Co&gt; – Prove it</title>",
        "<img src=\"/logo.svg\" alt=\"The &quot;Bank&quot;\">",
        "<h1>Prove it</h1>",
        "Code by your phone",
        "href=\"/home?a&amp;b\"",
        "SMS your phone", // for the script
    ] {
        assert!(html.contains(expected), "{expected} in {html}");
    }
    let (_, german) = page_of(&app, &[("accept-language", "de")]).await;
    assert!(german.contains("<h1>Beweisen Sie es</h1>"));
    let path = attribute(html.split("<link rel=\"stylesheet\" ").nth(1).unwrap(), "href");
    let (_, _, css) = app.send(Request::get(&path).body(Body::empty()).unwrap()).await;
    assert!(css.contains("--step-up-accent:#123456;") && css.contains("--step-up-accent:rgb(1 2 3 / 50%);"));
    let plain = App::new();
    let (_, html) = page_of(&plain, &[]).await;
    assert_ne!(path, attribute(html.split("<link rel=\"stylesheet\" ").nth(1).unwrap(), "href"), "another hash");
}

/// What a URL can have said by the page is a text of the catalogue.
#[tokio::test]
async fn a_url_says_no_text_of_its_own() {
    let app = App::new();
    let url = Page::url(&app.step_up, &Caller::user("alice").session("1"), &Requirement::new(), "/").unwrap();
    for (message, shown) in [
        ("Your+account+is+closed", false),
        ("title", false),
        ("none", false),
        ("%3Cscript%3E", false),
        ("VERIFICATION_CODE_INVALID", true),
        ("RETRY_IN&w=65", true),
    ] {
        let mut alice = app.browser();
        alice.open(&format!("{url}&m={message}")).await;
        assert_eq!(alice.shows("role=\"alert\""), shown, "{message}");
        assert!(!alice.shows("Your account") && !alice.shows("<script>"));
        assert_eq!(alice.shows("1:05"), message.ends_with("65"));
    }
}
