//! Every fault has one documented response to each command, and no fault lets a request pass that would otherwise be
//! refused.
//!
//! The session has a grant by e-mail, a pending code and a pending push. Each cell is the first response under the
//! fault; `*` check for the response without a fault. The responses of the challenge endpoints are those on the wire,
//! the others those of the Rust API. "Guard" is a guarded request of this session, "stranger" one of a session of the
//! same user without a grant.
//!
//! | fault | start code | start push | verify | poll | answer | GET / | DELETE / | cancel code | cancel push | guard | stranger | lock | unlock | revoke_all | transfer |
//! |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
//! | none | 204 | 200 | 204 | 200 PENDING | ok | 200 | 204 | 204 | 204 | 200 | 403 STEP_UP_REQUIRED | ok | ok | ok | ok |
//! | store down | 503 | 503 | 503 | 503 | Unavailable | 503 | 503 | 503 | 503 | 503 | 503 | Unavailable | Unavailable | Unavailable | Unavailable |
//! | store later than its deadline | 503 | 503 | 503 | 503 | Unavailable | 503 | 503 | 503 | 503 | 503 | 503 | Unavailable | Unavailable | Unavailable | Unavailable |
//! | store full | 503 | 503 | * | * | * | * | * | * | * | * | * | * | * | * | Unavailable |
//! | session's record unreadable | * | * | 503 | 503 | Unavailable | 503 | 503 | 503 | 503 | 503 | * | * | * | Unavailable | Unavailable |
//! | session's record of another kind | * | * | 503 | 503 | Unavailable | 503 | 503 | 503 | 503 | 503 | * | * | * | Unavailable | Unavailable |
//! | user's record unreadable | 503 | 503 | 503 | * | Unavailable | 503 | 503 | 503 | 503 | * | * | Unavailable | Unavailable | Unavailable | Unavailable |
//! | user's record of another kind | 503 | 503 | 503 | * | Unavailable | 503 | 503 | 503 | 503 | * | * | Unavailable | Unavailable | Unavailable | Unavailable |
//! | recipient's record unreadable | 503 | 503 | * | * | * | * | * | * | * | * | * | * | * | * | * |
//! | recipient's record of another kind | 503 | 503 | * | * | * | * | * | * | * | * | * | * | * | * | * |
//! | clock set back | * | * | * | * | * | * | * | * | * | * | * | * | * | * | * |
//! | clock years ahead | * | * | 409 STATE_INVALID | 404 NOT_FOUND | Closed | * | * | * | 404 NOT_FOUND | 403 STEP_UP_REQUIRED | * | * | * | * | * |
//! | clock at its end | 503 | 503 | 409 STATE_INVALID | 404 NOT_FOUND | Closed | * | 503 | * | 404 NOT_FOUND | 403 STEP_UP_REQUIRED | * | Unavailable | Unavailable | Unavailable | Unavailable |
//! | sender fails | 503 | 503 | * | * | * | * | * | * | * | * | * | * | * | * | * |
//! | sender hangs | 503 | 503 | * | * | * | * | * | * | * | * | * | * | * | * | * |
//! | sender panics | 503 | 503 | * | * | * | * | * | * | * | * | * | * | * | * | * |
//! | enrollment unavailable | 503 | 503 | 503 | * | * | 503 | * | * | * | * | * | * | * | * | * |
//! | enrollment hangs | 503 | 503 | 503 | * | * | 503 | * | * | * | * | * | * | * | * | * |
//! | enrollment panics | 503 | 503 | 503 | * | * | 503 | * | * | * | * | * | * | * | * | * |
//! | observer panics | * | * | * | * | * | * | * | * | * | * | * | * | * | * | * |

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use testkit::{Fails, FaultyStore, kind_of, poll_at_most};
use tower::{Service, ServiceExt};
use tower_step_up::{
    Caller, ChallengeError, Clock as _, DeliveryError, EnrollmentError, Event, ManualClock, MemoryStore, OtpMessage,
    Policy, Proof, PushMessage, PushReply, PushReplyError, Recipient, RequireStepUp, Requirement, Secret, SendBudget,
    StepUp, Timestamp, discard,
};

const WRONG: &str = "000000";

/// How a part of the application behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum How {
    Works,
    Fails,
    Hangs,
    Panics,
}

/// One switch for each part of the application.
#[derive(Clone, Debug, Default)]
struct Switch(Arc<AtomicU8>);

impl Switch {
    fn set(&self, how: How) {
        self.0.store(how as u8, Ordering::SeqCst);
    }

    /// Behaves as configured.
    async fn act<E>(self, error: E) -> Result<(), E> {
        match self.0.load(Ordering::SeqCst) {
            1 => Err(error),
            2 => std::future::pending().await,
            3 => panic!("in the application's code"),
            _ => Ok(()),
        }
    }
}

/// An application, with a switch for each part of it that can fail.
struct App {
    step_up: StepUp,
    store: FaultyStore,
    clock: ManualClock,
    sender: Switch,
    enrollment: Switch,
    observer: Switch,
    /// Codes and push ids given to a sender.
    codes: Arc<Mutex<Vec<String>>>,
    pushes: Arc<Mutex<Vec<String>>>,
    alice: Caller,
}

impl App {
    fn new() -> Self {
        Self::on(&FaultyStore::default(), ManualClock::new())
    }

    fn on(store: &FaultyStore, clock: ManualClock) -> Self {
        let (sender, enrollment, observer) = <(Switch, Switch, Switch)>::default();
        let (codes, pushes) = <(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>)>::default();
        let send_code = {
            let (codes, sender) = (codes.clone(), sender.clone());
            move |message: OtpMessage| {
                codes.lock().unwrap().push(message.code().expose().to_owned());
                sender.clone().act(DeliveryError::Failed)
            }
        };
        let send_push = {
            let (pushes, sender) = (pushes.clone(), sender.clone());
            move |message: PushMessage| {
                pushes.lock().unwrap().push(message.id().to_owned());
                sender.clone().act(DeliveryError::Failed)
            }
        };
        let enrolled = {
            let enrollment = enrollment.clone();
            move |caller: Caller, _: String| {
                let enrolled = enrollment.clone().act(EnrollmentError::Unavailable);
                async move { enrolled.await.map(|()| Recipient::new(caller.subject())) }
            }
        };
        let observe = {
            let observer = observer.clone();
            move |_: &Event<'_>| assert!(observer.0.load(Ordering::SeqCst) == 0, "the observer panics")
        };
        let step_up = StepUp::builder()
            .otp("SMS", send_code.clone())
            .otp("EMAIL", send_code)
            .push("BIO", send_push)
            .proof("PASSKEY")
            .enrollment(enrolled)
            .observe(observe)
            .clock(clock.clone())
            .store(store.clone())
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([7; 32]).unwrap())
            .build()
            .unwrap();
        let (store, alice) = (store.clone(), Caller::user("alice").session("1"));
        Self { step_up, store, clock, sender, enrollment, observer, codes, pushes, alice }
    }

    /// The session has a grant, a pending code and a pending push, each with another scope.
    async fn elevated() -> Self {
        let app = Self::new();
        app.step_up.start_otp(&app.alice, "EMAIL", None).await.unwrap();
        app.step_up.verify_otp(&app.alice, "EMAIL", &app.code()).await.unwrap();
        app.wait(15);
        app.step_up.start_otp(&app.alice, "SMS", Some("code")).await.unwrap();
        app.step_up.start_push(&app.alice, "BIO", Some("push")).await.unwrap();
        app
    }

    fn wait(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    fn session(&self, number: usize) -> Caller {
        Caller::user(self.alice.subject()).session(number)
    }

    /// The code that was sent last.
    fn code(&self) -> String {
        self.codes.lock().unwrap().last().unwrap().clone()
    }

    /// The id of the push that was sent last.
    fn push(&self) -> String {
        self.pushes.lock().unwrap().last().unwrap().clone()
    }

    fn sent(&self) -> usize {
        self.codes.lock().unwrap().len() + self.pushes.lock().unwrap().len()
    }

    async fn passes(&self, caller: &Caller) -> bool {
        self.step_up.authorize(caller, &Requirement::new()).await.is_ok()
    }

    async fn passes_for(&self, caller: &Caller, scope: &str) -> bool {
        self.step_up.authorize(caller, &Requirement::new().scope(scope)).await.is_ok()
    }

    /// Sends a request to a challenge endpoint.
    async fn send(&self, caller: &Caller, method: &str, path: &str, body: &str) -> String {
        summary(self.step_up.challenges(), request(caller, method, path, body)).await
    }

    /// Sends a guarded request.
    async fn send_guarded(&self, caller: &Caller) -> String {
        let inner =
            tower::service_fn(async |_: Request<Body>| Ok::<_, std::convert::Infallible>(Response::new(Body::empty())));
        summary(RequireStepUp::new(&self.step_up).layer(inner), request(caller, "GET", "/", "")).await
    }
}

fn request(caller: &Caller, method: &str, path: &str, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.extension(caller.clone()).body(Body::from(body.to_owned())).unwrap()
}

/// The status, and the error code or status of the body.
async fn summary<S, B>(service: S, request: Request<Body>) -> String
where
    S: Service<Request<Body>, Response = Response<B>, Error = std::convert::Infallible>,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let Ok(answer) = service.oneshot(request).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let word = json["errorCode"].as_str().or(if json["expiresIn"].is_u64() { json["status"].as_str() } else { None });
    // A 503 is only its status.
    assert!(status != 503 || word == Some("UNAVAILABLE"), "{word:?}");
    word.filter(|_| status != 503).map_or_else(|| status.to_string(), |word| format!("{status} {word}"))
}

fn word<E: std::fmt::Debug>(result: Result<(), E>) -> String {
    result.map_or_else(|error| format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(), |()| "ok".to_owned())
}

/// The commands, in the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    StartCode,
    StartPush,
    Verify,
    Poll,
    Answer,
    Status,
    Drop,
    Cancel,
    CancelPush,
    Guard,
    Stranger,
    Lock,
    Unlock,
    RevokeAll,
    Transfer,
}

impl Command {
    const ALL: [Self; 15] = [
        Self::StartCode,
        Self::StartPush,
        Self::Verify,
        Self::Poll,
        Self::Answer,
        Self::Status,
        Self::Drop,
        Self::Cancel,
        Self::CancelPush,
        Self::Guard,
        Self::Stranger,
        Self::Lock,
        Self::Unlock,
        Self::RevokeAll,
        Self::Transfer,
    ];

    /// The starts are in another session, because this one has a pending push.
    async fn run(self, app: &App) -> String {
        let (alice, other) = (&app.alice, &app.session(2));
        match self {
            Self::StartCode => app.send(other, "POST", "/otp/SMS", "").await,
            Self::StartPush => app.send(other, "POST", "/push/BIO", "").await,
            Self::Verify => {
                let body = format!("{{\"verificationCode\":\"{}\"}}", app.code());
                app.send(alice, "POST", "/otp/SMS/verify", &body).await
            }
            Self::Poll => app.send(alice, "GET", &format!("/push/BIO/{}", app.push()), "").await,
            Self::Answer => word(app.step_up.answer_push("alice", &app.push(), PushReply::Approve).await),
            Self::Status => app.send(alice, "GET", "/", "").await,
            Self::Drop => app.send(alice, "DELETE", "/", "").await,
            Self::Cancel => app.send(alice, "DELETE", "/otp/SMS", "").await,
            Self::CancelPush => app.send(alice, "DELETE", &format!("/push/BIO/{}", app.push()), "").await,
            Self::Guard => app.send_guarded(alice).await,
            Self::Stranger => app.send_guarded(other).await,
            Self::Lock => word(app.step_up.lock("alice").await),
            Self::Unlock => word(app.step_up.unlock("alice").await),
            Self::RevokeAll => word(app.step_up.revoke_all("alice").await),
            Self::Transfer => word(app.step_up.transfer(alice, other).await),
        }
    }
}

/// The rows of the table in the module's documentation.
fn table() -> Vec<(&'static str, Vec<&'static str>)> {
    let lines = include_str!("faults.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let rows = lines.filter_map(|line| line.trim().strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.skip(1).map(|row| row.split(" | ").map(str::trim).collect::<Vec<_>>());
    rows.map(|cells| (cells[0], cells[1..].to_vec())).collect()
}

/// Causes a fault.
type Bring = Box<dyn Fn(&App)>;

/// A year, in milliseconds.
const YEAR: u64 = 365 * 24 * 3600 * 1000;

fn set_clock(to: impl Fn(u64) -> u64 + 'static) -> Bring {
    Box::new(move |app| app.clock.set(Timestamp::from_millis(to(app.clock.now().as_millis()))))
}

/// What replaces a record.
type Form = fn(&App, &[u8]) -> Vec<u8>;

/// Plants invalid bytes in place of every record of a kind.
fn plant(kind: &'static str, what: Form) -> Bring {
    Box::new(move |app| {
        let written = app.store.written(kind);
        assert!(!written.is_empty(), "{kind}");
        for (key, bytes) in written {
            app.store.plant(key, what(app, &bytes));
        }
    })
}

fn of_an_unknown_version(_: &App, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[16] += 1;
    bytes
}

fn garbage(_: &App, bytes: &[u8]) -> Vec<u8> {
    [&bytes[..18], &[12; 80]].concat()
}

fn cut_off(_: &App, bytes: &[u8]) -> Vec<u8> {
    bytes[..15].to_vec()
}

/// A valid record of another kind.
fn of_another_kind(app: &App, bytes: &[u8]) -> Vec<u8> {
    let other = if kind_of(bytes) == "Session" { "Subject" } else { "Session" };
    app.store.written(other)[0].1.clone()
}

/// How to cause the faults of the table, each in all its forms.
fn faults() -> Vec<(&'static str, Vec<Bring>)> {
    fn switch(which: fn(&App) -> &Switch, how: How) -> Vec<Bring> {
        vec![Box::new(move |app| which(app).set(how))]
    }
    let unreadable = |kind| -> Vec<Bring> {
        let forms: [Form; 3] = [of_an_unknown_version, garbage, cut_off];
        forms.into_iter().map(|form| plant(kind, form)).collect()
    };
    vec![
        ("none", vec![Box::new(|_| ())]),
        ("store down", vec![Box::new(|app| app.store.set_down(true))]),
        ("store later than its deadline", vec![Box::new(|app| app.store.set_stuck(true))]),
        ("store full", vec![Box::new(|app| app.store.set_full(true))]),
        ("session's record unreadable", unreadable("Session")),
        ("session's record of another kind", vec![plant("Session", of_another_kind)]),
        ("user's record unreadable", unreadable("Subject")),
        ("user's record of another kind", vec![plant("Subject", of_another_kind)]),
        ("recipient's record unreadable", unreadable("Recipient")),
        ("recipient's record of another kind", vec![plant("Recipient", of_another_kind)]),
        ("clock set back", vec![set_clock(|now| now - 3_600_000), set_clock(|_| 0)]),
        ("clock years ahead", vec![set_clock(|now| now + 10 * YEAR)]),
        ("clock at its end", vec![set_clock(|_| u64::MAX)]),
        ("sender fails", switch(|app| &app.sender, How::Fails)),
        ("sender hangs", switch(|app| &app.sender, How::Hangs)),
        ("sender panics", switch(|app| &app.sender, How::Panics)),
        ("enrollment unavailable", switch(|app| &app.enrollment, How::Fails)),
        ("enrollment hangs", switch(|app| &app.enrollment, How::Hangs)),
        ("enrollment panics", switch(|app| &app.enrollment, How::Panics)),
        ("observer panics", switch(|app| &app.observer, How::Panics)),
    ]
}

/// T20, T24: the table holds.
#[tokio::test(start_paused = true)]
async fn each_fault_has_its_response() {
    let mut found = Vec::new();
    for (fault, forms) in faults() {
        for (form, bring) in forms.iter().enumerate() {
            let mut row = Vec::new();
            for command in Command::ALL {
                let app = App::elevated().await;
                bring(&app);
                row.push(command.run(&app).await);
            }
            found.push((fault, form, row));
        }
    }
    let table = table();
    let without = &found[0].2.clone();
    let mut wrong = Vec::new();
    for (fault, form, row) in found {
        let cells = row.iter().zip(without);
        let cells: Vec<_> = cells.map(|(is, was)| if is == was && fault != "none" { "*" } else { is }).collect();
        let expected = table.iter().find(|(name, _)| *name == fault);
        if expected.is_none_or(|(_, expected)| *expected != cells) {
            wrong.push(format!("//! | {fault} | {} | ({form})", cells.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(table.len(), faults().len());
}

/// What must hold after a command that failed or was dropped.
async fn check(app: &App, command: Command, again: bool, what: &str) {
    let (alice, other) = (&app.alice, &app.session(2));

    // Nothing is granted that was not verified.
    assert!(!app.passes_for(alice, "code").await || command == Command::Verify, "{what}");
    assert!(!app.passes_for(alice, "push").await || command == Command::Answer, "{what}");
    assert!(!app.passes(other).await || command == Command::Transfer && !app.passes(alice).await, "{what}");

    app.wait(15);
    if again {
        repeat(app, command, what).await;
    }

    // Every grant can be revoked.
    app.step_up.revoke_all("alice").await.unwrap();
    for session in 0..5 {
        for scope in [None, Some("code"), Some("push")] {
            let requirement = scope.map_or(Requirement::new(), |scope| Requirement::new().scope(scope));
            let passes = app.step_up.authorize(&app.session(session), &requirement).await.is_ok();
            assert!(!passes, "{what}: session {session} for {scope:?} after revoking all");
        }
    }
}

/// The command can be repeated, and succeeds.
async fn repeat(app: &App, command: Command, what: &str) {
    let (alice, other) = (&app.alice, &app.session(2));
    match command {
        Command::StartCode => {
            assert_eq!(command.run(app).await, "204", "{what}");
            app.step_up.verify_otp(other, "SMS", &app.code()).await.unwrap();
            assert!(app.passes(other).await, "{what}");
        }
        Command::StartPush => {
            // A push whose id was not returned is pending until it is dropped.
            let again = command.run(app).await;
            if again != "200" {
                assert_eq!(again, "409 STATE_INVALID", "{what}");
                println!("{what}: in flight");
                app.step_up.revoke(other).await.unwrap();
                assert_eq!(command.run(app).await, "200", "{what}");
            }
            app.step_up.answer_push("alice", &app.push(), PushReply::Approve).await.unwrap();
            assert!(app.passes(other).await, "{what}");
        }
        Command::Verify => {
            let again = command.run(app).await;
            assert!(["204", "409 ALREADY_VERIFIED"].contains(&again.as_str()), "{what}: {again}");
            assert!(app.passes_for(alice, "code").await, "{what}");
        }
        Command::Answer => {
            let again = command.run(app).await;
            assert!(["ok", "Closed"].contains(&again.as_str()), "{what}: {again}");
            assert!(app.passes_for(alice, "push").await, "{what}");
        }
        Command::Drop => {
            assert_eq!(command.run(app).await, "204", "{what}");
            assert!(!app.passes(alice).await, "{what}");
            assert_eq!(Command::Verify.run(app).await, "409 STATE_INVALID", "{what}");
        }
        Command::Cancel => {
            assert_eq!(command.run(app).await, "204", "{what}");
            assert_eq!(Command::Verify.run(app).await, "409 STATE_INVALID", "{what}");
        }
        Command::CancelPush => {
            assert_eq!(command.run(app).await, "204", "{what}");
            assert_eq!(Command::Answer.run(app).await, "Closed", "{what}");
            assert_eq!(Command::Poll.run(app).await, "200 EXPIRED", "{what}");
        }
        Command::Lock => {
            assert_eq!(command.run(app).await, "ok", "{what}");
            assert_eq!(Command::Verify.run(app).await, "403 INSUFFICIENT_PERMISSIONS", "{what}");
            assert_eq!(Command::Answer.run(app).await, "Closed", "{what}");
        }
        Command::Unlock => {
            assert_eq!(command.run(app).await, "ok", "{what}");
            assert_eq!(Command::Verify.run(app).await, "204", "{what}");
        }
        Command::RevokeAll => {
            assert_eq!(command.run(app).await, "ok", "{what}");
            assert_eq!(Command::Verify.run(app).await, "409 STATE_INVALID", "{what}");
        }
        Command::Transfer => {
            // A transfer that ended after the old id lost the elevation loses it.
            let kept = app.passes(alice).await || app.passes(other).await;
            assert_eq!(command.run(app).await, "ok", "{what}");
            assert!(!app.passes(alice).await, "{what}");
            assert_eq!(app.passes(other).await, kept, "{what}");
        }
        Command::Poll | Command::Status | Command::Guard | Command::Stranger => {
            assert!(app.passes(alice).await, "{what}");
        }
    }
}

/// An application in which the command has an effect.
async fn before(command: Command) -> App {
    let app = App::elevated().await;
    if command == Command::Unlock {
        app.step_up.lock("alice").await.unwrap();
    }
    app
}

/// Interrupts a command in every way: a store operation fails, or it is dropped while it awaits the store. With `again`
/// it is repeated afterwards.
async fn interrupt(command: Command, again: bool) {
    let check = async |app: &App, what: &str| check(app, command, again, &format!("{command:?}, {what}")).await;
    interrupt_in_every_way(check, async || before(command).await, async |app: &App| drop(command.run(app).await)).await;
}

/// T3, T13, T24, T29: every command, interrupted at every point; the store works again afterwards.
#[tokio::test(start_paused = true)]
async fn interrupted_commands_leave_sound_records() {
    for command in Command::ALL {
        interrupt(command, true).await;
        if command != Command::Transfer {
            interrupt(command, false).await;
        }
    }
}

/// An interrupted transfer leaves no grant that cannot be revoked.
#[tokio::test(start_paused = true)]
async fn an_interrupted_transfer_can_be_revoked() {
    interrupt(Command::Transfer, false).await;
}

/// Interrupts a future in every way: a store operation fails, or it is dropped.
async fn interrupt_in_every_way(
    what: impl AsyncFn(&App, &str),
    prepare: impl AsyncFn() -> App,
    run: impl AsyncFn(&App),
) {
    for how in [Fails::Undone, Fails::Unanswered] {
        for operation in 0.. {
            let app = prepare().await;
            app.store.fail_after(operation, how);
            run(&app).await;
            if app.store.fail_no_more() {
                assert!(operation > 0, "no store operation");
                break;
            }
            what(&app, &format!("operation {operation} {how:?}")).await;
        }
    }
    for polls in 0.. {
        let app = prepare().await;
        if poll_at_most(polls, run(&app)).is_some() {
            break;
        }
        what(&app, &format!("dropped after {polls} polls")).await;
    }
}

fn was_compared<T>(answer: &Result<T, ChallengeError>) -> bool {
    use ChallengeError::{ChallengeLimitExceeded, CodeInvalid, OneTryRemaining};
    matches!(answer, Ok(_) | Err(CodeInvalid | OneTryRemaining | ChallengeLimitExceeded))
}

/// T3, T29: every compared attempt is counted, and no more than were made.
#[tokio::test(start_paused = true)]
async fn an_interrupted_attempt_is_counted() {
    let started = async || {
        let app = App::new();
        app.step_up.start_otp(&app.alice, "SMS", None).await.unwrap();
        app
    };
    let guess = async |app: &App| drop(app.step_up.verify_otp(&app.alice, "SMS", WRONG).await);
    let counted = Mutex::new(0);
    let check = async |app: &App, what: &str| {
        // The user's record is written before the code is compared, and also by the start.
        let user = app.store.records("Subject").pop().unwrap();
        let is_counted = user["rare"]["wrong"].as_array().is_some_and(|wrong| !wrong.is_empty());
        *counted.lock().unwrap() += usize::from(is_counted);
        let mut compared = 0;
        for _ in 0..10 {
            compared += usize::from(was_compared(&app.step_up.verify_otp(&app.alice, "SMS", WRONG).await));
        }
        assert_eq!(compared, if is_counted { 4 } else { 5 }, "{what}");
        let right = app.step_up.verify_otp(&app.alice, "SMS", &app.code()).await;
        assert!(right.is_err(), "{what}: locked");
    };
    interrupt_in_every_way(check, started, guess).await;
    assert!(*counted.lock().unwrap() > 3);
}

async fn start(app: &App, push: bool, session: usize) -> Result<(), ChallengeError> {
    let caller = app.session(session);
    if push {
        app.step_up.start_push(&caller, "BIO", None).await.map(drop)
    } else {
        app.step_up.start_otp(&caller, "SMS", None).await
    }
}

/// T13: three messages in five minutes, also if one is interrupted; at most one of them is lost.
#[tokio::test(start_paused = true)]
async fn an_interrupted_start_sends_nothing_uncounted() {
    for push in [false, true] {
        let nothing = async || App::new();
        let check = async |app: &App, what: &str| {
            let mut after = 0;
            // An interrupted start still counts as live, so the others are dropped after they are sent.
            for session in 10..20 {
                if start(app, push, session).await.is_ok() {
                    after += 1;
                    app.step_up.revoke(&app.session(session)).await.unwrap();
                }
            }
            assert!(app.sent() <= 3, "{what}: {} messages", app.sent());
            assert!(after >= 2, "{what}: {after} more");
        };
        interrupt_in_every_way(check, nothing, async |app: &App| drop(start(app, push, 1).await)).await;
    }
}

/// A message given to a sender counts as sent unless the sender reports otherwise.
#[tokio::test(start_paused = true)]
async fn a_failed_sender_has_sent_unless_it_reports_otherwise() {
    for (how, free) in [(How::Fails, 3), (How::Hangs, 2), (How::Panics, 2)] {
        for push in [false, true] {
            let app = App::new();
            app.sender.set(how);
            assert_eq!(start(&app, push, 1).await, Err(ChallengeError::Unavailable));
            app.sender.set(How::Works);
            let mut started = 0;
            for session in 10..20 {
                started += usize::from(start(&app, push, session).await.is_ok());
                app.step_up.revoke(&app.session(session)).await.unwrap();
            }
            assert_eq!(started, free, "{how:?} {push}");
        }
    }
}

/// T13: a request dropped while the sender runs counts its message.
#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_the_sender_hangs_is_counted() {
    let app = App::new();
    app.sender.set(How::Hangs);
    for session in 0..10 {
        let _ = poll_at_most(100, app.step_up.start_otp(&app.session(session), "SMS", None));
    }
    assert_eq!(app.sent(), 3);
}

/// T17: a start refused by a full store costs no message and no budget, and leaves existing records alone.
#[tokio::test]
async fn a_full_store_costs_nothing_and_changes_nothing() {
    let app = App::elevated().await;
    let sent = app.sent();
    app.store.set_full(true);
    for session in 10..20 {
        let caller = app.session(session);
        assert_eq!(app.step_up.start_otp(&caller, "SMS", None).await, Err(ChallengeError::Unavailable));
        assert_eq!(app.step_up.start_push(&caller, "BIO", None).await.map(drop), Err(ChallengeError::Unavailable));
        let stranger = Caller::user(format_args!("stranger {session}")).session("1");
        assert_eq!(app.step_up.start_otp(&stranger, "SMS", None).await, Err(ChallengeError::Unavailable));
        assert_eq!(app.step_up.lock(stranger.subject()).await, Err(ChallengeError::Unavailable));
    }
    assert_eq!(app.sent(), sent);
    let user = app.store.records("Subject").remove(0);
    let listed = |list: &serde_json::Value| list.as_array().unwrap().len();
    assert_eq!(
        (listed(&user["sessions"]), listed(&user["rare"]["challenges"])),
        (1, 2),
        "none of the refused sessions"
    );
    assert!(app.passes(&app.alice).await);
    assert_eq!(Command::Verify.run(&app).await, "204");
    assert_eq!(Command::Answer.run(&app).await, "ok");
    app.store.set_full(false);
    for session in 10..12 {
        app.step_up.start_otp(&app.session(session), "SMS", None).await.unwrap();
    }
}

/// T17: a full store in process refuses new records, also the lock of an unknown user, and updates existing ones.
#[tokio::test]
async fn a_full_store_in_process_updates_existing_records() {
    let (store, clock) = (MemoryStore::with_capacity(2), ManualClock::new());
    let builder = StepUp::builder().sandbox().otp("SMS", discard).clock(clock.clone()).store(store.clone());
    let step_up = builder.build().unwrap();
    let [alice, other, bob] =
        [("alice", "1"), ("alice", "2"), ("bob", "1")].map(|(user, id)| Caller::user(user).session(id));
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    assert_eq!(store.len(), 2);
    for caller in [&other, &bob] {
        assert_eq!(step_up.start_otp(caller, "SMS", None).await, Err(ChallengeError::Unavailable));
    }
    assert_eq!(step_up.lock("bob").await, Err(ChallengeError::Unavailable));

    clock.advance(Duration::from_secs(15));
    step_up.start_otp(&alice, "SMS", None).await.unwrap();
    assert!(step_up.verify_otp(&alice, "SMS", WRONG).await.is_err());
    step_up.verify_otp(&alice, "SMS", "123456").await.unwrap();
    assert_eq!(step_up.transfer(&alice, &other).await, Err(ChallengeError::Unavailable));
    step_up.authorize(&alice, &Requirement::new().once()).await.unwrap();
    step_up.revoke(&alice).await.unwrap();
    step_up.revoke_all("alice").await.unwrap();
    step_up.lock("alice").await.unwrap();
    assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Forbidden));
    assert_eq!(store.len(), 2, "nothing was evicted");
}

/// The record key is never rotated: under another one no record is found.
#[tokio::test]
async fn under_another_record_key_everything_is_forgotten() {
    let (store, alice, mallory) =
        (FaultyStore::default(), Caller::user("alice").session("1"), Caller::user("mallory").session("1"));
    let node = |key| {
        let builder = StepUp::builder().sandbox().otp("SMS", discard).store(store.clone());
        builder.record_key(Secret::new([key; 32]).unwrap()).secret(Secret::new([7; 32]).unwrap()).build().unwrap()
    };
    let (first, second) = (node(1), node(2));
    first.start_otp(&alice, "SMS", None).await.unwrap();
    first.verify_otp(&alice, "SMS", "123456").await.unwrap();
    first.lock("mallory").await.unwrap();
    assert!(second.authorize(&alice, &Requirement::new()).await.is_err());
    second.start_otp(&mallory, "SMS", None).await.unwrap();
    assert!(first.authorize(&alice, &Requirement::new()).await.is_ok());
    assert_eq!(first.start_otp(&mallory, "SMS", None).await, Err(ChallengeError::Forbidden));
}

/// T20: a restart at another time on the same store. Records from the future grant nothing, but still deny.
#[tokio::test]
async fn after_a_restart_at_another_time_nothing_lives_longer() {
    let hour = 3_600_000;
    let now = ManualClock::new().now().as_millis();
    for to in [now - hour, 0, now - 3_000, now + hour, now + 10 * YEAR, u64::MAX - 1, u64::MAX] {
        let app = App::elevated().await;
        let clock = ManualClock::new();
        clock.set(Timestamp::from_millis(to));
        let again = App::on(&app.store, clock);
        again.codes.lock().unwrap().push(app.code());
        again.pushes.lock().unwrap().push(app.push());
        assert!(!again.passes(&app.alice).await, "{to}");
        for command in [Command::Verify, Command::Answer, Command::Guard, Command::Stranger] {
            let answer = command.run(&again).await;
            assert!(!["204", "200", "ok"].contains(&answer.as_str()), "{to}: {command:?} {answer}");
        }
        for command in Command::ALL {
            command.run(&again).await;
        }
    }

    // Differences within the clock skew do not matter.
    let app = App::elevated().await;
    app.wait(2);
    app.step_up.start_otp(&app.session(2), "SMS", None).await.unwrap();
    let behind = App::on(&app.store, ManualClock::new());
    behind.clock.advance(Duration::from_secs(15));
    behind.step_up.verify_otp(&app.session(2), "SMS", &app.code()).await.unwrap();

    // Five wrong codes, then an hour back: it denies longer, never shorter.
    let app = App::new();
    app.step_up.start_otp(&app.alice, "SMS", None).await.unwrap();
    for _ in 0..5 {
        assert!(was_compared(&app.step_up.verify_otp(&app.alice, "SMS", WRONG).await));
    }
    for to in [now - hour, 0] {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_millis(to));
        let again = App::on(&app.store, clock);
        let refused = again.step_up.start_otp(&app.session(2), "SMS", None).await;
        assert!(matches!(refused, Err(ChallengeError::RateLimited(limit)) if limit.limit == 5), "{refused:?}");
    }
}

/// T20: in one process, setting the clock back revives nothing, in any state.
#[tokio::test]
async fn the_clock_is_set_back_in_every_state() {
    let hour = 3_600_000;
    let now = ManualClock::new().now().as_millis();
    for to in [now - hour, 0] {
        let app = App::elevated().await;
        // Locked.
        let thief = Caller::user("victim").session("1");
        app.step_up.start_otp(&thief, "SMS", None).await.unwrap();
        for _ in 0..5 {
            assert!(was_compared(&app.step_up.verify_otp(&thief, "SMS", WRONG).await));
        }
        // Expired, and observed as expired.
        app.wait(600);
        assert!(!app.passes(&app.alice).await);
        app.clock.set(Timestamp::from_millis(to));
        assert!(!app.passes(&app.alice).await);
        assert_eq!(Command::Verify.run(&app).await, "409 VERIFICATION_CODE_EXPIRED");
        assert_eq!(Command::Answer.run(&app).await, "Closed");
        assert_eq!(Command::Poll.run(&app).await, "200 EXPIRED");
        // Started while the clock check still: it can be verified once.
        app.step_up.start_otp(&app.alice, "SMS", None).await.unwrap();
        assert_eq!(Command::Verify.run(&app).await, "204");
        assert_eq!(Command::Verify.run(&app).await, "409 ALREADY_VERIFIED");
        let soon = app.step_up.start_otp(&app.alice, "SMS", None).await;
        assert!(matches!(soon, Err(ChallengeError::RetryIn { .. })), "{soon:?}");
        // The clock continues from the earlier time.
        app.clock.set(Timestamp::from_millis(now + 15_000 + 600_000 + 599_999));
        assert!(app.passes(&app.alice).await);
        app.clock.advance(Duration::from_millis(1));
        assert!(!app.passes(&app.alice).await);
    }
}

/// One unreadable session record does not prevent the revocation of the others.
#[tokio::test]
async fn other_sessions_are_revoked_if_one_is_unreadable() {
    let app = App::new();
    for session in 0..3 {
        app.step_up.start_otp(&app.session(session), "SMS", None).await.unwrap();
        app.step_up.verify_otp(&app.session(session), "SMS", &app.code()).await.unwrap();
        if session == 0 {
            plant("Session", of_an_unknown_version)(&app);
        }
    }
    assert_eq!(app.step_up.revoke_all("alice").await, Err(ChallengeError::Unavailable));
    for session in 0..3 {
        assert!(!app.passes(&app.session(session)).await, "session {session}");
    }
}

/// An unreadable user record does not prevent revoking a session.
#[tokio::test]
async fn a_session_is_revoked_if_the_users_record_is_unreadable() {
    for form in [of_an_unknown_version, garbage, cut_off, of_another_kind] {
        let app = App::elevated().await;
        plant("Subject", form)(&app);
        assert_eq!(app.step_up.revoke(&app.alice).await, Err(ChallengeError::Unavailable));
        assert!(!app.passes(&app.alice).await);
        app.store.unplant();
        assert_eq!(Command::Verify.run(&app).await, "409 STATE_INVALID");
        assert_eq!(Command::Answer.run(&app).await, "Closed");
    }
}

/// T20: if no lifetime fits between now and the end of time, nothing is granted and nothing is forgotten.
#[tokio::test]
async fn at_the_end_of_time_nothing_that_denies_is_forgotten() {
    for left in [0, 1, 60_000, YEAR] {
        let app = App::new();
        app.step_up.lock("locked").await.unwrap();
        app.clock.set(Timestamp::from_millis(u64::MAX - left));
        for session in 0..10 {
            let _ = start(&app, false, session).await;
            let _ = start(&app, true, session).await;
            let _ = app.step_up.revoke(&app.session(session)).await;
        }
        assert!(app.sent() <= 3, "{left}: {} messages", app.sent());
        let _ = app.step_up.lock("locked").await;
        let again = App::on(&app.store, ManualClock::new());
        let locked = again.step_up.start_otp(&Caller::user("locked").session("1"), "SMS", None).await;
        assert_eq!(locked, Err(ChallengeError::Forbidden), "{left}");
    }
}

/// T20: failures counted with a clock years ahead deny for years, unless the application unlocks the user.
#[tokio::test]
async fn unlocking_clears_records_from_the_future() {
    for push in [false, true] {
        let app = App::new();
        let clock = ManualClock::new();
        clock.advance(Duration::from_millis(10 * YEAR));
        let ahead = App::on(&app.store, clock);
        for session in 10..13 {
            start(&ahead, push, session).await.unwrap();
        }
        let refused = start(&app, push, 1).await;
        assert!(matches!(refused, Err(ChallengeError::RateLimited(limit)) if limit.wait.as_secs() > YEAR / 1000));
        app.step_up.unlock("alice").await.unwrap();
        for session in 1..4 {
            start(&app, push, session).await.unwrap();
        }
        app.step_up.unlock("alice").await.unwrap();
        let refused = start(&app, push, 4).await;
        assert!(
            matches!(refused, Err(ChallengeError::RateLimited(limit)) if limit.wait.as_secs() <= 600),
            "{refused:?}"
        );
    }
}

/// A push whose request is dropped before its id is returned blocks the next one only until its sender's deadline.
#[tokio::test(start_paused = true)]
async fn a_dropped_push_gives_way_to_the_next() {
    let app = App::new();
    app.sender.set(How::Hangs);
    assert!(poll_at_most(100, app.step_up.start_push(&app.alice, "BIO", None)).is_none());
    app.sender.set(How::Works);
    let cut_off = app.push();
    app.wait(19);
    assert_eq!(start(&app, true, 1).await, Err(ChallengeError::StateInvalid));
    app.wait(1);
    start(&app, true, 1).await.unwrap();
    assert_eq!(app.step_up.answer_push("alice", &cut_off, PushReply::Approve).await, Err(PushReplyError::Closed));
    assert!(!app.passes(&app.alice).await);
    // A push that was sent is pending until it expires.
    app.wait(279);
    assert_eq!(start(&app, true, 1).await, Err(ChallengeError::StateInvalid));
    // The interrupted one is counted.
    start(&app, true, 2).await.unwrap();
    let third = start(&app, true, 3).await;
    assert!(matches!(third, Err(ChallengeError::RateLimited(limit)) if limit.limit == 3), "{third:?}");
    app.step_up.answer_push("alice", &app.push(), PushReply::Approve).await.unwrap();
}

/// T3: a revocation of all sessions dropped at any point leaves no session elevated.
#[tokio::test]
async fn everything_is_revoked_if_the_request_is_dropped() {
    for polls in 1.. {
        let store = FaultyStore::default();
        let app = App::on(&store, ManualClock::new());
        let sessions = [app.session(1), app.session(2), app.session(3)];
        for session in &sessions {
            app.step_up.record_proof(session, Proof::new("PASSKEY")).await.unwrap();
        }
        let ended = testkit::poll_at_most(polls, app.step_up.revoke_all("alice")).is_some();
        app.step_up.drained().await;
        for session in &sessions {
            assert!(!app.passes(session).await, "dropped after {polls} polls");
        }
        if ended {
            break;
        }
    }
}

/// A counted start is delivered although its request is dropped: otherwise three of them would leave the user without a
/// message, and without a start for five minutes.
#[tokio::test]
async fn a_counted_start_is_delivered_if_the_request_is_dropped() {
    let codes = Arc::new(Mutex::new(Vec::new()));
    let send = {
        let codes = Arc::clone(&codes);
        move |message: OtpMessage| {
            let codes = Arc::clone(&codes);
            async move {
                tokio::task::yield_now().await;
                codes.lock().unwrap().push(message.code().expose().to_owned());
                Ok(())
            }
        }
    };
    for polls in 3.. {
        let (store, alice) = (FaultyStore::default(), Caller::user("alice").session("1"));
        let step_up = store.on(StepUp::builder().otp("SMS", send.clone())).build().unwrap();
        codes.lock().unwrap().clear();
        let ended = testkit::poll_at_most(polls, step_up.start_otp(&alice, "SMS", None)).is_some();
        step_up.drained().await;
        let code = codes.lock().unwrap().pop();
        let code = code.unwrap_or_else(|| panic!("nothing was sent, dropped after {polls} polls"));
        assert!(step_up.verify_otp(&alice, "SMS", &code).await.is_ok(), "{polls}");
        if ended {
            break;
        }
    }
}

/// If the runtime ends, the messages of dropped requests are lost, but not their count.
#[test]
fn a_runtime_that_ends_loses_messages_but_no_count() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let delivered = Arc::new(AtomicU8::new(0));
    let send = {
        let delivered = Arc::clone(&delivered);
        move |_: OtpMessage| {
            let delivered = Arc::clone(&delivered);
            async move {
                tokio::task::yield_now().await;
                delivered.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
    };
    let step_up = StepUp::builder().otp("SMS", send).clock(ManualClock::new()).build().unwrap();
    let session = |number: usize| Caller::user("alice").session(number);
    let first = runtime();
    first.block_on(async {
        for number in 0..3 {
            assert!(poll_at_most(1, step_up.start_otp(&session(number), "SMS", None)).is_none());
        }
    });
    drop(first);
    let refused = runtime().block_on(async {
        step_up.drained().await;
        step_up.start_otp(&session(3), "SMS", None).await
    });
    assert!(matches!(refused, Err(ChallengeError::RateLimited(limit)) if limit.limit == 3), "{refused:?}");
    assert_eq!(delivered.load(Ordering::SeqCst), 0);
}

/// T33: a client library that has lost the response to a swap sends it again. The attempt stays counted.
#[tokio::test]
async fn a_resent_swap_leaves_no_attempt_uncounted() {
    let (store, clock, alice) = (FaultyStore::default(), ManualClock::new(), Caller::user("alice").session("1"));
    store.send_twice();
    let policy = Policy::new()
        .max_attempts(1)
        .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
        .disable_after(5);
    let builder = StepUp::builder().sandbox().otp("SMS", discard).clock(clock.clone()).policy(policy);
    let step_up = store.on(builder).build().unwrap();
    let mut compared = 0;
    for _ in 0..20 {
        clock.advance(Duration::from_secs(3600));
        if step_up.start_otp(&alice, "SMS", None).await.is_err() {
            break;
        }
        let verified = step_up.verify_otp(&alice, "SMS", WRONG).await.map(drop);
        assert_eq!(verified, Err(ChallengeError::ChallengeLimitExceeded));
        compared += 1;
    }
    assert_eq!(compared, 5);
}

/// T33: if any write of a verification or a start was applied but reported as a conflict, no attempt goes uncounted and
/// no start is lost.
#[tokio::test]
async fn a_write_reported_as_a_conflict_leaves_no_attempt_uncounted() {
    for swaps in 0..6 {
        let (store, clock, alice) = (FaultyStore::default(), ManualClock::new(), Caller::user("alice").session("1"));
        let policy = Policy::new()
            .max_attempts(1)
            .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
            .disable_after(5);
        let builder = StepUp::builder().sandbox().otp("SMS", discard).clock(clock.clone()).policy(policy);
        let step_up = store.on(builder).build().unwrap();
        let compared = || store.records("Session")[0]["otp"][0]["state"] == "Exhausted";
        let mut guesses = 0;
        for _ in 0..20 {
            clock.advance(Duration::from_secs(3600));
            store.conflict_after(swaps);
            match step_up.start_otp(&alice, "SMS", None).await {
                Ok(()) => {}
                Err(refused) => {
                    assert_eq!(refused, ChallengeError::Forbidden, "{swaps}");
                    break;
                }
            }
            store.conflict_after(swaps);
            let verified = step_up.verify_otp(&alice, "SMS", WRONG).await.map(drop);
            assert_eq!(verified, Err(ChallengeError::ChallengeLimitExceeded), "{swaps}");
            assert!(compared(), "{swaps}");
            guesses += 1;
        }
        assert_eq!(guesses, 5, "{swaps}");
    }
}
