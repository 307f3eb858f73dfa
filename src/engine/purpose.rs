//! What a step-up is for: [`Purpose`], the same checked for a start, and the token that names one operation.

use std::{fmt, sync::Arc, time::Duration};

use super::Engine;
use crate::{
    engine::{Caller, Envelope, Recipient, operation::Optional},
    rules::{BoundOperation, Malformed, OperationDigest, RandomFailed, SealedOperation, Timestamp, Token, check_scope},
    store::Key,
};

/// What a step-up is for: a scope, or the one operation that a refusal has bound it to.
///
/// The default is the whole session, and `None` and `Some(scope)` serve where one is asked for.
///
/// # Example
///
/// ```
/// use tower_step_up::{Caller, Purpose, StepUp};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// # let caller = Caller::user("alice").session("1");
/// step_up.start_otp(&caller, "SMS", Purpose::new().scope("payments")).await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(run())?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Purpose<'a> {
    pub(crate) scope: Option<&'a str>,
    pub(crate) binding: Option<&'a str>,
    pub(crate) language: Option<&'a str>,
}

impl<'a> Purpose<'a> {
    /// The whole session.
    pub const fn new() -> Self {
        Self { scope: None, binding: None, language: None }
    }

    /// For this scope only: 1 to 128 visible ASCII characters.
    pub const fn scope(mut self, scope: &'a str) -> Self {
        self.scope = Some(scope);
        self
    }

    /// For one operation: the token from a refusal ([`Unmet::binding`](crate::Unmet::binding)). It knows the scope.
    pub const fn binding(mut self, token: &'a str) -> Self {
        self.binding = Some(token);
        self
    }

    /// The language of the message: a tag of BCP 47, such as `de-AT`. It is passed to the sender, and otherwise unused.
    pub const fn language(mut self, tag: &'a str) -> Self {
        self.language = Some(tag);
        self
    }
}

/// A scope.
impl<'a> From<&'a str> for Purpose<'a> {
    fn from(scope: &'a str) -> Self {
        Self::new().scope(scope)
    }
}

impl<'a> From<Option<&'a str>> for Purpose<'a> {
    fn from(scope: Option<&'a str>) -> Self {
        Self { scope, ..Self::new() }
    }
}

/// Prints whether there is a binding and nothing of it: its text says who pays whom.
impl fmt::Debug for Purpose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purpose").field("scope", &self.scope).field("bound", &self.binding.is_some()).finish()
    }
}

/// A [`Purpose`] that was checked.
#[derive(Default)]
pub(super) struct CheckedPurpose {
    pub(super) scope: Option<Box<str>>,
    operation: Option<OperationDigest>,
    text: Option<Box<str>>,
    language: Option<Box<str>>,
    /// Whether a code must be for exactly this.
    pub(super) exact: bool,
}

/// When a purpose is named.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    /// At the start of a step-up, for which a token is valid as long as a code lives.
    Start,
    /// Later, to say again what it was started for: the token may have expired meanwhile.
    Later,
}

/// What is wrong with a [`Purpose`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WrongPurpose {
    pub(super) scope: Option<Malformed>,
    pub(super) binding: Option<Malformed>,
}

impl CheckedPurpose {
    /// The operation, as a grant contains it.
    pub(super) fn digest(&self) -> Option<OperationDigest> {
        self.operation
    }

    /// The text that is approved.
    #[cfg(feature = "page")]
    pub(super) fn into_text(self) -> Option<Box<str>> {
        self.text
    }

    pub(super) fn exactly(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// With the language of its message.
    pub(super) fn in_language(self, tag: Option<&str>) -> Self {
        Self { language: tag.map(Into::into), ..self }
    }
}

impl Engine {
    /// What a message about a step-up says.
    pub(super) fn envelope(
        &self,
        purpose: &CheckedPurpose,
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
            scope: purpose.scope.clone(),
            operation: purpose.text.clone(),
            knows_scope: self.scopes.is_some(),
            language: purpose.language.clone(),
            deadline: self.policy.sender_deadline,
            texts: Arc::clone(&self.texts),
        }
    }

    /// Checks the syntax of a scope, and that it is registered.
    fn check_scope(&self, scope: &str) -> Result<(), Malformed> {
        check_scope(scope)?;
        match &self.scopes {
            Some(known) if !known.iter().any(|known| **known == *scope) => Err(Malformed::Unknown),
            _ => Ok(()),
        }
    }

    /// Parses what a step-up is for, with fields as an edge has read them. The token is opened once, and whatever is
    /// invalid is reported at once.
    pub(super) fn parse_purpose(
        &self,
        caller: &Caller,
        scope: Optional<'_>,
        binding: Optional<'_>,
        moment: Moment,
    ) -> Result<CheckedPurpose, WrongPurpose> {
        let scope = scope.and_then(|scope| scope.map_or(Ok(()), |scope| self.check_scope(scope)).map(|()| scope));
        let token = binding.and_then(|token| token.map(|token| self.open_binding(caller, token)).transpose());
        let token = token.and_then(|token| match (token, moment) {
            (Some(token), Moment::Start) if self.now() >= token.deadline => Err(Malformed::Unknown),
            (token, Moment::Start | Moment::Later) => Ok(token),
        });
        match (scope, token) {
            (Ok(scope), Ok(None)) => Ok(CheckedPurpose { scope: scope.map(Into::into), ..CheckedPurpose::default() }),
            // The token says what was asked for; a scope beside it may only say the same.
            (Ok(Some(named)), Ok(Some(token))) if token.scope.as_deref() != Some(named) => {
                Err(WrongPurpose { scope: Some(Malformed::Unknown), binding: None })
            }
            (Ok(_), Ok(Some(Token { operation, scope, .. }))) => {
                let digest = self.record_key.operation(&operation.digest);
                let text = Some(operation.text);
                Ok(CheckedPurpose { scope, operation: Some(digest), text, ..CheckedPurpose::default() })
            }
            (scope, token) => Err(WrongPurpose { scope: scope.err(), binding: token.err() }),
        }
    }

    /// The operation as a pending challenge contains it, with the text that the owner of the session is shown.
    pub(super) fn seal_operation(
        &self,
        session_key: &Key,
        purpose: &CheckedPurpose,
    ) -> Result<Option<SealedOperation>, RandomFailed> {
        let (Some(digest), Some(text)) = (purpose.operation, &purpose.text) else { return Ok(None) };
        let text = self.record_key.seal(session_key, text, self.random)?;
        Ok(Some(SealedOperation { digest, text }))
    }

    /// A token that binds a step-up of this session to one operation. It can be used for as long as a code lives.
    pub(crate) fn seal_binding(&self, caller: &Caller, operation: BoundOperation, scope: Option<Box<str>>) -> String {
        self.seal_token(caller, &Token { operation, scope, deadline: self.token_deadline() })
    }

    /// A new token for the operation of another, for no longer than this; `None` for one that the current secret has not
    /// sealed, whose end a rotation has set.
    #[cfg(feature = "page")]
    pub(super) fn renew_binding(&self, caller: &Caller, token: &str, until: Timestamp) -> Option<String> {
        let (session_key, current) = (self.session_key(caller), self.keyring.current());
        let opens = |secret, sealed: &[u8], mac: &[u8]| {
            secret == current && self.keyring.verify_seal(secret, &session_key, sealed, mac)
        };
        let token = Token::read(token, opens).ok()?;
        Some(self.seal_token(caller, &Token { deadline: until.min(self.token_deadline()), ..token }))
    }

    fn token_deadline(&self) -> Timestamp {
        self.now().saturating_add(self.policy.code_lifetime)
    }

    fn seal_token(&self, caller: &Caller, token: &Token) -> String {
        let session_key = self.session_key(caller);
        token.write(self.keyring.current(), |bytes| self.keyring.seal(&session_key, bytes))
    }

    /// What such a token says. Its deadline is not checked.
    fn open_binding(&self, caller: &Caller, token: &str) -> Result<Token, Malformed> {
        let session_key = self.session_key(caller);
        let opens = |secret, sealed: &[u8], mac: &[u8]| self.keyring.verify_seal(secret, &session_key, sealed, mac);
        Token::read(token, opens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Proof;

    #[test]
    fn debug_prints_no_binding() {
        let purpose = Purpose::new().scope("pay").binding("canary");
        assert_eq!(format!("{purpose:?}"), r#"Purpose { scope: Some("pay"), bound: true }"#);
        let printed = format!("{:?}", Proof::new("KEY").purpose(purpose));
        assert!(printed.contains("KEY") && printed.contains("bound: true") && !printed.contains("canary"), "{printed}");
        assert!(format!("{:?}", Purpose::new()).contains("bound: false"));
    }
}
