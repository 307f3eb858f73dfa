//! The challenge endpoints over gRPC: the same checks, limits and codes as over HTTP.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body as HttpBody;
use http::StatusCode;
use testkit::FaultyStore;
use tonic::{Code, Response, Status, body::Body, service::Routes, transport::Channel};
use tonic_types::StatusExt;
use tower::{Layer, ServiceExt};
use tower_step_up::{
    Binding, Caller, ChallengeError, DeliveryError, EnrollmentError, ManualClock, OtpMessage, Policy, PushReply,
    Recipient, Refusal, RequireStepUp, Secret, StepUp, StepUpBuilder, discard,
};

use crate::{
    DOMAIN, alice, by,
    guard::Counted,
    is_stamped, metadata, says, serve, step_up,
    stepup::{
        CancelOtpRequest, CancelPushRequest, Channels, DropRequest, Level, PushState, PushStatusRequest,
        StartOtpRequest, StartPushRequest, StatusRequest, VerifyOtpRequest, step_up_client::StepUpClient,
    },
};

/// A client of one user.
struct Client {
    client: StepUpClient<Channel>,
    user: &'static str,
}

impl Client {
    async fn of(step_up: &StepUp) -> Self {
        Self { client: StepUpClient::new(serve(Routes::new(step_up.grpc_challenges())).await), user: "alice" }
    }

    fn user(&self, user: &'static str) -> Self {
        Self { client: self.client.clone(), user }
    }

    async fn start(&mut self, channel: &str) -> Result<(), Status> {
        self.start_for(channel, None).await
    }

    async fn start_for(&mut self, channel: &str, scope: Option<&str>) -> Result<(), Status> {
        let message = StartOtpRequest { channel: channel.into(), scope: scope.map(Into::into), binding: None };
        stamped(self.client.start_otp(by(self.user, message)).await).map(drop)
    }

    async fn verify(&mut self, channel: &str, code: Option<&str>) -> Result<(), Status> {
        let message = VerifyOtpRequest {
            channel: channel.into(),
            verification_code: code.map(Into::into),
            ..VerifyOtpRequest::default()
        };
        stamped(self.client.verify_otp(by(self.user, message)).await).map(drop)
    }

    async fn push(&mut self, channel: &str) -> Result<String, Status> {
        let message = StartPushRequest { channel: channel.into(), scope: None, binding: None };
        stamped(self.client.start_push(by(self.user, message)).await).map(|push| push.id)
    }

    async fn push_status(&mut self, channel: &str, id: &str) -> Result<PushState, Status> {
        let message = PushStatusRequest { channel: channel.into(), id: id.into() };
        let answer = stamped(self.client.push_status(by(self.user, message)).await)?;
        assert_eq!(answer.id, id);
        assert_eq!(answer.status() == PushState::Pending, answer.expires_in > 0);
        Ok(answer.status())
    }
}

/// Checks the metadata that every response must have.
fn stamped<T>(answer: Result<Response<T>, Status>) -> Result<T, Status> {
    match answer {
        Ok(answer) => {
            assert!(is_stamped(answer.metadata()), "{:?}", answer.metadata());
            Ok(answer.into_inner())
        }
        Err(status) => {
            assert!(is_stamped(status.metadata()), "{status:?}");
            Err(status)
        }
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    says(&answer.unwrap_err())
}

fn precondition(reason: &str) -> (Code, String) {
    (Code::FailedPrecondition, reason.into())
}

fn retry(status: &Status) -> Option<u64> {
    Some(status.get_details_retry_info()?.retry_delay?.as_secs())
}

/// The field violations of a refusal.
fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<(String, String)> {
    let status = answer.unwrap_err();
    assert_eq!(says(&status), (Code::InvalidArgument, "INVALID_REQUEST".into()));
    assert_eq!(status.message(), "Invalid request");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

fn builder() -> StepUpBuilder {
    StepUp::builder().sandbox().otp("SMS", discard).push("BIO", discard).grpc_domain(DOMAIN)
}

#[tokio::test]
async fn start_verify_status_and_drop() {
    let mut alice = Client::of(&step_up()).await;
    let mut bob = alice.user("bob");
    let before = alice.client.status(by("alice", StatusRequest {})).await.unwrap().into_inner();
    assert_eq!((before.status(), before.grants.len()), (Level::Standard, 0));
    let channels = Channels { otp: vec!["SMS".into(), "EMAIL".into()], push: vec!["BIO".into()], proof: vec![] };
    assert_eq!(before.channels, Some(channels));

    alice.start_for("SMS", Some("payments")).await.unwrap();
    alice.verify("SMS", Some("123456")).await.unwrap();
    let after = stamped(alice.client.status(by("alice", StatusRequest {})).await).unwrap();
    assert_eq!(after.status(), Level::SteppedUp);
    let [grant] = &after.grants[..] else { panic!("{after:?}") };
    assert_eq!((grant.channel.as_str(), grant.scope.as_deref()), ("SMS", Some("payments")));
    assert!((1..=600).contains(&grant.expires_in) && grant.verified_at > 1_700_000_000_000, "{grant:?}");
    let others = bob.client.status(by("bob", StatusRequest {})).await.unwrap().into_inner();
    assert_eq!(others.status(), Level::Standard);
    assert_eq!(refused(bob.verify("SMS", Some("123456")).await), precondition("STATE_INVALID"));

    stamped(alice.client.drop(by("alice", DropRequest {})).await).unwrap();
    let dropped = alice.client.status(by("alice", StatusRequest {})).await.unwrap().into_inner();
    assert_eq!(dropped.status(), Level::Standard);
}

#[tokio::test]
async fn pushes() {
    let step_up = step_up();
    let mut alice = Client::of(&step_up).await;
    let id = alice.push("BIO").await.unwrap();
    assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    assert_eq!(refused(alice.push("BIO").await), precondition("STATE_INVALID"));
    assert_eq!(alice.push_status("BIO", &id).await.unwrap(), PushState::Pending);
    let not_found = (Code::NotFound, "NOT_FOUND".to_owned());
    assert_eq!(refused(alice.push_status("BIO", "1").await), not_found);
    assert_eq!(refused(alice.user("bob").push_status("BIO", &id).await), not_found);
    assert_eq!(fields(alice.push_status("SMS", &id).await), [("channel".into(), "NOT_IN".into())]);
    step_up.answer_push("alice", &id, PushReply::Approve).await.unwrap();
    assert_eq!(alice.push_status("BIO", &id).await.unwrap(), PushState::Verified);
    let id = alice.push("BIO").await.unwrap();
    step_up.answer_push("alice", &id, PushReply::Decline).await.unwrap();
    assert_eq!(alice.push_status("BIO", &id).await.unwrap(), PushState::Declined);
}

/// What a client that has lost a response needs to go on, and how it gives up.
#[tokio::test]
async fn what_is_pending_and_how_it_is_cancelled() {
    let enrolled = async |_: Caller, channel: String| match &*channel {
        "SMS" => Ok(Recipient::phone("+1 202 555 0143").unwrap()),
        _ => Ok(Recipient::known_to_sender()),
    };
    let step_up = builder().proof("TOTP").enrollment(enrolled).build().unwrap();
    let mut alice = Client::of(&step_up).await;
    let status =
        async |client: &mut Client| client.client.status(by("alice", StatusRequest {})).await.unwrap().into_inner();
    let before = status(&mut alice).await;
    assert_eq!((before.pending, before.channels.unwrap().proof), (None, vec!["TOTP".to_owned()]));
    assert_eq!(before.to, [("SMS".to_owned(), "•••• 0143".to_owned())].into());

    alice.start_for("SMS", Some("pay")).await.unwrap();
    let id = alice.push("BIO").await.unwrap();
    let pending = status(&mut alice).await.pending.unwrap();
    let otp = pending.otp.unwrap();
    assert_eq!((&*otp.channel, otp.scope.as_deref(), otp.to.as_deref()), ("SMS", Some("pay"), Some("•••• 0143")));
    assert!((290..=300).contains(&otp.expires_in) && (10..=15).contains(&otp.retry_in), "{otp:?}");
    let push = pending.push.unwrap();
    assert_eq!((&*push.channel, &push.id, push.scope), ("BIO", &id, None));

    let verify = |scope: &str| VerifyOtpRequest {
        channel: "SMS".into(),
        verification_code: Some("000000".into()),
        scope: Some(scope.into()),
        binding: None,
    };
    let verified = |answer: Result<Response<_>, _>| refused::<()>(stamped(answer).map(drop));
    let other = alice.client.verify_otp(by("alice", verify("profile"))).await;
    assert_eq!(verified(other), precondition("STATE_INVALID"), "it is for something else");
    let own = alice.client.verify_otp(by("alice", verify("pay"))).await;
    assert_eq!(verified(own), precondition("VERIFICATION_CODE_INVALID"));

    let cancel_push = |id: &str| by("alice", CancelPushRequest { channel: "BIO".into(), id: id.into() });
    assert_eq!(
        refused(stamped(alice.client.cancel_push(cancel_push("1")).await)),
        (Code::NotFound, "NOT_FOUND".into())
    );
    stamped(alice.client.cancel_push(cancel_push(&id)).await).unwrap();
    assert_eq!(alice.push_status("BIO", &id).await.unwrap(), PushState::Expired);
    let cancel_otp = |channel: &str| by("alice", CancelOtpRequest { channel: channel.into() });
    assert_eq!(
        fields(stamped(alice.client.cancel_otp(cancel_otp("BIO")).await)),
        [("channel".into(), "NOT_IN".into())]
    );
    for _ in 0..2 {
        stamped(alice.client.cancel_otp(cancel_otp("SMS")).await).unwrap();
    }
    assert_eq!(status(&mut alice).await.pending, None);
}

#[tokio::test]
async fn the_language_of_a_message_comes_from_the_metadata() {
    let languages = Arc::<Mutex<Vec<Option<String>>>>::default();
    let seen = Arc::clone(&languages);
    let send = move |message: OtpMessage| {
        seen.lock().unwrap().push(message.language().map(Into::into));
        async { Ok::<_, DeliveryError>(()) }
    };
    let step_up = StepUp::builder().otp("SMS", send).build().unwrap();
    let mut client = Client::of(&step_up).await.client;
    for (user, language) in [("alice", Some("*, de-AT;q=0.8")), ("bob", None)] {
        let mut start = by(user, StartOtpRequest { channel: "SMS".into(), ..StartOtpRequest::default() });
        if let Some(language) = language {
            start.metadata_mut().insert("accept-language", language.parse().unwrap());
        }
        client.start_otp(start).await.unwrap();
    }
    assert_eq!(*languages.lock().unwrap(), [Some("de-AT".to_owned()), None]);
}

#[tokio::test]
async fn without_a_caller_nothing_is_revealed() {
    let mut client = Client::of(&step_up()).await.client;
    let unauthorized = (Code::Unauthenticated, "UNAUTHORIZED".to_owned());
    let start = StartOtpRequest { channel: "none".into(), scope: Some(" ".into()), binding: None };
    assert_eq!(refused(stamped(client.start_otp(start).await)), unauthorized);
    assert_eq!(refused(stamped(client.verify_otp(VerifyOtpRequest::default()).await)), unauthorized);
    assert_eq!(refused(stamped(client.start_push(StartPushRequest::default()).await)), unauthorized);
    assert_eq!(refused(stamped(client.push_status(PushStatusRequest::default()).await)), unauthorized);
    assert_eq!(refused(stamped(client.cancel_otp(CancelOtpRequest::default()).await)), unauthorized);
    assert_eq!(refused(stamped(client.cancel_push(CancelPushRequest::default()).await)), unauthorized);
    assert_eq!(refused(stamped(client.status(StatusRequest {}).await)), unauthorized);
    assert_eq!(refused(stamped(client.drop(DropRequest {}).await)), unauthorized);
}

/// Malformed requests count no attempt, and all violations are reported together.
#[tokio::test]
async fn malformed() {
    let mut alice = Client::of(&step_up()).await;
    alice.start("SMS").await.unwrap();
    let code = |error: &str| vec![("verification_code".to_owned(), error.to_owned())];
    let channel = || ("channel".to_owned(), "NOT_IN".to_owned());
    for _ in 0..10 {
        assert_eq!(fields(alice.verify("SMS", None).await), code("REQUIRED"));
        assert_eq!(fields(alice.verify("SMS", Some(" ")).await), code("HAS_TEXT"));
        assert_eq!(fields(alice.verify("SMS", Some("12345")).await), code("SIZE"));
        assert_eq!(fields(alice.verify("SMS", Some("12345x")).await), code("REGEX"));
        assert_eq!(fields(alice.verify("SMS", Some("１２３４５６")).await), code("REGEX"));
        assert_eq!(fields(alice.verify("BIO", Some("")).await), [vec![channel()], code("HAS_TEXT")].concat());
        assert_eq!(fields(alice.verify("sms", Some("123456")).await), [channel()]);
    }
    let scope = |error: &str| ("scope".to_owned(), error.to_owned());
    assert_eq!(fields(alice.start_for("SMS", Some("")).await), [scope("HAS_TEXT")]);
    assert_eq!(fields(alice.start_for("BIO", Some("a b")).await), [channel(), scope("REGEX")]);
    assert_eq!(fields(alice.start_for("SMS", Some(&"x".repeat(129))).await), [scope("SIZE")]);
    assert_eq!(fields(alice.push("SMS").await), [channel()]);
    alice.verify("SMS", Some("123456")).await.unwrap();
}

/// A malformed message is a client error that is not retried; a message that is too large is not read.
#[tokio::test]
async fn broken_messages() {
    let service = step_up().grpc_challenges();
    let call = async |path: &str, message: &[u8], caller: Option<Caller>| {
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        framed.extend(message);
        let body = Body::new(http_body_util::Full::new(bytes::Bytes::from(framed)));
        let mut request = http::Request::post(path).header("content-type", "application/grpc").body(body).unwrap();
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["cache-control"], "no-store");
        Status::from_header_map(response.headers()).unwrap()
    };
    let large = vec![b'x'; 5000];
    let broken = call("/stepup.v1.StepUp/VerifyOtp", b"secret", Some(alice())).await;
    assert_eq!((broken.code(), broken.message()), (Code::InvalidArgument, "Invalid request"));
    let too_large = call("/stepup.v1.StepUp/VerifyOtp", &large, Some(alice())).await;
    assert_eq!(says(&too_large), (Code::OutOfRange, "CONTENT_TOO_LARGE".into()));
    // The same order as over HTTP: method, authentication, message.
    assert_eq!(call("/stepup.v1.StepUp/VerifyOtp", &large, None).await.code(), Code::Unauthenticated);
    for path in ["/stepup.v1.StepUp/verifyOtp", "/stepup.v1.StepUp/VerifyOtp/", "/VerifyOtp", "/stepup.v1.StepUp"] {
        assert_eq!(call(path, &large, None).await.code(), Code::Unimplemented, "{path}");
    }
}

/// A message that never arrives times out as over HTTP.
#[tokio::test(start_paused = true)]
async fn slow_messages() {
    let mut request = http::Request::post("/stepup.v1.StepUp/VerifyOtp").body(Counted::default()).unwrap();
    request.extensions_mut().insert(alice());
    let start = tokio::time::Instant::now();
    let response = step_up().grpc_challenges().oneshot(request).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    let refused = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(says(&refused), (Code::DeadlineExceeded, "REQUEST_TIMEOUT".into()));
}

#[tokio::test]
async fn wrong_codes_and_what_follows() {
    let clock = ManualClock::new();
    let step_up = builder().clock(clock.clone()).build().unwrap();
    let mut alice = Client::of(&step_up).await;
    assert_eq!(refused(alice.verify("SMS", Some("000000")).await), precondition("STATE_INVALID"));
    alice.start("SMS").await.unwrap();
    clock.advance(Duration::from_secs(5));
    let again = alice.start("SMS").await.unwrap_err();
    assert_eq!((says(&again), retry(&again)), (precondition("RETRY_IN_15SEC"), Some(10)));
    for reason in ["VERIFICATION_CODE_INVALID"; 3] {
        assert_eq!(refused(alice.verify("SMS", Some("000000")).await), precondition(reason));
    }
    assert_eq!(refused(alice.verify("SMS", Some("000000")).await), precondition("ONE_CHALLENGE_LIMIT_REMAINING"));
    assert_eq!(refused(alice.verify("SMS", Some("000000")).await), precondition("CHALLENGE_LIMIT_EXCEEDED"));
    assert_eq!(refused(alice.verify("SMS", Some("123456")).await), precondition("STATE_INVALID"));
    clock.advance(Duration::from_secs(10));
    let locked = alice.start("SMS").await.unwrap_err();
    assert_eq!(says(&locked), (Code::ResourceExhausted, "RATE_LIMITED".into()));
    assert_eq!(retry(&locked), Some(20));
    assert_eq!(metadata(&locked), [("limit".to_owned(), "5".to_owned())].into());

    let mut bob = alice.user("bob");
    bob.start("SMS").await.unwrap();
    clock.advance(Duration::from_secs(300));
    assert_eq!(refused(bob.verify("SMS", Some("123456")).await), precondition("VERIFICATION_CODE_EXPIRED"));
    bob.start("SMS").await.unwrap();
    bob.verify("SMS", Some("123456")).await.unwrap();
    assert_eq!(refused(bob.verify("SMS", Some("123456")).await), precondition("ALREADY_VERIFIED"));
}

#[tokio::test]
async fn enrollment_delivery_and_budgets() {
    let send = async |message: OtpMessage| match message.subject() {
        "nobody" => Err(DeliveryError::RecipientInvalid),
        "down" => Err(DeliveryError::Failed),
        _ => Ok(()),
    };
    let enrollment = async |caller: Caller, _: String| match caller.subject() {
        "off" => Err(EnrollmentError::NotSupported),
        "new" => Err(EnrollmentError::NotEnrolled),
        "barred" => Err(EnrollmentError::Forbidden),
        "dark" => Err(EnrollmentError::Unavailable),
        _ => Ok(Recipient::known_to_sender()),
    };
    let clock = ManualClock::new();
    let policy = Policy::new().starts_per_session(1);
    let step_up =
        StepUp::builder().otp("SMS", send).push("BIO", async |_| Ok(())).enrollment(enrollment).policy(policy);
    let step_up = step_up.clock(clock.clone()).grpc_domain(DOMAIN).build().unwrap();
    let channel = serve(Routes::new(step_up.grpc_challenges())).await;
    let client = StepUpClient::new(channel);
    let start = async |user: &str| {
        let message = StartOtpRequest { channel: "SMS".into(), scope: None, binding: None };
        let status = client.clone().start_otp(by(user, message)).await.unwrap_err();
        assert!(status.metadata().get("x-stepup-sandbox").is_none());
        (says(&status), retry(&status))
    };
    let unavailable = || ((Code::Unavailable, "UNAVAILABLE".to_owned()), Some(1));
    assert_eq!(start("nobody").await, (precondition("MOBILE_NUMBER_INVALID"), None));
    assert_eq!(start("down").await, unavailable());
    assert_eq!(start("dark").await, unavailable());
    assert_eq!(start("off").await, (precondition("CHANNEL_NOT_SUPPORTED"), None));
    assert_eq!(start("new").await, (precondition("CHANNEL_NOT_REGISTERED"), None));
    assert_eq!(start("barred").await, ((Code::PermissionDenied, "INSUFFICIENT_PERMISSIONS".into()), None));
    let message = || StartOtpRequest { channel: "SMS".into(), scope: None, binding: None };
    client.clone().start_otp(by("alice", message())).await.unwrap();
    clock.advance(Duration::from_secs(15));
    assert_eq!(start("alice").await, (precondition("CHALLENGE_LIMIT_EXCEEDED"), None));
}

#[tokio::test]
async fn a_store_that_fails_is_unavailable() {
    let store = FaultyStore::default();
    let step_up = builder()
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([7; 32]).unwrap())
        .build()
        .unwrap();
    let mut alice = Client::of(&step_up).await;
    store.set_down(true);
    let unavailable = (Code::Unavailable, "UNAVAILABLE".to_owned());
    let start = alice.start("SMS").await.unwrap_err();
    assert_eq!((says(&start), retry(&start)), (unavailable.clone(), Some(1)));
    assert_eq!(refused(alice.verify("SMS", Some("123456")).await), unavailable);
    assert_eq!(refused(alice.push("BIO").await), unavailable);
    assert_eq!(refused(alice.push_status("BIO", "1").await), unavailable);
    assert_eq!(refused(alice.client.status(by("alice", StatusRequest {})).await), unavailable);
    assert_eq!(refused(alice.client.drop(by("alice", DropRequest {})).await), unavailable);
}

/// T6: HTTP, gRPC and the Rust API share one lockout.
#[tokio::test]
async fn all_entry_points_share_one_lockout() {
    let clock = ManualClock::new();
    let step_up = builder().clock(clock.clone()).build().unwrap();
    let mut grpc = Client::of(&step_up).await;
    let http = async |path: &str, body: &'static str| {
        let request = http::Request::post(path).header("content-type", "application/json").body(HttpBody::from(body));
        let mut request = request.unwrap();
        request.extensions_mut().insert(alice());
        step_up.challenges().oneshot(request).await.unwrap().status()
    };
    grpc.start("SMS").await.unwrap();
    for _ in 0..2 {
        assert_eq!(http("/otp/SMS/verify", r#"{"verificationCode":"000000"}"#).await, StatusCode::CONFLICT);
    }
    assert_eq!(refused(grpc.verify("SMS", Some("000000")).await), precondition("VERIFICATION_CODE_INVALID"));
    let third = step_up.verify_otp(&alice(), "SMS", "000000").await;
    assert_eq!(third, Err(ChallengeError::OneTryRemaining));
    assert_eq!(refused(grpc.verify("SMS", Some("000000")).await), precondition("CHALLENGE_LIMIT_EXCEEDED"));

    clock.advance(Duration::from_secs(15));
    assert_eq!(http("/otp/SMS", "").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused(grpc.start("SMS").await).0, Code::ResourceExhausted);
    assert!(matches!(step_up.start_otp(&alice(), "SMS", None).await, Err(ChallengeError::RateLimited(_))));
}

/// T6, T13: they also share one send budget. After three codes by any of them, the fourth is refused by all.
#[tokio::test]
async fn all_entry_points_share_one_budget() {
    for first in 0..3 {
        let clock = ManualClock::new();
        let step_up = builder().clock(clock.clone()).build().unwrap();
        let grpc = Client::of(&step_up).await;
        for (turn, allowed) in [true, true, true, false, false, false].into_iter().enumerate() {
            let (limit, wait) = match (first + turn) % 3 {
                0 => {
                    let mut request = http::Request::post("/otp/SMS").body(HttpBody::empty()).unwrap();
                    request.extensions_mut().insert(alice());
                    let answer = step_up.challenges().oneshot(request).await.unwrap();
                    let header =
                        |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
                    // HTTP says all limits in force; the other two say the one that was hit.
                    let limit = header("x-ratelimit-limit").map(|limit| {
                        assert_eq!(limit, "3, 3;w=300, 5;w=600, 15;w=3600, 30;w=86400");
                        "3, 3;w=300".to_owned()
                    });
                    (limit, header("retry-after").map(|wait| wait.parse().unwrap()))
                }
                1 => match grpc.user("alice").start("SMS").await {
                    Ok(()) => (None, None),
                    Err(status) => {
                        assert_eq!(says(&status), (Code::ResourceExhausted, "RATE_LIMITED".into()));
                        let metadata = metadata(&status);
                        (Some(format!("{0}, {0};w={1}", metadata["limit"], metadata["window"])), retry(&status))
                    }
                },
                _ => match step_up.start_otp(&alice(), "SMS", None).await {
                    Ok(()) => (None, None),
                    Err(ChallengeError::RateLimited(hit)) => {
                        let window = hit.window.unwrap().as_secs();
                        (Some(format!("{0}, {0};w={window}", hit.limit)), Some(hit.wait.as_secs()))
                    }
                    Err(other) => panic!("{other:?}"),
                },
            };
            let refused = (Some("3, 3;w=300".to_owned()), Some(300 - 15 * turn as u64));
            assert_eq!((limit, wait), if allowed { (None, None) } else { refused }, "{first}, turn {turn}");
            clock.advance(Duration::from_secs(15));
        }
    }
}

/// A start accepts the token of a refusal, and reports what is wrong with any other token.
#[tokio::test]
async fn a_start_may_be_bound() {
    let step_up = step_up();
    let describe = |_: &http::request::Parts, _: &[u8]| Some("Pay 10 EUR to bob".to_owned());
    let binding = Binding::new(Binding::uri_as_received, describe);
    let inner = tower::service_fn(async |_: http::Request<HttpBody>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(HttpBody::empty()))
    });
    let guarded = RequireStepUp::new(&step_up).bind(binding).layer(inner);
    let request = || {
        let mut request = http::Request::post("/payouts").body(HttpBody::from("10")).unwrap();
        request.extensions_mut().insert(alice());
        request
    };
    let refused = guarded.clone().oneshot(request()).await.unwrap();
    let Some(Refusal::StepUpRequired(unmet)) = refused.extensions().get() else { panic!("it passes") };
    let token = unmet.binding().unwrap();

    let mut client = Client::of(&step_up).await;
    let mut start = async |binding: &str| {
        let message = StartOtpRequest { channel: "SMS".into(), scope: None, binding: Some(binding.into()) };
        stamped(client.client.start_otp(by("alice", message)).await).map(drop)
    };
    let wrong = |error: &str| [("binding".to_owned(), error.to_owned())];
    assert_eq!(fields(start(" ").await), wrong("HAS_TEXT"));
    assert_eq!(fields(start("?").await), wrong("REGEX"));
    assert_eq!(fields(start(&"A".repeat(2049)).await), wrong("SIZE"));
    let of_another = format!("{}{}", &token[..token.len() - 2], if token.ends_with("AA") { "BA" } else { "AA" });
    assert_eq!(fields(start(&of_another).await), wrong("NOT_IN"));
    start(token).await.unwrap();
    client.verify("SMS", Some("123456")).await.unwrap();
    assert_eq!(guarded.clone().oneshot(request()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(guarded.oneshot(request()).await.unwrap().status(), StatusCode::FORBIDDEN, "it is spent");
}
