//! One decision behind every door: the layer, the extractor and `StepUp::authorize` say the same of the same session, and
//! what they say is what the documentation says, written down once more here without looking at the code.

use std::convert::Infallible;

use axum::{Router, body::Body, response::Response, routing::get as on_get};
use http::{Request, request::Parts};
use serde_json::Value;
use testkit::Elsewhere;
use tower::{Layer, service_fn};
use tower_step_up::{
    AuthorizeError, Binding, Caller, Factor, ManualClock, Proof, Purpose, Refusal, RequireStepUp, Requirement, StepUp,
    Timestamp, Unmet, extract::SteppedUp,
};

use super::{
    app::{Answer, hear},
    get, local, of, remote, secs,
};

/// A grant's life.
const LIFE: u64 = 600;

/// A grant in a session: its channel, its scope (`-` for the whole session), how many seconds before the session is
/// looked at first it was verified, and what became of it.
#[derive(Clone, Copy, Debug)]
struct Has(&'static str, &'static str, u64, Became);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Became {
    Live,
    Spent,
    GivenBack,
    Bound,
}
use Became::{Bound, GivenBack, Live, Spent};

/// What is asked for, as data: a scope or `-`, an age or 0, and channels, each with an age or 0.
#[derive(Clone, Copy, Debug)]
struct Asks {
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

const ASKS: Asks = Asks { scope: "-", or_session: false, max_age: 0, channels: Any, once: false };

impl Asks {
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

/// Why a grant does not do, by how far it came (0 is farthest from doing); `None` where it does.
fn lacks(has: &Has, asks: &Asks, later: u64) -> Option<(u8, &'static str)> {
    let Has(channel, scope, before, became) = *has;
    let age = before + later;
    let own_age = match asks.channels {
        Any => Some(0),
        AnyOf(list) | AllOf(list) => list.iter().find(|(name, _)| *name == channel).map(|(_, age)| *age),
    };
    let is_for_it = scope == asks.scope || (asks.or_session && scope == "-");
    let too_old = |most: u64| most > 0 && age > most;
    let faults = [
        (!is_for_it, "wrong_scope"),
        (own_age.is_none(), "wrong_channel"),
        (became == Bound, "mismatch"),
        (became == Spent, "spent"),
        (age >= LIFE, "expired"),
        (too_old(asks.max_age) || too_old(own_age.unwrap_or(0)), "too_old"),
    ];
    (1..).zip(faults).find_map(|(step, (is_so, fault))| is_so.then_some((step, fault)))
}

/// What the documentation says: `pass`, or the reason, and each channel that lacks a step-up where channels differ.
fn oracle(session: &[Has], asks: &Asks, later: u64) -> String {
    let nearest = |channel: Option<&str>| {
        let mut nearest = Some((0, "missing"));
        for has in session.iter().filter(|has| channel.is_none_or(|channel| has.0 == channel)) {
            let lacks = lacks(has, asks, later);
            nearest = if lacks.is_none() || nearest.is_none() { None } else { nearest.max(lacks) };
        }
        nearest
    };
    let unmet = |list: &[(&str, u64)]| {
        let of = |(channel, own): &(&str, u64)| {
            let (step, fault) = nearest(Some(channel))?;
            let most = [asks.max_age, *own].into_iter().filter(|age| *age > 0).min();
            Some((step, format!("{channel} {fault} {}", most.unwrap_or(0)), fault))
        };
        list.iter().filter_map(of).collect::<Vec<_>>()
    };
    let line = |reason: &str, parts: Vec<(u8, String, &str)>| {
        let parts: Vec<String> = parts.into_iter().map(|(_, part, _)| part).collect();
        format!("{reason}: {}", parts.join(", "))
    };
    match asks.channels {
        AllOf(list) => {
            let parts = unmet(list);
            let Some((_, _, reason)) = parts.iter().max_by_key(|(step, ..)| *step) else { return "pass".into() };
            line(&String::from(*reason), parts)
        }
        channels => match (nearest(None), channels) {
            (None, _) => "pass".into(),
            // A channel is said only where its age can be the reason.
            (Some((_, reason)), AnyOf(list)) if list.iter().any(|(_, age)| *age > 0) => line(reason, unmet(list)),
            (Some((_, reason)), _) => line(reason, Vec::new()),
        },
    }
}

fn shown(unmet: &Unmet) -> String {
    let age = |age: Option<std::time::Duration>| age.map_or(0, |age| age.as_secs());
    let parts = unmet.parts().iter();
    let parts = parts.map(|part| format!("{} {} {}", part.channel(), part.reason(), age(part.max_age())));
    format!("{}: {}", unmet.reason(), parts.collect::<Vec<_>>().join(", "))
}

/// The same, as a client reads it.
fn heard(answer: &Answer) -> String {
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
    assert_eq!(shown(unmet), line, "the body says what the extension says");
    line
}

/// Makes a session that has these grants.
async fn make(step_up: &StepUp, caller: &Caller, session: &[Has], now: Timestamp) {
    for Has(channel, scope, before, became) in session {
        let scope = (*scope != "-").then_some(*scope);
        let purpose = Purpose::from(scope);
        let binding = if *became == Bound { token(step_up, caller, scope).await } else { String::new() };
        let purpose = if *became == Bound { purpose.binding(&binding) } else { purpose };
        let verified = Timestamp::from_millis(now.as_millis() - before * 1000);
        step_up.record_proof(caller, Proof::new(channel).purpose(purpose).verified_at(verified)).await.unwrap();
        if matches!(became, Spent | GivenBack) {
            let this = scope.map_or(Requirement::new(), |scope| Requirement::new().scope(scope));
            let spent = step_up.authorize(caller, &this.channels([*channel]).once()).await.unwrap();
            assert!(*became == Spent || spent.restore().await.unwrap());
        }
    }
}

/// What binds a step-up of this caller to one request.
async fn token(step_up: &StepUp, caller: &Caller, scope: Option<&str>) -> String {
    let requirement = scope.map_or(Requirement::new(), |scope| Requirement::new().scope(scope));
    let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into())).without_body();
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::default()));
    let guard = RequireStepUp::with(step_up, requirement).unwrap().bind(binding);
    hear(guard.layer(handler), get(caller)).await.binding()
}

/// Holds every door to what is expected. Each has a session of its own, so that none spends what another asks for.
async fn holds(
    step_up: &StepUp,
    clock: &ManualClock,
    name: &str,
    session: &[Has],
    asks: &Asks,
    times: &[(u64, String)],
) {
    let guard = RequireStepUp::with(step_up, asks.requirement()).unwrap();
    let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::default()));
    let layered = guard.layer(handler);
    let extracting = async |_: SteppedUp<RequireStepUp>| "";
    let routed: Router = Router::new().route("/", on_get(extracting)).with_state(guard.clone());
    let start = tower_step_up::Clock::now(clock);
    let callers: Vec<[Caller; 3]> = times
        .iter()
        .map(|(later, _)| [0, 1, 2].map(|door| Caller::user(format_args!("{name} {later} {door}")).session("1")))
        .collect();
    for caller in callers.iter().flatten() {
        make(step_up, caller, session, start).await;
    }
    let mut passed = 0;
    for ((later, expected), [by_check, by_layer, by_extractor]) in times.iter().zip(&callers) {
        clock.advance(secs(later - passed));
        passed = *later;
        let checked = match step_up.authorize(by_check, &asks.requirement()).await {
            Ok(_) => "pass".into(),
            Err(AuthorizeError::StepUpRequired(unmet)) => shown(&unmet),
            Err(error) => panic!("{error}"),
        };
        let shown = format!("{name}: {session:?} {asks:?} after {later}");
        assert_eq!(checked, *expected, "check, {shown}");
        assert_eq!(heard(&hear(layered.clone(), get(by_layer)).await), *expected, "layer, {shown}");
        let routed = hear(routed.clone(), of(by_extractor, Request::get("/").body(Body::empty()).unwrap())).await;
        assert_eq!(heard(&routed), *expected, "extractor, {shown}");
    }
}

/// Everything with everything, held to the oracle.
#[tokio::test]
async fn every_door_says_what_the_documentation_says() {
    let sessions: [&[Has]; 14] = [
        &[],
        &[Has("KEY", "-", 0, Live)],
        &[Has("KEY", "-", 90, Live)],
        &[Has("CARD", "-", 0, Live)],
        &[Has("KEY", "pay", 0, Live)],
        &[Has("KEY", "look", 0, Live)],
        &[Has("KEY", "-", 0, Spent)],
        &[Has("KEY", "pay", 0, Spent)],
        &[Has("KEY", "-", 0, GivenBack)],
        &[Has("KEY", "-", 0, Bound)],
        &[Has("KEY", "pay", 0, Bound)],
        &[Has("KEY", "-", 30, Live), Has("CARD", "-", 0, Live)],
        &[Has("KEY", "-", 0, Spent), Has("KEY", "pay", 500, Live), Has("CARD", "pay", 0, Bound)],
        &[Has("CARD", "pay", 0, Live), Has("KEY", "pay", 200, Live), Has("KEY", "-", 0, Live)],
    ];
    let pay = Asks { scope: "pay", ..ASKS };
    let asks = [
        ASKS,
        Asks { max_age: 60, ..ASKS },
        pay,
        Asks { or_session: true, ..pay },
        Asks { channels: AnyOf(&[("KEY", 0)]), ..ASKS },
        Asks { channels: AnyOf(&[("KEY", 60), ("CARD", 0)]), ..ASKS },
        Asks { channels: AllOf(&[("KEY", 0), ("CARD", 60)]), ..ASKS },
        Asks { channels: AllOf(&[("KEY", 60), ("CARD", 120)]), max_age: 100, or_session: true, ..pay },
        Asks { once: true, ..ASKS },
        Asks { once: true, channels: AllOf(&[("CARD", 0), ("KEY", 0)]), ..pay },
    ];
    let mut cases = 0;
    for (i, session) in sessions.iter().enumerate() {
        for (j, asks) in asks.iter().enumerate() {
            let times = [0, 60, 61, 599, 600].map(|later| (later, oracle(session, asks, later)));
            let (name, clock, store) = (format!("{i} {j}"), ManualClock::new(), Elsewhere::default());
            holds(&local(&clock), &clock, &name, session, asks, &times).await;
            let clock = ManualClock::new();
            holds(&remote(&clock, &store), &clock, &name, session, asks, &times).await;
            cases += times.len();
        }
    }
    assert!(cases >= 200, "{cases}");
}

/// A session, what is asked for, when, and what is said, each by hand.
type Row = (&'static [Has], Asks, u64, &'static str);

#[tokio::test]
async fn by_hand() {
    const KEY: Has = Has("KEY", "-", 0, Live);
    const CARD: Has = Has("CARD", "-", 0, Live);
    let pay = Asks { scope: "pay", ..ASKS };
    let both = Asks { channels: AllOf(&[("KEY", 300), ("CARD", 60)]), ..ASKS };
    let either = Asks { channels: AnyOf(&[("KEY", 300), ("CARD", 60)]), ..ASKS };
    let rows: [Row; 36] = [
        (&[], ASKS, 0, "missing: "),
        (&[], pay, 0, "missing: "),
        (&[], either, 0, "missing: KEY missing 300, CARD missing 60"),
        (&[], both, 0, "missing: KEY missing 300, CARD missing 60"),
        (&[KEY], ASKS, 0, "pass"),
        (&[KEY], ASKS, 599, "pass"),
        (&[KEY], ASKS, 600, "expired: "),
        (&[KEY], Asks { max_age: 120, ..ASKS }, 120, "pass"),
        (&[KEY], Asks { max_age: 120, ..ASKS }, 121, "too_old: "),
        (&[KEY], Asks { max_age: 120, ..ASKS }, 600, "expired: "),
        (&[KEY], pay, 0, "wrong_scope: "),
        (&[KEY], Asks { or_session: true, ..pay }, 0, "pass"),
        (&[Has("KEY", "pay", 0, Live)], pay, 0, "pass"),
        (&[Has("KEY", "pay", 0, Live)], ASKS, 0, "wrong_scope: "),
        (&[Has("KEY", "Pay", 0, Live)], pay, 0, "wrong_scope: "),
        (&[Has("KEY", "look", 0, Live)], Asks { or_session: true, ..pay }, 0, "wrong_scope: "),
        (&[KEY], Asks { channels: AnyOf(&[("CARD", 0)]), ..ASKS }, 0, "wrong_channel: "),
        (&[KEY], Asks { channels: AnyOf(&[("CARD", 60)]), ..ASKS }, 0, "wrong_channel: CARD missing 60"),
        (&[KEY], either, 300, "pass"),
        (&[KEY], either, 301, "too_old: KEY too_old 300, CARD missing 60"),
        (&[CARD], either, 61, "too_old: KEY missing 300, CARD too_old 60"),
        (&[KEY], Asks { max_age: 30, ..either }, 31, "too_old: KEY too_old 30, CARD missing 30"),
        (&[KEY], both, 0, "missing: CARD missing 60"),
        (&[KEY, CARD], both, 60, "pass"),
        (&[CARD, KEY], both, 60, "pass"),
        (&[KEY, CARD], both, 61, "too_old: CARD too_old 60"),
        (&[KEY, CARD], both, 301, "too_old: KEY too_old 300, CARD too_old 60"),
        (&[KEY, CARD], both, 600, "expired: KEY expired 300, CARD expired 60"),
        (&[Has("KEY", "-", 0, Spent), CARD], both, 0, "spent: KEY spent 300"),
        (&[Has("KEY", "-", 0, Spent)], ASKS, 0, "spent: "),
        (&[Has("KEY", "-", 0, Spent)], ASKS, 600, "spent: "),
        (&[Has("KEY", "-", 0, Spent), CARD], ASKS, 0, "pass"),
        (&[Has("KEY", "-", 0, GivenBack)], Asks { once: true, ..ASKS }, 0, "pass"),
        (&[Has("KEY", "-", 0, Bound)], ASKS, 0, "mismatch: "),
        (&[Has("KEY", "-", 0, Bound), KEY], ASKS, 0, "pass"),
        (&[Has("KEY", "-", 0, Bound), Has("CARD", "-", 590, Live)], ASKS, 10, "expired: "),
    ];
    for (row, (session, asks, later, expected)) in rows.into_iter().enumerate() {
        assert_eq!(oracle(session, &asks, later), expected, "the oracle, row {row}");
        let (times, clock) = ([(later, expected.to_owned())], ManualClock::new());
        holds(&local(&clock), &clock, &format!("row {row}"), session, &asks, &times).await;
        let (store, clock) = (Elsewhere::default(), ManualClock::new());
        holds(&remote(&clock, &store), &clock, &format!("row {row}"), session, &asks, &times).await;
    }
}
