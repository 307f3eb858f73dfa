//! The encoding of the codes in a slot: a list, the current one first.
//!
//! In memory each code owns the one that it replaced. Nested as deeply as somebody else may write them, they would
//! overflow the stack where they are decoded, and again where they are dropped.

use serde::{Deserializer, Serializer, ser::SerializeSeq};

use super::{CODES_KEPT, challenge::SessionChallenge};
use crate::rules::{CodeDigest, read_at_most};

type Code = SessionChallenge<CodeDigest>;

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(super) fn serialize<S: Serializer>(newest: &Option<Box<Code>>, serializer: S) -> Result<S::Ok, S::Error> {
    let codes = std::iter::successors(newest.as_deref(), |code| code.earlier.as_deref());
    let mut list = serializer.serialize_seq(Some(codes.clone().count()))?;
    for code in codes {
        list.serialize_element(code)?;
    }
    list.end()
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Code>>, D::Error> {
    let codes: Vec<Code> = read_at_most(CODES_KEPT, deserializer)?;
    Ok(codes.into_iter().rev().fold(None, |earlier, code| Some(Box::new(Code { earlier, ..code }))))
}
