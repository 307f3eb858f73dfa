//! The part of a user's record that few users have at a time, behind one pointer.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use super::{Attempt, Subject, challenges::ListedChallenge, denials::Denials, failures::Failures};
use crate::rules::{Timestamp, read_list};

/// Challenges, and what counts against the user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rare {
    /// When the application locked the user.
    pub(super) locked: Option<Timestamp>,
    /// Consecutive failures, for each channel that has any.
    #[serde(deserialize_with = "read_list")]
    pub(super) failures: Vec<Failures>,
    /// Wrong codes of the last 24 hours, over all channels.
    #[serde(deserialize_with = "read_list")]
    pub(super) wrong: Vec<Attempt>,
    /// When the application last unlocked the user, if within 24 hours: wrong codes before that no longer count.
    pub(super) forgiven: Option<Timestamp>,
    /// Starts of the last ten minutes whose sender reported that nothing was sent.
    #[serde(deserialize_with = "read_list")]
    pub(super) unsent: Vec<Attempt>,
    /// Pushes declined since the last approved one.
    pub(super) denials: Option<Denials>,
    /// Challenges that may be pending; answered pushes stay until their deadline.
    #[serde(deserialize_with = "read_list")]
    pub(super) challenges: Vec<ListedChallenge>,
}

static NOTHING: Rare = Rare {
    locked: None,
    failures: Vec::new(),
    wrong: Vec::new(),
    forgiven: None,
    unsent: Vec::new(),
    denials: None,
    challenges: Vec::new(),
};

impl Subject {
    pub(super) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    pub(super) fn rare_mut(&mut self) -> RareMut<'_> {
        RareMut(&mut self.rare)
    }

    /// For a change that adds nothing: where there is nothing, nothing is allocated.
    pub(super) fn rare_if_any(&mut self) -> Option<RareMut<'_>> {
        self.rare.is_some().then(|| self.rare_mut())
    }
}

/// Allocated at the first change, and freed once nothing is left in it. So equal records are equally encoded.
pub(super) struct RareMut<'a>(&'a mut Option<Box<Rare>>);

impl Deref for RareMut<'_> {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for RareMut<'_> {
    fn deref_mut(&mut self) -> &mut Rare {
        self.0.get_or_insert_default()
    }
}

impl Drop for RareMut<'_> {
    fn drop(&mut self) {
        self.0.take_if(|rare| **rare == NOTHING);
    }
}
