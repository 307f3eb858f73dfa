//! Which texts may be shown for approval: only those that cannot be read as a text other than the bound one
//! ([`misleads`]).

/// Limit of consecutive spaces in a text.
const SPACES: usize = 4;

/// Whether a text could be displayed as something other than the bound text, by a hidden character or by one that moves
/// others.
///
/// The two joiners (ZWJ, ZWNJ) are allowed where scripts and emoji need them: between two visible non-ASCII characters,
/// neither of them numeric. Five consecutive spaces are refused, since they can push what follows onto its own line.
pub(super) fn misleads(text: &str) -> bool {
    // Joiners have no effect on ASCII, so there they could only hide.
    let is_visible = |c: char| !c.is_whitespace() && !is_hidden(c) && !c.is_ascii() && !c.is_numeric();
    let (mut before, mut spaces) = (None, 0);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // Many spaces push what follows onto its own line.
        spaces = if c.is_whitespace() { spaces + 1 } else { 0 };
        if spaces > SPACES {
            return true;
        }
        let joins = matches!(c, '\u{200c}' | '\u{200d}')
            && before.is_some_and(is_visible)
            && rest.peek().copied().is_some_and(is_visible);
        if is_hidden(c) && !joins {
            return true;
        }
        before = Some(c);
    }
    false
}

/// Characters that print nothing themselves, or change how others print. From the Unicode Character Database 16.0:
/// `General_Category` Cc, Cf, Zl, Zp, and Zs except U+0020, U+00A0 and U+202F; `Default_Ignorable_Code_Point` of
/// `DerivedCoreProperties.txt`; and the noncharacters. All of them except the spaces are also disallowed by PRECIS (RFC
/// 8264 §9).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{1680}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            // Blank, although their category is symbol or letter; and the private use areas, which may display as
            // anything.
            | '\u{2800}' | '\u{16fe4}' | '\u{1d159}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Single code points, and what may surround the joiners.
    #[test]
    fn texts_that_mislead() {
        let points = "0000 0009 000A 000D 001B 007F 0085 009F 00AD 034F 0600 061C 06DD 070F 0890 08E2 115F 1160 1680 17B4 \
            17B5 180B 180E 180F 2000 200A 200B 200C 200D 200E 200F 2028 2029 202A 202E 205F 2060 2064 2065 2066 2069 206A \
            206F 3000 3164 FDD0 FE00 FE0F FEFF FFA0 FFF0 FFF9 FFFB FFFE FFFF 110BD 13430 1BCA0 1D173 1D17A 1FFFE 10FFFF \
            E0001 E0020 E007F E0100 E0FFF 2800 16FE4 1D159 E000 F8FF F0000 10FFFD";
        for point in points.split_whitespace() {
            let c = char::from_u32(u32::from_str_radix(point, 16).unwrap()).unwrap();
            for text in [format!("Pay{c} 10"), format!("Pay {c}10"), format!("{c}Pay"), format!("Pay{c}")] {
                assert!(misleads(&text), "{point}: {text:?}");
            }
        }
        let joined = [
            "a\u{200d}\u{200d}b",
            "a\u{200c}\u{200d}b",
            "a\u{200d}\u{ad}b",
            "a\u{a0}\u{200d}b",
            "\u{200d}",
            "\u{200c}a",
            "1\u{200d}000",
            "a\u{200c}b",
            "١\u{200d}٠",
            "Pay 10     EUR",
            "Pay 10 \u{a0}\u{202f} \u{a0}EUR",
        ];
        for text in joined {
            assert!(misleads(text), "{text:?}");
        }
        let fine = [
            "Pay 10\u{a0}000,00\u{202f}€ to Zoë & Søn",
            "支付 100 元给 李雷",
            "ادفع ١٠ دنانير",
            "می\u{200c}خواهم",
            "ക്\u{200d}ഷ",
            "Pay the 👩\u{200d}👧",
            "e\u{301}",
            "Pay 10    EUR",
            "",
        ];
        for text in fine {
            assert!(!misleads(text), "{text:?}");
        }
    }
}
