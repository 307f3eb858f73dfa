//! Style and script of the page, under names that change with their content, so that they can be cached for long.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Page;

/// The dialog's style and the page's, and the dialog: from `clients/js`, by `npm run page`.
const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");

/// A file that the page needs.
#[derive(Clone, Debug)]
pub(super) struct Asset {
    /// Such as `0123456789abcdef.css`.
    pub(super) name: Box<str>,
    pub(super) content: Bytes,
    pub(super) content_type: &'static str,
}

#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
}

impl Assets {
    /// With the colours of the application.
    pub(super) fn new(page: &Page) -> Self {
        let mut style = STYLE.to_owned();
        let mut light = String::new();
        let mut dark = String::new();
        for (name, colour) in &page.colours {
            let (into, name) = name.strip_prefix("dark ").map_or((&mut light, *name), |name| (&mut dark, name));
            let _ = write!(into, "--step-up-{name}:{colour};");
        }
        for (scheme, colours) in [("not (prefers-color-scheme: dark)", light), ("(prefers-color-scheme: dark)", dark)] {
            let _ = write!(style, "@media {scheme} {{ .step-up {{{colours}}} }}");
        }
        Self {
            style: Asset::new(style.into(), "css", "text/css; charset=utf-8"),
            script: Asset::new(SCRIPT.into(), "js", "text/javascript; charset=utf-8"),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Asset> {
        [&self.style, &self.script].into_iter().find(|asset| *asset.name == *name)
    }
}

impl Asset {
    fn new(content: Bytes, extension: &str, content_type: &'static str) -> Self {
        let digest = Sha256::digest(&content);
        let mut name = String::new();
        for byte in &digest[..8] {
            let _ = write!(name, "{byte:02x}");
        }
        let _ = write!(name, ".{extension}");
        Self { name: name.into(), content, content_type }
    }
}
