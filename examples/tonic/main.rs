//! A bank on tonic whose transfers ask for a step-up: `cargo run --example tonic`, then paste the lines it prints.
//!
//! It listens on 127.0.0.1:50051, or where `TONIC_ADDR` says. Everything happens in the sandbox of tower-step-up, so
//! nothing is sent. Lines that are tower-step-up's are marked with `+`.

use std::{env, error::Error, io, io::Write, net::SocketAddr};

use bank::{Account, AccountsRequest, AccountsResponse, TransferRequest, TransferResponse, bank_server};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    service::InterceptorLayer,
    transport::{Server, server::TcpIncoming},
};
use tower::Layer;
use tower_step_up::{Caller, Recipient, Refused, RequireStepUp, StepUp, discard};

/// Generated from `proto/bank/v1/bank.proto`.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
mod bank {
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
        // + The grant that let this call pass.
        let grant = request.extensions().get::<Caller>().and_then(Caller::grant);
        let approved_by = grant.map(|grant| grant.channel().to_owned()).unwrap_or_default();
        let TransferRequest { to, amount } = request.into_inner();
        if to.is_empty() || amount == 0 {
            return Err(Status::invalid_argument("say to whom, and how much"));
        }
        Ok(Response::new(TransferResponse { id: format!("{amount} to {to}"), approved_by }))
    }
}

/// Who is asking: `authorization: Bearer alice-1` is alice in her session 1. A real server verifies a token here.
fn authenticate(metadata: &MetadataMap) -> Option<Caller> {
    let mut values = metadata.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
    let (user, session) = token.rsplit_once('-')?;
    let known = (user.starts_with("alice") || user.starts_with("bob")) && session.parse::<u32>().is_ok();
    known.then(|| Caller::new(user, token)) // + The user, and this session of theirs.
}

/// Every alice has a phone; nobody else has enrolled anything.
async fn enrolment(caller: Caller, _channel: String) -> Result<Recipient, Refused> {
    let enrolled = caller.subject().starts_with("alice");
    if enrolled { Ok(Recipient::known_to_sender()) } else { Err(Refused::NotEnrolled) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(env::var("TONIC_ADDR").as_deref().unwrap_or("127.0.0.1:50051")).await?;
    // Whoever started this may not be reading: that is no reason to stop.
    let _ = introduce(&mut io::stdout().lock(), listener.local_addr()?);

    // + What steps up, and the guard: Accounts is open, everything else of the bank is guarded.
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).push("BIOMETRIC", discard).enrolment(enrolment);
    let step_up = step_up.grpc_domain("bank.example").build()?;
    let guard = RequireStepUp::new(&step_up).grpc().exempt(bank_server::SERVICE_NAME, "Accounts")?;

    Server::builder()
        .layer(InterceptorLayer::new(|mut request: Request<()>| {
            if let Some(caller) = authenticate(request.metadata()) {
                request.extensions_mut().insert(caller);
            }
            Ok(request)
        }))
        .add_service(guard.layer(bank_server::BankServer::new(Bank))) // + wrapped
        .add_service(step_up.grpc_challenges()) // + outside the guard
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}

/// What to try. Every line works when pasted into a shell in the crate's directory, in this order.
fn introduce(out: &mut impl Write, address: SocketAddr) -> io::Result<()> {
    let call = |proto: &str, data: &str, method: &str| {
        let auth = "-H 'authorization: Bearer alice-1'";
        format!("grpcurl -plaintext -import-path proto -proto {proto} {auth} -d '{data}' {address} {method}")
    };
    let transfer = call("bank/v1/bank.proto", r#"{"to":"bob","amount":10}"#, "bank.v1.Bank/Transfer");
    let start = call("stepup/v1/step_up.proto", r#"{"channel":"SMS"}"#, "stepup.v1.StepUp/StartOtp");
    let code = r#"{"channel":"SMS","verification_code":"123456"}"#;
    let verify = call("stepup/v1/step_up.proto", code, "stepup.v1.StepUp/VerifyOtp");
    write!(
        out,
        r"listening on http://{address}

# With grpcurl: refused (PermissionDenied, STEP_UP_REQUIRED), start, verify, and the same transfer passes.
{transfer}
{start}
{verify}
{transfer}

# With Python: the same, and what the refusal says.
python3 -m venv target/grpc-python && target/grpc-python/bin/pip install -q grpcio-tools googleapis-common-protos
target/grpc-python/bin/python tests/python/client.py {address}
"
    )?;
    out.flush()
}
