//! What a policy says: a getter for each number. The setters have the plain names, so these begin with `get_`, as those
//! of `std::process::Command` do.

use std::time::Duration;

use super::{Policy, SendBudget};

impl Policy {
    /// What [`code_digits`](Self::code_digits) is set to.
    #[must_use]
    pub const fn get_code_digits(&self) -> u8 {
        self.code_digits
    }

    /// What [`code_lifetime`](Self::code_lifetime) is set to.
    #[must_use]
    pub const fn get_code_lifetime(&self) -> Duration {
        self.code_lifetime
    }

    /// What [`max_attempts`](Self::max_attempts) is set to.
    #[must_use]
    pub const fn get_max_attempts(&self) -> u8 {
        self.max_attempts
    }

    /// What [`lockout_every`](Self::lockout_every) is set to.
    #[must_use]
    pub const fn get_lockout_every(&self) -> u8 {
        self.lockout_every
    }

    /// What [`disable_after`](Self::disable_after) is set to.
    #[must_use]
    pub const fn get_disable_after(&self) -> u8 {
        self.disable_after
    }

    /// What [`wrong_codes_a_day`](Self::wrong_codes_a_day) is set to.
    #[must_use]
    pub const fn get_wrong_codes_a_day(&self) -> u8 {
        self.wrong_codes_a_day
    }

    /// What [`resend_interval`](Self::resend_interval) is set to.
    #[must_use]
    pub const fn get_resend_interval(&self) -> Duration {
        self.resend_interval
    }

    /// What [`starts_per_session`](Self::starts_per_session) is set to.
    #[must_use]
    pub const fn get_starts_per_session(&self) -> Option<u32> {
        self.starts_per_session
    }

    /// What [`live_challenges`](Self::live_challenges) is set to.
    #[must_use]
    pub const fn get_live_challenges(&self) -> u8 {
        self.live_challenges
    }

    /// What [`pushes`](Self::pushes) is set to.
    #[must_use]
    pub const fn get_pushes(&self) -> u32 {
        self.pushes
    }

    /// What [`number_matching`](Self::number_matching) is set to.
    #[must_use]
    pub const fn get_number_matching(&self) -> Option<u8> {
        self.number_matching
    }

    /// What [`push_lifetime`](Self::push_lifetime) is set to.
    #[must_use]
    pub const fn get_push_lifetime(&self) -> Duration {
        self.push_lifetime
    }

    /// What [`grant_lifetime`](Self::grant_lifetime) is set to.
    #[must_use]
    pub const fn get_grant_lifetime(&self) -> Duration {
        self.grant_lifetime
    }

    /// What [`clock_skew`](Self::clock_skew) is set to.
    #[must_use]
    pub const fn get_clock_skew(&self) -> Duration {
        self.clock_skew
    }

    /// What [`sender_deadline`](Self::sender_deadline) is set to.
    #[must_use]
    pub const fn get_sender_deadline(&self) -> Duration {
        self.sender_deadline
    }

    /// What [`store_deadline`](Self::store_deadline) is set to.
    #[must_use]
    pub const fn get_store_deadline(&self) -> Duration {
        self.store_deadline
    }

    /// What [`send_budget`](Self::send_budget) is set to.
    pub const fn get_send_budget(&self) -> SendBudget {
        self.sends
    }

    /// The first and the longest wait of [`lockout_backoff`](Self::lockout_backoff).
    #[must_use]
    pub const fn get_lockout_backoff(&self) -> (Duration, Duration) {
        (self.first_wait, self.longest_wait)
    }

    /// The number of declined pushes and the pause of [`pause_after_declines`](Self::pause_after_declines).
    #[must_use]
    pub const fn get_pause_after_declines(&self) -> (u8, Duration) {
        (self.denials, self.denial_pause)
    }

    /// Whether every grant is consumed by the first request: [`one_time_grants`](Self::one_time_grants).
    #[must_use]
    pub const fn has_one_time_grants(&self) -> bool {
        self.one_time
    }

    /// Whether only bound grants open anything: [`bound_grants`](Self::bound_grants).
    #[must_use]
    pub const fn has_bound_grants(&self) -> bool {
        self.bound
    }
}
