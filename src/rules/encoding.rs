//! The encoding of records and binding tokens: a version byte, then postcard.
//!
//! postcard writes the fields of a type in their order and without names: integers as varints, arrays of bytes as they
//! are, and lists and texts behind their length. So any change of an encoded type needs a new version.
//!
//! Decoding suits bytes of unknown origin: a length allocates nothing by itself, as long as lists are read by
//! [`read_list`](super::read_list), and nothing recurses as long as no encoded type contains itself. An integer may have several encodings, so different bytes can
//! decode to the same value; a seal covers the bytes, not the value.

use serde::{Deserialize, Serialize};

/// Appends the version and the encoding of a value to `front`.
pub(crate) fn encode<T: Serialize>(mut front: Vec<u8>, version: u8, value: &T) -> Vec<u8> {
    front.push(version);
    // Cannot fail: encoded types hold only numbers, texts and lists of known length, and a Vec takes any bytes.
    postcard::to_extend(value, front).unwrap_or_default()
}

/// The value that [`encode`] wrote; `None` if the version is another one, or anything is malformed, missing or left
/// over.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], version: u8) -> Option<T> {
    let encoded = bytes.strip_prefix(&[version])?;
    let (value, rest) = postcard::take_from_bytes(encoded).ok()?;
    rest.is_empty().then_some(value)
}
