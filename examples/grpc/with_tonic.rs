//! A tonic 0.14 server that authenticates in an interceptor. The lines marked `// +` add a step-up to it.
//! The choice of session id is explained in docs/sessions.md.

use bank::bank_server::{Bank, BankServer, SERVICE_NAME};
use bank::{AccountsRequest, AccountsResponse, TransferRequest, TransferResponse};
use std::{collections::HashMap, error::Error, sync::Arc, sync::RwLock};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::InterceptorLayer, transport::Server, transport::server::TcpIncoming};
use tower_step_up::{Caller, RequireStepUp, StepUp, discard}; // +

#[allow(clippy::pedantic, missing_docs, unreachable_pub, dead_code, reason = "generated")]
pub(crate) mod bank {
    include!("tonic/bank.v1.rs");
}

/// The logged-in users by the random token of their login; removed at logout.
pub(crate) type Logins = Arc<RwLock<HashMap<String, String>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    serve(TcpListener::bind("127.0.0.1:50051").await?, Logins::default()).await
}

pub(crate) async fn serve(listener: TcpListener, logins: Logins) -> Result<(), Box<dyn Error>> {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build()?; // +
    let guard = RequireStepUp::new(&step_up).grpc().exempt(SERVICE_NAME, "Accounts")?; // +
    let server = Server::builder()
        .layer(InterceptorLayer::new(move |request| authenticate(&logins, request)))
        .add_service(guard.layer(BankServer::new(MyBank))) // +
        .add_service(step_up.grpc_challenges()); // +
    Ok(server.serve_with_incoming(TcpIncoming::from(listener)).await?)
}

/// Accepts a single token in a single `authorization` header, only while its login lasts.
pub(crate) fn authenticate(logins: &Logins, mut request: Request<()>) -> Result<Request<()>, Status> {
    let mut values = request.metadata().get_all("authorization").iter();
    let value = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Status::unauthenticated("one token"))?;
    let user = logins.read().map_err(|_| Status::internal(""))?.get(token).cloned();
    let caller = Caller::user(user.ok_or(Status::unauthenticated("log in first"))?).session(token); // +
    request.extensions_mut().insert(caller); // +
    Ok(request)
}

pub(crate) struct MyBank;

#[tonic::async_trait]
impl Bank for MyBank {
    async fn accounts(&self, _: Request<AccountsRequest>) -> Result<Response<AccountsResponse>, Status> {
        Ok(Response::new(AccountsResponse::default()))
    }

    async fn transfer(&self, _: Request<TransferRequest>) -> Result<Response<TransferResponse>, Status> {
        Ok(Response::new(TransferResponse::default()))
    }
}
