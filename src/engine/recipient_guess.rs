//! Guesses which recipient's record an operation will need, so that it is read together with the others.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
};

use futures_util::future::{MaybeDone, maybe_done};
use moka::sync::Cache;

use super::{Engine, records::StoreDown};
use crate::{
    store::{Key, Lookup, StoreError, Stored},
    timeout::{BoxFuture, within},
};

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

/// The recipient that was guessed. Its record is read while others are awaited; whether it comes at all matters only to
/// an operation that needs it.
pub(super) struct GuessedRecipient {
    key: Key,
    load: MaybeDone<BoxFuture<'static, Result<Option<Stored>, StoreError>>>,
}

impl GuessedRecipient {
    /// Awaits a future, and reads the record meanwhile.
    pub(super) async fn beside<T>(&mut self, others: impl Future<Output = T>) -> T {
        let mut others = pin!(others);
        poll_fn(|cx| {
            let _ = Pin::new(&mut self.load).poll(cx);
            others.as_mut().poll(cx)
        })
        .await
    }
}

impl Engine {
    /// Guesses the recipient that a user's operation needs; none in process, where a load costs nothing.
    pub(super) fn guess_recipient(&self, subject_key: &Key) -> Option<GuessedRecipient> {
        if !self.store.is_shared() {
            return None;
        }
        #[expect(clippy::disallowed_methods, reason = "a lost or older guess costs a round trip")]
        let key = self.last_recipients.0.get(subject_key)?;
        match self.begin_load(&key) {
            Lookup::Pending(load) => Some(GuessedRecipient { key, load: maybe_done(load) }),
            Lookup::Ready(_) => None,
        }
    }

    /// The record of the recipient, if it was the guess, and otherwise by another load.
    pub(super) async fn load_recipient(
        &self,
        key: &Key,
        guessed: Option<GuessedRecipient>,
    ) -> Result<Option<Stored>, StoreDown> {
        if let Some(mut guessed) = guessed.filter(|guessed| guessed.key == *key)
            && within(self.policy.store_deadline, &mut guessed.load).await.is_some()
            && let Some(Ok(record)) = Pin::new(&mut guessed.load).take_output()
        {
            return Ok(record);
        }
        self.load(key).await
    }

    /// Makes this recipient the next guess.
    pub(super) fn expect_recipient(&self, subject_key: &Key, recipient: Option<Key>) {
        if let Some(recipient) = recipient.filter(|_| self.store.is_shared()) {
            #[expect(clippy::disallowed_methods, reason = "a lost or older guess costs a round trip")]
            self.last_recipients.0.insert(*subject_key, recipient);
        }
    }
}
