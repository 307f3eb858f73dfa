//! Attacks on the page: what one tab, one site or one program must not make of another's.

use std::sync::{Arc, Mutex};

use tower_step_up::{DeliveryError, OtpMessage, Policy, PushMessage, PushReply, Secret};

use super::*;

const NAV: (&str, &str) = ("sec-fetch-mode", "navigate");

fn alice() -> Caller {
    Caller::user("alice").session("1")
}

type Sent = Arc<Mutex<Vec<String>>>;

fn real(clock: &ManualClock, sent: &Sent) -> StepUpBuilder {
    let (otp, push) = (Arc::clone(sent), Arc::clone(sent));
    StepUp::builder()
        .secret(Secret::new([7; 32]).unwrap())
        .otp("SMS", move |m: OtpMessage| {
            otp.lock().unwrap().push(format!("SMS {} {:?}", m.code().expose(), m.operation()));
            async { Ok::<_, DeliveryError>(()) }
        })
        .otp("EMAIL", async |_: OtpMessage| Ok::<_, DeliveryError>(()))
        .push("BIOMETRIC", move |m: PushMessage| {
            push.lock().unwrap().push(format!("PUSH {}", m.id()));
            async { Ok::<_, DeliveryError>(()) }
        })
        .proof("KEY")
        .enrollment(enrolled)
        .public_path(BASE)
        .clock(clock.clone())
}

/// T38: the code that was typed for what a page shows opens nothing that another tab has started.
#[tokio::test]
async fn a_page_without_an_operation_approves_none() {
    let app = App::new();
    let mut cards = app.browser();
    cards.open("/cards/1").await;
    cards.start("SMS").await;
    app.clock.advance(secs(15));
    let mut payout = app.browser();
    payout.at = "/payouts/new".into();
    payout.navigate(Method::POST, "/payouts", "900 EUR to Eve".into()).await;
    payout.start("SMS").await;
    payout.assert_shows("Pay 900 EUR to Eve");
    // The tab of the cards still shows a field for a code, and no operation.
    assert!(!cards.shows("You approve"));
    cards.enter("SMS", "123456").await;
    let grants = app.step_up.status(&alice()).await.unwrap().grants;
    let (status, _, body) = app
        .send(request(
            "POST",
            "/payouts",
            &[COOKIE, ("content-type", "application/x-www-form-urlencoded")],
            "900 EUR to Eve",
        ))
        .await;
    assert!(grants.is_empty() && status == 403, "a page that showed nothing has approved the payout: {status} {body}");
}

#[tokio::test]
async fn a_page_without_a_scope_grants_none() {
    let app = App::new();
    let mut cards = app.browser();
    cards.open("/cards/1").await;
    cards.start("SMS").await;
    app.clock.advance(secs(15));
    let mut scoped = app.browser();
    scoped.open("/scoped").await;
    scoped.start("SMS").await;
    cards.enter("SMS", "123456").await;
    let grants = app.step_up.status(&alice()).await.unwrap().grants;
    assert!(grants.is_empty(), "granted {:?}", grants[0].scope());
}

#[tokio::test]
async fn a_page_for_a_scope_approves_no_operation_of_it() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).identify(caller).build().unwrap();
    let guard = || RequireStepUp::with(&step_up, Requirement::new().scope("pay")).unwrap().page(original).unwrap();
    let bound = guard().bind(Binding::new(original, describe)).rebuild_with(Body::new);
    let router = Router::new()
        .route("/limits", get(async || "limits").layer(guard()))
        .route("/payouts", post(async || "paid").layer(bound))
        .nest_service(BASE, step_up.challenges().with_page(Page::new()).unwrap());
    let app = App { router, step_up, clock };
    let mut limits = app.browser();
    limits.open("/limits").await;
    limits.start("SMS").await;
    app.clock.advance(secs(15));
    // By somebody with the same session, such as a stolen cookie, over JSON.
    let (_, _, refusal) = app.send(request("POST", "/payouts", &[COOKIE], "900 EUR to Eve")).await;
    let binding = serde_json::from_str::<serde_json::Value>(&refusal).unwrap()["binding"].to_string();
    let start = request(
        "POST",
        "/stepup/challenges/otp/SMS",
        &[COOKIE, ("content-type", "application/json")],
        format!("{{\"binding\":{binding}}}"),
    );
    assert_eq!(app.send(start).await.0, 204);
    limits.enter("SMS", "123456").await;
    let (status, _, body) = app.send(request("POST", "/payouts", &[COOKIE], "900 EUR to Eve")).await;
    assert_eq!(status, 403, "{body}");
}

/// Two operations with one text: the page of the second does not show the push of the first as its own.
#[tokio::test]
async fn the_same_text_of_another_operation() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).identify(caller).build().unwrap();
    let guard = RequireStepUp::new(&step_up).page(Binding::uri_as_received).unwrap();
    let bound = guard.bind(Binding::new(Binding::uri_as_received, |_, _| Some("Pay".into()))).rebuild_with(Body::new);
    let router = Router::new()
        .nest_service(BASE, step_up.challenges().with_page(Page::new()).unwrap())
        .fallback(post(async || "paid").layer(bound));
    let app = App { router, step_up, clock };
    let mut one = app.browser();
    one.navigate(Method::POST, "/pay/5", String::new()).await;
    one.start("BIOMETRIC").await;
    let mut two = app.browser();
    two.navigate(Method::POST, "/pay/900", String::new()).await;
    assert!(!two.shows("Open the request on your device"), "the other operation's push is shown as this one's");
}

/// T27
#[tokio::test]
async fn the_old_page_says_that_it_was_paid() {
    let app = App::new();
    let mut tab = app.browser();
    tab.at = "/payouts/new".into();
    tab.navigate(Method::POST, "/payouts", "900 EUR".into()).await;
    let page = tab.at.clone();
    tab.start("SMS").await;
    tab.enter("SMS", "123456").await;
    tab.at = "/payouts/new".into();
    tab.navigate(Method::POST, "/payouts", "900 EUR".into()).await;
    assert_eq!(tab.html, "paid");
    tab.open(&page).await;
    assert!(tab.shows("This was already sent and confirmed on"), "{}", tab.html.split("<h1>").nth(1).unwrap());
}

/// `.layer` after `nest_service`: the guard is around the page, too.
#[tokio::test]
async fn a_guard_around_the_page_sends_nobody_in_a_circle() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).identify(caller).build().unwrap();
    let router = Router::new()
        .route("/cards/1", get(async || "4929"))
        .nest_service(BASE, step_up.challenges().with_page(Page::new()).unwrap())
        .layer(RequireStepUp::new(&step_up).page(Binding::uri_as_received).unwrap());
    let app = App { router, step_up, clock };
    let mut at = "/cards/1".to_owned();
    for _ in 0..25 {
        let (status, headers, _) = app.send(request("GET", &at, &[COOKIE, NAV], "")).await;
        if status != 303 {
            return;
        }
        at = headers[LOCATION].to_str().unwrap().to_owned();
    }
    panic!("a circle without end, now {} characters", at.len());
}

/// Under a policy that binds every step-up, an unbound page is never done: it does not say that one is.
#[tokio::test]
async fn a_page_that_nothing_can_satisfy() {
    let clock = ManualClock::new();
    let app = App::of(builder(&clock).policy(Policy::psd2()), clock.clone(), Page::new());
    let url = Page::url(&app.step_up, &alice(), &Requirement::new(), "/cards/1");
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    tab.start("SMS").await;
    tab.enter("SMS", "123456").await;
    assert!(!tab.shows("One is done. Now confirm in the other way."), "and so on for ever");
    assert!(url.is_err(), "documented: an error where no grant could ever satisfy");
}

#[tokio::test]
async fn no_fraction_of_a_second_is_lost() {
    let clock = ManualClock::new();
    let step_up = builder(&clock).identify(caller).build().unwrap();
    let requirement = Requirement::new().max_age(Duration::from_millis(1900));
    let guard = RequireStepUp::with(&step_up, requirement.clone()).unwrap().page(original).unwrap();
    let router = Router::new()
        .route("/x", get(async || "x"))
        .route_layer(guard)
        .nest_service(BASE, step_up.challenges().with_page(Page::new()).unwrap());
    let app = App { router, step_up, clock };
    let mut tab = app.browser();
    tab.open("/x").await;
    tab.start("SMS").await;
    app.step_up.verify_otp(&alice(), "SMS", "123456").await.unwrap();
    app.clock.advance(Duration::from_millis(1500));
    assert!(app.step_up.authorize(&alice(), &requirement).await.is_ok());
    tab.reload().await;
    tab.assert_shows("You have confirmed that it is you.");
}

#[tokio::test]
async fn two_clicks_are_one_push() {
    let (clock, sent) = (ManualClock::new(), Sent::default());
    let app = App::of(real(&clock, &sent), clock.clone(), Page::new());
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    let mut twice = tab.clone();
    tab.start("BIOMETRIC").await;
    twice.start("BIOMETRIC").await;
    let sent = sent.lock().unwrap().clone();
    let first = sent[0].strip_prefix("PUSH ").unwrap();
    let approved = app.step_up.answer_push("alice", first, PushReply::Approve).await;
    println!("{} pushes; approving the first: {approved:?}", sent.len());
    assert_eq!((sent.len(), approved), (1, Ok(())));
}

/// "Cancel" of one tab ends what another tab has started for something else.
#[tokio::test]
async fn cancel_is_for_this() {
    let app = App::new();
    let mut cards = app.browser();
    cards.open("/cards/1").await;
    cards.start("SMS").await;
    app.step_up.start_push(&alice(), "BIOMETRIC", "other").await.unwrap();
    cards.submit(cards.form("/page/cancel", "")).await;
    assert!(app.step_up.status(&alice()).await.unwrap().pending_push.is_some(), "another scope's push is dead");
}

#[tokio::test]
async fn what_no_browser_navigates_by() {
    let app = App::new();
    let java = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2";
    let table: [(&str, &str, Pairs); 6] = [
        ("GET", "/cards/1", &[COOKIE, ("accept", "application/json, text/html;q=0")]),
        ("POST", "/transfers", &[COOKIE, ("accept", java), ("content-type", "application/json")]),
        ("POST", "/transfers", &[COOKIE, ("accept", "text/html, */*"), ("x-requested-with", "XMLHttpRequest")]),
        ("PUT", "/nested/1", &[COOKIE, ("accept", java)]),
        ("DELETE", "/nested/1", &[COOKIE, ("accept", java)]),
        ("GET", "/cards/1", &[COOKIE, ("accept", java), ("authorization", "Bearer x")]),
    ];
    let mut wrong = Vec::new();
    for (method, path, headers) in table {
        let status = app.send(request(method, path, headers, "{}")).await.0;
        if status == 303 {
            wrong.push(format!("{method} {path} {headers:?}"));
        }
    }
    assert!(wrong.is_empty(), "303 for {wrong:#?}");
}

/// What a refused gRPC call gets with `.page()`; gRPC's usual limit is 8 KiB.
#[tokio::test]
async fn headers_of_a_grpc_refusal() {
    let clock = ManualClock::new();
    let size = async |page: bool| {
        let step_up = builder(&clock).identify(caller).build().unwrap();
        let text = "ü".repeat(512);
        let scope = Requirement::new().scope("x".repeat(128)).all_of(["SMS", "EMAIL", "BIOMETRIC"]);
        let mut guard = RequireStepUp::with(&step_up, scope).unwrap();
        if page {
            guard = guard.page(Binding::uri_as_received).unwrap();
        }
        let guard =
            guard.bind(Binding::new(Binding::uri_as_received, move |_, _| Some(text.clone()))).rebuild_with(Body::new);
        let challenges = step_up.challenges().with_page(Page::new()).unwrap();
        let router = Router::new().nest_service(BASE, challenges).fallback(post(async || "here").layer(guard));
        let app = App { router, step_up, clock: clock.clone() };
        let (status, headers, _) =
            app.send(request("POST", "/a.B/C", &[COOKIE, ("content-type", "application/grpc")], "")).await;
        assert_eq!(status, 200);
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum::<usize>()
    };
    for page in [false, true] {
        let size = size(page).await;
        assert!(size <= 8192, "{size} with a page: {page}");
    }
}

#[tokio::test]
async fn a_head_uses_up_no_return() {
    let app = App::new();
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    tab.start("BIOMETRIC").await;
    let id = app.step_up.status(&alice()).await.unwrap().pending_push.unwrap().id;
    app.step_up.answer_push("alice", &id, PushReply::Approve).await.unwrap();
    let status = app.send(request("HEAD", &tab.at, &[COOKIE], "")).await.0;
    app.clock.advance(secs(6));
    tab.reload().await;
    assert_eq!((status.as_u16(), &*tab.html), (200, "4929"), "HEAD got {status}");
}

/// A page that has started something ten seconds before the deadline of its URL, ten seconds after it.
async fn started_before_the_deadline<'a>(app: &'a App, channel: &str) -> Browser<'a> {
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    app.clock.advance(secs(14 * 60 + 50));
    tab.start(channel).await;
    app.clock.advance(secs(20));
    tab
}

/// A code that is entered a moment after the URL's deadline counts.
#[tokio::test]
async fn a_url_outlives_its_code() {
    let app = App::new();
    let mut tab = started_before_the_deadline(&app, "SMS").await;
    assert!(app.step_up.status(&alice()).await.unwrap().pending_otp.is_some());
    tab.enter("SMS", "123456").await;
    assert_eq!(tab.html, "4929", "{}", tab.html.split("<h1>").nth(1).unwrap());
}

/// So does a wrong one before it, and the page says what is left.
#[tokio::test]
async fn a_wrong_code_after_the_deadline() {
    let app = App::new();
    let mut tab = started_before_the_deadline(&app, "SMS").await;
    tab.enter("SMS", "000000").await;
    tab.assert_shows("That code is wrong. Try again.");
    assert_eq!(tab.forms().len(), 2, "to verify and to cancel: nothing can be started any more, {}", tab.html);
    assert!(!tab.html.contains("data-refusal"), "the script would start something");
    tab.enter("SMS", "123456").await;
    assert_eq!(tab.html, "4929");
    // With nothing pending, it is a link of yesterday.
    let mut late = app.browser_of("carol-1");
    late.open("/cards/1").await;
    app.clock.advance(secs(15 * 60 + 1));
    late.reload().await;
    assert_eq!(late.status, 400);
}

/// A push that is accepted a moment after the URL's deadline leads back, too.
#[tokio::test]
async fn a_push_after_the_deadline() {
    let app = App::new();
    let mut tab = started_before_the_deadline(&app, "BIOMETRIC").await;
    tab.reload().await;
    tab.assert_shows("http-equiv=\"refresh\"");
    assert!(!tab.html.contains("data-refusal"), "the page shows the number, the dialog would not");
    let push = app.step_up.status(&alice()).await.unwrap().pending_push.unwrap();
    app.step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
    let plain = tab.at.replace("&p=", "&x=");
    tab.reload().await;
    assert_eq!(tab.html, "4929");
    tab.open(&plain).await;
    assert_eq!(tab.status, 400, "a link that has started nothing has ended");
}

/// The token of a bound page would be too old to start anything after five minutes; its URL is open for fifteen.
#[tokio::test]
async fn a_bound_page_after_six_minutes() {
    let (clock, sent) = (ManualClock::new(), Sent::default());
    let app = App::of(real(&clock, &sent), clock.clone(), Page::new());
    let mut tab = app.browser();
    tab.at = "/payouts/new".into();
    tab.navigate(Method::POST, "/payouts", "900 EUR".into()).await;
    clock.advance(secs(6 * 60));
    tab.start("SMS").await;
    tab.assert_shows("We have sent a code");
    clock.advance(secs(60));
    tab.start("SMS").await;
    tab.assert_shows("A new code is on its way.");
    // The dialog starts with the token that the page hands it.
    clock.advance(secs(6 * 60));
    tab.reload().await;
    let refusal: serde_json::Value = serde_json::from_str(&attribute(&tab.html, "data-refusal")).unwrap();
    let start = serde_json::json!({ "binding": refusal["binding"] }).to_string();
    let start = request("POST", "/stepup/challenges/otp/SMS", &[COOKIE, ("content-type", "application/json")], start);
    assert_eq!(app.send(start).await.0, 204);
    let code = sent.lock().unwrap().last().unwrap()[4..10].to_owned();
    tab.reload().await;
    tab.enter("SMS", &code).await;
    tab.assert_shows("Back to the form");
    tab.navigate(Method::POST, "/payouts", "900 EUR".into()).await;
    assert_eq!(tab.html, "paid");
}

/// Of two clicks the browser shows the second response: the number is in that one, too.
#[tokio::test]
async fn two_clicks_on_a_push_with_a_number() {
    let clock = ManualClock::new();
    let app = App::of(builder(&clock).policy(Policy::new().number_matching(2)), clock, Page::new());
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    let mut second = tab.clone();
    tab.start("BIOMETRIC").await;
    second.start("BIOMETRIC").await;
    let number = |tab: &Browser<'_>| tab.html.split("<output>").nth(1).unwrap()[..2].to_owned();
    assert_eq!(number(&tab), number(&second));
    let push = app.step_up.status(&alice()).await.unwrap().pending_push.unwrap();
    let (_, _, status) = app.send(request("GET", "/stepup/challenges", &[COOKIE], "")).await;
    let (_, _, poll) =
        app.send(request("GET", &format!("/stepup/challenges/push/BIOMETRIC/{}", push.id), &[COOKIE], "")).await;
    for answer in [status, poll] {
        let rest = answer.replace(&push.id, "");
        assert!(!rest.contains(&format!("\"{}\"", number(&tab))) && !rest.contains("number"), "{answer}");
    }
    app.step_up.answer_push("alice", &push.id, PushReply::Number(number(&second))).await.unwrap();
    second.reload().await;
    assert_eq!(second.html, "4929", "the second click goes back by itself as well");
}

/// What is started then could not be finished: nothing is sent.
#[tokio::test]
async fn a_start_after_the_deadline_sends_nothing() {
    let (clock, sent) = (ManualClock::new(), Sent::default());
    let app = App::of(real(&clock, &sent), clock.clone(), Page::new());
    for channel in ["SMS", "BIOMETRIC"] {
        let mut tab = app.browser();
        tab.open("/cards/1").await;
        clock.advance(secs(15 * 60 + 1));
        tab.start(channel).await;
        assert_eq!(tab.status, 400, "{channel}");
        tab.assert_shows("no longer valid");
    }
    assert!(sent.lock().unwrap().is_empty(), "{:?}", sent.lock().unwrap());
}

/// T34
#[tokio::test]
async fn a_sandbox_beside_production() {
    let (clock, sent) = (ManualClock::new(), Sent::default());
    let production = App::of(real(&clock, &sent), clock.clone(), Page::new());
    let sandbox = App::of(builder(&clock).secret(Secret::new([7; 32]).unwrap()), clock.clone(), Page::new());
    let url = Page::url(&sandbox.step_up, &alice(), &Requirement::new(), "/cards/1").unwrap();
    let (status, _, _) = production.send(request("GET", &url, &[COOKIE], "")).await;
    assert_eq!(status, 400, "a sandbox's URL opens in production");
}

/// Of two headers neither counts.
#[tokio::test]
async fn headers_twice() {
    let app = App::new();
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    let good = Serializer::new(String::new()).extend_pairs(tab.form("/page/start", "SMS").1).finish();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let mut wrong = Vec::new();
    for (name, values) in [
        ("sec-fetch-site", ["same-origin", "cross-site"]),
        ("origin", ["https://bank.example", "https://evil.example"]),
    ] {
        let headers = [COOKIE, form, (name, values[0]), (name, values[1])];
        if app.send(request("POST", "/stepup/challenges/page/start", &headers, good.clone())).await.0 == 303 {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "the first of two counts: {wrong:?}");
}

/// A guard around the page leads nobody there, whatever its closure says and wherever it stands.
#[tokio::test]
async fn a_guard_around_the_page_makes_no_circle() {
    type Closure = fn(&Parts) -> Option<Uri>;
    let closures: [Closure; 3] = [original, |_| None, |parts| Some(parts.uri.clone())];
    for (closure, inside) in closures.into_iter().flat_map(|closure| [(closure, false), (closure, true)]) {
        let clock = ManualClock::new();
        let step_up = builder(&clock).identify(caller).build().unwrap();
        let guard = || RequireStepUp::new(&step_up).page(closure).unwrap();
        let challenges = step_up.challenges().with_page(Page::new()).unwrap();
        let router = Router::new().route("/cards/1", get(async || "4929").layer(guard()));
        let router = if inside {
            router.nest(BASE, Router::new().fallback_service(challenges).layer(guard()))
        } else {
            router.nest_service(BASE, challenges).layer(guard())
        };
        let app = App { router, step_up, clock };
        let mut tab = app.browser();
        tab.open("/cards/1").await;
        assert_eq!((tab.status, tab.is_page()), (403, true), "inside: {inside}");
    }
}

/// A token is renewed for no longer than its URL, and only where the current secret has sealed it.
#[tokio::test]
async fn a_renewed_token_ends_with_its_page_and_its_secret() {
    let clock = ManualClock::new();
    let secret = |byte: u8| Secret::new([byte; 32]).unwrap();
    let app = App::of(builder(&clock).secret(secret(7)), clock.clone(), Page::new());
    let mut tab = app.browser();
    tab.at = "/payouts/new".into();
    tab.navigate(Method::POST, "/payouts", "900 EUR".into()).await;
    let url = tab.at.clone();
    let token = |html: &str| {
        let refusal: serde_json::Value = serde_json::from_str(&attribute(html, "data-refusal")).unwrap();
        refusal["binding"].as_str().unwrap().to_owned()
    };
    let start = async |app: &App, binding: &str| {
        let body = serde_json::json!({ "binding": binding }).to_string();
        let json = ("content-type", "application/json");
        app.send(request("POST", "/stepup/challenges/otp/SMS", &[COOKIE, json], body)).await.0.as_u16()
    };
    // Not by a node that has another secret, for which this one is the previous.
    let rotated = App::of(builder(&clock).secret(secret(8)).previous_secret(secret(7)), clock.clone(), Page::new());
    let (_, _, html) = rotated.send(request("GET", &url, &[COOKIE], "")).await;
    assert_eq!(token(&html), token(&tab.html), "as it was");
    clock.advance(secs(14 * 60 + 50));
    tab.reload().await;
    let last = token(&tab.html);
    clock.advance(secs(9));
    assert_eq!(start(&app, &last).await, 204);
    clock.advance(secs(16));
    assert_eq!(start(&app, &last).await, 400, "after the URL's deadline");
}

/// What a form has come to after the deadline is said, beside that the page has ended.
#[tokio::test]
async fn the_last_outcome_after_the_deadline() {
    let app = App::new();
    let mut tab = started_before_the_deadline(&app, "SMS").await;
    for _ in 0..5 {
        tab.enter("SMS", "000000").await;
    }
    assert_eq!(tab.status, 400);
    tab.assert_shows("Too many attempts with this code.");
    tab.assert_shows("no longer valid");
}

/// Where a code is pending, too, only the script watches the push: a reload would lose what is typed.
#[tokio::test]
async fn a_push_beside_a_code_is_watched() {
    let app = App::new();
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    tab.start("SMS").await;
    tab.start("BIOMETRIC").await;
    assert!(tab.html.contains("data-waits=") && tab.html.contains("<script") && !tab.html.contains("http-equiv"));
    assert_eq!(tab.html.matches("name=\"code\"").count(), 1);
}
