//! A bank on tonic whose transfers require a step-up: run `cargo run -p grpc --example tonic` and paste the lines it
//! prints.
//!
//! It listens on 127.0.0.1:50051, or on `TONIC_ADDR`. It uses the sandbox of tower-step-up, so nothing is sent. The
//! lines for tower-step-up are marked with `+`.

use std::{env, error::Error, io, io::Write, net::SocketAddr, time::Duration};

use bank::{
    Account, AccountsRequest, AccountsResponse, Payment, TransferRequest, TransferResponse, WatchRequest, bank_server,
    payments_server,
};
use tokio::{net::TcpListener, sync::mpsc, time::interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    service::{InterceptorLayer, Routes},
    transport::{Server, server::TcpIncoming},
};
use tower_step_up::{Caller, ConfigError, EnrollmentError, Recipient, RequireStepUp, StepUp, discard};

/// Generated from `proto/bank/v1/bank.proto`.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
pub(crate) mod bank {
    include!("bank.v1.rs");
}

struct Bank;

#[tonic::async_trait]
impl bank_server::Bank for Bank {
    async fn accounts(&self, request: Request<AccountsRequest>) -> Result<Response<AccountsResponse>, Status> {
        let caller = request.extensions().get::<Caller>();
        let account = |caller: &Caller| Account { id: format!("{}-checking", caller.subject()), balance: 1_000 };
        Ok(Response::new(AccountsResponse { accounts: caller.map(account).into_iter().collect() }))
    }

    async fn transfer(&self, request: Request<TransferRequest>) -> Result<Response<TransferResponse>, Status> {
        // + The grant with which this call passed the guard.
        let grant = request.extensions().get::<Caller>().and_then(Caller::grant);
        let approved_by = grant.map(|grant| grant.channel().to_owned()).unwrap_or_default();
        let TransferRequest { to, amount } = request.into_inner();
        if to.is_empty() || amount == 0 {
            return Err(Status::invalid_argument("say to whom, and how much"));
        }
        Ok(Response::new(TransferResponse { id: format!("{amount} to {to}"), approved_by }))
    }
}

struct Payments;

#[tonic::async_trait]
impl payments_server::Payments for Payments {
    type WatchStream = ReceiverStream<Result<Payment, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut every_second = interval(Duration::from_secs(1));
            let mut number = 1;
            // Until the client, or the guard, drops the stream.
            while sender.send(Ok(Payment { number })).await.is_ok() {
                every_second.tick().await;
                number += 1;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Authenticates a call: `authorization: Bearer alice-1` is alice in her session 1. A real server verifies a token
/// here.
fn authenticate(metadata: &MetadataMap) -> Option<Caller> {
    let mut values = metadata.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
    let (user, session) = token.rsplit_once('-')?;
    let known = (user.starts_with("alice") || user.starts_with("bob")) && session.parse::<u32>().is_ok();
    known.then(|| Caller::user(user).session(token)) // + The user, and this session of theirs.
}

/// Only users whose name begins with `alice` have a phone enrolled.
async fn enrollment(caller: Caller, _channel: String) -> Result<Recipient, EnrollmentError> {
    let enrolled = caller.subject().starts_with("alice");
    if enrolled { Ok(Recipient::known_to_sender()) } else { Err(EnrollmentError::NotEnrolled) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(env::var("TONIC_ADDR").as_deref().unwrap_or("127.0.0.1:50051")).await?;
    // Ignore a closed stdout: the server keeps running.
    let _ = introduce(&mut io::stdout().lock(), listener.local_addr()?);

    Server::builder()
        .layer(InterceptorLayer::new(identify))
        .add_routes(routes()?)
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "an interceptor may refuse, and this one lets everybody pass")]
pub(crate) fn identify(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(caller) = authenticate(request.metadata()) {
        request.extensions_mut().insert(caller);
    }
    Ok(request)
}

pub(crate) fn routes() -> Result<Routes, ConfigError> {
    // + The step-up and its guards: Accounts is open, every other method of the bank is guarded.
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).push("BIOMETRIC", discard).enrollment(enrollment);
    let step_up = step_up.grpc_domain("bank.example").build()?;
    let guard = RequireStepUp::new(&step_up).grpc();

    // + Its stream ends with the step-up: when that expires, is dropped or revoked.
    let payments = guard.clone().ending().layer(payments_server::PaymentsServer::new(Payments));
    let guard = guard.exempt(bank_server::SERVICE_NAME, "Accounts")?;
    Ok(Routes::new(guard.layer(bank_server::BankServer::new(Bank))) // + wrapped
        .add_service(payments)
        .add_service(step_up.grpc_challenges())) // + outside the guards
}

/// Commands to paste into a shell in the crate's directory, in this order.
fn introduce(out: &mut impl Write, address: SocketAddr) -> io::Result<()> {
    let call = |proto: &str, data: &str, method: &str| {
        let auth = "-H 'authorization: Bearer alice-1'";
        format!("grpcurl -plaintext -import-path proto -proto {proto} {auth} -d '{data}' {address} {method}")
    };
    let transfer = call("bank/v1/bank.proto", r#"{"to":"bob","amount":10}"#, "bank.v1.Bank/Transfer");
    let start = call("stepup/v1/step_up.proto", r#"{"channel":"SMS"}"#, "stepup.v1.StepUp/StartOtp");
    let code = r#"{"channel":"SMS","verification_code":"123456"}"#;
    let verify = call("stepup/v1/step_up.proto", code, "stepup.v1.StepUp/VerifyOtp");
    let watch = call("bank/v1/bank.proto", "{}", "bank.v1.Payments/Watch");
    write!(
        out,
        r"listening on http://{address}

# With grpcurl: refused (PermissionDenied, STEP_UP_REQUIRED), start, verify, and the same transfer passes.
{transfer}
{start}
{verify}
{transfer}

# A stream that ends when the step-up does, after ten minutes.
{watch}

# With Python: the same, and what the refusal says.
python3 -m venv target/grpc-python && target/grpc-python/bin/pip install -q grpcio-tools googleapis-common-protos
target/grpc-python/bin/python examples/grpc/tests/client.py {address}
"
    )?;
    out.flush()
}
