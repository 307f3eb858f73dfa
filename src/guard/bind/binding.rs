//! Dynamic linking: [`Binding`], which derives the operation that a step-up is bound to from a request.

use std::{fmt, sync::Arc};

use http::{
    HeaderName, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST},
    request::Parts,
    uri::Authority,
};

use super::text::misleads;
use crate::{
    catch::catch,
    rules::{BoundOperation, OperationFields},
};

#[cfg(test)]
mod tests;

/// Limit of the text that a user approves, in bytes.
const TEXT_LIMIT: usize = 1024;

/// Defines the operation that a step-up is bound to: dynamic linking in the terms of PSD2 (Regulation (EU) 2018/389
/// art. 5).
///
/// An operation consists of the method, the authority (`bank.example:8443`), the path with its query, every byte of the
/// body unless it is left out, selected headers, and the text that the user approves, which the application derives
/// from the request. A step-up for one transfer then permits exactly that transfer, once.
///
/// See [`RequireStepUp::bind`](crate::RequireStepUp::bind) for how to apply it.
///
/// # Example
///
/// ```
/// use http::request::Parts;
/// use tower_step_up::Binding;
///
/// // What the user reads on their phone. `None` where the request is invalid: it is refused with 400.
/// fn describe(_: &Parts, body: &[u8]) -> Option<String> {
///     let payout: serde_json::Value = serde_json::from_slice(body).ok()?;
///     Some(format!("Pay {} EUR to {}", payout["amount"].as_u64()?, payout["to"].as_str()?))
/// }
///
/// let binding = Binding::new(Binding::uri_as_received, describe).header(http::header::ACCEPT_LANGUAGE);
/// ```
///
/// # Security
///
/// - **The path must be the one that the client sent.** axum strips the prefix of a nested router before a guard inside
///   sees the path, so `/eu/cards/1` and `/us/cards/1` may look the same. Take it from axum there, with
///   `|parts| Some(parts.extensions.get::<axum::extract::OriginalUri>()?.0.clone())`; `None` is refused.
/// - **A proxy in front must forward `Host`** as the client sent it, and not set one for all requests. Where it cannot,
///   set [`authority`](Self::authority).
/// - `describe` must be deterministic: its text is bound too. It must parse the body as the handler does, name the
///   payee and the amount, and never truncate what the user has to decide on.
/// - Nothing outside the request is bound: a price that the handler looks up, for example, may have changed.
#[derive(Clone)]
#[must_use]
pub struct Binding {
    uri: Arc<FindUri>,
    authority: Arc<FindAuthority>,
    describe: Arc<Describe>,
    content: Option<Arc<Content>>,
    headers: Vec<HeaderName>,
    body: bool,
}

/// Returns the URI as the client sent it.
type FindUri = dyn Fn(&Parts) -> Option<Uri> + Send + Sync;

/// Returns the authority of the request in normalized form; empty where the request has none.
type FindAuthority = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// Returns the text that the user approves.
type Describe = dyn Fn(&Parts, &[u8]) -> Option<String> + Send + Sync;

/// Returns the bytes that are bound in place of the body.
type Content = dyn Fn(&Parts, &[u8]) -> Option<Vec<u8>> + Send + Sync;

/// Headers of the body, bound with it: a handler may interpret the same bytes differently depending on them.
const OF_THE_BODY: [HeaderName; 2] = [CONTENT_TYPE, CONTENT_ENCODING];

impl Binding {
    /// Binds the method, the authority, the path and the query, the body, `Content-Type` and `Content-Encoding`.
    ///
    /// `uri` returns the URI as the client sent it: [`uri_as_received`](Self::uri_as_received), unless a layer outside
    /// the guard has changed it. `describe` returns the text that the user approves: 1 to 1024 bytes without control,
    /// format and other invisible characters; ZWJ and ZWNJ may join two visible ones. Any other text is refused with
    /// 400, and so is a request for which either closure returns `None` or panics.
    pub fn new(
        uri: impl Fn(&Parts) -> Option<Uri> + Send + Sync + 'static,
        describe: impl Fn(&Parts, &[u8]) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let authority = Arc::new(authority_as_received);
        let (uri, describe) = (Arc::new(uri), Arc::new(describe));
        Self { uri, authority, describe, content: None, headers: Vec::new(), body: true }
    }

    /// The URI as the guard receives it: correct on hyper, on tonic, and in axum outside nested routers.
    #[must_use]
    pub fn uri_as_received(request: &Parts) -> Option<Uri> {
        Some(request.uri.clone())
    }

    /// Replaces how the authority is determined; `None` is refused with 400, and so is a panic.
    ///
    /// The default is the authority of the request's URI (`:authority` in HTTP/2, or an absolute URI), otherwise the
    /// `Host` header. A request with several `Host` headers, or with both and a mismatch, is refused with 400; one with
    /// neither has an empty authority. Case and the default ports 80 and 443 are not significant.
    ///
    /// # Example
    ///
    /// Behind a proxy that overwrites `X-Forwarded-Host` on every request:
    ///
    /// ```
    /// use http::request::Parts;
    /// use tower_step_up::Binding;
    ///
    /// let forwarded = |request: &Parts| request.headers.get("x-forwarded-host")?.to_str().ok()?.parse().ok();
    /// let binding = Binding::new(Binding::uri_as_received, |_, _| Some("Pay".into())).authority(forwarded);
    /// ```
    ///
    /// # Security
    ///
    /// Do not use a header that the client can set: `X-Forwarded-Host` is reliable only where a proxy overwrites it.
    pub fn authority(mut self, find: impl Fn(&Parts) -> Option<Authority> + Send + Sync + 'static) -> Self {
        self.authority = Arc::new(move |request| normal(&find(request)?));
        self
    }

    /// Binds a header as well: all its values, in order. An absent header differs from an empty one. Name every header
    /// that the handler's decision depends on.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }

    /// Binds these bytes in place of the body, of `Content-Type` and of `Content-Encoding`: for bodies that a client
    /// encodes differently each time, such as `multipart/form-data` with its random boundary. `None` is refused with
    /// 400, and so is a panic.
    ///
    /// `describe` and the handler still get the body as it was sent.
    ///
    /// # Example
    ///
    /// ```
    /// use http::request::Parts;
    /// use tower_step_up::Binding;
    ///
    /// /// All fields of a form, in order, each preceded by its name and length; `None` for any other body.
    /// fn fields(request: &Parts, body: &[u8]) -> Option<Vec<u8>> {
    ///     # let _ = (request, body);
    ///     // Parsed by the same crate as in the handler.
    ///     # None
    /// }
    ///
    /// let binding = Binding::new(Binding::uri_as_received, |_, _| Some("Pay".into())).content(fields);
    /// ```
    ///
    /// # Security
    ///
    /// Anything left out can be changed after the approval. Include every field that the handler's decision depends on,
    /// parse the body as the handler does, and prefix each field with its length, so that `a=1` and `b=2` cannot become
    /// `a=1b` and `=2`.
    pub fn content(mut self, content: impl Fn(&Parts, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        self.content = Some(Arc::new(content));
        self
    }

    /// The headers that are bound.
    fn headers(&self) -> impl ExactSizeIterator<Item = &HeaderName> {
        let of_the_body = if self.content.is_some() { &[][..] } else { &OF_THE_BODY };
        let count = of_the_body.len() + self.headers.len();
        (0..count).map(move |at| of_the_body.get(at).unwrap_or_else(|| &self.headers[at - of_the_body.len()]))
    }

    /// Leaves the body out, for operations without one: it is not read, and `describe` gets an empty body.
    pub fn without_body(mut self) -> Self {
        self.body = false;
        self
    }

    /// Whether the body must be read.
    pub(crate) const fn needs_body(&self) -> bool {
        self.body
    }

    /// The operation of a request; `None` for a request that cannot be bound or described.
    pub(crate) fn operation(&self, request: &Parts, body: &[u8]) -> Option<BoundOperation> {
        let asked = || {
            let content = match &self.content {
                Some(content) => Some(content(request, body)?),
                None => None,
            };
            Some(((self.describe)(request, body)?, (self.uri)(request)?, (self.authority)(request)?, content))
        };
        let (text, uri, authority, content) = catch(asked)??;
        if text.trim().is_empty() || text.len() > TEXT_LIMIT || misleads(&text) {
            return None;
        }
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let mut digest = OperationFields::new();
        digest.add(request.method.as_str().as_bytes());
        digest.add(authority.as_bytes());
        digest.add(path.as_bytes());
        digest.count(self.headers().len());
        for name in self.headers() {
            digest.add(name.as_str().as_bytes());
            let values = request.headers.get_all(name);
            digest.count(values.iter().count());
            values.iter().for_each(|value| digest.add(value.as_bytes()));
        }
        // Which kind of content is bound: no body, the body, or the application's bytes.
        let (kind, bound) = match &content {
            Some(content) => (2, &content[..]),
            None if self.body => (1, body),
            None => (0, &[][..]),
        };
        digest.count(kind);
        digest.add(bound);
        digest.add(text.as_bytes());
        Some(BoundOperation { digest: digest.digest(), text: text.into() })
    }
}

/// Prints which headers are bound, and whether the body is.
impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers().collect();
        f.debug_struct("Binding").field("headers", &headers).field("body", &self.body).finish_non_exhaustive()
    }
}

/// Whether an authority is that of the request.
#[cfg(feature = "page")]
pub(in crate::guard) fn same_authority(request: &Parts, other: &Authority) -> bool {
    authority_as_received(request).is_some_and(|own| !own.is_empty() && normal(other) == Some(own))
}

/// The authority of the request as the guard receives it.
fn authority_as_received(request: &Parts) -> Option<String> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next().filter(|host| !host.is_empty()), hosts.next());
    if more.is_some() {
        return None;
    }
    let host = match host {
        Some(host) => Some(normal(&Authority::try_from(host.as_bytes()).ok()?)?),
        None => None,
    };
    match (request.uri.authority(), host) {
        // The handler may read either of the two, so they must be equal (RFC 9113 §8.3.1).
        (Some(authority), Some(host)) => normal(authority).filter(|authority| *authority == host),
        (Some(authority), None) => normal(authority),
        (None, host) => Some(host.unwrap_or_default()),
    }
}

/// Normalizes an authority: lower case, no default port. User information, as in `bank.example@evil.example`, is
/// refused.
fn normal(authority: &Authority) -> Option<String> {
    let host = authority.host();
    let after = authority.as_str().strip_prefix(host)?;
    let port = match after.strip_prefix(':') {
        None if after.is_empty() => None,
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse::<u16>().ok()?),
        None | Some(_) => return None,
    };
    let host = host.to_ascii_lowercase();
    Some(match port {
        None | Some(80 | 443) => host,
        Some(port) => format!("{host}:{port}"),
    })
}
