//! Attacks on responses that end: what must not end them, what must, and how their clients see it.

use std::io::Error;

use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;
use tower_step_up::{
    Proof, Purpose, Store, discard,
    store::{Change, Key, StoreError, Stored, Swapped},
};

const SKEW: u64 = 2;

fn node(store: &FaultyStore, clock: &ManualClock) -> StepUp {
    store
        .on(StepUp::builder().sandbox().otp("SMS", discard).proof("TOTP").push("BIO", discard).clock(clock.clone()))
        .build()
        .unwrap()
}

async fn call(app: &Router, path: &str, alice: &Caller) -> http::Response<Body> {
    let mut request = Request::get(path).header("host", "bank.example").body(Body::empty()).unwrap();
    request.extensions_mut().insert(alice.clone());
    app.clone().oneshot(request).await.unwrap()
}

/// A report-only guard with a grant that satisfies: "changes no byte", "report-only does not end".
#[tokio::test(start_paused = true)]
async fn report_only_with_a_grant_ends_nothing() {
    let world = World::new().await;
    let guard = RequireStepUp::new(&world.nodes[0]).report_only().ending();
    let mut watched = world.open_of(routes().layer(guard), "/events").await;
    world.nodes[0].revoke_all("alice").await.unwrap();
    assert!(watched.goes_on().await, "report-only changes no byte");
}

/// An outer guard's grant; the inner guard does not apply (when), or only reports.
#[tokio::test(start_paused = true)]
async fn an_inner_guard_that_does_not_apply_ends_nothing() {
    for which in ["when", "report"] {
        let world = World::new().await;
        let inner = RequireStepUp::with(&world.nodes[0], Requirement::new().all_of(["SMS", "BIO"])).unwrap();
        let inner = if which == "when" { inner.when(|_| false) } else { inner.report_only() };
        let app = routes().layer(inner.ending()).layer(RequireStepUp::new(&world.nodes[0]));
        let mut watched = world.open_of(app, "/events").await;
        assert!(watched.goes_on().await, "{which}: nothing has expired and nothing was revoked");
    }
}

/// Each of several channels: a payment that was bound and consumed prolongs a stream.
#[tokio::test(start_paused = true)]
async fn bound_payments_do_not_prolong_all_of() {
    let (store, clock, alice) = (FaultyStore::default(), ManualClock::new(), Caller::user("alice").session("1"));
    let builder = StepUp::builder().sandbox().proof("TOTP").proof("KEY").clock(clock.clone());
    let step_up = store.on(builder).build().unwrap();
    let both = || Requirement::new().all_of(["TOTP", "KEY"]);
    for channel in ["TOTP", "KEY"] {
        step_up.record_proof(&alice, Proof::new(channel)).await.unwrap();
    }
    let app = routes().layer(RequireStepUp::with(&step_up, both()).unwrap().ending());
    let mut watched = Watched { body: call(&app, "/events", &alice).await.into_body() };
    watched.body.frame().await.unwrap().unwrap();
    clock.advance(Duration::from_secs(590));
    let describe = |_: &http::request::Parts, _: &[u8]| Some("Pay 1".to_owned());
    let bound = RequireStepUp::with(&step_up, both()).unwrap().bind(Binding::new(Binding::uri_as_received, describe));
    let pay = routes().layer(bound.rebuild_with(Body::new));
    let refused = call(&pay, "/short", &alice).await.into_body().collect().await.unwrap().to_bytes();
    let binding = serde_json::from_slice::<Value>(&refused).unwrap()["binding"].as_str().unwrap().to_owned();
    for channel in ["TOTP", "KEY"] {
        step_up.record_proof(&alice, Proof::new(channel).purpose(Purpose::new().binding(&binding))).await.unwrap();
    }
    assert_eq!(call(&pay, "/short", &alice).await.status(), 200);
    clock.advance(Duration::from_secs(11));
    assert!(step_up.authorize(&alice, &both()).await.is_err());
    assert!(!watched.goes_on().await, "its step-ups have expired; the others were for one payment");
}

fn of(headers: &'static [(&'static str, &'static str)], first: &'static str) -> Router {
    Router::new().route(
        "/events",
        get(move || async move {
            let chunks =
                stream::iter([Ok::<_, Infallible>(Bytes::from_static(first.as_bytes()))]).chain(stream::pending());
            let mut response = Response::builder();
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(Body::from_stream(chunks)).unwrap()
        }),
    )
}

async fn end_of(headers: &'static [(&'static str, &'static str)], first: &'static str) -> End {
    let world = World::new().await;
    let app = of(headers, first).layer(RequireStepUp::new(&world.nodes[0]).ending());
    let mut watched = Watched { body: call(&app, "/events", &world.alice).await.into_body() };
    watched.body.frame().await.unwrap().unwrap();
    world.nodes[0].revoke_all("alice").await.unwrap();
    watched.end().await.0
}

#[tokio::test(start_paused = true)]
async fn no_plain_text_after_a_compressed_body() {
    let end = end_of(&[("content-type", "text/event-stream"), ("content-encoding", "gzip")], "\x1f").await;
    assert!(matches!(end, End::Broken(_)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn other_types_that_begin_alike() {
    for kind in ["text/event-streaming", "text/event-stream+json", "application/grpcfoo"] {
        let end = match kind {
            "text/event-streaming" => end_of(&[("content-type", "text/event-streaming")], "x").await,
            "text/event-stream+json" => end_of(&[("content-type", "text/event-stream+json")], "x").await,
            _ => end_of(&[("content-type", "application/grpcfoo")], "x").await,
        };
        assert!(matches!(end, End::Broken(_)), "{kind}: {end:?}");
    }
}

/// What a client dispatches.
fn dispatched(text: &str) -> (Vec<String>, Option<String>) {
    let (mut events, mut data, mut id, mut last) = (vec![], vec![], None, None);
    for line in text.split('\n') {
        if line.is_empty() {
            last = id.clone().or(last);
            if !data.is_empty() {
                events.push(data.join("\n"));
            }
            data.clear();
        } else if let Some(value) = line.strip_prefix("data: ") {
            data.push(value.to_owned());
        } else if let Some(value) = line.strip_prefix("id: ") {
            id = Some(value.to_owned());
        }
    }
    (events, last)
}

/// A proxied stream's chunk ends within an event: what was cut must not be dispatched as if it was whole.
#[tokio::test(start_paused = true)]
async fn a_cut_event_is_not_dispatched() {
    let first = "id: 7\ndata: balance 5\n\nid: 12\ndata: balance 10";
    let mut text = first.to_owned();
    if let End::Data(more) = end_of(&[("content-type", "text/event-stream")], first).await {
        text += &more;
    }
    let (events, _) = dispatched(&text);
    assert!(!events.contains(&"balance 10".to_owned()), "cut from \"balance 1000\": {events:?}");
}

/// A body of declared length.
#[tokio::test(start_paused = true)]
async fn content_length_and_an_event() {
    let end = end_of(&[("content-type", "text/event-stream"), ("content-length", "100")], "data: 1").await;
    assert!(matches!(end, End::Broken(_)), "the event goes beyond the 100 bytes: {end:?}");
}

/// Trailers and errors are the end, though the inner body does not say so yet: nothing is added to either.
#[tokio::test(start_paused = true)]
async fn nothing_follows_trailers_or_an_error() {
    for content_type in ["text/event-stream", "application/grpc"] {
        for is_error in [false, true] {
            let world = World::new().await;
            let route = get(move || async move {
                let last = if is_error { Err(Error::other("inner")) } else { Ok(Frame::trailers(HeaderMap::new())) };
                let frames = stream::iter([Ok(Frame::data(Bytes::from_static(b"data: 1\n\n"))), last]);
                let body = Body::new(StreamBody::new(frames.chain(stream::pending())));
                http::Response::builder().header("content-type", content_type).body(body).unwrap()
            });
            let app = Router::new().route("/events", route).layer(RequireStepUp::new(&world.nodes[0]).ending());
            let mut body = call(&app, "/events", &world.alice).await.into_body();
            body.frame().await.unwrap().unwrap();
            assert_eq!(body.frame().await.unwrap().is_err(), is_error);
            let end = timeout(Duration::from_secs(60), body.frame()).await;
            assert!(end.expect("it has ended").is_none());
            assert!(http_body::Body::is_end_stream(&body));
        }
    }
}

/// One that has ended, and whose client does not read it, is not read any longer.
#[tokio::test(start_paused = true)]
async fn what_has_ended_is_not_read() {
    let world = World::new().await;
    let app = routes().layer(RequireStepUp::new(&world.nodes[0]).ending());
    let mut body = call(&app, "/events", &world.alice).await.into_body();
    body.frame().await.unwrap().unwrap();
    assert!(body.frame().now_or_never().is_none());
    sleep(Duration::from_secs(5)).await;
    let before = world.store.operations();
    sleep(Duration::from_secs(30)).await;
    let alive = world.store.operations() - before;
    world.clock.advance(Duration::from_secs(700));
    sleep(Duration::from_secs(5)).await;
    let before = world.store.operations();
    sleep(Duration::from_secs(30)).await;
    let ended = world.store.operations() - before;
    assert_eq!((alive, ended), (10, 0), "reads in 30 s alive, ended");
}

/// Two runtimes of one process, as with one for each thread: the first stays, but is not driven for a while.
#[test]
fn a_runtime_that_stands_still_stops_no_watch() {
    let step_up = StepUp::builder().sandbox().proof("TOTP").build().unwrap();
    let alice = Caller::user("alice").session("1");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let app = routes().layer(RequireStepUp::new(&step_up).ending());
    let open = async || {
        let mut body = call(&app, "/events", &alice).await.into_body();
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().now_or_never().is_none());
        body
    };
    let one = first.block_on(async {
        step_up.record_proof(&alice, Proof::new("TOTP")).await.unwrap();
        open().await
    });
    drop(one); // even though its response is gone
    second.block_on(async {
        let mut watched = Watched { body: open().await };
        step_up.revoke_all("alice").await.unwrap();
        assert!(!watched.goes_on().await, "revoked in this process ten seconds ago");
    });
    drop(first);
}

fn memory() -> (StepUp, Caller) {
    (StepUp::builder().sandbox().proof("TOTP").build().unwrap(), Caller::user("alice").session("1"))
}

/// d: bodies that are ready are neither watched nor read for.
#[tokio::test(start_paused = true)]
async fn ready_bodies_of_unknown_length_cost_no_read() {
    let world = World::new().await;
    let chunks = || stream::iter((0..3).map(|_| Ok::<_, Infallible>(Bytes::from_static(b"x"))));
    let app = Router::new().route("/", get(move || async move { Response::new(Body::from_stream(chunks())) }));
    let mut counts = vec![];
    for ending in [false, true] {
        let guard = RequireStepUp::new(&world.nodes[0]);
        let app = if ending { app.clone().layer(guard.ending()) } else { app.clone().layer(guard) };
        let before = world.store.operations();
        for _ in 0..100 {
            call(&app, "/", &world.alice).await.into_body().collect().await.unwrap();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        counts.push(world.store.operations() - before);
    }
    assert!(counts[1] <= counts[0] + 5, "reads for 100 requests without and with: {counts:?}");
}

/// e: through hyper, HTTP/1.1, a declared length: does the client see that it was cut?
#[tokio::test]
async fn http1_with_a_declared_length() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (step_up, alice) = memory();
    step_up.record_proof(&alice, Proof::new("TOTP")).await.unwrap();
    let app = of(&[("content-type", "text/event-stream"), ("content-length", "30")], "data: 1")
        .layer(RequireStepUp::new(&step_up).ending())
        .layer(axum::Extension(alice.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut tcp = tokio::net::TcpStream::connect(at).await.unwrap();
    tcp.write_all(
        b"GET /events HTTP/1.1\r\nhost: a\r\n\r\nGET /events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await
    .unwrap();
    sleep(Duration::from_millis(300)).await;
    step_up.revoke_all("alice").await.unwrap();
    let mut all = vec![];
    let _ = timeout(Duration::from_secs(3), tcp.read_to_end(&mut all)).await;
    let all = String::from_utf8_lossy(&all).into_owned();
    let body = all.split_once("\r\n\r\n").unwrap().1.to_owned();
    let first = body.split("HTTP/1.1").next().unwrap().to_owned();
    println!("body {first:?}; all {all:?}");
    assert_ne!(first.len(), 30, "the response looks whole: {first:?}");
}

/// e: gRPC over HTTP/1.1 without a TE/Trailer, as a proxy may do it.
#[tokio::test]
async fn http1_grpc_is_cut_visibly() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (step_up, alice) = memory();
    step_up.record_proof(&alice, Proof::new("TOTP")).await.unwrap();
    let app = of(&[("content-type", "application/grpc")], "data: 1")
        .layer(RequireStepUp::new(&step_up).ending())
        .layer(axum::Extension(alice.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut tcp = tokio::net::TcpStream::connect(at).await.unwrap();
    tcp.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(300)).await;
    step_up.revoke_all("alice").await.unwrap();
    let mut all = vec![];
    let _ = timeout(Duration::from_secs(3), tcp.read_to_end(&mut all)).await;
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(all.contains("grpc-status") || !all.ends_with("0\r\n\r\n"), "looks whole: {all:?}");
}

/// i: the engine and the routes are dropped.
#[tokio::test(start_paused = true)]
async fn dropped_engines() {
    let (store, clock, alice) = (FaultyStore::default(), ManualClock::new(), Caller::user("alice").session("1"));
    let [here, there] = [node(&store, &clock), node(&store, &clock)];
    there.record_proof(&alice, Proof::new("TOTP")).await.unwrap();
    let app = routes().layer(RequireStepUp::new(&here).ending());
    let mut watched = Watched { body: call(&app, "/events", &alice).await.into_body() };
    watched.body.frame().await.unwrap().unwrap();
    drop((app, here));
    assert!(watched.goes_on().await);
    there.revoke(&alice).await.unwrap();
    let (end, took) = watched.end().await;
    assert!(matches!(end, End::Data(_)) && took <= 3_010, "{end:?} {took}");
}

/// clock set back, and a node whose clock is ahead within the skew.
#[tokio::test(start_paused = true)]
async fn clocks() {
    let (store, alice) = (FaultyStore::default(), Caller::user("alice").session("1"));
    let (ahead, behind) = (ManualClock::new(), ManualClock::new());
    ahead.advance(Duration::from_secs(SKEW));
    let (here, there) = (node(&store, &behind), node(&store, &ahead));
    there.record_proof(&alice, Proof::new("TOTP")).await.unwrap();
    let app = routes().layer(RequireStepUp::new(&here).ending());
    let response = call(&app, "/events", &alice).await;
    println!("status {}", response.status());
    if response.status() != 200 {
        return;
    }
    let mut watched = Watched { body: response.into_body() };
    watched.body.frame().await.unwrap().unwrap();
    assert!(watched.goes_on().await);
    behind.advance(Duration::from_secs(599 + SKEW));
    assert!(watched.goes_on().await);
    let now = tower_step_up::Clock::now(&behind).as_millis();
    behind.set(tower_step_up::Timestamp::from_millis(now - 3_600_000));
    assert!(watched.goes_on().await);
    behind.set(tower_step_up::Timestamp::from_millis(now + 1_000));
    assert!(!watched.goes_on().await);
}

/// f: what a watched response keeps.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_gone_keeps_nothing() {
    let world = World::new().await;
    let app = routes().layer(RequireStepUp::new(&world.nodes[0]).ending());
    for _ in 0..1_000 {
        let mut body = call(&app, "/events", &world.alice).await.into_body();
        body.frame().await.unwrap().unwrap();
        let _ = body.frame().now_or_never();
    }
    sleep(Duration::from_secs(5)).await;
    let before = world.store.operations();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.store.operations(), before);
}

/// A non-atomic store conflicts after the first of two writes.
#[tokio::test(start_paused = true)]
async fn transfer_and_factors() {
    for what in ["factors", "transfer", "other"] {
        let world = World::new().await;
        let mut watched = world.open("/events").await;
        let other = Caller::user("alice").session("2");
        match what {
            "factors" => {
                world.nodes[0].factors_changed(&other).await.unwrap();
            }
            "transfer" => {
                world.nodes[0].transfer(&world.alice, &other).await.unwrap();
            }
            _ => {
                world.nodes[0].revoke(&other).await.unwrap();
                world.nodes[0].factors_changed(&world.alice).await.unwrap();
                world.nodes[1].lock("alice").await.unwrap();
                world.nodes[1].unlock("alice").await.unwrap();
                assert!(watched.goes_on().await);
                continue;
            }
        }
        let (end, took) = watched.end().await;
        assert!(end == event("missing") && took < 20, "{what} {end:?} {took}");
    }
}

/// A flood of writes of a watched session, on a slow store: others are still ended in time.
#[tokio::test(start_paused = true)]
async fn a_flood_of_writes_of_one_session_starves_no_other() {
    let (store, clock) = (FaultyStore::default(), ManualClock::new());
    let [here, there] = [node(&store, &clock), node(&store, &clock)];
    let app = routes().layer(RequireStepUp::new(&here).ending());
    let [one, two] = ["1", "2"].map(|id| Caller::user(id).session(id));
    let mut open = vec![];
    for caller in [&one, &two] {
        here.record_proof(caller, Proof::new("TOTP")).await.unwrap();
        let mut body = call(&app, "/events", caller).await.into_body();
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().now_or_never().is_none());
        open.push(Watched { body });
    }
    store.set_trip(Duration::from_millis(100));
    let flood = tokio::spawn(async move {
        for i in 0.. {
            here.record_proof(&one, Proof::new("TOTP").purpose(format!("s{}", i % 16).as_str())).await.ok();
        }
    });
    sleep(Duration::from_secs(5)).await;
    there.revoke(&two).await.unwrap();
    let (end, took) = open[1].end().await;
    flood.abort();
    assert!(matches!(end, End::Data(_)) && took <= 3_400, "{end:?} {took}");
}

/// A runtime without a time driver: nobody would notice the end, so it is one.
#[test]
fn a_runtime_without_time() {
    let (step_up, alice) = memory();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        step_up.record_proof(&alice, Proof::new("TOTP")).await.unwrap();
    });
    let app = routes().layer(RequireStepUp::new(&step_up).ending());
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let mut body = call(&app, "/events", &alice).await.into_body();
        body.frame().await.unwrap().unwrap();
        let last = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(String::from_utf8_lossy(&last).contains("UNAVAILABLE"));
    });
}

/// A store that panics for one record: the others are watched as ever, and that one ends as lost.
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_for_one_record() {
    #[derive(Clone, Default)]
    struct Panics(FaultyStore, Arc<std::sync::Mutex<(Option<Key>, Option<Key>)>>);
    impl Store for Panics {
        async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
            let panics = {
                let mut last = self.1.lock().unwrap();
                last.1 = Some(key);
                last.0 == Some(key)
            };
            assert!(!panics, "the store's own fault");
            self.0.load(key).await
        }
        async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
            self.0.swap(changes).await
        }
    }
    let store = Panics::default();
    let build = || {
        let [a, b] = [1, 7].map(|byte| tower_step_up::Secret::new([byte; 32]).unwrap());
        StepUp::builder().sandbox().proof("TOTP").store(store.clone()).record_key(a).secret(b).build().unwrap()
    };
    let [here, there] = [build(), build()];
    let app = routes().layer(RequireStepUp::new(&here).ending());
    let caller = |i: usize| Caller::user(i).session(i);
    let mut open = vec![];
    for i in 0..30 {
        here.record_proof(&caller(i), Proof::new("TOTP")).await.unwrap();
        let mut body = call(&app, "/events", &caller(i)).await.into_body();
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().now_or_never().is_none());
        open.push(Watched { body });
    }
    // Between two ticks, so that the last record read is this one.
    sleep(Duration::from_millis(4_500)).await;
    let _ = here.authorize(&caller(0), &Requirement::new()).await;
    {
        let mut last = store.1.lock().unwrap();
        last.0 = last.1;
    }
    for i in 1..30 {
        there.revoke(&caller(i)).await.unwrap();
    }
    for watched in &mut open[1..] {
        let (end, took) = watched.end().await;
        assert!(matches!(end, End::Data(text) if text.contains("missing")));
        assert!(took <= 3_010, "after {took} ms");
    }
    assert!(matches!(open[0].end().await.0, End::Data(text) if text.contains("UNAVAILABLE")));
}
