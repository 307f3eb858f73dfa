//! What happens, for the application to observe: [`Event`] and [`Observer`].

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crate::{
    rules::{ChallengeError, UnmetReason},
    store::{StoreError, StoreWarning},
};

/// Something that has happened. Emitted after the write has succeeded.
///
/// No event holds a code, a session's id, a recipient or a push's id. `subject` is the user's id, as the application
/// gave it; the adapters for `tracing` and `metrics` leave it out. See [`events`](crate::guide::events) for what they
/// make of each.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A challenge was started and counted; its message is about to go out.
    #[non_exhaustive]
    Started {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// What it is for; `None` for the whole session.
        scope: Option<&'a str>,
    },
    /// The sender has taken the message. Not in the sandbox, which sends nothing.
    #[non_exhaustive]
    Sent {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// The sender has not.
    #[non_exhaustive]
    SendFailed {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// How.
        why: SendFailure,
    },
    /// A challenge was verified: a right code, or a push approved. The session is stepped up.
    #[non_exhaustive]
    Verified {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// What it is for; `None` for the whole session.
        scope: Option<&'a str>,
    },
    /// A code was compared and is wrong, or a wrong number was typed for a push.
    #[non_exhaustive]
    WrongCode {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// A start was refused, or its message not sent (then [`SendFailed`](Self::SendFailed) was emitted before); or a
    /// verification was refused and no code was compared. A failure of the store was emitted before, too.
    #[non_exhaustive]
    Refused {
        /// The user.
        subject: &'a str,
        /// The channel, if it is registered.
        channel: Option<&'a str>,
        /// Why.
        error: &'a ChallengeError,
    },
    /// A user is locked from now on: by a failure, or by the application.
    #[non_exhaustive]
    Locked {
        /// The user.
        subject: &'a str,
        /// The channel on which they failed; `None` where the application locked them.
        channel: Option<&'a str>,
        /// How.
        lock: Lockout,
    },
    /// The application has unlocked a user.
    #[non_exhaustive]
    Unlocked {
        /// The user.
        subject: &'a str,
    },
    /// A message went to a recipient that has had a user's whole budget already, from several users together: one
    /// number enrolled by many, perhaps to make you pay for messages
    /// ([`Policy::send_budget`](crate::Policy::send_budget)).
    #[non_exhaustive]
    RecipientShared {
        /// The user who sent the last.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// The phone's answer to a push was taken.
    #[non_exhaustive]
    PushAnswered {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// Whether it was approved. Declined by the user, or by the last number that was wrong.
        approved: bool,
    },
    /// A user has declined enough pushes in a row that none can be started for a while, on any channel
    /// ([`Policy::pause_after_declines`](crate::Policy::pause_after_declines)). Codes go on.
    #[non_exhaustive]
    PushesPaused {
        /// The user.
        subject: &'a str,
        /// The channel of the last.
        channel: &'a str,
        /// For how long.
        pause: Duration,
    },
    /// A session's elevation was dropped, or all of the user's.
    #[non_exhaustive]
    Revoked {
        /// The user.
        subject: &'a str,
        /// Whether in every session.
        everywhere: bool,
    },
    /// A guard, or [`StepUp::authorize`](crate::StepUp::authorize), asks for a step-up.
    #[non_exhaustive]
    GuardRefused {
        /// The user.
        subject: &'a str,
        /// Why.
        reason: UnmetReason,
    },
    /// A guard in [shadow mode](crate::RequireStepUp::report_only) would have asked for a step-up.
    #[non_exhaustive]
    WouldRefuse {
        /// The user.
        subject: &'a str,
        /// Why.
        reason: UnmetReason,
    },
    /// A request has spent a grant.
    #[non_exhaustive]
    Spent {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// A handler gave back what its request had spent.
    #[non_exhaustive]
    GivenBack {
        /// The user.
        subject: &'a str,
    },
    /// A request without a [`Caller`](crate::Caller) reached a guard or the challenge endpoints.
    NoCaller,
    /// The store failed, and what was asked of it was refused.
    #[non_exhaustive]
    StoreFailed {
        /// How.
        error: &'a StoreError,
    },
    /// The store is configured so that it may lose what denies, or did not say how it is configured. Requests go on.
    /// Told once; where it did not say, at most once a minute.
    #[non_exhaustive]
    StoreWarning {
        /// What is wrong and what to do about it.
        warning: &'a StoreWarning,
    },
}

/// How a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// The sender said that the recipient is refused. Nothing was sent.
    RecipientInvalid,
    /// The sender said that it failed. Nothing was sent.
    Failed,
    /// The sender took longer than its deadline. It may have been sent.
    TooSlow,
    /// The sender panicked. It may have been sent.
    Panicked,
}

/// For how long a user is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lockout {
    /// For this long.
    For(Duration),
    /// Until the application unlocks them ([`StepUp::unlock`](crate::StepUp::unlock)).
    UntilUnlocked,
}

impl Event<'_> {
    /// Its name, as logs and metrics have it: one of few.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Sent { .. } => "sent",
            Self::SendFailed { .. } => "send_failed",
            Self::Verified { .. } => "verified",
            Self::WrongCode { .. } => "wrong_code",
            Self::Refused { .. } => "refused",
            Self::Locked { .. } => "locked",
            Self::Unlocked { .. } => "unlocked",
            Self::RecipientShared { .. } => "recipient_shared",
            Self::PushAnswered { .. } => "push_answered",
            Self::PushesPaused { .. } => "pushes_paused",
            Self::Revoked { .. } => "revoked",
            Self::GuardRefused { .. } => "guard_refused",
            Self::WouldRefuse { .. } => "would_refuse",
            Self::Spent { .. } => "spent",
            Self::GivenBack { .. } => "given_back",
            Self::NoCaller => "no_caller",
            Self::StoreFailed { .. } => "store_failed",
            Self::StoreWarning { .. } => "store_warning",
        }
    }

    /// The channel, where there is one: a registered name.
    #[must_use]
    pub const fn channel(&self) -> Option<&str> {
        match self {
            Self::Started { channel, .. }
            | Self::Sent { channel, .. }
            | Self::SendFailed { channel, .. }
            | Self::Verified { channel, .. }
            | Self::WrongCode { channel, .. }
            | Self::RecipientShared { channel, .. }
            | Self::PushAnswered { channel, .. }
            | Self::PushesPaused { channel, .. }
            | Self::Spent { channel, .. } => Some(channel),
            Self::Refused { channel, .. } | Self::Locked { channel, .. } => *channel,
            Self::Unlocked { .. }
            | Self::Revoked { .. }
            | Self::GuardRefused { .. }
            | Self::WouldRefuse { .. }
            | Self::GivenBack { .. }
            | Self::NoCaller
            | Self::StoreFailed { .. }
            | Self::StoreWarning { .. } => None,
        }
    }

    /// Why or how, where there is more to say: one of few words.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::SendFailed { why, .. } => why.as_str(),
            Self::Refused { error, .. } => error.as_str(),
            Self::Locked { lock: Lockout::For(_), .. } => "wait",
            Self::Locked { lock: Lockout::UntilUnlocked, channel: Some(_), .. } => "disabled",
            Self::Locked { lock: Lockout::UntilUnlocked, channel: None, .. } => "application",
            Self::PushAnswered { approved, .. } => {
                if *approved {
                    "approved"
                } else {
                    "declined"
                }
            }
            Self::Revoked { everywhere, .. } => {
                if *everywhere {
                    "everywhere"
                } else {
                    "session"
                }
            }
            Self::GuardRefused { reason, .. } | Self::WouldRefuse { reason, .. } => reason.as_str(),
            Self::StoreFailed { error } => error.as_str(),
            Self::StoreWarning { warning } => warning.as_str(),
            Self::Started { .. }
            | Self::Sent { .. }
            | Self::Verified { .. }
            | Self::WrongCode { .. }
            | Self::Unlocked { .. }
            | Self::RecipientShared { .. }
            | Self::Spent { .. }
            | Self::GivenBack { .. }
            | Self::PushesPaused { .. }
            | Self::NoCaller => return None,
        })
    }
}

impl SendFailure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RecipientInvalid => "recipient_invalid",
            Self::Failed => "failed",
            Self::TooSlow => "too_slow",
            Self::Panicked => "panicked",
        }
    }
}

/// Receives every [`Event`]. A closure will do.
///
/// It is called where the event happens, before the answer goes out, so it must not block: hand what takes time to a
/// channel. A panic in it is swallowed.
///
/// # Example
///
/// Failures outlive a restart where the application keeps them:
///
/// ```
/// use tower_step_up::{Event, StepUp};
///
/// let (tx, rx) = std::sync::mpsc::channel();
/// let step_up = StepUp::builder()
///     .sandbox()
///     .otp("SMS", tower_step_up::discard)
///     .observe(move |event: &Event<'_>| {
///         if let Event::Locked { subject, .. } = event {
///             let _ = tx.send((*subject).to_owned()); // write it down; after a restart: step_up.lock(subject)
///         }
///     })
///     .build()?;
/// # drop(rx);
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something has happened.
    fn observe(&self, event: &Event<'_>);
}

impl<F> Observer for F
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// All observers.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<dyn Observer>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        self.0.push(Arc::new(observer));
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        for observer in &self.0 {
            // Whatever state it leaves behind is its own.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}
