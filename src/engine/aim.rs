//! What a start is for, checked: its scope, and the operation that it is bound to.

use std::time::Duration;

use super::Engine;
use crate::{
    engine::{Caller, Envelope, Purpose, Recipient},
    rules::{ChallengeError, Malformed, Operation, OperationDigest, Token, check_scope},
    store::Store,
};

/// A [`Purpose`] that was checked.
pub(super) struct Aim {
    pub(super) scope: Option<Box<str>>,
    operation: Option<OperationDigest>,
    text: Option<Box<str>>,
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
    pub(crate) fn check_scope(&self, scope: &str) -> Result<(), Malformed> {
        check_scope(scope)?;
        match &self.scopes {
            Some(known) if !known.iter().any(|known| **known == *scope) => Err(Malformed::NotIn),
            _ => Ok(()),
        }
    }

    /// Checks what a start is for.
    pub(super) fn aim(&self, caller: &Caller, purpose: Purpose<'_>) -> Result<Aim, ChallengeError> {
        if let Some(scope) = purpose.scope {
            self.check_scope(scope).map_err(ChallengeError::MalformedScope)?;
        }
        let Some(token) = purpose.binding else {
            return Ok(Aim { scope: purpose.scope.map(Into::into), operation: None, text: None });
        };
        let Token { operation, scope, .. } =
            self.open_binding(caller, token).map_err(ChallengeError::MalformedBinding)?;
        // The token says what was asked for; a scope beside it may only say the same.
        if purpose.scope.is_some_and(|named| scope.as_deref() != Some(named)) {
            return Err(ChallengeError::MalformedScope(Malformed::NotIn));
        }
        let digest = self.record_key.operation(&operation.digest);
        Ok(Aim { scope, operation: Some(digest), text: Some(operation.text) })
    }

    /// A token that binds a step-up of this session to one operation. It can be used for as long as a code lives.
    pub(crate) fn seal_binding(&self, caller: &Caller, operation: Operation, scope: Option<Box<str>>) -> String {
        let deadline = self.now().saturating_add(self.policy.code_life);
        let session_key = self.session_key(caller);
        let seal = |bytes: &[u8]| self.keyring.seal(&session_key, bytes);
        Token { operation, scope, deadline }.write(self.keyring.current(), seal)
    }

    /// What such a token says.
    pub(crate) fn open_binding(&self, caller: &Caller, token: &str) -> Result<Token, Malformed> {
        let session_key = self.session_key(caller);
        let opens = |secret, sealed: &[u8], mac: &[u8]| self.keyring.opens(secret, &session_key, sealed, mac);
        let token = Token::read(token, opens)?;
        if self.now() < token.deadline { Ok(token) } else { Err(Malformed::NotIn) }
    }
}
