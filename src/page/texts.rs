//! The texts of the page, from the catalogue that the JavaScript client has, too.

use std::{collections::HashMap, time::Duration};

use http::HeaderMap;

use crate::wire::language_ranges;

/// The catalogues, the first of which is for any other language.
const CATALOGUES: [(&str, &str); 4] = [
    ("en", include_str!("../../clients/js/texts/en.json")),
    ("de", include_str!("../../clients/js/texts/de.json")),
    ("fr", include_str!("../../clients/js/texts/fr.json")),
    ("es", include_str!("../../clients/js/texts/es.json")),
];

/// Those that only the page without script shows.
const OF_PAGE: [&str; 11] = [
    "linkInvalid",
    "loggedOut",
    "formRefused",
    "done",
    "continue",
    "resubmit",
    "toForm",
    "close",
    "leave",
    "cancelled",
    "check",
];

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) language: &'static str,
    by_name: HashMap<String, String>,
    /// Those of the dialog, for the script: a line each, name and text.
    pub(super) of_dialog: String,
}

/// The texts of every language.
#[derive(Debug)]
pub(super) struct Catalogue(Vec<Texts>);

/// A text that the application replaces, in one language or in all.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    pub(super) language: Option<String>,
    pub(super) name: String,
    pub(super) text: String,
}

impl Catalogue {
    /// # Errors
    ///
    /// What is wrong with a replacement.
    pub(super) fn new(replacements: &[Replacement]) -> Result<Self, String> {
        let known = |language: &str| CATALOGUES.iter().any(|(known, _)| *known == language);
        if let Some(unknown) = replacements.iter().filter_map(|text| text.language.as_deref()).find(|l| !known(l)) {
            return Err(format!("there is no catalogue for {unknown:?}: en, de, fr and es"));
        }
        let texts = CATALOGUES.map(|(language, json)| {
            let by_name: HashMap<String, String> = serde_json::from_str(json).unwrap_or_default();
            let of_language = |text: &&Replacement| text.language.as_deref().is_none_or(|other| other == language);
            let replaced = replacements.iter().filter(of_language).map(|text| (text.name.clone(), text.text.clone()));
            let by_name: HashMap<_, _> = by_name.into_iter().chain(replaced).collect();
            let of_dialog = by_name.iter().filter(|(name, _)| !OF_PAGE.contains(&&***name));
            let mut of_dialog: Vec<_> =
                of_dialog.map(|(name, text)| format!("{name} {}", text.replace('\n', " "))).collect();
            of_dialog.sort();
            Texts { language, by_name, of_dialog: of_dialog.join("\n") }
        });
        Ok(Self(texts.into()))
    }

    /// The first language that the client asks for and the catalogue has, whatever the weights.
    pub(super) fn of(&self, headers: &HeaderMap) -> &Texts {
        let mut languages = language_ranges(headers).map(|range| range.split('-').next().unwrap_or_default());
        let find = |wanted: &str| self.0.iter().find(|texts| texts.language.eq_ignore_ascii_case(wanted));
        languages.find_map(find).unwrap_or(&self.0[0])
    }
}

impl Texts {
    /// Whether there is such a text.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// A text; its name where there is none, which is how a channel is named that the application has given no text.
    pub(super) fn say<'a>(&'a self, name: &'a str) -> &'a str {
        self.by_name.get(name).map_or(name, String::as_str)
    }

    /// A text with its values.
    pub(super) fn with(&self, name: &str, values: &[(&str, &str)]) -> String {
        values.iter().fold(self.say(name).to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
    }
}

/// Minutes and seconds, rounded up.
pub(super) fn minutes(time: Duration) -> String {
    let secs = crate::rules::wait_secs(time);
    format!("{}:{:02}", secs / 60, secs % 60)
}

/// A time in UTC, such as `2026-11-27 09:05 UTC`.
pub(super) fn utc(millis: u64) -> String {
    let minutes = millis / 60_000;
    let (days, minute) = (minutes / 1440, minutes % 1440);
    // Days to a date of the Gregorian calendar, in years that begin in March.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::ACCEPT_LANGUAGE};

    use super::*;

    #[test]
    fn every_language_has_every_text() {
        let catalogue = Catalogue::new(&[]).unwrap();
        let names = |texts: &Texts| {
            let mut names: Vec<_> = texts.by_name.keys().cloned().collect();
            names.sort();
            names
        };
        assert!(names(&catalogue.0[0]).len() > 50);
        for texts in &catalogue.0 {
            assert_eq!(names(texts), names(&catalogue.0[0]), "{}", texts.language);
        }
    }

    #[test]
    fn languages_are_negotiated() {
        let catalogue = Catalogue::new(&[]).unwrap();
        let table = [("de-AT, en", "de"), ("nl, fr;q=0.1", "fr"), ("*", "en"), ("", "en"), ("ES", "es"), ("deu", "en")];
        for (header, expected) in table {
            let headers = [(ACCEPT_LANGUAGE, HeaderValue::from_static(header))].into_iter().collect();
            assert_eq!(catalogue.of(&headers).language, expected, "{header}");
        }
    }

    #[test]
    fn times_are_written() {
        assert_eq!(minutes(Duration::from_millis(61_001)), "1:02");
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_795_766_700_000), "2026-11-27 08:05 UTC");
        assert_eq!(utc(4_107_542_399_000), "2100-02-28 23:59 UTC");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00 UTC");
    }
}
