//! The text of a text message, bound to the origin that takes its code.

use std::fmt;

use super::OtpMessage;
use crate::engine::telemetry;

/// The basic characters of the GSM 7-bit default alphabet (3GPP TS 23.038 §6.2.1), without the two that end a line.
const BASIC: &str = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                     abcdefghijklmnopqrstuvwxyzäöñüà\n\r";

/// Those of its extension table (§6.2.1.1), each of which takes the place of two.
const EXTENDED: &str = "^{}\\[~]|€\u{c}";

/// Characters of a message that is not cut, and of each part of one that is (3GPP TS 23.040 §9.2.3.24).
const GSM: [usize; 2] = [160, 153];

/// The same in UCS-2, in units of 16 bits.
const UCS_2: [usize; 2] = [70, 67];

/// A text message with a code. `Debug` prints none of it.
pub struct SmsText(String);

impl SmsText {
    pub(super) fn new(message: &OtpMessage, host: &str) -> Self {
        let OtpMessage { envelope, code } = message;
        let mut text = envelope.text("code", &[("code", code.expose())]);
        if let Some(what) = envelope.approves() {
            push(&mut text, &envelope.text("approves", &[("what", &what)]));
            if !text.ends_with(['.', '!', '?']) {
                text.push('.');
            }
        }
        push(&mut text, &envelope.text("private", &[]));
        if is_host(host) {
            text.extend(["\n@", host, " #", code.expose()]);
        } else {
            telemetry::not_a_host(host);
        }
        Self(text)
    }

    /// The text, to be given to the provider alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// As how many messages it is sent and paid for: a text of at most 160 characters of the GSM 7-bit alphabet is one; a
    /// character that is not in it, such as in a payee's name, makes 70 the most.
    #[must_use]
    pub fn segments(&self) -> usize {
        let width = |character| match character {
            _ if BASIC.contains(character) => Some(1),
            _ if EXTENDED.contains(character) => Some(2),
            _ => None,
        };
        let gsm: Option<Vec<usize>> = self.0.chars().map(width).collect();
        match gsm {
            Some(widths) => parts(&widths, GSM),
            None => parts(&self.0.chars().map(char::len_utf16).collect::<Vec<_>>(), UCS_2),
        }
    }
}

/// Appends a sentence.
fn push(text: &mut String, sentence: &str) {
    text.push(' ');
    text.push_str(sentence);
}

/// The parts of a text of these characters' widths: none is cut in two.
fn parts(widths: &[usize], [whole, part]: [usize; 2]) -> usize {
    if widths.iter().sum::<usize>() <= whole {
        return 1;
    }
    let (mut parts, mut used) = (1, 0);
    for width in widths {
        if used + width > part {
            (parts, used) = (parts + 1, 0);
        }
        used += width;
    }
    parts
}

/// Letters, digits and hyphens between dots: a domain as the format writes it, in Punycode where it is international.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// Prints how it is sent alone.
impl fmt::Debug for SmsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmsText").field("segments", &self.segments()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> usize {
        SmsText(text.to_owned()).segments()
    }

    #[test]
    fn segments_are_counted_as_they_are_sent() {
        let table = [
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // An escaped character is not cut: 76 of them to a part of 153.
            ("€".repeat(152), 2),
            ("€".repeat(153), 3),
            ("ä".repeat(160), 1),
            ("ç".repeat(70), 1),
            ("ç".repeat(71), 2),
            ("\u{1f3e6}".repeat(35), 1),
            ("\u{1f3e6}".repeat(36), 2),
            // Nor is a surrogate pair: 33 of them to a part of 67.
            ("\u{1f3e6}".repeat(66), 2),
            ("\u{1f3e6}".repeat(67), 3),
            (String::new(), 1),
        ];
        for (text, expected) in table {
            assert_eq!(segments(&text), expected, "{} of {:?}", text.chars().count(), text.chars().next());
        }
        assert_eq!(BASIC.chars().count(), 128 - 1, "all but the escape");
    }

    #[test]
    fn hosts() {
        for host in ["bank.example", "localhost", "xn--bnk-0na.example", "Bank.Example"] {
            assert!(is_host(host), "{host}");
        }
        for host in
            ["", "https://bank.example", "bank.example:8443", "bank.example ", "a..b", "bänk.example", "a.b\n@c"]
        {
            assert!(!is_host(host), "{host:?}");
        }
    }
}
