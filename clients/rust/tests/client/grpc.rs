//! tonic's `Channel`, against the bank of the example on tonic.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use http::uri::PathAndQuery;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status,
    service::InterceptorLayer,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tower::Layer;
use tower_step_up_client::{Challenges, Error, PromptError, PushStatus, StepUpClient};

use crate::{
    support::{Ask, CODE},
    tonic_bank::{
        self,
        bank::{
            TransferRequest, TransferResponse, WatchRequest, bank_client::BankClient, payments_client::PaymentsClient,
        },
    },
};

pub(crate) async fn channel() -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut server = Server::builder().layer(InterceptorLayer::new(tonic_bank::identify));
    let server = server.add_routes(tonic_bank::routes().unwrap());
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// A request of this login, such as `alice-1`.
pub(crate) fn by<T>(login: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {login}").parse().unwrap());
    request
}

pub(crate) fn transfer(amount: u64) -> TransferRequest {
    TransferRequest { to: "bob".into(), amount }
}

pub(crate) async fn by_code(challenges: Challenges) -> Result<(), PromptError> {
    challenges.start("SMS").await?;
    Ok(challenges.verify("SMS", CODE).await?)
}

fn error(status: &Status) -> &Error {
    Error::find(status).unwrap_or_else(|| panic!("{status:?}"))
}

#[tokio::test]
async fn a_unary_call_steps_up_and_is_repeated() {
    let prompt = Ask::new(async |requirement: tower_step_up_client::Requirement, challenges| {
        assert_eq!(requirement.channels().otp, ["SMS"]);
        by_code(challenges).await
    });
    let calls = Arc::clone(&prompt.calls);
    let mut bank = BankClient::new(StepUpClient::new(prompt).layer(channel().await));
    let answer = bank.transfer(by("alice-1", transfer(10))).await.unwrap().into_inner();
    assert_eq!((&*answer.id, &*answer.approved_by), ("10 to bob", "SMS"));
    bank.transfer(by("alice-1", transfer(11))).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn fifty_refused_at_once_have_one_prompt() {
    let prompt = Ask::new(async |_, challenges| by_code(challenges).await);
    let calls = Arc::clone(&prompt.calls);
    let bank = BankClient::new(StepUpClient::new(prompt).layer(channel().await));
    let answers = join_all((1..=50).map(|amount| {
        let mut bank = bank.clone();
        async move { bank.transfer(by("alice-1", transfer(amount))).await }
    }));
    for (answer, amount) in answers.await.into_iter().zip(1..) {
        assert_eq!(answer.unwrap().into_inner().id, format!("{amount} to bob"));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_challenge_has_its_call() {
    let prompt = Ask::new(async |_, challenges: Challenges| {
        challenges.start("SMS").await?;
        let wrong = challenges.verify("SMS", "000000").await.unwrap_err();
        assert_eq!(wrong.code(), Some("VERIFICATION_CODE_INVALID"));
        let soon = challenges.start("SMS").await.unwrap_err();
        assert_eq!(soon.code(), Some("RETRY_IN_15SEC"));
        assert!(soon.retry_after().is_some_and(|wait| wait <= Duration::from_secs(15)));
        let push = challenges.start_push("BIOMETRIC").await?;
        assert_eq!(challenges.poll("BIOMETRIC", &push.id).await?.status, PushStatus::Pending);
        let status = challenges.status().await?;
        assert!(!status.stepped_up && status.pending.otp.is_some());
        assert_eq!(status.pending.push.unwrap().id, push.id);
        challenges.cancel_push("BIOMETRIC", &push.id).await?;
        assert_eq!(challenges.poll("BIOMETRIC", &push.id).await?.status, PushStatus::Expired);
        challenges.verify("SMS", CODE).await?;
        // Lost, and sent again.
        challenges.verify("SMS", CODE).await?;
        assert!(challenges.status().await?.stepped_up);
        challenges.cancel("SMS").await?;
        Ok(())
    });
    let mut bank = BankClient::new(StepUpClient::new(prompt).layer(channel().await));
    bank.transfer(by("alice-1", transfer(10))).await.unwrap();
}

#[tokio::test]
async fn errors_are_found_in_the_status() {
    let channel = channel().await;
    let cancelled = Ask::new(async |_, _| Err(PromptError::Cancelled));
    let mut bank = BankClient::new(StepUpClient::new(cancelled).layer(channel.clone()));
    let status = bank.transfer(by("alice-1", transfer(10))).await.unwrap_err();
    assert!(matches!(error(&status), Error::Cancelled(_)), "{status:?}");

    let idle = Ask::new(async |_, _| Ok(()));
    let mut bank = BankClient::new(StepUpClient::new(idle).layer(channel.clone()));
    let status = bank.transfer(by("alice-1", transfer(10))).await.unwrap_err();
    assert!(matches!(error(&status), Error::StillRefused(_)), "{status:?}");

    let failing = Ask::new(async |_, challenges: Challenges| Ok(challenges.start("SMS").await?));
    let mut bank = BankClient::new(StepUpClient::new(failing).layer(channel));
    let status = bank.transfer(by("bob-1", transfer(10))).await.unwrap_err();
    let Error::Prompt(_, PromptError::Challenge(refused)) = error(&status) else { panic!("{status:?}") };
    assert_eq!(refused.code(), Some("CHANNEL_NOT_REGISTERED"));
}

/// Not our refusals: no login, and a message that the bank does not accept.
#[tokio::test]
async fn other_statuses_pass_as_they_were() {
    let prompt = Ask::new(async |_, challenges| by_code(challenges).await);
    let calls = Arc::clone(&prompt.calls);
    let mut bank = BankClient::new(StepUpClient::new(prompt).layer(channel().await));
    let status = bank.transfer(transfer(10)).await.unwrap_err();
    assert_eq!((status.code(), calls.load(Ordering::SeqCst)), (Code::Unauthenticated, 0));
    assert!(!status.details().is_empty());
    let status = bank.transfer(by("alice-1", transfer(0))).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "say to whom, and how much"));
}

#[tokio::test]
async fn a_server_stream_is_opened_after_the_step_up() {
    let prompt = Ask::new(async |_, challenges| by_code(challenges).await);
    let mut payments = PaymentsClient::new(StepUpClient::new(prompt).layer(channel().await));
    let mut stream = payments.watch(by("alice-1", WatchRequest {})).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().number, 1);
}

/// Its messages were sent, and nobody has kept them.
#[tokio::test]
async fn a_client_stream_is_an_error_with_the_requirement() {
    let prompt = Ask::new(async |_, challenges| by_code(challenges).await);
    let calls = Arc::clone(&prompt.calls);
    let mut grpc = tonic::client::Grpc::new(StepUpClient::new(prompt).layer(channel().await));
    let (sender, receiver) = mpsc::channel(1);
    sender.send(transfer(10)).await.unwrap();
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<TransferRequest, TransferResponse>::default();
    let path = PathAndQuery::from_static("/bank.v1.Bank/Transfer");
    let request = by("alice-1", ReceiverStream::new(receiver));
    let status = grpc.client_streaming(request, path, codec).await.unwrap_err();
    assert!(matches!(error(&status), Error::NotRepeatable(why) if why.channels().otp == ["SMS"]), "{status:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    drop(sender);
}
