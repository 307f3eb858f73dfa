//! A full store under churn: users start, half of them verify, and their records expire after some seconds. The flood
//! asks for more places than the store has.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tower_step_up::{Caller, ChallengeError, Requirement, store::Key};

use crate::{
    heap::memory,
    world::{Longest, World, at_once, guarded, sent},
};

const CAPACITY: usize = 40_000;

/// Users whose requests are measured.
const USERS: usize = 1_000;

/// After this time a record expires.
const LIFETIME: Duration = Duration::from_secs(3);

/// Starts in a row, with a millisecond in between.
const BURST: usize = 20;

/// Time between two lines.
const LINE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Counts {
    started: AtomicU64,
    refused: AtomicU64,
    longest_start: Mutex<Longest>,
    allowed: Mutex<Longest>,
    stop: AtomicBool,
    stop_requests: AtomicBool,
}

pub(crate) fn run(seconds: u64) {
    println!("## A full store under churn: {CAPACITY} records, of {LIFETIME:?} each, for {seconds} s\n");
    println!(
        "Memory in MiB: `live` is what the process asked for, `peak` the most of it since the line before, `tables` its part\nin allocations of 64 KiB and more, `resident` what the system has given.\n"
    );
    println!(
        "| s | records | started | refused | longest allowed, CPU µs | longest allowed, µs | longest start, µs | live | peak | tables | resident |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let world = World::new(CAPACITY);
    let users = world.users("hot", USERS);
    let kept = world.store.len();
    let counts = Counts::default();
    let line = |began: Instant| {
        let [allowed, start] = [&counts.allowed, &counts.longest_start].map(|longest| lock(longest).take());
        let memory = memory();
        println!(
            "| {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
            began.elapsed().as_secs(),
            world.store.len(),
            counts.started.swap(0, Relaxed),
            counts.refused.swap(0, Relaxed),
            allowed.cpu.as_secs_f64() * 1e6,
            allowed.wall.as_secs_f64() * 1e6,
            start.wall.as_secs_f64() * 1e6,
            memory.live,
            memory.peak,
            memory.tables,
            memory.resident,
        );
    };
    thread::scope(|threads| {
        threads.spawn(|| requests(&world, &users, &counts));
        let began = Instant::now();
        line(began);
        threads.spawn(|| flood(&world, &counts));
        let aging = threads.spawn(|| age(&world, &counts));
        let until = began + Duration::from_secs(seconds);
        while Instant::now() < until {
            thread::sleep(LINE.min(until.saturating_duration_since(Instant::now())));
            line(began);
        }
        counts.stop.store(true, Relaxed);
        aging.join().expect("it does not panic");
        while world.store.len() > kept {
            thread::sleep(Duration::from_millis(20));
        }
        // What threads have retired is freed with what they retire next.
        thread::sleep(Duration::from_secs(1));
        line(began);
        counts.stop_requests.store(true, Relaxed);
    });
    println!("\nThe last line: after all of them have expired.\n");
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is held")
}

/// Users who start, half of whom verify.
fn flood(world: &World, counts: &Counts) {
    let mut user = 0_u64;
    while !counts.stop.load(Relaxed) {
        let mut longest = Longest::default();
        for _ in 0..BURST {
            user += 1;
            let caller = Caller::user(format_args!("user {user}")).session("1");
            match longest.time(|| at_once(world.noting.start_otp(&caller, "SMS", None))) {
                Ok(()) if user.is_multiple_of(2) => {
                    // Refused if the record has expired already.
                    drop(at_once(world.step_up.verify_otp(&caller, "SMS", &sent())));
                    counts.started.fetch_add(1, Relaxed);
                }
                Ok(()) => drop(counts.started.fetch_add(1, Relaxed)),
                Err(ChallengeError::Unavailable) => drop(counts.refused.fetch_add(1, Relaxed)),
                Err(other) => unreachable!("{other}"),
            }
        }
        lock(&counts.longest_start).add(&longest);
        thread::sleep(Duration::from_millis(1));
    }
}

/// Has records expire when they are old enough; in the end all.
fn age(world: &World, counts: &Counts) {
    let mut young: VecDeque<(Instant, Vec<Key>)> = VecDeque::new();
    loop {
        let stopped = counts.stop.load(Relaxed);
        if stopped {
            // Until the flood has ended, too.
            thread::sleep(Duration::from_secs(1));
        }
        young.push_back((Instant::now(), world.noted()));
        while young.front().is_some_and(|(noted, _)| stopped || noted.elapsed() > LIFETIME) {
            for key in young.pop_front().iter().flat_map(|(_, old)| old) {
                world.expire(key);
            }
        }
        if stopped {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Guarded requests that are allowed.
fn requests(world: &World, users: &[Caller], counts: &Counts) {
    let mut call = guarded(&world.step_up, Requirement::new());
    let mut longest = Longest::default();
    while !counts.stop_requests.load(Relaxed) {
        for caller in users {
            assert_eq!(longest.time(|| call(caller)), 200);
        }
        lock(&counts.allowed).add(&longest.take());
        thread::sleep(Duration::from_micros(200));
    }
}
