//! Every setting of a [`Policy`]: its default, its bounds and their source.

mod bounds;
pub(super) mod fixed;
mod get;
mod send_budget;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::send_budget::SendBudget;

/// The limits and lifetimes of a step-up.
///
/// The defaults follow NIST SP 800-63B-4, OWASP ASVS 5.0 and the PSD2 technical standard (Regulation 2018/389).
/// `StepUpBuilder::build` rejects values outside the bounds that each setter documents.
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

    /// The requirements of NIST SP 800-63B-4: no codes by e-mail (§3.1.3.1), and number matching for pushes (§3.1.3).
    /// Everything else is as in [`new`](Self::new).
    ///
    /// `StepUpBuilder::build` rejects a channel for codes named `EMAIL`, `E-MAIL`, `E_MAIL` or `MAIL`, ignoring case.
    /// An e-mail channel with another name is not detected.
    pub const fn nist() -> Self {
        let mut policy = Self::new().number_matching(2);
        policy.email = false;
        policy
    }

    /// The requirements of the PSD2 technical standard (Regulation 2018/389): a channel is blocked after five
    /// consecutive failures (art. 4(3)(b)) until the application unlocks the user; pushes use number matching; a grant
    /// opens one operation, once, and only the one it is [bound](crate::Binding) to (art. 4(1), art. 5). Everything
    /// else is as in [`new`](Self::new).
    ///
    /// Under this policy a guard without a binding and [`StepUp::authorize`](crate::StepUp::authorize) refuse every
    /// request. A warning is logged when such a guard wraps a service.
    pub const fn psd2() -> Self {
        Self::new().disable_after(5).number_matching(2).one_time_grants().bound_grants()
    }

    /// Decimal digits of a one-time code. Default 6, 6 to 12 (NIST SP 800-63B-4 §3.1.3.2: at least six
    /// digits).
    pub const fn code_digits(mut self, digits: u8) -> Self {
        self.code_digits = digits;
        self
    }

    /// Lifetime of a one-time code. Default 5 minutes, 30 seconds to 10 minutes (NIST SP 800-63B-4 §3.1.3.2, ASVS
    /// 6.5.5: at most 10 minutes).
    pub const fn code_lifetime(mut self, life: Duration) -> Self {
        self.code_lifetime = life;
        self
    }

    /// Wrong codes that one challenge accepts; the last one ends it. Default 5, 1 to 10 (PSD2 RTS art. 4(3)(b): at
    /// most 5).
    pub const fn max_attempts(mut self, attempts: u8) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Number of consecutive failures of a user on a channel that causes a lockout, each time it is reached again.
    /// Default 5, 1 to 10 (NIST SP 800-63B-4 §3.2.2).
    pub const fn lockout_every(mut self, failures: u8) -> Self {
        self.lockout_every = failures;
        self
    }

    /// Duration of the first lockout, which doubles each time, and of the longest. Default 30 seconds and 1 hour; the
    /// first is 30 seconds to 1 hour, the longest at least the first and at most 24 hours (NIST SP 800-63B-4 §3.2.2: 30
    /// seconds up to an hour).
    pub const fn lockout_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_wait = first;
        self.longest_wait = longest;
        self
    }

    /// Consecutive failures of a user on a channel after which the channel is disabled for them until the
    /// application unlocks it. Default 50, 1 to 100 (NIST SP 800-63B-4 §3.2.2: at most 100). This limit cannot be
    /// switched off.
    pub const fn disable_after(mut self, failures: u8) -> Self {
        self.disable_after = failures;
        self
    }

    /// Wrong codes of a user in any 24 hours, over all channels and sessions. Default 100, 1 to 100. A success does not
    /// reset the count, so an attacker with a session guesses a six-digit code with a probability of at most 1 in
    /// 10,000 a day.
    pub const fn wrong_codes_a_day(mut self, codes: u8) -> Self {
        self.wrong_codes_a_day = codes;
        self
    }

    /// Minimum time between two starts of a code in one session. Default 15 seconds, 15 seconds to 10 minutes, in whole
    /// seconds: the value is part of the error code (`RETRY_IN_15SEC`).
    pub const fn resend_interval(mut self, interval: Duration) -> Self {
        self.resend_interval = interval;
        self
    }

    /// Challenges that one session may start, codes and pushes together. Default unlimited, at least 1. The count is
    /// kept for 30 days after the last start.
    pub const fn starts_per_session(mut self, starts: u32) -> Self {
        self.starts_per_session = Some(starts);
        self
    }

    /// Maximum number of codes to a user, and of messages to one recipient. Default 3 in any 5 minutes, 5 in any 10
    /// minutes, 15 in any hour and 30 in any 24 hours; each from 1 to 1000, and none below that of the shorter window
    /// (ASVS 2.4.1; toll fraud).
    ///
    /// A verified challenge restores its send to every window except the day. Pushes have a separate budget
    /// ([`pushes`](Self::pushes)) and also count towards the hour and the day. Messages of several users to one
    /// recipient are reported ([`Event::RecipientShared`](crate::Event::RecipientShared)) when they reach these limits,
    /// and refused at three times the limits, so that a stranger cannot block a number.
    pub const fn send_budget(mut self, budget: SendBudget) -> Self {
        self.sends = budget;
        self
    }

    /// Sliding window limit on messages sent by this process: at most `sends` in any window of `per`. Off unless set;
    /// at least 1, over 1 second to 24 hours.
    ///
    /// A message that the sender reports as not sent is not counted. Each message within the window takes 8 bytes.
    ///
    /// Each process counts separately, and a restart resets the count. An attacker with many user accounts can exhaust
    /// the limit and block the step-ups of all users: it caps the cost of messages, so set it well above normal
    /// traffic.
    pub const fn sends_in_process(mut self, sends: u32, per: Duration) -> Self {
        self.sends_in_process = Some(Rate { sends, per });
        self
    }

    /// As [`sends_in_process`](Self::sends_in_process), for each group of recipients that begin with the same
    /// `characters`, such as `+8823`: numbers of one country or carrier. 1 to 8 characters.
    ///
    /// At most 100,000 groups are counted at once. While all of them are in use, a message to another group is refused
    /// (429). Recipients that the [enrollment](crate::Enrollment) does not name
    /// ([`known_to_sender`](crate::Recipient::known_to_sender)) form one group, pushes included. `StepUpBuilder::build`
    /// rejects this limit with the default enrollment, which names no recipients.
    pub const fn sends_per_prefix(mut self, characters: u8, sends: u32, per: Duration) -> Self {
        self.sends_per_prefix = Some((characters, Rate { sends, per }));
        self
    }

    /// Active challenges of one user at once, over all their sessions; a session has at most one code and one push.
    /// Default 3, 1 to 10.
    pub const fn live_challenges(mut self, challenges: u8) -> Self {
        self.live_challenges = challenges;
        self
    }

    /// Pushes to a user in any 10 minutes; an approved push is not counted. Default 3, 1 to 100 (NIST SP 800-63B-4
    /// §3.1.3.2, ASVS 6.6.4: push bombing).
    pub const fn pushes(mut self, pushes: u32) -> Self {
        self.pushes = pushes;
        self
    }

    /// Pauses pushes to a user for `pause`, each time they have declined `denials` more pushes without an approval.
    /// Default 3 and 30 minutes; 1 to 10, and 1 minute to 24 hours.
    pub const fn pause_after_declines(mut self, denials: u8, pause: Duration) -> Self {
        self.denials = denials;
        self.denial_pause = pause;
        self
    }

    /// Number matching: to approve a push, the user types on the phone a number of `digits` digits that the application
    /// shows; the third wrong number declines the push. Off unless set, 2 or 3 (NIST SP 800-63B-4 §3.1.3: approving
    /// only, or picking from a list, is no longer acceptable).
    pub const fn number_matching(mut self, digits: u8) -> Self {
        self.number_matching = Some(digits);
        self
    }

    /// How long a push can be answered. Default 5 minutes, 30 seconds to 10 minutes.
    pub const fn push_lifetime(mut self, life: Duration) -> Self {
        self.push_lifetime = life;
        self
    }

    /// How long a verified challenge opens guarded routes, counted from its verification; use does not extend it.
    /// Default 10 minutes, 10 seconds to 12 hours. A route may require a more recent one.
    pub const fn grant_lifetime(mut self, life: Duration) -> Self {
        self.grant_lifetime = life;
        self
    }

    /// Every grant is consumed by the first request that uses it, even where the route does not
    /// [require it](crate::Requirement::once). Off unless set.
    pub const fn one_time_grants(mut self) -> Self {
        self.one_time = true;
        self
    }

    /// Only grants that are [bound](crate::Binding) to an operation are accepted: every guard needs a
    /// [binding](crate::RequireStepUp::bind). Off unless set.
    pub const fn bound_grants(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Allowed clock skew: how far another node's clock may be ahead. Default 2 seconds, at most 30 seconds. A grant or
    /// challenge with a later timestamp is refused.
    pub const fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// Time limit for a sender. Default 10 seconds, 100 milliseconds to 1 minute.
    pub const fn sender_deadline(mut self, deadline: Duration) -> Self {
        self.sender_deadline = deadline;
        self
    }

    /// Time limit for one operation of the store. Default 250 milliseconds, 1 millisecond to 10 seconds. After it the
    /// store counts as unavailable, and the request is refused.
    pub const fn store_deadline(mut self, deadline: Duration) -> Self {
        self.store_deadline = deadline;
        self
    }
}

/// At most `sends` messages in any window of `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) sends: u32,
    pub(crate) per: Duration,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
