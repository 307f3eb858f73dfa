//! What a start is for, checked: its scope, and the operation that it is bound to.

use std::time::Duration;

use super::Engine;
use crate::{
    engine::{Caller, Envelope, Purpose, Recipient, operation::Optional},
    rules::{ChallengeError, Malformed, Operation, OperationDigest, Token, check_scope},
    store::Store,
};

/// A [`Purpose`] that was checked.
pub(super) struct Aim {
    pub(super) scope: Option<Box<str>>,
    operation: Option<OperationDigest>,
    text: Option<Box<str>>,
}

/// What is wrong with a [`Purpose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrongPurpose {
    pub(super) scope: Option<Malformed>,
    pub(super) binding: Option<Malformed>,
}

/// One of both, where both are wrong: the scope.
impl From<WrongPurpose> for ChallengeError {
    fn from(wrong: WrongPurpose) -> Self {
        match wrong {
            WrongPurpose { scope: Some(malformed), .. } => Self::MalformedScope(malformed),
            WrongPurpose { binding, .. } => Self::MalformedBinding(binding.unwrap_or(Malformed::NotIn)),
        }
    }
}

impl Aim {
    /// The operation, as a record contains it.
    pub(super) fn digest(&self) -> Option<OperationDigest> {
        self.operation
    }

    /// What a message about it says.
    pub(super) fn envelope(
        &self,
        caller: &Caller,
        channel: &str,
        recipient: Recipient,
        expires_in: Duration,
    ) -> Envelope {
        Envelope {
            subject: caller.subject().into(),
            channel: channel.into(),
            recipient,
            expires_in,
            scope: self.scope.clone(),
            operation: self.text.clone(),
        }
    }
}

impl<S: Store> Engine<S> {
    /// Checks a scope by its form, and against those registered.
    fn check_scope(&self, scope: &str) -> Result<(), Malformed> {
        check_scope(scope)?;
        match &self.scopes {
            Some(known) if !known.iter().any(|known| **known == *scope) => Err(Malformed::NotIn),
            _ => Ok(()),
        }
    }

    /// Parses what a step-up is for.
    pub(super) fn aim(&self, caller: &Caller, purpose: Purpose<'_>) -> Result<Aim, WrongPurpose> {
        self.parse_purpose(caller, Ok(purpose.scope), Ok(purpose.binding))
    }

    /// The same of fields as an edge has read them. The token is opened once, and whatever is invalid is reported at
    /// once.
    pub(super) fn parse_purpose(
        &self,
        caller: &Caller,
        scope: Optional<'_>,
        binding: Optional<'_>,
    ) -> Result<Aim, WrongPurpose> {
        let scope = scope.and_then(|scope| scope.map_or(Ok(()), |scope| self.check_scope(scope)).map(|()| scope));
        let token = binding.and_then(|token| token.map(|token| self.open_binding(caller, token)).transpose());
        match (scope, token) {
            (Ok(scope), Ok(None)) => Ok(Aim { scope: scope.map(Into::into), operation: None, text: None }),
            // The token says what was asked for; a scope beside it may only say the same.
            (Ok(Some(named)), Ok(Some(token))) if token.scope.as_deref() != Some(named) => {
                Err(WrongPurpose { scope: Some(Malformed::NotIn), binding: None })
            }
            (Ok(_), Ok(Some(Token { operation, scope, .. }))) => {
                let digest = self.record_key.operation(&operation.digest);
                Ok(Aim { scope, operation: Some(digest), text: Some(operation.text) })
            }
            (scope, token) => Err(WrongPurpose { scope: scope.err(), binding: token.err() }),
        }
    }

    /// A token that binds a step-up of this session to one operation. It can be used for as long as a code lives.
    pub(crate) fn seal_binding(&self, caller: &Caller, operation: Operation, scope: Option<Box<str>>) -> String {
        let deadline = self.now().saturating_add(self.policy.code_life);
        let session_key = self.session_key(caller);
        let seal = |bytes: &[u8]| self.keyring.seal(&session_key, bytes);
        Token { operation, scope, deadline }.write(self.keyring.current(), seal)
    }

    /// What such a token says.
    fn open_binding(&self, caller: &Caller, token: &str) -> Result<Token, Malformed> {
        let session_key = self.session_key(caller);
        let opens = |secret, sealed: &[u8], mac: &[u8]| self.keyring.opens(secret, &session_key, sealed, mac);
        let token = Token::read(token, opens)?;
        if self.now() < token.deadline { Ok(token) } else { Err(Malformed::NotIn) }
    }
}
