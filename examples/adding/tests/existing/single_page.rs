//! A single-page application with a JWT, and the page: `docs/sessions.md`, "With a page". Its script sends the token, and a
//! window that it opens sends a cookie. The lines marked `// +` are for the cookie.

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts},
    routing::{get, post},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite}; // +
use testkit::{
    browser,
    client::{Answer, Client},
};
use tower_step_up::{Binding, Caller, Page, RequireStepUp, StepUp, discard};

use crate::with_jwt::example::tokens::{Claims, Tokens, random_id};

/// What a script gets: a token, which a cookie has, too.
type Token = (CookieJar, String); // +

#[derive(Clone)]
struct App {
    tokens: Tokens,
    step_up: StepUp,
}

fn app(has_page: bool) -> Router {
    let tokens = Tokens::default();
    let verifier = tokens.clone();
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).public_path("/stepup/challenges");
    let identify = move |request: &Parts| claims(&verifier, &request.headers).map(|claims| caller(&claims));
    let step_up = step_up.identify(identify).build().unwrap();
    let (mut guard, mut challenges) = (RequireStepUp::new(&step_up), step_up.challenges());
    if has_page {
        guard = guard.page(Binding::uri_as_received).unwrap();
        challenges = challenges.with_page(Page::new()).unwrap();
    }
    Router::new()
        .route("/transfers", get(async || "none").post(async || "paid"))
        .route_layer(guard)
        .nest_service("/stepup/challenges", challenges)
        .route("/login/{user}", post(log_in))
        .route("/refresh", post(refresh))
        .route("/logout", post(log_out))
        .with_state(App { tokens, step_up })
}

fn caller(claims: &Claims) -> Caller {
    Caller::user(&claims.sub).session(&claims.sid)
}

/// What the only `Authorization` header says, and where there is none, the cookie.
fn claims(tokens: &Tokens, headers: &HeaderMap) -> Option<Claims> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(only), None) => tokens.verify(only.to_str().ok()?.strip_prefix("Bearer ")?),
        (None, _) => tokens.verify(CookieJar::from_headers(headers).get("token")?.value()), // +
        _ => None,
    }
}

async fn log_in(app: State<App>, Path(user): Path<String>) -> Token {
    with_cookie(app.tokens.issue(user, random_id())) // +
}

async fn refresh(app: State<App>, headers: HeaderMap) -> Result<Token, StatusCode> {
    let claims = claims(&app.tokens, &headers).ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(with_cookie(app.tokens.issue(claims.sub, claims.sid))) // +
}

async fn log_out(app: State<App>, headers: HeaderMap) -> Result<Token, StatusCode> {
    let claims = claims(&app.tokens, &headers).ok_or(StatusCode::UNAUTHORIZED)?;
    app.step_up.revoke(&caller(&claims)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(with_cookie(String::new())) // +
}

// + this function
fn with_cookie(token: String) -> Token {
    let cookie = Cookie::build(("token", token.clone())).path("/stepup/challenges");
    let cookie = cookie.http_only(true).secure(true).same_site(SameSite::Lax);
    (CookieJar::new().add(cookie), token)
}

/// A script with the token of a new login, and the `Cookie` header of a window beside it, which ends with the token.
async fn logged_in(app: &Router, user: &str) -> (Client, String) {
    let answer = Client::new(app, "").post(&format!("/login/{user}")).await;
    (Client::new(app, answer.body.clone()), cookie_of(&answer))
}

fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/stepup/challenges"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

/// To the page that a refusal names.
async fn to_the_page(script: &Client, request: &str) -> String {
    let refused = script.send(request, &[], ()).await;
    assert_eq!(refused.why(), (403, "missing".into()));
    format!("GET {}", refused.json()["page"].as_str().unwrap_or_else(|| panic!("no page: {refused:?}")))
}

#[tokio::test]
async fn a_script_is_refused_as_without_the_page_and_a_window_without_a_cookie_goes_nowhere() {
    let (app, without) = (app(true), app(false));
    let ((alice, _), (other, _)) = (logged_in(&app, "alice").await, logged_in(&without, "alice").await);
    for request in ["GET /transfers", "POST /transfers"] {
        for headers in [&[][..], &[("sec-fetch-mode", "cors")], &[("accept", "text/html")]] {
            let (refused, expected) = (alice.send(request, headers, ()).await, other.send(request, headers, ()).await);
            assert_eq!((refused.status, refused.header("location")), (403, ""), "{request} {headers:?}");
            assert_eq!(refused.header("content-type"), "application/json", "{request} {headers:?}");
            let mut json = refused.json();
            assert!(json.as_object_mut().unwrap().remove("page").is_some(), "{request} {headers:?}");
            assert_eq!((expected.status, expected.json()), (403, json), "{request} {headers:?}");
        }
    }
    let window = browser::of(&app, "");
    for request in ["GET /transfers", "POST /transfers", &to_the_page(&alice, "POST /transfers").await] {
        let shown = window.navigate(request, "").await;
        assert_eq!((shown.status, &*shown.path), (401, request.split_once(' ').unwrap().1), "{request}");
        assert!(!shown.html.contains("<form "), "{request}");
    }
}

/// The page leads back to what was read, which is seldom for people, and nowhere from anything else.
#[tokio::test]
async fn the_page_that_a_script_is_told_opens_with_the_cookie_of_its_login() {
    let table =
        [("POST /transfers", "paid", "You can close this page."), ("GET /transfers", "none", "href=\"/transfers\"")];
    for (request, answer, end) in table {
        let app = app(true);
        let (alice, cookie) = logged_in(&app, "alice").await;
        let (other, others_cookie) = logged_in(&app, "alice").await;
        let (page, window) = (to_the_page(&alice, request).await, browser::of(&app, &cookie));
        let shown = window.navigate(&page, "").await;
        assert!(shown.status == 200 && shown.html.contains("How do you want to confirm?"), "{shown:?}");
        let refused = browser::of(&app, &others_cookie).navigate(&page, "").await;
        assert_eq!(refused.status, 400, "another login of the same user");

        let done = window.step_up(&shown).await;
        assert!(done.status == 200 && done.html.contains(end), "{done:?}");
        let refreshed = alice.post("/refresh").await;
        assert_eq!(cookie_of(&refreshed), format!("token={}", refreshed.body));
        for script in [&alice, &Client::new(&app, &*refreshed.body)] {
            assert_eq!(script.send(request, &[], ()).await.body, answer);
        }
        assert_eq!(other.send(request, &[], ()).await.status, 403);

        let after = cookie_of(&alice.post("/logout").await);
        assert_eq!(browser::of(&app, &after).navigate(&page, "").await.status, 401);
        assert_eq!(alice.send(request, &[], ()).await.status, 403);
    }
}

#[tokio::test]
async fn a_cookie_counts_only_where_there_is_no_token() {
    let app = app(true);
    let ((alice, cookie), (_, bobs)) = (logged_in(&app, "alice").await, logged_in(&app, "bob").await);
    let (page, window) = (to_the_page(&alice, "POST /transfers").await, browser::of(&app, &cookie));
    window.step_up(&window.navigate(&page, "").await).await;
    let [alice, bob] = [&cookie, &bobs].map(|cookie| cookie.replace("token=", "Bearer "));
    for (authorization, status) in [
        (&[][..], 200),
        (&[&*alice], 200),
        (&[&bob], 403),
        (&["Bearer made up"], 401),
        (&["Basic YWxpY2U6"], 401),
        (&[&alice, &alice], 401),
    ] {
        let mut headers = vec![("cookie", &*cookie)];
        headers.extend(authorization.iter().map(|value| ("authorization", *value)));
        let answer = Client::new(&app, "").send("POST /transfers", &headers, ()).await;
        assert_eq!(answer.status, status, "{authorization:?}");
    }
}
