//! The page without script, as a browser goes through it: links, forms, and the way back. The clock is stepped by hand.

mod attacked;
mod links;
mod looks;
mod steps;

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::OriginalUri,
    routing::{get, post},
};
use form_urlencoded::Serializer;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header::LOCATION, request::Parts};
use http_body_util::BodyExt;
use testkit::FaultyStore;
use tower::ServiceExt;
use tower_step_up::{
    Binding, Caller, EnrollmentError, ManualClock, Page, Recipient, RequireStepUp, Requirement, StepUp, StepUpBuilder,
    discard,
};

const BASE: &str = "/stepup/challenges";

/// Alice's session 1.
const COOKIE: (&str, &str) = ("cookie", "alice-1");

/// Headers.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn request(method: &str, path: &str, headers: Pairs<'_>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "bank.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Alice has a phone, an e-mail address and an app; bob has nothing.
async fn enrolled(caller: Caller, channel: String) -> Result<Recipient, EnrollmentError> {
    match (caller.subject(), &*channel) {
        ("bob", _) => Err(EnrollmentError::NotEnrolled),
        (_, "SMS") => Ok(Recipient::phone("+43 660 1230111").unwrap()),
        (_, "EMAIL") => Ok(Recipient::email("alice@bank.example").unwrap()),
        _ => Ok(Recipient::new("a device")),
    }
}

fn builder(clock: &ManualClock) -> StepUpBuilder {
    StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .otp("EMAIL", discard)
        .push("BIOMETRIC", discard)
        .proof("KEY")
        .enrollment(enrolled)
        .enroll_url("/phones")
        .public_path(BASE)
        .clock(clock.clone())
}

/// An application whose sessions are a cookie: `alice-1` is alice's session 1.
struct App {
    router: Router,
    step_up: StepUp,
    clock: ManualClock,
}

fn caller(parts: &Parts) -> Option<Caller> {
    let cookie = parts.headers.get("cookie")?.to_str().ok()?;
    let (user, session) = cookie.split_once('-')?;
    Some(Caller::user(user).session(session))
}

/// The URI that the client has sent, also inside a nested router.
fn original(parts: &Parts) -> Option<Uri> {
    Some(parts.extensions.get::<OriginalUri>()?.0.clone())
}

fn describe(_: &Parts, body: &[u8]) -> Option<String> {
    Some(format!("Pay {}", str::from_utf8(body).ok()?))
}

impl App {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self::of(builder(&clock), clock, Page::new())
    }

    fn of(builder: StepUpBuilder, clock: ManualClock, page: Page) -> Self {
        let step_up = builder.identify(caller).build().unwrap();
        let guard = |requirement| RequireStepUp::with(&step_up, requirement).unwrap().page(original).unwrap();
        let bound = guard(Requirement::new()).bind(Binding::new(original, describe)).rebuild_with(Body::new);
        let nested = Router::new().route("/{id}", get(async || "nested")).route_layer(guard(Requirement::new()));
        let router = Router::new()
            .route("/cards/1", get(async || "4929"))
            .route("/transfers", post(async || "sent"))
            .route_layer(guard(Requirement::new()))
            .merge(
                Router::new()
                    .route("/scoped", get(async || "scoped"))
                    .route_layer(guard(Requirement::new().scope("cards").max_age(secs(60)))),
            )
            .merge(
                Router::new()
                    .route("/both", get(async || "both"))
                    .route_layer(guard(Requirement::new().all_of(["SMS", "BIOMETRIC"]))),
            )
            .merge(
                Router::new()
                    .route("/email", get(async || "mail"))
                    .route_layer(guard(Requirement::new().channels(["EMAIL"]))),
            )
            .merge(
                Router::new()
                    .route("/key", get(async || "key"))
                    .route_layer(guard(Requirement::new().channels(["KEY"]))),
            )
            .merge(Router::new().route("/once", get(async || "once")).route_layer(guard(Requirement::new().once())))
            .merge(Router::new().route("/payouts", post(async || "paid")).route_layer(bound))
            .nest("/nested", nested)
            .nest_service(BASE, step_up.challenges().with_page(page).unwrap());
        Self { router, step_up, clock }
    }

    fn browser(&self) -> Browser<'_> {
        self.browser_of("alice-1")
    }

    fn browser_of(&self, cookie: &'static str) -> Browser<'_> {
        Browser { app: self, cookie, headers: HeaderMap::new(), at: "/".into(), html: String::new(), status: 200 }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// A browser without script: it follows redirects, and submits the forms that it is shown.
#[derive(Clone)]
struct Browser<'a> {
    app: &'a App,
    cookie: &'static str,
    headers: HeaderMap,
    /// The path of what it shows.
    at: String,
    html: String,
    status: u16,
}

impl Browser<'_> {
    async fn navigate(&mut self, method: Method, path: &str, body: String) {
        let (mut method, mut path, mut body) = (method, path.to_owned(), body);
        for _ in 0..5 {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(&path)
                .header("host", "bank.example")
                .header("cookie", self.cookie)
                .header("sec-fetch-mode", "navigate");
            if method == Method::POST {
                request = request.header("content-type", "application/x-www-form-urlencoded");
                request = request.header("sec-fetch-site", "same-origin");
                request = request.header("referer", format!("https://bank.example{}", self.at));
            }
            let mut request = request.body(Body::from(body)).unwrap();
            request.headers_mut().extend(self.headers.clone());
            let (status, headers, html) = self.app.send(request).await;
            if status == StatusCode::SEE_OTHER {
                (method, body) = (Method::GET, String::new());
                headers[LOCATION].to_str().unwrap().clone_into(&mut path);
                assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
                continue;
            }
            if let Some(refresh) = headers.get("refresh") {
                (method, body) = (Method::GET, String::new());
                refresh.to_str().unwrap().strip_prefix("0;url=").unwrap().clone_into(&mut path);
                continue;
            }
            (self.status, self.at, self.html) = (status.as_u16(), path, html);
            return;
        }
        panic!("it is sent in a circle, to {path}");
    }

    async fn open(&mut self, path: &str) {
        self.navigate(Method::GET, path, String::new()).await;
    }

    async fn reload(&mut self) {
        self.open(&self.at.clone()).await;
    }

    /// The forms that are shown: where they go, and what they send.
    fn forms(&self) -> Vec<(String, Vec<(String, String)>)> {
        let forms = self.html.split("<form ").skip(1).map(|form| form.split("</form>").next().unwrap());
        let fields = |form: &str| {
            let inputs = form.split("<input ").skip(1).map(|input| input.split('>').next().unwrap());
            inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
        };
        forms.map(|form| (attribute(form, "action"), fields(form))).collect()
    }

    /// The form that goes there, for a channel.
    fn form(&self, action: &str, channel: &str) -> (String, Vec<(String, String)>) {
        let is_it = |(path, fields): &(String, Vec<(String, String)>)| {
            let of = fields.iter().find(|(name, _)| name == "channel").map(|(_, channel)| &**channel);
            path.ends_with(action) && of.unwrap_or_default() == channel
        };
        self.forms().into_iter().find(is_it).unwrap_or_else(|| panic!("no form {action} {channel} in {}", self.html))
    }

    async fn submit(&mut self, (action, fields): (String, Vec<(String, String)>)) {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        self.navigate(Method::POST, &action, body).await;
    }

    async fn start(&mut self, channel: &str) {
        self.submit(self.form("/page/start", channel)).await;
    }

    async fn enter(&mut self, channel: &str, code: &str) {
        self.submit(self.with_code(channel, code)).await;
    }

    fn with_code(&self, channel: &str, code: &str) -> (String, Vec<(String, String)>) {
        let (action, mut fields) = self.form("/page/verify", channel);
        fields.iter_mut().find(|(name, _)| name == "code").unwrap().1 = code.into();
        (action, fields)
    }

    /// Whether a text is shown: not only handed to the script.
    fn shows(&self, text: &str) -> bool {
        let (before, rest) = self.html.split_once(" data-texts=\"").unwrap_or((&self.html, ""));
        before.contains(text) || rest.split_once('"').is_some_and(|(_, after)| after.contains(text))
    }

    #[track_caller]
    fn assert_shows(&self, text: &str) {
        assert!(self.shows(text), "{text:?} is not in {}", self.html);
    }

    fn is_page(&self) -> bool {
        self.at.starts_with("/stepup/challenges/page?t=")
    }
}

/// An attribute's value, as the browser reads it.
fn attribute(tag: &str, name: &str) -> String {
    let value = tag.split(&format!("{name}=\"")).nth(1).map_or("", |rest| rest.split('"').next().unwrap());
    value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
