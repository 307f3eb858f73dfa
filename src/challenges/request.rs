//! The strict parser of request bodies. It says what is wrong and never repeats what was sent.

use std::{collections::HashSet, fmt};

use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use crate::{rules::Malformed, wire::media_type};

/// Why a body was not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unparsed {
    /// It is not declared as JSON.
    NotDeclared,
    /// It is not one JSON object.
    NotAnObject,
}

/// A member of the object, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Member {
    /// It is not there, or `null`.
    #[default]
    Absent,
    Text(String),
    /// A number, a list, an object or a boolean. A number loses leading zeros.
    NotText,
}

impl Member {
    /// The text, where there has to be one.
    pub(super) fn required(&self) -> Result<&str, Malformed> {
        match self {
            Self::Absent => Err(Malformed::Missing),
            Self::NotText => Err(Malformed::InvalidCharacter),
            Self::Text(text) => Ok(text),
        }
    }

    /// The text, where there may be one.
    pub(super) fn optional(&self) -> Result<Option<&str>, Malformed> {
        match self {
            Self::Absent => Ok(None),
            other => other.required().map(Some),
        }
    }
}

/// What the operations read from a body. Unknown members are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) verification_code: Member,
    pub(super) scope: Member,
    pub(super) binding: Member,
}

/// Parses a body: absent and empty ones are objects without members; any other must be declared
/// `application/json`, which also keeps HTML forms out (T30).
pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Fields, Unparsed> {
    if body.is_empty() {
        return Ok(Fields::default());
    }
    if !is_json(headers) {
        return Err(Unparsed::NotDeclared);
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let fields = json.deserialize_map(Object).map_err(|_| Unparsed::NotAnObject)?;
    json.end().map_err(|_| Unparsed::NotAnObject)?;
    Ok(fields)
}

/// Every `Content-Type` that is there says JSON, and one is.
fn is_json(headers: &HeaderMap) -> bool {
    let mut declared = headers.get_all(CONTENT_TYPE).iter().peekable();
    declared.peek().is_some()
        && declared.all(|value| media_type(value.as_bytes()).eq_ignore_ascii_case(b"application/json"))
}

/// The object of a body. A derived struct would also take a list, and two members of the same unknown name.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        members(&mut map, |name, map| {
            let member = match name {
                "verificationCode" => &mut fields.verification_code,
                "scope" => &mut fields.scope,
                "binding" => &mut fields.binding,
                _ => return map.next_value_seed(Value).map(drop),
            };
            *member = map.next_value_seed(Value)?;
            Ok(())
        })?;
        Ok(fields)
    }
}

/// Walks through an object and refuses a name that comes twice, at any depth.
fn members<'de, A: MapAccess<'de>>(
    map: &mut A,
    mut each: impl FnMut(&str, &mut A) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut names = HashSet::new();
    while let Some(name) = map.next_key::<String>()? {
        each(&name, map)?;
        if !names.insert(name) {
            return Err(A::Error::custom("a name comes twice"));
        }
    }
    Ok(())
}

/// Any JSON value.
struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Member, E> {
        Ok(Member::Absent)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
        while seq.next_element_seed(Value)?.is_some() {}
        Ok(Member::NotText)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        members(&mut map, |_, map| map.next_value_seed(Value).map(drop))?;
        Ok(Member::NotText)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(types: &[&'static str]) -> HeaderMap {
        types.iter().map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).collect()
    }

    fn code(body: &str) -> Result<Member, Unparsed> {
        parse(&headers(&["application/json"]), body.as_bytes()).map(|fields| fields.verification_code)
    }

    #[test]
    fn bodies_are_read_strictly() {
        let text = |text: &str| Ok(Member::Text(text.into()));
        let table = [
            (r#"{"verificationCode":"123456"}"#, text("123456")),
            (r#" { "verificationCode" : "123456" } "#, text("123456")),
            (r#"{"verificationCode":"\u0031"}"#, text("1")),
            (r#"{"a":{"b":[1,2.5,-3,true,null,"x"]},"verificationCode":"1"}"#, text("1")),
            ("{}", Ok(Member::Absent)),
            (r#"{"verificationCode":null}"#, Ok(Member::Absent)),
            (r#"{"verificationcode":"1"}"#, Ok(Member::Absent)),
            (r#"{"verificationCode":123456}"#, Ok(Member::NotText)),
            (r#"{"verificationCode":0.5}"#, Ok(Member::NotText)),
            (r#"{"verificationCode":["123456"]}"#, Ok(Member::NotText)),
            (r#"{"verificationCode":{"a":1}}"#, Ok(Member::NotText)),
            (r#"{"verificationCode":true}"#, Ok(Member::NotText)),
            (r#"{"verificationCode":"1","verificationCode":"2"}"#, Err(Unparsed::NotAnObject)),
            (r#"{"verificationCode":"1","verificationCod\u0065":"2"}"#, Err(Unparsed::NotAnObject)),
            (r#"{"a":1,"a":1}"#, Err(Unparsed::NotAnObject)),
            (r#"{"b":[{"a":1,"a":1}]}"#, Err(Unparsed::NotAnObject)),
            (r#"["123456"]"#, Err(Unparsed::NotAnObject)),
            (r#""123456""#, Err(Unparsed::NotAnObject)),
            ("123456", Err(Unparsed::NotAnObject)),
            ("null", Err(Unparsed::NotAnObject)),
            (" ", Err(Unparsed::NotAnObject)),
            ("{", Err(Unparsed::NotAnObject)),
            ("{} {}", Err(Unparsed::NotAnObject)),
            ("{}x", Err(Unparsed::NotAnObject)),
            (r#"{"verificationCode":"1",}"#, Err(Unparsed::NotAnObject)),
            ("\u{feff}{}", Err(Unparsed::NotAnObject)),
            ("{'verificationCode':'1'}", Err(Unparsed::NotAnObject)),
            (r#"{"verificationCode":"\ud800"}"#, Err(Unparsed::NotAnObject)),
        ];
        for (body, expected) in table {
            assert_eq!(code(body), expected, "{body}");
        }
        assert_eq!(parse(&headers(&["application/json"]), b"{\"a\":\"\xff\"}"), Err(Unparsed::NotAnObject));
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(2000), "]".repeat(2000));
        assert_eq!(code(&deep), Err(Unparsed::NotAnObject));
    }

    #[test]
    fn bodies_must_be_declared() {
        let table: [(&[&'static str], bool); 9] = [
            (&["application/json"], true),
            (&["Application/JSON"], true),
            (&["application/json; charset=utf-8"], true),
            (&[" application/json ;q"], true),
            (&[], false),
            (&["text/plain"], false),
            (&["application/jsonx"], false),
            (&["application/json", "text/plain"], false),
            (&["application/x-www-form-urlencoded"], false),
        ];
        for (types, ok) in table {
            let expected = if ok { Ok(Fields::default()) } else { Err(Unparsed::NotDeclared) };
            assert_eq!(parse(&headers(types), b"{}"), expected, "{types:?}");
            assert_eq!(parse(&headers(types), b""), Ok(Fields::default()), "{types:?}");
        }
    }
}
