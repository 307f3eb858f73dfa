//! The fast path of [`decide`](super::decide): a session's only grant in five words, and a requirement compiled to
//! compare with it.
//!
//! A store in process keeps the [`Summary`] beside the key of the record, so that a request that passes reads the index
//! and nothing else. It only ever permits: for whatever it does not permit, `decide` judges the record, and says why.

use std::time::Duration;

use super::{Requirement, decide::Compared};
use crate::rules::{Name, Policy, Session, Timestamp};

/// The only grant of a session, if it is neither bound nor consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The id of the grant.
    pub(crate) id: u64,
    pub(crate) channel: Name,
    pub(crate) scope: Option<Name>,
    pub(crate) verified_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Summary {
    /// `None` if the record has to be read: it has no grant or several, a bound or a consumed one, or `find` does not know
    /// its channel or scope.
    pub(crate) fn of(session: &Session, find: impl Fn(&str) -> Option<Name>) -> Option<Self> {
        let [grant] = session.grants() else { return None };
        if grant.operation.is_some() || grant.usage.is_spent() {
            return None;
        }
        let scope = match grant.scope.as_deref() {
            Some(scope) => Some(find(scope)?),
            None => None,
        };
        Some(Self {
            id: grant.id,
            channel: find(&grant.channel)?,
            scope,
            verified_at: grant.verified_at,
            expires_at: grant.expires_at,
        })
    }
}

/// A channel, and the maximum age of a step-up by it.
type CompiledFactor = (Name, Option<Duration>);

/// A [`Requirement`] with its names interned.
#[derive(Clone, Debug)]
pub(crate) struct CompiledRequirement {
    scope: Option<Name>,
    or_session: bool,
    /// The accepted channels, each with the maximum age of a step-up by it; `None` accepts any.
    channels: Option<Box<[CompiledFactor]>>,
    max_age: Option<Duration>,
}

impl Requirement {
    /// `None` if more than one grant may be needed, or `intern` has no more room.
    pub(crate) fn compile(&self, intern: impl Fn(&str) -> Option<Name>) -> Option<CompiledRequirement> {
        if self.takes_all() {
            return None;
        }
        let scope = match self.scope.as_deref() {
            Some(scope) => Some(intern(scope)?),
            None => None,
        };
        let channel = |channel: &str| Some((intern(channel)?, self.max_age_by(channel)?));
        let channels = match &self.factors {
            Some(factors) => Some(factors.list.iter().map(|factor| channel(&factor.channel)).collect::<Option<_>>()?),
            None => None,
        };
        Some(CompiledRequirement { scope, or_session: self.or_session, channels, max_age: self.max_age })
    }
}

impl CompiledRequirement {
    /// Whether the grant satisfies the requirement, for no bound operation.
    pub(crate) fn permits(&self, grant: &Summary, policy: &Policy, now: Timestamp) -> bool {
        let compared = Compared {
            scope: grant.scope == self.scope || (grant.scope.is_none() && self.or_session),
            max_age: match &self.channels {
                Some(channels) => {
                    channels.iter().find(|(channel, _)| *channel == grant.channel).map(|(_, max_age)| *max_age)
                }
                None => Some(self.max_age),
            },
            operation: !policy.bound,
            spent: false,
            verified_at: grant.verified_at,
            expires_at: grant.expires_at,
        };
        compared.judge(policy, now).is_ok()
    }
}
