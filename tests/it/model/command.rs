//! Random commands, and their weights.

use std::time::Duration;

use proptest::prelude::*;

use super::rules::{DAY, HOUR, MINUTE, SECOND};

/// Sessions of all users; session `n` is of user `n % users`.
pub(crate) const SESSIONS: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Sms,
    Email,
    Biometric,
    Authy,
}

impl Channel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sms => "SMS",
            Self::Email => "EMAIL",
            Self::Biometric => "BIOMETRIC",
            Self::Authy => "AUTHY",
        }
    }

    pub(crate) fn is_push(self) -> bool {
        matches!(self, Self::Biometric | Self::Authy)
    }
}

/// The result of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Post {
    #[default]
    Arrives,
    /// The sender reports that it was not sent.
    Fails,
    /// The sender reports that there is no such number.
    NoSuchNumber,
}

/// A typed code. Only the first is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// The last code sent to this session.
    Right,
    Wrong,
    /// The code before the last.
    Old,
    /// The last code of the next session.
    OfAnother,
    TooShort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Approve,
    RightNumber,
    WrongNumber,
    Decline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Any,
    Payments,
    Fresh,
    Biometric,
}

impl Route {
    pub(crate) const ALL: [Self; 4] = [Self::Any, Self::Payments, Self::Fresh, Self::Biometric];
}

/// Pushes are numbered backwards from the last one of all sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Start {
        session: usize,
        channel: Channel,
        payments: bool,
        post: Post,
    },
    Verify {
        session: usize,
        channel: Channel,
        guess: Guess,
        times: usize,
    },
    Poll {
        session: usize,
        push: usize,
    },
    Answer {
        push: usize,
        say: Say,
        as_another: bool,
    },
    Status {
        session: usize,
    },
    Guarded {
        session: usize,
        route: Route,
    },
    Drop {
        session: usize,
    },
    Revoke {
        session: usize,
    },
    RevokeAll {
        session: usize,
    },
    /// The session is transferred to another id.
    Rotate {
        session: usize,
    },
    Lock {
        session: usize,
    },
    Unlock {
        session: usize,
    },
    Wait(Duration),
}

/// Steps of the clock.
const STEPS: &[u64] = &[SECOND, 14_500, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE];
const LEAPS: &[u64] = &[10 * MINUTE, 30 * MINUTE, HOUR, DAY];

/// Random commands, and short sequences of related ones, which would otherwise be too rare.
pub(crate) fn commands() -> impl Strategy<Value = Vec<Command>> {
    let run = prop_oneof![
        4 => start(any_channel()).prop_map(|start| vec![start]),
        9 => (start(codes()), guesses()).prop_map(|(start, guesses)| vec![start, with(guesses, start)]),
        2 => guesses().prop_map(|guesses| vec![guesses]),
        5 => (start(pushes()), answer(Just(0))).prop_map(|(start, answer)| vec![start, answer]),
        2 => answer(0_usize..4).prop_map(|answer| vec![answer]),
        1 => flood(),
        4 => look().prop_map(|look| vec![look]),
        2 => intervene().prop_map(|intervene| vec![intervene]),
    ];
    let wait = prop_oneof![12 => prop::sample::select(STEPS), 1 => prop::sample::select(LEAPS)];
    let wait = wait.prop_map(Duration::from_millis).prop_map(Command::Wait);
    let pace = (run, prop::option::of(wait)).prop_map(|(run, wait)| run.into_iter().chain(wait).collect::<Vec<_>>());
    prop::collection::vec(pace, 1..120).prop_map(|paces| paces.concat())
}

/// The first two, of different users, are the most frequent.
fn session() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![5 => Just(0), 2 => Just(1), 1 => 2..SESSIONS]
}

fn codes() -> impl Strategy<Value = Channel> {
    prop_oneof![4 => Just(Channel::Sms), 1 => Just(Channel::Email)]
}

fn pushes() -> impl Strategy<Value = Channel> {
    prop_oneof![3 => Just(Channel::Biometric), 1 => Just(Channel::Authy)]
}

fn any_channel() -> impl Strategy<Value = Channel> {
    prop_oneof![2 => codes(), 1 => pushes()]
}

fn start(channel: impl Strategy<Value = Channel>) -> impl Strategy<Value = Command> {
    let post = prop_oneof![10 => Just(Post::Arrives), 1 => Just(Post::Fails), 1 => Just(Post::NoSuchNumber)];
    (session(), channel, prop::bool::weighted(0.2), post)
        .prop_map(|(session, channel, payments, post)| Command::Start { session, channel, payments, post })
}

fn guesses() -> impl Strategy<Value = Command> {
    use Guess::{OfAnother, Old, Right, TooShort, Wrong};
    let guess =
        prop_oneof![3 => Just(Right), 12 => Just(Wrong), 1 => Just(Old), 1 => Just(OfAnother), 1 => Just(TooShort)];
    (session(), codes(), guess, 1_usize..6).prop_map(|(session, channel, guess, times)| Command::Verify {
        session,
        channel,
        guess,
        times,
    })
}

/// The attempts in the session and on the channel of the start.
fn with(guesses: Command, start: Command) -> Command {
    match (guesses, start) {
        (Command::Verify { guess, times, .. }, Command::Start { session, channel, .. }) => {
            Command::Verify { session, channel, guess, times }
        }
        _ => guesses,
    }
}

fn answer(push: impl Strategy<Value = usize>) -> impl Strategy<Value = Command> {
    use Say::{Approve, Decline, RightNumber, WrongNumber};
    let say = prop_oneof![1 => Just(Approve), 1 => Just(RightNumber), 3 => Just(WrongNumber), 6 => Just(Decline)];
    (push, say, prop::bool::weighted(0.05)).prop_map(|(push, say, as_another)| Command::Answer {
        push,
        say,
        as_another,
    })
}

/// Pushes in several sessions, mostly of one user, before any of them is answered.
fn flood() -> impl Strategy<Value = Vec<Command>> {
    let start = |session| {
        let (channel, payments, post) = (Channel::Biometric, false, Post::Arrives);
        Command::Start { session, channel, payments, post }
    };
    let answer = |push| answer(Just(push));
    (answer(0), answer(1), answer(2)).prop_map(move |(a, b, c)| vec![start(0), start(2), start(4), a, b, c])
}

fn look() -> impl Strategy<Value = Command> {
    let poll = (session(), 0_usize..3).prop_map(|(session, push)| Command::Poll { session, push });
    let route = prop::sample::select(&Route::ALL[..]);
    let guarded = (session(), route).prop_map(|(session, route)| Command::Guarded { session, route });
    prop_oneof![2 => poll, 1 => session().prop_map(|session| Command::Status { session }), 2 => guarded]
}

fn intervene() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => session().prop_map(|session| Command::Drop { session }),
        2 => session().prop_map(|session| Command::Revoke { session }),
        2 => session().prop_map(|session| Command::Rotate { session }),
        1 => session().prop_map(|session| Command::RevokeAll { session }),
        1 => session().prop_map(|session| Command::Lock { session }),
        2 => session().prop_map(|session| Command::Unlock { session }),
    ]
}
