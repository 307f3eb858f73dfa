//! The HTML of the page.

use maud::{DOCTYPE, Markup, html};
use serde::Serialize;

use super::{
    messages::Kind,
    service::PageService,
    texts::{Texts, minutes, utc},
};
use crate::{
    engine::{PendingOtp, PendingPush},
    rules::{PageTarget, Timestamp, Unmet, UnmetReason, WayBack},
};

/// A channel that can be chosen.
pub(super) struct Channel<'a> {
    pub(super) name: &'a str,
    pub(super) is_push: bool,
    /// Where it leads, masked.
    pub(super) to: Option<&'a str>,
}

/// What the user does next.
pub(super) enum Step<'a> {
    Choose,
    /// A code is to be entered, a push to be confirmed, or either.
    Pending {
        otp: Option<&'a PendingOtp>,
        push: Option<&'a PendingPush>,
    },
    /// Nothing is enrolled that is accepted.
    Nothing {
        enroll: Option<&'a str>,
    },
    /// Nothing is left to do.
    Done(&'a WayBack),
    /// The page only says something.
    Told(String),
}

/// What every form sends back.
pub(super) struct FormKeys<'a> {
    pub(super) target: &'a str,
    pub(super) token: String,
}

pub(super) struct View<'a> {
    pub(super) step: Step<'a>,
    pub(super) reason: Option<UnmetReason>,
    pub(super) spent_at: Option<Timestamp>,
    pub(super) operation: Option<&'a str>,
    /// How many grants the session has.
    pub(super) grants: usize,
    /// Where something can be started.
    pub(super) channels: &'a [Channel<'a>],
    pub(super) message: Option<(Kind, String)>,
    pub(super) form: Option<FormKeys<'a>>,
    /// The URL of this page, which goes back where a push was answered.
    pub(super) again: String,
    /// What the script asks for.
    pub(super) script: Option<String>,
}

impl<'a> View<'a> {
    pub(super) fn done(way_back: &'a WayBack) -> Self {
        Self::of(Step::Done(way_back))
    }

    pub(super) fn told(text: String) -> Self {
        Self::of(Step::Told(text))
    }

    fn of(step: Step<'a>) -> Self {
        Self {
            step,
            reason: None,
            spent_at: None,
            operation: None,
            grants: 0,
            channels: &[],
            message: None,
            form: None,
            again: String::new(),
            script: None,
        }
    }

    pub(super) fn render(&self, service: &PageService, texts: &Texts) -> String {
        let path = |name: &str| format!("{}/page/{name}", service.base);
        let page = &service.page;
        let title = texts.say("title");
        let script = self.script.is_some();
        let waits = matches!(self.step, Step::Pending { push: Some(_), .. });
        // Not over a code that is being typed.
        let refreshes = matches!(self.step, Step::Pending { push: Some(_), otp: None });
        let markup = html! {
            (DOCTYPE)
            html lang=(texts.language) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { @if let Some(name) = &page.title { (name) " – " } (title) }
                    link rel="stylesheet" href=(path(&service.assets.style.name));
                    @if script || waits {
                        script type="module" src=(path(&service.assets.script.name)) {}
                    }
                    // The script asks by itself.
                    @if refreshes { noscript { meta http-equiv="refresh" content=(format!("4;url={}", self.again)); } }
                }
                body {
                    main class="step-up" data-refusal=[self.script.as_deref()] data-waits=[waits.then_some(&self.again)]
                        data-grants=[waits.then_some(self.grants)]
                        data-texts=[script.then_some(&texts.of_dialog)] data-digits=[script.then_some(service.digits)] {
                        @if page.title.is_some() || page.logo.is_some() {
                            header {
                                @match (&page.logo, &page.title) {
                                    (Some((path, says)), _) => { img src=(path) alt=(says); }
                                    (None, title) => { @if let Some(title) = title { (title) } }
                                }
                            }
                        }
                        h1 { (title) }
                        (self.body(service, texts))
                    }
                }
            }
        };
        markup.into_string()
    }

    fn body(&self, service: &PageService, texts: &Texts) -> Markup {
        html! {
            @match self.reason {
                None => {}
                Some(UnmetReason::Expired | UnmetReason::TooOld) => { p { (texts.say("whyExpired")) } }
                Some(_) => { p { (texts.say("why")) } }
            }
            @if let Some(text) = self.operation {
                p class="operation" { span { (texts.say("operation")) } strong dir="auto" { (text) } }
            }
            @if let Some(at) = self.spent_at {
                p { (texts.with("spent", &[("time", &utc(at.as_millis()))])) }
            }
            @match &self.message {
                Some((Kind::Problem, text)) => { p class="problem" id="problem" role="alert" { (text) } }
                Some((Kind::Note, text)) => { p class="note" role="status" { (text) } }
                None => {}
            }
            @match &self.step {
                Step::Told(text) => { p { (text) } (Self::leave(service, texts)) }
                Step::Done(way_back) => { (done(way_back, texts)) }
                Step::Nothing { enroll } => {
                    p { (texts.say("none")) }
                    @if let Some(url) = enroll { p { a href=(url) { (texts.say("enroll")) } } }
                    (Self::leave(service, texts))
                }
                Step::Choose => {
                    p { (texts.say("choose")) }
                    (self.starts(service, texts, &[], None))
                    (Self::leave(service, texts))
                }
                Step::Pending { otp, push } => {
                    @if let Some(push) = push { (self.push(texts, push)) }
                    @if let Some(otp) = otp { (self.code(service, texts, otp)) }
                    @let pending = [otp.map(|otp| &*otp.channel), push.map(|push| &*push.channel)];
                    (self.starts(service, texts, &pending, Some("quiet")))
                    (self.form(service, "cancel", None, &html! {
                        button type="submit" class="quiet" { (texts.say("cancel")) }
                    }))
                }
            }
        }
    }

    /// The form that takes a code, and the one that sends another.
    fn code(&self, service: &PageService, texts: &Texts, otp: &PendingOtp) -> Markup {
        let channel = texts.say(&otp.channel);
        let sent = match &otp.to {
            Some(to) => texts.with("sentTo", &[("channel", channel), ("to", to)]),
            None => texts.with("sent", &[("channel", channel)]),
        };
        let wrong = matches!(self.message, Some((Kind::Problem, _)));
        let fields = html! {
            p { (sent) }
            label for="code" { (texts.say("code")) }
            input id="code" name="code" type="text" inputmode="numeric" autocomplete="one-time-code" autofocus
                spellcheck="false" enterkeyhint="done" required aria-invalid=(wrong)
                aria-describedby=(if wrong { "problem left" } else { "left" });
            p class="left" id="left" {
                (texts.with("codeLength", &[("length", &service.digits.to_string())])) " "
                (texts.with("codeLeft", &[("time", &minutes(otp.expires_in))]))
            }
            button type="submit" { (texts.say("verify")) }
        };
        let may_resend = self.channels.iter().any(|channel| *channel.name == *otp.channel);
        html! {
            (self.form(service, "verify", Some(&otp.channel), &fields))
            @if may_resend {
                (self.form(service, "start", Some(&otp.channel), &html! {
                    button type="submit" class="quiet" { (texts.say("resend")) }
                }))
            }
        }
    }

    /// What to do with a push. The page is loaded again until it is answered.
    fn push(&self, texts: &Texts, push: &PendingPush) -> Markup {
        html! {
            p { (texts.say("pushSent")) }
            @if let Some(number) = &push.number {
                p class="number" { (texts.say("pushNumber")) " " output { (number) } }
            }
            p class="left" { (texts.with("pushLeft", &[("time", &minutes(push.expires_in))])) }
            p { a class="button" href=(self.again) { (texts.say("check")) } }
        }
    }

    /// A form for each channel but those that are pending, which starts there.
    fn starts(&self, service: &PageService, texts: &Texts, pending: &[Option<&str>], class: Option<&str>) -> Markup {
        html! {
            @for channel in self.channels.iter().filter(|channel| !pending.contains(&Some(channel.name))) {
                @let kind = if channel.is_push { "push" } else { "otp" };
                (self.form(service, "start", Some(channel.name), &html! {
                    button type="submit" class=[class] {
                        (texts.with(kind, &[("channel", texts.say(channel.name))]))
                        @if let Some(to) = channel.to { " " small { (to) } }
                    }
                }))
            }
        }
    }

    fn leave(service: &PageService, texts: &Texts) -> Markup {
        html! { a class="link" href=(service.page.leave.as_deref().unwrap_or("/")) { (texts.say("leave")) } }
    }

    fn form(&self, service: &PageService, action: &str, channel: Option<&str>, fields: &Markup) -> Markup {
        let Some(keys) = &self.form else { return html! {} };
        html! {
            form method="post" action=(format!("{}/page/{action}", service.base)) {
                input type="hidden" name="t" value=(keys.target);
                input type="hidden" name="csrf" value=(keys.token);
                @if let Some(channel) = channel { input type="hidden" name="channel" value=(channel); }
                (fields)
            }
        }
    }
}

fn done(way_back: &WayBack, texts: &Texts) -> Markup {
    let link = |path: &str, text: &str| html! { p { a class="button" href=(path) { (texts.say(text)) } } };
    html! {
        p role="status" { (texts.say("done")) }
        @match way_back {
            WayBack::Resume(path) => { (link(path, "continue")) }
            WayBack::Resubmit(path) => { p { (texts.say("resubmit")) } (link(path, "toForm")) }
            WayBack::Stay => { p { (texts.say("close")) } }
        }
    }
}

/// The refusal, for the script: as a guard writes it, but with the channels that the user has enrolled.
pub(super) fn refusal_json(
    target: &PageTarget,
    unmet: &Unmet,
    channels: &[Channel<'_>],
    operation: Option<&str>,
    spent_at: Option<Timestamp>,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Refusal<'a> {
        error_code: &'static str,
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a str>,
        channels: Channels<'a>,
        all: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        binding: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        spent_at: Option<u64>,
    }
    #[derive(Serialize)]
    struct Channels<'a> {
        otp: Vec<&'a str>,
        push: Vec<&'a str>,
    }
    let of =
        |is_push| channels.iter().filter(|channel| channel.is_push == is_push).map(|channel| channel.name).collect();
    let refusal = Refusal {
        error_code: "STEP_UP_REQUIRED",
        reason: if spent_at.is_some() { UnmetReason::Spent.as_str() } else { unmet.reason().as_str() },
        scope: target.requirement.get_scope(),
        channels: Channels { otp: of(false), push: of(true) },
        all: target.requirement.takes_all(),
        binding: target.binding.as_deref(),
        operation,
        spent_at: spent_at.map(Timestamp::as_millis),
    };
    serde_json::to_string(&refusal).unwrap_or_default()
}
