//! What a refusal says ([`Refusal`], [`RefusalTerms`]), and who builds it ([`ResponseForRefusal`]).

use std::{fmt, mem, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{LOCATION, WWW_AUTHENTICATE},
    request::Parts,
};
use serde::Serialize;

use crate::{
    engine::Engine,
    rules::{Requirement, Timestamp, Unmet, UnmetPart, UnmetReason},
    wire::{ChannelNames, Metadata, Problem, RpcStatus, Trailers, Unread, json},
};

mod grpc;
mod json;
mod negotiate;
mod oauth;
#[cfg(test)]
mod tests;

pub(super) use self::grpc::speaks_grpc;
pub use self::{grpc::Grpc, json::Json, negotiate::Negotiate, oauth::OAuth};

/// Why a guard refused. It is in the extensions of every response that a guard builds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody is logged in, or the layer that authenticates sits inside the guard.
    NoCaller,
    /// The caller has to step up.
    StepUpRequired(Unmet),
    /// The store failed.
    Unavailable,
    /// The route is [bound](crate::Binding), and the request breaks off or cannot be described.
    Invalid,
    /// The route is bound, and the body has more than 64 KiB.
    TooLarge,
    /// The route is bound, and the body took longer than 5 seconds.
    TooSlow,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCaller => f.write_str("authentication required"),
            Self::StepUpRequired(unmet) => write!(f, "step-up required: {}", unmet.reason()),
            Self::Unavailable => f.write_str("temporarily unavailable"),
            Self::Invalid => f.write_str("invalid request"),
            Self::TooLarge => f.write_str("request body too large"),
            Self::TooSlow => f.write_str("request body timed out"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Builds a guard's refusals, for responses with a body of type `B`.
///
/// [`Negotiate`] is the default, [`Json`] and [`Grpc`] are its two halves. Use a closure for another shape, or for a
/// body that cannot be made from bytes:
///
/// ```
/// use axum::{body::Body, http::{Response, StatusCode, request::Parts}};
/// use tower_step_up::{Refusal, RequireStepUp, StepUp, RefusalTerms};
///
/// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
/// let guard = RequireStepUp::new(&step_up).with_refusal_response(|refusal: &Refusal, _: &RefusalTerms, _: &Parts| {
///     let mut response = Response::new(Body::from(format!("{refusal:?}")));
///     *response.status_mut() = StatusCode::FORBIDDEN;
///     response
/// });
/// # let app: axum::Router = axum::Router::new().route("/", axum::routing::get(async || "")).layer(guard);
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
///
/// The guard adds what every refusal has to carry: `Cache-Control: no-store`, `request-ref`, and the
/// [`Refusal`] in the extensions.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot build a refusal with a body of type `{B}`",
    label = "this guard cannot refuse for a service with that response body",
    note = "the default needs a body that is `From<bytes::Bytes>`, such as `axum::body::Body`",
    note = "for a service that speaks only gRPC, such as tonic's: `RequireStepUp::new(&step_up).grpc()`, which needs a body that is `Default`",
    note = "for any other body, say how it is built: `RequireStepUp::new(&step_up).with_refusal_response(|refusal, terms, request| ..)`"
)]
pub trait ResponseForRefusal<B> {
    /// The response.
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B>;

    /// As [`response_for_refusal`](Self::response_for_refusal), where the guard needs the request's headers no longer:
    /// the response may take over their map.
    #[doc(hidden)]
    fn response_to_refused(&self, refusal: &Refusal, terms: &RefusalTerms, request: &mut Parts) -> Response<B> {
        self.response_for_refusal(refusal, terms, request)
    }
}

impl<F, B> ResponseForRefusal<B> for F
where
    F: Fn(&Refusal, &RefusalTerms, &Parts) -> Response<B>,
{
    fn response_for_refusal(&self, refusal: &Refusal, terms: &RefusalTerms, request: &Parts) -> Response<B> {
        self(refusal, terms, request)
    }
}

/// The request's header map, emptied for the response: a new one would cost two allocations.
fn emptied(request: &mut Parts) -> HeaderMap {
    let mut headers = mem::take(&mut request.headers);
    headers.clear();
    headers
}

/// Makes a redirect of a refusal. The body stays: a client may not follow.
pub(in crate::guard) fn see_other<B>(response: &mut Response<B>, page: &str) {
    let Ok(location) = HeaderValue::try_from(page) else { return };
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().remove(WWW_AUTHENTICATE);
    response.headers_mut().insert(LOCATION, location);
}

/// The terms on which a guard admits a caller: what a refusal can say.
#[derive(Debug)]
pub struct RefusalTerms {
    pub(super) requirement: Requirement,
    channels: ChannelNames<Box<str>>,
    public_path: Option<String>,
    start: Option<Vec<String>>,
    enroll: Option<String>,
    authenticate: HeaderValue,
    domain: String,
    /// The refusals that do not depend on the request, built once: as JSON, and for gRPC.
    json: Built<Bytes>,
    grpc: Built<Trailers>,
}

/// One of each refusal that does not depend on the request.
#[derive(Debug)]
struct Built<T> {
    no_caller: T,
    unavailable: T,
    invalid: T,
    too_large: T,
    too_slow: T,
    step_up_required: [T; UnmetReason::ALL.len()],
}

impl<T> Built<T> {
    /// What is unmet, for one that names channels or a binding.
    fn get<'a>(&self, refusal: &'a Refusal) -> Result<&T, &'a Unmet> {
        Ok(match refusal {
            Refusal::NoCaller => &self.no_caller,
            Refusal::Unavailable => &self.unavailable,
            Refusal::Invalid => &self.invalid,
            Refusal::TooLarge => &self.too_large,
            Refusal::TooSlow => &self.too_slow,
            Refusal::StepUpRequired(unmet)
                if unmet.parts().is_empty()
                    && unmet.binding().is_none()
                    && unmet.spent_at().is_none()
                    && unmet.page().is_none() =>
            {
                let place = UnmetReason::ALL.iter().position(|known| *known == unmet.reason());
                &self.step_up_required[place.unwrap_or_default()]
            }
            Refusal::StepUpRequired(unmet) => return Err(unmet),
        })
    }
}

/// The refusal as JSON (contract). `errorCode` and `message` are the same on purpose: clients exist that read
/// either.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    error_code: &'static str,
    message: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u64>,
    channels: &'a ChannelNames<Box<str>>,
    /// Whether a step-up by each of the channels is needed, and not by one of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmet: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<&'a str>,
    /// The text that will be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    spent_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enroll: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
}

/// A channel that lacks a step-up.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    channel: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u64>,
}

impl Body<'_> {
    /// The same as the metadata of an `ErrorInfo`, which knows only strings: what is none is written as its JSON.
    fn metadata(&self) -> Metadata {
        let text = |json: Bytes| String::from_utf8_lossy(&json).into_owned();
        let fields = [
            ("reason", Some(self.reason.to_owned())),
            ("scope", self.scope.map(str::to_owned)),
            ("maxAge", self.max_age.map(|age| age.to_string())),
            ("channels", Some(text(json(self.channels)))),
            ("all", self.all.then(|| true.to_string())),
            ("unmet", (!self.unmet.is_empty()).then(|| text(json(&self.unmet)))),
            ("start", self.start.map(|start| text(json(&start)))),
            ("binding", self.binding.map(str::to_owned)),
            ("operation", self.operation.map(str::to_owned)),
            ("spentAt", self.spent_at.map(|at| at.to_string())),
            ("enroll", self.enroll.map(str::to_owned)),
            ("page", self.page.map(str::to_owned)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl RefusalTerms {
    pub(super) fn new(engine: &Engine, requirement: Requirement) -> Self {
        let accepted = |name: &&str| requirement.accepts(name);
        let channels = ChannelNames {
            otp: engine.channels.otp_names().filter(accepted).map(Into::into).collect(),
            push: engine.channels.push_names().filter(accepted).map(Into::into).collect(),
            proof: engine.channels.proof_names().filter(accepted).map(Into::into).collect(),
        };
        let public_path = engine.wire.public_path.clone();
        let start = public_path.as_deref().map(|path| start_paths(path, &channels));
        let domain = engine.wire.grpc_domain.clone();
        let unmet = UnmetReason::ALL.map(Unmet::from);
        let enroll = engine.wire.enroll_url.clone();
        let terms = |unmet| body(&requirement, unmet, &channels, start.as_deref(), enroll.as_deref());
        let bodies = unmet.each_ref().map(terms);
        let json = Built {
            no_caller: json(&Problem::UNAUTHORIZED),
            unavailable: json(&Problem::UNAVAILABLE),
            invalid: json(&Problem::INVALID),
            too_large: json(&Problem::TOO_LARGE),
            too_slow: json(&Problem::TOO_SLOW),
            step_up_required: bodies.each_ref().map(json),
        };
        let unread = |reason| RpcStatus::unread(reason, &domain).trailers();
        let grpc = Built {
            no_caller: RpcStatus::no_caller(&domain).trailers(),
            unavailable: RpcStatus::unavailable(&domain).trailers(),
            invalid: unread(Unread::Broken),
            too_large: unread(Unread::TooLarge),
            too_slow: unread(Unread::TooSlow),
            step_up_required: bodies.map(|body| RpcStatus::step_up_required(&domain, body.metadata()).trailers()),
        };
        let authenticate = engine.wire.authenticate.clone();
        Self { requirement, channels, public_path, start, enroll, authenticate, domain, json, grpc }
    }

    /// What the guard asks for.
    pub fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    /// The channels for one-time codes that are accepted.
    pub fn otp_channels(&self) -> impl Iterator<Item = &str> {
        self.channels.otp.iter().map(|name| &**name)
    }

    /// The channels for pushes that are accepted.
    pub fn push_channels(&self) -> impl Iterator<Item = &str> {
        self.channels.push.iter().map(|name| &**name)
    }

    /// The URLs at which a challenge starts, where the builder was given the
    /// [public path](crate::StepUpBuilder::public_path).
    pub fn start(&self) -> impl Iterator<Item = &str> {
        self.start.iter().flatten().map(String::as_str)
    }

    /// The challenge for `WWW-Authenticate` of a 401.
    #[must_use]
    pub fn authenticate(&self) -> &HeaderValue {
        &self.authenticate
    }

    /// The channels of what the application verifies itself ([`StepUp::record_proof`](crate::StepUp::record_proof))
    /// that are accepted.
    pub fn proof_channels(&self) -> impl Iterator<Item = &str> {
        self.channels.proof.iter().map(|name| &**name)
    }

    /// The body of the refusal as JSON.
    #[must_use]
    pub fn json(&self, refusal: &Refusal) -> Bytes {
        match self.json.get(refusal) {
            Ok(built) => built.clone(),
            Err(unmet) => self.of_request(unmet, |body| json(&body)),
        }
    }

    fn grpc<B>(&self, refusal: &Refusal, empty: B, headers: HeaderMap) -> Response<B> {
        let write = |body: Body<'_>| RpcStatus::step_up_required(&self.domain, body.metadata()).trailers();
        match self.grpc.get(refusal) {
            Ok(built) => built.response(empty, headers),
            Err(unmet) => self.of_request(unmet, write).response(empty, headers),
        }
    }

    /// The refusal in the trailers of a response that has begun.
    pub(super) fn grpc_trailers(&self, refusal: &Refusal) -> HeaderMap {
        let write = |body: Body<'_>| RpcStatus::step_up_required(&self.domain, body.metadata()).trailers();
        match self.grpc.get(refusal) {
            Ok(built) => built.headers(),
            Err(unmet) => self.of_request(unmet, write).headers(),
        }
    }

    /// A refusal that names what this session lacks. Where each of several channels is needed, only those are said.
    fn of_request<T>(&self, unmet: &Unmet, write: impl FnOnce(Body<'_>) -> T) -> T {
        let enroll = self.enroll.as_deref();
        if !self.requirement.takes_all() || unmet.parts().is_empty() {
            return write(body(&self.requirement, unmet, &self.channels, self.start.as_deref(), enroll));
        }
        let lacks = |name: &str| unmet.parts().iter().any(|part| part.channel() == name);
        let channels = ChannelNames {
            otp: self.channels.otp.iter().filter(|name| lacks(name)).cloned().collect(),
            push: self.channels.push.iter().filter(|name| lacks(name)).cloned().collect(),
            proof: self.channels.proof.iter().filter(|name| lacks(name)).cloned().collect(),
        };
        let start = self.public_path.as_deref().map(|path| start_paths(path, &channels));
        write(body(&self.requirement, unmet, &channels, start.as_deref(), enroll))
    }
}

/// The channels of a user who has enrolled none.
static NO_CHANNELS: ChannelNames<Box<str>> = ChannelNames { otp: Vec::new(), push: Vec::new(), proof: Vec::new() };

fn body<'a>(
    requirement: &'a Requirement,
    unmet: &'a Unmet,
    channels: &'a ChannelNames<Box<str>>,
    start: Option<&'a [String]>,
    enroll: Option<&'a str>,
) -> Body<'a> {
    let unenrolled = unmet.reason() == UnmetReason::NoChannel;
    let (channels, start) = if unenrolled { (&NO_CHANNELS, None) } else { (channels, start) };
    let secs = |age: Duration| age.as_secs();
    let part = |part: &'a UnmetPart| Part {
        channel: part.channel(),
        reason: part.reason().as_str(),
        max_age: part.max_age().map(secs),
    };
    Body {
        error_code: "STEP_UP_REQUIRED",
        message: "STEP_UP_REQUIRED",
        reason: unmet.reason().as_str(),
        scope: requirement.scope.as_deref(),
        max_age: requirement.max_age.map(secs),
        channels,
        all: requirement.takes_all(),
        unmet: unmet.parts().iter().map(part).collect(),
        start,
        binding: unmet.binding(),
        operation: unmet.operation(),
        spent_at: unmet.spent_at().map(Timestamp::as_millis),
        enroll: enroll.filter(|_| unenrolled),
        page: unmet.page(),
    }
}

fn start_paths(public_path: &str, channels: &ChannelNames<Box<str>>) -> Vec<String> {
    let otp = channels.otp.iter().map(|channel| format!("{public_path}/otp/{channel}"));
    let push = channels.push.iter().map(|channel| format!("{public_path}/push/{channel}"));
    otp.chain(push).collect()
}
