//! The guard as a Tower service: readiness, identity, refusals, and every way of applying it to a router.

use std::{convert::Infallible, future::Ready, task::Poll, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Extension,
    http::{Method, Request, Response, StatusCode, request::Parts},
    middleware::from_fn,
    routing::{any, get},
};
use http_body_util::BodyExt;
use testkit::{FaultyStore, alice};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_step_up::{
    Binding, Caller, ConfigError, ManualClock, Refusal, RefusalTerms, RequireStepUp, Requirement, StepUp, UnmetReason,
    discard,
};

const SECRET: &str = "the guarded body";

fn step_up() -> StepUp {
    StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).push("BIO", discard).build().unwrap()
}

fn on_a_store(store: &FaultyStore) -> StepUp {
    store.on(StepUp::builder().sandbox().otp("SMS", discard)).build().unwrap()
}

async fn verify(step_up: &StepUp, caller: &Caller, channel: &str, scope: Option<&str>) {
    step_up.start_otp(caller, channel, scope).await.unwrap();
    step_up.verify_otp(caller, channel, "123456").await.unwrap();
}

fn request(caller: Option<Caller>) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    request
}

async fn handler(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let grant = request.extensions().get::<Caller>().and_then(Caller::grant).cloned();
    Ok(Response::new(Body::from(grant.map_or("none".into(), |grant| grant.channel().to_owned()))))
}

async fn body(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

#[tokio::test]
async fn the_handler_reads_the_grant_and_a_refusal_its_reason() {
    let step_up = step_up();
    let mut guarded = RequireStepUp::new(&step_up).layer(service_fn(handler));

    let refused = guarded.ready().await.unwrap().call(request(Some(alice()))).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.extensions().get(), Some(&Refusal::StepUpRequired(UnmetReason::Missing.into())));
    let json = r#"{"errorCode":"STEP_UP_REQUIRED","message":"STEP_UP_REQUIRED","reason":"missing","channels":{"otp":["SMS","EMAIL"],"push":["BIO"]}}"#;
    assert_eq!(body(refused).await, json);

    verify(&step_up, &alice(), "SMS", None).await;
    let passed = guarded.ready().await.unwrap().call(request(Some(alice()))).await.unwrap();
    assert_eq!(passed.status(), 200);
    assert!(!passed.headers().contains_key("request-ref"), "the application's response is unchanged");
    assert_eq!(body(passed).await, "SMS");

    let mut head = request(Some(Caller::user("bob").session("1")));
    *head.method_mut() = Method::HEAD;
    let refused = guarded.ready().await.unwrap().call(head).await.unwrap();
    assert_eq!(refused.headers()["content-length"], json.len().to_string(), "the length for GET");
    assert_eq!((refused.status().as_u16(), body(refused).await.as_str()), (403, ""), "HEAD has no content");

    let nobody = guarded.ready().await.unwrap().call(request(None)).await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert_eq!(nobody.headers()["www-authenticate"], "StepUpSession");
    assert_eq!(nobody.extensions().get(), Some(&Refusal::NoCaller));
}

#[tokio::test]
async fn requirements_reach_the_client() {
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .push("BIO", discard)
        .public_path("/stepup/challenges")
        .build()
        .unwrap();
    let asked = Requirement::new().scope("payments").max_age(Duration::from_secs(120)).channels(["SMS"]);
    let mut guarded = RequireStepUp::with(&step_up, asked).unwrap().layer(service_fn(handler));
    let refused = guarded.call(request(Some(alice()))).await.unwrap();
    assert_eq!(
        body(refused).await,
        r#"{"errorCode":"STEP_UP_REQUIRED","message":"STEP_UP_REQUIRED","reason":"missing","scope":"payments","maxAge":120,"channels":{"otp":["SMS"],"push":[]},"start":["/stepup/challenges/otp/SMS"]}"#
    );
    verify(&step_up, &alice(), "SMS", None).await;
    let refused = guarded.call(request(Some(alice()))).await.unwrap();
    assert_eq!(refused.extensions().get(), Some(&Refusal::StepUpRequired(UnmetReason::WrongScope.into())));
    let other = Caller::user("alice").session("2");
    verify(&step_up, &other, "SMS", Some("payments")).await;
    assert_eq!(guarded.call(request(Some(other))).await.unwrap().status(), 200);

    let unknown = RequireStepUp::with(&step_up, Requirement::new().channels(["EMAIL"]));
    assert_eq!(unknown.err(), Some(ConfigError::UnknownChannel { channel: "EMAIL".into() }));
}

#[tokio::test]
async fn a_custom_refusal_keeps_the_required_headers() {
    let step_up = step_up();
    let shape = |refusal: &Refusal, terms: &RefusalTerms, parts: &Parts| {
        let scope = terms.requirement() == &Requirement::new().scope("payments");
        let text = format!("{refusal:?} {} {} {scope}", parts.method, terms.otp_channels().count());
        Response::builder().status(418).header("cache-control", "public").body(Body::from(text)).unwrap()
    };
    let payments = RequireStepUp::with(&step_up, Requirement::new().scope("payments")).unwrap();
    let mut guarded = payments.with_refusal_response(shape).layer(service_fn(handler));
    let refused = guarded.call(request(Some(alice()))).await.unwrap();
    assert_eq!(refused.status(), 418);
    assert_eq!(refused.headers()["cache-control"], "no-store");
    assert_eq!(refused.headers()["request-ref"].len(), 32);
    assert_eq!(refused.headers()["x-stepup-sandbox"], "true");
    assert_eq!(refused.extensions().get(), Some(&Refusal::StepUpRequired(UnmetReason::Missing.into())));
    assert_eq!(body(refused).await, "StepUpRequired(Unmet { reason: Missing, parts: [], .. }) GET 2 true");
}

/// T21: only the configured source of the identity counts, and the handler sees the caller that the guard used.
#[tokio::test]
async fn an_identity_from_another_source_does_not_count() {
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .identify(|parts: &Parts| {
            let mut users = parts.headers.get_all("user").iter();
            let user = users.next()?.to_str().ok()?;
            users.next().is_none().then(|| Caller::user(user).session("1"))
        })
        .build()
        .unwrap();
    verify(&step_up, &alice(), "SMS", None).await;
    let guarded = RequireStepUp::new(&step_up).layer(service_fn(handler));
    let status = async |users: &[&str], smuggled: Option<Caller>| {
        let mut request = request(smuggled);
        for user in users {
            request.headers_mut().append("user", user.parse().unwrap());
        }
        guarded.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(status(&["alice"], None).await, 200);
    assert_eq!(status(&["bob"], None).await, 403);
    assert_eq!(status(&["bob"], Some(alice())).await, 403);
    assert_eq!(status(&[], Some(alice())).await, 401);
    assert_eq!(status(&["alice", "alice"], None).await, 401);
    assert_eq!(status(&["alice"], Some(Caller::user("bob").session("1"))).await, 200);
}

/// A service that panics if it is called before `poll_ready`; a clone is not ready.
#[derive(Debug, Default)]
struct Insists {
    asked: bool,
}

impl Clone for Insists {
    fn clone(&self) -> Self {
        Self { asked: false }
    }
}

impl Service<Request<Body>> for Insists {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.asked), "called before poll_ready");
        std::future::ready(Ok(Response::new(Body::empty())))
    }
}

#[tokio::test]
async fn the_ready_service_gets_the_request() {
    let local = step_up();
    verify(&local, &alice(), "SMS", None).await;
    let mut guarded = RequireStepUp::new(&local).layer(Insists::default());
    for _ in 0..3 {
        assert_eq!(guarded.ready().await.unwrap().call(request(Some(alice()))).await.unwrap().status(), 200);
    }

    let store = FaultyStore::default();
    let remote = on_a_store(&store);
    verify(&remote, &alice(), "SMS", None).await;
    let mut guarded = RequireStepUp::new(&remote).layer(Insists::default());
    for _ in 0..3 {
        let first = guarded.ready().await.unwrap().call(request(Some(alice())));
        let second = guarded.ready().await.unwrap().call(request(Some(alice())));
        assert_eq!(second.await.unwrap().status(), 200);
        assert_eq!(first.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn readiness_is_forwarded_and_refused_requests_are_not() {
    let step_up = step_up();
    let (mut guarded, mut handle) =
        tower_test::mock::spawn_layer::<Request<Body>, Response<Body>, _>(RequireStepUp::new(&step_up));
    handle.allow(0);
    assert!(guarded.poll_ready().is_pending());
    handle.allow(1);
    assert!(matches!(guarded.poll_ready(), Poll::Ready(Ok(()))));
    let refused = guarded.call(request(Some(alice()))).await.unwrap();
    assert_eq!(refused.status(), 403);
    let mut next = std::pin::pin!(handle.next_request());
    let poll = next.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(poll.is_pending(), "the inner service got a refused request");
}

/// A bound guard is always ready: it waits for the inner service after it has read the request.
#[tokio::test]
async fn a_bound_guard_waits_for_the_inner_service_last() {
    let binding = || Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let layer = RequireStepUp::new(&step_up()).bind(binding());
    let (mut guarded, mut handle) = tower_test::mock::spawn_layer::<Request<Body>, Response<Body>, _>(layer);
    handle.allow(0);
    assert!(matches!(guarded.poll_ready(), Poll::Ready(Ok(()))));
    assert_eq!(guarded.call(request(None)).await.unwrap().status(), 401);
    // A refused request takes no capacity of the inner service, and does not wait for it.
    assert_eq!(guarded.call(request(Some(alice()))).await.unwrap().status(), 403);

    let never = RequireStepUp::new(&step_up()).when(|_| false);
    let mut guarded = never.bind(binding()).layer(Insists::default());
    assert_eq!(guarded.call(request(None)).await.unwrap().status(), 200, "a ready clone");
}

type Set = fn(&FaultyStore, bool);

/// T24 at the guard: 503 while the store fails or exceeds its deadline; requests pass again afterwards.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_refuses_with_503() {
    let store = FaultyStore::default();
    let step_up = on_a_store(&store);
    verify(&step_up, &alice(), "SMS", None).await;
    let guarded = RequireStepUp::new(&step_up).layer(service_fn(handler));
    let call = async || guarded.clone().oneshot(request(Some(alice()))).await.unwrap();
    for set in [FaultyStore::set_down as Set, FaultyStore::set_stuck] {
        assert_eq!(call().await.status(), 200);
        set(&store, true);
        let start = tokio::time::Instant::now();
        let refused = call().await;
        assert!(start.elapsed() <= Duration::from_millis(251));
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.extensions().get(), Some(&Refusal::Unavailable));
        assert_eq!(
            body(refused).await,
            r#"{"errorCode":"UNAVAILABLE","message":"Temporarily unavailable; try again","retryAfter":1}"#
        );
        set(&store, false);
    }
    let operations = store.operations();
    assert_eq!(call().await.status(), 200);
    assert_eq!(store.operations() - operations, 1, "one load per request");
}

async fn authenticate(mut request: axum::extract::Request, next: axum::middleware::Next) -> axum::response::Response {
    if let Some(user) = request.headers().get("user").and_then(|user| user.to_str().ok()).map(str::to_owned) {
        request.extensions_mut().insert(Caller::user(user).session("1"));
    }
    next.run(request).await
}

/// T22: for every spelling and method, a guarded body is sent only with a grant.
#[tokio::test]
async fn guard_and_router_agree_on_paths() {
    let step_up = step_up();
    let guard = RequireStepUp::new(&step_up);
    let open = || Router::new().route("/open", get(async || "open"));
    let secret = || any(async || SECRET);
    let apps: [(&str, Router); 5] = [
        ("layer", Router::new().route("/pay", secret()).fallback(async || SECRET).layer(guard.clone())),
        ("route_layer", Router::new().route("/pay", secret()).route_layer(guard.clone()).merge(open())),
        ("method router", open().route("/pay", secret().layer(guard.clone()))),
        ("service", open().route_service("/pay", guard.layer(secret()))),
        ("nested", open().nest("/pay", Router::new().route("/", secret()).layer(guard.clone()))),
    ];
    verify(&step_up, &Caller::user("bob").session("1"), "SMS", None).await;
    let spellings = [
        "/pay",
        "/pay/",
        "//pay",
        "/./pay",
        "/%70ay",
        "/PAY",
        "/pay?x=1",
        "/pay;x",
        "/pay#x",
        "/pay%2f",
        "/open/../pay",
        "/pay%00",
        "http://example.com/pay",
    ];
    for (name, app) in apps {
        let app = app.layer(from_fn(authenticate));
        for method in [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
            Method::from_bytes(b"PAY").unwrap(),
        ] {
            for path in spellings {
                for overriding in [None, Some("x-http-method-override"), Some("x-original-url"), Some("x-stepup-grant")]
                {
                    let mut request = Request::builder().method(&method).uri(path).header("user", "alice");
                    if let Some(header) = overriding {
                        request = request.header(header, "GET");
                    }
                    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                    let status = response.status();
                    assert!(!body(response).await.contains(SECRET), "{name} {method} {path}");
                    assert_ne!(status, StatusCode::OK, "{name} {method} {path}");
                }
            }
        }
        let passed = app.oneshot(Request::get("/pay").header("user", "bob").body(Body::empty()).unwrap()).await;
        assert_eq!(body(passed.unwrap()).await, SECRET, "{name}");
    }
}

/// What the README warns of: routes added after a layer are outside of it.
#[tokio::test]
async fn routes_added_later_are_not_guarded() {
    let step_up = step_up();
    let app = Router::new()
        .route("/before", get(async || ""))
        .route_layer(RequireStepUp::new(&step_up))
        .route("/after", get(async || ""))
        .layer(from_fn(authenticate));
    let status = async |path: &str| {
        let request = Request::get(path).header("user", "alice").body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!([status("/before").await, status("/after").await, status("/none").await], [403, 200, 404]);
}

/// With the authentication layer inside the guard, every request is refused.
#[tokio::test]
async fn the_wrong_order_of_layers_refuses_every_request() {
    let step_up = step_up();
    verify(&step_up, &alice(), "SMS", None).await;
    let app = Router::new()
        .route("/pay", get(async || SECRET))
        .layer(from_fn(authenticate))
        .layer(RequireStepUp::new(&step_up));
    let request = Request::get("/pay").header("user", "alice").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 401);
}

/// axum applies a layer to each route, and again when it rebuilds: the state is in the `StepUp`.
#[tokio::test]
async fn guards_of_one_step_up_share_its_state_and_may_be_nested() {
    let clock = ManualClock::new();
    let step_up =
        StepUp::builder().sandbox().otp("SMS", discard).otp("EMAIL", discard).clock(clock.clone()).build().unwrap();
    let by = |channel: &str| RequireStepUp::with(&step_up, Requirement::new().channels([channel])).unwrap();
    let seen = async |Extension(caller): Extension<Caller>| caller.grant().unwrap().channel().to_owned();
    let app = Router::new()
        .route("/both", get(seen).layer(by("SMS")))
        .layer(by("EMAIL"))
        .route("/sms", get(seen).layer(by("SMS")))
        .layer(from_fn(authenticate));
    let call = async |path: &str| {
        let request = Request::get(path).header("user", "alice").body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), body(response).await)
    };
    verify(&step_up, &alice(), "SMS", None).await;
    assert_eq!(call("/sms").await, (200, "SMS".into()));
    assert_eq!(call("/both").await.0, 403);
    clock.advance(Duration::from_secs(15));
    verify(&step_up, &alice(), "EMAIL", None).await;
    assert_eq!(call("/both").await, (200, "SMS".into()), "the innermost guard's grant");
    step_up.revoke(&alice()).await.unwrap();
    assert_eq!([call("/sms").await.0, call("/both").await.0], [403, 403]);
}

#[test]
fn debug_prints_no_secret() {
    let step_up = step_up();
    let guard = RequireStepUp::new(&step_up);
    let printed = format!("{step_up:?} {guard:?} {:?} {:?}", guard.layer(()), step_up.challenges());
    assert!(printed.contains("RequireStepUp") && !printed.contains("secret"), "{printed}");
}

/// A setter returns another guard: earlier clones and services do not change, and later setters keep earlier settings.
#[tokio::test]
async fn setters_return_another_guard() {
    let step_up = step_up();
    let status = async |guard: &RequireStepUp, method: Method| {
        let mut request = request(Some(alice()));
        *request.method_mut() = method;
        guard.layer(service_fn(handler)).oneshot(request).await.unwrap().status()
    };
    let guard = RequireStepUp::new(&step_up);
    let service = guard.layer(service_fn(handler));
    let writes = guard.clone().when(|request: &Parts| request.method != Method::GET);
    let reports = writes.clone().report_only();
    for (guard, of_get, of_post) in [(&guard, 403, 403), (&writes, 200, 403), (&reports, 200, 200)] {
        assert_eq!(status(guard, Method::GET).await, of_get);
        assert_eq!(status(guard, Method::POST).await, of_post);
    }
    assert_eq!(service.oneshot(request(Some(alice()))).await.unwrap().status(), 403, "made before");

    // The condition applies at every entry point, and stays with another refusal response.
    let shaped = writes.clone().with_refusal_response(|_: &Refusal, _: &RefusalTerms, _: &Parts| {
        Response::builder().status(StatusCode::IM_A_TEAPOT).body(Body::empty()).unwrap()
    });
    for (method, expected) in [(Method::GET, 200), (Method::POST, 418)] {
        let mut asked = request(Some(alice()));
        *asked.method_mut() = method.clone();
        let response = shaped.layer(service_fn(handler)).oneshot(asked).await.unwrap();
        assert_eq!(response.status(), expected);
        let mut parts = Request::builder().method(method).body(()).unwrap().into_parts().0;
        parts.extensions.insert(alice());
        let decided = writes.authorize::<Body>(&mut parts).await.map_err(|refusal| refusal.status());
        let expected = if expected == 200 { Ok(true) } else { Err(StatusCode::FORBIDDEN) };
        assert_eq!(decided.map(|grant| grant.is_none()), expected);
    }
}

/// A store that wraps the one in process counts as shared, because it may pass records on.
#[test]
fn a_wrapped_store_needs_the_secrets_of_a_shared_one() {
    let built = StepUp::builder().sandbox().otp("SMS", discard).store(FaultyStore::default()).build();
    assert_eq!(built.err(), Some(ConfigError::SecretRequired));
    let memory = tower_step_up::MemoryStore::new();
    assert!(StepUp::builder().sandbox().otp("SMS", discard).store(memory).build().is_ok());
}
