//! gRPC over real sockets, with tonic's own client: guards and challenge endpoints.

mod bodies;
mod companion;
mod guard;
mod hosts;
mod page;
mod raw;
mod refusals;
mod streams;
mod with_tonic;

use std::{collections::HashMap, time::Duration};

use testkit::alice;
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Status,
    metadata::MetadataMap,
    service::{InterceptorLayer, Routes},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_types::StatusExt;
use tower_step_up::{Caller, StepUp, discard};

/// A service with every kind of method.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
mod kinds {
    include!("kinds.v1.rs");
}

/// A client of the challenge endpoints, generated from the published `.proto` file.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
mod stepup {
    include!("../../../../clients/rust/src/challenges/stepup.v1.rs");
}

const DOMAIN: &str = "bank.example";

fn step_up() -> StepUp {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).push("BIO", discard);
    step_up.grpc_domain(DOMAIN).build().unwrap()
}

async fn verify(step_up: &StepUp, caller: &Caller) {
    step_up.start_otp(caller, "SMS", None).await.unwrap();
    step_up.verify_otp(caller, "SMS", "123456").await.unwrap();
}

/// Authentication as a layer of the server: metadata `user` names the user, in their session 1.
#[allow(clippy::unnecessary_wraps, reason = "an interceptor may refuse")]
fn authenticate(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(user) = request.metadata().get("user").map(|user| user.to_str().unwrap().to_owned()) {
        request.extensions_mut().insert(Caller::user(user).session("1"));
    }
    Ok(request)
}

/// Serves on a free port, behind authentication.
async fn serve(routes: Routes) -> Channel {
    connect(serve_at(routes).await).await
}

async fn serve_at(routes: Routes) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().layer(InterceptorLayer::new(authenticate)).add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

async fn connect(address: std::net::SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.timeout(Duration::from_secs(20)).connect().await.unwrap()
}

/// A request of this user.
fn by<T>(user: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("user", user.parse().unwrap());
    request
}

/// The code of a refusal and the reason in its `ErrorInfo`.
fn says(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, DOMAIN);
    (status.code(), info.reason)
}

fn metadata(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().unwrap().metadata
}

/// Whether a response has the metadata that this crate sets on every response.
fn is_stamped(metadata: &MetadataMap) -> bool {
    metadata.get("cache-control").is_some_and(|value| value == "no-store")
        && metadata.get("request-ref").is_some_and(|value| value.len() == 32)
        && metadata.get("x-stepup-sandbox").is_some_and(|value| value == "true")
}
