//! The page in apps whose login is a cookie: a person's way from a form that is refused to one that passes.

use crate::client::Client;

async fn a_form_and_back(mut alice: Client) {
    assert_eq!(alice.transfer().await, 403, "a program is refused as ever");
    let browser = alice.browser();
    let page = browser.navigate("POST /transfers", "").await;
    assert!(page.path.starts_with("/stepup/challenges/page?t="), "{page:?}");
    let done = browser.step_up(&page).await;
    assert!(done.html.contains("href=\"/transfers/new\">Back to the form"), "{done:?}");
    assert_eq!(browser.navigate("POST /transfers", "").await.html, "paid");
    assert_eq!(alice.transfer().await, 200);
}

#[tokio::test]
async fn a_form_and_back_with_tower_sessions() {
    a_form_and_back(crate::with_tower_sessions::alice().await).await;
}

#[tokio::test]
async fn a_form_and_back_with_axum_login() {
    a_form_and_back(crate::with_axum_login::alice().await).await;
}

#[tokio::test]
async fn a_form_and_back_with_a_signed_cookie() {
    a_form_and_back(crate::with_signed_cookie::alice().await).await;
}
