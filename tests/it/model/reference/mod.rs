//! The contract, written as naively as possible: lists of all past events, from which every response is derived. A
//! response is a line: the status, the error code, and its parameters.

mod limits;

use super::{
    command::{Channel, Guess, Post, Route, Say},
    rules::{HOUR, MINUTE, Rules, SECOND},
};

const CODE_LIFE: u64 = 5 * MINUTE;
const GRANT_LIFE: u64 = 10 * MINUTE;

/// The first refusal ends the checks.
pub(crate) type Answer = Result<String, String>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Pending,
    Verified(u64),
    Declined(u64),
    Exhausted,
    Dropped,
    /// A code reported as unsent: as if it had never been started.
    Unsent,
}

struct Challenge {
    user: usize,
    session: usize,
    channel: Channel,
    payments: bool,
    at: u64,
    wrong: usize,
    end: End,
    /// The sender did not report it as unsent.
    sent: bool,
    /// Declined after it had ended.
    denied: bool,
}

struct Grant {
    session: usize,
    channel: Channel,
    payments: bool,
    at: u64,
}

impl Grant {
    fn line(&self, now: u64) -> String {
        let scope = if self.payments { "/payments" } else { "" };
        format!("{}{scope} {} {}", self.channel.name(), self.at, (self.at + GRANT_LIFE - now) / SECOND)
    }
}

/// A push.
#[derive(Clone, Copy)]
pub(crate) struct Push {
    /// Its index among the challenges.
    at: usize,
    /// The number of pushes before it.
    pub(crate) number: usize,
    pub(crate) channel: Channel,
    pub(crate) user: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Event {
    Wrong(Channel),
    Right(Channel),
    Approved,
    Denied,
    Locked,
    Unlocked,
}

pub(crate) struct Reference {
    rules: Rules,
    pub(crate) now: u64,
    challenges: Vec<Challenge>,
    grants: Vec<Grant>,
    events: Vec<(usize, u64, Event)>,
}

fn secs(millis: u64) -> u64 {
    millis.div_ceil(SECOND)
}

impl Reference {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, now: 0, challenges: Vec::new(), grants: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn user(&self, session: usize) -> usize {
        session % self.rules.users
    }

    /// A session's last code or push.
    fn last(&self, session: usize, push: bool) -> Option<usize> {
        let is_in_place = |c: &Challenge| c.session == session && c.channel.is_push() == push && c.end != End::Unsent;
        self.challenges.iter().rposition(is_in_place)
    }

    fn is_alive(&self, i: usize) -> bool {
        let c = &self.challenges[i];
        self.last(c.session, c.channel.is_push()) == Some(i) && c.end == End::Pending && self.now < c.at + CODE_LIFE
    }

    pub(crate) fn start(&mut self, session: usize, channel: Channel, payments: bool, post: Post) -> Answer {
        let (user, push, now) = (self.user(session), channel.is_push(), self.now);
        self.not_disabled(user, channel)?;
        let last = self.last(session, push);
        if push && last.is_some_and(|last| self.is_alive(last)) {
            return Err("409 STATE_INVALID".into());
        }
        let last = last.map(|last| &self.challenges[last]);
        if let Some(last) = last.filter(|last| !push && now < last.at + 15 * SECOND) {
            return Err(format!("409 RETRY_IN_15SEC after {}", secs(last.at + 15 * SECOND - now)));
        }
        let started = self.challenges.iter().filter(|c| c.session == session).count();
        if self.rules.starts.is_some_and(|starts| started >= starts) {
            return Err("409 CHALLENGE_LIMIT_EXCEEDED".into());
        }
        self.not_locked_out(user, channel)?;
        if push {
            self.not_paused(user)?;
        }
        self.within_budgets(Some(user), push, 1)?;
        self.few_unsent(user)?;
        self.few_alive(session, push)?;
        if !self.has_verified(user) {
            self.within_budgets(None, push, 3)?;
        }
        // Attempts carry over unless the last code expired, was verified, or was exhausted.
        let goes_on = |c: &&Challenge| now < c.at + CODE_LIFE && matches!(c.end, End::Pending | End::Dropped);
        let wrong = last.filter(|_| !push).filter(goes_on).map_or(0, |last| last.wrong);
        let (end, sent) = match post {
            Post::Arrives => (End::Pending, true),
            Post::Fails | Post::NoSuchNumber if push => (End::Dropped, false),
            Post::Fails | Post::NoSuchNumber => (End::Unsent, false),
        };
        self.challenges.push(Challenge { user, session, channel, payments, at: now, wrong, end, sent, denied: false });
        match post {
            Post::Arrives if push => Ok(if self.rules.number { "200 number".into() } else { "200".into() }),
            Post::Arrives => Ok("204".into()),
            Post::NoSuchNumber if !push => Err("409 MOBILE_NUMBER_INVALID".into()),
            Post::Fails | Post::NoSuchNumber => Err("503 UNAVAILABLE after 1".into()),
        }
    }

    pub(crate) fn verify(&mut self, session: usize, channel: Channel, guess: Guess) -> Answer {
        let (user, now) = (self.user(session), self.now);
        if guess == Guess::TooShort {
            return Err("400 INVALID_REQUEST verificationCode SIZE".into());
        }
        self.not_disabled(user, channel)?;
        let last = self.last(session, false).filter(|last| self.challenges[*last].channel == channel);
        let last = last.ok_or("409 STATE_INVALID")?;
        let deadline = self.challenges[last].at + CODE_LIFE;
        match self.challenges[last].end {
            End::Verified(at) if now < at + HOUR => return Err("409 ALREADY_VERIFIED".into()),
            End::Pending if now < deadline => {}
            End::Pending if now < deadline + HOUR => return Err("409 VERIFICATION_CODE_EXPIRED".into()),
            _ => return Err("409 STATE_INVALID".into()),
        }
        self.not_locked_out(user, channel)?;
        if guess == Guess::Right {
            self.events.push((user, now, Event::Right(channel)));
            self.grant(last);
            return Ok("204".into());
        }
        self.events.push((user, now, Event::Wrong(channel)));
        let code = &mut self.challenges[last];
        code.wrong += 1;
        match self.rules.tries - code.wrong {
            0 => {
                code.end = End::Exhausted;
                Err("409 CHALLENGE_LIMIT_EXCEEDED".into())
            }
            1 => Err("409 ONE_CHALLENGE_LIMIT_REMAINING".into()),
            _ => Err("409 VERIFICATION_CODE_INVALID".into()),
        }
    }

    fn grant(&mut self, i: usize) {
        let c = &mut self.challenges[i];
        c.end = End::Verified(self.now);
        let grant = Grant { session: c.session, channel: c.channel, payments: c.payments, at: self.now };
        let same =
            |old: &Grant| (old.session, old.channel, old.payments) == (grant.session, grant.channel, grant.payments);
        self.grants.retain(|old| !same(old));
        self.grants.push(grant);
    }

    /// The pushes of all sessions, the last first.
    pub(crate) fn push(&self, nth: usize) -> Option<Push> {
        let pushes = self.challenges.iter().enumerate().filter(|(_, c)| c.channel.is_push());
        let push =
            |(number, (at, c)): (usize, (usize, &Challenge))| Push { at, number, channel: c.channel, user: c.user };
        pushes.enumerate().map(push).collect::<Vec<_>>().into_iter().rev().nth(nth)
    }

    pub(crate) fn answer(&mut self, push: Push, user: usize, say: Say) -> Answer {
        let push = push.at;
        let locked = self.is_locked(user) && say != Say::Decline;
        if self.challenges[push].user == user && say == Say::Decline && !self.is_alive(push) {
            self.decline_late(push);
        }
        if self.challenges[push].user != user || locked || !self.is_alive(push) {
            return Err("gone".into());
        }
        match say {
            Say::Approve if self.rules.number => return Err("number required".into()),
            Say::WrongNumber if self.rules.number => {
                self.challenges[push].wrong += 1;
                let left = 3 - self.challenges[push].wrong;
                if left == 0 {
                    self.decline(push);
                }
                return Err(format!("wrong number, {left} left"));
            }
            Say::Decline => self.decline(push),
            Say::Approve | Say::RightNumber | Say::WrongNumber => {
                self.events.push((user, self.now, Event::Approved));
                self.grant(push);
            }
        }
        Ok("taken".into())
    }

    /// A denial counts in any state of the push, once, for as long as it could have been answered.
    fn decline_late(&mut self, push: usize) {
        let Challenge { user, at, end, sent, denied, .. } = self.challenges[push];
        if end == End::Dropped && sent && !denied && self.now < at + CODE_LIFE {
            self.challenges[push].denied = true;
            self.events.push((user, self.now, Event::Denied));
        }
    }

    fn decline(&mut self, push: usize) {
        self.challenges[push].end = End::Declined(self.now);
        self.events.push((self.challenges[push].user, self.now, Event::Denied));
    }

    pub(crate) fn poll(&self, session: usize, push: Push) -> Answer {
        let push = push.at;
        let Challenge { at, end, .. } = self.challenges[push];
        let (over, status) = match end {
            End::Pending => (at + CODE_LIFE, "EXPIRED"),
            End::Verified(at) => (at, "VERIFIED"),
            End::Declined(at) => (at, "DECLINED"),
            End::Exhausted | End::Dropped | End::Unsent => return Err("404 NOT_FOUND".into()),
        };
        if self.last(session, true) != Some(push) || self.now >= over + HOUR {
            return Err("404 NOT_FOUND".into());
        }
        if self.is_alive(push) {
            return Ok(format!("200 PENDING {}", (over - self.now) / SECOND));
        }
        Ok(format!("200 {status} 0"))
    }

    pub(crate) fn status(&self, session: usize) -> String {
        let live = self.grants.iter().filter(|grant| grant.session == session && self.now < grant.at + GRANT_LIFE);
        let live: Vec<String> = live.map(|grant| grant.line(self.now)).collect();
        let status = if live.is_empty() { "200 STANDARD" } else { "200 STEPPED_UP" };
        [&[status.to_owned()], &live[..]].concat().join(" ")
    }

    pub(crate) fn guarded(&self, session: usize, route: Route) -> Answer {
        let fits = |grant: &Grant| {
            grant.session == session
                && self.now < grant.at + GRANT_LIFE
                && grant.payments == (route == Route::Payments)
                && (route != Route::Fresh || self.now <= grant.at + 2 * MINUTE)
                && (route != Route::Biometric || grant.channel == Channel::Biometric)
        };
        if self.grants.iter().any(fits) { Ok("200".into()) } else { Err("403 STEP_UP_REQUIRED".into()) }
    }

    fn drop_pending(&mut self, which: impl Fn(usize, usize) -> bool) {
        // Two seconds longer, because another node's clock may be behind.
        let is_pending = |c: &Challenge| c.end == End::Pending && self.now < c.at + CODE_LIFE + 2 * SECOND;
        let pending = self.challenges.iter_mut().filter(|c| is_pending(c) && which(c.user, c.session));
        pending.for_each(|c| c.end = End::Dropped);
    }

    pub(crate) fn revoke(&mut self, session: usize) {
        self.drop_pending(|_, of| of == session);
        self.grants.retain(|grant| grant.session != session);
    }

    /// Transfers everything except what is pending.
    pub(crate) fn rotate(&mut self, session: usize) {
        self.drop_pending(|_, of| of == session);
    }

    pub(crate) fn revoke_all(&mut self, user: usize) {
        self.drop_pending(|of, _| of == user);
        let users = self.rules.users;
        self.grants.retain(|grant| grant.session % users != user);
    }

    pub(crate) fn lock(&mut self, user: usize) {
        self.events.push((user, self.now, Event::Locked));
    }

    pub(crate) fn unlock(&mut self, user: usize) {
        self.events.push((user, self.now, Event::Unlocked));
    }
}
