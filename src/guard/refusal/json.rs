//! Refusals as JSON over HTTP.

use bytes::Bytes;
use http::{
    Method, Response, StatusCode,
    header::{CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};

use super::{Refusal, RefusalTerms, ResponseForRefusal};
use crate::wire::{RETRY_SOON, declare_json};

/// Refuses with JSON: 401, 403, 503, or 400, 408 and 413 for a body that cannot be bound, whatever the client speaks.
/// Chosen by [`RequireStepUp::json`](crate::RequireStepUp::json).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Json;

// So that the compiler speaks of the refusal, and names the cure, where the body does not fit.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> ResponseForRefusal<B> for Json {
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B> {
        let json = terms.json(refusal);
        let length = json.len();
        // The answer to HEAD has no content (RFC 9110 §9.3.2), and over HTTP/2 not every host takes it away.
        let is_head = request.method == Method::HEAD;
        let mut response = Response::new(B::from(if is_head { Bytes::new() } else { json }));
        // Room for what the guard adds, so that the map grows once.
        response.headers_mut().reserve(5);
        declare_json(response.headers_mut());
        if is_head {
            // A length, where there is one, is that of GET (RFC 9110 §8.6).
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
