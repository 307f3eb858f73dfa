//! A route of session-guard that asks for a recent login.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{Router, extract::ConnectInfo, extract::Request, routing::get};
use session_guard::{ClientContext, Guard, GuardConfig, MemoryStore, RotationConfig};
use tower::util::MapRequestLayer;

use crate::{
    peers::LIFETIME,
    server::{Headers, handler},
};

pub(crate) async fn routes(sessions: usize, headers: &mut Headers) -> Router {
    // The load keeps no cookies, so a run must end before tokens are replaced.
    let rotation = RotationConfig { interval: LIFETIME, ..RotationConfig::default() };
    let config = GuardConfig::builder().rotation(rotation).build().unwrap();
    let guard = Guard::builder(MemoryStore::new(), config).subject::<String>().build();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for index in 0..sessions {
        let session = guard.login(&format!("user-{index:031x}"), &ClientContext::new(peer), None).await.unwrap();
        let cookie = session.token.set_cookie().split(';').next().unwrap();
        headers.print(index, format_args!("cookie: {cookie}"));
    }
    // Its layer wants the address of the client. Set here, it costs the other routes nothing.
    let connected = MapRequestLayer::new(move |mut request: Request| {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer, 1)));
        request
    });
    Router::new()
        .route("/session_guard", get(handler).layer(guard.layer().require_recent_auth(LIFETIME)))
        .route_layer(connected)
}
