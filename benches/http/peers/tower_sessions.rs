//! A session of tower-sessions, with a time stamp that a middleware reads.

use std::sync::Arc;

use axum::{Router, extract::Request, middleware::Next, middleware::from_fn, response::Response, routing::get};
use http::StatusCode;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

use crate::{
    peers::{is_recent, now},
    server::{Headers, handler},
};

const STAMP: &str = "stepped_up_at";

pub(crate) async fn routes(sessions: usize, headers: &mut Headers) -> Router {
    let store = MemoryStore::default();
    for index in 0..sessions {
        let session = Session::new(None, Arc::new(store.clone()), None);
        session.insert("user", format!("user-{index:031x}")).await.unwrap();
        session.insert(STAMP, now()).await.unwrap();
        session.save().await.unwrap();
        headers.print(index, format_args!("cookie: id={}", session.id().unwrap()));
    }
    let check = from_fn(async |session: Session, request: Request, next: Next| {
        let stamp = session.get::<u64>(STAMP).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        if !stamp.is_some_and(is_recent) {
            return Err(StatusCode::FORBIDDEN);
        }
        Ok::<Response, StatusCode>(next.run(request).await)
    });
    Router::new().route("/tower_sessions", get(handler).layer(check)).route_layer(SessionManagerLayer::new(store))
}
