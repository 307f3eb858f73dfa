//! What a refusal says ([`Refusal`], [`Terms`]), and who builds it ([`Refuse`]).

use bytes::Bytes;
use http::{HeaderValue, Response, request::Parts};
use serde::Serialize;

use crate::{
    answer::{ChannelNames, Problem, json},
    grpc::{Metadata, RpcStatus, Trailers},
    requirement::{Reason, Requirement},
    step_up::Engine,
};

mod grpc;
mod json;
mod negotiate;

pub use self::{grpc::Grpc, json::Json, negotiate::Negotiate};

/// Why a guard refused. It stands in the extensions of every response that a guard builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody is logged in, or the layer that authenticates sits inside the guard.
    NoCaller,
    /// The caller has to step up.
    StepUpRequired(Reason),
    /// The store failed.
    Unavailable,
}

/// Builds a guard's refusals, for responses with a body of type `B`.
///
/// [`Negotiate`] is the default, [`Json`] and [`Grpc`] are its two halves. A closure serves where the shape is to be another, or where the body cannot be
/// made from bytes:
///
/// ```
/// use axum::{body::Body, http::{Response, StatusCode, request::Parts}};
/// use tower_step_up::{Refusal, RequireStepUp, StepUp, Terms};
///
/// # let step_up = StepUp::builder().otp("SMS", tower_step_up::discard).build()?;
/// let guard = RequireStepUp::new(&step_up).refuse_with(|refusal: Refusal, _: &Terms, _: &Parts| {
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
    note = "for any other body, say how it is built: `RequireStepUp::new(&step_up).refuse_with(|refusal, terms, request| ..)`"
)]
pub trait Refuse<B> {
    /// The response.
    fn refuse(&self, refusal: Refusal, terms: &Terms, request: &Parts) -> Response<B>;
}

impl<F, B> Refuse<B> for F
where
    F: Fn(Refusal, &Terms, &Parts) -> Response<B>,
{
    fn refuse(&self, refusal: Refusal, terms: &Terms, request: &Parts) -> Response<B> {
        self(refusal, terms, request)
    }
}

/// On what terms a guard lets a caller through: what it tells them.
#[derive(Debug)]
pub struct Terms {
    pub(super) requirement: Requirement,
    channels: ChannelNames<Box<str>>,
    start: Option<Vec<String>>,
    authenticate: HeaderValue,
    /// Every refusal that this guard can answer with, built once: as JSON, and for gRPC.
    json: Built<Bytes>,
    grpc: Built<Trailers>,
}

/// One of each refusal.
#[derive(Debug)]
struct Built<T> {
    no_caller: T,
    unavailable: T,
    step_up_required: [T; Reason::ALL.len()],
}

impl<T> Built<T> {
    fn get(&self, refusal: Refusal) -> &T {
        match refusal {
            Refusal::NoCaller => &self.no_caller,
            Refusal::Unavailable => &self.unavailable,
            Refusal::StepUpRequired(reason) => {
                let place = Reason::ALL.iter().position(|known| *known == reason);
                &self.step_up_required[place.unwrap_or_default()]
            }
        }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a [String]>,
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
            ("start", self.start.map(|start| text(json(&start)))),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Terms {
    pub(super) fn new<S>(engine: &Engine<S>, requirement: Requirement) -> Self {
        let accepted = |name: &&str| requirement.accepts(name);
        let channels = ChannelNames {
            otp: engine.channels.otp_names().filter(accepted).map(Into::into).collect(),
            push: engine.channels.push_names().filter(accepted).map(Into::into).collect(),
        };
        let start = engine.public_path.as_ref().map(|path| start_paths(path, &channels));
        let bodies = Reason::ALL.map(|reason| Body {
            error_code: "STEP_UP_REQUIRED",
            message: "STEP_UP_REQUIRED",
            reason: reason.as_str(),
            scope: requirement.scope.as_deref(),
            max_age: requirement.max_age.map(|age| age.as_secs()),
            channels: &channels,
            start: start.as_deref(),
        });
        let domain = &engine.grpc_domain;
        let json = Built {
            no_caller: json(&Problem::UNAUTHORIZED),
            unavailable: json(&Problem::UNAVAILABLE),
            step_up_required: bodies.each_ref().map(json),
        };
        let grpc = Built {
            no_caller: RpcStatus::no_caller(domain).trailers(),
            unavailable: RpcStatus::unavailable(domain).trailers(),
            step_up_required: bodies.map(|body| RpcStatus::step_up_required(domain, body.metadata()).trailers()),
        };
        Self { requirement, channels, start, authenticate: engine.authenticate.clone(), json, grpc }
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

    /// The URLs at which a challenge starts, where the builder was told the
    /// [public path](crate::StepUpBuilder::public_path).
    pub fn start(&self) -> impl Iterator<Item = &str> {
        self.start.iter().flatten().map(String::as_str)
    }

    /// The challenge for `WWW-Authenticate` of a 401.
    #[must_use]
    pub fn authenticate(&self) -> &HeaderValue {
        &self.authenticate
    }

    /// The body of the refusal as JSON, built when the guard was.
    #[must_use]
    pub fn json(&self, refusal: Refusal) -> Bytes {
        self.json.get(refusal).clone()
    }

    fn grpc(&self, refusal: Refusal) -> &Trailers {
        self.grpc.get(refusal)
    }
}

fn start_paths(public_path: &str, channels: &ChannelNames<Box<str>>) -> Vec<String> {
    let otp = channels.otp.iter().map(|channel| format!("{public_path}/otp/{channel}"));
    let push = channels.push.iter().map(|channel| format!("{public_path}/push/{channel}"));
    otp.chain(push).collect()
}
