//! The page in apps whose login is a cookie: a person's way from a form that is refused to one that passes.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{
        Method, Request,
        header::{COOKIE, LOCATION, REFERER},
    },
};
use tower::ServiceExt;

use crate::client::Client;

/// Goes somewhere as a browser does, and follows where it is sent: the path of what it then shows, and that.
async fn navigate(app: &Router, client: &Client, method: Method, path: &str, form: &str) -> (String, String) {
    let (mut method, mut path, mut form) = (method, path.to_owned(), form.to_owned());
    loop {
        let cookies = client.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let request = Request::builder().method(method.clone()).uri(&path).header("host", "bank.example");
        let request = request
            .header(COOKIE, cookies.collect::<Vec<_>>().join("; "))
            .header(REFERER, "https://bank.example/transfers/new")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        let response = app.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap();
        if let Some(location) = response.headers().get(LOCATION) {
            (method, form) = (Method::GET, String::new());
            location.to_str().unwrap().clone_into(&mut path);
        } else {
            let html = to_bytes(response.into_body(), 1 << 16).await.unwrap();
            return (path, String::from_utf8(html.into()).unwrap());
        }
    }
}

/// The fields of the form that goes there.
fn fields(html: &str, action: &str) -> String {
    let form = html.split("<form ").find(|form| form.contains(action)).unwrap_or_else(|| panic!("{action} in {html}"));
    let form = form.split("</form>").next().unwrap();
    let value = |tag: &str, name: &str| tag.split(&format!("{name}=\"")).nth(1)?.split('"').next().map(str::to_owned);
    let inputs = form.split("<input ").skip(1).filter_map(|tag| Some((value(tag, "name")?, value(tag, "value")?)));
    inputs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

async fn a_form_and_back(app: &Router, mut alice: Client) {
    assert_eq!(alice.transfer().await, 403, "a program is refused as ever");
    let (page, html) = navigate(app, &alice, Method::POST, "/transfers", "").await;
    assert!(page.starts_with("/stepup/challenges/page?t="), "{page}");
    let start = "/stepup/challenges/page/start";
    let (_, html) = navigate(app, &alice, Method::POST, start, &fields(&html, start)).await;
    let verify = "/stepup/challenges/page/verify";
    let form = format!("{}&code=123456", fields(&html, verify));
    let (_, html) = navigate(app, &alice, Method::POST, verify, &form).await;
    assert!(html.contains("href=\"/transfers/new\">Back to the form"), "{html}");
    assert_eq!(navigate(app, &alice, Method::POST, "/transfers", "").await.1, "paid");
    assert_eq!(alice.transfer().await, 200);
}

#[tokio::test]
async fn a_form_and_back_with_tower_sessions() {
    let (app, alice) = crate::with_tower_sessions::alice().await;
    a_form_and_back(&app, alice).await;
}

#[tokio::test]
async fn a_form_and_back_with_axum_login() {
    let (app, alice) = crate::with_axum_login::alice().await;
    a_form_and_back(&app, alice).await;
}

#[tokio::test]
async fn a_form_and_back_with_a_signed_cookie() {
    let (app, alice) = crate::with_signed_cookie::alice().await;
    a_form_and_back(&app, alice).await;
}
