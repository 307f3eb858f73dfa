//! T4, T5, T13, T26: an attacker with fifty sessions, for more than a day of virtual time.
//!
//! They know the code and every response: they return at the moment a wait ends, guess sixteen codes concurrently,
//! start codes and pushes, log out and in, drop their elevation and transfer it. Meanwhile the owner steps up and
//! answers pushes, which resets what a success resets.

use std::time::Duration;

use tower_step_up::{
    Caller, ChallengeError, Clock as _, ManualClock, Policy, PushReply, Recipient, SendBudget, StepUp,
};

use super::{
    DAY, HOUR, MINUTE, SECOND, caller,
    outbox::{Outbox, most_within},
    secs, together, was_wrong,
};

const CHANNELS: [&str; 2] = ["SMS", "EMAIL"];
const SESSIONS: usize = 50;
/// More than a day, so that the window of a day slides.
const LONG: u64 = 27 * HOUR;

struct Attack {
    step_up: StepUp,
    clock: ManualClock,
    outbox: Outbox,
    random: u64,
    /// The ids of the attacker's sessions.
    sessions: Vec<usize>,
    logins: usize,
    /// The session whose code was started last.
    started: Vec<(usize, &'static str)>,
    /// Unanswered pushes.
    pushes: Vec<String>,
    /// When the reported waits end.
    agenda: Vec<u64>,
    /// When wrong codes were compared.
    wrong: Vec<u64>,
    bob: Neighbour,
}

/// Another user, who steps up every hour.
#[derive(Default)]
struct Neighbour {
    next: u64,
    step_ups: usize,
}

impl Attack {
    fn new(policy: Policy, seed: u64) -> Self {
        let clock = ManualClock::new();
        let outbox = Outbox::new(&clock);
        let phone = async |caller: Caller, _: String| Ok(Recipient::new(format!("+1 {}", caller.subject())));
        let mut builder = StepUp::builder().push("BIO", outbox.push()).enrollment(phone);
        builder = builder.policy(policy).clock(clock.clone());
        for channel in CHANNELS {
            builder = builder.otp(channel, outbox.otp());
        }
        Self {
            step_up: builder.build().unwrap(),
            clock,
            outbox,
            random: seed,
            sessions: (0..SESSIONS).collect(),
            logins: SESSIONS,
            started: Vec::new(),
            pushes: Vec::new(),
            agenda: Vec::new(),
            wrong: Vec::new(),
            bob: Neighbour::default(),
        }
    }

    /// Xorshift: the same choices for the same seed.
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % u64::try_from(limit).unwrap()).unwrap()
    }

    fn now(&self) -> u64 {
        self.clock.now().as_millis()
    }

    fn note_wait<T>(&mut self, answer: &Result<T, ChallengeError>) {
        match answer {
            Err(ChallengeError::RateLimited(limit)) => self.note(limit.wait.as_millis()),
            Err(ChallengeError::RetryIn { wait, .. }) => self.note(wait.as_millis()),
            _ => {}
        }
    }

    fn note(&mut self, wait: u128) {
        assert!(wait > 0, "a wait of zero");
        let at = self.now() + u64::try_from(wait).unwrap();
        self.agenda.push(at);
    }

    /// Advances to the end of the next wait, or by a short time.
    fn step_clock(&mut self) {
        let now = self.now();
        self.agenda.retain(|at| *at > now);
        let until = match self.agenda.iter().min().copied() {
            Some(next) if self.below(4) > 0 => next,
            _ => now + u64::try_from(self.below(40)).unwrap() * SECOND + 1,
        };
        // At most until the neighbour's next step-up.
        self.clock.advance(Duration::from_millis(until.min(self.bob.next.max(now + 1)) - now));
    }

    async fn run(mut self) -> Self {
        let end = self.now() + LONG;
        while self.now() < end {
            self.neighbour().await;
            for _ in 0..3 {
                self.act().await;
            }
            self.step_clock();
        }
        self
    }

    async fn act(&mut self) {
        let at = self.below(self.sessions.len());
        let session = caller("alice", self.sessions[at]);
        match self.below(20) {
            0..=4 => self.start(1).await,
            5 => self.start(16).await,
            6..=10 => self.guess().await,
            11 => {
                let push = self.step_up.start_push(&session, "BIO", None).await;
                self.note_wait(&push);
                self.pushes.extend(push.ok().map(|push| push.id));
            }
            12 => self.step_up.revoke(&session).await.unwrap(),
            13 => {
                self.step_up.revoke(&session).await.unwrap();
                self.sessions[at] = self.logins;
                self.logins += 1;
            }
            14 => {
                let to = self.below(self.sessions.len());
                let to = caller("alice", self.sessions[to]);
                self.step_up.transfer(&session, &to).await.unwrap();
            }
            15 if self.below(50) == 0 => self.step_up.revoke_all("alice").await.unwrap(),
            16 => {
                if let Some(id) = self.pushes.pop() {
                    // The owner started none of these; they may have expired.
                    let _ = self.step_up.answer_push("alice", &id, PushReply::Decline).await;
                }
            }
            17 => self.owner_approves().await,
            18 | 19 => self.owner_verifies().await,
            _ => {}
        }
    }

    /// Starts a code in this many sessions concurrently.
    async fn start(&mut self, at_once: usize) {
        let (first, channel) = (self.below(self.sessions.len()), CHANNELS[self.below(2)]);
        let sessions: Vec<usize> = self.sessions.iter().cycle().skip(first).take(at_once).copied().collect();
        let (step_up, asked) = (self.step_up.clone(), sessions.clone());
        let answers = together(at_once, |i| {
            let (step_up, session) = (step_up.clone(), caller("alice", asked[i]));
            async move { step_up.start_otp(&session, channel, None).await }
        })
        .await;
        for (session, started) in sessions.into_iter().zip(answers) {
            self.note_wait(&started);
            if started.is_ok() {
                self.started.retain(|(holder, _)| *holder != session);
                self.started.push((session, channel));
            }
        }
    }

    /// Sixteen concurrent wrong codes for the code started last. With twelve digits none is right by chance.
    async fn guess(&mut self) {
        let Some((session, channel)) = self.started.last().copied() else { return };
        let (step_up, first) = (self.step_up.clone(), self.below(1_000_000_000_000 - 16));
        let answers = together(16, |i| {
            let (step_up, session, guess) = (step_up.clone(), caller("alice", session), format!("{:012}", first + i));
            async move { step_up.verify_otp(&session, channel, &guess).await }
        })
        .await;
        let now = self.now();
        for answer in &answers {
            self.note_wait(answer);
            self.wrong.extend(was_wrong(answer).then_some(now));
        }
        let locked = answers.iter().any(|answer| matches!(answer, Err(ChallengeError::RateLimited(_))));
        if !locked && !answers.iter().any(was_wrong) {
            self.started.pop();
        }
    }

    async fn owner_verifies(&mut self) {
        let (owner, channel) = (caller("alice", "owner"), CHANNELS[self.below(2)]);
        if self.step_up.start_otp(&owner, channel, None).await.is_ok() {
            let code = self.outbox.last().secret;
            if self.step_up.verify_otp(&owner, channel, &code).await.is_ok() {
                self.outbox.verified();
            }
        }
    }

    async fn owner_approves(&mut self) {
        let owner = caller("alice", "owner");
        if let Ok(push) = self.step_up.start_push(&owner, "BIO", None).await
            && self.step_up.answer_push("alice", &push.id, PushReply::Approve).await.is_ok()
        {
            self.outbox.verified();
        }
    }

    /// Bob is not affected by the attack on Alice.
    async fn neighbour(&mut self) {
        if self.now() < self.bob.next {
            return;
        }
        let (bob, channel) = (caller("bob", self.bob.step_ups % 3), CHANNELS[self.bob.step_ups % 2]);
        self.step_up.start_otp(&bob, channel, None).await.unwrap();
        let code = self.outbox.last().secret;
        self.step_up.verify_otp(&bob, channel, &code).await.unwrap();
        self.outbox.verified();
        self.bob.step_ups += 1;
        self.bob.next = self.now() + HOUR;
    }

    /// The most messages to Alice in a window: all, or only unverified ones, or ones of one kind.
    fn messages(&self, window: u64, unverified: bool, push: Option<bool>) -> usize {
        let times = self.outbox.times(|sent| {
            sent.subject == "alice" && !(unverified && sent.verified) && push.is_none_or(|push| push == sent.is_push)
        });
        most_within(window, &times)
    }
}

/// With the defaults.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_with_the_defaults() {
    const LIMITS: [usize; 6] = [100, 30, 15, 5, 3, 3];
    let mut most = [0; 6];
    for seed in (1..=10).map(|seed| seed * 0x9E37_79B9) {
        let attack = Attack::new(Policy::new().code_digits(12), seed).run().await;
        let seen = [
            most_within(DAY, &attack.wrong),
            attack.messages(DAY, false, None),
            attack.messages(HOUR, true, None),
            attack.messages(10 * MINUTE, true, Some(false)),
            attack.messages(5 * MINUTE, true, Some(false)),
            attack.messages(10 * MINUTE, true, Some(true)),
        ];
        for (seen, limit) in seen.into_iter().zip(LIMITS) {
            assert!(seen <= limit, "seed {seed}: {seen} > {limit}");
        }
        most = std::array::from_fn(|i| most[i].max(seen[i]));
        assert!(attack.bob.step_ups >= 27, "{}", attack.bob.step_ups);
    }
    // Otherwise the attacker did not reach the limits.
    assert!(most[0] >= 50, "{most:?}");
    assert_eq!(most[1..], LIMITS[1..], "{most:?}");
}

/// With the most generous policy, only the cap of a hundred remains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_with_the_most_generous_policy() {
    let policy = || {
        let policy = Policy::new()
            .code_digits(12)
            .disable_after(100)
            .max_attempts(10)
            .lockout_every(10)
            .lockout_backoff(secs(30), secs(30));
        policy
            .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
            .live_challenges(10)
            .pushes(100)
            .pause_after_declines(10, secs(60))
    };
    for seed in [3, 0xC0FF_EE00, 31_415_926] {
        let attack = Attack::new(policy(), seed).run().await;
        let wrong = most_within(DAY, &attack.wrong);
        assert_eq!(wrong, 100, "seed {seed}");
        assert!(attack.wrong.len() > 100, "the window slid");
        assert!(attack.bob.step_ups >= 27, "{}", attack.bob.step_ups);
    }
}
