//! Refusals of an OAuth resource server (RFC 9470).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::WWW_AUTHENTICATE, request::Parts};

use super::{Json, Refusal, RefusalTerms, ResponseForRefusal};
use crate::rules::ConfigError;

/// Refuses as an OAuth resource server does: 401 with `WWW-Authenticate: Bearer
/// error="insufficient_user_authentication"` (RFC 9470 §3). The client then requests a new authentication from the
/// authorization server, with the `acr_values` and the `max_age` in that header.
///
/// The body is that of [`Json`], which also builds all other refusals. Without a caller the challenge is `Bearer` alone
/// (RFC 6750 §3.1).
///
/// # Example
///
/// ```
/// use tower_step_up::{RequireStepUp, StepUp, guard::refusal::OAuth};
///
/// # let step_up = StepUp::builder().proof("OIDC").build()?;
/// let oauth = OAuth::new().acr_values(["urn:example:gold", "urn:example:platinum"])?;
/// let guard = RequireStepUp::new(&step_up).with_refusal_response(oauth);
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct OAuth {
    description: Box<str>,
    acr_values: Option<Box<str>>,
    /// The challenge without `max_age`, which is the guard's.
    challenge: HeaderValue,
}

impl Default for OAuth {
    fn default() -> Self {
        Self::new()
    }
}

impl OAuth {
    /// With an English description and no `acr_values`.
    pub fn new() -> Self {
        Self::saying("A more recent or a stronger authentication is required".into(), None)
    }

    /// Sets `error_description`, for the client's developer.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidOAuthParameter`] where it is blank or has a character other than printable ASCII without
    /// `"` and `\` (RFC 6750 §3).
    pub fn description(self, description: &str) -> Result<Self, ConfigError> {
        let description = checked("error_description", description, |byte| matches!(byte, b' '..=b'~'))?;
        Ok(Self::saying(description, self.acr_values))
    }

    /// Sets the acceptable authentication context class references, in order of preference (RFC 9470 §3).
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidOAuthParameter`] where there is no value, or one is empty or has a character other than
    /// visible ASCII without `"` and `\`.
    pub fn acr_values<T: AsRef<str>>(self, values: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let mut checked_values = Vec::new();
        for value in values {
            checked_values.push(checked("acr_values", value.as_ref(), |byte| byte.is_ascii_graphic())?);
        }
        let joined = checked("acr_values", &checked_values.join(" "), |_| true)?;
        Ok(Self::saying(self.description, Some(joined)))
    }

    fn saying(description: Box<str>, acr_values: Option<Box<str>>) -> Self {
        let mut challenge =
            format!("Bearer error=\"insufficient_user_authentication\", error_description=\"{description}\"");
        if let Some(values) = &acr_values {
            challenge.extend([", acr_values=\"", values, "\""]);
        }
        // Cannot fail: the setters allow only printable ASCII.
        let challenge = HeaderValue::try_from(challenge).unwrap_or(BEARER);
        Self { description, acr_values, challenge }
    }

    fn challenge(&self, terms: &RefusalTerms) -> HeaderValue {
        let Some(max_age) = terms.requirement.max_age else { return self.challenge.clone() };
        let secs = max_age.as_secs().to_string();
        let challenge = [self.challenge.as_bytes(), b", max_age=\"", secs.as_bytes(), b"\""].concat();
        HeaderValue::try_from(challenge).unwrap_or(BEARER)
    }

    /// Makes an OAuth challenge of a refusal as [`Json`].
    fn challenged<B>(&self, refusal: &Refusal, terms: &RefusalTerms, mut json: Response<B>) -> Response<B> {
        let challenge = match refusal {
            Refusal::StepUpRequired(_) => self.challenge(terms),
            Refusal::NoCaller => BEARER,
            _ => return json,
        };
        *json.status_mut() = StatusCode::UNAUTHORIZED;
        json.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        json
    }
}

const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// A value that needs no escaping inside a quoted string.
fn checked(parameter: &'static str, value: &str, may_stand: impl Fn(u8) -> bool) -> Result<Box<str>, ConfigError> {
    let stands = |byte: u8| may_stand(byte) && byte != b'"' && byte != b'\\';
    if value.trim().is_empty() || !value.bytes().all(stands) {
        return Err(ConfigError::InvalidOAuthParameter { parameter, value: value.into() });
    }
    Ok(value.into())
}

// So that, for a body that does not fit, the compiler reports `ResponseForRefusal` and its notes.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> ResponseForRefusal<B> for OAuth {
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B> {
        self.challenged(refusal, terms, Json.response_for_refusal(refusal, terms, request))
    }

    fn response_to_refused(&self, refusal: &Refusal, terms: &RefusalTerms, request: &mut Parts) -> Response<B> {
        self.challenged(refusal, terms, Json.response_to_refused(refusal, terms, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_built_that_could_break_a_header() {
        for bad in ["", " ", "a\"b", "a\\b", "a\nb", "a\r\nx: y", "ü", "\u{7f}"] {
            let refused = |parameter| Some(ConfigError::InvalidOAuthParameter { parameter, value: bad.into() });
            assert_eq!(OAuth::new().description(bad).err(), refused("error_description"), "{bad:?}");
            assert_eq!(OAuth::new().acr_values([bad]).err(), refused("acr_values"), "{bad:?}");
            assert_eq!(OAuth::new().acr_values(["good", bad]).err(), refused("acr_values"), "{bad:?}");
        }
        assert!(OAuth::new().acr_values(Vec::<String>::new()).is_err());
        assert!(OAuth::new().acr_values(["a b"]).is_err(), "two in one");
        assert!(OAuth::new().description("Log in again, please.").is_ok());
    }
}
