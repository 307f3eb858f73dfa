//! A guard around a tonic service: every kind of method, and exempt methods.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use testkit::FaultyStore;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming, body::Body, server::NamedService, service::Routes};
use tower::ServiceExt;
use tower_step_up::{Caller, ConfigError, Refusal, RequireStepUp, Secret, StepUp, UnmetReason, discard};

use crate::{
    DOMAIN, alice, by,
    kinds::{
        Note,
        kinds_client::KindsClient,
        kinds_server::{Kinds, KindsServer, SERVICE_NAME},
    },
    says, serve, step_up, verify,
};

/// Answers with the channel of the request's grant, and counts its calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    calls: Arc<AtomicUsize>,
}

impl Service {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn called<T>(&self, request: &Request<T>) -> Note {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let caller = request.extensions().get::<Caller>();
        let grant = caller.and_then(Caller::grant).map(|grant| grant.channel().to_owned());
        note(grant.as_deref().unwrap_or("no grant"))
    }
}

pub(crate) fn note(text: &str) -> Note {
    Note { text: text.into() }
}

type Notes = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

#[tonic::async_trait]
impl Kinds for Service {
    type ServerStreamStream = Notes;
    type BothStream = Notes;

    async fn unary(&self, request: Request<Note>) -> Result<Response<Note>, Status> {
        Ok(Response::new(self.called(&request)))
    }

    async fn server_stream(&self, request: Request<Note>) -> Result<Response<Notes>, Status> {
        let seen = self.called(&request);
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(seen), Ok(request.into_inner())]))))
    }

    async fn client_stream(&self, request: Request<Streaming<Note>>) -> Result<Response<Note>, Status> {
        let seen = self.called(&request);
        let count = request.into_inner().collect::<Vec<_>>().await.len();
        Ok(Response::new(note(&format!("{} {count}", seen.text))))
    }

    async fn both(&self, request: Request<Streaming<Note>>) -> Result<Response<Notes>, Status> {
        self.called(&request);
        Ok(Response::new(Box::pin(request.into_inner())))
    }
}

async fn both(
    client: &mut KindsClient<tonic::transport::Channel>,
) -> Result<(mpsc::Sender<Note>, Streaming<Note>), Status> {
    let (sender, receiver) = mpsc::channel(1);
    let answer = client.both(by("alice", ReceiverStream::new(receiver))).await?;
    Ok((sender, answer.into_inner()))
}

/// The decision is made when the call starts: an endless stream is refused at once, and an accepted one continues.
#[tokio::test]
async fn every_kind_of_method_is_guarded() {
    let step_up = step_up();
    let service = Service::default();
    let guard = RequireStepUp::new(&step_up).grpc();
    let mut client = KindsClient::new(serve(Routes::new(guard.layer(KindsServer::new(service.clone())))).await);
    let endless = || tokio_stream::pending::<Note>();

    let required = (Code::PermissionDenied, "STEP_UP_REQUIRED".to_owned());
    assert_eq!(says(&client.unary(by("alice", note(""))).await.unwrap_err()), required);
    assert_eq!(says(&client.server_stream(by("alice", note(""))).await.unwrap_err()), required);
    assert_eq!(says(&client.client_stream(by("alice", endless())).await.unwrap_err()), required);
    assert_eq!(says(&client.both(by("alice", endless())).await.unwrap_err()), required);
    assert_eq!(says(&client.both(endless()).await.unwrap_err()), (Code::Unauthenticated, "UNAUTHORIZED".into()));
    assert_eq!(service.calls(), 0);

    verify(&step_up, &alice()).await;
    assert_eq!(client.unary(by("alice", note(""))).await.unwrap().into_inner().text, "SMS");
    let stream = client.server_stream(by("alice", note("asked"))).await.unwrap().into_inner();
    let texts: Vec<_> = stream.map(|note| note.unwrap().text).collect().await;
    assert_eq!(texts, ["SMS", "asked"]);
    let two = tokio_stream::iter([note("1"), note("2")]);
    assert_eq!(client.client_stream(by("alice", two)).await.unwrap().into_inner().text, "SMS 2");

    let (sender, mut answers) = both(&mut client).await.unwrap();
    sender.send(note("before")).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().text, "before");
    step_up.revoke(&alice()).await.unwrap();
    sender.send(note("after")).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().text, "after");
    assert_eq!(says(&both(&mut client).await.unwrap_err()), required);
    assert_eq!(service.calls(), 4);
}

/// A body that counts how often it is polled.
#[derive(Default)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Pending
    }
}

fn call(path: &str, body: Body) -> http::Request<Body> {
    let mut request = http::Request::post(path).header("content-type", "application/grpc").body(body).unwrap();
    request.extensions_mut().insert(alice());
    request
}

/// Neither if the record is available at once nor while waiting for it.
#[tokio::test(start_paused = true)]
async fn a_request_stream_is_not_read_before_the_decision() {
    let store = FaultyStore::default();
    let secret = Secret::new([7; 32]).unwrap();
    let remote = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(secret);
    let remote = remote.grpc_domain(DOMAIN).build().unwrap();
    let local = step_up();
    let reads = Arc::new(AtomicUsize::new(0));
    let body = || Body::new(Counted(Arc::clone(&reads)));
    let service = KindsServer::new(Service::default());

    let refused =
        RequireStepUp::new(&local).grpc().layer(service.clone()).oneshot(call("/kinds.v1.Kinds/Both", body()));
    assert_eq!(refused.await.unwrap().headers()["grpc-status"], "7");
    let guarded = RequireStepUp::new(&remote).grpc().layer(service);
    let refused = guarded.clone().oneshot(call("/kinds.v1.Kinds/Both", body()));
    assert_eq!(refused.await.unwrap().headers()["grpc-status"], "7");
    store.set_stuck(true);
    let refused = guarded.oneshot(call("/kinds.v1.Kinds/Both", body())).await.unwrap();
    assert_eq!(refused.headers()["grpc-status"], "14");
    assert_eq!(reads.load(Ordering::SeqCst), 0);
}

/// Exempt methods pass, with or without a login; all others are guarded, including methods added later.
#[tokio::test]
async fn exempt_methods_pass() {
    let step_up = step_up();
    let service = Service::default();
    let guard = RequireStepUp::new(&step_up).grpc().exempt(SERVICE_NAME, "Unary").unwrap();
    let guarded = guard.layer(KindsServer::new(service));
    let mut client = KindsClient::new(serve(Routes::new(guarded)).await);
    assert_eq!(client.unary(note("")).await.unwrap().into_inner().text, "no grant");
    assert_eq!(client.unary(by("alice", note(""))).await.unwrap().into_inner().text, "no grant");
    let refused = client.server_stream(by("alice", note(""))).await.unwrap_err();
    assert_eq!(says(&refused), (Code::PermissionDenied, "STEP_UP_REQUIRED".into()));

    let both = guard.exempt(SERVICE_NAME, "ServerStream").unwrap();
    let mut client = KindsClient::new(serve(Routes::new(both.layer(KindsServer::new(Service::default())))).await);
    assert!(client.unary(note("")).await.is_ok());
    assert!(client.server_stream(note("")).await.is_ok());
    assert_eq!(says(&client.both(tokio_stream::empty()).await.unwrap_err()).0, Code::Unauthenticated);
}

/// T22: paths are compared byte for byte, as tonic dispatches them.
#[tokio::test]
async fn paths_similar_to_an_exempt_method_do_not_pass() {
    let step_up = step_up();
    let service = Service::default();
    let guard = RequireStepUp::new(&step_up).grpc().exempt(SERVICE_NAME, "Unary").unwrap();
    let guarded = guard.layer(KindsServer::new(service.clone()));
    let status = async |path: &str| {
        let answer = guarded.clone().oneshot(call(path, Body::empty())).await.unwrap();
        (answer.status().as_u16(), answer.extensions().get::<Refusal>().cloned())
    };
    for path in [
        "/kinds.v1.Kinds/unary",
        "/kinds.v1.Kinds/UNARY",
        "/kinds.v1.kinds/Unary",
        "/kinds.v1.Kinds/Unary/",
        "/kinds.v1.Kinds//Unary",
        "//kinds.v1.Kinds/Unary",
        "/kinds.v1.Kinds/%55nary",
        "/kinds.v1.Kinds/Unary%20",
        "/kinds.v1.Kinds/Unar",
        "/kinds.v1.Kinds/UnaryX",
        "/kinds.v1.Kinds/./Unary",
        "/x/kinds.v1.Kinds/Unary",
        "/kinds.v1.Kinds/ServerStream?/kinds.v1.Kinds/Unary",
        "/Unary",
        "/",
        "*",
    ] {
        assert_eq!(status(path).await, (200, Some(Refusal::StepUpRequired(UnmetReason::Missing.into()))), "{path}");
    }
    for path in ["/kinds.v1.Kinds/Unary", "/kinds.v1.Kinds/Unary?x=1", "http://example.com/kinds.v1.Kinds/Unary"] {
        assert_eq!(status(path).await, (200, None), "{path}: tonic dispatches it so");
    }
    assert_eq!(service.calls(), 0, "those that passed had no message");

    // A guard with another response policy does not keep the exemptions.
    let reshaped = guard.json().grpc().layer(KindsServer::new(service));
    let answer = reshaped.oneshot(call("/kinds.v1.Kinds/Unary", Body::empty())).await.unwrap();
    assert_eq!(answer.extensions().get(), Some(&Refusal::StepUpRequired(UnmetReason::Missing.into())));
}

#[test]
fn unknown_exempt_methods_are_a_mistake() {
    let step_up = step_up();
    for (service, method) in [
        ("", "Accounts"),
        ("bank.v1.Bank", ""),
        ("/bank.v1.Bank", "Accounts"),
        ("bank.v1.Bank", "/Accounts"),
        ("bank.v1.Bank/Accounts", "Accounts"),
        ("bank..Bank", "Accounts"),
        (".bank.Bank", "Accounts"),
        ("bank.v1.Bank", "v1.Accounts"),
        ("bank.v1.Bank", "Accounts "),
        ("bank.v1.Bank", "*"),
        ("bank.v1.Bänk", "Accounts"),
        ("bank.v1.Bank", "1st"),
    ] {
        let error = RequireStepUp::new(&step_up).grpc().exempt(service, method).unwrap_err();
        assert_eq!(error, ConfigError::InvalidGrpcMethod { service: service.into(), method: method.into() });
        assert!(error.to_string().contains(r#"exempt("bank.v1.Bank", "Accounts")"#), "{error}");
    }
    for (service, method) in [("Bank", "Accounts"), ("_b.v1.B_2", "get_1")] {
        assert!(RequireStepUp::new(&step_up).grpc().exempt(service, method).is_ok(), "{service} {method}");
    }
}

#[test]
fn a_guarded_service_keeps_its_name() {
    fn name<S: NamedService>(_: &S) -> &'static str {
        S::NAME
    }
    let step_up = step_up();
    let guarded = RequireStepUp::new(&step_up).grpc().layer(KindsServer::new(Service::default()));
    assert_eq!(name(&guarded), "kinds.v1.Kinds");
    assert_eq!(name(&step_up.grpc_challenges()), "stepup.v1.StepUp");
}

/// A gRPC client gets no bare 503, which it would retry at once and without end.
#[tokio::test]
async fn a_store_that_fails_is_unavailable() {
    let store = FaultyStore::default();
    let secret = Secret::new([7; 32]).unwrap();
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(secret);
    let step_up = step_up.grpc_domain(DOMAIN).build().unwrap();
    let service = Service::default();
    let guard = RequireStepUp::new(&step_up).grpc();
    let mut client = KindsClient::new(serve(Routes::new(guard.layer(KindsServer::new(service.clone())))).await);
    verify(&step_up, &alice()).await;
    assert!(client.unary(by("alice", note(""))).await.is_ok());
    for set in [FaultyStore::set_down as fn(&FaultyStore, bool), FaultyStore::set_stuck] {
        set(&store, true);
        let refused = client.unary(by("alice", note(""))).await.unwrap_err();
        assert_eq!(says(&refused), (Code::Unavailable, "UNAVAILABLE".into()));
        let retry = tonic_types::StatusExt::get_details_retry_info(&refused).unwrap().retry_delay;
        assert_eq!(retry, Some(Duration::from_secs(1)));
        set(&store, false);
        assert!(client.unary(by("alice", note(""))).await.is_ok());
    }
    assert_eq!(service.calls(), 3);
}
