//! The recipients that a user has proven to be theirs.

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::rules::{Key, Policy, RECIPIENT_KNOWN, Timestamp};

/// A recipient that the user has proven to be theirs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KnownRecipient {
    pub(super) key: Key,
    pub(super) verified: Timestamp,
}

/// Known recipients.
impl Subject {
    /// Whether the user has proven that this recipient is theirs. A timestamp beyond the clock skew proves nothing
    /// (T20).
    pub(crate) fn knows(&self, recipient: &Key, policy: &Policy, now: Timestamp) -> bool {
        let latest = now.saturating_add(policy.clock_skew);
        self.known.iter().any(|known| known.key == *recipient && now < known.until() && known.verified <= latest)
    }

    /// Forgets all proven recipients, after the user's enrollment has changed.
    pub(crate) fn forget_recipients(&mut self) {
        self.known.clear();
    }
}

impl KnownRecipient {
    pub(super) fn until(&self) -> Timestamp {
        self.verified.saturating_add(RECIPIENT_KNOWN)
    }
}
