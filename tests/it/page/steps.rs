//! A person's way through the page.

use tower_step_up::{Policy, PushReply};

use super::*;

#[tokio::test]
async fn a_code_and_back() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1?full=1").await;
    assert!(alice.is_page() && alice.status == 200, "{}", alice.at);
    alice.assert_shows("How do you want to confirm?");
    alice.assert_shows("••• 0111");
    alice.start("SMS").await;
    alice.assert_shows("We have sent a code by text message to");
    alice.enter("SMS", "000000").await;
    alice.assert_shows("That code is wrong. Try again.");
    assert!(alice.is_page());
    alice.reload().await;
    assert_eq!(app.step_up.status(&Caller::user("alice").session("1")).await.unwrap().grants.len(), 0);
    alice.enter("SMS", " 123 456 ").await;
    assert_eq!((&*alice.at, &*alice.html), ("/cards/1?full=1", "4929"));
    // Reloading what was sent counts nothing: a form is answered by a redirect.
    alice.open("/cards/1").await;
    assert_eq!(alice.html, "4929");
}

/// Four wrong codes by a form and reloads in between are four, and the fifth is the last.
#[tokio::test]
async fn attempts_are_counted_as_everywhere() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    alice.start("SMS").await;
    for expected in [
        "That code is wrong. Try again.",
        "That code is wrong. Try again.",
        "That code is wrong. Try again.",
        "You have one more attempt.",
        "Too many attempts with this code.",
    ] {
        alice.enter("SMS", "000000").await;
        alice.assert_shows(expected);
        alice.reload().await;
    }
    // Malformed codes cost nothing.
    app.clock.advance(secs(600));
    alice.reload().await;
    alice.start("SMS").await;
    for code in ["", "12345", "1234567", "１２３４５６", "12a456"] {
        alice.enter("SMS", code).await;
        alice.assert_shows("The code has 6 digits.");
    }
    alice.enter("SMS", "123456").await;
    assert_eq!(alice.html, "4929");
}

#[tokio::test]
async fn resend_and_wait() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    alice.start("SMS").await;
    alice.start("SMS").await;
    alice.assert_shows("You can send another in 0:15.");
    app.clock.advance(secs(15));
    alice.start("SMS").await;
    alice.assert_shows("A new code is on its way.");
    // Another channel, from the same page.
    app.clock.advance(secs(15));
    alice.start("EMAIL").await;
    alice.assert_shows("We have sent a code by e-mail to a•••@bank.example.");
    alice.enter("EMAIL", "123456").await;
    assert_eq!(alice.html, "4929");
}

#[tokio::test]
async fn a_push_is_waited_for() {
    let clock = ManualClock::new();
    let app = App::of(builder(&clock).policy(Policy::new().number_matching(2)), clock, Page::new());
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    alice.start("BIOMETRIC").await;
    alice.assert_shows("Open the request on your device");
    alice.assert_shows("http-equiv=\"refresh\"");
    let number = alice.html.split("<output>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(number.len(), 2);
    let status = app.step_up.status(&Caller::user("alice").session("1")).await.unwrap();
    let id = status.pending_push.unwrap().id;
    assert!(!alice.html.contains(&id) && !alice.at.contains(&id), "the page needs no id");
    alice.reload().await;
    alice.assert_shows(&format!("<output>{number}</output>"));
    app.step_up.answer_push("alice", &id, PushReply::Number(number)).await.unwrap();
    alice.reload().await;
    assert_eq!((&*alice.at, &*alice.html), ("/cards/1", "4929"));
}

#[tokio::test]
async fn a_push_that_comes_to_nothing() {
    let app = App::new();
    let mut alice = app.browser();
    let session = Caller::user("alice").session("1");
    let pending = async || app.step_up.status(&session).await.unwrap().pending_push.map(|push| push.id);
    alice.open("/cards/1").await;
    alice.start("BIOMETRIC").await;
    app.step_up.answer_push("alice", &pending().await.unwrap(), PushReply::Decline).await.unwrap();
    alice.reload().await;
    alice.assert_shows("The request was declined on your device.");
    alice.assert_shows("How do you want to confirm?");
    alice.start("BIOMETRIC").await;
    app.clock.advance(secs(301));
    alice.reload().await;
    alice.assert_shows("The request has expired.");
    alice.start("BIOMETRIC").await;
    alice.submit(alice.form("/page/cancel", "")).await;
    alice.assert_shows("It was cancelled.");
    assert_eq!(pending().await, None);
    // One that is pending for something else makes way.
    app.clock.advance(secs(600));
    app.step_up.start_push(&session, "BIOMETRIC", "other").await.unwrap();
    alice.reload().await;
    alice.open("/cards/1").await;
    alice.start("BIOMETRIC").await;
    alice.assert_shows("Open the request on your device");
}

#[tokio::test]
async fn cancelled_and_left() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    alice.start("SMS").await;
    alice.submit(alice.form("/page/cancel", "")).await;
    alice.assert_shows("It was cancelled.");
    alice.assert_shows("href=\"/\">Leave this page");
    let session = Caller::user("alice").session("1");
    assert!(app.step_up.status(&session).await.unwrap().pending_otp.is_none());
}

#[tokio::test]
async fn several_are_needed() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/both").await;
    assert!(!alice.shows("e-mail"));
    alice.start("SMS").await;
    alice.enter("SMS", "123456").await;
    alice.assert_shows("One is done. Now confirm in the other way.");
    assert!(!alice.shows("value=\"SMS\""), "only what is left");
    alice.start("BIOMETRIC").await;
    let session = Caller::user("alice").session("1");
    let id = app.step_up.status(&session).await.unwrap().pending_push.unwrap().id;
    app.step_up.answer_push("alice", &id, PushReply::Approve).await.unwrap();
    alice.reload().await;
    assert_eq!(alice.html, "both");
}

#[tokio::test]
async fn scopes_channels_and_age_are_those_of_the_route() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/scoped").await;
    alice.start("SMS").await;
    // The same page in another tab is about something else: its code is not this one's.
    let mut tab = app.browser();
    tab.open("/cards/1").await;
    tab.assert_shows("How do you want to confirm?");
    alice.enter("SMS", "123456").await;
    assert_eq!(alice.html, "scoped");
    tab.open("/cards/1").await;
    tab.assert_shows("This needs one more step.");
    app.clock.advance(secs(61));
    alice.open("/scoped").await;
    alice.assert_shows("Your last confirmation has expired.");
    alice.open("/email").await;
    assert!(!alice.shows("text message") && alice.shows("e-mail"));
}

#[tokio::test]
async fn nothing_is_enrolled() {
    let app = App::new();
    let mut bob = app.browser_of("bob-1");
    bob.open("/cards/1").await;
    bob.assert_shows("You have not set up a way to confirm yet.");
    bob.assert_shows("<a href=\"/phones\">Set one up</a>");
    assert!(bob.forms().is_empty());
    // A channel that no page can offer.
    let mut alice = app.browser();
    alice.open("/key").await;
    alice.assert_shows("You have not set up a way to confirm yet.");
}

#[tokio::test]
async fn locked_and_limited() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    app.step_up.lock("alice").await.unwrap();
    alice.start("SMS").await;
    alice.assert_shows("You cannot confirm this at present.");
    app.step_up.unlock("alice").await.unwrap();
    for _ in 0..3 {
        alice.start("SMS").await;
        app.clock.advance(secs(15));
        alice.submit(alice.form("/page/cancel", "")).await;
    }
    alice.start("SMS").await;
    alice.assert_shows("Too many attempts. Try again in 4:");
}

/// A lost answer, and a double click: the second request finds the code used, and goes back all the same.
#[tokio::test]
async fn the_same_form_twice() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    alice.start("SMS").await;
    let mut again = alice.clone();
    alice.enter("SMS", "123456").await;
    again.enter("SMS", "123456").await;
    assert_eq!([&*alice.html, &*again.html], ["4929", "4929"]);
    // Two clicks on "send" are one message.
    let mut bob = app.browser_of("carol-1");
    bob.open("/cards/1").await;
    let mut twice = bob.clone();
    bob.start("SMS").await;
    twice.start("SMS").await;
    twice.assert_shows("A code was sent a moment ago.");
    twice.enter("SMS", "123456").await;
    assert_eq!(twice.html, "4929");
}

/// "Back" leads to a page that goes nowhere by itself.
#[tokio::test]
async fn a_url_leads_back_by_itself_once() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/once").await;
    let page = alice.at.clone();
    alice.start("SMS").await;
    alice.enter("SMS", "123456").await;
    assert_eq!(alice.html, "once");
    app.clock.advance(secs(15));
    alice.open(&page).await;
    alice.start("SMS").await;
    alice.enter("SMS", "123456").await;
    assert!(alice.is_page(), "{}", alice.at);
    alice.assert_shows("You have confirmed that it is you.");
    alice.assert_shows("href=\"/once\">Continue");
    alice.open("/once").await;
    assert_eq!(alice.html, "once");
}

/// A form is neither stored nor sent again.
#[tokio::test]
async fn a_form_has_to_be_sent_again() {
    let app = App::new();
    let mut alice = app.browser();
    alice.at = "/transfers/new?to=bob".into();
    alice.navigate(Method::POST, "/transfers", "to=bob".into()).await;
    alice.start("SMS").await;
    alice.enter("SMS", "123456").await;
    alice.assert_shows("Your form was not sent.");
    alice.assert_shows("href=\"/transfers/new?to=bob\">Back to the form");
    alice.navigate(Method::POST, "/transfers", "to=bob".into()).await;
    assert_eq!(alice.html, "sent");
}

#[tokio::test]
async fn a_bound_form_keeps_its_binding() {
    let app = App::new();
    let mut alice = app.browser();
    alice.at = "/payouts/new".into();
    alice.navigate(Method::POST, "/payouts", "<b>900</b> EUR".into()).await;
    alice.assert_shows("You approve:");
    alice.assert_shows("Pay &lt;b&gt;900&lt;/b&gt; EUR");
    alice.start("SMS").await;
    alice.assert_shows("Pay &lt;b&gt;900&lt;/b&gt; EUR");
    alice.enter("SMS", "123456").await;
    alice.assert_shows("Back to the form");
    let page = alice.at.clone();
    alice.navigate(Method::POST, "/payouts", "900000 EUR".into()).await;
    assert!(alice.is_page());
    alice.at = "/payouts/new".into();
    alice.navigate(Method::POST, "/payouts", "<b>900</b> EUR".into()).await;
    assert_eq!(alice.html, "paid");
    // It has been paid: the old page and a new one say so.
    alice.open(&page).await;
    alice.assert_shows("How do you want to confirm?");
    alice.navigate(Method::POST, "/payouts", "<b>900</b> EUR".into()).await;
    alice.assert_shows("This was already sent and confirmed on ");
}

/// The page is no way around anything: an elevation that is dropped is dropped.
#[tokio::test]
async fn revoked_meanwhile() {
    let app = App::new();
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    alice.start("SMS").await;
    app.step_up.revoke_all("alice").await.unwrap();
    alice.enter("SMS", "123456").await;
    alice.assert_shows("That code is no longer valid.");
    assert!(alice.is_page());
}

#[tokio::test]
async fn a_store_that_is_down() {
    let (clock, store) = (ManualClock::new(), FaultyStore::default());
    let app = App::of(store.on(builder(&clock)), clock, Page::new());
    let mut alice = app.browser();
    alice.open("/cards/1").await;
    alice.start("SMS").await;
    let page = alice.clone();
    store.set_down(true);
    alice.enter("SMS", "123456").await;
    assert_eq!(alice.status, 503);
    alice.assert_shows("This does not work at the moment.");
    store.set_down(false);
    let mut alice = page;
    alice.enter("SMS", "123456").await;
    assert_eq!(alice.html, "4929");
}
