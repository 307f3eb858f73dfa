//! The text of an e-mail with a code.

use std::fmt;

use super::{MessageTexts, OtpMessage};

/// Where a value goes: no text contains it.
const HOLE: &str = "\0";

/// An e-mail with a code. `Debug` prints its subject alone.
pub struct EmailText {
    subject: String,
    plain: String,
    html: String,
}

impl EmailText {
    pub(super) fn new(message: &OtpMessage) -> Self {
        let OtpMessage { envelope, code } = message;
        let (language, code) = (MessageTexts::language(envelope.language.as_deref()), code.expose());
        let minutes = envelope.expires_in.as_secs().div_ceil(60).to_string();
        let sentence = |name: &str, values: &[(&str, &str)]| envelope.text(name, values);
        // What is emphasized is inserted last.
        let mut lines = vec![(sentence("code", &[("code", HOLE)]), code.to_owned())];
        lines.extend(envelope.approves().map(|what| (sentence("approves", &[("what", HOLE)]), what)));
        lines.push((sentence("lifetime", &[("minutes", &minutes)]), String::new()));
        lines.push((sentence("private", &[]), String::new()));

        let plain: Vec<_> = lines.iter().map(|(line, value)| line.replace(HOLE, value)).collect();
        let html = lines.iter().map(|(line, value)| {
            let value = format!("<b style=\"font-size:1.25em\">{}</b>", escape(value));
            format!("<p>{}</p>\n", escape(line).replace(HOLE, &value))
        });
        let html = format!(
            "<!doctype html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\"></head>\n\
             <body style=\"font:1em/1.5 sans-serif\">\n{}</body></html>\n",
            html.collect::<String>()
        );
        Self { subject: envelope.text("subject", &[]), plain: plain.join("\n\n") + "\n", html }
    }

    /// The subject, which does not contain the code: a locked phone shows it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The plain text, to be given to the provider alone.
    #[must_use]
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// The same as HTML, without links, images and style sheets.
    #[must_use]
    pub fn html(&self) -> &str {
        &self.html
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Prints the subject alone.
impl fmt::Debug for EmailText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailText").field("subject", &self.subject).finish_non_exhaustive()
    }
}
