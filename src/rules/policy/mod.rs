//! Every number that can be set: its default, and where it comes from.

mod bounds;
pub(super) mod fixed;
mod get;
mod send_budget;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::send_budget::SendBudget;

/// The numbers of a step-up.
///
/// The defaults are those of NIST SP 800-63B-4, OWASP ASVS 5.0 and the PSD2 technical standard (Regulation
/// 2018/389); `StepUpBuilder::build` refuses what is outside the bounds that each setter names.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_step_up::{Policy, StepUp};
///
/// let step_up = StepUp::builder()
///     .sandbox()
///     .otp("SMS", tower_step_up::discard)
///     .policy(Policy::new().code_digits(8).grant_lifetime(Duration::from_secs(300)))
///     .build()?;
///
/// let refused = StepUp::builder()
///     .sandbox()
///     .otp("SMS", tower_step_up::discard)
///     .policy(Policy::new().code_digits(4))
///     .build();
/// assert!(refused.is_err());
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Policy {
    pub(crate) code_digits: u8,
    pub(crate) code_lifetime: Duration,
    pub(crate) max_attempts: u8,
    pub(crate) lockout_every: u8,
    pub(crate) first_wait: Duration,
    pub(crate) longest_wait: Duration,
    pub(crate) disable_after: u8,
    pub(crate) wrong_codes_a_day: u8,
    pub(crate) resend_interval: Duration,
    pub(crate) starts_per_session: Option<u32>,
    pub(crate) sends: SendBudget,
    pub(crate) sends_in_process: Option<Rate>,
    pub(crate) sends_per_prefix: Option<(u8, Rate)>,
    pub(crate) live_challenges: u8,
    pub(crate) push_lifetime: Duration,
    pub(crate) pushes: u32,
    pub(crate) denials: u8,
    pub(crate) denial_pause: Duration,
    pub(crate) number_matching: Option<u8>,
    pub(crate) email: bool,
    pub(crate) grant_lifetime: Duration,
    pub(crate) one_time: bool,
    pub(crate) bound: bool,
    pub(crate) clock_skew: Duration,
    pub(crate) sender_deadline: Duration,
    pub(crate) store_deadline: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            code_digits: 6,
            code_lifetime: secs(5 * 60),
            max_attempts: 5,
            lockout_every: 5,
            first_wait: secs(30),
            longest_wait: secs(60 * 60),
            disable_after: 50,
            wrong_codes_a_day: 100,
            resend_interval: secs(15),
            starts_per_session: None,
            sends: SendBudget::new(),
            sends_in_process: None,
            sends_per_prefix: None,
            live_challenges: 3,
            push_lifetime: secs(5 * 60),
            pushes: 3,
            denials: 3,
            denial_pause: secs(30 * 60),
            number_matching: None,
            email: true,
            grant_lifetime: secs(10 * 60),
            one_time: false,
            bound: false,
            clock_skew: secs(2),
            sender_deadline: secs(10),
            store_deadline: Duration::from_millis(250),
        }
    }

    /// As NIST SP 800-63B-4 asks: no codes by e-mail (§3.1.3.1), and a push is approved by typing a number on the
    /// phone (§3.1.3). Everything else is as in [`new`](Self::new).
    ///
    /// A channel for codes that is called `EMAIL`, `E-MAIL`, `E_MAIL` or `MAIL`, in any case, is refused when built:
    /// what a channel by another name leads to, only you know.
    pub const fn nist() -> Self {
        let mut policy = Self::new().number_matching(2);
        policy.email = false;
        policy
    }

    /// As the PSD2 technical standard (Regulation 2018/389) asks: a channel is blocked after five failures in a row
    /// (art. 4(3)(b)), until the application unlocks the user; a push is approved by typing a number; a step-up opens
    /// one operation, once, and only what it was [bound](crate::Binding) to (art. 4(1), art. 5). Everything else is as
    /// in [`new`](Self::new).
    ///
    /// A guard without a binding, and [`StepUp::authorize`](crate::StepUp::authorize), refuse everybody under it. A warning says
    /// so where such a guard is put before a service.
    pub const fn psd2() -> Self {
        Self::new().disable_after(5).number_matching(2).one_time_grants().bound_grants()
    }

    /// Decimal digits of a one-time code. Default 6, 6 to 12 (NIST SP 800-63B-4 §3.1.3.2: at least six
    /// digits).
    pub const fn code_digits(mut self, digits: u8) -> Self {
        self.code_digits = digits;
        self
    }

    /// How long a one-time code can be verified. Default 5 minutes, 30 seconds to 10 minutes (NIST SP
    /// 800-63B-4 §3.1.3.2, ASVS 6.5.5: at most 10 minutes).
    pub const fn code_lifetime(mut self, life: Duration) -> Self {
        self.code_lifetime = life;
        self
    }

    /// Wrong codes that one challenge takes; the last one kills it. Default 5, 1 to 10 (PSD2 RTS art.
    /// 4(3)(b): at most 5).
    pub const fn max_attempts(mut self, attempts: u8) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// A wait follows every so many consecutive failures of a user on a channel. Default 5, 1 to 10 (NIST
    /// SP 800-63B-4 §3.2.2).
    pub const fn lockout_every(mut self, failures: u8) -> Self {
        self.lockout_every = failures;
        self
    }

    /// The first wait, which doubles each time, and the longest. Default 30 seconds to 1 hour; the first is
    /// at least 30 seconds, the longest at most 24 hours (NIST SP 800-63B-4 §3.2.2: 30 seconds up to an
    /// hour).
    pub const fn lockout_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_wait = first;
        self.longest_wait = longest;
        self
    }

    /// Consecutive failures of a user on a channel after which the channel is disabled for them until the
    /// application unlocks it. Default 50, 1 to 100 (NIST SP 800-63B-4 §3.2.2: at most 100). It cannot be
    /// switched off.
    pub const fn disable_after(mut self, failures: u8) -> Self {
        self.disable_after = failures;
        self
    }

    /// Wrong codes of a user in any 24 hours, over all channels and sessions. Default 100, 1 to 100. A
    /// success does not clear it, so whoever holds a session finds a six-digit code with a chance of at most
    /// 1 in 10,000 a day.
    pub const fn wrong_codes_a_day(mut self, codes: u8) -> Self {
        self.wrong_codes_a_day = codes;
        self
    }

    /// The least time between two starts of a code in one session. Default 15 seconds, 15 seconds to 10
    /// minutes, whole seconds: the error code names the number (`RETRY_IN_15SEC`).
    pub const fn resend_interval(mut self, interval: Duration) -> Self {
        self.resend_interval = interval;
        self
    }

    /// Challenges that one session may start, codes and pushes together. Unlimited unless set, at least 1.
    /// The count is kept for 30 days after the last start.
    pub const fn starts_per_session(mut self, starts: u32) -> Self {
        self.starts_per_session = Some(starts);
        self
    }

    /// How many codes a user may be sent, and, to one recipient, how many messages. Default 3 in any 5 minutes, 5 in any
    /// 10, 15 in any hour and 30 in any 24 hours; each from 1 to 1000, and none less than the one before (ASVS 2.4.1;
    /// toll fraud).
    ///
    /// A challenge that was verified gives its send back to all but the day's. Pushes have a budget of their own
    /// ([`pushes`](Self::pushes)) and count in the hour's and the day's as well. What several users send to one recipient
    /// is reported ([`Event::RecipientShared`](crate::Event::RecipientShared)) where it reaches these numbers, and refused
    /// at three times as many, so that a stranger cannot block a number.
    pub const fn send_budget(mut self, budget: SendBudget) -> Self {
        self.sends = budget;
        self
    }

    /// Sliding window limit on messages sent by this process: at most `sends` in any window of `per`. Off unless set; at
    /// least 1, over 1 second to 24 hours.
    ///
    /// A message that the sender reports as not sent is taken out again. Each message within the window takes 8 bytes.
    ///
    /// Each process counts for itself, and a restart begins anew. An attacker with many users can use it up and stop
    /// everybody's step-ups: it bounds a bill, so leave it well above an honest day.
    pub const fn sends_in_process(mut self, sends: u32, per: Duration) -> Self {
        self.sends_in_process = Some(Rate { sends, per });
        self
    }

    /// As [`sends_in_process`](Self::sends_in_process), for each group of recipients that begin with the same
    /// `characters`, such as `+8823`: numbers of one country or carrier. 1 to 8 characters.
    ///
    /// At most 100,000 groups are counted at once. While all of them are in use, a message to another group is refused
    /// (429). Recipients that the [enrollment](crate::Enrollment) does not name
    /// ([`known_to_sender`](crate::Recipient::known_to_sender)) are one group together, pushes included.
    /// `StepUpBuilder::build` refuses this limit with the default enrollment, which names nobody.
    pub const fn sends_per_prefix(mut self, characters: u8, sends: u32, per: Duration) -> Self {
        self.sends_per_prefix = Some((characters, Rate { sends, per }));
        self
    }

    /// Challenges of one user that may be alive at once, over all their sessions, in each of which at most one code
    /// and one push is. Default 3, 1 to 10.
    pub const fn live_challenges(mut self, challenges: u8) -> Self {
        self.live_challenges = challenges;
        self
    }

    /// Pushes that a user may be sent in any 10 minutes; one that was approved is given back. Default 3, 1 to 100
    /// (NIST SP 800-63B-4 §3.1.3.2, ASVS 6.6.4: push bombing).
    pub const fn pushes(mut self, pushes: u32) -> Self {
        self.pushes = pushes;
        self
    }

    /// After every so many pushes that a user declined, with no approval between, none is sent for a while. Default 3
    /// and 30 minutes; 1 to 10, and 1 minute to 24 hours.
    pub const fn pause_after_declines(mut self, denials: u8, pause: Duration) -> Self {
        self.denials = denials;
        self.denial_pause = pause;
        self
    }

    /// A push is approved by typing, on the phone, a number of so many digits that the application shows beside it;
    /// the third wrong one declines. Off unless set, 2 or 3 (NIST SP 800-63B-4 §3.1.3: approving only, or picking from a
    /// list, is no longer acceptable).
    pub const fn number_matching(mut self, digits: u8) -> Self {
        self.number_matching = Some(digits);
        self
    }

    /// How long a push can be answered. Default 5 minutes, 30 seconds to 10 minutes.
    pub const fn push_lifetime(mut self, life: Duration) -> Self {
        self.push_lifetime = life;
        self
    }

    /// How long a verified challenge opens guarded routes, counted from its verification, whatever happens
    /// in between. Default 10 minutes, 10 seconds to 12 hours. A route may ask for less.
    pub const fn grant_lifetime(mut self, life: Duration) -> Self {
        self.grant_lifetime = life;
        self
    }

    /// Every grant is spent by the first request that it opens a route for, whatever the route
    /// [asks](crate::Requirement::once). Off unless set.
    pub const fn one_time_grants(mut self) -> Self {
        self.one_time = true;
        self
    }

    /// Only grants that are [bound](crate::Binding) to an operation open anything: every guard needs a
    /// [binding](crate::RequireStepUp::bind). Off unless set.
    pub const fn bound_grants(mut self) -> Self {
        self.bound = true;
        self
    }

    /// How far ahead another node's clock may be. Default 2 seconds, at most 30 seconds. A grant or a
    /// challenge from further ahead is refused.
    pub const fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// How long a sender may take. Default 10 seconds, 100 milliseconds to 1 minute.
    pub const fn sender_deadline(mut self, deadline: Duration) -> Self {
        self.sender_deadline = deadline;
        self
    }

    /// How long one operation of a store may take. Default 250 milliseconds, 1 millisecond to 10 seconds.
    /// Past it the store counts as down, and the request is refused.
    pub const fn store_deadline(mut self, deadline: Duration) -> Self {
        self.store_deadline = deadline;
        self
    }
}

/// At most so many in any window of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) sends: u32,
    pub(crate) per: Duration,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
