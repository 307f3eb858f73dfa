//! The format of a scope.

use crate::rules::Malformed;

/// Checks the format of a scope: at most 128 bytes of visible ASCII except `"` and `\`, as in RFC 6749 §3.3, so that
/// it fits into a header.
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

/// Most bytes of a scope.
const SCOPE_LIMIT: usize = 128;
