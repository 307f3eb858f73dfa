//! JSON web tokens: `docs/sessions.md`, "JWT in a bearer header".

use axum::Router;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};

use self::example::tokens::{Claims, Tokens};
use crate::client::Client;

#[path = "../../with_jwt.rs"]
#[allow(dead_code, reason = "its main")]
pub(crate) mod example;

fn app() -> (Tokens, Router) {
    let tokens = Tokens::default();
    (tokens.clone(), example::app(tokens).unwrap())
}

/// A client with one token, or several.
fn with<const N: usize>(app: &Router, tokens: [&str; N]) -> Client {
    let mut client = Client::new(app);
    client.authorization = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    client
}

async fn log_in(app: &Router, user: &str) -> String {
    Client::new(app).succeed(&format!("/login/{user}"), None).await
}

#[tokio::test]
async fn refused_then_stepped_up_then_logged_out() {
    let (_, app) = app();
    assert_eq!(Client::new(&app).transfer().await, 401);
    let mut alice = with(&app, [&log_in(&app, "alice").await]);
    alice.step_up().await;
    let mut other = with(&app, [&log_in(&app, "alice").await]);
    assert_eq!(other.transfer().await, 403, "another login of the same user has another sid");
    alice.succeed("/logout", None).await;
    assert_eq!(alice.transfer().await, 403);
}

/// A token cannot be revoked, but its elevation can.
#[tokio::test]
async fn after_a_logout_the_token_opens_nothing_though_it_is_still_valid() {
    let (_, app) = app();
    let mut alice = with(&app, [&log_in(&app, "alice").await]);
    alice.step_up().await;
    let refreshed = alice.succeed("/refresh", None).await;
    alice.succeed("/logout", None).await;
    for mut client in [alice, with(&app, [&refreshed])] {
        assert_eq!((client.accounts().await, client.transfer().await), (200, 403));
    }
}

#[tokio::test]
async fn a_refreshed_token_keeps_the_sid_and_so_the_elevation() {
    let (tokens, app) = app();
    let token = log_in(&app, "alice").await;
    let mut alice = with(&app, [&token]);
    alice.step_up().await;
    let refreshed = alice.succeed("/refresh", None).await;
    assert_eq!(tokens.verify(&token).unwrap().sid, tokens.verify(&refreshed).unwrap().sid);
    assert_eq!(with(&app, [&refreshed]).transfer().await, 200);
}

#[tokio::test]
async fn what_was_not_verified_is_nobody() {
    let (tokens, app) = app();
    let token = log_in(&app, "alice").await;
    with(&app, [&token]).step_up().await;

    let claims = tokens.verify(&token).unwrap();
    let part = |index: usize| token.split('.').nth(index).unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
    let expired = tokens.sign(&Claims { exp: get_current_timestamp() - 3600, ..claims.clone() });
    let another_key = Tokens::default().sign(&claims);
    let another_algorithm =
        encode(&Header::new(Algorithm::HS512), &claims, &EncodingKey::from_secret(&tokens.secret())).unwrap();
    let without_a_signature = format!("{}.{}.", part(0), part(1));
    let unsigned = format!("{none}.{}.", part(1));
    for forged in [expired, another_key, another_algorithm, without_a_signature, unsigned] {
        assert_eq!(with(&app, [&forged]).transfer().await, 401, "{forged}");
    }
    assert_eq!(with(&app, [&token]).transfer().await, 200);
}

#[tokio::test]
async fn two_tokens_are_nobody() {
    let (_, app) = app();
    let (alice, mallory) = (log_in(&app, "alice").await, log_in(&app, "mallory").await);
    with(&app, [&alice]).step_up().await;
    for tokens in [[&*mallory, &*alice], [&*alice, &*mallory], [&*alice, &*alice]] {
        assert_eq!(with(&app, tokens).transfer().await, 401);
    }
}

#[tokio::test]
async fn a_sid_counts_only_together_with_its_user() {
    let (tokens, app) = app();
    let token = log_in(&app, "alice").await;
    with(&app, [&token]).step_up().await;
    let sid = tokens.verify(&token).unwrap().sid;
    assert_eq!(with(&app, [&tokens.issue("alice".into(), sid.clone())]).transfer().await, 200);
    assert_eq!(with(&app, [&tokens.issue("mallory".into(), sid)]).transfer().await, 403);
}
