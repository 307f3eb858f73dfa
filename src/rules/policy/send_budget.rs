//! Limits on the messages to a user: [`SendBudget`].

/// Maximum number of messages to a user in sliding windows of 5 minutes, 10 minutes, an hour and a day.
///
/// Each is 1 to 1000, and not below that of the shorter window. The default is 3, 5, 15 and 30 (ASVS 2.4.1;
/// toll fraud).
///
/// # Example
///
/// ```
/// use tower_step_up::{Policy, SendBudget};
///
/// let policy = Policy::new().send_budget(SendBudget::new().per_hour(10).per_day(20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct SendBudget {
    pub(crate) five_minutes: u32,
    pub(crate) ten_minutes: u32,
    pub(crate) hour: u32,
    pub(crate) day: u32,
}

impl Default for SendBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl SendBudget {
    /// The defaults.
    pub const fn new() -> Self {
        Self { five_minutes: 3, ten_minutes: 5, hour: 15, day: 30 }
    }

    /// The limits, by the length of the window: 5 minutes, 10 minutes, an hour, a day.
    #[must_use]
    pub const fn get(&self) -> [u32; 4] {
        [self.five_minutes, self.ten_minutes, self.hour, self.day]
    }

    /// Messages in any 5 minutes.
    pub const fn per_5_minutes(mut self, messages: u32) -> Self {
        self.five_minutes = messages;
        self
    }

    /// Messages in any 10 minutes.
    pub const fn per_10_minutes(mut self, messages: u32) -> Self {
        self.ten_minutes = messages;
        self
    }

    /// Messages in any hour.
    pub const fn per_hour(mut self, messages: u32) -> Self {
        self.hour = messages;
        self
    }

    /// Messages in any 24 hours.
    pub const fn per_day(mut self, messages: u32) -> Self {
        self.day = messages;
        self
    }
}
