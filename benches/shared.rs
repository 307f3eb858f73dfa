//! A guarded route on Redis compared with the store in process, in alternating batches, at several numbers of concurrent
//! requests; one guarded request alone compared with one `GET` on a socket; and the memory of a stepped-up user in
//! Redis: `cargo bench -p benches --bench shared --features servers`. It starts its own server.

use std::{
    convert::Infallible,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use axum::body::Body;
use cpu_time::ProcessTime;
use futures_util::future::join_all;
use http::{Request, Response};
use testkit::server::Server;
use tower::{Service, service_fn};
use tower_step_up::{Caller, Policy, RequireStepUp, StepUp, discard};

/// Concurrent requests.
const TASKS: [usize; 4] = [1, 64, 256, 1024];
const REQUESTS: usize = 50_000;
const BATCHES: usize = 7;
/// Requests one after the other in a batch.
const ALONE: usize = 2_000;
const USERS: usize = 2_000;

fn user(i: usize) -> Caller {
    Caller::user(format_args!("user {i}")).session(format_args!("session {i}"))
}

async fn step_up(node: &StepUp, users: usize) {
    for i in 0..users {
        node.start_otp(&user(i), "SMS", None).await.expect("it starts");
        node.verify_otp(&user(i), "SMS", "123456").await.expect("it is right");
    }
}

/// Sends guarded requests one after the other.
async fn requests(node: StepUp, first: usize, count: usize) {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut guarded = RequireStepUp::new(&node).layer(inner);
    for i in 0..count {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(user((first + i) % 100));
        let Ok(response) = guarded.call(request).await;
        assert_eq!(response.status(), 200);
    }
}

/// Requests per second, and microseconds of CPU time that this process takes for each.
async fn rate(node: &StepUp, tasks: usize) -> (f64, f64) {
    let each = if tasks == 1 { ALONE } else { REQUESTS / tasks };
    let (began, cpu) = (Instant::now(), ProcessTime::now());
    let tasks = (0..tasks).map(|task| tokio::spawn(requests(node.clone(), task * 31, each)));
    let tasks = join_all(tasks).await.into_iter().map(|done| done.expect("it passes")).count();
    #[expect(clippy::cast_precision_loss, reason = "fifty thousand")]
    let requests = (tasks * each) as f64;
    (requests / began.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64() * 1e6 / requests)
}

/// Microseconds of one `GET`, sent on a socket without a client library.
async fn bare(server: &Server) -> f64 {
    let key = server.keys().swap_remove(0);
    let command = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    socket.set_nodelay(true).expect("it is a socket");
    let gets = move || {
        let mut answer = [0; 4096];
        let began = Instant::now();
        for _ in 0..ALONE {
            socket.write_all(command.as_bytes()).expect("it is sent");
            assert!(socket.read(&mut answer).is_ok_and(|read| read > 5), "a record");
        }
        #[expect(clippy::cast_precision_loss, reason = "two thousand")]
        let gets = ALONE as f64;
        began.elapsed().as_secs_f64() * 1e6 / gets
    };
    tokio::task::spawn_blocking(gets).await.expect("it does not panic")
}

/// Median and quartiles.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let [low, median, high] = [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4]);
    if median < 100.0 {
        format!("{median:.2} ({low:.2} to {high:.2})")
    } else {
        format!("{median:.0} ({low:.0} to {high:.0})")
    }
}

fn used(server: &Server) -> i64 {
    let info = server.say(&["INFO", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it says so");
    line.trim().parse().expect("it is a number")
}

#[tokio::main]
async fn main() {
    let server = Server::start();
    let patient = Policy::new().store_deadline(Duration::from_secs(10));
    let shared = server.node_with(patient);
    let here = StepUp::builder().sandbox().otp("SMS", discard).build().expect("it is sound");
    step_up(&here, 100).await;
    step_up(&shared, 100).await;
    let before = used(&server);
    let began = Instant::now();
    for i in 100..100 + USERS {
        shared.start_otp(&user(i), "SMS", None).await.expect("it starts");
        shared.verify_otp(&user(i), "SMS", "123456").await.expect("it is right");
    }
    let pairs = began.elapsed().as_secs_f64() / f64::from(u32::try_from(USERS).unwrap_or(u32::MAX));
    let bytes = (used(&server) - before) / i64::try_from(USERS).unwrap_or(i64::MAX);
    println!("a stepped-up user in Redis: {bytes} bytes; start and verify one after the other: {:.2} ms", pairs * 1e3);

    for tasks in TASKS {
        let [mut local, mut remote, mut ratios, mut cpu] = [const { Vec::new() }; 4];
        for _ in 0..BATCHES {
            let ((a, _), (b, micros)) = (rate(&here, tasks).await, rate(&shared, tasks).await);
            local.push(a);
            remote.push(b);
            ratios.push(a / b);
            cpu.push(micros);
        }
        let [local, remote, ratios, cpu] = [local, remote, ratios, cpu].map(spread);
        println!(
            "{tasks:4} at once, a second: {local} in process, {remote} on Redis, with {cpu} µs of CPU time for each;"
        );
        println!("     in process is {ratios} times as fast");
    }

    let (mut guarded, mut gets, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 * BATCHES {
        let (a, b) = (1e6 / rate(&shared, 1).await.0, bare(&server).await);
        guarded.push(a);
        gets.push(b);
        ratios.push(a / b);
    }
    let (guarded, gets, ratios) = (spread(guarded), spread(gets), spread(ratios));
    println!("one guarded request alone: {guarded} µs; one GET on a socket: {gets} µs; {ratios} times as long");
}
