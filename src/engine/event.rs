//! Events and their observers: [`Event`] and [`Observer`].

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    catch::catch,
    rules::{ChallengeError, UnmetReason},
    store::{StoreError, StoreWarning},
};

/// Something that has happened. Emitted after the write has succeeded.
///
/// No event contains a code, a session's id, a recipient or a push's id. `subject` is the user's id, as the application
/// gave it; the adapters for `tracing` and `metrics` leave it out. See [`events`](crate::guide::events) for the log
/// line and the metric of each event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A challenge was started and counted; its message is about to be sent.
    #[non_exhaustive]
    Started {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// The scope; `None` for the whole session.
        scope: Option<&'a str>,
    },
    /// The sender accepted the message. Not emitted in the sandbox, which sends nothing.
    #[non_exhaustive]
    Sent {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// The sender did not send the message.
    #[non_exhaustive]
    SendFailed {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// The kind of failure.
        why: SendFailure,
    },
    /// A challenge was verified: a correct code, or an approved push. The session is stepped up.
    #[non_exhaustive]
    Verified {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// The scope; `None` for the whole session.
        scope: Option<&'a str>,
    },
    /// A code was compared and is wrong, or a wrong number was entered for a push.
    #[non_exhaustive]
    WrongCode {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// A start was refused, or its message was not sent (after [`SendFailed`](Self::SendFailed)); or a verification was
    /// refused without comparing a code. If the store failed, [`StoreFailed`](Self::StoreFailed) was emitted before.
    #[non_exhaustive]
    Refused {
        /// The user.
        subject: &'a str,
        /// The channel, if it is registered.
        channel: Option<&'a str>,
        /// Why.
        error: &'a ChallengeError,
    },
    /// A user was locked, after failures or by the application.
    #[non_exhaustive]
    Locked {
        /// The user.
        subject: &'a str,
        /// The channel on which they failed; `None` where the application locked them.
        channel: Option<&'a str>,
        /// The kind of lock.
        lock: Lockout,
    },
    /// The application has unlocked a user.
    #[non_exhaustive]
    Unlocked {
        /// The user.
        subject: &'a str,
    },
    /// Several users together have sent more messages to one recipient than one user's budget
    /// ([`Policy::send_budget`](crate::Policy::send_budget)): a number that many users have enrolled, possibly toll
    /// fraud.
    #[non_exhaustive]
    RecipientShared {
        /// The user of the last message.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// The phone's answer to a push was accepted.
    #[non_exhaustive]
    PushAnswered {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
        /// Whether it was approved. Otherwise the user declined it, or the last wrong number did.
        approved: bool,
    },
    /// A user has declined as many consecutive pushes as the policy allows, and pushes are paused on every channel
    /// ([`Policy::pause_after_declines`](crate::Policy::pause_after_declines)). Codes are not affected.
    #[non_exhaustive]
    PushesPaused {
        /// The user.
        subject: &'a str,
        /// The channel of the last push.
        channel: &'a str,
        /// Length of the pause.
        pause: Duration,
    },
    /// The client has cancelled a pending challenge.
    #[non_exhaustive]
    Cancelled {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// The elevation of one session was dropped, or of all sessions of the user.
    #[non_exhaustive]
    Revoked {
        /// The user.
        subject: &'a str,
        /// Whether in all sessions.
        everywhere: bool,
    },
    /// A guard, or [`StepUp::authorize`](crate::StepUp::authorize), requires a step-up.
    #[non_exhaustive]
    GuardRefused {
        /// The user.
        subject: &'a str,
        /// Why.
        reason: UnmetReason,
    },
    /// A [report-only](crate::RequireStepUp::report_only) guard would have required a step-up.
    #[non_exhaustive]
    WouldRefuse {
        /// The user.
        subject: &'a str,
        /// Why.
        reason: UnmetReason,
    },
    /// A request consumed a grant.
    #[non_exhaustive]
    Spent {
        /// The user.
        subject: &'a str,
        /// The channel.
        channel: &'a str,
    },
    /// A handler restored the grant that its request had consumed.
    #[non_exhaustive]
    GivenBack {
        /// The user.
        subject: &'a str,
    },
    /// A request without a [`Caller`](crate::Caller) reached a guard or the challenge endpoints.
    NoCaller,
    /// The store failed, and the request was refused.
    #[non_exhaustive]
    StoreFailed {
        /// The kind of failure.
        error: &'a StoreError,
    },
    /// The store's configuration may lose records that deny access, or could not be read. Requests are still served.
    /// Emitted once; if the configuration could not be read, at most once a minute.
    #[non_exhaustive]
    StoreWarning {
        /// What is wrong, and how to fix it.
        warning: &'a StoreWarning,
    },
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// The sender reported that the recipient was refused. Nothing was sent.
    RecipientInvalid,
    /// The sender reported a failure. Nothing was sent.
    Failed,
    /// The sender exceeded its deadline. The message may have been sent.
    TooSlow,
    /// The sender panicked. The message may have been sent.
    Panicked,
    /// The sender reported that the message may have been sent.
    Unknown,
}

impl SendFailure {
    /// Whether it is certain that nothing was sent: then the send is not counted, and an earlier code is valid again.
    #[must_use]
    pub const fn sent_nothing(self) -> bool {
        matches!(self, Self::RecipientInvalid | Self::Failed)
    }
}

/// The duration of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lockout {
    /// For this duration.
    For(Duration),
    /// Until the application unlocks them ([`StepUp::unlock`](crate::StepUp::unlock)).
    UntilUnlocked,
}

impl Event<'_> {
    /// The name of the event in logs and metrics, from a fixed set.
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
            Self::Cancelled { .. } => "cancelled",
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

    /// The channel, if the event has one: a registered name.
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
            | Self::Cancelled { channel, .. }
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

    /// The reason, if the event has one, from a fixed set of words.
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
            | Self::Cancelled { .. }
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
            Self::Unknown => "unknown",
            Self::Panicked => "panicked",
        }
    }
}

/// Receives every [`Event`]. Implemented for closures.
///
/// It is called synchronously, before the response is sent, so it must not block: move slow work to a channel. A panic
/// in it is caught and ignored.
///
/// # Example
///
/// The application can persist locks across a restart:
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
///             let _ = tx.send((*subject).to_owned()); // persist it; after a restart: step_up.lock(subject)
///         }
///     })
///     .build()?;
/// # drop(rx);
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Called for each event.
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

/// All registered observers.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<dyn Observer>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        self.0.push(Arc::new(observer));
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        for observer in &self.0 {
            let _ = catch(|| observer.observe(event));
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}
