//! What one request spends (T27), and what its handler gives back: it is live once more, as it was.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{body::Body, response::Response};
use http::Request;
use testkit::Elsewhere;
use tower::{Service, service_fn};
use tower_step_up::{
    AuthorizeError, Caller, Grant, ManualClock, Policy, Proof, RequireStepUp, Requirement, StepUp, UnmetReason,
    guard::GuardedService,
};

use super::{alice, builder, grant, local, remote, secs, together};

/// How often handlers ran.
pub(crate) type Passed = Arc<AtomicUsize>;

pub(crate) fn passes(passed: &Passed) -> usize {
    passed.load(Ordering::SeqCst)
}

/// A guarded handler that counts, and takes a while.
pub(crate) fn guarded(
    step_up: &StepUp,
    requirement: Requirement,
    passed: &Passed,
) -> GuardedService<
    impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + use<>,
> {
    let passed = Arc::clone(passed);
    RequireStepUp::with(step_up, requirement).unwrap().layer(service_fn(move |_: Request<Body>| {
        passed.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::task::yield_now().await;
            Ok(Response::default())
        }
    }))
}

fn once() -> Requirement {
    Requirement::new().once()
}

pub(crate) async fn reason(step_up: &StepUp, caller: &Caller, requirement: Requirement) -> Option<UnmetReason> {
    match step_up.authorize(caller, &requirement).await {
        Ok(_) => None,
        Err(AuthorizeError::StepUpRequired(unmet)) => Some(unmet.reason()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn each_of_several_channels_is_spent() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    for channel in ["KEY", "CARD"] {
        grant(&step_up, &alice(), channel).await;
    }
    let both = || once().all_of(["KEY", "CARD"]);
    let spent = step_up.authorize(&alice(), &both()).await.unwrap();
    let by = |channel: &str| Requirement::new().channels([channel]);
    for requirement in [both(), by("KEY"), by("CARD"), Requirement::new()] {
        assert_eq!(reason(&step_up, &alice(), requirement).await, Some(UnmetReason::Spent));
    }
    assert!(spent.restore().await.unwrap());
    assert_eq!(reason(&step_up, &alice(), by("KEY")).await, None);
    assert_eq!(reason(&step_up, &alice(), by("CARD")).await, None);
    let again = step_up.authorize(&alice(), &both()).await.unwrap();
    assert!(!again.restore().await.unwrap(), "each was given back before");
}

/// What is spent opens nothing else, and nothing else is spent.
#[tokio::test]
async fn what_is_spent_opens_no_other_route() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    grant(&step_up, &alice(), "KEY").await;
    step_up.record_proof(&alice(), Proof::new("KEY").purpose(Some("pay"))).await.unwrap();
    step_up.authorize(&alice(), &once()).await.unwrap();
    let any = Requirement::new;
    let table = [
        (any(), Some(UnmetReason::Spent)),
        (any().channels(["KEY"]), Some(UnmetReason::Spent)),
        (any().max_age(secs(60)), Some(UnmetReason::Spent)),
        (any().scope("look").or_session(), Some(UnmetReason::Spent)),
        (once(), Some(UnmetReason::Spent)),
        (any().channels(["CARD"]), Some(UnmetReason::WrongChannel)),
        (any().scope("pay"), None),
        (any().scope("pay").or_session().once(), None),
    ];
    for (requirement, expected) in table {
        let shown = format!("{requirement:?}");
        assert_eq!(reason(&step_up, &alice(), requirement).await, expected, "{shown}");
    }
    grant(&step_up, &alice(), "KEY").await;
    assert_eq!(reason(&step_up, &alice(), any()).await, None, "a new step-up is a new one");
}

/// What happens between the request and its handler's giving back, whether that does anything, and what the session's
/// grant is then.
#[tokio::test]
async fn giving_back_is_a_table() {
    let table = [
        ("nothing", true, None),
        ("almost expired", true, None),
        ("locked", true, None),
        ("given back", false, None),
        ("given back and spent", false, Some(UnmetReason::Spent)),
        ("expired", false, Some(UnmetReason::Spent)),
        ("expired and forgotten", false, Some(UnmetReason::WrongScope)),
        ("revoked", false, Some(UnmetReason::Missing)),
        ("revoked everywhere", false, Some(UnmetReason::Missing)),
        ("transferred", false, Some(UnmetReason::Missing)),
        ("another in its place", false, None),
        ("another in its place, and spent", false, Some(UnmetReason::Spent)),
    ];
    for (between, gives, expected) in table {
        let clock = ManualClock::new();
        let store = Elsewhere::default();
        gives_back(&local(&clock), &clock, between, gives, expected).await;
        gives_back(&remote(&clock, &store), &clock, between, gives, expected).await;
    }
}

async fn gives_back(step_up: &StepUp, clock: &ManualClock, between: &str, gives: bool, expected: Option<UnmetReason>) {
    let once_more = async || step_up.authorize(&alice(), &once()).await.unwrap();
    grant(step_up, &alice(), "KEY").await;
    let spent = once_more().await;
    let ends = spent.expires_at();
    let elsewhere = Caller::user("alice").session("2");
    match between {
        "almost expired" => clock.advance(secs(599)),
        "locked" => step_up.lock("alice").await.unwrap(),
        "given back" => assert!(spent.clone().restore().await.unwrap()),
        "given back and spent" => {
            assert!(spent.restore().await.unwrap());
            assert!(!once_more().await.restore().await.unwrap(), "by whomever");
        }
        "expired" => clock.advance(secs(600)),
        "expired and forgotten" => {
            clock.advance(secs(600 + 3600));
            // What nobody remembers goes with the next that is written.
            step_up.record_proof(&alice(), Proof::new("CARD").purpose(Some("x"))).await.unwrap();
        }
        "revoked" => step_up.revoke(&alice()).await.unwrap(),
        "revoked everywhere" => step_up.revoke_all("alice").await.unwrap(),
        "transferred" => step_up.transfer(&alice(), &elsewhere).await.unwrap(),
        "another in its place" => grant(step_up, &alice(), "KEY").await,
        "another in its place, and spent" => {
            grant(step_up, &alice(), "KEY").await;
            once_more().await;
        }
        _ => {}
    }
    assert_eq!(spent.restore().await, Ok(gives), "{between}");
    assert_eq!(spent.restore().await, Ok(false), "{between}, again");
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, expected, "{between}");
    if between == "transferred" {
        assert_eq!(reason(step_up, &elsewhere, Requirement::new()).await, Some(UnmetReason::Spent), "it stays spent");
    }
    if gives {
        clock.set(ends);
        assert_eq!(
            reason(step_up, &alice(), once()).await,
            Some(UnmetReason::Expired),
            "{between}: its end is the old one"
        );
    }
}

#[tokio::test]
async fn what_was_not_spent_cannot_be_given_back() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let given: Grant = step_up.record_proof(&alice(), Proof::new("KEY")).await.unwrap();
    let checked = step_up.authorize(&alice(), &Requirement::new()).await.unwrap();
    step_up.authorize(&alice(), &once()).await.unwrap();
    for grant in [given, checked] {
        assert_eq!(grant.restore().await, Ok(false));
    }
    assert_eq!(reason(&step_up, &alice(), Requirement::new()).await, Some(UnmetReason::Spent));
}

/// Many give back at once what was spent once: it is live once, and one passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_given_back_once() {
    let clock = ManualClock::new();
    let step_up = remote(&clock, &Elsewhere::default());
    for round in 0..12 {
        let caller = Caller::user(format_args!("alice {round}")).session("1");
        grant(&step_up, &caller, "KEY").await;
        let spent = step_up.authorize(&caller, &once()).await.unwrap();
        let given = together(24, |_| {
            let (step_up, caller, spent) = (step_up.clone(), caller.clone(), spent.clone());
            async move { (spent.restore().await.unwrap(), step_up.authorize(&caller, &once()).await.is_ok()) }
        })
        .await;
        assert_eq!(given.iter().filter(|(gave, _)| *gave).count(), 1, "round {round}");
        assert_eq!(given.iter().filter(|(_, passed)| *passed).count(), 1, "round {round}");
    }
}

/// Whoever revokes everything while it is given back finds it, or is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn giving_back_races_revocation() {
    let clock = ManualClock::new();
    let (local, remote) = (local(&clock), remote(&clock, &Elsewhere::default()));
    for round in 0..100 {
        revoked_meanwhile(&local, round).await;
        revoked_meanwhile(&remote, round).await;
    }
}

async fn revoked_meanwhile(step_up: &StepUp, round: usize) {
    let caller = Caller::user(format_args!("alice {round}")).session("1");
    grant(step_up, &caller, "KEY").await;
    let spent = step_up.authorize(&caller, &once()).await.unwrap();
    together(6, |task| {
        let (step_up, caller, spent) = (step_up.clone(), caller.clone(), spent.clone());
        async move {
            match task {
                0..4 => drop(spent.restore().await.unwrap()),
                4 => step_up.revoke_all(caller.subject()).await.unwrap(),
                _ => step_up.revoke(&caller).await.unwrap(),
            }
        }
    })
    .await;
    assert_eq!(reason(step_up, &caller, Requirement::new()).await, Some(UnmetReason::Missing), "round {round}");
    assert_eq!(spent.restore().await, Ok(false), "round {round}");
}

/// A policy may have every step-up spent by whatever asks for it, or bound to what it was asked for.
#[tokio::test]
async fn policies_that_spend_or_bind_everything() {
    let clock = ManualClock::new();
    let of = |policy| builder(&clock).policy(policy).build().unwrap();
    let table = [
        (of(Policy::new().one_time_grants()), [None, Some(UnmetReason::Spent)]),
        (of(Policy::new().bound_grants()), [Some(UnmetReason::Mismatch), Some(UnmetReason::Mismatch)]),
        (of(Policy::psd2()), [Some(UnmetReason::Mismatch), Some(UnmetReason::Mismatch)]),
    ];
    for (step_up, expected) in table {
        grant(&step_up, &alice(), "KEY").await;
        let any = Requirement::new;
        let told = [reason(&step_up, &alice(), any()).await, reason(&step_up, &alice(), any()).await];
        assert_eq!(told, expected, "{step_up:?}");
    }
}
