//! The longest requests while many records expire at the same moment, and without that.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tower_step_up::{Caller, Requirement, StepUp, Store, store::Swapped};

use crate::{
    figures::{micros, spread},
    world::{Longest, World, at_once, guarded, verified},
};

/// Users whose requests are measured.
const USERS: usize = 1_000;

/// Time between two users who step up and use a grant.
const PACE: Duration = Duration::from_micros(500);

/// How long requests are measured without an expiry, and after the last record was freed.
const QUIET: Duration = Duration::from_millis(1_500);

/// The longest requests of one phase.
#[derive(Clone, Copy, Debug, Default)]
struct Phase {
    allowed: Longest,
    consuming: Longest,
    stepping_up: Longest,
}

pub(crate) fn run(sizes: &[(usize, usize)]) {
    println!("## Records that expire at the same moment\n");
    println!(
        "Longest request of a phase in µs, median of the rounds (least to greatest): `CPU` in time of its thread."
    );
    println!("One thread sends guarded requests without a pause. With steps-up, another one steps up 2,000 users a");
    println!("second, each of whom consumes a grant.\n");
    println!("| records | steps-up | phase | allowed, CPU | allowed | consumes a grant | start and verify | seconds |");
    println!("|---|---|---|---|---|---|---|---|");
    for &(records, rounds) in sizes {
        for writes in [false, true] {
            let measured: Vec<_> = (0..rounds).map(|_| round(records, writes)).collect();
            for (at, phase) in ["nothing expires", "all expire"].into_iter().enumerate() {
                let [cpu, wall, consuming, stepping_up] = [
                    |phase: &Phase| phase.allowed.cpu,
                    |phase: &Phase| phase.allowed.wall,
                    |phase: &Phase| phase.consuming.wall,
                    |phase: &Phase| phase.stepping_up.wall,
                ]
                .map(|of| micros(measured.iter().map(|round| of(&round.0[at]))));
                let took = spread(measured.iter().map(|round| round.1[at].as_secs_f64()));
                let (consuming, stepping_up) = if writes {
                    (consuming.to_string(), stepping_up.to_string())
                } else {
                    ("–".into(), "–".into())
                };
                let writes = if writes { "yes" } else { "no" };
                println!("| {records} | {writes} | {phase} | {cpu} | {wall} | {consuming} | {stepping_up} | {took} |");
            }
        }
    }
    println!();
}

/// The phases without and with expiry, and how long each took.
fn round(records: usize, writes: bool) -> ([Phase; 2], [Duration; 2]) {
    let world = World::new(usize::MAX);
    let users = world.users("hot", USERS);
    for i in 0..records / 2 {
        let caller = Caller::user(format_args!("user {i}")).session(i);
        at_once(world.noting.start_otp(&caller, "SMS", None)).expect("there is room");
    }
    let keys = world.noted();
    assert_eq!(keys.len(), records);
    let expired: Vec<_> = keys.iter().filter_map(|key| world.expired(key)).collect();
    let (stop, phase) = (AtomicBool::new(false), Mutex::new(Phase::default()));
    let take = || std::mem::take(&mut *phase.lock().expect("nothing panics while it is held"));
    thread::scope(|threads| {
        threads.spawn(|| allowed(&world.step_up, &users, &stop, &phase));
        if writes {
            threads.spawn(|| step_ups(&world.step_up, &stop, &phase));
        }
        thread::sleep(Duration::from_millis(300));
        take();
        let began = Instant::now();
        thread::sleep(QUIET);
        let (quiet, quiet_for) = (take(), began.elapsed());
        let began = Instant::now();
        let swapped = at_once(world.store.swap(&expired));
        drop(expired);
        assert_eq!(swapped.ok(), Some(Swapped::Done));
        // A record that was overwritten while its second ended is freed a minute later.
        while keys.iter().filter(|key| world.holds(key)).count() > keys.len() / 1_000 {
            thread::sleep(Duration::from_millis(5));
        }
        let freed_in = began.elapsed();
        thread::sleep(QUIET);
        let expired = take();
        stop.store(true, Relaxed);
        ([quiet, expired], [quiet_for, freed_in])
    })
}

/// Sends guarded requests that only read.
fn allowed(step_up: &StepUp, users: &[Caller], stop: &AtomicBool, phase: &Mutex<Phase>) {
    let mut call = guarded(step_up, Requirement::new());
    let mut longest = Longest::default();
    while !stop.load(Relaxed) {
        for caller in users {
            let status = longest.time(|| call(caller));
            assert_eq!(status, 200);
        }
        phase.lock().expect("nothing panics while it is held").allowed.add(&longest.take());
    }
}

/// Steps up new users, each of whom then consumes the grant.
fn step_ups(step_up: &StepUp, stop: &AtomicBool, phase: &Mutex<Phase>) {
    let mut consume = guarded(step_up, Requirement::new().once());
    let (began, mut users) = (Instant::now(), 0_u32);
    while !stop.load(Relaxed) {
        let caller = Caller::user(format_args!("new {users}")).session("1");
        let (mut stepping_up, mut consuming) = (Longest::default(), Longest::default());
        stepping_up.time(|| verified(step_up, &caller));
        let status = consuming.time(|| consume(&caller));
        assert_eq!(status, 200);
        let mut phase = phase.lock().expect("nothing panics while it is held");
        phase.stepping_up.add(&stepping_up);
        phase.consuming.add(&consuming);
        drop(phase);
        users += 1;
        thread::sleep((PACE * users).saturating_sub(began.elapsed()));
    }
}
