//! All budgets together, as a property: an attacker chooses users, sessions, times, spellings and the provider's
//! results. In no window do more messages reach the provider, or are more wrong codes compared, than the policy allows.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};
use tower_step_up::{
    Caller, Clock as _, DeliveryError, ManualClock, OtpMessage, Policy, PushMessage, PushReply, Recipient, StepUp,
};

use super::{DAY, HOUR, MINUTE, SECOND, caller, other, was_wrong};

const USERS: usize = 5;
const SESSIONS: usize = 4;
/// The first belongs to four users, in several spellings, the second to other users.
const RECIPIENTS: [&str; 2] = ["+441234567", "+491234567"];

const IN_PROCESS: (usize, u64) = (12, 10 * MINUTE);
const PER_PREFIX: (usize, u64) = (8, 10 * MINUTE);
const WRONG_A_DAY: u8 = 12;

/// What the sender does with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum How {
    #[default]
    Sends,
    /// Reports that nothing was sent.
    Fails,
    Hangs,
    Panics,
}

#[derive(Clone, Debug)]
enum Step {
    /// In this many sessions concurrently.
    Start {
        user: usize,
        session: usize,
        at_once: usize,
        push: bool,
        how: How,
    },
    Right {
        user: usize,
        session: usize,
    },
    Wrong {
        user: usize,
        session: usize,
        times: usize,
    },
    Answer {
        user: usize,
        session: usize,
        approves: bool,
    },
    Revoke {
        user: usize,
        session: usize,
    },
    Wait(u64),
    /// Repeats: a new code, wrong ones, and perhaps the right one.
    Guesser {
        user: usize,
        times: usize,
        wrong: usize,
        right: bool,
        wait: u64,
    },
    /// Starts repeatedly, in each session in turn, as soon as the next start may be allowed.
    Patient {
        user: usize,
        times: usize,
        push: bool,
        wait: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (user, session) = (0..USERS, 0..SESSIONS);
    let who = || (user.clone(), session.clone());
    let how = prop_oneof![6 => Just(How::Sends), 2 => Just(How::Fails), 1 => Just(How::Hangs), 1 => Just(How::Panics)];
    let wait = prop_oneof![
        4 => prop::sample::select(vec![15 * SECOND, 30 * SECOND, MINUTE, 3 * MINUTE]),
        3 => prop::sample::select(vec![5 * MINUTE - 1, 5 * MINUTE, 10 * MINUTE - 1, 10 * MINUTE]),
        1 => prop::sample::select(vec![HOUR - 1, HOUR, 5 * HOUR, DAY - 1, DAY]),
        2 => 1..5 * MINUTE,
    ];
    let step = prop_oneof![
        6 => (who(), 1..=SESSIONS, any::<bool>(), how)
            .prop_map(|((user, session), at_once, push, how)| Step::Start { user, session, at_once, push, how }),
        1 => who().prop_map(|(user, session)| Step::Right { user, session }),
        2 => (who(), 1..=6_usize).prop_map(|((user, session), times)| Step::Wrong { user, session, times }),
        1 => (who(), any::<bool>()).prop_map(|((user, session), approves)| Step::Answer { user, session, approves }),
        1 => who().prop_map(|(user, session)| Step::Revoke { user, session }),
        5 => wait.prop_map(Step::Wait),
        1 => (0..USERS, 2..8_usize, 1..=5_usize, any::<bool>(), prop::sample::select(vec![30 * SECOND, 2 * MINUTE]))
            .prop_map(|(user, times, wrong, right, wait)| Step::Guesser { user, times, wrong, right, wait }),
        1 => (0..USERS, 5..20_usize, any::<bool>(), prop::sample::select(vec![2 * MINUTE, 4 * MINUTE, 20 * MINUTE]))
            .prop_map(|(user, times, push, wait)| Step::Patient { user, times, push, wait }),
    ];
    prop::collection::vec(step, 20..120)
}

/// A message given to the sender.
#[derive(Clone, Debug)]
struct Message {
    at: u64,
    user: String,
    session: String,
    /// The canonical number.
    recipient: &'static str,
    push: bool,
    how: How,
    secret: String,
    /// Time at which its challenge was verified.
    verified: Option<u64>,
}

impl Message {
    /// Whether it reached, or may have reached, the provider.
    fn is_out(&self) -> bool {
        self.how != How::Fails
    }

    /// Whether it counts in this window for the next message: a verified one counts only for a day.
    fn counts(&self, at: u64, window: u64) -> bool {
        at < self.at + window && (window == DAY || self.verified.is_none_or(|verified| at < verified))
    }
}

/// The provider, with all messages.
#[derive(Clone, Default)]
struct Provider {
    clock: ManualClock,
    how: Arc<Mutex<How>>,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Provider {
    async fn take(self, message: Message) -> Result<(), DeliveryError> {
        let how = message.how;
        self.messages.lock().unwrap().push(message);
        match how {
            How::Sends => Ok(()),
            How::Fails => Err(DeliveryError::Failed),
            How::Hangs => std::future::pending().await,
            // A panic without a message on stderr.
            How::Panics => std::panic::resume_unwind(Box::new(())),
        }
    }

    fn message(&self, user: &str, to: &Recipient, scope: Option<&str>, push: bool, secret: &str) -> Message {
        let recipient = RECIPIENTS.into_iter().find(|number| Some(*number) == to.as_str()).expect("a known number");
        let (at, how) = (self.clock.now().as_millis(), *self.how.lock().unwrap());
        let (user, secret) = (user.to_owned(), secret.to_owned());
        let session = scope.expect("its session").to_owned();
        Message { at, user, session, recipient, push, how, secret, verified: None }
    }

    /// The newest message of a session that may have arrived, with its index.
    fn newest(&self, caller: &(String, String), push: bool) -> Option<(usize, String)> {
        let messages = self.messages.lock().unwrap();
        let is_it = |message: &Message| {
            message.push == push && message.is_out() && message.user == caller.0 && message.session == caller.1
        };
        messages.iter().rposition(is_it).map(|place| (place, messages[place].secret.clone()))
    }

    fn verified(&self, place: usize) {
        self.messages.lock().unwrap()[place].verified = Some(self.clock.now().as_millis());
    }
}

/// One number in several spellings.
fn recipient_of(user: &str, spelling: usize) -> Recipient {
    let number = RECIPIENTS[user.parse::<usize>().expect("a user") / 4];
    let spelled = match spelling % 3 {
        0 => number.to_owned(),
        1 => format!("{} {}", &number[..3], &number[3..]),
        _ => format!("{} ({}) {}", &number[..3], &number[3..6], &number[6..]),
    };
    Recipient::phone(spelled).expect("a number in E.164")
}

/// The attacker, with everything that was sent and compared.
struct Attack {
    step_up: StepUp,
    provider: Provider,
    clock: ManualClock,
    /// Times of compared wrong codes, by user, with the number of failures in a row before.
    wrong_at: BTreeMap<String, Vec<u64>>,
    row: HashMap<String, usize>,
}

impl Attack {
    fn new(rates: bool) -> Self {
        let clock = ManualClock::new();
        let provider = Provider { clock: clock.clone(), ..Provider::default() };
        let mut policy = Policy::new().live_challenges(10).wrong_codes_a_day(WRONG_A_DAY);
        if rates {
            let window = |(sends, millis): (usize, u64)| (u32::try_from(sends).unwrap(), Duration::from_millis(millis));
            let ((sends, per), (of_prefix, of)) = (window(IN_PROCESS), window(PER_PREFIX));
            policy = policy.sends_in_process(sends, per).sends_per_prefix(3, of_prefix, of);
        }
        let spelling = Arc::new(AtomicUsize::new(0));
        let step_up = StepUp::builder()
            .otp("SMS", {
                let provider = provider.clone();
                move |sent: OtpMessage| {
                    let code = sent.code().expose();
                    provider.clone().take(provider.message(sent.subject(), sent.recipient(), sent.scope(), false, code))
                }
            })
            .push("BIO", {
                let provider = provider.clone();
                move |sent: PushMessage| {
                    let id = sent.id();
                    provider.clone().take(provider.message(sent.subject(), sent.recipient(), sent.scope(), true, id))
                }
            })
            .enrollment(move |caller: Caller, _: String| {
                let recipient = recipient_of(caller.subject(), spelling.fetch_add(1, Ordering::SeqCst));
                async move { Ok(recipient) }
            })
            .policy(policy)
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { step_up, provider, clock, wrong_at: BTreeMap::new(), row: HashMap::new() }
    }

    /// Whether a message was sent is checked later.
    async fn start(&self, user: usize, session: usize, push: bool) {
        let (user, session) = (user.to_string(), session.to_string());
        let (caller, scope) = (caller(&user, &session), Some(&*session));
        if push {
            let _ = self.step_up.start_push(&caller, "BIO", scope).await;
        } else {
            let _ = self.step_up.start_otp(&caller, "SMS", scope).await;
        }
    }

    async fn right(&mut self, user: usize, session: usize) {
        let names = (user.to_string(), session.to_string());
        let Some((place, code)) = self.provider.newest(&names, false) else { return };
        if self.step_up.verify_otp(&caller(&names.0, &names.1), "SMS", &code).await.is_ok() {
            self.provider.verified(place);
            self.row.remove(&names.0);
        }
    }

    async fn wrong(&mut self, user: usize, session: usize, times: usize) -> Result<(), TestCaseError> {
        let names = (user.to_string(), session.to_string());
        let Some((_, code)) = self.provider.newest(&names, false) else { return Ok(()) };
        for by in 1..=times {
            let code = other(&code, u8::try_from(by).unwrap());
            if was_wrong(&self.step_up.verify_otp(&caller(&names.0, &names.1), "SMS", &code).await) {
                self.compared(&names.0)?;
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let of = |user: usize, session: usize| {
            let (user, session) = (user.to_string(), session.to_string());
            (caller(&user, &session), (user, session))
        };
        match *step {
            Step::Start { user, session, at_once, push, how } => {
                *self.provider.how.lock().unwrap() = how;
                join_all((0..at_once).map(|i| self.start(user, (session + i) % SESSIONS, push))).await;
            }
            Step::Patient { user, times, push, wait } => {
                *self.provider.how.lock().unwrap() = How::Sends;
                for i in 0..times {
                    self.start(user, i % SESSIONS, push).await;
                    self.clock.advance(Duration::from_millis(wait));
                }
            }
            Step::Right { user, session } => self.right(user, session).await,
            Step::Wrong { user, session, times } => self.wrong(user, session, times).await?,
            Step::Guesser { user, times, wrong, right, wait } => {
                *self.provider.how.lock().unwrap() = How::Sends;
                for i in 0..times {
                    self.start(user, i % SESSIONS, false).await;
                    self.wrong(user, i % SESSIONS, wrong).await?;
                    if right {
                        self.right(user, i % SESSIONS).await;
                    }
                    self.clock.advance(Duration::from_millis(wait));
                }
            }
            Step::Answer { user, session, approves } => {
                let (caller, names) = of(user, session);
                let Some((place, id)) = self.provider.newest(&names, true) else { return Ok(()) };
                let answer = if approves { PushReply::Approve } else { PushReply::Decline };
                if self.step_up.answer_push(caller.subject(), &id, answer).await.is_ok() && approves {
                    self.provider.verified(place);
                }
            }
            Step::Revoke { user, session } => self.step_up.revoke(&of(user, session).0).await.unwrap(),
            Step::Wait(millis) => self.clock.advance(Duration::from_millis(millis)),
        }
        Ok(())
    }

    /// Records a compared wrong code: at most a day's limit, and none during a wait.
    fn compared(&mut self, user: &str) -> Result<(), TestCaseError> {
        let now = self.clock.now().as_millis();
        let wrong = self.wrong_at.entry(user.to_owned()).or_default();
        let row = self.row.entry(user.to_owned()).or_default();
        if let Some(last) = wrong.last().filter(|_| *row > 0 && row.is_multiple_of(5)) {
            let wait = ((30 * SECOND) << (*row / 5 - 1)).min(HOUR);
            prop_assert!(now >= last + wait, "compared {} ms after failure {row}", now - last);
        }
        prop_assert!(*row < 50, "compared after {row} failures in a row");
        *row += 1;
        wrong.push(now);
        let in_a_day = wrong.iter().filter(|at| now < **at + DAY).count();
        reach("wrong codes", in_a_day, WRONG_A_DAY.into())
    }

    /// Checks every window that ends with a message.
    fn check(&self, rates: bool) -> Result<(), TestCaseError> {
        let messages = self.provider.messages.lock().unwrap();
        for (place, last) in messages.iter().enumerate() {
            let count = |window: u64, which: &dyn Fn(&Message) -> bool| {
                let in_it = |message: &&Message| message.counts(last.at, window) && which(message);
                messages[..=place].iter().filter(in_it).count()
            };
            if last.how == How::Fails {
                let failed = |message: &Message| message.how == How::Fails && message.user == last.user;
                reach("failed", count(10 * MINUTE, &failed), 5)?;
                continue;
            }
            let verified_before = |message: &Message| {
                let is_earlier = |earlier: &Message| {
                    earlier.user == message.user
                        && earlier.recipient == message.recipient
                        && earlier.verified.is_some_and(|verified| verified <= message.at)
                };
                messages.iter().any(is_earlier)
            };
            let mine = |message: &Message| message.is_out() && message.user == last.user;
            let my_like = |message: &Message| mine(message) && message.push == last.push;
            // A user who has verified with a recipient has their own budget for it.
            let theirs = |message: &Message| {
                message.is_out() && message.recipient == last.recipient && !verified_before(message)
            };
            let their_like = |message: &Message| theirs(message) && message.push == last.push;
            if last.push {
                reach("pushes", count(10 * MINUTE, &my_like), 3)?;
                reach("pushes to a recipient", count(10 * MINUTE, &their_like), 9)?;
            } else {
                reach("five minutes", count(5 * MINUTE, &my_like), 3)?;
                reach("ten minutes", count(10 * MINUTE, &my_like), 5)?;
                reach("five minutes of a recipient", count(5 * MINUTE, &their_like), 9)?;
                reach("ten minutes of a recipient", count(10 * MINUTE, &their_like), 15)?;
            }
            reach("an hour", count(HOUR, &mine), 15)?;
            reach("a day", count(DAY, &mine), 30)?;
            reach("an hour of a recipient", count(HOUR, &theirs), 45)?;
            reach("a day of a recipient", count(DAY, &theirs), 90)?;
            if rates {
                // Verified messages are not restored to these budgets.
                let any = |window: u64, which: &dyn Fn(&Message) -> bool| {
                    let in_it =
                        |message: &&Message| last.at < message.at + window && message.is_out() && which(message);
                    messages[..=place].iter().filter(in_it).count()
                };
                reach("a process", any(IN_PROCESS.1, &|_| true), IN_PROCESS.0)?;
                let prefix = |message: &Message| message.recipient[..3] == last.recipient[..3];
                reach("a prefix", any(PER_PREFIX.1, &prefix), PER_PREFIX.0)?;
            }
        }
        Ok(())
    }
}

/// The limits that were reached, so that each is known to be tested.
static REACHED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

fn reach(name: &'static str, count: usize, limit: usize) -> Result<(), TestCaseError> {
    prop_assert!(count <= limit, "{name}: {count} of {limit}");
    if count == limit {
        REACHED.lock().unwrap().insert(name);
    }
    Ok(())
}

#[test]
fn no_window_holds_more_than_its_limit() {
    let mut config = Config { failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 200;
    }
    let run = TestRunner::new(config).run(&(any::<bool>(), steps()), |(rates, steps)| {
        // tokio's paused clock advances to the senders' deadlines.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut attack = Attack::new(rates);
            for step in &steps {
                attack.step(step).await?;
            }
            attack.check(rates)
        })
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    let reached = REACHED.lock().unwrap();
    println!("reached: {reached:?}");
    let of_recipients = ["five minutes of a recipient", "pushes to a recipient"];
    for limit in
        ["five minutes", "ten minutes", "an hour", "a day", "pushes", "wrong codes"].iter().chain(&of_recipients)
    {
        assert!(reached.contains(limit), "no attack has reached {limit}");
    }
}
