//! Refusals that a client understands: gRPC where it speaks gRPC, JSON otherwise.

use bytes::Bytes;
use http::{Response, request::Parts};

use super::{Json, Refusal, RefusalTerms, ResponseForRefusal, grpc::is_grpc};

/// Refuses a gRPC request as [`Grpc`](super::Grpc) does and any other as [`Json`]. The default of
/// [`RequireStepUp`](crate::RequireStepUp).
///
/// A request is gRPC where it is a `POST` whose content type is `application/grpc`; gRPC-Web is not. A gRPC client
/// reads HTTP 503 as "try again at once", and learns nothing from a 403.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Negotiate;

// So that the compiler speaks of the refusal, and names the cure, where the body does not fit.
#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> ResponseForRefusal<B> for Negotiate {
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B> {
        if is_grpc(request) {
            terms.grpc(refusal, Bytes::new().into())
        } else {
            Json.response_for_refusal(refusal, terms, request)
        }
    }
}
