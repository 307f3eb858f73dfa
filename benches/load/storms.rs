//! Many requests of one session at once, compared with as many over as many sessions: what each costs, and what another
//! user waits for meanwhile.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use testkit::together;
use tower_step_up::{Caller, ChallengeError, Proof, Requirement, StepUp};

use crate::{
    figures::{micros, percentiles, spread},
    world::{World, guarded},
};

/// Requests at once.
const SIZES: [usize; 4] = [64, 150, 300, 600];

/// How long another user's requests are measured in a round.
const MEANWHILE: Duration = Duration::from_millis(400);

#[derive(Clone, Copy)]
enum Kind {
    /// Each request ends the elevation of the session.
    Revoke,
    /// Each verifies a code where the user is locked out.
    Locked,
}

impl Kind {
    const ALL: [(Self, &str, usize); 2] = [(Self::Revoke, "revoke", 600), (Self::Locked, "verify, locked", 64)];

    async fn prepare(self, step_up: &StepUp, caller: &Caller) {
        step_up.record_proof(caller, Proof::new("PASSKEY")).await.expect("the channel is registered");
        step_up.start_otp(caller, "SMS", None).await.expect("the first start is let through");
        if let Self::Locked = self {
            let mut last = Ok(());
            for _ in 0..6 {
                last = step_up.verify_otp(caller, "SMS", "000000").await.map(drop);
            }
            assert_ne!(last, Err(ChallengeError::CodeInvalid), "the user is locked out");
        }
    }

    async fn act(self, step_up: &StepUp, caller: &Caller) {
        match self {
            Self::Revoke => step_up.revoke(caller).await.expect("no request is refused because of the others"),
            Self::Locked => {
                let refused = step_up.verify_otp(caller, "SMS", "123456").await.map(drop);
                assert!(refused.is_err_and(|error| error != ChallengeError::Unavailable));
            }
        }
    }

    /// As many sessions as requests, or the same one for all.
    async fn sessions(self, step_up: &StepUp, name: &str, many: usize, one: bool) -> Vec<Caller> {
        let callers = (0..if one { 1 } else { many }).map(|i| Caller::user(format_args!("{name} {i}")).session(i));
        let callers: Vec<_> = callers.collect();
        for caller in &callers {
            self.prepare(step_up, caller).await;
        }
        callers.into_iter().cycle().take(many).collect()
    }

    async fn at_once(self, step_up: &StepUp, sessions: &[Caller]) {
        together(sessions.len(), |i| {
            let (step_up, caller) = (step_up.clone(), sessions[i].clone());
            async move { self.act(&step_up, &caller).await }
        })
        .await;
    }
}

pub(crate) fn run(rounds: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = runtime.expect("threads to run on");
    println!("## Storms: requests at once, of one session and over as many sessions\n");
    println!("CPU µs a request: median of {rounds} rounds (least to greatest)\n");
    println!("| operation | at once | one session | as many sessions | ratio |");
    println!("|---|---|---|---|---|");
    for (kind, name, _) in Kind::ALL {
        for many in SIZES {
            let costs: Vec<_> = (0..rounds).map(|round| runtime.block_on(costs(kind, many, round))).collect();
            let ratio = spread(costs.iter().map(|[one, all]| one / all));
            let [one, all] = [0, 1].map(|at| spread(costs.iter().map(|costs| costs[at])));
            println!("| {name} | {many} | {one} | {all} | {ratio} |");
        }
    }
    println!(
        "\nAnother user's guarded request meanwhile, µs from its spawn to its answer: median of {rounds} rounds\n"
    );
    println!("| storm | over | p50 | p99 | longest |");
    println!("|---|---|---|---|---|");
    for (kind, name, many) in Kind::ALL {
        let pairs: Vec<_> = (0..rounds).map(|_| runtime.block_on(meanwhile(kind, many))).collect();
        for (at, over) in ["one session", "as many sessions"].into_iter().enumerate() {
            let [p50, p99, longest] = [0, 1, 2].map(|which| micros(pairs.iter().map(|pair| pair[at][which])));
            println!("| {name}, {many} at once | {over} | {p50} | {p99} | {longest} |");
        }
        let ratios = |which: usize| {
            let of = |pair: &[[Duration; 3]; 2]| pair[0][which].as_secs_f64() / pair[1][which].as_secs_f64();
            spread(pairs.iter().map(of))
        };
        println!("| | ratio | {} | {} | {} |", ratios(0), ratios(1), ratios(2));
    }
    println!();
}

/// CPU microseconds a request: of one session, and over as many.
async fn costs(kind: Kind, many: usize, round: usize) -> [f64; 2] {
    let world = World::new(10_000);
    let mut costs = [0.0; 2];
    // In turns, so that neither is always the first.
    for at in if round.is_multiple_of(2) { [0, 1] } else { [1, 0] } {
        let sessions = kind.sessions(&world.step_up, &format!("user {at}"), many, at == 0).await;
        let began = ProcessTime::now();
        kind.at_once(&world.step_up, &sessions).await;
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        let requests = many as f64;
        costs[at] = began.elapsed().as_secs_f64() * 1e6 / requests;
    }
    costs
}

/// Percentiles of another user's requests while the storm is repeated: of one session, and over as many.
async fn meanwhile(kind: Kind, many: usize) -> [[Duration; 3]; 2] {
    let world = World::new(10_000);
    let bob = Caller::user("bob").session("1");
    Kind::Revoke.prepare(&world.step_up, &bob).await;
    let call = guarded(&world.step_up, Requirement::new());
    let mut results = [[Duration::ZERO; 3]; 2];
    for (at, result) in results.iter_mut().enumerate() {
        let sessions = kind.sessions(&world.step_up, &format!("user {at}"), many, at == 0).await;
        let storm = tokio::spawn({
            let step_up = world.step_up.clone();
            async move {
                loop {
                    kind.at_once(&step_up, &sessions).await;
                }
            }
        });
        let (until, mut waits) = (Instant::now() + MEANWHILE, Vec::new());
        while Instant::now() < until {
            let (mut call, bob) = (call.clone(), bob.clone());
            let began = Instant::now();
            let status = tokio::spawn(async move { call(&bob) }).await.expect("it does not panic");
            waits.push(began.elapsed());
            assert_eq!(status, 200);
        }
        storm.abort();
        drop(storm.await);
        *result = percentiles(waits);
    }
    results
}
