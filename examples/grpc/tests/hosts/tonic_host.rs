//! tonic: its routes in an axum router, and its own server.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::Router;
use bank::{AccountsRequest, AccountsResponse, TransferRequest, TransferResponse, bank_server};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    server::NamedService,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower::{Service, util::MapRequestLayer};
use tower_step_up::{RequireStepUp, StepUp};

use crate::host::{Arrangement, COMPANION, SECRET, authenticate};

#[allow(clippy::pedantic, missing_docs, unreachable_pub, dead_code, reason = "generated")]
mod bank {
    include!("../../tonic/bank.v1.rs");
}

pub(crate) const GUARDED: &str = "/bank.v1.Bank/Transfer";
pub(crate) const LATER: &str = "/bank.v1.Later/Open";

#[derive(Clone)]
struct Bank;

#[tonic::async_trait]
impl bank_server::Bank for Bank {
    async fn accounts(&self, _: Request<AccountsRequest>) -> Result<Response<AccountsResponse>, Status> {
        Err(Status::unimplemented(SECRET))
    }

    async fn transfer(&self, _: Request<TransferRequest>) -> Result<Response<TransferResponse>, Status> {
        Ok(Response::new(TransferResponse { id: SECRET.into(), approved_by: String::new() }))
    }
}

/// An unguarded service with one method.
#[derive(Clone)]
struct Later;

impl NamedService for Later {
    const NAME: &'static str = "bank.v1.Later";
}

impl<B> Service<http::Request<B>> for Later {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let known = request.uri().path() == LATER;
        ready(Ok(if known { Status::ok("") } else { Status::unimplemented("") }.into_http()))
    }
}

/// tonic's routes in an axum router, with a guard that detects the client's protocol.
pub(crate) fn router(step_up: &StepUp, arrangement: Arrangement) -> Router {
    let guard = RequireStepUp::new(step_up);
    let authenticate = MapRequestLayer::new(authenticate);
    let routes = || Routes::new(bank_server::BankServer::new(Bank)).into_axum_router();
    let companion = |router: Router| router.nest_service(COMPANION, step_up.challenges());
    let later = |router: Router| router.route_service("/bank.v1.Later/{*method}", Later);
    match arrangement {
        Arrangement::Usual => companion(later(routes().route_layer(guard))).layer(authenticate),
        Arrangement::WrongOrder => routes().layer(authenticate).layer(guard),
        Arrangement::Everything => companion(later(routes())).layer(guard).layer(authenticate),
        Arrangement::Again => {
            companion(routes().layer(guard.clone()).route_layer(guard.clone()).layer(guard)).layer(authenticate)
        }
    }
}

/// A tonic server with a guard around the service.
pub(crate) async fn serve(listener: TcpListener, step_up: StepUp, arrangement: Arrangement) {
    let guard = RequireStepUp::new(&step_up).grpc();
    let incoming = TcpIncoming::from(listener);
    let bank = bank_server::BankServer::new(Bank);
    let authenticate = MapRequestLayer::new(authenticate);
    let builder = Server::builder();
    let served = match arrangement {
        Arrangement::Usual => {
            let routes = builder.layer(authenticate).add_service(guard.layer(bank));
            routes.add_service(step_up.grpc_challenges()).add_service(Later).serve_with_incoming(incoming).await
        }
        Arrangement::Again => {
            let routes = builder.layer(authenticate).add_service(guard.layer(guard.layer(bank)));
            routes.add_service(step_up.grpc_challenges()).serve_with_incoming(incoming).await
        }
        Arrangement::WrongOrder => {
            builder.layer(guard).layer(authenticate).add_service(bank).serve_with_incoming(incoming).await
        }
        Arrangement::Everything => {
            let routes = builder.layer(authenticate).layer(guard).add_service(bank);
            routes.add_service(step_up.grpc_challenges()).add_service(Later).serve_with_incoming(incoming).await
        }
    };
    served.unwrap();
}
