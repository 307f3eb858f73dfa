//! Where the server is, is asked: at first, and whenever the connection leads nowhere.

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

/// Says what it is told to say, and how often it was asked.
#[derive(Clone)]
struct Directory {
    says: Arc<dyn Fn() -> RedisResult<Client> + Send + Sync>,
    asked: Arc<AtomicUsize>,
    /// Each answer takes one.
    answers: Arc<Semaphore>,
    current: Arc<Mutex<String>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Directory {
    fn of(server: &Server) -> Self {
        let current = Arc::new(Mutex::new(server.address()));
        let address = Arc::clone(&current);
        Self { current, ..Self::saying(move || Client::open(address.lock().unwrap().as_str())) }
    }

    fn saying(says: impl Fn() -> RedisResult<Client> + Send + Sync + 'static) -> Self {
        Self {
            says: Arc::new(says),
            asked: Arc::default(),
            answers: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            current: Arc::default(),
            told: Arc::default(),
        }
    }

    fn leads_to(&self, server: &Server) {
        *self.current.lock().unwrap() = server.address();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn store(&self) -> RedisStore {
        let directory = self.clone();
        let find = move || {
            let directory = directory.clone();
            directory.asked.fetch_add(1, Ordering::SeqCst);
            async move {
                directory.answers.acquire().await.unwrap().forget();
                (directory.says)()
            }
        };
        RedisStore::discover(find).unwrap()
    }

    fn node(&self, policy: Policy) -> StepUp {
        self.node_over(self.store(), policy)
    }

    fn node_over(&self, store: RedisStore, policy: Policy) -> StepUp {
        let told = Arc::clone(&self.told);
        StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .policy(policy)
            .store(store)
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([2; 32]).unwrap())
            .observe(move |event: &Event<'_>| {
                if let Event::StoreFailed { error, .. } = event {
                    told.lock().unwrap().push(error.to_string());
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

/// A thousand requests wait for one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_ask_once() {
    let server = Server::start();
    let directory = Directory { answers: Arc::new(Semaphore::new(0)), ..Directory::of(&server) };
    let node = directory.node(patient());
    assert_eq!(directory.asked(), 0, "nobody has asked for anything");
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { check(&node).await })
        })
        .collect();
    until(async || directory.asked() > 0).await;
    directory.answers.add_permits(1000);
    for answer in join_all(requests).await {
        assert_eq!(answer.unwrap(), missing());
    }
    assert_eq!(directory.asked(), 1);
}

/// Whoever waits gives up at the deadline; the search goes on, and the next ones find its answer.
#[tokio::test]
async fn a_slow_search_is_not_begun_anew_by_whoever_gives_up() {
    let server = Server::start();
    let directory = Directory { answers: Arc::new(Semaphore::new(0)), ..Directory::of(&server) };
    let hasty = directory.node(Policy::new());
    for _ in 0..4 {
        assert_eq!(check(&hasty).await, Err(AuthorizeError::Unavailable));
    }
    assert_eq!(directory.asked(), 1);
    directory.answers.add_permits(1);
    until(async || check(&hasty).await == missing()).await;
    assert_eq!(directory.asked(), 1);
}

/// Who never answers is asked again, after a while.
#[tokio::test(start_paused = true)]
async fn a_search_that_hangs_ends() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
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
    let asked = asked.load(Ordering::SeqCst);
    // A hundred deadlines of 250 ms.
    assert!((2..=3).contains(&asked), "{asked}");
}

/// Where the answer is a failure, that is the operation's, and the next one asks again. It may panic, too.
#[tokio::test]
async fn a_search_that_fails_is_begun_again_by_the_next_request() {
    let server = Server::start();
    let (address, number) = (server.address(), AtomicUsize::new(0));
    let directory = Directory::saying(move || match number.fetch_add(1, Ordering::SeqCst) {
        0 => Err((ErrorKind::MasterNameNotFoundBySentinel, "canary", "canary 10.0.0.1".to_owned()).into()),
        1 => panic!("this panic is part of the test"),
        2 => Client::open(format!("redis://canary:canary@127.0.0.1:{}/", Claim::new().port())),
        3 => Client::open("http://canary:canary@127.0.0.1/"),
        4 => Err(io::Error::other("canary").into()),
        _ => Client::open(&*address),
    });
    let node = directory.node(patient());
    for asked in 1..=5 {
        assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
        assert_eq!(directory.asked(), asked);
    }
    assert_eq!(check(&node).await, missing());
    let told = directory.told.lock().unwrap();
    let why = [
        "master name not found by sentinel",
        "client error",
        "connection refused",
        "invalid client config",
        "I/O error",
    ];
    assert_eq!(*told, why.map(|why| format!("the store failed: redis: {why}")));
}

/// Whoever is asked for the server may be hard pressed by then.
#[tokio::test(start_paused = true)]
async fn searches_that_fail_begin_ten_times_a_second_at_most() {
    let directory = Directory::saying(|| Err(io::Error::other("canary").into()));
    let node = directory.node(patient());
    let began = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
    }
    assert_eq!(directory.asked(), 20);
    let tenths = began.elapsed().as_millis() / 100;
    assert!((19..=20).contains(&tenths), "{tenths} tenths of a second");
}

/// Where the policy waits for longer than the connection does.
#[tokio::test]
async fn a_server_that_hangs_or_ends_is_told_so() {
    let mut server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    assert_eq!(check(&node).await, missing());
    server.signal("STOP");
    assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
    server.kill();
    assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
    let expected = ["timed out", "connection refused"].map(|why| format!("the store failed: redis: {why}"));
    assert_eq!(*directory.told.lock().unwrap(), expected);

    let closes = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("redis://{}/", closes.local_addr().unwrap());
    tokio::spawn(async move { while closes.accept().await.is_ok() {} });
    let directory = Directory::saying(move || Client::open(address.as_str()));
    assert_eq!(check(&directory.node(patient())).await, Err(AuthorizeError::Unavailable));
    assert_eq!(*directory.told.lock().unwrap(), ["the store failed: redis: connection lost"]);
}

/// As servers and what lies before them do with who says nothing for a while.
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    let server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    for round in 0..20 {
        let caller = Caller::user(format_args!("user {round}")).session("1");
        let close = async |is_seen: bool| {
            assert_eq!(server.say(&["CLIENT", "KILL", "TYPE", "normal"]), ":1\r\n");
            // By then it has mostly been seen here, which nothing tells; the next request is served either way.
            tokio::time::sleep(Duration::from_millis(if is_seen { 10 } else { 0 })).await;
        };
        node.start_otp(&caller, "SMS", None).await.unwrap();
        close(round % 2 == 0).await;
        node.verify_otp(&caller, "SMS", "123456").await.unwrap();
        close(round % 2 == 1).await;
        node.authorize(&caller, &Requirement::new()).await.unwrap();
    }
    assert_eq!(*directory.told.lock().unwrap(), [""; 0]);
}

/// The server is another one: after the old one was killed, hangs, or takes no writes any more.
#[tokio::test]
async fn whatever_happens_to_the_old_server_the_new_one_is_found() {
    for what in ["killed", "hangs", "read-only", "cut off from its replicas"] {
        let (mut old, new) = (Server::start(), Server::start());
        let directory = Directory::of(&old);
        let node = directory.node(Policy::new());
        until(async || node.start_otp(&alice(), "SMS", None).await.is_ok()).await;
        until(async || node.verify_otp(&alice(), "SMS", "123456").await.is_ok() || check(&node).await.is_ok()).await;
        directory.leads_to(&new);
        match what {
            "killed" => old.kill(),
            "hangs" => old.signal("STOP"),
            "cut off from its replicas" => drop(old.say(&["CONFIG", "SET", "min-replicas-to-write", "1"])),
            _ => drop(old.say(&["REPLICAOF", "127.0.0.1", "1"])),
        }
        until(async || node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await.is_ok()).await;
        assert_eq!(new.keys().len(), 2, "{what}: it is the new one");
        until(async || check(&node).await == missing()).await;
    }
}

/// A process that only guards writes nothing. It leaves a master that has become a replica all the same, where that is
/// told to answer `MASTERDOWN`.
#[tokio::test]
async fn a_guard_leaves_a_replica_that_does_not_answer_for_its_master() {
    let (old, new) = (Server::start(), Server::start());
    let directory = Directory::of(&old);
    let node = directory.node(Policy::new());
    until(async || node.start_otp(&alice(), "SMS", None).await.is_ok()).await;
    until(async || node.verify_otp(&alice(), "SMS", "123456").await.is_ok() || check(&node).await.is_ok()).await;
    directory.leads_to(&new);
    old.say(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    old.say(&["REPLICAOF", "127.0.0.1", "1"]);
    until(async || check(&node).await == missing()).await;
}

/// Who has waited for the old one hears that it is gone when the new one is in use, which is not left for that.
#[tokio::test]
async fn the_end_of_an_old_connection_is_not_that_of_the_new_one() {
    let (mut old, new) = (Server::start(), Server::start());
    let directory = Directory::of(&old);
    let store = directory.store();
    let waits = directory.node_over(store.clone(), patient());
    let hasty = directory.node_over(store, Policy::new());
    assert_eq!(check(&waits).await, missing());
    old.signal("STOP");
    directory.leads_to(&new);
    let waiting = tokio::spawn({
        let waits = waits.clone();
        async move { check(&waits).await }
    });
    until(async || check(&hasty).await == missing()).await;
    let asked = directory.asked();
    old.kill();
    assert_eq!(waiting.await.unwrap(), missing(), "and asks there");
    assert_eq!(check(&waits).await, missing());
    assert_eq!(directory.asked(), asked);
}

/// Clients go away all the time. That says nothing of a server that answers the others.
#[tokio::test]
async fn a_request_that_is_dropped_is_no_sign_of_a_server_that_hangs() {
    let server = Server::start();
    let directory = Directory::of(&server);
    let node = directory.node(patient());
    let began = Instant::now();
    until(async || {
        assert_eq!(check(&node).await, missing());
        began.elapsed() > Duration::from_millis(1100)
    })
    .await;
    let mut asked = directory.asked();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(check(&node).await, missing());
        {
            // Until it waits for the answer.
            let mut dropped = std::pin::pin!(check(&node));
            assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(dropped.as_mut().poll(cx).is_pending())).await);
        }
        // A machine that stands still for so long cannot be told from a server that does.
        if began.elapsed() < Duration::from_millis(100) {
            assert_eq!(check(&node).await, missing());
            assert_eq!(directory.asked(), asked);
        }
        asked = directory.asked();
    }
    assert!(asked < 10, "{asked}");
}

/// A server that is full is the right one all the same.
#[tokio::test]
async fn what_a_server_refuses_is_no_reason_to_leave_it() {
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
    assert_eq!(directory.asked(), 1);
}

/// One search at a time, however many find that the server hangs.
#[tokio::test]
async fn beside_a_connection_that_hangs_there_is_one_search() {
    let server = Server::start();
    let directory = Directory { answers: Arc::new(Semaphore::new(1)), ..Directory::of(&server) };
    let store = directory.store();
    assert_eq!(check(&directory.node_over(store.clone(), patient())).await, missing());
    let hasty = directory.node_over(store, Policy::new());
    server.signal("STOP");
    // Twelve deadlines of 250 ms.
    for _ in 0..12 {
        assert_eq!(check(&hasty).await, Err(AuthorizeError::Unavailable));
    }
    assert_eq!(directory.asked(), 2);
}

/// Also where everybody gives up before a pause could be told from a hang by their own waiting, and where they wait for
/// longer than the connection does.
#[tokio::test]
async fn a_server_that_hangs_is_left_however_short_or_long_the_deadline() {
    for deadline in [Duration::from_millis(50), Duration::from_secs(5)] {
        let (old, new) = (Server::start(), Server::start());
        let directory = Directory::of(&old);
        let node = directory.node(Policy::new().store_deadline(deadline));
        until(async || check(&node).await == missing()).await;
        directory.leads_to(&new);
        old.signal("STOP");
        let left = until(async || check(&node).await == missing());
        tokio::time::timeout(Duration::from_secs(30), left).await.expect("the new one is found");
    }
}

/// A server that pauses goes on serving after it, though nobody can say where another is.
#[tokio::test]
async fn a_connection_that_stands_is_kept_until_another_is_found() {
    let server = Server::start();
    let (address, asked) = (server.address(), AtomicUsize::new(0));
    let directory = Directory::saying(move || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Client::open(&*address),
        _ => Err(io::Error::other("nobody knows").into()),
    });
    let node = directory.node(Policy::new());
    until(async || check(&node).await == missing()).await;
    server.signal("STOP");
    until(async || {
        assert_eq!(check(&node).await, Err(AuthorizeError::Unavailable));
        directory.asked() > 1
    })
    .await;
    server.signal("CONT");
    until(async || check(&node).await == missing()).await;
}

/// A server that stays read-only, or slow, is not asked for with every request.
#[tokio::test]
async fn a_connection_that_stands_is_doubted_once_a_second() {
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
    let asked = directory.asked();
    assert!(asked <= 2 + seconds, "{asked} times in {seconds} seconds");
    assert_eq!(check(&node).await, missing(), "it can still be read");
}

/// The runtime of the store has gone: what is asked of it is refused, and nothing panics.
#[test]
fn without_its_runtime_everything_is_refused() {
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
