//! Refusals in the client's protocol: a gRPC status for gRPC requests, JSON otherwise.

use bytes::Bytes;
use http::{HeaderMap, Response, request::Parts};

use super::{Json, Refusal, RefusalTerms, ResponseForRefusal, emptied, grpc::is_grpc};

/// Refuses a gRPC request as [`Grpc`](super::Grpc) does and any other as [`Json`]. The default of
/// [`RequireStepUp`](crate::RequireStepUp).
///
/// A request is gRPC if it is a `POST` whose content type is `application/grpc`; gRPC-Web is not. A gRPC client treats
/// HTTP 503 as retryable at once, and does not see the body of a 403.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Negotiate;

// So that, for a body that does not fit, the compiler reports `ResponseForRefusal` and its notes.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> ResponseForRefusal<B> for Negotiate {
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B> {
        if is_grpc(request) {
            terms.grpc(refusal, Bytes::new().into(), HeaderMap::new())
        } else {
            Json.response_for_refusal(refusal, terms, request)
        }
    }

    fn response_to_refused(&self, refusal: &Refusal, terms: &RefusalTerms, request: &mut Parts) -> Response<B> {
        if is_grpc(request) {
            terms.grpc(refusal, Bytes::new().into(), emptied(request))
        } else {
            Json.response_to_refused(refusal, terms, request)
        }
    }
}
