use serde_json::json;

use testkit::client::{Client, refused};

#[path = "../../../examples/refusals.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

const NAVIGATES: (&str, &str) = ("sec-fetch-mode", "navigate");

#[tokio::test]
async fn a_problem_contains_the_default_fields_and_its_type() {
    let app = example::app().unwrap();
    let alice = Client::new(&app, "alice-1");
    let refusal = alice.send("POST /transfers", &[NAVIGATES], ()).await;
    assert_eq!((refusal.status, refusal.header("content-type")), (403, "application/problem+json"));
    assert_eq!(refusal.header("cache-control"), "no-store");
    assert!(!refusal.header("request-ref").is_empty());
    let problem = refusal.json();
    assert_eq!(problem["type"], "https://bank.example/problems/step-up-required");
    assert_eq!(problem["status"], 403);
    assert_eq!((&problem["reason"], &problem["errorCode"]), (&json!("missing"), &json!("STEP_UP_REQUIRED")));
    assert_eq!(problem["start"], json!(["/stepup/challenges/otp/SMS"]));

    let nobody = Client::new(&app, "").post("/transfers").await;
    assert_eq!((nobody.status, nobody.header("content-type")), (401, "application/problem+json"));
    assert_eq!(nobody.header("www-authenticate"), "StepUpSession");
    assert_eq!((nobody.json()["status"].clone(), nobody.json().get("type")), (json!(401), None));

    let head = alice.send("HEAD /transfers", &[], ()).await;
    assert_eq!((head.status, head.body.as_str()), (403, ""), "every method is guarded");
    alice.step_up_in_the_sandbox(&json!({})).await;
    assert_eq!(alice.post("/transfers").await.status, 200);
}

#[tokio::test]
async fn a_navigation_is_redirected_and_everything_else_gets_json() {
    let app = example::app().unwrap();
    let alice = Client::new(&app, "alice-1");
    let html = ("accept", "text/html,application/xhtml+xml;q=0.9");
    for headers in [&[NAVIGATES][..], &[html], &[NAVIGATES, html]] {
        let sent = alice.send("GET /statements/2026?page=2&to=%2F%2Fx", headers, ()).await;
        let page = "/step-up?return_to=%2Fstatements%2F2026%3Fpage%3D2%26to%3D%252F%252Fx";
        assert_eq!((sent.status, sent.header("location")), (303, page), "{headers:?}");
        assert_eq!(sent.header("cache-control"), "no-store");
    }
    let others = [
        ("GET", &[][..]),
        ("GET", &[("accept", "application/json")]),
        ("GET", &[html, ("sec-fetch-mode", "cors")]),
        ("POST", &[NAVIGATES, html]),
    ];
    for (method, headers) in others {
        let refusal = alice.send(&format!("{method} /statements/2026"), headers, ()).await;
        assert_eq!(refusal.why(), refused("missing"), "{method} {headers:?}");
        assert_eq!(refusal.header("content-type"), "application/json");
    }
    let nobody = Client::new(&app, "").send("GET /statements/2026", &[NAVIGATES], ()).await;
    assert_eq!(nobody.status, 401, "without a login there is no session to step up");
    alice.step_up_in_the_sandbox(&json!({})).await;
    assert_eq!(alice.send("GET /statements/2026", &[NAVIGATES], ()).await.status, 200);
}

#[tokio::test]
async fn the_page_redirects_to_no_other_host() {
    let app = example::app().unwrap();
    let nobody = Client::new(&app, "");
    for (given, back) in [
        ("", "/"),
        ("?return_to=%2Fstatements%2F2026%3Fa%3D1%26b", "/statements/2026?a=1&amp;b"),
        ("?return_to=//evil.example", "/"),
        ("?return_to=%2F%2Fevil.example", "/"),
        ("?return_to=/%5Cevil.example", "/"),
        ("?return_to=%5C%5Cevil.example", "/"),
        ("?return_to=/%09/evil.example", "/"),
        ("?return_to=/%0A/evil.example", "/"),
        ("?return_to=https://evil.example", "/"),
        ("?return_to=javascript:alert(1)", "/"),
        ("?return_to=/%22%3E%3Cscript%3E", "/&quot;>&lt;script>"),
    ] {
        let page = nobody.get(&format!("/step-up{given}")).await;
        assert!(page.body.contains(&format!("<a href=\"{back}\">")), "{given}: {}", page.body);
    }
}

/// A request target may begin with two slashes: `return_to` must not be another host.
#[tokio::test]
async fn no_target_leads_to_another_host() {
    use axum::{Router, routing::get};
    use tower_step_up::{Caller, RequireStepUp, StepUp, discard};
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let login = |mut request: axum::extract::Request| {
        request.extensions_mut().insert(Caller::user("alice").session("1"));
        std::future::ready(request)
    };
    let app = Router::new()
        .fallback(get(async || "every path"))
        .layer(RequireStepUp::new(&step_up).with_refusal_response(example::page_or_json))
        .layer(axum::middleware::map_request(login));
    for target in ["//evil.example", "//evil.example/a", "http://other.example//evil.example/a"] {
        let sent = Client::new(&app, "").send(&format!("GET {target}"), &[NAVIGATES], ()).await;
        assert_eq!((sent.status, sent.header("location")), (303, "/step-up?return_to=%2F"), "{target}");
    }
}
