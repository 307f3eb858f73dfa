//! The hosts: each is a server and the protocol of its requests.

use std::net::SocketAddr;

use axum::{
    Router,
    routing::{any, get},
};
use http::{HeaderMap, Request, header::AUTHORIZATION};
use tokio::net::TcpListener;
use tower::util::MapRequestLayer;
use tower_step_up::{Caller, RequireStepUp, StepUp, discard};

use crate::{hyper_host, tonic_host};

/// Text that only a guarded response contains.
pub(crate) const SECRET: &str = "the guarded body";

/// The path of the challenge endpoints for HTTP.
pub(crate) const COMPANION: &str = "/stepup/challenges";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    AxumHttp1,
    AxumHttp2,
    HyperHttp1,
    HyperHttp2,
    /// tonic's routes in an axum router with a negotiating guard, and challenge endpoints over HTTP.
    TonicInAxum,
    /// A tonic server with a guard around the service, and challenge endpoints over gRPC.
    Tonic,
}

/// The order of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// Authentication outside; inside it the challenge endpoints, the guard, and an unguarded route added later.
    Usual,
    /// The guard outside the authentication.
    WrongOrder,
    /// Authentication outside; inside it a guard around everything, including fallback and challenge endpoints.
    Everything,
    /// As usual, with the guard applied more than once, or built for each request.
    Again,
}

impl Host {
    pub(crate) fn speaks_http2(self) -> bool {
        !matches!(self, Self::AxumHttp1 | Self::HyperHttp1)
    }

    /// Whether the guarded route is a gRPC method.
    pub(crate) fn speaks_grpc(self) -> bool {
        matches!(self, Self::TonicInAxum | Self::Tonic)
    }

    /// Whether the challenge endpoints use gRPC.
    pub(crate) fn has_grpc_companion(self) -> bool {
        self == Self::Tonic
    }

    /// The path of the guarded route.
    pub(crate) fn guarded(self) -> &'static str {
        if self.speaks_grpc() { tonic_host::GUARDED } else { "/pay" }
    }

    /// The path of the route added after the guard.
    pub(crate) fn later(self) -> &'static str {
        if self.speaks_grpc() { tonic_host::LATER } else { "/later" }
    }

    /// Serves an app with this `StepUp` on a free port.
    pub(crate) async fn serve(self, step_up: &StepUp, arrangement: Arrangement) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        match self {
            Self::AxumHttp1 | Self::AxumHttp2 => {
                tokio::spawn(axum::serve(listener, router(step_up, arrangement)).into_future());
            }
            Self::HyperHttp1 => drop(tokio::spawn(hyper_host::http1(listener, step_up.clone(), arrangement))),
            Self::HyperHttp2 => drop(tokio::spawn(hyper_host::http2(listener, step_up.clone(), arrangement))),
            Self::TonicInAxum => {
                tokio::spawn(axum::serve(listener, tonic_host::router(step_up, arrangement)).into_future());
            }
            Self::Tonic => drop(tokio::spawn(tonic_host::serve(listener, step_up.clone(), arrangement))),
        }
        address
    }
}

/// The `StepUp` of most rows.
pub(crate) fn step_up() -> StepUp {
    StepUp::builder().sandbox().otp("SMS", discard).build().unwrap()
}

/// Authenticates a request: `authorization: Bearer alice-1` is alice in her session 1. An existing `Caller` and other
/// headers are ignored.
pub(crate) fn authenticate<B>(mut request: Request<B>) -> Request<B> {
    request.extensions_mut().remove::<Caller>();
    if let Some(caller) = caller_of(request.headers()) {
        request.extensions_mut().insert(caller);
    }
    request
}

fn caller_of(headers: &HeaderMap) -> Option<Caller> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    caller(value.to_str().ok()?.strip_prefix("Bearer ")?)
}

/// Session N of a user, from `user-N`.
pub(crate) fn caller(token: &str) -> Option<Caller> {
    let (user, _) = token.split_once('-')?;
    Some(Caller::user(user).session(token))
}

/// An axum router with this order of layers.
fn router(step_up: &StepUp, arrangement: Arrangement) -> Router {
    let guard = RequireStepUp::new(step_up);
    let authenticate = MapRequestLayer::new(authenticate);
    let routes = || Router::new().route("/pay", any(async || SECRET));
    let companion = |router: Router| router.nest_service(COMPANION, step_up.challenges());
    let later = |router: Router| router.route("/later", get(async || "later").post(async || "later"));
    match arrangement {
        Arrangement::Usual => companion(later(routes().route_layer(guard))).layer(authenticate),
        Arrangement::WrongOrder => routes().layer(authenticate).layer(guard),
        Arrangement::Everything => {
            companion(later(routes())).fallback(async || SECRET).layer(guard).layer(authenticate)
        }
        Arrangement::Again => {
            let inside = Router::new().route("/", any(async || SECRET).layer(guard.clone())).layer(guard.clone());
            companion(Router::new().nest("/pay", inside).route_layer(guard.clone()).route_layer(guard))
                .layer(authenticate)
        }
    }
}
