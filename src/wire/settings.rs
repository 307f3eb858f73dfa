//! The settings of the edges, checked when the builder builds.

use http::HeaderValue;

use crate::rules::ConfigError;

/// The settings of the edges.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) sandbox: bool,
    pub(crate) public_path: Option<String>,
    /// Where a user enrolls a channel.
    pub(crate) enroll_url: Option<String>,
    /// The challenge of a 401.
    pub(crate) authenticate: HeaderValue,
    /// The domain of a `google.rpc.ErrorInfo`.
    pub(crate) grpc_domain: String,
}

impl Settings {
    /// # Errors
    ///
    /// [`ConfigError`] names the setting.
    pub(crate) fn new(
        sandbox: bool,
        public_path: Option<String>,
        authenticate: String,
        grpc_domain: String,
    ) -> Result<Self, ConfigError> {
        if let Some(path) = &public_path {
            check_path("public_path", path)?;
        }
        let challenge = HeaderValue::try_from(&authenticate).ok().filter(|_| is_challenge(&authenticate));
        let authenticate = challenge.ok_or(ConfigError::InvalidAuthenticate { value: authenticate })?;
        if !(1..=253).contains(&grpc_domain.len()) || !grpc_domain.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::InvalidGrpcDomain { domain: grpc_domain });
        }
        Ok(Self { sandbox, public_path, enroll_url: None, authenticate, grpc_domain })
    }

    /// With the page on which a user enrolls a channel.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidUrl`].
    pub(crate) fn enroll_url(self, url: Option<String>) -> Result<Self, ConfigError> {
        if let Some(url) = &url {
            check_url("enroll_url", url)?;
        }
        Ok(Self { enroll_url: url, ..self })
    }
}

/// A path that can be put in front of another: `/a`, `/a/b`. Not `//a`, which names a host (RFC 3986 §4.2), nor what no
/// path may hold (§3.3).
pub(crate) fn check_path(setting: &'static str, path: &str) -> Result<(), ConfigError> {
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/');
    let is_pchar = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    if is_path && path.bytes().all(is_pchar) {
        Ok(())
    } else {
        Err(ConfigError::InvalidPath { setting, path: path.into() })
    }
}

/// A URL to which a client may lead its user: `https://…`, `http://…`, or a path with what follows it, in characters that
/// a URI may hold (RFC 3986 §2). Not `javascript:` and the like.
fn check_url(setting: &'static str, url: &str) -> Result<(), ConfigError> {
    let is_absolute = ["https://", "http://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    let is_path = url.starts_with('/') && !url.starts_with("//");
    let in_uri = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if (is_absolute || is_path) && url.bytes().all(in_uri) {
        Ok(())
    } else {
        Err(ConfigError::InvalidUrl { setting, url: url.into() })
    }
}

/// Challenges of schemes other than `Basic`, in visible ASCII and spaces. There may be several, behind commas (RFC 9110
/// §11.6.1); a comma between quotes is none.
fn is_challenge(value: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    let mut items = value.split(|c| {
        let ends = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        ends
    });
    let is_item = |item: &str| {
        let scheme = item.trim_start().split(' ').next().unwrap_or_default();
        !scheme.is_empty() && !scheme.eq_ignore_ascii_case("basic")
    };
    items.all(is_item) && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
