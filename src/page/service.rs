//! What the page answers: it shows what is left to do, and its forms do it.
//!
//! A form is answered with 303 to the page, so that neither "back" nor "reload" sends it again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY, REFRESH,
        X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};

use super::{
    Page,
    assets::{Asset, Assets},
    form::{Form, Query, is_same_origin},
    messages::{invalid, message, message_of},
    push::Push,
    texts::{Catalogue, Texts},
    view::{self, Channel, Step, View},
};
use crate::{
    engine::{ApiCall, Caller, Named, Outcome, Rejected, Remaining, StepUp, StepUpStatus},
    rules::{ChallengeError, ConfigError, PageTarget, WayBack},
    wire::{RefusalStatus, language, read},
};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

pub(super) type Answer = Response<Bytes>;

/// Most bytes of a form: the longest sealed target, and the rest.
const FORM_LIMIT: usize = 8 * 1024;

/// Its own style, script and images, and nothing around it. `form-action` also holds for where a form's answer leads.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// Answers the requests below `/page`.
#[derive(Debug)]
pub(crate) struct PageService {
    pub(super) page: Page,
    pub(super) assets: Assets,
    texts: Catalogue,
    /// The public path of the challenge endpoints.
    pub(super) base: String,
    /// Digits of a code.
    pub(super) digits: u8,
}

/// What one request is about.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) step_up: &'a StepUp,
    pub(super) caller: &'a Caller,
    pub(super) texts: &'a Texts,
    target: &'a PageTarget,
    /// The sealed target.
    sealed: &'a str,
    language: Option<&'a str>,
}

impl PageService {
    /// # Errors
    ///
    /// [`ConfigError`] where the page cannot be served as it is set.
    pub(crate) fn new(page: Page, step_up: &StepUp) -> Result<Arc<Self>, ConfigError> {
        let base = step_up.0.wire.public_path.clone().ok_or(ConfigError::PageWithoutPath)?;
        let texts = page.check()?;
        step_up.0.serve_page();
        Ok(Arc::new(Self { assets: Assets::new(&page), texts, page, base, digits: step_up.0.policy.code_digits }))
    }

    /// Answers what is below `/page`; `path` is what follows that. `None` where there is nothing.
    pub(crate) async fn answer<B>(&self, step_up: &StepUp, request: &Parts, path: &str, body: B) -> Option<Answer>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let texts = self.texts.of(&request.headers);
        let asset = path.strip_prefix('/').and_then(|name| self.assets.find(name));
        let (reads, writes) = (matches!(request.method, Method::GET | Method::HEAD), request.method == Method::POST);
        Some(match (path, asset) {
            ("", _) if reads => self.show(step_up, request, texts).await,
            ("/start" | "/verify" | "/cancel", _) if writes => self.submit(step_up, request, texts, path, body).await,
            (_, Some(asset)) if reads => asset_answer(asset),
            ("", _) | (_, Some(_)) => self.not_allowed(texts, "GET, HEAD"),
            ("/start" | "/verify" | "/cancel", _) => self.not_allowed(texts, "POST"),
            _ => return None,
        })
    }

    /// Shows what is left to do, or goes back where nothing is.
    async fn show(&self, step_up: &StepUp, request: &Parts, texts: &Texts) -> Answer {
        let mut query = Query::parse(request.uri.query().unwrap_or_default());
        if request.method != Method::GET {
            (query.goes, query.push) = (false, None);
        }
        let Some(caller) = step_up.0.identify(request) else { return self.no_caller(step_up, texts) };
        let Some(target) = step_up.0.open_page(&caller, &query.target) else {
            return self.told(texts, StatusCode::BAD_REQUEST, "linkInvalid");
        };
        let language = language(&request.headers);
        let visit = Visit { step_up, caller: &caller, texts, target: &target, sealed: &query.target, language };
        match self.view(visit, &query).await {
            Ok(answer) => answer,
            Err(error) => self.failed(texts, &error),
        }
    }

    async fn view(&self, visit: Visit<'_>, query: &Query<'_>) -> Result<Answer, ChallengeError> {
        let Visit { step_up, caller, target, .. } = visit;
        let Remaining { unmet, operation, owns_code, owns_push } = step_up.0.remaining(caller, target).await?;
        let push = query.push.as_deref().and_then(|sealed| Push::open(visit, sealed));
        let comes_back = query.goes || push.is_some();
        // Past its deadline, a URL ends what it has started.
        let starts = step_up.0.may_start(target);
        let Some(unmet) = unmet else {
            if !starts && !comes_back {
                return Ok(self.told(visit.texts, StatusCode::BAD_REQUEST, "linkInvalid"));
            }
            let back = match &target.way_back {
                WayBack::Resume(back) if comes_back => Some(back),
                _ => None,
            };
            let mut answer = self.page(visit.texts, StatusCode::OK, &View::done(&target.way_back));
            if let Some(back) = back.filter(|_| step_up.0.may_return(target)) {
                // No redirect: `form-action` would hold for wherever that leads, and the way back may lead to another origin.
                if let Ok(refresh) = HeaderValue::try_from(format!("0;url={back}")) {
                    answer.headers_mut().insert(REFRESH, refresh);
                }
            }
            return Ok(answer);
        };
        let status = step_up.status(caller).await?;
        // Where several channels are needed, or one has an age of its own, those that lack a step-up.
        let asked = |name: &str| match unmet.parts() {
            [] => target.requirement.accepts(name),
            parts => parts.iter().any(|part| part.channel() == name),
        };
        let channels = channels(&status, asked);
        let has = |name: &str| channels.iter().any(|channel| channel.name == name);
        let lacks_one = target.requirement.takes_all() && unmet.parts().iter().any(|part| !has(part.channel()));
        let otp = status.pending_otp.as_ref().filter(|otp| owns_code && asked(&otp.channel));
        let waits = status.pending_push.as_ref().filter(|push| owns_push && asked(&push.channel));
        let mut message = message(visit, query);
        if let (None, Some(push)) = (waits, &push) {
            message = push.outcome(visit).await?.or(message);
        }
        let step = match (waits, otp) {
            (None, None) if !starts => {
                let ended = View { message, ..View::told(visit.texts.say("linkInvalid").to_owned()) };
                return Ok(self.page(visit.texts, StatusCode::BAD_REQUEST, &ended));
            }
            _ if channels.is_empty() || lacks_one => Step::Nothing { enroll: step_up.0.wire.enroll_url.as_deref() },
            (None, None) => Step::Choose,
            _ => Step::Pending { otp, push: waits },
        };
        // The page also returns by itself where another tab has sent the push.
        let again = waits.and_then(|push| Push::seal(visit, &push.channel, &push.id)).map(Into::into);
        let spent_at = target.spent_at.or(unmet.spent_at());
        let script = match step {
            // While a push is pending, the page shows it: the dialog does not know its number.
            Step::Choose | Step::Pending { push: None, .. } if starts => {
                Some(view::refusal_json(target, &unmet, &channels, operation.as_deref(), spent_at))
            }
            _ => None,
        };
        let view = View {
            step,
            reason: Some(unmet.reason()),
            spent_at,
            operation: operation.as_deref(),
            grants: status.grants.len(),
            channels: if starts { &channels } else { &[] },
            message,
            form: Some(view::FormKeys { target: visit.sealed, token: step_up.0.form_token(caller) }),
            again: self.url(&Query { push: again.or(query.push.clone()), message: None, wait: None, ..query.clone() }),
            script,
        };
        Ok(self.page(visit.texts, StatusCode::OK, &view))
    }

    fn url(&self, query: &Query<'_>) -> String {
        [&self.base, "/page", &query.write()].concat()
    }

    /// Does what a form says.
    async fn submit<B>(&self, step_up: &StepUp, request: &Parts, texts: &Texts, path: &str, body: B) -> Answer
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(caller) = step_up.0.identify(request) else { return self.no_caller(step_up, texts) };
        let host = request.uri.authority().map(http::uri::Authority::as_str);
        let host = host.or_else(|| request.headers.get(HOST)?.to_str().ok());
        if !is_same_origin(&request.headers, host) {
            return self.told(texts, StatusCode::FORBIDDEN, "formRefused");
        }
        let body = read(body, FORM_LIMIT).await.ok();
        let Some(form) = body.and_then(|body| Form::parse(&request.headers, &body.data)) else {
            return self.told(texts, StatusCode::BAD_REQUEST, "failed");
        };
        if !step_up.0.is_form_token(&caller, &form.token) {
            return self.told(texts, StatusCode::FORBIDDEN, "formRefused");
        }
        let target = step_up.0.open_page(&caller, &form.target);
        let Some(target) = target.filter(|target| path != "/start" || step_up.0.may_start(target)) else {
            return self.told(texts, StatusCode::BAD_REQUEST, "linkInvalid");
        };
        let language = language(&request.headers);
        let visit = Visit { step_up, caller: &caller, texts, target: &target, sealed: &form.target, language };
        let done = match path {
            "/start" => self.start(visit, &form.channel).await,
            "/verify" => self.verify(visit, &form).await,
            _ => self.cancel(visit).await,
        };
        done.unwrap_or_else(|error| self.after(visit, error))
    }

    async fn start(&self, visit: Visit<'_>, channel: &str) -> Result<Answer, Rejected> {
        let Visit { step_up, caller, .. } = visit;
        let purpose = visit.purpose();
        if step_up.0.channels.otp_names().any(|name| name == channel) {
            let again = step_up.0.remaining(caller, visit.target).await?.owns_code;
            step_up.perform(caller, ApiCall::StartOtp { channel, purpose }).await?;
            let message = again.then(|| "resent".into());
            return Ok(self.to_page(visit, Query { message, ..Query::default() }));
        }
        let started = match step_up.perform(caller, ApiCall::StartPush { channel, purpose }).await {
            Err(Rejected::Refused(ChallengeError::StateInvalid)) => {
                let pending = step_up.status(caller).await?.pending_push;
                let owns_push = step_up.0.remaining(caller, visit.target).await?.owns_push;
                match pending {
                    // A second click.
                    Some(push) if owns_push && push.channel == channel => {
                        return Ok(self.to_push(visit, channel, &push.id));
                    }
                    // One for something else: the user has chosen this.
                    Some(push) => drop(step_up.cancel_push(caller, &push.channel, &push.id).await?),
                    None => {}
                }
                step_up.perform(caller, ApiCall::StartPush { channel, purpose }).await
            }
            started => started,
        };
        let Outcome::PushStarted(started) = started? else { return Err(ChallengeError::Internal.into()) };
        Ok(self.to_push(visit, channel, &started.id))
    }

    async fn verify(&self, visit: Visit<'_>, form: &Form) -> Result<Answer, Rejected> {
        let Visit { step_up, caller, target, .. } = visit;
        let code = form.clean_code();
        let call = ApiCall::VerifyOtp { channel: &form.channel, code: Ok(&code), purpose: visit.purpose() };
        let verified = match step_up.perform(caller, call).await {
            // A second click, or the answer to the first was lost: what counts is whether the step-up is there.
            Err(Rejected::Refused(ChallengeError::AlreadyVerified)) => None,
            verified => Some(verified?),
        };
        let unmet = step_up.0.remaining(caller, target).await?.unmet;
        if unmet.is_some() && verified.is_none() {
            return Err(ChallengeError::AlreadyVerified.into());
        }
        let next = if target.requirement.takes_all() { "next" } else { "failed" };
        let message = unmet.map(|_| next.into());
        Ok(self.to_page(visit, Query { goes: message.is_none(), message, ..Query::default() }))
    }

    /// Cancels what is pending for this.
    async fn cancel(&self, visit: Visit<'_>) -> Result<Answer, Rejected> {
        let Visit { step_up, caller, .. } = visit;
        let Remaining { owns_code, owns_push, .. } = step_up.0.remaining(caller, visit.target).await?;
        let status = step_up.status(caller).await?;
        if let Some(otp) = status.pending_otp.filter(|_| owns_code) {
            step_up.cancel_otp(caller, &otp.channel).await?;
        }
        if let Some(push) = status.pending_push.filter(|_| owns_push) {
            step_up.cancel_push(caller, &push.channel, &push.id).await?;
        }
        Ok(self.to_page(visit, Query { message: Some("cancelled".into()), ..Query::default() }))
    }

    /// To the page, with what went wrong.
    fn after(&self, visit: Visit<'_>, rejected: Rejected) -> Answer {
        let (message, wait) = match &rejected {
            Rejected::Invalid(fields) => (invalid(fields), None),
            Rejected::Refused(error) => (message_of(error), RefusalStatus::of(error).retry_after),
        };
        // Rounded up to whole seconds, as everywhere.
        let wait = wait.map(|wait| Duration::from_secs(crate::rules::wait_secs(wait)));
        self.to_page(visit, Query { message: Some(message.into()), wait, ..Query::default() })
    }

    fn to_page(&self, visit: Visit<'_>, query: Query<'_>) -> Answer {
        see_other(&self.url(&Query { target: visit.sealed.into(), ..query }))
    }

    /// To the page, which waits for this push and goes back by itself.
    fn to_push(&self, visit: Visit<'_>, channel: &str, id: &str) -> Answer {
        let push = Push::seal(visit, channel, id).map(Into::into);
        self.to_page(visit, Query { push, ..Query::default() })
    }

    fn no_caller(&self, step_up: &StepUp, texts: &Texts) -> Answer {
        step_up.0.note_no_caller();
        let mut answer = self.told(texts, StatusCode::UNAUTHORIZED, "loggedOut");
        let authenticate = step_up.0.wire.authenticate.clone();
        answer.headers_mut().insert(http::header::WWW_AUTHENTICATE, authenticate);
        answer
    }

    fn failed(&self, texts: &Texts, error: &ChallengeError) -> Answer {
        let RefusalStatus { status, retry_after, .. } = RefusalStatus::of(error);
        let time = super::texts::minutes(retry_after.unwrap_or_default());
        let text = texts.with(message_of(error), &[("time", &time)]);
        self.page(texts, status, &View::told(text))
    }

    fn not_allowed(&self, texts: &Texts, allow: &'static str) -> Answer {
        let mut answer = self.told(texts, StatusCode::METHOD_NOT_ALLOWED, "failed");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        answer
    }

    /// A page that only says something.
    fn told(&self, texts: &Texts, status: StatusCode, text: &str) -> Answer {
        self.page(texts, status, &View::told(texts.say(text).to_owned()))
    }

    fn page(&self, texts: &Texts, status: StatusCode, view: &View<'_>) -> Answer {
        let mut answer = Response::new(view.render(self, texts).into());
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        secure(headers);
        answer
    }
}

impl<'a> Visit<'a> {
    /// What the step-up is for: a token knows its scope.
    fn purpose(self) -> Named<'a> {
        let binding = self.target.binding.as_deref();
        let scope = self.target.requirement.get_scope().filter(|_| binding.is_none());
        Named { scope: Ok(scope), binding: Ok(binding), language: self.language, exact: true }
    }
}

/// The channels that are enrolled and asked for.
fn channels<'a>(status: &'a StepUpStatus, asked: impl Fn(&str) -> bool) -> Vec<Channel<'a>> {
    let of = |names: &'a [String], is_push| {
        let to = |name: &String| status.to.get(name).map(String::as_str);
        names.iter().map(move |name| Channel { name, is_push, to: to(name) })
    };
    of(&status.otp, false).chain(of(&status.push, true)).filter(|channel| asked(channel.name)).collect()
}

fn see_other(path: &str) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // A path of visible ASCII: checked, or made here.
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(LOCATION, location);
    secure(answer.headers_mut());
    answer
}

fn secure(headers: &mut HeaderMap) {
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Who has opened the window must not lead it elsewhere while the user waits.
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
}

/// A file, for a year: under its name it never changes (RFC 8246). Not for shared caches: a layer outside may add a cookie.
fn asset_answer(asset: &Asset) -> Answer {
    let mut answer = Response::new(asset.content.clone());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
