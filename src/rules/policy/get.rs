//! Getters for every setting. The setters have the plain names, so these begin with `get_`, as in
//! `std::process::Command`.

use std::time::Duration;

use super::{Policy, SendBudget};

impl Policy {
    /// The value of [`code_digits`](Self::code_digits).
    #[must_use]
    pub const fn get_code_digits(&self) -> u8 {
        self.code_digits
    }

    /// The value of [`code_lifetime`](Self::code_lifetime).
    #[must_use]
    pub const fn get_code_lifetime(&self) -> Duration {
        self.code_lifetime
    }

    /// The value of [`max_attempts`](Self::max_attempts).
    #[must_use]
    pub const fn get_max_attempts(&self) -> u8 {
        self.max_attempts
    }

    /// The value of [`lockout_every`](Self::lockout_every).
    #[must_use]
    pub const fn get_lockout_every(&self) -> u8 {
        self.lockout_every
    }

    /// The value of [`disable_after`](Self::disable_after).
    #[must_use]
    pub const fn get_disable_after(&self) -> u8 {
        self.disable_after
    }

    /// The value of [`wrong_codes_a_day`](Self::wrong_codes_a_day).
    #[must_use]
    pub const fn get_wrong_codes_a_day(&self) -> u8 {
        self.wrong_codes_a_day
    }

    /// The value of [`resend_interval`](Self::resend_interval).
    #[must_use]
    pub const fn get_resend_interval(&self) -> Duration {
        self.resend_interval
    }

    /// The value of [`starts_per_session`](Self::starts_per_session).
    #[must_use]
    pub const fn get_starts_per_session(&self) -> Option<u32> {
        self.starts_per_session
    }

    /// The value of [`live_challenges`](Self::live_challenges).
    #[must_use]
    pub const fn get_live_challenges(&self) -> u8 {
        self.live_challenges
    }

    /// The value of [`pushes`](Self::pushes).
    #[must_use]
    pub const fn get_pushes(&self) -> u32 {
        self.pushes
    }

    /// The value of [`number_matching`](Self::number_matching).
    #[must_use]
    pub const fn get_number_matching(&self) -> Option<u8> {
        self.number_matching
    }

    /// The value of [`push_lifetime`](Self::push_lifetime).
    #[must_use]
    pub const fn get_push_lifetime(&self) -> Duration {
        self.push_lifetime
    }

    /// The value of [`grant_lifetime`](Self::grant_lifetime).
    #[must_use]
    pub const fn get_grant_lifetime(&self) -> Duration {
        self.grant_lifetime
    }

    /// The value of [`clock_skew`](Self::clock_skew).
    #[must_use]
    pub const fn get_clock_skew(&self) -> Duration {
        self.clock_skew
    }

    /// The value of [`sender_deadline`](Self::sender_deadline).
    #[must_use]
    pub const fn get_sender_deadline(&self) -> Duration {
        self.sender_deadline
    }

    /// The value of [`store_deadline`](Self::store_deadline).
    #[must_use]
    pub const fn get_store_deadline(&self) -> Duration {
        self.store_deadline
    }

    /// The value of [`send_budget`](Self::send_budget).
    pub const fn get_send_budget(&self) -> SendBudget {
        self.sends
    }

    /// The number and the window of [`sends_in_process`](Self::sends_in_process).
    #[must_use]
    pub fn get_sends_in_process(&self) -> Option<(u32, Duration)> {
        self.sends_in_process.map(|rate| (rate.sends, rate.per))
    }

    /// The characters, the number and the window of [`sends_per_prefix`](Self::sends_per_prefix).
    #[must_use]
    pub fn get_sends_per_prefix(&self) -> Option<(u8, u32, Duration)> {
        self.sends_per_prefix.map(|(characters, rate)| (characters, rate.sends, rate.per))
    }

    /// The first and the longest lockout of [`lockout_backoff`](Self::lockout_backoff).
    #[must_use]
    pub const fn get_lockout_backoff(&self) -> (Duration, Duration) {
        (self.first_wait, self.longest_wait)
    }

    /// The number of declined pushes and the pause of [`pause_after_declines`](Self::pause_after_declines).
    #[must_use]
    pub const fn get_pause_after_declines(&self) -> (u8, Duration) {
        (self.denials, self.denial_pause)
    }

    /// Whether every grant is consumed by the first request that uses it: [`one_time_grants`](Self::one_time_grants).
    #[must_use]
    pub const fn has_one_time_grants(&self) -> bool {
        self.one_time
    }

    /// Whether only bound grants are accepted: [`bound_grants`](Self::bound_grants).
    #[must_use]
    pub const fn has_bound_grants(&self) -> bool {
        self.bound
    }
}
