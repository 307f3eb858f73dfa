//! Which operation a method and a path name. Byte for byte: no decoding, no trailing slash. `HEAD` is `GET`.

use http::{HeaderValue, Method};

/// An operation, with what the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    Status,
    Drop,
    StartOtp { channel: &'a str },
    VerifyOtp { channel: &'a str },
    CancelOtp { channel: &'a str },
    StartPush { channel: &'a str },
    PushOutcome { channel: &'a str, id: &'a str },
    CancelPush { channel: &'a str, id: &'a str },
}

/// Why no operation was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoOperation {
    NotFound,
    /// The path exists, for these methods.
    MethodNotAllowed(HeaderValue),
}

/// Finds the operation.
pub(super) fn route<'a>(method: &Method, path: &'a str) -> Result<Endpoint<'a>, NoOperation> {
    let path = path.strip_prefix('/').ok_or(NoOperation::NotFound)?;
    let mut segments = path.split('/');
    let mut next = || segments.next();
    let (get, post, delete, allow) = match (next(), next(), next(), next()) {
        (Some(""), None, ..) => (Some(Endpoint::Status), None, Some(Endpoint::Drop), "GET, HEAD, DELETE"),
        (Some("otp"), Some(channel), None, _) if !channel.is_empty() => {
            (None, Some(Endpoint::StartOtp { channel }), Some(Endpoint::CancelOtp { channel }), "POST, DELETE")
        }
        (Some("otp"), Some(channel), Some("verify"), None) if !channel.is_empty() => {
            (None, Some(Endpoint::VerifyOtp { channel }), None, "POST")
        }
        (Some("push"), Some(channel), None, _) if !channel.is_empty() => {
            (None, Some(Endpoint::StartPush { channel }), None, "POST")
        }
        (Some("push"), Some(channel), Some(id), None) if !channel.is_empty() && !id.is_empty() => {
            let (outcome, cancel) = (Endpoint::PushOutcome { channel, id }, Endpoint::CancelPush { channel, id });
            (Some(outcome), None, Some(cancel), "GET, HEAD, DELETE")
        }
        _ => return Err(NoOperation::NotFound),
    };
    let operation = match *method {
        Method::GET | Method::HEAD => get,
        Method::POST => post,
        Method::DELETE => delete,
        _ => None,
    };
    operation.ok_or(NoOperation::MethodNotAllowed(HeaderValue::from_static(allow)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_exact() {
        let allow = |methods| Err(NoOperation::MethodNotAllowed(HeaderValue::from_static(methods)));
        let no = || Err(NoOperation::NotFound);
        let table = [
            ("GET", "/", Ok(Endpoint::Status)),
            ("DELETE", "/", Ok(Endpoint::Drop)),
            ("POST", "/", allow("GET, HEAD, DELETE")),
            ("HEAD", "/", Ok(Endpoint::Status)),
            ("POST", "/otp/SMS", Ok(Endpoint::StartOtp { channel: "SMS" })),
            ("DELETE", "/otp/SMS", Ok(Endpoint::CancelOtp { channel: "SMS" })),
            ("GET", "/otp/SMS", allow("POST, DELETE")),
            ("OPTIONS", "/otp/SMS", allow("POST, DELETE")),
            ("POST", "/otp/SMS/verify", Ok(Endpoint::VerifyOtp { channel: "SMS" })),
            ("PUT", "/otp/SMS/verify", allow("POST")),
            ("POST", "/otp/verify", Ok(Endpoint::StartOtp { channel: "verify" })),
            ("POST", "/push/BIO", Ok(Endpoint::StartPush { channel: "BIO" })),
            ("GET", "/push/BIO/12", Ok(Endpoint::PushOutcome { channel: "BIO", id: "12" })),
            ("POST", "/push/BIO/12", allow("GET, HEAD, DELETE")),
            ("DELETE", "/push/BIO/12", Ok(Endpoint::CancelPush { channel: "BIO", id: "12" })),
            ("DELETE", "/push/BIO", allow("POST")),
            ("DELETE", "/otp/SMS/verify", allow("POST")),
            ("HEAD", "/push/BIO/12", Ok(Endpoint::PushOutcome { channel: "BIO", id: "12" })),
            ("POST", "", no()),
            ("POST", "*", no()),
            ("POST", "otp/SMS", no()),
            ("GET", "//", no()),
            ("POST", "//otp/SMS", no()),
            ("POST", "/otp", no()),
            ("POST", "/otp/", no()),
            ("POST", "/otp/SMS/", no()),
            ("POST", "/otp//verify", no()),
            ("POST", "/otp/SMS/verify/", no()),
            ("POST", "/otp/SMS/Verify", no()),
            ("POST", "/OTP/SMS", no()),
            ("GET", "/push/BIO/", no()),
            ("GET", "/push/BIO/1/2", no()),
            ("GET", "/sms/SMS", no()),
        ];
        for (method, path, expected) in table {
            assert_eq!(route(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }
}
