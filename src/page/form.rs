//! What the page's URLs and forms say.

use std::{borrow::Cow, time::Duration};

use form_urlencoded::{Serializer, parse};
use http::{HeaderMap, header::CONTENT_TYPE};

use crate::wire::media_type;

/// The query of a URL of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    /// The sealed target.
    pub(super) target: Cow<'a, str>,
    /// The sealed id of a push.
    pub(super) push: Option<Cow<'a, str>>,
    /// The name of a text that is shown.
    pub(super) message: Option<Cow<'a, str>>,
    /// How long to wait, in that text.
    pub(super) wait: Option<Duration>,
    /// Whether to go back, where the step-up is done.
    pub(super) goes: bool,
}

impl<'a> Query<'a> {
    pub(super) fn parse(query: &'a str) -> Self {
        let mut read = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            match &*name {
                "t" => read.target = value,
                "p" => read.push = Some(value),
                "m" => read.message = Some(value),
                "w" => read.wait = value.parse().ok().filter(|secs| *secs <= 400 * 86_400).map(Duration::from_secs),
                "go" => read.goes = true,
                _ => {}
            }
        }
        read
    }

    /// What follows `page`, as a URL of the page says it.
    pub(super) fn write(&self) -> String {
        let mut query = Serializer::for_suffix(String::from("?"), 1);
        query.append_pair("t", &self.target);
        for (name, value) in [("p", &self.push), ("m", &self.message)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if let Some(wait) = self.wait {
            query.append_pair("w", &wait.as_secs().to_string());
        }
        if self.goes {
            query.append_pair("go", "1");
        }
        query.finish()
    }
}

/// A form of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) target: String,
    pub(super) token: String,
    pub(super) channel: String,
    pub(super) code: String,
}

impl Form {
    /// Reads a form; `None` for another type of content, and where a field is there twice.
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let declared = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        if !media_type(declared.as_bytes()).eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return None;
        }
        let (mut form, mut seen) = (Self::default(), [false; 4]);
        for (name, value) in parse(body) {
            let (at, field) = match &*name {
                "t" => (0, &mut form.target),
                "csrf" => (1, &mut form.token),
                "channel" => (2, &mut form.channel),
                "code" => (3, &mut form.code),
                _ => continue,
            };
            if std::mem::replace(&mut seen[at], true) {
                return None;
            }
            *field = value.into_owned();
        }
        Some(form)
    }

    /// The code without what people and messages put between digits: spaces, dashes, and characters that do not show.
    pub(super) fn clean_code(&self) -> String {
        let is_dash = |character| matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
        let is_unseen = |character: char| {
            character.is_control()
                || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
        };
        let between = |character: &char| character.is_whitespace() || is_dash(*character) || is_unseen(*character);
        self.code.chars().filter(|character| !between(character)).collect()
    }
}

/// Whether a form comes from a page of this origin, as far as the browser says (Fetch Metadata; the page's policy makes
/// `Origin` `null`, RFC 6454 §7.3). A browser that says nothing is known by the form's token alone.
pub(super) fn is_same_origin(headers: &HeaderMap, host: Option<&str>) -> bool {
    if ["sec-fetch-site", "origin"].iter().any(|name| headers.get_all(*name).iter().count() > 1) {
        return false;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    match headers.get("origin").map(|origin| origin.to_str().unwrap_or_default()) {
        None | Some("null") => true,
        Some(origin) => {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn queries_come_back_as_they_went() {
        let query = Query {
            target: "a-b_c".into(),
            push: Some("d".into()),
            message: Some("RETRY_IN".into()),
            wait: Some(Duration::from_secs(15)),
            goes: true,
        };
        assert_eq!(query.write(), "?t=a-b_c&p=d&m=RETRY_IN&w=15&go=1");
        assert_eq!(Query::parse(&query.write()[1..]), query);
        assert_eq!(Query::parse("w=99999999999&x=1&t="), Query::default());
    }

    #[test]
    fn forms_are_read_strictly() {
        let form = headers(&[("content-type", "application/x-www-form-urlencoded; charset=utf-8")]);
        let read = Form::parse(&form, b"t=a&csrf=b&channel=SMS&code=123%20456&more=1").unwrap();
        assert_eq!((&*read.target, &*read.token, &*read.channel), ("a", "b", "SMS"));
        assert_eq!(read.clean_code(), "123456");
        assert_eq!(Form::parse(&form, b"t=a&t=b"), None);
        assert_eq!(Form::parse(&headers(&[("content-type", "text/plain")]), b"t=a"), None);
        assert_eq!(Form::parse(&headers(&[]), b"t=a"), None);
        let cleaned = |code: &str| Form { code: code.into(), ..Form::default() }.clean_code();
        assert_eq!(cleaned(" 12\u{200b}3-4\u{a0}5\u{2013}6\u{feff}"), "123456");
        for kept in ["12a456", "+123456", "1=2>3<4", "12.3456", "1\u{fe0f}\u{20e3}2"] {
            assert_eq!(cleaned(kept), kept);
        }
        assert_eq!(cleaned("１２３"), "１２３", "refused, not converted (T7)");
    }

    #[test]
    fn foreign_forms_are_refused() {
        type Pairs = &'static [(&'static str, &'static str)];
        let table: [(Pairs, bool); 8] = [
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://bank.example")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "https://bank.example")], true),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], true),
            (&[], true),
        ];
        for (pairs, expected) in table {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            assert_eq!(is_same_origin(&headers.collect(), Some("bank.example")), expected, "{pairs:?}");
        }
        assert!(!is_same_origin(&headers(&[("origin", "https://bank.example")]), None));
    }
}
