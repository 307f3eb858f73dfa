//! Grants consumed by one request (T27) and restored by its handler: live again, with the same expiry.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{body::Body, response::Response};
use http::Request;
use testkit::FaultyStore;
use tower::{Service, service_fn};
use tower_step_up::{
    AuthorizeError, Caller, Grant, ManualClock, Policy, Proof, RequireStepUp, Requirement, StepUp, UnmetReason,
    guard::GuardedService,
};

use super::{alice, builder, grant, local, remote, secs, together};

/// How often the handlers ran.
pub(crate) type Passed = Arc<AtomicUsize>;

pub(crate) fn passes(passed: &Passed) -> usize {
    passed.load(Ordering::SeqCst)
}

/// A guarded handler that counts its runs and yields once.
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
async fn grants_of_all_channels_are_consumed() {
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
    assert!(!again.restore().await.unwrap(), "both were restored before");
}

/// A consumed grant lets no other route pass, and no other grant is consumed.
#[tokio::test]
async fn a_consumed_grant_passes_no_other_route() {
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
    assert_eq!(reason(&step_up, &alice(), any()).await, None, "a new step-up counts");
}

/// What happens before the handler restores the grant, whether the restore succeeds, and the state of the session's
/// grant afterwards.
#[tokio::test]
async fn restoring() {
    let table = [
        ("nothing", true, None),
        ("almost expired", true, None),
        ("locked", true, None),
        ("restored", false, None),
        ("restored and consumed", false, Some(UnmetReason::Spent)),
        ("expired", false, Some(UnmetReason::Spent)),
        ("expired and removed", false, Some(UnmetReason::WrongScope)),
        ("revoked", false, Some(UnmetReason::Missing)),
        ("revoked everywhere", false, Some(UnmetReason::Missing)),
        ("transferred", false, Some(UnmetReason::Missing)),
        ("replaced", false, None),
        ("replaced, and consumed", false, Some(UnmetReason::Spent)),
    ];
    for (between, restored, expected) in table {
        let clock = ManualClock::new();
        let store = FaultyStore::default();
        restores(&local(&clock), &clock, between, restored, expected).await;
        restores(&remote(&clock, &store), &clock, between, restored, expected).await;
    }
}

async fn restores(step_up: &StepUp, clock: &ManualClock, between: &str, restored: bool, expected: Option<UnmetReason>) {
    let consume = async || step_up.authorize(&alice(), &once()).await.unwrap();
    grant(step_up, &alice(), "KEY").await;
    let spent = consume().await;
    let ends = spent.expires_at();
    let other_session = Caller::user("alice").session("2");
    match between {
        "almost expired" => clock.advance(secs(599)),
        "locked" => step_up.lock("alice").await.unwrap(),
        "restored" => assert!(spent.clone().restore().await.unwrap()),
        "restored and consumed" => {
            assert!(spent.restore().await.unwrap());
            assert!(!consume().await.restore().await.unwrap(), "also through another handle");
        }
        "expired" => clock.advance(secs(600)),
        "expired and removed" => {
            clock.advance(secs(600 + 3600));
            // Old grants are removed at the next write.
            step_up.record_proof(&alice(), Proof::new("CARD").purpose(Some("x"))).await.unwrap();
        }
        "revoked" => step_up.revoke(&alice()).await.unwrap(),
        "revoked everywhere" => step_up.revoke_all("alice").await.unwrap(),
        "transferred" => step_up.transfer(&alice(), &other_session).await.unwrap(),
        "replaced" => grant(step_up, &alice(), "KEY").await,
        "replaced, and consumed" => {
            grant(step_up, &alice(), "KEY").await;
            consume().await;
        }
        _ => {}
    }
    assert_eq!(spent.restore().await, Ok(restored), "{between}");
    assert_eq!(spent.restore().await, Ok(false), "{between}, again");
    assert_eq!(reason(step_up, &alice(), Requirement::new()).await, expected, "{between}");
    if between == "transferred" {
        assert_eq!(
            reason(step_up, &other_session, Requirement::new()).await,
            Some(UnmetReason::Spent),
            "it stays consumed"
        );
    }
    if restored {
        clock.set(ends);
        assert_eq!(
            reason(step_up, &alice(), once()).await,
            Some(UnmetReason::Expired),
            "{between}: the expiry is unchanged"
        );
    }
}

#[tokio::test]
async fn only_a_consumed_grant_can_be_restored() {
    let clock = ManualClock::new();
    let step_up = local(&clock);
    let recorded: Grant = step_up.record_proof(&alice(), Proof::new("KEY")).await.unwrap();
    let checked = step_up.authorize(&alice(), &Requirement::new()).await.unwrap();
    step_up.authorize(&alice(), &once()).await.unwrap();
    for grant in [recorded, checked] {
        assert_eq!(grant.restore().await, Ok(false));
    }
    assert_eq!(reason(&step_up, &alice(), Requirement::new()).await, Some(UnmetReason::Spent));
}

/// Of concurrent restores of one grant, one succeeds, and one request passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_restored_once() {
    let clock = ManualClock::new();
    let step_up = remote(&clock, &FaultyStore::default());
    for round in 0..12 {
        let caller = Caller::user(format_args!("alice {round}")).session("1");
        grant(&step_up, &caller, "KEY").await;
        let spent = step_up.authorize(&caller, &once()).await.unwrap();
        let results = together(24, |_| {
            let (step_up, caller, spent) = (step_up.clone(), caller.clone(), spent.clone());
            async move { (spent.restore().await.unwrap(), step_up.authorize(&caller, &once()).await.is_ok()) }
        })
        .await;
        assert_eq!(results.iter().filter(|(restored, _)| *restored).count(), 1, "round {round}");
        assert_eq!(results.iter().filter(|(_, passed)| *passed).count(), 1, "round {round}");
    }
}

/// A restore concurrent with a revocation leaves no live grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn restoring_races_revocation() {
    let clock = ManualClock::new();
    let (local, remote) = (local(&clock), remote(&clock, &FaultyStore::default()));
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

/// Policies that make every grant one-time, or bound to its operation.
#[tokio::test]
async fn policies_that_consume_or_bind_every_grant() {
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
        let reasons = [reason(&step_up, &alice(), any()).await, reason(&step_up, &alice(), any()).await];
        assert_eq!(reasons, expected, "{step_up:?}");
    }
}
