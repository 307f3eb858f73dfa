//! Responses that go on, and end with the step-up that let them begin.

mod attacked;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    response::Response,
    routing::{get, post},
};
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::Value;
use testkit::FaultyStore;
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};
use tower_step_up::{
    Binding, Caller, Ended, ManualClock, MemoryStore, RequireStepUp, Requirement, StepUp,
    guard::{EndingBody, StepUpLost},
};

/// A body that sends one chunk, and then nothing more.
fn open() -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"data: 1\n\n"))]);
    Body::from_stream(first.chain(stream::pending()))
}

fn typed(content_type: &'static str) -> Response {
    Response::builder().header(CONTENT_TYPE, content_type).body(open()).unwrap()
}

fn routes() -> Router {
    Router::new()
        .route("/events", get(async || typed("text/event-stream; charset=utf-8")))
        .route("/download", get(async || typed("application/octet-stream")))
        .route("/call", post(async || typed("application/grpc+proto")))
        .route("/short", get(async || "short"))
}

/// Two nodes with one store and one clock, and a session that has stepped up.
struct World {
    nodes: [StepUp; 2],
    store: FaultyStore,
    clock: ManualClock,
    alice: Caller,
}

impl World {
    async fn new() -> Self {
        let (store, clock) = (FaultyStore::default(), ManualClock::new());
        let node = || {
            let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard);
            let builder = builder.push("BIO", tower_step_up::discard).clock(clock.clone());
            store.on(builder).build().unwrap()
        };
        let (nodes, alice) = ([node(), node()], Caller::user("alice").session("1"));
        let world = Self { nodes, store: store.clone(), clock: clock.clone(), alice };
        world.step_up().await;
        world
    }

    /// Steps up on the other node.
    async fn step_up(&self) {
        self.nodes[1].start_otp(&self.alice, "SMS", None).await.unwrap();
        self.nodes[1].verify_otp(&self.alice, "SMS", "123456").await.unwrap();
    }

    async fn open(&self, path: &str) -> Watched {
        self.open_for(path, Requirement::new()).await
    }

    /// A response of the first node.
    async fn open_for(&self, path: &str, requirement: Requirement) -> Watched {
        let guard = RequireStepUp::with(&self.nodes[0], requirement).unwrap().ending();
        self.open_of(routes().layer(guard), path).await
    }

    async fn open_of(&self, app: Router, path: &str) -> Watched {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        if path == "/call" {
            *request.method_mut() = http::Method::POST;
            *request.version_mut() = http::Version::HTTP_2;
        }
        request.extensions_mut().insert(self.alice.clone());
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first == "data: 1\n\n" || first == "short", "{first:?}");
        Watched { body }
    }
}

struct Watched {
    body: Body,
}

/// The end of a response.
#[derive(Debug, PartialEq)]
enum End {
    Whole,
    Data(String),
    Trailers(String, String),
    Broken(Option<Ended>),
}

impl Watched {
    /// Whether nothing comes within ten seconds.
    async fn goes_on(&mut self) -> bool {
        timeout(Duration::from_secs(10), self.body.frame()).await.is_err()
    }

    /// How it ends, and after how many milliseconds.
    async fn end(&mut self) -> (End, u128) {
        let began = Instant::now();
        let frame = timeout(Duration::from_secs(60), self.body.frame()).await.expect("it goes on");
        let took = began.elapsed().as_millis();
        let end = match frame {
            None => End::Whole,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => End::Data(String::from_utf8(data.to_vec()).unwrap()),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap();
                    let text = |name: &str| trailers[name].to_str().unwrap().to_owned();
                    assert!(!text("grpc-status-details-bin").is_empty());
                    End::Trailers(text("grpc-status"), text("grpc-message"))
                }
            },
            Some(Err(error)) => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
                let mut why = None;
                while let Some(error) = cause {
                    why = why.or(error.downcast_ref().map(|lost: &StepUpLost| lost.why()));
                    cause = error.source();
                }
                End::Broken(why)
            }
        };
        if !matches!(end, End::Broken(_)) {
            assert!(self.body.frame().now_or_never().flatten().is_none(), "nothing comes after the end");
        }
        (end, took)
    }
}

/// The refusal in the last event.
fn event(reason: &str) -> End {
    let refusal = format!(
        "{{\"errorCode\":\"STEP_UP_REQUIRED\",\"message\":\"STEP_UP_REQUIRED\",\"reason\":\"{reason}\",\
         \"channels\":{{\"otp\":[\"SMS\"],\"push\":[\"BIO\"]}}}}"
    );
    End::Data(format!("event: step-up\ndata: {refusal}\n\n"))
}

/// A store may need a connection of its own to be listened to: not for every response that keeps its client waiting once.
#[tokio::test(start_paused = true)]
async fn a_store_is_not_listened_to_for_short_responses() {
    let world = World::new().await;
    for _ in 0..100 {
        let mut watched = world.open("/events").await;
        assert!(watched.body.frame().now_or_never().is_none());
        tokio::task::yield_now().await;
        drop(watched);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.store.listens(), 0);
    let mut watched = world.open("/events").await;
    assert!(watched.goes_on().await);
    assert_eq!(world.store.listens(), 1);
}

/// Each kind of response understands its end; each cause is noticed in time.
#[tokio::test(start_paused = true)]
async fn responses_end_with_the_step_up() {
    let status = |code: &str, message: &str| End::Trailers(code.into(), message.into());
    let denied = || status("7", "STEP_UP_REQUIRED");
    // A change in this process is noticed at once, one of another node in three seconds, or when the store tells of it, and
    // an end within one.
    let causes = [
        ("expires", 1_010),
        ("revoked", 10),
        ("dropped", 10),
        ("revoked elsewhere", 3_010),
        ("revoked elsewhere, and told", 10),
        ("moved elsewhere, and told", 10),
    ];
    for (cause, at_most) in causes {
        for path in ["/events", "/download", "/call"] {
            let world = World::new().await;
            world.store.set_telling(cause.ends_with("told"));
            let mut watched = world.open(path).await;
            assert!(watched.goes_on().await, "{cause} {path}");
            let [here, there] = &world.nodes;
            match cause {
                "expires" => world.clock.advance(Duration::from_secs(600)),
                "revoked" => here.revoke_all("alice").await.unwrap(),
                "dropped" => here.revoke(&world.alice).await.unwrap(),
                "moved elsewhere, and told" => {
                    there.transfer(&world.alice, &Caller::user("alice").session("2")).await.unwrap();
                }
                _ => there.revoke_all("alice").await.unwrap(),
            }
            let (end, took) = watched.end().await;
            let (reason, why) =
                if cause == "expires" { ("expired", Ended::Expired) } else { ("missing", Ended::Revoked) };
            let expected = match path {
                "/events" => event(reason),
                "/call" => denied(),
                _ => End::Broken(Some(why)),
            };
            assert_eq!(end, expected, "{cause} {path}");
            assert!(took <= at_most, "{cause} {path}: after {took} ms");
        }
    }
}

/// T26: a lock ends no grant, and no response.
#[tokio::test(start_paused = true)]
async fn a_lock_ends_no_response() {
    for node in [0, 1] {
        let world = World::new().await;
        let mut watched = world.open("/events").await;
        world.nodes[node].lock("alice").await.unwrap();
        assert!(watched.goes_on().await);
        world.nodes[node].revoke_all("alice").await.unwrap();
        assert_eq!(watched.end().await.0, event("missing"));
    }
}

/// A session that steps up again goes on; whatever else it is granted does not let it.
#[tokio::test(start_paused = true)]
async fn stepping_up_again_lets_it_go_on() {
    let world = World::new().await;
    let mut watched = world.open("/events").await;
    world.clock.advance(Duration::from_secs(590));
    world.step_up().await;
    world.clock.advance(Duration::from_secs(590));
    assert!(watched.goes_on().await, "the end has moved");
    let push = world.nodes[0].start_push(&world.alice, "BIO", None).await.unwrap();
    world.nodes[0].answer_push("alice", &push.id, tower_step_up::PushReply::Approve).await.unwrap();
    world.nodes[0].start_otp(&world.alice, "SMS", "payments").await.unwrap();
    world.nodes[0].verify_otp(&world.alice, "SMS", "123456").await.unwrap();
    assert!(watched.goes_on().await);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(watched.end().await.0, event("expired"), "another channel, or another scope");
}

/// Its life is a rule of its own: shorter than the grant's, or longer, until it is revoked.
#[tokio::test(start_paused = true)]
async fn it_lives_as_long_as_the_requirement_says() {
    let world = World::new().await;
    let for_ = |secs| Requirement::new().stream_for(Duration::from_secs(secs));
    let mut short = world.open_for("/events", for_(60)).await;
    let (mut long, mut revoked) =
        (world.open_for("/events", for_(3_000)).await, world.open_for("/events", for_(4_198)).await);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(short.end().await.0, event("expired"));
    world.clock.advance(Duration::from_secs(2_930));
    assert!(long.goes_on().await, "although the grant has expired");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(long.end().await.0, event("expired"));
    assert!(revoked.goes_on().await);
    world.nodes[1].revoke(&world.alice).await.unwrap();
    assert_eq!(revoked.end().await.0, event("missing"));
}

/// The request has consumed the grant itself, so its response goes on until the grant ends or is revoked.
#[tokio::test(start_paused = true)]
async fn a_consumed_grant_lets_its_own_response_go_on() {
    for revoked in [false, true] {
        let world = World::new().await;
        let mut watched = world.open_for("/events", Requirement::new().once()).await;
        assert!(watched.goes_on().await);
        if revoked {
            world.nodes[0].revoke(&world.alice).await.unwrap();
        } else {
            world.clock.advance(Duration::from_secs(600));
        }
        assert_eq!(watched.end().await.0, event(if revoked { "missing" } else { "expired" }));
    }
}

/// A mark of what was carried out stays after a revocation, and lets nothing go on.
#[tokio::test(start_paused = true)]
async fn a_bound_response_ends_with_its_grant() {
    let world = World::new().await;
    let describe = |_: &http::request::Parts, _: &[u8]| Some("Follow the payments".to_owned());
    let bound = RequireStepUp::new(&world.nodes[0]).bind(Binding::new(Binding::uri_as_received, describe));
    let app = routes().layer(bound.rebuild_with(Body::new).ending());
    let mut request = Request::get("/events").header("host", "bank.example").body(Body::empty()).unwrap();
    request.extensions_mut().insert(world.alice.clone());
    let refused = app.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let binding = serde_json::from_slice::<Value>(&refused).unwrap()["binding"].as_str().unwrap().to_owned();
    let purpose = tower_step_up::Purpose::new().binding(&binding);
    world.clock.advance(Duration::from_secs(15));
    world.nodes[0].start_otp(&world.alice, "SMS", purpose).await.unwrap();
    world.nodes[0].verify_otp(&world.alice, "SMS", "123456").await.unwrap();

    let mut request = Request::get("/events").header("host", "bank.example").body(Body::empty()).unwrap();
    request.extensions_mut().insert(world.alice.clone());
    let response = app.oneshot(request).await.unwrap();
    let mut watched = Watched { body: response.into_body() };
    assert!(watched.body.frame().await.unwrap().is_ok());
    assert!(watched.goes_on().await);
    world.nodes[1].revoke(&world.alice).await.unwrap();
    assert!(matches!(watched.end().await.0, End::Data(event) if event.contains("\"reason\":\"missing\"")));
}

/// Where nobody can say whether it was revoked, it ends; a short failure does not matter.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_lost_ends_it() {
    let world = World::new().await;
    let [mut events, mut call, mut download] =
        [world.open("/events").await, world.open("/call").await, world.open("/download").await];
    world.store.set_down(true);
    assert!(events.goes_on().await);
    world.store.set_down(false);
    assert!(events.goes_on().await);
    world.store.set_down(true);
    sleep(Duration::from_secs(19)).await;
    let unavailable = r#"{"errorCode":"UNAVAILABLE","message":"Temporarily unavailable; try again","retryAfter":1}"#;
    assert_eq!(events.end().await.0, End::Data(format!("event: step-up\ndata: {unavailable}\n\n")));
    assert_eq!(call.end().await.0, End::Trailers("14".into(), "Temporarily%20unavailable;%20try%20again".into()));
    assert_eq!(download.end().await.0, End::Broken(Some(Ended::StoreLost)));
}

/// It may be revoked between the guard's decision and the first byte.
#[tokio::test(start_paused = true)]
async fn a_revocation_before_the_first_byte_is_noticed() {
    let world = World::new().await;
    let guard = RequireStepUp::new(&world.nodes[0]).ending();
    let revoking = world.nodes[1].clone();
    let slow = get(move || {
        let revoking = revoking.clone();
        async move {
            revoking.revoke_all("alice").await.unwrap();
            typed("text/event-stream")
        }
    });
    let mut watched = world.open_of(Router::new().route("/events", slow).layer(guard), "/events").await;
    let (end, took) = watched.end().await;
    assert_eq!(end, event("missing"));
    assert!(took <= 10, "after {took} ms");
}

/// Bodies that end by themselves are as they were, and are no longer watched.
#[tokio::test(start_paused = true)]
async fn what_ends_by_itself_is_not_touched() {
    let world = World::new().await;
    let mut short = world.open("/short").await;
    assert_eq!(short.end().await.0, End::Whole);
    let report = RequireStepUp::new(&world.nodes[0]).report_only().ending();
    world.nodes[0].revoke_all("alice").await.unwrap();
    let mut watched = world.open_of(routes().layer(report), "/events").await;
    assert!(watched.goes_on().await, "it has passed without a grant");

    let world = World::new().await;
    let chunks = || stream::iter((0..100).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1024]))));
    let route = get(move || async move { Response::new(Body::from_stream(chunks())) });
    let app = Router::new().route("/", route).layer(RequireStepUp::new(&world.nodes[0]).ending());
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(world.alice.clone());
    let body = app.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 100 * 1024);
}

/// Refusals are those of the guard, whatever the body.
#[tokio::test]
async fn refusals_are_as_ever() {
    let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build().unwrap();
    let inner = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(open())));
    let mut guarded = RequireStepUp::new(&step_up).ending().layer(inner);
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(Caller::user("alice").session("1"));
    let refused: Response<EndingBody<Body>> = guarded.call(request).await.unwrap();
    assert_eq!(refused.status(), 403);
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["reason"], "missing");
}

/// A handler that goes on itself, such as a WebSocket.
#[tokio::test(start_paused = true)]
async fn a_handler_waits_for_the_end_itself() {
    let world = World::new().await;
    let step_up = world.nodes[0].clone();
    let handler = move |caller: Caller| {
        let step_up = step_up.clone();
        async move { format!("{:?}", step_up.ended(&caller, &Requirement::new()).await) }
    };
    let app = Router::new().route("/", get(handler)).layer(RequireStepUp::new(&world.nodes[0]));
    for (revoked, expected) in [(true, "Revoked"), (false, "Expired")] {
        let world_alice = world.alice.clone();
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(world_alice);
        let answer = tokio::spawn(app.clone().oneshot(request));
        sleep(Duration::from_secs(5)).await;
        assert!(!answer.is_finished());
        if revoked {
            world.nodes[1].revoke(&world.alice).await.unwrap();
        } else {
            world.clock.advance(Duration::from_secs(600));
        }
        let body = answer.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
        world.clock.advance(Duration::from_secs(15));
        world.step_up().await;
    }
    assert_eq!(world.nodes[0].ended(&world.alice, &Requirement::new()).await, Ended::Revoked, "no grant");
}

/// The task ends with its runtime; a response on another one goes on to be watched.
#[test]
fn another_runtime_takes_the_watch_over() {
    let clock = ManualClock::new();
    let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).clock(clock.clone());
    let step_up = builder.store(MemoryStore::default()).build().unwrap();
    let alice = Caller::user("alice").session("1");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let open = async || {
        let app = routes().layer(RequireStepUp::new(&step_up).ending());
        let mut request = Request::get("/events").body(Body::empty()).unwrap();
        request.extensions_mut().insert(alice.clone());
        let mut body = app.oneshot(request).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().now_or_never().is_none());
        Watched { body }
    };
    let one = first.block_on(async {
        step_up.start_otp(&alice, "SMS", None).await.unwrap();
        step_up.verify_otp(&alice, "SMS", "123456").await.unwrap();
        open().await
    });
    let mut other = second.block_on(open());
    drop(first);
    drop(one);
    second.block_on(async {
        let ends = tokio::spawn(async move { other.end().await.0 });
        tokio::task::yield_now().await;
        step_up.revoke_all("alice").await.unwrap();
        assert!(matches!(ends.await.unwrap(), End::Data(_)));
    });
}

/// A thousand responses of as many sessions: each record is read once in three seconds, by one task.
#[tokio::test(start_paused = true)]
async fn many_responses_are_watched_by_one_task() {
    let (store, clock) = (FaultyStore::default(), ManualClock::new());
    let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).clock(clock.clone());
    let step_up = Arc::new(store.on(builder).build().unwrap());
    let app = routes().layer(RequireStepUp::new(&step_up).ending());
    let mut open = Vec::new();
    for session in 0..1_000 {
        let caller = Caller::user(session).session(session);
        step_up.start_otp(&caller, "SMS", None).await.unwrap();
        step_up.verify_otp(&caller, "SMS", "123456").await.unwrap();
        let mut request = Request::get("/events").body(Body::empty()).unwrap();
        request.extensions_mut().insert(caller);
        let mut body = app.clone().oneshot(request).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().now_or_never().is_none());
        open.push(Watched { body });
    }
    sleep(Duration::from_secs(30)).await;
    let before = store.operations();
    sleep(Duration::from_secs(30)).await;
    let reads = store.operations() - before;
    assert!((9_000..=11_000).contains(&reads), "{reads} reads in thirty seconds");
    clock.advance(Duration::from_secs(600));
    for watched in &mut open {
        assert_eq!(watched.end().await.0, {
            let End::Data(text) = event("expired") else { unreachable!() };
            End::Data(text.replace("[\"BIO\"]", "[]"))
        });
    }
    drop(open);
    sleep(Duration::from_secs(5)).await;
    let before = store.operations();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(store.operations(), before, "nothing is watched any longer");
}
