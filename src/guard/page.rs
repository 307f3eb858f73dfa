//! The way from a refusal to the page: [`RequireStepUp::page`](super::RequireStepUp::page).

use std::{fmt, sync::Arc};

use http::{
    HeaderMap, Method, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, REFERER},
    request::Parts,
};

use super::{
    bind::same_authority,
    refusal::{Refusal, speaks_grpc},
};
use crate::{
    catch::catch,
    engine::{Caller, Engine},
    rules::{Requirement, WayBack, local_path},
    wire::media_type,
};

type FindUri = dyn Fn(&Parts) -> Option<Uri> + Send + Sync;

/// How the URL of the page is made for a request.
#[derive(Clone)]
pub(super) struct PageLink(Arc<FindUri>);

impl PageLink {
    pub(super) fn new(uri: impl Fn(&Parts) -> Option<Uri> + Send + Sync + 'static) -> Self {
        Self(Arc::new(uri))
    }

    /// Adds the page's URL to a refusal, and says whether the request is the navigation of a browser, which goes there.
    pub(super) fn lead(
        &self,
        engine: &Engine,
        requirement: &Requirement,
        refusal: Refusal,
        request: &Parts,
    ) -> (Refusal, bool) {
        let (unmet, caller) = match (refusal, request.extensions.get::<Caller>()) {
            (Refusal::StepUpRequired(unmet), Some(caller)) => (unmet, caller),
            (refusal, _) => return (refusal, false),
        };
        let received = self.received(request);
        // A guard around the page itself would send everybody in a circle.
        let below = engine.wire.public_path.as_deref().and_then(|path| received.strip_prefix(path));
        let is_below = below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        if is_below || engine.is_page(caller, request.uri.path(), request.uri.query().unwrap_or_default()) {
            return (Refusal::StepUpRequired(unmet), false);
        }
        // A gRPC client takes 8 KiB of headers, and the token of a long text fills half of them.
        let is_long = unmet.binding().is_some_and(|token| token.len() > 1024);
        if is_long && speaks_grpc(&request.method, &request.headers) {
            return (Refusal::StepUpRequired(unmet), false);
        }
        let navigates = navigates(&request.method, &request.headers);
        let way_back = match request.method {
            Method::GET => WayBack::Resume(received),
            _ if navigates => WayBack::Resubmit(form_of(request).unwrap_or("/".into())),
            _ => WayBack::Stay,
        };
        match engine.page_url(caller, requirement, Some(&unmet), way_back) {
            Some(url) => (Refusal::StepUpRequired(unmet.with_page(url.into())), navigates),
            None => (Refusal::StepUpRequired(unmet), false),
        }
    }

    /// The path and query as the client sent them, or `/`.
    fn received(&self, request: &Parts) -> Box<str> {
        let uri = catch(|| (self.0)(request)).flatten();
        let path = uri.as_ref().and_then(Uri::path_and_query).and_then(|path| local_path(path.as_str()));
        path.unwrap_or("/").into()
    }
}

/// Whether a browser goes to another page by this request: `Sec-Fetch-Mode: navigate` (Fetch Metadata §2.2). From one without
/// that header, a `GET` or a form that accepts HTML and has nothing that only a program sets.
fn navigates(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::HEAD | Method::OPTIONS) || speaks_grpc(method, headers) {
        return false;
    }
    if let Some(mode) = headers.get("sec-fetch-mode") {
        return mode == "navigate";
    }
    let is_by_script = headers.contains_key(AUTHORIZATION) || headers.contains_key("x-requested-with");
    let is_form = *method == Method::POST && is_form(headers);
    (*method == Method::GET || is_form) && !is_by_script && accepts_html(headers)
}

/// Whether the body is of a type that a form without script can send (HTML Living Standard, `enctype`).
fn is_form(headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let types = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
    types.iter().any(|known| media_type(declared.as_bytes()).eq_ignore_ascii_case(known.as_bytes()))
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    values.flat_map(|accept| accept.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("text/html"));
        let is_refused = |part: &str| {
            part.split_once('=').is_some_and(|(name, weight)| {
                name.eq_ignore_ascii_case("q") && !weight.bytes().any(|digit| (b'1'..=b'9').contains(&digit))
            })
        };
        is_html && !parts.any(is_refused)
    })
}

/// The page of the form that was sent: the path of a `Referer` of the same origin. Whatever its scheme: behind a proxy, that
/// of this request is not known.
fn form_of(request: &Parts) -> Option<Box<str>> {
    let referer: Uri = request.headers.get(REFERER)?.to_str().ok()?.parse().ok()?;
    let is_web = matches!(referer.scheme_str(), Some("https" | "http"));
    let is_ours = is_web && same_authority(request, referer.authority()?);
    local_path(referer.path_and_query()?.as_str()).filter(|_| is_ours).map(Into::into)
}

impl fmt::Debug for PageLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageLink(..)")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_navigates() {
        type Pairs = &'static [(&'static str, &'static str)];
        let table: [(&str, Pairs, bool); 20] = [
            ("GET", &[("sec-fetch-mode", "navigate")], true),
            ("POST", &[("sec-fetch-mode", "navigate"), ("accept", "application/json")], true),
            ("GET", &[("sec-fetch-mode", "cors"), ("accept", "text/html")], false),
            ("GET", &[("sec-fetch-mode", "Navigate")], false),
            ("GET", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], true),
            ("GET", &[("accept", "application/json, Text/HTML ;q=0.1")], true),
            ("POST", &[("accept", "text/html"), ("content-type", "multipart/form-data; boundary=x")], true),
            ("POST", &[("accept", "text/html")], false),
            ("POST", &[("accept", "text/html, image/gif"), ("content-type", "application/json")], false),
            ("PUT", &[("accept", "text/html")], false),
            ("DELETE", &[("accept", "text/html")], false),
            ("GET", &[("accept", "text/html"), ("authorization", "Bearer x")], false),
            ("GET", &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], false),
            ("GET", &[("accept", "application/json, text/html;q=0")], false),
            ("GET", &[("accept", "*/*")], false),
            ("GET", &[("accept", "application/json")], false),
            ("GET", &[], false),
            ("HEAD", &[("sec-fetch-mode", "navigate")], false),
            ("OPTIONS", &[("accept", "text/html")], false),
            ("POST", &[("accept", "text/html"), ("content-type", "application/grpc")], false),
        ];
        for (method, headers, expected) in table {
            let mut request = Request::builder().method(method);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(()).unwrap();
            assert_eq!(navigates(request.method(), request.headers()), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn forms_are_found_on_the_same_origin_alone() {
        let table = [
            ("https://bank.example/pay?to=1#x", Some("/pay?to=1")),
            ("http://BANK.example:80/pay", Some("/pay")),
            ("https://bank.example", Some("/")),
            ("https://evil.example/pay", None),
            ("https://bank.example:8443/pay", None),
            ("https://bank.example@evil.example/", None),
            ("https://bank.example//evil.example/", None),
            ("/pay", None),
            ("ftp://bank.example/pay", None),
            ("", None),
        ];
        for (referer, expected) in table {
            let request = Request::post("/transfers").header("host", "bank.example").header(REFERER, referer);
            let request = request.body(()).unwrap().into_parts().0;
            assert_eq!(form_of(&request).as_deref(), expected, "{referer}");
        }
    }
}
