//! Refusals as JSON over HTTP.

use bytes::Bytes;
use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};

use super::{Refusal, RefusalTerms, ResponseForRefusal, emptied};
use crate::wire::{RETRY_SOON, content, declare_json};

/// Refuses with JSON, regardless of the client's protocol: 401, 403 or 503; for [bound](crate::Binding) routes also
/// 400, 408 and 413. Selected by [`RequireStepUp::json`](crate::RequireStepUp::json).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Json;

// So that, for a body that does not fit, the compiler reports `ResponseForRefusal` and its notes.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> ResponseForRefusal<B> for Json {
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B> {
        respond(refusal, terms, &request.method, HeaderMap::new())
    }

    fn response_to_refused(&self, refusal: &Refusal, terms: &RefusalTerms, request: &mut Parts) -> Response<B> {
        let headers = emptied(request);
        respond(refusal, terms, &request.method, headers)
    }
}

/// The response, in a header map that is empty.
fn respond<B: From<Bytes>>(
    refusal: &Refusal,
    terms: &RefusalTerms,
    method: &Method,
    mut headers: HeaderMap,
) -> Response<B> {
    let json = terms.json(refusal);
    // Room for the headers that the guard adds, so that the map grows only once.
    headers.reserve(5);
    declare_json(&mut headers);
    let content = content(method, json, &mut headers);
    let status = match refusal {
        Refusal::NoCaller => {
            headers.insert(WWW_AUTHENTICATE, terms.authenticate().clone());
            StatusCode::UNAUTHORIZED
        }
        Refusal::StepUpRequired(_) => StatusCode::FORBIDDEN,
        Refusal::Invalid => StatusCode::BAD_REQUEST,
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Refusal::Unavailable => {
            headers.insert(RETRY_AFTER, RETRY_SOON);
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
