//! Refusals as JSON over HTTP.

use bytes::Bytes;
use http::{
    Method, Response, StatusCode,
    header::{CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};

use super::{Refusal, RefusalTerms, ResponseForRefusal};
use crate::wire::{RETRY_SOON, declare_json};

/// Refuses with JSON, regardless of the client's protocol: 401, 403 or 503; for [bound](crate::Binding) routes also
/// 400, 408 and 413. Selected by [`RequireStepUp::json`](crate::RequireStepUp::json).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Json;

// So that, for a body that does not fit, the compiler reports `ResponseForRefusal` and its notes.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> ResponseForRefusal<B> for Json {
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B> {
        let json = terms.json(refusal);
        let length = json.len();
        // A response to HEAD has no content (RFC 9110 §9.3.2), and over HTTP/2 not every server removes it.
        let is_head = request.method == Method::HEAD;
        let mut response = Response::new(B::from(if is_head { Bytes::new() } else { json }));
        // Room for the headers that the guard adds, so that the map grows only once.
        response.headers_mut().reserve(5);
        declare_json(response.headers_mut());
        if is_head {
            // A `Content-Length` in a response to HEAD is that of GET (RFC 9110 §8.6).
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        *response.status_mut() = match refusal {
            Refusal::NoCaller => {
                response.headers_mut().insert(WWW_AUTHENTICATE, terms.authenticate().clone());
                StatusCode::UNAUTHORIZED
            }
            Refusal::StepUpRequired(_) => StatusCode::FORBIDDEN,
            Refusal::Invalid => StatusCode::BAD_REQUEST,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Unavailable => {
                response.headers_mut().insert(RETRY_AFTER, RETRY_SOON);
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        response
    }
}
