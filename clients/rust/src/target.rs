//! Whom a request was sent to, by whom, and where the challenge endpoints of the same server are.

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version,
    header::{ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::Requirement;

/// Headers that say who asks, and in which language.
const CARRIED: [HeaderName; 5] = [HOST, AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, ACCEPT_LANGUAGE];

/// The server of a request, and the session that it was sent for. It is not `Debug`: its headers are secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    headers: Vec<(HeaderName, HeaderValue)>,
    version: Version,
}

impl Target {
    pub(crate) fn of(request: &Parts, more: &[HeaderName]) -> Self {
        let values = |name| request.headers.get_all(name).iter().map(move |value: &HeaderValue| (name, value));
        let headers = CARRIED.iter().chain(more).flat_map(values);
        Self {
            scheme: request.uri.scheme().cloned(),
            authority: request.uri.authority().cloned(),
            headers: headers.map(|(name, value)| (name.clone(), value.clone())).collect(),
            version: request.version,
        }
    }

    /// A request to the same server for the same session.
    pub(crate) fn request<B>(&self, path: &str, body: B) -> Option<Request<B>> {
        let mut uri = http::uri::Parts::default();
        uri.scheme.clone_from(&self.scheme);
        uri.authority.clone_from(&self.authority);
        uri.path_and_query = Some(path.parse().ok()?);
        let mut request = Request::new(body);
        *request.uri_mut() = Uri::from_parts(uri).ok()?;
        *request.version_mut() = self.version;
        self.carry(request.headers_mut());
        Some(request)
    }

    fn carry(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
    }

    /// The path of a start at this server; `None` where it leads elsewhere.
    fn path<'a>(&self, start: &'a str) -> Option<&'a str> {
        let path = match start.find("://") {
            Some(end) if !start.starts_with('/') => {
                let rest = &start[end + 3..];
                let (authority, path) = rest.split_at(rest.find('/')?);
                if !self.is_at(&start[..end], authority) {
                    return None;
                }
                path
            }
            _ => start,
        };
        is_path(path).then_some(path)
    }

    fn is_at(&self, scheme: &str, authority: &str) -> bool {
        let (Some(own), Some(at)) = (&self.scheme, &self.authority) else { return false };
        let Ok(other) = authority.parse::<Authority>() else { return false };
        let port = |authority: &Authority| {
            authority
                .port_u16()
                .or_else(|| (own == &Scheme::HTTP).then_some(80).or((own == &Scheme::HTTPS).then_some(443)))
        };
        !authority.contains('@')
            && own.as_str().eq_ignore_ascii_case(scheme)
            && at.host().eq_ignore_ascii_case(other.host())
            && port(at) == port(&other)
    }
}

/// A path that every client reads as one at the same server.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'?' | b'#'))
        && path.parse::<PathAndQuery>().is_ok()
}

/// Where the challenge endpoints are: by the refusal, or where the application said.
#[derive(Clone)]
pub(crate) struct Endpoints {
    starts: Vec<String>,
    base: Option<String>,
}

/// A refusal names a start at another server.
pub(crate) struct Foreign;

impl Endpoints {
    pub(crate) fn new(requirement: &Requirement, target: &Target, configured: Option<&str>) -> Result<Self, Foreign> {
        let paths = requirement.start().iter().map(|start| target.path(start).map(str::to_owned).ok_or(Foreign));
        let starts = paths.collect::<Result<Vec<_>, _>>()?;
        let base = configured.map(str::to_owned).or_else(|| starts.iter().find_map(|start| base_of(start)));
        Ok(Self { starts, base })
    }

    /// Nothing is known of them.
    #[cfg(feature = "tonic")]
    pub(crate) fn none() -> Self {
        Self { starts: Vec::new(), base: None }
    }

    /// The path of the session's status.
    pub(crate) fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// The path at which a challenge starts; `kind` is `otp` or `push`.
    pub(crate) fn start(&self, kind: &str, channel: &str) -> Option<String> {
        let end = format!("/{kind}/{channel}");
        let named = self.starts.iter().find(|start| start.ends_with(&end)).cloned();
        named.or_else(|| Some(format!("{}{end}", self.base.as_ref()?)))
    }
}

/// The path before `/otp/{channel}` or `/push/{channel}`.
fn base_of(start: &str) -> Option<String> {
    let (start, _) = start.rsplit_once('/')?;
    let (base, kind) = start.rsplit_once('/')?;
    ["otp", "push"].contains(&kind).then(|| base.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::of(&Request::get(uri).body(()).unwrap().into_parts().0, &[])
    }

    #[test]
    fn a_start_is_at_the_same_origin() {
        let at = "/challenges/otp/SMS";
        let bank = target("https://bank.example/transfers");
        for same in [at, "https://bank.example/challenges/otp/SMS", "HTTPS://Bank.Example:443/challenges/otp/SMS"] {
            assert_eq!(bank.path(same), Some(at), "{same}");
        }
        for other in [
            "http://bank.example/challenges/otp/SMS",
            "https://bank.example:8443/challenges/otp/SMS",
            "https://evil.example/challenges/otp/SMS",
            "https://bank.example@evil.example/challenges/otp/SMS",
            "https://user@bank.example/challenges/otp/SMS",
            "https://bank.example.evil.example/challenges/otp/SMS",
            "https://bank.example",
            "//evil.example/challenges/otp/SMS",
            "/\\evil.example/challenges/otp/SMS",
            "\\\\evil.example",
            "challenges/otp/SMS",
            "javascript://bank.example/otp/SMS",
            "/otp/SMS?next=//evil.example",
            "/otp/SMS#",
            "/otp /SMS",
            "",
        ] {
            assert_eq!(bank.path(other), None, "{other}");
        }
        assert_eq!(target("/transfers").path("https://bank.example/otp/SMS"), None, "its origin is not known");
        assert_eq!(target("http://[::1]:3000/").path("http://[::1]:3000/otp/SMS"), Some("/otp/SMS"));
    }

    #[test]
    fn the_base_is_before_the_kind() {
        let bases = ["/stepup/challenges/otp/SMS", "/push/BIO", "/verify/SMS"].map(base_of);
        assert_eq!(bases, [Some("/stepup/challenges".into()), Some(String::new()), None]);
    }
}
