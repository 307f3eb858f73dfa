//! Dynamic linking: a step-up that is bound to one operation ([`Binding`]), and the token that carries the bond.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{
    HeaderName, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST},
    request::Parts,
    uri::Authority,
};

use super::text::misleads;
use crate::rules::{BoundOperation, OperationFields};

#[cfg(test)]
mod tests;

/// Bytes of the text that a user approves, at most.
const TEXT_LIMIT: usize = 1024;

/// What makes up the operation that a step-up is bound to: PSD2 calls it dynamic linking (Regulation 2018/389 art. 5).
///
/// The method, the authority (`bank.example:8443`), the path with its query, and, unless left out, every byte of the
/// body; and some headers. With them goes the text that the user approves, which the application makes of the request.
/// A step-up for one transfer then opens that very transfer, once, and no other.
///
/// See [`RequireStepUp::bind`](crate::RequireStepUp::bind) for where it goes.
///
/// # Example
///
/// ```
/// use http::request::Parts;
/// use tower_step_up::Binding;
///
/// // What the user reads on their phone. `None` where the request makes no sense: it is refused with 400.
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
/// - **The path must be the one that the client sent.** axum strips the prefix of a nested router before a guard
///   inside sees the path, so `/eu/cards/1` and `/us/cards/1` may look the same. Take it from axum there, with
///   `|parts| Some(parts.extensions.get::<axum::extract::OriginalUri>()?.0.clone())`; `None` is refused.
/// - **A proxy in front must forward `Host`** as the client sent it, and not set one for all. Where it cannot,
///   [`authority`](Self::authority) says how the authority is found.
/// - `describe` must say the same of the same request: its text is bound too. It must read the body as the handler
///   does, name the payee and the amount, and never shorten what decides.
/// - Nothing outside the request is bound: a price that the handler looks up, say, may have changed.
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

/// Tells the URI as the client sent it.
type FindUri = dyn Fn(&Parts) -> Option<Uri> + Send + Sync;

/// Tells the authority that the client asked, in its one spelling; empty where there is none.
type FindAuthority = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// Makes the text that the user approves.
type Describe = dyn Fn(&Parts, &[u8]) -> Option<String> + Send + Sync;

/// Names the bytes that make up the operation.
type Content = dyn Fn(&Parts, &[u8]) -> Option<Vec<u8>> + Send + Sync;

/// By these two a handler may read the same bytes in another way.
const OF_THE_BODY: [HeaderName; 2] = [CONTENT_TYPE, CONTENT_ENCODING];

impl Binding {
    /// Binds the method, the authority, the path and the query, the body, `Content-Type` and `Content-Encoding`.
    ///
    /// `uri` returns the URI as the client sent it: [`uri_as_received`](Self::uri_as_received), unless something
    /// outside the guard has changed it. `describe` makes the text that the user approves: 1 to 1024 bytes without
    /// control, format and other invisible characters; ZWJ and ZWNJ may join two visible ones. Anything else is refused
    /// with 400, and so is a request at which either panics.
    pub fn new(
        uri: impl Fn(&Parts) -> Option<Uri> + Send + Sync + 'static,
        describe: impl Fn(&Parts, &[u8]) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let authority = Arc::new(authority_as_received);
        let (uri, describe) = (Arc::new(uri), Arc::new(describe));
        Self { uri, authority, describe, content: None, headers: Vec::new(), body: true }
    }

    /// The URI as the guard has received it: right on hyper, on tonic, and in axum outside nested routers.
    #[must_use]
    pub fn uri_as_received(request: &Parts) -> Option<Uri> {
        Some(request.uri.clone())
    }

    /// Finds the authority another way; `None` is refused with 400, and so is a panic.
    ///
    /// By default it is that of the request's URI (`:authority` in HTTP/2, or an absolute URI), otherwise the `Host`
    /// header; a request with several is refused with 400, and one without either has an empty authority. Upper case
    /// and the default ports 80 and 443 make no difference.
    ///
    /// # Example
    ///
    /// Behind a proxy that sets `X-Forwarded-Host` on every request, whatever the client sent:
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
    /// A header that the client can set proves nothing: `X-Forwarded-Host` only counts where a proxy overwrites it.
    pub fn authority(mut self, find: impl Fn(&Parts) -> Option<Authority> + Send + Sync + 'static) -> Self {
        self.authority = Arc::new(move |request| normal(&find(request)?));
        self
    }

    /// Binds a header as well: all its values, in their order. One that is absent is not one that is empty. Name each
    /// by which the handler decides.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }

    /// Binds these bytes in place of the body, of `Content-Type` and of `Content-Encoding`: for bodies that a client
    /// spells in another way each time, such as `multipart/form-data` with its random boundary. `None` is refused with
    /// 400, and so is a panic.
    ///
    /// `describe` still gets the body as it was sent, and so does the handler.
    ///
    /// # Example
    ///
    /// ```
    /// use http::request::Parts;
    /// use tower_step_up::Binding;
    ///
    /// /// All fields of a form, in their order, each with its name and length in front; `None` for any other body.
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
    /// What is left out can be changed after the approval. Name every field by which the handler decides, read the body
    /// as the handler does, and put lengths in front, so that `a=1` and `b=2` cannot become `a=1b` and `=2`.
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

    /// Leaves the body out, for operations that have none: it is not read, and `describe` gets an empty one.
    pub fn without_body(mut self) -> Self {
        self.body = false;
        self
    }

    /// Whether the body must be read.
    pub(crate) const fn needs_body(&self) -> bool {
        self.body
    }

    /// The operation of a request; `None` for one that cannot be identified or described.
    pub(crate) fn operation(&self, request: &Parts, body: &[u8]) -> Option<BoundOperation> {
        let asked = || {
            let content = match &self.content {
                Some(content) => Some(content(request, body)?),
                None => None,
            };
            Some(((self.describe)(request, body)?, (self.uri)(request)?, (self.authority)(request)?, content))
        };
        let (text, uri, authority, content) = catch_unwind(AssertUnwindSafe(asked)).ok()??;
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
        // No body, the body, or what the application has made of it.
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

/// The authority as the guard has received it.
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
        // Which of the two a handler reads is not known here, so they must be the same (RFC 9113 §8.3.1).
        (Some(authority), Some(host)) => normal(authority).filter(|authority| *authority == host),
        (Some(authority), None) => normal(authority),
        (None, host) => Some(host.unwrap_or_default()),
    }
}

/// One spelling for one authority: lower case, no default port. A user in it is refused: `bank.example@evil.example`.
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
