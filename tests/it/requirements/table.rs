//! The layer, the extractor and `StepUp::authorize` make the same decision for the same session: the one that the
//! documentation describes. The oracle here is written from the documentation, independently of the code.

use std::convert::Infallible;

use axum::{Router, body::Body, response::Response, routing::get as on_get};
use http::{Request, request::Parts};
use serde_json::Value;
use testkit::FaultyStore;
use tower::{Layer, service_fn};
use tower_step_up::{
    AuthorizeError, Binding, Caller, Factor, ManualClock, Proof, Purpose, Refusal, RequireStepUp, Requirement, StepUp,
    Timestamp, Unmet, extract::SteppedUp,
};

use super::{
    app::{Answer, oneshot},
    get, local, of, remote, secs,
};

/// The lifetime of a grant, in seconds.
const LIFETIME: u64 = 600;

/// A grant in a session: its channel, its scope (`-` for the whole session), its age in seconds when the session is
/// first examined, and its state.
#[derive(Clone, Copy, Debug)]
struct Held(&'static str, &'static str, u64, State);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Live,
    Consumed,
    Restored,
    Bound,
}
use State::{Bound, Consumed, Live, Restored};

/// A requirement as data: a scope or `-`, an age or 0, and channels, each with an age or 0.
#[derive(Clone, Copy, Debug)]
struct Required {
    scope: &'static str,
    or_session: bool,
    max_age: u64,
    channels: Channels,
    once: bool,
}

#[derive(Clone, Copy, Debug)]
enum Channels {
    Any,
    AnyOf(&'static [(&'static str, u64)]),
    AllOf(&'static [(&'static str, u64)]),
}
use Channels::{AllOf, Any, AnyOf};

const REQUIRED: Required = Required { scope: "-", or_session: false, max_age: 0, channels: Any, once: false };

impl Required {
    fn requirement(&self) -> Requirement {
        let age = |factor: Factor, age| if age > 0 { factor.max_age(secs(age)) } else { factor };
        let factors = |list: &[(&'static str, u64)]| -> Vec<Factor> {
            list.iter().map(|(channel, most)| age(Factor::new(*channel), *most)).collect()
        };
        let mut requirement = Requirement::new();
        if self.scope != "-" {
            requirement = requirement.scope(self.scope);
        }
        if self.or_session {
            requirement = requirement.or_session();
        }
        if self.max_age > 0 {
            requirement = requirement.max_age(secs(self.max_age));
        }
        requirement = match self.channels {
            Any => requirement,
            AnyOf(list) => requirement.channels(factors(list)),
            AllOf(list) => requirement.all_of(factors(list)),
        };
        if self.once { requirement.once() } else { requirement }
    }
}

/// Why a grant does not satisfy the requirement, after the number of checks it passed; `None` if it satisfies it.
fn lacks(held: &Held, required: &Required, later: u64) -> Option<(u8, &'static str)> {
    let Held(channel, scope, before, state) = *held;
    let age = before + later;
    let own_age = match required.channels {
        Any => Some(0),
        AnyOf(list) | AllOf(list) => list.iter().find(|(name, _)| *name == channel).map(|(_, age)| *age),
    };
    let is_for_it = scope == required.scope || (required.or_session && scope == "-");
    let too_old = |most: u64| most > 0 && age > most;
    let faults = [
        (!is_for_it, "wrong_scope"),
        (own_age.is_none(), "wrong_channel"),
        (state == Bound, "mismatch"),
        (state == Consumed, "spent"),
        (age >= LIFETIME, "expired"),
        (too_old(required.max_age) || too_old(own_age.unwrap_or(0)), "too_old"),
    ];
    (1..).zip(faults).find_map(|(step, (is_so, fault))| is_so.then_some((step, fault)))
}

/// The documented decision: `pass`, or the reason, and each unsatisfied channel if they differ.
fn oracle(session: &[Held], required: &Required, later: u64) -> String {
    let nearest = |channel: Option<&str>| {
        let mut nearest = Some((0, "missing"));
        for held in session.iter().filter(|held| channel.is_none_or(|channel| held.0 == channel)) {
            let lacks = lacks(held, required, later);
            nearest = if lacks.is_none() || nearest.is_none() { None } else { nearest.max(lacks) };
        }
        nearest
    };
    let unmet = |list: &[(&str, u64)]| {
        let of = |(channel, own): &(&str, u64)| {
            let (step, fault) = nearest(Some(channel))?;
            let most = [required.max_age, *own].into_iter().filter(|age| *age > 0).min();
            Some((step, format!("{channel} {fault} {}", most.unwrap_or(0)), fault))
        };
        list.iter().filter_map(of).collect::<Vec<_>>()
    };
    let line = |reason: &str, parts: Vec<(u8, String, &str)>| {
        let parts: Vec<String> = parts.into_iter().map(|(_, part, _)| part).collect();
        format!("{reason}: {}", parts.join(", "))
    };
    match required.channels {
        AllOf(list) => {
            let parts = unmet(list);
            let Some((_, _, reason)) = parts.iter().max_by_key(|(step, ..)| *step) else { return "pass".into() };
            line(&String::from(*reason), parts)
        }
        channels => match (nearest(None), channels) {
            (None, _) => "pass".into(),
            // Channels are listed only if an age of theirs can be the reason.
            (Some((_, reason)), AnyOf(list)) if list.iter().any(|(_, age)| *age > 0) => line(reason, unmet(list)),
            (Some((_, reason)), _) => line(reason, Vec::new()),
        },
    }
}

fn unmet_summary(unmet: &Unmet) -> String {
    let age = |age: Option<std::time::Duration>| age.map_or(0, |age| age.as_secs());
    let parts = unmet.parts().iter();
    let parts = parts.map(|part| format!("{} {} {}", part.channel(), part.reason(), age(part.max_age())));
    format!("{}: {}", unmet.reason(), parts.collect::<Vec<_>>().join(", "))
}

/// The same summary from the response, as a client reads it.
fn response_summary(answer: &Answer) -> String {
    if answer.status == 200 {
        return "pass".into();
    }
    assert_eq!(answer.status, 403, "{answer:?}");
    let json = answer.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let part = |part: &Value| {
        format!("{} {} {}", text(&part["channel"]), text(&part["reason"]), part["maxAge"].as_u64().unwrap_or(0))
    };
    let parts: Vec<_> = json["unmet"].as_array().map(|list| list.iter().map(part).collect()).unwrap_or_default();
    let line = format!("{}: {}", text(&json["reason"]), parts.join(", "));
    let Some(Refusal::StepUpRequired(unmet)) = &answer.refusal else { panic!("{answer:?}") };
    assert_eq!(unmet_summary(unmet), line, "body and extension agree");
    line
}

/// Creates a session with these grants.
async fn make(step_up: &StepUp, caller: &Caller, session: &[Held], now: Timestamp) {
    for Held(channel, scope, before, state) in session {
        let scope = (*scope != "-").then_some(*scope);
        let purpose = Purpose::from(scope);
        let binding = if *state == Bound { token(step_up, caller, scope).await } else { String::new() };
        let purpose = if *state == Bound { purpose.binding(&binding) } else { purpose };
        let verified = Timestamp::from_millis(now.as_millis() - before * 1000);
        step_up.record_proof(caller, Proof::new(channel).purpose(purpose).verified_at(verified)).await.unwrap();
        if matches!(state, Consumed | Restored) {
            let this = scope.map_or(Requirement::new(), |scope| Requirement::new().scope(scope));
            let consumed = step_up.authorize(caller, &this.channels([*channel]).once()).await.unwrap();
            assert!(*state == Consumed || consumed.restore().await.unwrap());
        }
    }
}

/// The binding token of a request of this caller.
async fn token(step_up: &StepUp, caller: &Caller, scope: Option<&str>) -> String {
    let requirement = scope.map_or(Requirement::new(), |scope| Requirement::new().scope(scope));
    let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into())).without_body();
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::default()));
    let guard = RequireStepUp::with(step_up, requirement).unwrap().bind(binding);
    oneshot(guard.layer(handler), get(caller)).await.binding()
}

/// Checks every entry point. Each held its own session, so that none consumes the grant of another.
async fn check(
    step_up: &StepUp,
    clock: &ManualClock,
    name: &str,
    session: &[Held],
    required: &Required,
    times: &[(u64, String)],
) {
    let guard = RequireStepUp::with(step_up, required.requirement()).unwrap();
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::default()));
    let layered = guard.layer(handler);
    let extracting = async |_: SteppedUp<RequireStepUp>| "";
    let routed: Router = Router::new().route("/", on_get(extracting)).with_state(guard.clone());
    let start = tower_step_up::Clock::now(clock);
    let callers: Vec<[Caller; 3]> = times
        .iter()
        .map(|(later, _)| [0, 1, 2].map(|entry| Caller::user(format_args!("{name} {later} {entry}")).session("1")))
        .collect();
    for caller in callers.iter().flatten() {
        make(step_up, caller, session, start).await;
    }
    let mut passed = 0;
    for ((later, expected), [by_check, by_layer, by_extractor]) in times.iter().zip(&callers) {
        clock.advance(secs(later - passed));
        passed = *later;
        let checked = match step_up.authorize(by_check, &required.requirement()).await {
            Ok(_) => "pass".into(),
            Err(AuthorizeError::StepUpRequired(unmet)) => unmet_summary(&unmet),
            Err(error) => panic!("{error}"),
        };
        let shown = format!("{name}: {session:?} {required:?} after {later}");
        assert_eq!(checked, *expected, "check, {shown}");
        assert_eq!(response_summary(&oneshot(layered.clone(), get(by_layer)).await), *expected, "layer, {shown}");
        let routed = oneshot(routed.clone(), of(by_extractor, Request::get("/").body(Body::empty()).unwrap())).await;
        assert_eq!(response_summary(&routed), *expected, "extractor, {shown}");
    }
}

/// All combinations, compared with the oracle.
#[tokio::test]
async fn every_entry_point_decides_as_documented() {
    let sessions: [&[Held]; 14] = [
        &[],
        &[Held("KEY", "-", 0, Live)],
        &[Held("KEY", "-", 90, Live)],
        &[Held("CARD", "-", 0, Live)],
        &[Held("KEY", "pay", 0, Live)],
        &[Held("KEY", "look", 0, Live)],
        &[Held("KEY", "-", 0, Consumed)],
        &[Held("KEY", "pay", 0, Consumed)],
        &[Held("KEY", "-", 0, Restored)],
        &[Held("KEY", "-", 0, Bound)],
        &[Held("KEY", "pay", 0, Bound)],
        &[Held("KEY", "-", 30, Live), Held("CARD", "-", 0, Live)],
        &[Held("KEY", "-", 0, Consumed), Held("KEY", "pay", 500, Live), Held("CARD", "pay", 0, Bound)],
        &[Held("CARD", "pay", 0, Live), Held("KEY", "pay", 200, Live), Held("KEY", "-", 0, Live)],
    ];
    let pay = Required { scope: "pay", ..REQUIRED };
    let required = [
        REQUIRED,
        Required { max_age: 60, ..REQUIRED },
        pay,
        Required { or_session: true, ..pay },
        Required { channels: AnyOf(&[("KEY", 0)]), ..REQUIRED },
        Required { channels: AnyOf(&[("KEY", 60), ("CARD", 0)]), ..REQUIRED },
        Required { channels: AllOf(&[("KEY", 0), ("CARD", 60)]), ..REQUIRED },
        Required { channels: AllOf(&[("KEY", 60), ("CARD", 120)]), max_age: 100, or_session: true, ..pay },
        Required { once: true, ..REQUIRED },
        Required { once: true, channels: AllOf(&[("CARD", 0), ("KEY", 0)]), ..pay },
    ];
    let mut cases = 0;
    for (i, session) in sessions.iter().enumerate() {
        for (j, required) in required.iter().enumerate() {
            let times = [0, 60, 61, 599, 600].map(|later| (later, oracle(session, required, later)));
            let (name, clock, store) = (format!("{i} {j}"), ManualClock::new(), FaultyStore::default());
            check(&local(&clock), &clock, &name, session, required, &times).await;
            let clock = ManualClock::new();
            check(&remote(&clock, &store), &clock, &name, session, required, &times).await;
            cases += times.len();
        }
    }
    assert!(cases >= 200, "{cases}");
}

/// A session, a requirement, the time, and the expected decision, written by hand.
type Row = (&'static [Held], Required, u64, &'static str);

#[tokio::test]
async fn hand_written_rows() {
    const KEY: Held = Held("KEY", "-", 0, Live);
    const CARD: Held = Held("CARD", "-", 0, Live);
    let pay = Required { scope: "pay", ..REQUIRED };
    let both = Required { channels: AllOf(&[("KEY", 300), ("CARD", 60)]), ..REQUIRED };
    let either = Required { channels: AnyOf(&[("KEY", 300), ("CARD", 60)]), ..REQUIRED };
    let rows: [Row; 36] = [
        (&[], REQUIRED, 0, "missing: "),
        (&[], pay, 0, "missing: "),
        (&[], either, 0, "missing: KEY missing 300, CARD missing 60"),
        (&[], both, 0, "missing: KEY missing 300, CARD missing 60"),
        (&[KEY], REQUIRED, 0, "pass"),
        (&[KEY], REQUIRED, 599, "pass"),
        (&[KEY], REQUIRED, 600, "expired: "),
        (&[KEY], Required { max_age: 120, ..REQUIRED }, 120, "pass"),
        (&[KEY], Required { max_age: 120, ..REQUIRED }, 121, "too_old: "),
        (&[KEY], Required { max_age: 120, ..REQUIRED }, 600, "expired: "),
        (&[KEY], pay, 0, "wrong_scope: "),
        (&[KEY], Required { or_session: true, ..pay }, 0, "pass"),
        (&[Held("KEY", "pay", 0, Live)], pay, 0, "pass"),
        (&[Held("KEY", "pay", 0, Live)], REQUIRED, 0, "wrong_scope: "),
        (&[Held("KEY", "Pay", 0, Live)], pay, 0, "wrong_scope: "),
        (&[Held("KEY", "look", 0, Live)], Required { or_session: true, ..pay }, 0, "wrong_scope: "),
        (&[KEY], Required { channels: AnyOf(&[("CARD", 0)]), ..REQUIRED }, 0, "wrong_channel: "),
        (&[KEY], Required { channels: AnyOf(&[("CARD", 60)]), ..REQUIRED }, 0, "wrong_channel: CARD missing 60"),
        (&[KEY], either, 300, "pass"),
        (&[KEY], either, 301, "too_old: KEY too_old 300, CARD missing 60"),
        (&[CARD], either, 61, "too_old: KEY missing 300, CARD too_old 60"),
        (&[KEY], Required { max_age: 30, ..either }, 31, "too_old: KEY too_old 30, CARD missing 30"),
        (&[KEY], both, 0, "missing: CARD missing 60"),
        (&[KEY, CARD], both, 60, "pass"),
        (&[CARD, KEY], both, 60, "pass"),
        (&[KEY, CARD], both, 61, "too_old: CARD too_old 60"),
        (&[KEY, CARD], both, 301, "too_old: KEY too_old 300, CARD too_old 60"),
        (&[KEY, CARD], both, 600, "expired: KEY expired 300, CARD expired 60"),
        (&[Held("KEY", "-", 0, Consumed), CARD], both, 0, "spent: KEY spent 300"),
        (&[Held("KEY", "-", 0, Consumed)], REQUIRED, 0, "spent: "),
        (&[Held("KEY", "-", 0, Consumed)], REQUIRED, 600, "spent: "),
        (&[Held("KEY", "-", 0, Consumed), CARD], REQUIRED, 0, "pass"),
        (&[Held("KEY", "-", 0, Restored)], Required { once: true, ..REQUIRED }, 0, "pass"),
        (&[Held("KEY", "-", 0, Bound)], REQUIRED, 0, "mismatch: "),
        (&[Held("KEY", "-", 0, Bound), KEY], REQUIRED, 0, "pass"),
        (&[Held("KEY", "-", 0, Bound), Held("CARD", "-", 590, Live)], REQUIRED, 10, "expired: "),
    ];
    for (row, (session, required, later, expected)) in rows.into_iter().enumerate() {
        assert_eq!(oracle(session, &required, later), expected, "the oracle, row {row}");
        let (times, clock) = ([(later, expected.to_owned())], ManualClock::new());
        check(&local(&clock), &clock, &format!("row {row}"), session, &required, &times).await;
        let (store, clock) = (FaultyStore::default(), ManualClock::new());
        check(&remote(&clock, &store), &clock, &format!("row {row}"), session, &required, &times).await;
    }
}
