//! Which operation a method and a path name. Byte for byte: no decoding, no trailing slash, no `HEAD` for `GET`.

use http::{HeaderValue, Method};

/// An operation, with what the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
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
pub(super) fn route<'a>(method: &Method, path: &'a str) -> Result<Operation<'a>, NoOperation> {
    let path = path.strip_prefix('/').ok_or(NoOperation::NotFound)?;
    let mut segments = path.split('/');
    let mut next = || segments.next();
    let (operation, allowed) = match (next(), next(), next(), next()) {
        (Some(""), None, ..) if *method == Method::DELETE => (Operation::Drop, Method::DELETE),
        (Some(""), None, ..) if *method == Method::GET => (Operation::Status, Method::GET),
        (Some(""), None, ..) => return Err(NoOperation::MethodNotAllowed(HeaderValue::from_static("GET, DELETE"))),
        (Some("otp"), Some(channel), None, _) if !channel.is_empty() => (Operation::StartOtp { channel }, Method::POST),
        (Some("otp"), Some(channel), Some("verify"), None) if !channel.is_empty() => {
            (Operation::VerifyOtp { channel }, Method::POST)
        }
        (Some("push"), Some(channel), None, _) if !channel.is_empty() => {
            (Operation::StartPush { channel }, Method::POST)
        }
        (Some("push"), Some(channel), Some(id), None) if !channel.is_empty() && !id.is_empty() => {
            (Operation::PushOutcome { channel, id }, Method::GET)
        }
        _ => return Err(NoOperation::NotFound),
    };
    if *method == allowed {
        return Ok(operation);
    }
    let allow = if allowed == Method::GET { "GET" } else { "POST" };
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
            ("GET", "/", Ok(Operation::Status)),
            ("DELETE", "/", Ok(Operation::Drop)),
            ("POST", "/", allow("GET, DELETE")),
            ("HEAD", "/", allow("GET, DELETE")),
            ("POST", "/otp/SMS", Ok(Operation::StartOtp { channel: "SMS" })),
            ("GET", "/otp/SMS", allow("POST")),
            ("OPTIONS", "/otp/SMS", allow("POST")),
            ("POST", "/otp/SMS/verify", Ok(Operation::VerifyOtp { channel: "SMS" })),
            ("PUT", "/otp/SMS/verify", allow("POST")),
            ("POST", "/otp/verify", Ok(Operation::StartOtp { channel: "verify" })),
            ("POST", "/push/BIO", Ok(Operation::StartPush { channel: "BIO" })),
            ("GET", "/push/BIO/12", Ok(Operation::PushOutcome { channel: "BIO", id: "12" })),
            ("POST", "/push/BIO/12", allow("GET")),
            ("HEAD", "/push/BIO/12", allow("GET")),
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
