//! The events of every action: in order, once, and only after the write.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use testkit::{Fails, FaultyStore, Sender, poll_at_most};
use tower::{ServiceExt, service_fn};
use tower_step_up::{
    Caller, DeliveryError, EnrollmentError, Event, ManualClock, OtpMessage, Policy, Purpose, PushMessage, PushReply,
    Recipient, RequireStepUp, Requirement, Secret, StepUp, StepUpBuilder, Store, store::StoreWarning,
};

use crate::{capture, page};

const WRONG: &str = "000000";

/// An application, its events, and its sent codes.
struct App {
    step_up: StepUp,
    store: FaultyStore,
    clock: ManualClock,
    emitted: Arc<Mutex<Vec<String>>>,
    codes: Arc<Mutex<Vec<String>>>,
    alice: Caller,
}

/// The behaviour of the senders, by recipient.
async fn act(recipient: &Recipient) -> Result<(), DeliveryError> {
    let sender = match recipient.as_str() {
        Some("invalid") => Sender::Refuses,
        Some("failing") => Sender::Fails,
        Some("slow") => Sender::Hangs,
        Some("panicking") => Sender::Panics,
        Some("unsure") => Sender::Unsure,
        _ => Sender::Works,
    };
    sender.act().await
}

/// The recipient of a user, from the user's name.
async fn enrolled(caller: Caller, _: String) -> Result<Recipient, EnrollmentError> {
    match caller.subject() {
        "unenrolled" => Err(EnrollmentError::NotEnrolled),
        "unsupported" => Err(EnrollmentError::NotSupported),
        "forbidden" => Err(EnrollmentError::Forbidden),
        "unavailable" => Err(EnrollmentError::Unavailable),
        subject => Ok(Recipient::new(subject.split('@').next().unwrap())),
    }
}

impl App {
    fn new() -> Self {
        Self::with(Policy::new(), |builder| builder)
    }

    fn with(policy: Policy, more: impl FnOnce(StepUpBuilder) -> StepUpBuilder) -> Self {
        capture::enabled();
        let (emitted, codes) = <(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>)>::default();
        let (store, clock) = (FaultyStore::default(), ManualClock::new());
        let observe = {
            let emitted = emitted.clone();
            move |event: &Event<'_>| {
                let words = [Some(event.name()), event.channel(), event.reason()].map(|word| word.unwrap_or("-"));
                emitted.lock().unwrap().push(words.join(" "));
            }
        };
        let send_code = {
            let codes = codes.clone();
            async move |message: OtpMessage| {
                codes.lock().unwrap().push(message.code().expose().to_owned());
                act(message.recipient()).await
            }
        };
        let builder = StepUp::builder()
            .otp("SMS", move |message| {
                let send = send_code.clone();
                Box::pin(async move { send(message).await }) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
            })
            .otp("EMAIL", async |_| Ok(()))
            .push("BIO", async |message: PushMessage| act(message.recipient()).await)
            .enrollment(enrolled)
            .observe(|_: &Event<'_>| panic!("in an observer: the next one still gets the event"))
            .observe(observe)
            .clock(clock.clone())
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([7; 32]).unwrap())
            .policy(policy);
        let step_up = more(builder).store(store.clone()).build().unwrap();
        Self { step_up, store, clock, emitted, codes, alice: Caller::user("alice").session("1") }
    }

    fn code(&self) -> String {
        self.codes.lock().unwrap().last().unwrap().clone()
    }

    /// The events since the last call.
    fn emitted(&self) -> Vec<String> {
        std::mem::take(&mut self.emitted.lock().unwrap())
    }
}

/// Asserts the events of an action, and collects their names.
#[derive(Default)]
struct Rows(BTreeSet<String>);

impl Rows {
    fn row(&mut self, app: &App, action: &str, expected: &[&str]) {
        let emitted = app.emitted();
        assert_eq!(emitted, expected, "{action}");
        self.0.extend(emitted.iter().filter_map(|emitted| emitted.split(' ').next()).map(str::to_owned));
    }
}

/// All events of the code occur here, so no event is without a row.
#[tokio::test(start_paused = true)]
async fn every_action_emits_its_events_once_and_in_order() {
    let mut rows = Rows::default();
    codes(&mut rows).await;
    pushes(&mut rows).await;
    guards(&mut rows).await;
    revocations(&mut rows).await;
    cancellations(&mut rows).await;
    locks(&mut rows).await;
    messages(&mut rows).await;
    stores(&mut rows).await;
    let names = page::names_in_the_code();
    assert_eq!(rows.0, names);
}

async fn codes(rows: &mut Rows) {
    let app = App::new();
    let (step_up, alice) = (&app.step_up, &app.alice);
    let _ = step_up.verify_otp(alice, "SMS", WRONG).await;
    rows.row(&app, "nothing was started", &["refused SMS state_invalid"]);
    step_up.start_otp(alice, "SMS", None).await.unwrap();
    rows.row(&app, "start", &["started SMS -", "sent SMS -"]);
    let _ = step_up.start_otp(alice, "SMS", None).await;
    rows.row(&app, "start again", &["refused SMS retry_in"]);
    let _ = step_up.verify_otp(alice, "SMS", WRONG).await;
    rows.row(&app, "wrong", &["wrong_code SMS -"]);
    let _ = step_up.verify_otp(alice, "SMS", "12").await;
    rows.row(&app, "malformed", &["refused SMS malformed_code"]);
    let _ = step_up.start_otp(alice, "SMS", Some(" ")).await;
    rows.row(&app, "malformed", &["refused SMS malformed_scope"]);
    let _ = step_up.start_otp(alice, "SMS", Purpose::new().binding("none")).await;
    rows.row(&app, "malformed", &["refused SMS malformed_binding"]);
    let _ = step_up.start_otp(alice, "FAX", None).await;
    rows.row(&app, "a channel that is not registered", &["refused - unknown_channel"]);
    let _ = step_up.start_push(alice, "SMS", None).await;
    rows.row(&app, "a channel of the other kind", &["refused - unknown_channel"]);
    step_up.verify_otp(alice, "SMS", &app.code()).await.unwrap();
    rows.row(&app, "right", &["verified SMS -"]);
    let _ = step_up.verify_otp(alice, "SMS", WRONG).await;
    rows.row(&app, "again", &["refused SMS already_verified"]);
    app.clock.advance(Duration::from_secs(15));
    step_up.start_otp(alice, "SMS", None).await.unwrap();
    app.clock.advance(Duration::from_secs(300));
    app.emitted();
    let _ = step_up.verify_otp(alice, "SMS", WRONG).await;
    rows.row(&app, "late", &["refused SMS code_expired"]);
    step_up.status(alice).await.unwrap();
    rows.row(&app, "status", &[]);

    over_http(rows).await;
    let app = App::with(Policy::new().starts_per_session(1), StepUpBuilder::sandbox);
    app.step_up.start_otp(&app.alice, "SMS", None).await.unwrap();
    rows.row(&app, "the sandbox sends nothing", &["started SMS -"]);
    app.clock.advance(Duration::from_secs(15));
    let _ = app.step_up.start_otp(&app.alice, "SMS", None).await;
    rows.row(&app, "one start more", &["refused SMS challenge_limit_exceeded"]);
}

/// Invalid fields are reported once per request, over HTTP as in Rust.
async fn over_http(rows: &mut Rows) {
    let app = App::new();
    for (path, body, emitted) in [
        ("/otp/SMS", r#"{"scope":" "}"#, "refused SMS malformed_scope"),
        ("/otp/SMS", r#"{"scope":" ","binding":"none"}"#, "refused SMS malformed_scope"),
        ("/otp/SMS", r#"{"binding":"none"}"#, "refused SMS malformed_binding"),
        ("/otp/FAX", r#"{"scope":" "}"#, "refused - unknown_channel"),
        ("/push/BIO", r#"{"binding":"none"}"#, "refused BIO malformed_binding"),
        ("/otp/SMS/verify", r#"{"verificationCode":"12"}"#, "refused SMS malformed_code"),
        ("/otp/FAX/verify", r#"{"verificationCode":"12"}"#, "refused - unknown_channel"),
    ] {
        let request = Request::post(path).header("content-type", "application/json").extension(app.alice.clone());
        let response = app.step_up.challenges().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), 400, "{path} {body}");
        rows.row(&app, &format!("{path} {body}"), &[emitted]);
    }
}

async fn pushes(rows: &mut Rows) {
    let app = App::new();
    let (step_up, alice) = (&app.step_up, &app.alice);
    let push = step_up.start_push(alice, "BIO", None).await.unwrap();
    rows.row(&app, "start", &["started BIO -", "sent BIO -"]);
    let _ = step_up.start_push(alice, "BIO", None).await;
    rows.row(&app, "start again", &["refused BIO state_invalid"]);
    step_up.push_status(alice, "BIO", &push.id).await.unwrap();
    rows.row(&app, "poll", &[]);
    step_up.answer_push("alice", "1", PushReply::Approve).await.unwrap_err();
    step_up.answer_push("bob", &push.id, PushReply::Approve).await.unwrap_err();
    rows.row(&app, "no such push", &[]);
    step_up.answer_push("alice", &push.id, PushReply::Decline).await.unwrap();
    rows.row(&app, "decline", &["push_answered BIO declined"]);
    step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap_err();
    rows.row(&app, "too late", &[]);
    let push = step_up.start_push(alice, "BIO", None).await.unwrap();
    app.emitted();
    step_up.answer_push("alice", &push.id, PushReply::Approve).await.unwrap();
    rows.row(&app, "approve", &["push_answered BIO approved", "verified BIO -"]);

    let app = App::with(Policy::new().pause_after_declines(2, Duration::from_secs(60)), |builder| builder);
    for expected in [&["push_answered BIO declined"][..], &["pushes_paused BIO -", "push_answered BIO declined"]] {
        let push = app.step_up.start_push(&app.alice, "BIO", None).await.unwrap();
        app.emitted();
        app.step_up.answer_push("alice", &push.id, PushReply::Decline).await.unwrap();
        rows.row(&app, "decline", expected);
    }
    let _ = app.step_up.start_push(&app.alice, "BIO", None).await;
    rows.row(&app, "while the pause lasts", &["refused BIO rate_limited"]);

    let app = App::with(Policy::new().number_matching(2), |builder| builder);
    let push = app.step_up.start_push(&app.alice, "BIO", None).await.unwrap();
    app.emitted();
    for expected in
        [&["wrong_code BIO -"][..], &["wrong_code BIO -"], &["wrong_code BIO -", "push_answered BIO declined"]]
    {
        app.step_up.answer_push("alice", &push.id, PushReply::Number("x".into())).await.unwrap_err();
        rows.row(&app, "a wrong number", expected);
    }
}

async fn guards(rows: &mut Rows) {
    let app = App::new();
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let guard = RequireStepUp::new(&app.step_up).layer(inner);
    let request = || Request::new(Body::empty());
    guard.clone().oneshot(request()).await.unwrap();
    rows.row(&app, "a guard without a caller", &["no_caller - -"]);
    app.step_up.challenges().oneshot(request()).await.unwrap();
    rows.row(&app, "a challenge endpoint without a caller", &["no_caller - -"]);
    let with_caller = || {
        let mut request = request();
        request.extensions_mut().insert(app.alice.clone());
        request
    };
    guard.clone().oneshot(with_caller()).await.unwrap();
    rows.row(&app, "not stepped up", &["guard_refused - missing"]);
    app.step_up.start_otp(&app.alice, "SMS", None).await.unwrap();
    app.step_up.verify_otp(&app.alice, "SMS", &app.code()).await.unwrap();
    app.emitted();
    assert_eq!(guard.clone().oneshot(with_caller()).await.unwrap().status(), 200);
    rows.row(&app, "passed", &[]);
    let shadow = RequireStepUp::with(&app.step_up, Requirement::new().scope("pay")).unwrap().report_only().layer(inner);
    assert_eq!(shadow.oneshot(with_caller()).await.unwrap().status(), 200);
    rows.row(&app, "report-only", &["would_refuse - wrong_scope"]);
    let once = Requirement::new().once();
    let grant = app.step_up.authorize(&app.alice, &once).await.unwrap();
    rows.row(&app, "spent", &["spent SMS -"]);
    app.step_up.authorize(&app.alice, &once).await.unwrap_err();
    rows.row(&app, "spent again", &["guard_refused - spent"]);
    assert_eq!(grant.restore().await, Ok(true));
    rows.row(&app, "restored", &["given_back - -"]);
    assert_eq!(grant.restore().await, Ok(false));
    rows.row(&app, "restored twice", &[]);
    let table = [
        ("wrong_scope", Requirement::new().scope("pay")),
        ("wrong_channel", Requirement::new().channels(["BIO"])),
        ("too_old", Requirement::new().max_age(Duration::from_secs(1))),
    ];
    app.clock.advance(Duration::from_secs(2));
    for (reason, requirement) in table {
        app.step_up.authorize(&app.alice, &requirement).await.unwrap_err();
        rows.row(&app, reason, &[&format!("guard_refused - {reason}")]);
    }
    app.clock.advance(Duration::from_secs(600));
    guard.clone().oneshot(with_caller()).await.unwrap();
    rows.row(&app, "expired", &["guard_refused - expired"]);
    app.store.set_down(true);
    guard.oneshot(with_caller()).await.unwrap();
    rows.row(&app, "down", &["store_failed - failed"]);
}

async fn revocations(rows: &mut Rows) {
    let app = App::new();
    let (step_up, alice, new) = (&app.step_up, &app.alice, &Caller::user("alice").session("2"));
    step_up.revoke(alice).await.unwrap();
    rows.row(&app, "revoke, with nothing there", &["revoked - session"]);
    step_up.revoke_all("alice").await.unwrap();
    rows.row(&app, "revoke all, with nothing there", &["revoked - everywhere"]);
    step_up.start_otp(alice, "SMS", None).await.unwrap();
    step_up.verify_otp(alice, "SMS", &app.code()).await.unwrap();
    app.emitted();
    step_up.transfer(alice, new).await.unwrap();
    rows.row(&app, "transfer", &[]);
    step_up.revoke(new).await.unwrap();
    rows.row(&app, "revoke", &["revoked - session"]);
}

async fn cancellations(rows: &mut Rows) {
    let app = App::new();
    let (step_up, alice) = (&app.step_up, &app.alice);
    step_up.cancel_otp(alice, "SMS").await.unwrap();
    assert!(!step_up.cancel_push(alice, "BIO", "1").await.unwrap());
    rows.row(&app, "cancel, with nothing there", &[]);
    step_up.start_otp(alice, "SMS", None).await.unwrap();
    let push = step_up.start_push(alice, "BIO", None).await.unwrap();
    app.emitted();
    step_up.cancel_otp(alice, "SMS").await.unwrap();
    rows.row(&app, "cancel a code", &["cancelled SMS -"]);
    for expected in [&["cancelled BIO -"][..], &[]] {
        assert!(step_up.cancel_push(alice, "BIO", &push.id).await.unwrap());
        rows.row(&app, "cancel a push", expected);
    }
}

async fn locks(rows: &mut Rows) {
    let app = App::new();
    let (step_up, alice) = (&app.step_up, &app.alice);
    step_up.lock("alice").await.unwrap();
    rows.row(&app, "lock", &["locked - application"]);
    let _ = step_up.start_otp(alice, "SMS", None).await;
    rows.row(&app, "start", &["refused SMS forbidden"]);
    step_up.unlock("alice").await.unwrap();
    rows.row(&app, "unlock", &["unlocked - -"]);

    for (policy, lock, then) in [
        (Policy::new(), "locked SMS wait", "refused SMS rate_limited"),
        (Policy::psd2(), "locked SMS disabled", "refused SMS forbidden"),
    ] {
        let app = App::with(policy, |builder| builder);
        let (step_up, alice) = (&app.step_up, &app.alice);
        step_up.start_otp(alice, "SMS", None).await.unwrap();
        app.emitted();
        for _ in 0..4 {
            let _ = step_up.verify_otp(alice, "SMS", WRONG).await;
            rows.row(&app, "wrong", &["wrong_code SMS -"]);
        }
        let _ = step_up.verify_otp(alice, "SMS", WRONG).await;
        rows.row(&app, "the fifth", &["wrong_code SMS -", lock]);
        let _ = step_up.start_otp(&Caller::user("alice").session("2"), "SMS", None).await;
        rows.row(&app, "while it holds", &[then]);
    }
}

async fn messages(rows: &mut Rows) {
    for (user, failed, refused) in [
        ("invalid", "recipient_invalid", "recipient_invalid"),
        ("failing", "failed", "unavailable"),
        ("slow", "too_slow", "unavailable"),
        ("panicking", "panicked", "unavailable"),
    ] {
        let app = App::new();
        let _ = app.step_up.start_otp(&Caller::user(user).session("1"), "SMS", None).await;
        let [failed, refused] = [format!("send_failed SMS {failed}"), format!("refused SMS {refused}")];
        rows.row(&app, user, &["started SMS -", &failed, &refused]);
        let _ = app.step_up.start_push(&Caller::user(user).session("1"), "BIO", None).await;
        let failed = failed.replace("SMS", "BIO");
        rows.row(&app, user, &["started BIO -", &failed, "refused BIO unavailable"]);
    }
    for (user, reason) in [
        ("unenrolled", "channel_not_registered"),
        ("unsupported", "channel_not_supported"),
        ("forbidden", "forbidden"),
        ("unavailable", "unavailable"),
    ] {
        let app = App::new();
        let _ = app.step_up.start_otp(&Caller::user(user).session("1"), "SMS", None).await;
        let _ = app.step_up.verify_otp(&Caller::user(user).session("1"), "SMS", WRONG).await;
        // There is no pending challenge, so the application is not called.
        rows.row(&app, user, &[&format!("refused SMS {reason}"), "refused SMS state_invalid"]);
    }

    // One number, enrolled by several users.
    let app = App::new();
    for (user, shared) in [("x@1", false), ("x@2", false), ("x@3", false), ("x@4", true), ("x@5", true)] {
        app.step_up.start_otp(&Caller::user(user).session("1"), "SMS", None).await.unwrap();
        let all = ["started SMS -", "recipient_shared SMS -", "sent SMS -"];
        let expected: Vec<_> = all.into_iter().filter(|emitted| shared || !emitted.starts_with("recipient")).collect();
        rows.row(&app, user, &expected);
    }
}

async fn stores(rows: &mut Rows) {
    type Set = fn(&FaultyStore, bool);
    for (reason, set) in [
        ("failed", FaultyStore::set_down as Set),
        ("deadline", FaultyStore::set_stuck),
        ("full", FaultyStore::set_full),
    ] {
        let app = App::new();
        set(&app.store, true);
        let failed = format!("store_failed - {reason}");
        // One for each failed operation: a start loads two records concurrently, and an atomic store also writes the
        // recipient's beside the others.
        let times = if reason == "full" && !app.store.is_atomic() { 1 } else { 2 };
        let _ = app.step_up.start_otp(&app.alice, "SMS", None).await;
        let mut expected = vec![&*failed; times];
        expected.push("refused SMS unavailable");
        rows.row(&app, reason, &expected);
        let _ = app.step_up.lock("alice").await;
        rows.row(&app, reason, &[&failed]);
    }
    let app = App::new();
    app.step_up.start_otp(&app.alice, "SMS", None).await.unwrap();
    for (key, bytes) in app.store.written("Session") {
        app.store.plant(key, bytes[..16].to_vec());
    }
    app.emitted();
    let _ = app.step_up.authorize(&app.alice, &Requirement::new()).await;
    rows.row(&app, "unreadable", &["store_failed - unreadable"]);

    // The configuration is checked once, along with the first request; if it is unknown, again after a minute.
    let misconfigured = || StoreWarning::Misconfigured { what: "reads from replicas".into() };
    let unknown = || StoreWarning::Unknown { why: "not allowed".into() };
    for (warning, reason, again) in [
        (StoreWarning::Evicts { policy: "allkeys-lru".into() }, "evicts", false),
        (misconfigured(), "misconfigured", false),
        (unknown(), "unknown", true),
    ] {
        let app = App::new();
        app.store.warn(warning);
        let emitted = format!("store_warning - {reason}");
        for (wait, is_emitted) in [(0, true), (1, false), (58, false), (1, again), (59, false)] {
            app.clock.advance(Duration::from_secs(wait));
            let _ = app.step_up.authorize(&app.alice, &Requirement::new()).await;
            tokio::task::yield_now().await;
            let expected = [Some(&*emitted).filter(|_| is_emitted), Some("guard_refused - missing")];
            rows.row(&app, reason, &expected.into_iter().flatten().collect::<Vec<_>>());
        }
        assert_eq!(app.store.checks(), 1 + usize::from(again));
    }
    // No request waits for the check; if it hangs, the result is unknown.
    let app = App::new();
    app.store.set_stuck(true);
    let _ = app.step_up.authorize(&app.alice, &Requirement::new()).await;
    rows.row(&app, "stuck", &["store_failed - deadline"]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    rows.row(&app, "stuck", &["store_warning - unknown"]);
}

/// Events are emitted only after the write: if a store operation fails or the request is dropped, everything emitted
/// before is in the store.
#[expect(clippy::too_many_lines, reason = "a list of actions")]
#[tokio::test(start_paused = true)]
async fn nothing_is_emitted_before_it_is_written() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Action {
        Start,
        Wrong,
        Right,
        Approve,
        Decline,
        CancelCode,
        CancelPush,
        Revoke,
        RevokeAll,
        Lock,
        Unlock,
    }
    use Action::{Approve, CancelCode, CancelPush, Decline, Lock, Revoke, RevokeAll, Right, Start, Unlock, Wrong};

    async fn before(action: Action) -> (App, String) {
        let app = App::new();
        let push = app.step_up.start_push(&app.alice, "BIO", None).await.unwrap().id;
        if action != Start {
            app.step_up.start_otp(&app.alice, "SMS", None).await.unwrap();
        }
        if matches!(action, Revoke | RevokeAll) {
            app.step_up.verify_otp(&app.alice, "SMS", &app.code()).await.unwrap();
        }
        if action == Unlock {
            app.step_up.lock("alice").await.unwrap();
        }
        app.emitted();
        (app, push)
    }

    async fn run(app: &App, push: &str, action: Action) {
        let (step_up, alice) = (&app.step_up, &app.alice);
        match action {
            Start => drop(step_up.start_otp(alice, "SMS", None).await),
            Wrong => drop(step_up.verify_otp(alice, "SMS", WRONG).await),
            Right => drop(step_up.verify_otp(alice, "SMS", &app.code()).await),
            Approve => drop(step_up.answer_push("alice", push, PushReply::Approve).await),
            Decline => drop(step_up.answer_push("alice", push, PushReply::Decline).await),
            CancelCode => drop(step_up.cancel_otp(alice, "SMS").await),
            CancelPush => drop(step_up.cancel_push(alice, "BIO", push).await),
            Revoke => drop(step_up.revoke(alice).await),
            RevokeAll => drop(step_up.revoke_all("alice").await),
            Lock => drop(step_up.lock("alice").await),
            Unlock => drop(step_up.unlock("alice").await),
        }
    }

    /// The stored record of this kind.
    fn record(app: &App, kind: &str) -> serde_json::Value {
        app.store.records(kind).pop().unwrap_or_default()
    }

    fn is_written(app: &App, emitted: &str) -> bool {
        let (session, subject) = (record(app, "Session"), record(app, "Subject"));
        let grants = session["grants"].as_array().map_or(0, Vec::len);
        match emitted {
            "started SMS -" | "sent SMS -" => {
                session["otp"][0]["state"] == "Pending" && app.codes.lock().unwrap().len() <= 1
            }
            "wrong_code SMS -" => {
                session["otp"][0]["wrong"].as_array().unwrap().len() == 1
                    && subject["rare"]["wrong"].as_array().unwrap().len() == 1
            }
            "verified SMS -" | "verified BIO -" => grants == 1,
            "push_answered BIO approved" => session["push"]["state"]["Verified"].is_u64() && grants == 1,
            "push_answered BIO declined" => {
                session["push"]["state"]["Declined"].is_u64() && subject["rare"]["denials"]["count"] == 1
            }
            "cancelled SMS -" => session["otp"][0]["state"] == "Dropped",
            "cancelled BIO -" => session["push"]["state"]["Cancelled"].is_u64(),
            "revoked - session" | "revoked - everywhere" => grants == 0 && session["push"]["state"] == "Dropped",
            "locked - application" => subject["rare"]["locked"].is_u64(),
            "unlocked - -" => subject["rare"]["locked"].is_null(),
            other => other.starts_with("store_failed") || other.starts_with("refused"),
        }
    }

    for action in [Start, Wrong, Right, Approve, Decline, CancelCode, CancelPush, Revoke, RevokeAll, Lock, Unlock] {
        let mut seen = BTreeSet::new();
        let mut check = |app: &App, what: &str| {
            for emitted in app.emitted() {
                assert!(is_written(app, &emitted), "{action:?}, {what}: {emitted}");
                seen.insert(emitted);
            }
        };
        for how in [Fails::Undone, Fails::Unanswered] {
            for operation in 0.. {
                let (app, push) = before(action).await;
                app.store.fail_after(operation, how);
                run(&app, &push, action).await;
                let ended = app.store.fail_no_more();
                check(&app, &format!("operation {operation} {how:?}"));
                if ended {
                    break;
                }
            }
        }
        for polls in 0.. {
            let (app, push) = before(action).await;
            let ended = poll_at_most(polls, run(&app, &push, action)).is_some();
            check(&app, &format!("dropped after {polls} polls"));
            if ended {
                break;
            }
        }
        assert!(
            seen.iter().any(|emitted| !emitted.starts_with("store_failed") && !emitted.starts_with("refused")),
            "{seen:?}"
        );
    }
}
