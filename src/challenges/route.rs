//! Which operation a method and a path name. Byte for byte: no decoding, no trailing slash. `HEAD` is `GET`.

use http::{HeaderValue, Method};

/// An operation, with what the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    Status,
    Drop,
    StartOtp { channel: &'a str },
    VerifyOtp { channel: &'a str },
    StartPush { channel: &'a str },
    PushOutcome { channel: &'a str, id: &'a str },
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
    let is_get = matches!(*method, Method::GET | Method::HEAD);
    let mut segments = path.split('/');
    let mut next = || segments.next();
    let (operation, allowed) = match (next(), next(), next(), next()) {
        (Some(""), None, ..) if *method == Method::DELETE => (Endpoint::Drop, Method::DELETE),
        (Some(""), None, ..) if is_get => (Endpoint::Status, Method::GET),
        (Some(""), None, ..) => {
            return Err(NoOperation::MethodNotAllowed(HeaderValue::from_static("GET, HEAD, DELETE")));
        }
        (Some("otp"), Some(channel), None, _) if !channel.is_empty() => (Endpoint::StartOtp { channel }, Method::POST),
        (Some("otp"), Some(channel), Some("verify"), None) if !channel.is_empty() => {
            (Endpoint::VerifyOtp { channel }, Method::POST)
        }
        (Some("push"), Some(channel), None, _) if !channel.is_empty() => {
            (Endpoint::StartPush { channel }, Method::POST)
        }
        (Some("push"), Some(channel), Some(id), None) if !channel.is_empty() && !id.is_empty() => {
            (Endpoint::PushOutcome { channel, id }, Method::GET)
        }
        _ => return Err(NoOperation::NotFound),
    };
    if *method == allowed || is_get && allowed == Method::GET {
        return Ok(operation);
    }
    let allow = if allowed == Method::GET { "GET, HEAD" } else { "POST" };
    Err(NoOperation::MethodNotAllowed(HeaderValue::from_static(allow)))
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
            ("GET", "/otp/SMS", allow("POST")),
            ("OPTIONS", "/otp/SMS", allow("POST")),
            ("POST", "/otp/SMS/verify", Ok(Endpoint::VerifyOtp { channel: "SMS" })),
            ("PUT", "/otp/SMS/verify", allow("POST")),
            ("POST", "/otp/verify", Ok(Endpoint::StartOtp { channel: "verify" })),
            ("POST", "/push/BIO", Ok(Endpoint::StartPush { channel: "BIO" })),
            ("GET", "/push/BIO/12", Ok(Endpoint::PushOutcome { channel: "BIO", id: "12" })),
            ("POST", "/push/BIO/12", allow("GET, HEAD")),
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
