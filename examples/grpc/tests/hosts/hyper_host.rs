//! hyper without a framework: the app compares the paths itself, and each protocol has its own server.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_step_up::{ChallengeService, RequireStepUp, StepUp};

use crate::host::{Arrangement, COMPANION, SECRET, authenticate};

type Answer = Result<Response<Full<Bytes>>, Infallible>;
type App = BoxCloneSyncService<Request<Incoming>, Response<Full<Bytes>>, Infallible>;

pub(crate) async fn http1(listener: TcpListener, step_up: StepUp, arrangement: Arrangement) {
    let app = TowerToHyperService::new(app(&step_up, arrangement));
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(conn::http1::Builder::new().serve_connection(TokioIo::new(stream), app.clone()));
    }
}

pub(crate) async fn http2(listener: TcpListener, step_up: StepUp, arrangement: Arrangement) {
    let app = TowerToHyperService::new(app(&step_up, arrangement));
    while let Ok((stream, _)) = listener.accept().await {
        let server = conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(stream), app.clone()));
    }
}

/// An app with this order of layers.
fn app(step_up: &StepUp, arrangement: Arrangement) -> App {
    let guard = RequireStepUp::new(step_up);
    let companion = step_up.challenges().mounted_at(COMPANION).unwrap();
    let inner = guard.clone();
    let routes = App::new(service_fn(move |request: Request<Incoming>| {
        let (guard, companion) = (inner.clone(), companion.clone());
        async move {
            let pay = service_fn(async |_| say(SECRET));
            match (request.uri().path(), arrangement) {
                ("/pay", Arrangement::Usual) => guard.layer(pay).oneshot(request).await,
                ("/pay", Arrangement::Again) => guard.layer(guard.layer(pay)).oneshot(request).await,
                ("/later", _) => say("later"),
                (_, Arrangement::Everything) if !request.uri().path().starts_with(COMPANION) => say(SECRET),
                ("/pay", _) => say(SECRET),
                _ => challenge(companion, request).await,
            }
        }
    }));
    match arrangement {
        Arrangement::Usual | Arrangement::Again => App::new(routes.map_request(authenticate)),
        Arrangement::WrongOrder => App::new(guard.layer(routes.map_request(authenticate))),
        Arrangement::Everything => App::new(guard.layer(routes).map_request(authenticate)),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a service answers with")]
fn say(text: &'static str) -> Answer {
    Ok(Response::new(text.into()))
}

/// The challenge endpoints, which answer 404 for any other path.
async fn challenge(companion: ChallengeService, request: Request<Incoming>) -> Answer {
    let (parts, body) = companion.oneshot(request).await?.into_parts();
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes().into()))
}
