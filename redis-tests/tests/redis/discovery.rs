//! Discovery of the server: at first, and whenever the connection fails.

use std::{
    future::pending,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{Client, ErrorKind, RedisResult};
use testkit::alice;
use tokio::{net::TcpListener, sync::Semaphore};
use tower_step_up::{
    AuthorizeError, Caller, Event, Policy, Requirement, Secret, StepUp, UnmetReason, discard, store::RedisStore,
};

use crate::{
    nodes::patient,
    server::{Claim, Server, until},
};

/// A configurable source of the server's address, which counts its calls.
#[derive(Clone)]
struct Directory {
    answer: Arc<dyn Fn() -> RedisResult<Client> + Send + Sync>,
    searches: Arc<AtomicUsize>,
    /// Each answer takes one permit.
    answers: Arc<Semaphore>,
    current: Arc<Mutex<String>>,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Directory {
    fn of(server: &Server) -> Self {
        let current = Arc::new(Mutex::new(server.address()));
        let address = Arc::clone(&current);
        Self { current, ..Self::with(move || Client::open(address.lock().unwrap().as_str())) }
    }

    fn with(answer: impl Fn() -> RedisResult<Client> + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            searches: Arc::default(),
            answers: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            current: Arc::default(),
            errors: Arc::default(),
        }
    }

    fn set(&self, server: &Server) {
        *self.current.lock().unwrap() = server.address();
    }

    fn searches(&self) -> usize {
        self.searches.load(Ordering::SeqCst)
    }

    fn store(&self) -> RedisStore {
        let directory = self.clone();
        let find = move || {
            let directory = directory.clone();
            directory.searches.fetch_add(1, Ordering::SeqCst);
            async move {
                directory.answers.acquire().await.unwrap().forget();
                (directory.answer)()
            }
        };
        RedisStore::discover(find).unwrap()
    }

    fn node(&self, policy: Policy) -> StepUp {
        self.node_over(self.store(), policy)
    }

    fn node_over(&self, store: RedisStore, policy: Policy) -> StepUp {
        let errors = Arc::clone(&self.errors);
        StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .policy(policy)
            .store(store)
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([2; 32]).unwrap())
            .observe(move |event: &Event<'_>| {
                if let Event::StoreFailed { error, .. } = event {
                    errors.lock().unwrap().push(error.to_string());
                }
            })
            .build()
            .unwrap()
    }
}

async fn check(node: &StepUp) -> Result<(), AuthorizeError> {
    node.authorize(&alice(), &Requirement::new()).await.map(drop)
}

fn missing() -> Result<(), AuthorizeError> {
    Err(AuthorizeError::StepUpRequired(UnmetReason::Missing.into()))
}

/// A thousand requests wait for one search.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_one_search() {
    let server = Server::start();
    let directory = Directory { answers: Arc::new(Semaphore::new(0)), ..Directory::of(&server) };
    let node = directory.node(patient());
    assert_eq!(directory.searches(), 0, "no search without a request");
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { check(&node).await })
        })
        .collect();
    until(async || directory.searches() > 0).await;
    directory.answers.add_permits(1000);
    for answer in join_all(requests).await {
        assert_eq!(answer.unwrap(), missing());
    }
    assert_eq!(directory.searches(), 1);
}

/// A request gives up at its deadline; the search continues, and later requests use its result.
#[tokio::test]
async fn a_slow_search_is_not_restarted_by_requests_that_give_up() {
    let server = Server::start();
    let directory = Directory { answers: Arc::new(Semaphore::new(0)), ..Directory::of(&server) };
    let hasty = directory.node(Policy::new());
    for _ in 0..4 {
        assert_eq!(check(&hasty).await, Err(AuthorizeError::Unavailable));
    }
    assert_eq!(directory.searches(), 1);
    directory.answers.add_permits(1);
    until(async || check(&hasty).await == missing()).await;
    assert_eq!(directory.searches(), 1);
}

/// A search that hangs is repeated after a time.
#[tokio::test(start_paused = true)]
async fn a_search_that_hangs_ends() {
    let searches = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&searches);
    let find = move || {
        counts.fetch_add(1, Ordering::SeqCst);
        pending::<RedisResult<Client>>()
    };
    let store = RedisStore::discover(find).unwrap();
    let node = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .store(store)
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([2; 32]).unwrap());
    let node = node.build().unwrap();
    for _ in 0..100 {
        assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
    }
    let searches = searches.load(Ordering::SeqCst);
    // A hundred store deadlines of 250 ms.
    assert!((2..=3).contains(&searches), "{searches}");
}

/// The error of a search is the error of the operation, and the next request searches again. A search may also panic.
#[tokio::test]
async fn a_failed_search_is_repeated_by_the_next_request() {
    let server = Server::start();
    let (address, number) = (server.address(), AtomicUsize::new(0));
    let directory = Directory::with(move || match number.fetch_add(1, Ordering::SeqCst) {
        0 => Err((ErrorKind::MasterNameNotFoundBySentinel, "canary", "canary 10.0.0.1".to_owned()).into()),
        1 => panic!("this panic is part of the test"),
        2 => Client::open(format!("redis://canary:canary@127.0.0.1:{}/", Claim::new().port())),
        3 => Client::open("http://canary:canary@127.0.0.1/"),
        4 => Err(io::Error::other("canary").into()),
        _ => Client::open(&*address),
    });
    let node = directory.node(patient());
    for searches in 1..=5 {
        assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
        assert_eq!(directory.searches(), searches);
    }
    assert_eq!(check(&node).await, missing());
    let errors = directory.errors.lock().unwrap();
    let why = [
        "master name not found by sentinel",
        "client error",
        "connection refused",
        "invalid client config",
        "I/O error",
    ];
    assert_eq!(*errors, why.map(|why| format!("the store failed: redis: {why}")));
}

/// Failed searches are rate-limited, so that the directory is not overloaded.
#[tokio::test(start_paused = true)]
async fn failed_searches_start_at_most_ten_times_a_second() {
    let directory = Directory::with(|| Err(io::Error::other("canary").into()));
    let node = directory.node(patient());
    let began = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
    }
    assert_eq!(directory.searches(), 20);
    let tenths = began.elapsed().as_millis() / 100;
    assert!((19..=20).contains(&tenths), "{tenths} tenths of a second");
}

/// With a store deadline longer than the connection's timeout.
#[tokio::test]
async fn errors_say_whether_a_server_hangs_or_ended() {
    let mut server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    assert_eq!(check(&node).await, missing());
    server.signal("STOP");
    assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
    server.kill();
    assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
    let expected = ["timed out", "connection refused"].map(|why| format!("the store failed: redis: {why}"));
    assert_eq!(*directory.errors.lock().unwrap(), expected);

    let closes = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("redis://{}/", closes.local_addr().unwrap());
    tokio::spawn(async move { while closes.accept().await.is_ok() {} });
    let directory = Directory::with(move || Client::open(address.as_str()));
    assert_eq!(check(&directory.node(patient())).await, Err(AuthorizeError::Unavailable));
    assert_eq!(*directory.errors.lock().unwrap(), ["the store failed: redis: connection lost"]);
}

/// Servers and proxies close idle connections.
#[tokio::test]
async fn a_closed_idle_connection_fails_no_request() {
    let server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    for round in 0..20 {
        let caller = Caller::user(format_args!("user {round}")).session("1");
        let close = async |is_seen: bool| {
            assert_eq!(server.say(&["CLIENT", "KILL", "TYPE", "normal"]), ":1\r\n");
            // The close has usually been noticed by then; the next request passes either way.
            tokio::time::sleep(Duration::from_millis(if is_seen { 10 } else { 0 })).await;
        };
        node.start_otp(&caller, "SMS", None).await.unwrap();
        close(round % 2 == 0).await;
        node.verify_otp(&caller, "SMS", "123456").await.unwrap();
        close(round % 2 == 1).await;
        node.authorize(&caller, &Requirement::new()).await.unwrap();
    }
    assert_eq!(*directory.errors.lock().unwrap(), [""; 0]);
}

/// A new server is found after the old one was killed, hangs, or refuses writes.
#[tokio::test]
async fn the_new_server_is_found_in_every_case() {
    for what in ["killed", "hangs", "read-only", "cut off from its replicas"] {
        let (mut old, new) = (Server::start(), Server::start());
        let directory = Directory::of(&old);
        let node = directory.node(Policy::new());
        until(async || node.start_otp(&alice(), "SMS", None).await.is_ok()).await;
        until(async || node.verify_otp(&alice(), "SMS", "123456").await.is_ok() || check(&node).await.is_ok()).await;
        directory.set(&new);
        match what {
            "killed" => old.kill(),
            "hangs" => old.signal("STOP"),
            "cut off from its replicas" => drop(old.say(&["CONFIG", "SET", "min-replicas-to-write", "1"])),
            _ => drop(old.say(&["REPLICAOF", "127.0.0.1", "1"])),
        }
        until(async || node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await.is_ok()).await;
        assert_eq!(new.keys().len(), 2, "{what}: on the new server");
        until(async || check(&node).await == missing()).await;
    }
}

/// A process with only guards writes nothing. It still leaves a master that became a replica and responds with
/// `MASTERDOWN`.
#[tokio::test]
async fn a_guard_leaves_a_replica_that_responds_with_masterdown() {
    let (old, new) = (Server::start(), Server::start());
    let directory = Directory::of(&old);
    let node = directory.node(Policy::new());
    until(async || node.start_otp(&alice(), "SMS", None).await.is_ok()).await;
    until(async || node.verify_otp(&alice(), "SMS", "123456").await.is_ok() || check(&node).await.is_ok()).await;
    directory.set(&new);
    old.say(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    old.say(&["REPLICAOF", "127.0.0.1", "1"]);
    until(async || check(&node).await == missing()).await;
}

/// Requests that still wait on the old connection fail after the new one is in use; the new one is kept.
#[tokio::test]
async fn the_end_of_an_old_connection_leaves_the_new_one() {
    let (mut old, new) = (Server::start(), Server::start());
    let directory = Directory::of(&old);
    let store = directory.store();
    let waits = directory.node_over(store.clone(), patient());
    let hasty = directory.node_over(store, Policy::new());
    assert_eq!(check(&waits).await, missing());
    old.signal("STOP");
    directory.set(&new);
    let waiting = tokio::spawn({
        let waits = waits.clone();
        async move { check(&waits).await }
    });
    until(async || check(&hasty).await == missing()).await;
    let searches = directory.searches();
    old.kill();
    assert_eq!(waiting.await.unwrap(), missing(), "retried on the new server");
    assert_eq!(check(&waits).await, missing());
    assert_eq!(directory.searches(), searches);
}

/// Dropped requests do not indicate a hung connection if other requests get responses.
#[tokio::test]
async fn dropped_requests_do_not_indicate_a_hung_server() {
    let server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    let began = Instant::now();
    until(async || {
        assert_eq!(check(&node).await, missing());
        began.elapsed() > Duration::from_millis(1100)
    })
    .await;
    let mut searches = directory.searches();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(check(&node).await, missing());
        {
            // Until it waits for the response.
            let mut dropped = std::pin::pin!(check(&node));
            assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(dropped.as_mut().poll(cx).is_pending())).await);
        }
        // If the machine stalled for this long, it cannot be distinguished from a hung server.
        if began.elapsed() < Duration::from_millis(100) {
            assert_eq!(check(&node).await, missing());
            assert_eq!(directory.searches(), searches);
        }
        searches = directory.searches();
    }
    assert!(searches < 10, "{searches}");
}

/// Out of memory is no reason to search for another server.
#[tokio::test]
async fn a_refused_write_is_no_reason_to_leave_the_server() {
    let server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    assert_eq!(check(&node).await, missing());
    server.say(&["CONFIG", "SET", "maxmemory", "1"]);
    let began = Instant::now();
    until(async || {
        assert!(node.start_otp(&alice(), "SMS", None).await.is_err());
        began.elapsed() > Duration::from_millis(1200)
    })
    .await;
    assert_eq!(directory.searches(), 1);
}

/// One search at a time, also if many requests notice that the server hangs.
#[tokio::test]
async fn a_hung_connection_starts_one_search() {
    let server = Server::start();
    let directory = Directory { answers: Arc::new(Semaphore::new(1)), ..Directory::of(&server) };
    let store = directory.store();
    assert_eq!(check(&directory.node_over(store.clone(), patient())).await, missing());
    let hasty = directory.node_over(store, Policy::new());
    server.signal("STOP");
    // Twelve store deadlines of 250 ms.
    for _ in 0..12 {
        assert_eq!(check(&hasty).await, Err(AuthorizeError::Unavailable));
    }
    assert_eq!(directory.searches(), 2);
}

/// With store deadlines shorter and longer than the time after which a connection counts as hung.
#[tokio::test]
async fn a_hung_server_is_left_with_any_deadline() {
    for deadline in [Duration::from_millis(50), Duration::from_secs(5)] {
        let (old, new) = (Server::start(), Server::start());
        let directory = Directory::of(&old);
        let node = directory.node(Policy::new().store_deadline(deadline));
        until(async || check(&node).await == missing()).await;
        directory.set(&new);
        old.signal("STOP");
        let left = until(async || check(&node).await == missing());
        tokio::time::timeout(Duration::from_secs(30), left).await.expect("the new one is found");
    }
}

/// After a pause the server is used again, if no other is found.
#[tokio::test]
async fn a_connection_is_kept_until_another_is_found() {
    let server = Server::start();
    let (address, searches) = (server.address(), AtomicUsize::new(0));
    let directory = Directory::with(move || match searches.fetch_add(1, Ordering::SeqCst) {
        0 => Client::open(&*address),
        _ => Err(io::Error::other("nobody knows").into()),
    });
    let node = directory.node(Policy::new());
    until(async || check(&node).await == missing()).await;
    server.signal("STOP");
    until(async || {
        assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
        directory.searches() > 1
    })
    .await;
    server.signal("CONT");
    until(async || check(&node).await == missing()).await;
}

/// While a server stays read-only or slow, not every request starts a search.
#[tokio::test]
async fn a_connection_is_doubted_once_a_second() {
    let server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    assert_eq!(check(&node).await, missing());
    server.say(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    server.say(&["REPLICAOF", "127.0.0.1", "1"]);
    let began = Instant::now();
    for _ in 0..200 {
        assert!(node.start_otp(&alice(), "SMS", None).await.is_err());
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let searches = directory.searches();
    assert!(searches <= 2 + seconds, "{searches} times in {seconds} seconds");
    assert_eq!(check(&node).await, missing(), "reads still work");
}

/// After the runtime of the store has ended, operations fail and nothing panics.
#[test]
fn without_its_runtime_every_operation_fails() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let first = runtime();
    let node = first.block_on(async { Directory::of(&server).node(Policy::new()) });
    assert_eq!(first.block_on(check(&node)), missing());
    drop(first);
    let second = runtime();
    for _ in 0..3 {
        assert_eq!(second.block_on(check(&node)), Err(AuthorizeError::Unavailable));
    }
}

#[tokio::test]
async fn debug_prints_no_address() {
    let store = RedisStore::open("redis://canary:canary@canary.example/").unwrap();
    assert!(!format!("{store:?}").contains("canary"));
}
