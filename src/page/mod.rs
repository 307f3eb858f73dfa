//! The page: HTML on which a person steps up, without script of the application's own (feature `page`).
//!
//! A browser that navigates to a guarded route is sent there and back, which takes one line on the route
//! ([`RequireStepUp::page`](crate::RequireStepUp::page)) and one on the challenge endpoints
//! ([`with_page`](crate::ChallengeService::with_page)):
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_step_up::{Binding, Page, RequireStepUp, StepUp};
//!
//! # let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard);
//! let step_up = builder.public_path("/stepup/challenges").build()?;
//! let app: Router = Router::new()
//!     .route("/cards/1", get(async || "4929 …"))
//!     .route_layer(RequireStepUp::new(&step_up).page(Binding::uri_as_received)?)
//!     .nest_service("/stepup/challenges", step_up.challenges().with_page(Page::new().title("Example Bank"))?);
//! # Ok::<_, tower_step_up::ConfigError>(())
//! ```
//!
//! It works without JavaScript: it offers the channels that are accepted and enrolled, sends a code, takes it, or waits for
//! a push. With JavaScript, the dialog of the JavaScript client does the same on it. It needs a session that the browser
//! sends by itself, with a cookie.
//!
//! | request | what |
//! |---|---|
//! | `GET {public_path}/page?t=…` | the page, for what `t` says |
//! | `POST {public_path}/page/start`, `/verify`, `/cancel` | its forms |
//! | `GET {public_path}/page/….css`, `….js` | its style and script, under the hash of their content |
//!
//! # Security
//!
//! - `t` is encrypted and authenticated (XChaCha20-Poly1305 under the builder's [secret](crate::StepUpBuilder::secret)) for
//!   the caller's session, and can be opened for 15 minutes; what was started by then can be ended after them. The way back
//!   in it is a path of the same origin.
//! - After a `GET` was refused, the page goes back by itself, once a URL as far as the process knows. A form is never stored
//!   and sent again.
//! - Opening the page sends nothing: another site may have led there. A code counts for exactly what the page shows.
//! - Forms are refused from another origin (`Sec-Fetch-Site`, `Origin`), and without a token that only this session knows.
//! - `Content-Security-Policy` permits its own style, script and images alone, and no frame around it.

mod assets;
mod form;
mod messages;
mod push;
mod service;
mod texts;
mod view;

pub(crate) use self::service::PageService;
use self::texts::{Catalogue, Replacement};
use crate::{
    engine::{Caller, StepUp},
    rules::{ConfigError, Requirement, WayBack, local_path},
};

/// The page on which a person steps up. See the [module](self).
#[derive(Clone, Debug, Default)]
#[must_use = "a page is served by `step_up.challenges().with_page(page)`"]
pub struct Page {
    title: Option<String>,
    logo: Option<(String, String)>,
    colours: Vec<(&'static str, String)>,
    texts: Vec<Replacement>,
    leave: Option<String>,
}

impl Page {
    /// In the colours of the JavaScript client's dialog, without a logo.
    pub const fn new() -> Self {
        Self { title: None, logo: None, colours: Vec::new(), texts: Vec::new(), leave: None }
    }

    /// The application's name, in front of the page's in the title of the window, and above the page where there is no
    /// logo.
    pub fn title(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    /// A logo: the path of an image on this origin, and what it says to who does not see it.
    pub fn logo(self, path: impl Into<String>, says: impl Into<String>) -> Self {
        Self { logo: Some((path.into(), says.into())), ..self }
    }

    /// The colour of buttons and links, and of the text on buttons: each as CSS writes it, such as `#0b57a4`. Their
    /// contrast should be 4.5 to 1 (WCAG 2.2, 1.4.3), with each other and with white.
    pub fn accent(self, colour: impl Into<String>, on_it: impl Into<String>) -> Self {
        self.coloured("accent", colour.into()).coloured("on-accent", on_it.into())
    }

    /// The same in the dark.
    pub fn dark_accent(self, colour: impl Into<String>, on_it: impl Into<String>) -> Self {
        self.coloured("dark accent", colour.into()).coloured("dark on-accent", on_it.into())
    }

    fn coloured(mut self, name: &'static str, colour: String) -> Self {
        self.colours.push((name, colour));
        self
    }

    /// Replaces a text by its name in `clients/js/texts/en.json`, in every language; or names a channel:
    /// `.text("VOICE", "telephone call")`.
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.texts.push(Replacement { language: None, name: name.into(), text: text.into() });
        self
    }

    /// Replaces a text in one language: `en`, `de`, `fr` or `es`.
    pub fn text_in(mut self, language: impl Into<String>, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.texts.push(Replacement { language: Some(language.into()), name: name.into(), text: text.into() });
        self
    }

    /// Where who does not want to step up goes, a path on this origin. Default `/`.
    pub fn leave(self, path: impl Into<String>) -> Self {
        Self { leave: Some(path.into()), ..self }
    }

    /// A URL of the page for a caller: to be opened for a person by anything that knows that they have to step up. `back` is
    /// where they go after it, a path on this origin, such as `/cards/1?full`.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::{Caller, Page, Requirement, StepUp};
    ///
    /// # let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard);
    /// let step_up = builder.public_path("/stepup/challenges").build()?;
    /// let challenges = step_up.challenges().with_page(Page::new())?;
    ///
    /// let caller = Caller::user("alice").session("1");
    /// let url = Page::url(&step_up, &caller, &Requirement::new().scope("cards"), "/cards/1")?;
    /// assert!(url.starts_with("/stepup/challenges/page?t="));
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ConfigError::PageWithoutPath`] where no [`with_page`](crate::ChallengeService::with_page) serves the page.
    /// - [`ConfigError::Page`] for a `back` that is no path on this origin, and under a policy that accepts only bound
    ///   step-ups.
    /// - [`ConfigError`] where no grant could ever satisfy the requirement.
    pub fn url(
        step_up: &StepUp,
        caller: &Caller,
        requirement: &Requirement,
        back: &str,
    ) -> Result<String, ConfigError> {
        let engine = &step_up.0;
        requirement.check(engine.channels.names(), engine.scopes.as_deref(), &engine.policy)?;
        if engine.policy.bound {
            let detail = "the policy takes bound step-ups alone, which only the refusal of a bound route can name";
            return Err(ConfigError::Page { setting: "url", detail: detail.into() });
        }
        let back = local_path(back).ok_or_else(|| not_local("url", back))?;
        let url = engine.page_url(caller, requirement, None, WayBack::Resume(back.into()));
        url.ok_or(ConfigError::PageWithoutPath)
    }

    /// Checks all settings.
    fn check(&self) -> Result<Catalogue, ConfigError> {
        let paths = [("logo", self.logo.as_ref().map(|(path, _)| path)), ("leave", self.leave.as_ref())];
        for (setting, path) in paths {
            if let Some(path) = path.filter(|path| local_path(path).is_none()) {
                return Err(not_local(setting, path));
            }
        }
        for (_, colour) in &self.colours {
            let is_css = |byte: u8| byte.is_ascii_alphanumeric() || b"#(),.%/ -".contains(&byte);
            let is_address = colour.contains("//") || colour.to_ascii_lowercase().contains("url");
            if colour.trim().is_empty() || is_address || !colour.bytes().all(is_css) {
                let detail = format!("{colour:?} is no colour, such as #0b57a4");
                return Err(ConfigError::Page { setting: "accent", detail });
            }
        }
        Catalogue::new(&self.texts).map_err(|detail| ConfigError::Page { setting: "text_in", detail })
    }
}

fn not_local(setting: &'static str, path: &str) -> ConfigError {
    let detail = format!("{path:?} is no path on this origin, in visible ASCII, such as /cards/1");
    ConfigError::Page { setting, detail }
}
