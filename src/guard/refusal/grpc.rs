//! Refusals as a gRPC status.

use http::{HeaderMap, Method, Response, header::CONTENT_TYPE, request::Parts};

use super::{Refusal, RefusalTerms, ResponseForRefusal, emptied};

/// Refuses as gRPC does: HTTP 200 and trailers only, with code 16, 7 or 14 and a `google.rpc.ErrorInfo`; for
/// [bound](crate::Binding) routes also 3, 4 and 11.
///
/// Selected by [`RequireStepUp::grpc`](crate::RequireStepUp::grpc), for services that speak only gRPC. The response
/// body only has to implement `Default`, as an empty body.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Grpc;

// So that, for a body that does not fit, the compiler reports `ResponseForRefusal` and its notes.
#[diagnostic::do_not_recommend]
impl<B: Default> ResponseForRefusal<B> for Grpc {
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, _: &Parts) -> Response<B> {
        terms.grpc(refusal, B::default(), HeaderMap::new())
    }

    fn response_to_refused(&self, refusal: &Refusal, terms: &RefusalTerms, request: &mut Parts) -> Response<B> {
        terms.grpc(refusal, B::default(), emptied(request))
    }
}

/// Whether a request is gRPC: a `POST` of `application/grpc`, with any message encoding. gRPC-Web is not: its clients
/// cannot read trailers, and a layer outside the guard translates for them.
pub(super) fn is_grpc(request: &Parts) -> bool {
    speaks_grpc(&request.method, &request.headers)
}

/// As [`is_grpc`], for a request that has not been split into parts.
pub(in crate::guard) fn speaks_grpc(method: &Method, headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let declared = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    *method == Method::POST
        && declared.split_at_checked(GRPC.len()).is_some_and(|(essence, rest)| {
            essence.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_is_grpc() {
        let is = |method, content_type: &str| {
            let request = Request::builder().method(method).header(CONTENT_TYPE, content_type).body(()).unwrap();
            is_grpc(&request.into_parts().0)
        };
        for yes in ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8"] {
            assert!(is(Method::POST, yes), "{yes}");
            assert!(!is(Method::GET, yes), "{yes}");
        }
        for no in ["", "application/json", "application/grpc-web", "application/grpc-web+proto", "application/grpcx"] {
            assert!(!is(Method::POST, no), "{no}");
        }
        assert!(!is_grpc(&Request::post("/").body(()).unwrap().into_parts().0));
    }
}
