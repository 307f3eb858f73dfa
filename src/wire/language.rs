//! The language that a client asks for.

use http::{HeaderMap, header::ACCEPT_LANGUAGE};

/// Most bytes of a language tag. One with an extended language, a script, a region and four variants has 35 (RFC 5646
/// §4.4.1).
const TAG_LIMIT: usize = 35;

/// The first language range of `Accept-Language` that is a well-formed tag, whatever its weight: most clients send them in
/// order. The name is the same in gRPC's metadata.
pub(crate) fn language(headers: &HeaderMap) -> Option<&str> {
    language_ranges(headers).find(|range| is_tag(range))
}

/// The language ranges of `Accept-Language`, in the order in which they are sent, without their weights.
pub(crate) fn language_ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or_default().trim())
}

/// Subtags of 1 to 8 letters and digits, the first of letters alone: the basic language range of RFC 4647 §2.1, without
/// `*`.
fn is_tag(tag: &str) -> bool {
    let is_subtag = |subtag: &str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric());
    let first = tag.split('-').next().unwrap_or_default();
    tag.len() <= TAG_LIMIT && tag.split('-').all(is_subtag) && first.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_well_formed_tag() {
        let table = [
            (&["de-AT, de;q=0.9, en;q=0.8"][..], Some("de-AT")),
            (&["*, fr"], Some("fr")),
            (&[" zh-Hant-TW ;q=0.1"], Some("zh-Hant-TW")),
            (&["*;q=0.5"], None),
            (&[""], None),
            (&["", "es"], Some("es")),
            (&["de_AT,en"], Some("en")),
            (&["1de, d\u{e9}"], None),
            (&["12-de,abcdefghi,-de,de-,de--AT,i"], Some("i")),
            (&["abcdefgh-abcdefgh-abcdefgh-abcdefgh-a,nl"], Some("nl")),
            (&["<script>, de\tAT, sl-rozaj-biske-1994"], Some("sl-rozaj-biske-1994")),
        ];
        for (values, expected) in table {
            let header = |value: &&str| (ACCEPT_LANGUAGE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert_eq!(language(&values.iter().map(header).collect()), expected, "{values:?}");
        }
        assert_eq!(language(&HeaderMap::new()), None);
    }
}
