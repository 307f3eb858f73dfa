//! A load test with continuous floods: `cargo run --release --example soak -- 600` runs for ten minutes (default one).
//!
//! In each round, ten times as many users as the store's capacity request a challenge. Those who get one use it; the
//! others get 503. Then some of the records are deleted, which simulates their expiry (after at least an hour), and the
//! next round begins with other users. Every line shows the number of records, the memory of the process, and the
//! growth since the first round (drift).
//!
//! It stops with an error if a victim's failures are lost, if a grant is lost, if the store exceeds its capacity, or if
//! an accepted record is missing afterwards.

use std::{
    collections::HashSet,
    error::Error,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tower_step_up::{
    Caller, ChallengeError, MemoryStore, Policy, Requirement, Secret, StepUp, discard,
    store::{Change, Key, Store, StoreError, Stored, Swapped},
};

const CAPACITY: usize = 40_000;
const VICTIMS: usize = 50;
const TASKS: usize = 4;

type Soaked = StepUp;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let time = std::env::args().nth(1).map_or(Ok(60), |secs| secs.parse())?;
    let (started, time) = (Instant::now(), Duration::from_secs(time));
    let store = Noted::default();
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .policy(Policy::new().grant_lifetime(Duration::from_secs(12 * 3600)))
        .store(store.clone())
        // A store that wraps the one in process counts as shared.
        .secret(Secret::new([1; 32])?)
        .record_key(Secret::new([2; 32])?)
        .build()?;

    for victim in 0..VICTIMS {
        one_short_of_the_lock(&step_up, &Caller::user(format_args!("victim {victim}")).session("1")).await?;
        let owner = Caller::user(format_args!("owner {victim}")).session("1");
        step_up.start_otp(&owner, "SMS", None).await?;
        step_up.verify_otp(&owner, "SMS", "123456").await?;
    }
    let kept = store.keys();

    println!("round  seconds  records  MiB   drift MiB  taken   refused");
    let (mut round, mut first) = (0, None);
    while started.elapsed() < time || round < 3 {
        let (taken, refused) = flood(&step_up, &store, round).await?;
        for victim in 0..VICTIMS {
            let owner = Caller::user(format_args!("owner {victim}")).session("1");
            check(step_up.authorize(&owner, &Requirement::new()).await.is_ok(), "a grant was lost")?;
        }
        let memory = resident_mib()?;
        let drift = memory - *first.get_or_insert(memory);
        let secs = started.elapsed().as_secs();
        let records = store.records.len();
        println!("{round:<6} {secs:<8} {records:<8} {memory:<5.0} {drift:<10.1} {taken:<7} {refused}");
        store.delete_all_but(&kept).await?;
        round += 1;
    }
    for victim in 0..VICTIMS {
        let victim = Caller::user(format_args!("victim {victim}")).session("1");
        let last = step_up.verify_otp(&victim, "SMS", "000000").await;
        check(!matches!(last, Err(ChallengeError::CodeInvalid)), "a victim's failures were forgotten")?;
    }
    println!("{round} rounds: nothing that existed was lost");
    Ok(())
}

/// Four wrong codes: the fifth causes a lockout.
async fn one_short_of_the_lock(step_up: &Soaked, victim: &Caller) -> Result<(), ChallengeError> {
    step_up.start_otp(victim, "SMS", None).await?;
    for _ in 0..4 {
        let _ = step_up.verify_otp(victim, "SMS", "000000").await;
    }
    Ok(())
}

/// The number of accepted and refused users, after each accepted user has used their challenge.
async fn flood(step_up: &Soaked, store: &Noted, round: usize) -> Result<(usize, usize), Box<dyn Error>> {
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(ask(step_up.clone(), format!("{round}/{task}")))).collect();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (more, not) = task.await??;
        taken.push(more);
        refused += not;
    }
    let full = store.records.len();
    check(full <= CAPACITY, "the store exceeds its capacity")?;
    check(full + 2 * TASKS > CAPACITY && refused > 0, "a flood was not refused")?;
    let count = taken.iter().map(Vec::len).sum();
    let tasks: Vec<_> = taken.into_iter().map(|taken| tokio::spawn(hold(step_up.clone(), taken))).collect();
    for task in tasks {
        task.await??;
    }
    Ok((count, refused))
}

/// Requests a challenge for each user in turn; returns the accepted users and the number of refusals.
async fn ask(step_up: Soaked, name: String) -> Result<(Vec<Caller>, usize), ChallengeError> {
    let (mut taken, mut refused) = (Vec::new(), 0);
    for user in 0..10 * CAPACITY / TASKS {
        let caller = Caller::user(format_args!("user {name}/{user}")).session("1");
        match step_up.start_otp(&caller, "SMS", None).await {
            Ok(()) => taken.push(caller),
            Err(ChallengeError::Unavailable) => refused += 1,
            Err(other) => return Err(other),
        }
    }
    Ok((taken, refused))
}

/// Checks each accepted user: a wrong code is refused, the correct code is accepted, and the guard lets them pass.
async fn hold(step_up: Soaked, taken: Vec<Caller>) -> Result<(), ChallengeError> {
    for caller in &taken {
        let wrong = step_up.verify_otp(caller, "SMS", "000000").await.err();
        if wrong != Some(ChallengeError::CodeInvalid) {
            return Err(wrong.unwrap_or(ChallengeError::Internal));
        }
        step_up.verify_otp(caller, "SMS", "123456").await?;
        step_up.authorize(caller, &Requirement::new()).await.map_err(|_| ChallengeError::StateInvalid)?;
    }
    Ok(())
}

fn check(holds: bool, otherwise: &'static str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The memory of this process, as reported by Linux.
fn resident_mib() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// The in-process store, with a list of its records.
#[derive(Clone)]
struct Noted {
    records: MemoryStore,
    keys: Arc<Mutex<HashSet<Key>>>,
}

impl Default for Noted {
    fn default() -> Self {
        Self { records: MemoryStore::with_capacity(CAPACITY), keys: Arc::default() }
    }
}

impl Noted {
    fn keys(&self) -> HashSet<Key> {
        self.keys.lock().unwrap().clone()
    }

    async fn delete_all_but(&self, kept: &HashSet<Key>) -> Result<(), StoreError> {
        for key in self.keys().difference(kept) {
            if let Some(stored) = self.records.load(*key).await? {
                self.swap(&[Change::new(*key, Some(stored.revision()), None)]).await?;
            }
        }
        Ok(())
    }
}

impl Store for Noted {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        self.records.load(key).await
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let swapped = self.records.swap(changes).await?;
        if swapped == Swapped::Done {
            let mut keys = self.keys.lock().unwrap();
            for Change { key, next, .. } in changes {
                let _ = if next.is_none() { keys.remove(key) } else { keys.insert(*key) };
            }
        }
        Ok(swapped)
    }
}
