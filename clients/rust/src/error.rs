//! Why a request got no response.

use std::{error, fmt};

use crate::{PromptError, Requirement};

/// An error of any kind, as services have it.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// Why a request got no response.
///
/// No variant and no message contains a code, a binding or a token.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The service inside failed.
    Inner(BoxError),
    /// The user cancelled the prompt.
    Cancelled(Box<Requirement>),
    /// A step-up for this request was consumed already, and
    /// [`Prompt::confirm_spent`](crate::Prompt::confirm_spent) did not agree to another.
    Spent(Box<Requirement>),
    /// The prompt succeeded, and the repeated request was refused again.
    StillRefused(Box<Requirement>),
    /// The request was refused, and its body is a stream or over the
    /// [limit](crate::StepUpClient::repeat_up_to): step up, then send it again.
    NotRepeatable(Box<Requirement>),
    /// The refusal names a start at another origin than that of the request.
    ForeignStart(Box<Requirement>),
    /// The prompt failed.
    Prompt(Box<Requirement>, PromptError),
}

impl Error {
    /// What the refusal asks for; `None` where the service inside failed.
    #[must_use]
    pub fn requirement(&self) -> Option<&Requirement> {
        match self {
            Self::Inner(_) => None,
            Self::Cancelled(requirement)
            | Self::Spent(requirement)
            | Self::StillRefused(requirement)
            | Self::NotRepeatable(requirement)
            | Self::ForeignStart(requirement)
            | Self::Prompt(requirement, _) => Some(requirement),
        }
    }

    /// This error within one that wraps it, such as `tonic::Status`.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }

    pub(crate) fn of_prompt(requirement: Requirement, error: PromptError) -> Self {
        match error {
            PromptError::Cancelled => Self::Cancelled(requirement.into()),
            PromptError::SpentNotConfirmed => Self::Spent(requirement.into()),
            error => Self::Prompt(requirement.into(), error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner(_) => "the request failed",
            Self::Cancelled(_) => "the step-up was cancelled",
            Self::Spent(_) => "the step-up was consumed already; ask the user before the request is sent again",
            Self::StillRefused(_) => "the request was refused again after the step-up",
            Self::NotRepeatable(_) => "a step-up is required, and the request cannot be repeated: send it again after",
            Self::ForeignStart(_) => "the refusal names challenge endpoints of another origin",
            Self::Prompt(..) => "the step-up failed",
        })
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Inner(error) => Some(&**error),
            Self::Prompt(_, error) => Some(error),
            _ => None,
        }
    }
}
