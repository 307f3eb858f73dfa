//! The challenge endpoints compared with a naive reference of their contract: random commands from many sessions.
//!
//! The reference keeps all past events in lists and derives each response from them. Both sides must give the same
//! responses, so every limit holds for any sequence. The sequences are the same in every run; `PROPTEST_RNG_SEED` and
//! `PROPTEST_CASES` select others and more. With the feature `redis`, two nodes on a server take turns.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tower_step_up::Clock as _;

mod command;
mod companion;
mod reference;
mod rules;

use self::{
    command::{Channel, Command, Guess, Post, commands},
    companion::Companion,
    reference::Reference,
    rules::Rules,
};

/// The responses of both sides to one command.
type Answers = (Vec<String>, Vec<String>);

/// A refusal is a response, too.
fn line(answer: Result<String, String>) -> String {
    answer.unwrap_or_else(|refusal| refusal)
}

/// The responses are empty if there is nothing to compare.
async fn both(companion: &mut Companion, reference: &mut Reference, users: usize, command: Command) -> Answers {
    let (mut given, mut due) = (Vec::new(), Vec::new());
    reference.now = companion.clock.now().as_millis();
    match command {
        Command::Start { session, channel, payments, post } => {
            given.push(companion.start(session, channel, payments, post).await);
            due.push(line(reference.start(session, channel, payments, post)));
        }
        Command::Verify { session, channel, guess, times } => {
            for _ in 0..times {
                given.push(companion.verify(session, channel, guess).await);
                due.push(line(reference.verify(session, channel, guess)));
            }
        }
        Command::Poll { session, push } => {
            if let Some(push) = reference.push(push) {
                given.push(companion.poll(session, push.channel, push.number).await);
                due.push(line(reference.poll(session, push)));
            }
        }
        Command::Answer { push, say, as_another } => {
            if let Some(push) = reference.push(push) {
                let user = (push.user + usize::from(as_another)) % users;
                given.push(companion.answer(push.number, user, say).await);
                due.push(line(reference.answer(push, user, say)));
            }
        }
        Command::Status { session } => {
            given.push(companion.status(session).await);
            due.push(reference.status(session));
        }
        Command::Guarded { session, route } => {
            given.push(companion.guarded(session, route).await);
            due.push(line(reference.guarded(session, route)));
        }
        Command::Drop { session } => {
            given.push(companion.drop_elevation(session).await);
            reference.revoke(session);
            due.push("204".into());
        }
        Command::Revoke { session } => {
            companion.revoke(session).await;
            reference.revoke(session);
        }
        Command::RevokeAll { session } => {
            companion.revoke_all(reference.user(session)).await;
            reference.revoke_all(reference.user(session));
        }
        Command::Rotate { session } => {
            given.push(companion.rotate(session, users).await);
            reference.rotate(session);
            // The old id has nothing.
            due.push("200 STANDARD".into());
        }
        Command::Lock { session } => {
            companion.lock(reference.user(session)).await;
            reference.lock(reference.user(session));
        }
        Command::Unlock { session } => {
            companion.unlock(reference.user(session)).await;
            reference.unlock(reference.user(session));
        }
        Command::Wait(duration) => companion.clock.advance(duration),
    }
    (given, due)
}

/// Runs the commands on both sides; returns all responses, or the first difference.
fn run(
    rules: Rules,
    companion: impl Fn(Rules) -> Companion,
    commands: &[Command],
) -> Result<Vec<String>, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut companion, mut reference) = (companion(rules), Reference::new(rules));
        let mut answers = Vec::new();
        for (i, command) in commands.iter().enumerate() {
            let (given, due) = both(&mut companion, &mut reference, rules.users, *command).await;
            if given != due {
                let text =
                    format!("command {i}, {command:?}: the response is {given:?}, the reference expects {due:?}");
                return Err(TestCaseError::fail(text));
            }
            answers.extend(given);
        }
        Ok(answers)
    })
}

/// Runs this many random sequences, which together must contain all of these responses.
fn answers_as_the_reference(rules: Rules, companion: impl Fn(Rules) -> Companion, cases: u32, met: &[&str]) {
    let mut config = Config { failure_persistence: None, max_shrink_iters: 200 * cases, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let answers = RefCell::new(BTreeSet::new());
    let run = TestRunner::new(config).run(&commands(), |commands| {
        answers.borrow_mut().extend(run(rules, &companion, &commands)?);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    for expected in met {
        assert!(answers.borrow().iter().any(|answer| answer.starts_with(expected)), "no response was {expected}");
    }
}

#[cfg(feature = "redis")]
mod in_redis {
    //! Two nodes on one server.

    use std::{cell::Cell, time::Duration};

    use testkit::server::Server;
    use tower_step_up::{Secret, store::RedisStore};

    use super::{Companion, Rules, answers_as_the_reference};

    /// Runs fewer sequences than in process, because each waits for a server thousands of times.
    pub(crate) fn answers(rules: Rules, cases: u32, met: &[&str]) {
        let (server, case) = (Server::start(), Cell::new(0));
        let companion = |rules: Rules| {
            case.set(case.get() + 1);
            let store =
                || RedisStore::open(server.address().as_str()).unwrap().prefix(format!("step-up:{}:", case.get()));
            let policy = rules.policy().store_deadline(Duration::from_secs(10));
            Companion::new(rules, 2, |builder| {
                let builder = builder.policy(policy.clone()).store(store());
                builder.record_key(Secret::new([1; 32]).unwrap()).secret(Secret::new([2; 32]).unwrap()).build().unwrap()
            })
        };
        answers_as_the_reference(rules, companion, cases, met);
    }
}

/// The tests of a set of rules; the numbers are the sequences in process and in Redis.
macro_rules! by_the_rules {
    ($($name:ident: $rules:ident, $in_process:literal, $in_redis:literal, meets $met:expr;)*) => {$(
        mod $name {
            use super::{Companion, Rules, answers_as_the_reference};

            #[test]
            fn in_process() {
                answers_as_the_reference(Rules::$rules, Companion::in_process, $in_process, &$met);
            }

            #[cfg(feature = "redis")]
            #[test]
            #[ignore = "needs a Redis or Valkey server: cargo test --features redis -- --ignored in_redis"]
            fn in_redis() {
                super::in_redis::answers(Rules::$rules, $in_redis, &$met);
            }
        }
    )*};
}

by_the_rules! {
    by_default: DEFAULT, 100, 30, meets [
        "429 RATE_LIMITED limit 3, 3;w=300", "429 RATE_LIMITED limit 5, 3;w=300", "429 RATE_LIMITED limit 3, 3;w=600", "429 RATE_LIMITED limit 15, 3;w=",
        "429 RATE_LIMITED limit 30, 3;w=", "429 RATE_LIMITED limit 5 after", "429 RATE_LIMITED limit 3 after", "200 STEPPED_UP SMS/payments",
    ];
    where_every_limit_is_near: SMALL, 100, 50, meets [
        "429 RATE_LIMITED limit 7, ", "429 RATE_LIMITED limit 4 after", "429 RATE_LIMITED limit 2 after 1800", "number required", "wrong number, 0",
    ];
    where_guessing_goes_far: GUESSING, 100, 30, meets [
        "429 RATE_LIMITED limit 2 after 30", "429 RATE_LIMITED limit 2 after 60", "429 RATE_LIMITED limit 2 after 120", "429 RATE_LIMITED limit 12, 12;w=86400",
    ];
    where_a_session_starts_few: FEW_STARTS, 100, 50, meets [
        "409 CHALLENGE_LIMIT_EXCEEDED", "200 VERIFIED", "200 DECLINED", "200 EXPIRED",
    ];
    where_many_share_a_telephone: SHARED_PHONE, 100, 30, meets [
        "429 RATE_LIMITED limit 3, ", "429 RATE_LIMITED limit 9, ", "429 RATE_LIMITED limit 12, ",
    ];
}

/// Three wrong attempts, then unsent starts: making a sender fail does not restore attempts early.
#[test]
fn attempts_survive_unsent_starts() {
    const VOID: Command = start(Post::Fails);
    const ONE_LEFT: &str = "409 ONE_CHALLENGE_LIMIT_REMAINING";
    const FRESH: &str = "409 VERIFICATION_CODE_INVALID";
    let table: [(&str, &[Command], &str); 8] = [
        ("one", &[wait(15), VOID, wait(15)], ONE_LEFT),
        ("no such number", &[wait(15), start(Post::NoSuchNumber), wait(15)], ONE_LEFT),
        ("several", &[wait(15), VOID, wait(15), VOID, wait(100), VOID, wait(15)], ONE_LEFT),
        (
            "dropped between",
            &[Command::Drop { session: 0 }, wait(15), VOID, Command::Drop { session: 0 }, wait(15)],
            ONE_LEFT,
        ),
        ("under another id", &[wait(15), VOID, Command::Rotate { session: 0 }, wait(15)], ONE_LEFT),
        ("the first has expired since", &[wait(299), VOID, wait(299)], FRESH),
        ("the first had expired", &[wait(300), VOID, wait(15)], FRESH),
        ("the one that was not sent would have expired", &[wait(15), VOID, wait(300)], FRESH),
    ];
    for (name, between, expected) in table {
        let wrong = |times| Command::Verify { session: 0, channel: Channel::Sms, guess: Guess::Wrong, times };
        let before = [start(Post::Arrives), wrong(3)];
        let after = [start(Post::Arrives), wrong(1)];
        let answers = run(Rules::DEFAULT, Companion::in_process, &[&before, between, &after].concat()).expect(name);
        assert_eq!(answers.last().unwrap(), expected, "{name}");
    }
}

const fn start(post: Post) -> Command {
    Command::Start { session: 0, channel: Channel::Sms, payments: false, post }
}

const fn wait(secs: u64) -> Command {
    Command::Wait(Duration::from_secs(secs))
}
