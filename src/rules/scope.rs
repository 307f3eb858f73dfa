//! The form of a scope.

use crate::rules::Malformed;

/// Checks the syntax of a scope: visible ASCII, so that it fits into a header (RFC 6749 §3.3 is narrower
/// by quotes and backslash, which are refused too).
pub(crate) fn check_scope(scope: &str) -> Result<(), Malformed> {
    if scope.chars().all(char::is_whitespace) {
        return Err(Malformed::Blank);
    }
    if scope.len() > SCOPE_LIMIT {
        return Err(Malformed::WrongLength);
    }
    if !scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
        return Err(Malformed::InvalidCharacter);
    }
    Ok(())
}

/// Bytes of a scope at most.
const SCOPE_LIMIT: usize = 128;
