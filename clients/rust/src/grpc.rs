//! Refusals of gRPC: a status in headers or trailers, and the `google.rpc.ErrorInfo` in its details.

use http::{HeaderMap, HeaderName};
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::StatusExt;

use crate::Requirement;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The requirement in a status; `None` where it is not one of our refusals.
pub(crate) fn refusal(headers: &HeaderMap) -> Option<Requirement> {
    if headers.get(GRPC_STATUS)? != "7" {
        return None;
    }
    // `Status::from_header_map` panics at what is not base64.
    let details = HeaderMap::from_iter([(DETAILS, headers.get(DETAILS)?.clone())]);
    let details = MetadataMap::from_headers(details).get_bin(DETAILS.as_str())?.to_bytes().ok()?;
    let info = Status::with_details(Code::PermissionDenied, "", details).get_details_error_info()?;
    Requirement::from_error_info(&info.reason, info.metadata)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_not_base64_is_not_ours() {
        for details in ["", "!", "AAAA", "CAcSA", "\u{7f}"] {
            let Ok(details) = HeaderValue::from_str(details) else { continue };
            let headers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("7")), (DETAILS, details)]);
            assert_eq!(refusal(&headers), None);
        }
    }
}
