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

use crate::rules::{Operation, OperationFields};

/// Bytes of the text that a user approves, at most.
const TEXT_LIMIT: usize = 1024;

/// Spaces in a row that a text may have.
const SPACES: usize = 4;

/// What makes up the operation that a step-up is bound to: PSD2 calls it dynamic linking (Regulation 2018/389 art. 5).
///
/// The method, the authority (`bank.example:8443`), the path with its query, and, unless left out, every byte of the body; and some headers.
/// With them goes the text that the user approves, which the application makes of the request. A step-up for one
/// transfer then opens that very transfer, once, and no other.
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
    /// `uri` tells the URI as the client sent it: [`uri_as_received`](Self::uri_as_received), unless something outside
    /// the guard has changed it. `describe` makes the text that the user approves: 1 to 1024 bytes without control,
    /// format and other invisible characters; ZWJ and ZWNJ may join two visible ones. Anything else is refused with 400, and so is a request at which either panics.
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
    /// A header that the client can set tells nothing: `X-Forwarded-Host` only counts where a proxy overwrites it.
    pub fn authority(mut self, find: impl Fn(&Parts) -> Option<Authority> + Send + Sync + 'static) -> Self {
        self.authority = Arc::new(move |request| normal(&find(request)?));
        self
    }

    /// Binds a header as well: all its values, in their order. One that is absent is not one that is empty. Name each by
    /// which the handler decides.
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

    /// The operation of a request; `None` for one that cannot be told or described.
    pub(crate) fn operation(&self, request: &Parts, body: &[u8]) -> Option<Operation> {
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
        Some(Operation { digest: digest.digest(), text: text.into() })
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

/// Whether a text may read as another than the one that is bound: by a hidden character, or one that moves the rest.
///
/// The two joiners are allowed where scripts and emoji need them: between two visible characters outside ASCII, neither of
/// them a digit. Five spaces in a row are refused, since they can push what follows onto a line of its own.
fn misleads(text: &str) -> bool {
    // Joiners change nothing in ASCII, and so only hide there.
    let is_visible = |c: char| !c.is_whitespace() && !is_hidden(c) && !c.is_ascii() && !c.is_numeric();
    let (mut before, mut spaces) = (None, 0);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // A row of spaces pushes what follows onto a line of its own.
        spaces = if c.is_whitespace() { spaces + 1 } else { 0 };
        if spaces > SPACES {
            return true;
        }
        let joins = matches!(c, '\u{200c}' | '\u{200d}')
            && before.is_some_and(is_visible)
            && rest.peek().copied().is_some_and(is_visible);
        if is_hidden(c) && !joins {
            return true;
        }
        before = Some(c);
    }
    false
}

/// Characters that print nothing of their own, or change how others print. From the Unicode Character Database 16.0:
/// `General_Category` Cc, Cf, Zl, Zp, and Zs but for U+0020, U+00A0 and U+202F; `Default_Ignorable_Code_Point` of
/// `DerivedCoreProperties.txt`; and the noncharacters. All of them but the spaces are disallowed by PRECIS, too
/// (RFC 8264 §9).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{1680}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            // Blank, though they are symbols and letters by their category; and for private use, so for any.
            | '\u{2800}' | '\u{16fe4}' | '\u{1d159}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;
    use crate::rules::BareOperation;

    fn binding() -> Binding {
        let describe = |_: &Parts, body: &[u8]| Some(format!("{} bytes", body.len()));
        Binding::new(Binding::uri_as_received, describe).header(HeaderName::from_static("x-a"))
    }

    fn digest(binding: &Binding, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> BareOperation {
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        binding.operation(&request, body.as_bytes()).unwrap().digest
    }

    /// Any two of them differ, so nothing that is bound runs into its neighbour.
    #[test]
    fn every_bound_byte_counts() {
        let whole = binding();
        let other_text = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("other".into()))
            .header(HeaderName::from_static("x-a"));
        let all = [
            digest(&whole, "POST", "/a", &[], "1"),
            digest(&whole, "PUT", "/a", &[], "1"),
            digest(&whole, "POST", "/a/", &[], "1"),
            digest(&whole, "POST", "/%61", &[], "1"),
            digest(&whole, "POST", "/a?", &[], "1"),
            digest(&whole, "POST", "/a?b", &[], "1"),
            digest(&whole, "POST", "/a", &[], "2"),
            digest(&whole, "POST", "/a", &[], ""),
            digest(&whole, "POST", "/a", &[("x-a", "")], "1"),
            digest(&whole, "POST", "/a", &[("x-a", "1")], "1"),
            digest(&whole, "POST", "/a", &[("x-a", "1"), ("x-a", "2")], "1"),
            digest(&whole, "POST", "/a", &[("x-a", "2"), ("x-a", "1")], "1"),
            digest(&whole, "POST", "/a", &[("x-a", "1, 2")], "1"),
            digest(&whole, "POST", "/a", &[("x-a", "12")], "1"),
            digest(&whole, "POST", "/a", &[("content-type", "1")], "1"),
            digest(&whole, "POST", "/a", &[("content-encoding", "1")], "1"),
            digest(&whole.clone().header(HeaderName::from_static("x-b")), "POST", "/a", &[], "1"),
            digest(&other_text, "POST", "/a", &[], "1"),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
        }
        let again = digest(&whole, "POST", "/a", &[("x-b", "unbound")], "1");
        assert_eq!(again, all[0], "what is not bound");
        let bodiless = whole.without_body();
        assert_eq!(digest(&bodiless, "POST", "/a", &[], ""), digest(&bodiless, "POST", "/a", &[], ""));
        assert_ne!(digest(&bodiless, "POST", "/a", &[], ""), all[7], "no body is bound, and an empty one is");
    }

    /// A URI, the `Host` headers, and the authority that is bound.
    #[test]
    fn authorities_have_one_spelling() {
        let table: [(&str, &[&str], Option<&str>); 24] = [
            ("/", &[], Some("")),
            ("/", &[""], Some("")),
            ("/", &["eu.example"], Some("eu.example")),
            ("/", &["EU.Example"], Some("eu.example")),
            ("/", &["eu.example:443"], Some("eu.example")),
            ("/", &["eu.example:80"], Some("eu.example")),
            ("/", &["eu.example:"], Some("eu.example")),
            ("/", &["eu.example:08443"], Some("eu.example:8443")),
            ("/", &["eu.example."], Some("eu.example.")),
            ("/", &["[2001:DB8::1]:8443"], Some("[2001:db8::1]:8443")),
            ("/", &["[::1]"], Some("[::1]")),
            ("/", &["127.0.0.1:3000"], Some("127.0.0.1:3000")),
            ("/", &["eu.example", "us.example"], None),
            ("/", &["eu.example", "eu.example"], None),
            ("/", &["eu.example, us.example"], None),
            ("/", &["eu.example@us.example"], None),
            ("/", &["eu.example:99999"], None),
            ("/", &["eu.example/us"], None),
            ("http://EU.example:80/", &[], Some("eu.example")),
            ("https://eu.example/", &["EU.example:443"], Some("eu.example")),
            // Which of the two a handler reads is not known.
            ("https://eu.example/", &["us.example"], None),
            ("/", &["eu.example:+443"], None),
            ("https://eu.example/", &["us.example", "eu.example"], None),
            ("https://us.example@eu.example/", &[], None),
        ];
        for (uri, hosts, expected) in table {
            let mut request =
                Request::get(uri).header("x-forwarded-host", "evil.example").body(()).unwrap().into_parts().0;
            for host in hosts {
                request.headers.append(HOST, HeaderValue::from_static(host));
            }
            assert_eq!(authority_as_received(&request).as_deref(), expected, "{uri} {hosts:?}");
            let operation = binding().operation(&request, b"");
            assert_eq!(operation.is_some(), expected.is_some(), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn the_authority_is_bound_as_the_application_finds_it() {
        let whole = binding();
        let of = |binding: &Binding, host: &str| digest(binding, "POST", "/a", &[("host", host)], "1");
        assert_ne!(of(&whole, "eu.example"), of(&whole, "us.example"));
        assert_eq!(of(&whole, "eu.example"), digest(&whole, "POST", "https://EU.example:443/a", &[], "1"));
        let single = whole.clone().authority(|_| Some(Authority::from_static("Bank.example:443")));
        assert_eq!(of(&single, "eu.example"), of(&single, "us.example"));
        assert_eq!(of(&single, "eu.example"), of(&whole, "bank.example"));
        let request = Request::new(()).into_parts().0;
        assert_eq!(whole.clone().authority(|_| None).operation(&request, b""), None);
        assert_eq!(whole.authority(|_| panic!("the application's own")).operation(&request, b""), None);
    }

    /// The fields of a form as they are, whatever separates them.
    #[test]
    fn the_application_names_the_content() {
        let fields = |request: &Parts, body: &[u8]| {
            let separator = request.headers.get(CONTENT_TYPE)?.to_str().ok()?;
            Some(str::from_utf8(body).ok()?.replace(separator, "\n").into_bytes())
        };
        let whole = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
        let named = whole.clone().content(fields);
        let of = |binding: &Binding, separator: &str, body: &str| {
            digest(binding, "POST", "/a", &[("content-type", separator), ("content-encoding", separator)], body)
        };
        assert_eq!(of(&named, "--x", "a--xb"), of(&named, "--y", "a--yb"));
        assert_ne!(of(&named, "--x", "a--xb"), of(&named, "--x", "a--xc"));
        let typed = named.clone().header(CONTENT_TYPE);
        assert_ne!(of(&typed, "--x", "a--xb"), of(&typed, "--y", "a--yb"), "bound by its name");
        let request = Request::new(()).into_parts().0;
        assert_eq!(named.operation(&request, b"a"), None, "no content type");
        assert_eq!(whole.content(|_, _| panic!("the application's own")).operation(&request, b"a"), None);
    }

    #[test]
    fn what_cannot_be_described_is_none() {
        let request = Request::new(()).into_parts().0;
        for text in [String::new(), " ".into(), "a\nb".into(), "a\0".into(), "a\u{202e}b".into(), "x".repeat(1025)] {
            let binding = Binding::new(Binding::uri_as_received, move |_: &Parts, _: &[u8]| Some(text.clone()));
            assert_eq!(binding.operation(&request, b""), None);
        }
        let lost = Binding::new(|_: &Parts| None, |_: &Parts, _: &[u8]| Some("text".into()));
        assert_eq!(lost.operation(&request, b""), None);
        let panics = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| panic!("the application's own"));
        assert_eq!(panics.operation(&request, b""), None);
        let longest = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("ü".repeat(512)));
        assert!(longest.operation(&request, b"").is_some());
    }

    /// Single code points, and what may stand around the joiners.
    #[test]
    fn texts_that_mislead() {
        let points = "0000 0009 000A 000D 001B 007F 0085 009F 00AD 034F 0600 061C 06DD 070F 0890 08E2 115F 1160 1680 17B4 \
            17B5 180B 180E 180F 2000 200A 200B 200C 200D 200E 200F 2028 2029 202A 202E 205F 2060 2064 2065 2066 2069 206A \
            206F 3000 3164 FDD0 FE00 FE0F FEFF FFA0 FFF0 FFF9 FFFB FFFE FFFF 110BD 13430 1BCA0 1D173 1D17A 1FFFE 10FFFF \
            E0001 E0020 E007F E0100 E0FFF 2800 16FE4 1D159 E000 F8FF F0000 10FFFD";
        for point in points.split_whitespace() {
            let c = char::from_u32(u32::from_str_radix(point, 16).unwrap()).unwrap();
            for text in [format!("Pay{c} 10"), format!("Pay {c}10"), format!("{c}Pay"), format!("Pay{c}")] {
                assert!(misleads(&text), "{point}: {text:?}");
            }
        }
        let joined = [
            "a\u{200d}\u{200d}b",
            "a\u{200c}\u{200d}b",
            "a\u{200d}\u{ad}b",
            "a\u{a0}\u{200d}b",
            "\u{200d}",
            "\u{200c}a",
            "1\u{200d}000",
            "a\u{200c}b",
            "١\u{200d}٠",
            "Pay 10     EUR",
            "Pay 10 \u{a0}\u{202f} \u{a0}EUR",
        ];
        for text in joined {
            assert!(misleads(text), "{text:?}");
        }
        let fine = [
            "Pay 10\u{a0}000,00\u{202f}€ to Zoë & Søn",
            "支付 100 元给 李雷",
            "ادفع ١٠ دنانير",
            "می\u{200c}خواهم",
            "ക്\u{200d}ഷ",
            "Pay the 👩\u{200d}👧",
            "e\u{301}",
            "Pay 10    EUR",
            "",
        ];
        for text in fine {
            assert!(!misleads(text), "{text:?}");
        }
    }
}
