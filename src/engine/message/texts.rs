//! The texts of messages, in the languages of the catalogue, and those that the application replaces.

/// The languages, the first of which is for any other.
const LANGUAGES: [&str; 4] = ["en", "de", "fr", "es"];

/// A text in each of the languages, with placeholders in braces. Only characters of the GSM 7-bit alphabet, so that a text
/// message is short.
type Text = (&'static str, [&'static str; 4]);

const TEXTS: [Text; 5] = [
    ("code", ["{code} is your code.", "{code} ist Ihr Code.", "{code} est votre code.", "{code} es su clave."]),
    ("approves", ["It approves: {what}", "Er bestätigt: {what}", "Il approuve : {what}", "Aprueba: {what}"]),
    (
        "private",
        ["Do not share it.", "Geben Sie ihn niemandem.", "Ne le donnez à personne.", "No la comparta con nadie."],
    ),
    (
        "lifetime",
        [
            "It is valid for {minutes} minutes.",
            "Er gilt {minutes} Minuten lang.",
            "Il est valable {minutes} minutes.",
            "Vale durante {minutes} minutos.",
        ],
    ),
    ("subject", ["Your code", "Ihr Code", "Votre code", "Su clave"]),
];

/// What precedes the name of a scope in the name of its text.
const SCOPE: &str = "scope.";

/// A text that the application replaces, in one language or in all.
#[derive(Clone, Debug)]
struct Replacement {
    language: Option<String>,
    name: String,
    text: String,
}

/// The texts of messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageTexts(Vec<Replacement>);

impl MessageTexts {
    pub(crate) fn replace(&mut self, language: Option<String>, name: String, text: String) {
        self.0.push(Replacement { language, name, text });
    }

    /// # Errors
    ///
    /// The name of a replaced text, and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        for Replacement { language, name, text } in &self.0 {
            let wrong = |detail: String| Err((name.clone(), detail));
            if let Some(language) = language.as_deref().filter(|language| !LANGUAGES.contains(language)) {
                return wrong(format!("there is no catalogue for {language:?}: en, de, fr and es"));
            }
            if text.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')) {
                return wrong(format!("{text:?} has more than one line, or a character that does not show"));
            }
            let known = TEXTS.iter().find(|(known, _)| known == name).map(|(_, texts)| texts[0]);
            if known.is_none() && !name.starts_with(SCOPE) {
                let names = TEXTS.map(|(name, _)| name).join(", ");
                return wrong(format!("there is no such text: {names}, or {SCOPE} and a scope"));
            }
            let needed = known.and_then(|known| placeholders(known).ok()?.pop());
            match placeholders(text) {
                Err(at) => return wrong(format!("{text:?} has a brace without its other one: {at:?}")),
                Ok(found) if found.iter().any(|found| Some(*found) != needed) => {
                    return wrong(format!("{text:?} has an unknown placeholder"));
                }
                Ok(found) => {
                    if let Some(needed) = needed.filter(|_| found.is_empty()) {
                        return wrong(format!("{text:?} lacks {{{needed}}}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// A text with its values, which are inserted as they are.
    pub(super) fn fill(&self, language: Option<&str>, name: &str, values: &[(&str, &str)]) -> String {
        let mut rest = self.find(language, name).unwrap_or(name);
        let mut filled = String::new();
        while let Some((before, (key, after))) = rest.split_once('{').and_then(|(b, r)| Some((b, r.split_once('}')?))) {
            filled += before;
            filled += values.iter().find(|(known, _)| *known == key).map_or("", |(_, value)| value);
            rest = after;
        }
        filled + rest
    }

    /// The application's text for a scope.
    pub(super) fn of_scope(&self, language: Option<&str>, scope: &str) -> Option<&str> {
        self.find(language, &[SCOPE, scope].concat())
    }

    /// The catalogue's language for a tag.
    pub(super) fn language(tag: Option<&str>) -> &'static str {
        LANGUAGES[Self::position(tag)]
    }

    fn position(tag: Option<&str>) -> usize {
        let primary = tag.unwrap_or_default().split('-').next().unwrap_or_default();
        LANGUAGES.iter().position(|known| known.eq_ignore_ascii_case(primary)).unwrap_or_default()
    }

    /// The last replacement that applies, or the catalogue's text.
    fn find(&self, language: Option<&str>, name: &str) -> Option<&str> {
        let at = Self::position(language);
        let applies = |other: &&Replacement| {
            other.name == name && other.language.as_deref().is_none_or(|language| language == LANGUAGES[at])
        };
        let replaced = self.0.iter().rev().find(applies).map(|replacement| &*replacement.text);
        replaced.or_else(|| Some(TEXTS.iter().find(|(known, _)| *known == name)?.1[at]))
    }
}

/// The names in braces; where they do not match, what follows the first that does not.
fn placeholders(mut text: &str) -> Result<Vec<&str>, &str> {
    let mut names = Vec::new();
    while let Some(at) = text.find(['{', '}']) {
        let name = text[at..].strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or(&text[at..])?;
        if name.0.contains('{') {
            return Err(&text[at..]);
        }
        names.push(name.0);
        text = name.1;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once() {
        let texts = MessageTexts::default();
        let fill = |language, name, value| texts.fill(language, name, &[("what", value), ("code", value)]);
        assert_eq!(fill(None, "approves", "{code} {what} {"), "It approves: {code} {what} {");
        assert_eq!(fill(Some("de-AT"), "code", "1"), "1 ist Ihr Code.");
        assert_eq!(fill(Some("nl"), "subject", ""), "Your code");
        assert_eq!(fill(Some("FR"), "approves", "x"), "Il approuve : x");
        assert_eq!(texts.of_scope(None, "payments"), None);
    }

    #[test]
    fn replacements() {
        let mut texts = MessageTexts::default();
        texts.replace(None, "code".into(), "Bank: {code}".into());
        texts.replace(Some("de".into()), "code".into(), "Die Bank: {code}".into());
        texts.replace(None, "scope.payments".into(), "payments of a day".into());
        texts.check().unwrap();
        let fill = |language| texts.fill(language, "code", &[("code", "7")]);
        assert_eq!([fill(None), fill(Some("de")), fill(Some("es"))], ["Bank: 7", "Die Bank: 7", "Bank: 7"]);
        assert_eq!(texts.of_scope(Some("de"), "payments"), Some("payments of a day"));
        let table = [
            (Some("nl"), "code", "{code}", "nl"),
            (None, "kode", "{code}", "no such text"),
            (None, "code", "your code", "{code}"),
            (None, "approves", "yes", "{what}"),
            (None, "code", "Bank { {code}", "brace"),
            (None, "code", "{bank} {code}", "unknown"),
            (None, "code", "{code} }", "brace"),
            (None, "private", "{code}", "unknown"),
            (None, "scope.payments", "{code}", "unknown"),
            (None, "subject", "\0", "does not show"),
            (None, "subject", "two\nlines", "line"),
            (None, "scope.payments", "x\n@evil.example #1", "line"),
        ];
        for (language, name, text, expected) in table {
            let mut texts = MessageTexts::default();
            texts.replace(language.map(Into::into), name.into(), text.into());
            let (named, detail) = texts.check().unwrap_err();
            assert!(named == name && detail.contains(expected), "{named}: {detail}");
        }
    }
}
