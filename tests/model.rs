//! The engine against a naive model: random commands from several sessions of one user, over time.
//!
//! The model keeps whole histories and derives every answer from them anew. Each answer of the engine must be
//! the model's, so every limit holds for any sequence: wrong guesses evaluated never exceed it, a code is
//! accepted at most once, and nothing prolongs a deadline.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use tower_step_up::{
    Caller, ChallengeError, Clock as _, ManualClock, Policy, RateLimit, Requirement, StepUp, Timestamp, discard,
};

const SESSIONS: usize = 3;
const CHANNELS: [&str; 2] = ["SMS", "EMAIL"];
const TRIES: u8 = 3;
const WAIT_EVERY: u8 = 2;
const DISABLE_AT: u8 = 9;
const WRONG_A_DAY: u8 = 12;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

fn rate_limit(limit: u32, window: Option<Duration>, wait: Duration) -> RateLimit {
    RateLimit { limit, window, wait }
}

fn policy() -> Policy {
    Policy::new()
        .tries(TRIES)
        .wait_every(WAIT_EVERY)
        .waits(Duration::from_secs(30), Duration::from_secs(120))
        .disable_at(DISABLE_AT)
        .wrong_codes_a_day(WRONG_A_DAY)
        .sends(1000, 1000, 1000, 1000)
}

#[derive(Clone, Debug)]
enum Command {
    Start { session: usize, channel: usize },
    Verify { session: usize, channel: usize, right: bool },
    Check { session: usize },
    Revoke { session: usize },
    Wait(Duration),
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let session = 0..SESSIONS;
    let channel = prop_oneof![4 => Just(0), 1 => Just(1_usize)];
    let wait = prop_oneof![
        6 => (0_u64..40_000).prop_map(Duration::from_millis),
        2 => (0_u64..700).prop_map(Duration::from_secs),
        1 => (0_u64..30).prop_map(|hours| hours * HOUR.as_secs()).prop_map(Duration::from_secs),
    ];
    let command = prop_oneof![
        3 => (session.clone(), channel.clone()).prop_map(|(session, channel)| Command::Start { session, channel }),
        8 => (session.clone(), channel, prop::bool::weighted(0.12))
            .prop_map(|(session, channel, right)| Command::Verify { session, channel, right }),
        2 => session.clone().prop_map(|session| Command::Check { session }),
        1 => session.prop_map(|session| Command::Revoke { session }),
        4 => wait.prop_map(Command::Wait),
    ];
    prop::collection::vec(command, 1..250)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Open,
    Verified(Timestamp),
    Dead,
    Dropped,
}

#[derive(Clone, Debug)]
struct Code {
    channel: usize,
    started: Timestamp,
    deadline: Timestamp,
    wrong: u8,
    end: End,
}

#[derive(Default)]
struct Model {
    /// Every code that each session ever started.
    codes: HashMap<usize, Vec<Code>>,
    /// Until when each session's grant lives, by channel.
    grants: HashMap<(usize, usize), Timestamp>,
    /// When each wrong guess on a channel was evaluated, since the last success on it.
    failures: HashMap<usize, Vec<Timestamp>>,
    /// When each wrong guess was evaluated, ever.
    wrong: Vec<Timestamp>,
}

impl Model {
    fn disabled(&self, channel: usize) -> bool {
        self.failures.get(&channel).is_some_and(|failures| failures.len() >= usize::from(DISABLE_AT))
    }

    fn locked(&self, channel: usize, now: Timestamp) -> Result<(), ChallengeError> {
        let mut wait = rate_limit(WAIT_EVERY.into(), None, Duration::ZERO);
        if let Some(failures) = self.failures.get(&channel).filter(|failures| !failures.is_empty()) {
            let n = failures.len();
            if n % usize::from(WAIT_EVERY) == 0 {
                let secs = (30_u64 << (n / usize::from(WAIT_EVERY) - 1)).min(120);
                let until = failures[n - 1].saturating_add(Duration::from_secs(secs));
                wait = rate_limit(WAIT_EVERY.into(), None, until.saturating_since(now));
            }
        }
        let today: Vec<_> = self.wrong.iter().filter(|at| now < at.saturating_add(DAY)).collect();
        if today.len() >= usize::from(WRONG_A_DAY) {
            let until = today[today.len() - usize::from(WRONG_A_DAY)].saturating_add(DAY);
            if until.saturating_since(now) > wait.wait {
                wait = rate_limit(WRONG_A_DAY.into(), Some(DAY), until.saturating_since(now));
            }
        }
        if wait.wait.is_zero() { Ok(()) } else { Err(ChallengeError::RateLimited(wait)) }
    }

    fn start(&mut self, session: usize, channel: usize, now: Timestamp) -> Result<(), ChallengeError> {
        if self.disabled(channel) {
            return Err(ChallengeError::Forbidden);
        }
        let interval = Duration::from_secs(15);
        let last = self.codes.get(&session).and_then(|codes| codes.last()).cloned();
        if let Some(last) = &last
            && now < last.started.saturating_add(interval)
        {
            let wait = last.started.saturating_add(interval).saturating_since(now);
            return Err(ChallengeError::RetryIn { interval, wait });
        }
        self.locked(channel, now)?;
        let inherited = last.filter(|last| now < last.deadline && matches!(last.end, End::Open | End::Dropped));
        self.codes.entry(session).or_default().push(Code {
            channel,
            started: now,
            deadline: now.saturating_add(Duration::from_secs(300)),
            wrong: inherited.map_or(0, |last| last.wrong),
            end: End::Open,
        });
        Ok(())
    }

    fn verify(&mut self, session: usize, channel: usize, right: bool, now: Timestamp) -> Result<(), ChallengeError> {
        if self.disabled(channel) {
            return Err(ChallengeError::Forbidden);
        }
        let code = self.codes.get(&session).and_then(|codes| codes.last()).filter(|code| code.channel == channel);
        match code.map(|code| (code.end, code.deadline)) {
            Some((End::Open, deadline)) if now < deadline => {}
            Some((End::Open, deadline)) if now < deadline.saturating_add(HOUR) => {
                return Err(ChallengeError::CodeExpired);
            }
            Some((End::Verified(at), _)) if now < at.saturating_add(HOUR) => {
                return Err(ChallengeError::AlreadyVerified);
            }
            _ => return Err(ChallengeError::StateInvalid),
        }
        self.locked(channel, now)?;
        let code = self.codes.get_mut(&session).unwrap().last_mut().unwrap();
        if right {
            code.end = End::Verified(now);
            self.grants.insert((session, channel), now.saturating_add(Duration::from_secs(600)));
            self.failures.remove(&channel);
            return Ok(());
        }
        self.failures.entry(channel).or_default().push(now);
        self.wrong.push(now);
        code.wrong += 1;
        Err(match TRIES - code.wrong {
            0 => {
                code.end = End::Dead;
                ChallengeError::ChallengeLimitExceeded
            }
            1 => ChallengeError::OneTryRemaining,
            _ => ChallengeError::CodeInvalid,
        })
    }

    fn revoke(&mut self, session: usize) {
        self.grants.retain(|(of, _), _| *of != session);
        if let Some(code) = self.codes.get_mut(&session).and_then(|codes| codes.last_mut())
            && code.end == End::Open
        {
            code.end = End::Dropped;
        }
    }

    fn stepped_up(&self, session: usize, now: Timestamp) -> bool {
        self.grants.iter().any(|((of, _), until)| *of == session && now < *until)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_answers_as_the_model(commands in commands()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let clock = ManualClock::new();
            let step_up = StepUp::builder()
                .sandbox()
                .otp(CHANNELS[0], discard)
                .otp(CHANNELS[1], discard)
                .policy(policy())
                .clock(clock.clone())
                .build()
                .unwrap();
            let callers: Vec<_> = (0..SESSIONS).map(|n| Caller::new("alice", n.to_string())).collect();
            let mut model = Model::default();
            for (i, command) in commands.into_iter().enumerate() {
                let now = clock.now();
                match command.clone() {
                    Command::Wait(duration) => clock.advance(duration),
                    Command::Start { session, channel } => {
                        let answer = step_up.start_otp(&callers[session], CHANNELS[channel], None).await;
                        prop_assert_eq!(answer, model.start(session, channel, now), "{}: {:?}", i, command);
                    }
                    Command::Verify { session, channel, right } => {
                        let code = if right { "123456" } else { "000000" };
                        let answer = step_up.verify_otp(&callers[session], CHANNELS[channel], code).await;
                        let expected = model.verify(session, channel, right, now);
                        prop_assert_eq!(answer.map(drop), expected, "{}: {:?}", i, command);
                    }
                    Command::Revoke { session } => {
                        step_up.revoke(&callers[session]).await.unwrap();
                        model.revoke(session);
                    }
                    Command::Check { session } => {
                        let passes = step_up.check(&callers[session], &Requirement::new()).await.is_ok();
                        prop_assert_eq!(passes, model.stepped_up(session, now), "{}: {:?}", i, command);
                    }
                }
            }
            Ok(())
        })?;
    }
}
