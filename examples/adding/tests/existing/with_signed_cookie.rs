//! Signed cookies: `docs/sessions.md`, "Signed cookie".

use axum::Router;
use axum_extra::extract::cookie::{Cookie, Key, SignedCookieJar};

use crate::client::Client;

#[path = "../../with_signed_cookie.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

fn app() -> (Key, Router) {
    let key = Key::generate();
    (key.clone(), example::app(key).unwrap())
}

async fn logged_in(app: &Router, user: &str) -> Client {
    let mut client = Client::new(app);
    client.succeed(&format!("/login/{user}"), None).await;
    client
}

/// The value of a cookie, signed.
fn signed(key: &Key, name: &'static str, value: String) -> String {
    use axum::response::IntoResponse;
    let response = SignedCookieJar::new(key.clone()).add(Cookie::new(name, value)).into_response();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    Cookie::parse_encoded(cookie.to_owned()).unwrap().value().to_owned()
}

/// A client of an app, logged in.
pub(crate) async fn alice() -> Client {
    logged_in(&app().1, "alice").await
}

#[tokio::test]
async fn refused_then_stepped_up_then_logged_out() {
    let (_, app) = app();
    assert_eq!(Client::new(&app).transfer().await, 401);
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    assert_eq!(logged_in(&app, "alice").await.transfer().await, 403, "another login of the same user");
    alice.succeed("/logout", None).await;
    assert_eq!((alice.accounts().await, alice.transfer().await), (401, 401));
}

/// A cookie cannot be revoked, but its elevation can.
#[tokio::test]
async fn a_copy_of_the_cookie_outlives_a_logout_and_opens_nothing() {
    let (_, app) = app();
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut copy = alice.clone();
    alice.succeed("/logout", None).await;
    assert_eq!((copy.accounts().await, copy.transfer().await), (200, 403));
}

#[tokio::test]
async fn a_login_has_an_id_of_its_own_and_ends_no_other() {
    let (_, app) = app();
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut before = alice.clone();
    alice.succeed("/login/alice", None).await;
    assert_ne!(alice.cookies, before.cookies);
    assert_eq!((alice.transfer().await, before.transfer().await), (403, 200));
}

#[tokio::test]
async fn what_was_not_signed_is_nobody() {
    let (key, app) = app();
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let cookie = alice.cookies["login"].clone();
    let value = &cookie[44..]; // behind the signature
    let forged =
        [value.to_owned(), cookie.replace("alice", "mallory"), signed(&Key::generate(), "login", value.to_owned())];
    for forged in forged {
        alice.cookies.insert("login".into(), forged.clone());
        assert_eq!(alice.transfer().await, 401, "{forged}");
    }
    alice.cookies.insert("login".into(), signed(&key, "login", "alice".into()));
    assert_eq!(alice.transfer().await, 401, "signed, and not a login");
}

/// Why the value of the example's cookie begins with its purpose.
#[tokio::test]
async fn a_signature_does_not_say_for_which_cookie_it_was_made() {
    let (key, app) = app();
    // Another cookie of the same app, with a value that the client chooses.
    let theme = signed(&key, "theme", "alice:0000000000000000".into());
    let jar = |name: &'static str| {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("cookie", format!("{name}={theme}").parse().unwrap());
        SignedCookieJar::from_headers(&headers, key.clone())
    };
    assert_eq!(jar("theme").get("theme").unwrap().value(), "alice:0000000000000000");
    assert_eq!(jar("login").get("login").unwrap().value(), "alice:0000000000000000", "it verifies under any name");

    let mut client = Client::new(&app);
    client.cookies.insert("login".into(), theme);
    assert_eq!(client.accounts().await, 401);
}
