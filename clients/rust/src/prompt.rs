//! What the application does about a refusal: it asks its user.

use std::{error, fmt, sync::Arc, time::SystemTime};

use crate::{BoxError, ChallengeError, Challenges, Requirement};

/// Asks the user to step up.
///
/// # Example
/// ```
/// use tower_step_up_client::{Challenges, Prompt, PromptError, Requirement};
///
/// struct Sms;
///
/// impl Prompt for Sms {
///     async fn prompt(&self, requirement: &Requirement, challenges: &Challenges) -> Result<(), PromptError> {
///         challenges.start("SMS").await?;
///         let code = ask(requirement.operation()).await.ok_or(PromptError::Cancelled)?;
///         challenges.verify("SMS", &code).await?;
///         Ok(())
///     }
/// }
///
/// /// Shows a field for the code; `None` where the user closes it.
/// async fn ask(_operation: Option<&str>) -> Option<String> {
///     # None
///     // ..
/// }
/// ```
pub trait Prompt: Send + Sync + 'static {
    /// Steps up, by the challenge endpoints of the server that refused. The request is repeated once this succeeds.
    ///
    /// It is called once for all requests that wait for the same thing, and dropped with the last of them. At most one
    /// prompt of a session runs at a time. So a prompt must not wait for a request of its own session through the same
    /// layer: refused, that request would wait for the prompt.
    ///
    /// # Errors
    /// [`PromptError::Cancelled`] where the user does not want to. Any error goes to every request that waits.
    fn prompt(
        &self,
        requirement: &Requirement,
        challenges: &Challenges,
    ) -> impl Future<Output = Result<(), PromptError>> + Send;

    /// Whether to step up again for a request whose step-up was consumed already: it may have had its effect, such as
    /// a payment, at `spent_at`. Ask the user. `No` unless implemented.
    fn confirm_spent(
        &self,
        spent_at: Option<SystemTime>,
        requirement: &Requirement,
    ) -> impl Future<Output = bool> + Send {
        let _ = (spent_at, requirement);
        async { false }
    }
}

/// Why a prompt failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PromptError {
    /// The user does not want to step up.
    Cancelled,
    /// [`Prompt::confirm_spent`] said no.
    SpentNotConfirmed,
    /// The prompt panicked.
    Panicked,
    /// A challenge endpoint refused, or could not be reached.
    Challenge(Arc<ChallengeError>),
    /// Another error of the application.
    Other(Arc<dyn error::Error + Send + Sync>),
}

impl PromptError {
    /// Another error of the application.
    pub fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into().into())
    }
}

impl From<ChallengeError> for PromptError {
    fn from(error: ChallengeError) -> Self {
        Self::Challenge(error.into())
    }
}

impl fmt::Display for PromptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "cancelled",
            Self::SpentNotConfirmed => "consumed already, and not confirmed",
            Self::Panicked => "the prompt panicked",
            Self::Challenge(_) => "a challenge failed",
            Self::Other(_) => "the prompt failed",
        })
    }
}

impl error::Error for PromptError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Challenge(error) => Some(&**error),
            Self::Other(error) => Some(&**error),
            _ => None,
        }
    }
}
