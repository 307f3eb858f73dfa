//! axum-login: `docs/sessions.md`, "axum-login".

use axum::Router;

use self::example::users::Users;
use crate::client::Client;

#[path = "../../with_axum_login.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

fn app() -> (Users, Router) {
    let users = Users::default();
    (users.clone(), example::app(users).unwrap())
}

async fn log_in(client: &mut Client, user: &str) {
    client.succeed("/login", Some(&format!(r#"{{"name":"{user}","password":"{user}"}}"#))).await;
}

async fn logged_in(app: &Router, user: &str) -> Client {
    let mut client = Client::new(app);
    log_in(&mut client, user).await;
    client
}

/// A client of an app, logged in.
pub(crate) async fn alice() -> Client {
    logged_in(&app().1, "alice").await
}

#[tokio::test]
async fn refused_then_stepped_up_then_logged_out() {
    let (_, app) = app();
    let mut alice = Client::new(&app);
    assert_eq!(alice.post("/login", Some(r#"{"name":"alice","password":"bob"}"#)).await.0, 401);
    assert_eq!((alice.transfer().await, alice.accounts().await), (401, 401));
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    assert_eq!(logged_in(&app, "alice").await.transfer().await, 403, "another session of the same user");
    let before = alice.clone();
    alice.succeed("/logout", None).await;
    for mut client in [alice, before] {
        assert_eq!((client.transfer().await, client.accounts().await), (401, 401));
    }
}

#[tokio::test]
async fn a_login_over_a_login_begins_without_the_elevation() {
    let (_, app) = app();
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut before = alice.clone();
    for user in ["bob", "alice"] {
        log_in(&mut alice, user).await;
        assert_eq!((alice.accounts().await, alice.transfer().await), (200, 403), "{user}");
        assert_eq!(before.transfer().await, 401);
    }
}

/// Why the example cycles the id itself.
#[tokio::test]
async fn by_itself_axum_login_keeps_the_id_of_who_is_logged_in() {
    use axum_login::{AuthSession, AuthnBackend};
    let users = Users::default();
    let login = async move |mut auth: AuthSession<Users>, given: axum::Json<example::users::Credentials>| {
        let user = users.authenticate(given.0).await.unwrap().unwrap();
        auth.login(&user).await.unwrap();
    };
    let sessions = axum_login::tower_sessions::MemoryStore::default();
    let layer = axum_login::tower_sessions::SessionManagerLayer::new(sessions);
    let layer = axum_login::AuthManagerLayerBuilder::new(Users::default(), layer).build();
    let app = Router::new().route("/login", axum::routing::post(login)).layer(layer);
    let mut client = logged_in(&app, "alice").await;
    let id = client.cookies["id"].clone();
    log_in(&mut client, "bob").await;
    assert_eq!(client.cookies["id"], id);
}

#[tokio::test]
async fn who_has_changed_the_password_is_nobody_in_the_old_sessions() {
    let (users, app) = app();
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    users.set_password("alice", "another");
    assert_eq!((alice.transfer().await, alice.accounts().await), (401, 401));
    users.set_password("alice", "alice");
    assert_eq!(alice.transfer().await, 401, "the session is gone for good");
}
