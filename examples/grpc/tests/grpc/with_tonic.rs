//! tonic: `docs/sessions.md`, "tonic".

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tonic::{
    Code, IntoRequest, Request, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower_step_up::{RequireStepUp, StepUp, discard};

use self::example::{
    Logins, MyBank, authenticate,
    bank::{AccountsRequest, TransferRequest, bank_client::BankClient, bank_server::BankServer},
};
use crate::stepup::{DropRequest, StartOtpRequest, VerifyOtpRequest, step_up_client::StepUpClient};

#[path = "../../with_tonic.rs"]
#[allow(dead_code, reason = "its main")]
pub(crate) mod example;

/// A client with or without a login.
#[derive(Clone)]
struct Client {
    channel: Channel,
    tokens: Vec<String>,
}

impl Client {
    async fn new(address: SocketAddr, tokens: &[&str]) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { channel, tokens: tokens.iter().map(ToString::to_string).collect() }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = message.into_request();
        for token in &self.tokens {
            request.metadata_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    async fn transfer(&self) -> Code {
        let mut bank = BankClient::new(self.channel.clone());
        code(bank.transfer(self.request(TransferRequest::default())).await)
    }

    async fn accounts(&self) -> Code {
        let mut bank = BankClient::new(self.channel.clone());
        code(bank.accounts(self.request(AccountsRequest {})).await)
    }

    async fn start(&self) -> Code {
        let start = StartOtpRequest { channel: "SMS".into(), scope: None, binding: None };
        code(StepUpClient::new(self.channel.clone()).start_otp(self.request(start)).await)
    }

    async fn verify(&self, guess: &str) -> Code {
        let verify = VerifyOtpRequest {
            channel: "SMS".into(),
            verification_code: Some(guess.into()),
            ..VerifyOtpRequest::default()
        };
        code(StepUpClient::new(self.channel.clone()).verify_otp(self.request(verify)).await)
    }

    async fn step_up(&self) {
        assert_eq!(self.transfer().await, Code::PermissionDenied);
        assert_eq!(self.start().await, Code::Ok);
        assert_eq!(self.transfer().await, Code::PermissionDenied);
        assert_eq!(self.verify("000000").await, Code::FailedPrecondition);
        assert_eq!(self.verify("123456").await, Code::Ok);
        assert_eq!(self.transfer().await, Code::Ok);
    }
}

fn code<T>(outcome: Result<T, Status>) -> Code {
    outcome.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// The example's server, and its table of logins, in which alice is logged in twice and bob once.
async fn served() -> (SocketAddr, Logins) {
    let logins = Logins::default();
    let users = [("token a", "alice"), ("token b", "alice"), ("token c", "bob")];
    logins.write().unwrap().extend(users.map(|(token, user)| (token.into(), user.into())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = logins.clone();
    tokio::spawn(async { example::serve(listener, served).await.map_err(|error| error.to_string()) });
    (address, logins)
}

#[tokio::test]
async fn refused_then_stepped_up_then_logged_out() {
    let (address, logins) = served().await;
    let alice = Client::new(address, &["token a"]).await;
    alice.step_up().await;
    assert_eq!(Client::new(address, &["token b"]).await.transfer().await, Code::PermissionDenied, "another login");
    logins.write().unwrap().remove("token a");
    assert_eq!((alice.transfer().await, alice.start().await), (Code::Unauthenticated, Code::Unauthenticated));
}

#[tokio::test]
async fn a_token_that_replaces_another_begins_without_the_elevation() {
    let (address, logins) = served().await;
    let alice = Client::new(address, &["token a"]).await;
    alice.step_up().await;
    let user = logins.write().unwrap().remove("token a").unwrap();
    logins.write().unwrap().insert("token d".into(), user);
    let rotated = Client { tokens: vec!["token d".into()], ..alice.clone() };
    assert_eq!((rotated.accounts().await, rotated.transfer().await), (Code::Ok, Code::PermissionDenied));
    assert_eq!(alice.transfer().await, Code::Unauthenticated);
}

#[tokio::test]
async fn a_client_that_gives_its_elevation_up_is_refused_and_still_logged_in() {
    let (address, _) = served().await;
    let alice = Client::new(address, &["token a"]).await;
    alice.step_up().await;
    let dropped = StepUpClient::new(alice.channel.clone()).drop(alice.request(DropRequest {})).await;
    assert_eq!(code(dropped), Code::Ok);
    assert_eq!((alice.transfer().await, alice.accounts().await), (Code::PermissionDenied, Code::Ok));
}

/// The channel is one HTTP/2 connection, which a proxy may share among its users.
#[tokio::test]
async fn a_connection_is_no_session() {
    let (address, _) = served().await;
    let alice = Client::new(address, &["token a"]).await;
    alice.step_up().await;
    for (tokens, expected) in [
        (vec!["token b"], Code::PermissionDenied),
        (vec!["token c"], Code::PermissionDenied),
        (vec![], Code::Unauthenticated),
    ] {
        let other = Client { tokens: tokens.into_iter().map(str::to_owned).collect(), ..alice.clone() };
        assert_eq!(other.transfer().await, expected);
    }
    assert_eq!(alice.transfer().await, Code::Ok);
}

#[tokio::test]
async fn what_was_not_verified_is_nobody() {
    let (address, _) = served().await;
    Client::new(address, &["token a"]).await.step_up().await;
    for tokens in [&["made up"][..], &["token a", "token a"], &["token c", "token a"], &["token a", "token c"], &[]] {
        let client = Client::new(address, tokens).await;
        for refused in [client.transfer().await, client.accounts().await, client.start().await] {
            assert_eq!(refused, Code::Unauthenticated, "{tokens:?}");
        }
    }
}

/// A guard inside tonic's `with_interceptor` does not compile.
#[tokio::test]
async fn an_interceptor_of_a_service_goes_around_its_guard() {
    let logins = Logins::default();
    logins.write().unwrap().insert("token a".into(), "alice".into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).build().unwrap();
    let authenticate = move |request| authenticate(&logins, request);
    let guarded = RequireStepUp::new(&step_up).grpc().layer(BankServer::new(MyBank));
    let server = Server::builder()
        .add_service(InterceptedService::new(guarded, authenticate.clone()))
        .add_service(InterceptedService::new(step_up.grpc_challenges(), authenticate));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Client::new(address, &["token a"]).await.step_up().await;
    assert_eq!(Client::new(address, &["made up"]).await.transfer().await, Code::Unauthenticated);
}
