//! A route of axum-login that asks for a login, on tower-sessions. It knows no step-up.

use std::convert::Infallible;

use axum::{Router, body::Body, extract::Path, extract::Request, routing::get, routing::post};
use axum_login::{
    AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, login_required,
    tower_sessions::{MemoryStore, SessionManagerLayer},
};
use http::header::SET_COOKIE;
use tower::ServiceExt;

use crate::server::{Headers, handler};

#[derive(Clone, Debug)]
struct User {
    id: usize,
}

impl AuthUser for User {
    type Id = usize;

    fn id(&self) -> usize {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        &[7; 32]
    }
}

/// Knows every user, without looking them up.
#[derive(Clone)]
struct Users;

impl AuthnBackend for Users {
    type User = User;
    type Credentials = usize;
    type Error = Infallible;

    async fn authenticate(&self, id: usize) -> Result<Option<User>, Infallible> {
        Ok(Some(User { id }))
    }

    async fn get_user(&self, id: &usize) -> Result<Option<User>, Infallible> {
        Ok(Some(User { id: *id }))
    }
}

pub(crate) async fn routes(sessions: usize, headers: &mut Headers) -> Router {
    let layer = SessionManagerLayer::new(MemoryStore::default());
    let layer = AuthManagerLayerBuilder::new(Users, layer).build();
    let log_in = async |mut auth: AuthSession<Users>, Path(id): Path<usize>| auth.login(&User { id }).await.unwrap();
    let logins = Router::new().route("/{id}", post(log_in)).layer(layer.clone()).with_state::<()>(());
    for index in 0..sessions {
        let request = Request::post(format!("/{index}")).body(Body::empty()).unwrap();
        let response = logins.clone().oneshot(request).await.unwrap();
        let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
        headers.print(index, format_args!("cookie: {}", cookie.split(';').next().unwrap()));
    }
    Router::new().route("/axum_login", get(handler).layer(login_required!(Users))).route_layer(layer)
}
