//! tower-sessions: `docs/sessions.md`, "tower-sessions".

use std::{any::TypeId, sync::Arc};

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{Next, from_fn},
    routing::post,
};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, SessionStore, session::Id};
use tower_step_up::{Caller, RequireStepUp, StepUp, discard};

use crate::client::Client;

#[path = "../../with_tower_sessions.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

fn app() -> (MemoryStore, Router) {
    let sessions = MemoryStore::default();
    (sessions.clone(), example::app(sessions).unwrap())
}

async fn logged_in(app: &Router, user: &str) -> Client {
    let mut client = Client::new(app);
    client.succeed(&format!("/login/{user}"), None).await;
    client
}

/// The id in the client's cookie.
fn id_of(client: &Client) -> Id {
    client.cookies["id"].parse().unwrap()
}

/// A client of an app, logged in.
pub(crate) async fn alice() -> Client {
    logged_in(&app().1, "alice").await
}

#[tokio::test]
async fn refused_then_stepped_up_then_logged_out() {
    let (_, app) = app();
    let mut alice = Client::new(&app);
    assert_eq!((alice.transfer().await, alice.accounts().await), (401, 401));
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut other = logged_in(&app, "alice").await;
    assert_eq!(other.transfer().await, 403, "another session of the same user");
    let before = alice.clone();
    alice.succeed("/logout", None).await;
    for mut client in [alice, before] {
        assert_eq!((client.transfer().await, client.accounts().await), (401, 401));
    }
}

#[tokio::test]
async fn before_it_is_loaded_a_session_has_the_id_that_the_client_sent() {
    let made_up = Id(42);
    let session = Session::new(Some(made_up), Arc::new(MemoryStore::default()), None);
    assert_eq!(session.id(), Some(made_up));
    assert_eq!(session.get::<String>("user").await.unwrap(), None);
    assert_eq!(session.id(), None, "the store does not know it");

    let mut client = Client::new(&app().1);
    client.cookies.insert("id".into(), made_up.to_string());
    assert_eq!(client.transfer().await, 401);
    assert_eq!(client.status("/stepup/challenges/otp/SMS").await, 401);
}

#[tokio::test]
async fn an_id_that_the_store_knows_may_still_be_the_client_s_choice() {
    let made_up = Id(42);
    let sessions = MemoryStore::default();
    let session = Session::new(Some(made_up), Arc::new(sessions.clone()), None);
    session.clear().await;
    session.save().await.unwrap();
    assert!(sessions.load(&made_up).await.unwrap().is_some());

    // So a login uses a new id.
    let mut alice = Client::new(&example::app(sessions.clone()).unwrap());
    alice.cookies.insert("id".into(), made_up.to_string());
    alice.succeed("/login/alice", None).await;
    assert_ne!(id_of(&alice), made_up);
    assert!(sessions.load(&made_up).await.unwrap().is_none());
}

#[tokio::test]
async fn a_login_begins_without_the_elevation_from_before() {
    let (_, app) = app();
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut before = alice.clone();
    for user in ["bob", "alice"] {
        alice.succeed(&format!("/login/{user}"), None).await;
        assert_eq!(alice.transfer().await, 403, "{user}");
        assert_eq!(before.transfer().await, 401, "the id from before is nobody");
    }
}

#[tokio::test]
async fn a_session_that_gets_another_id_steps_up_again() {
    let (_, app) = app();
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut before = alice.clone();
    alice.succeed("/rotate", None).await;
    assert_ne!(id_of(&alice), id_of(&before));
    assert_eq!((alice.accounts().await, alice.transfer().await), (200, 403));
    assert_eq!((before.accounts().await, before.transfer().await), (401, 401));
}

/// The elevation moves to the new id if the rotating handler moves it.
#[tokio::test]
async fn an_elevation_that_is_transferred_outlives_a_rotation() {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let identify = async |session: Session, mut request: Request, next: Next| {
        if let (Ok(Some(user)), Some(id)) = (session.get::<String>("user").await, session.id()) {
            request.extensions_mut().insert(Caller::user(user).session_bytes(id.0.to_le_bytes()));
        }
        next.run(request).await
    };
    let rotate = async |State(step_up): State<StepUp>, Extension(old): Extension<Caller>, session: Session| {
        session.cycle_id().await.unwrap();
        session.save().await.unwrap(); // only then is the new id known
        let new = Caller::user(old.subject()).session_bytes(session.id().unwrap().0.to_le_bytes());
        step_up.transfer(&old, &new).await.unwrap();
    };
    let app = Router::new()
        .route("/transfers", post(async || ""))
        .route_layer(RequireStepUp::new(&step_up))
        .nest_service("/stepup/challenges", step_up.challenges())
        .route("/login/alice", post(async |session: Session| session.insert("user", "alice").await.unwrap()))
        .route("/rotate", post(rotate))
        .layer(from_fn(identify))
        .layer(SessionManagerLayer::new(MemoryStore::default()))
        .with_state(step_up);
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut before = alice.clone();
    alice.succeed("/rotate", None).await;
    assert_ne!(id_of(&alice), id_of(&before));
    assert_eq!((alice.transfer().await, before.transfer().await), (200, 401));
}

/// Why logout, login and rotation revoke, although the old id is gone.
#[tokio::test]
async fn a_session_that_a_late_request_brings_back_is_not_stepped_up() {
    for ending in ["/logout", "/rotate", "/login/bob"] {
        let (sessions, app) = app();
        let mut alice = logged_in(&app, "alice").await;
        alice.step_up().await;
        let before = alice.clone();
        let late = Session::new(Some(id_of(&alice)), Arc::new(sessions), None);
        assert!(!late.get_value("user").await.unwrap().unwrap().is_null());
        alice.succeed(ending, None).await;
        assert_eq!(before.clone().accounts().await, 401, "{ending}");

        // As tower-sessions does at the end of a request that has changed the session.
        late.insert("visits", 2).await.unwrap();
        late.save().await.unwrap();
        assert_eq!(before.clone().accounts().await, 200, "{ending}");
        assert_eq!(before.clone().transfer().await, 403, "{ending}");
    }
}

/// The alternative: the app's own id, stored in the session.
#[tokio::test]
async fn an_id_that_is_kept_in_the_session_survives_a_rotation() {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let identify = async |session: Session, mut request: Request, next: Next| {
        if let Ok(Some((user, login))) = session.get::<(String, u64)>("login").await {
            request.extensions_mut().insert(Caller::user(user).session_bytes(login.to_le_bytes()));
        }
        next.run(request).await
    };
    let login = async |session: Session| {
        session.cycle_id().await.unwrap();
        session.insert("login", ("alice", getrandom::u64().unwrap())).await.unwrap();
    };
    let app = Router::new()
        .route("/transfers", post(async || ""))
        .route_layer(RequireStepUp::new(&step_up))
        .nest_service("/stepup/challenges", step_up.challenges())
        .route("/login/alice", post(login))
        .route("/rotate", post(async |session: Session| session.cycle_id().await.unwrap()))
        .layer(from_fn(identify))
        .layer(SessionManagerLayer::new(MemoryStore::default()));
    let mut alice = logged_in(&app, "alice").await;
    alice.step_up().await;
    let mut before = alice.clone();
    alice.succeed("/rotate", None).await;
    assert_ne!(id_of(&alice), id_of(&before));
    assert_eq!((alice.transfer().await, before.transfer().await), (200, 401));
    alice.succeed("/login/alice", None).await;
    assert_eq!(alice.transfer().await, 403, "another login");
}

#[test]
fn the_sessions_of_axum_login_are_of_another_version() {
    assert_ne!(TypeId::of::<Session>(), TypeId::of::<axum_login::tower_sessions::Session>());
}
