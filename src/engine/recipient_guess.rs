//! Guesses which recipient's record an operation will need, so that it is read together with the others.

use moka::sync::Cache;

use super::Engine;
use crate::store::{Key, Stored};

/// Limit of users. Beyond it, the least used are forgotten.
const USERS: u64 = 10_000;

/// The recipient to which each user's last challenge went, by their key. It is only a guess: what is decided is decided
/// with the recipient that the application names, whose record is read if the guess was wrong.
#[derive(Debug)]
pub(super) struct LastRecipients(Cache<Key, Key>);

impl Default for LastRecipients {
    fn default() -> Self {
        Self(Cache::new(USERS))
    }
}

/// The recipient that was guessed, and its record.
pub(super) struct GuessedRecipient {
    pub(super) key: Key,
    pub(super) record: Option<Stored>,
}

impl Engine {
    /// Reads the record of the recipient that a user's operation probably needs.
    pub(super) async fn guess_recipient(&self, subject_key: &Key) -> Option<GuessedRecipient> {
        if !self.store.is_shared() {
            return None;
        }
        #[expect(clippy::disallowed_methods, reason = "a lost or older guess costs a round trip")]
        let key = self.last_recipients.0.get(subject_key)?;
        let record = self.look_up(&key).await.ok()?;
        Some(GuessedRecipient { key, record })
    }

    /// Makes this recipient the next guess.
    pub(super) fn expect_recipient(&self, subject_key: &Key, recipient: Option<Key>) {
        if let Some(recipient) = recipient.filter(|_| self.store.is_shared()) {
            #[expect(clippy::disallowed_methods, reason = "a lost or older guess costs a round trip")]
            self.last_recipients.0.insert(*subject_key, recipient);
        }
    }
}
