//! T12: secrets are searched for, in every encoding, in everything that leaves the crate; and the output of the
//! `tracing` and `metrics` observers.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    panic,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response, request::Parts};
use http_body_util::BodyExt;
use testkit::FaultyStore;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_step_up::{
    Binding, Caller, DeliveryError, Event, ManualClock, OtpMessage, OtpSender, Policy, PushMessage, PushReply,
    PushSender, Recipient, RequireStepUp, Requirement, Secret, StepUp, discard,
};

use crate::capture::{self, Lines, caught};

const SUBJECT: &str = "canary-subject-5f1c";
const SESSION: &str = "canary-session-9a7e";
const NEW_SESSION: &str = "canary-session-77b2";
const RECIPIENT: &str = "+49canary151";
/// An unregistered name in a request.
const HOSTILE: &str = "canary-hostile-0c2d";

/// Standard base64; the URL-safe alphabet and the padding follow from it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).flat_map(|chunk| {
        let bits = (0..3).fold(0_usize, |bits, i| bits << 8 | usize::from(chunk.get(i).copied().unwrap_or(0)));
        (0..=chunk.len()).map(move |i| char::from(ALPHABET[bits >> (18 - 6 * i) & 63]))
    });
    groups.collect()
}

/// The encodings of a secret: plain, hex, a list of numbers, and base64 at each offset within a group of three bytes,
/// without the characters shared with neighbouring bytes.
fn spellings(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let numbers = |separator: &str| secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(separator);
    let mut all = vec![secret.to_owned(), hex.to_uppercase(), hex, numbers(","), numbers(", ")];
    for before in 0..3 {
        let encoded = base64(&[&vec![0; before], secret.as_bytes()].concat());
        let begin = (before * 8).div_ceil(6);
        let end = (before + secret.len()) * 8 / 6;
        let own = encoded[begin..end].to_owned();
        all.extend([own.replace('+', "-").replace('/', "_"), own]);
    }
    all
}

/// Finds a secret in any encoding; returns the place.
fn find<'a>(secret: &str, lines: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let spellings = spellings(secret);
    lines.into_iter().find_map(|line| {
        let spelling = spellings.iter().find(|it| line.windows(it.len()).any(|window| window == it.as_bytes()))?;
        Some(format!("{secret} as {spelling} in {}", String::from_utf8_lossy(line)))
    })
}

#[test]
fn the_search_finds_every_encoding() {
    assert_eq!(base64(b"ABCDEFG"), "QUJDREVGRw");
    for before in ["", "x", "xy", "xyz"] {
        for after in ["", "x", "xy"] {
            let plain = format!("{before}012345678901{after}");
            let hex: String = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
            for line in [plain.clone(), hex, base64(plain.as_bytes()), format!("{:?}", plain.as_bytes())] {
                assert!(find("012345678901", [line.as_bytes()]).is_some(), "{line}");
            }
        }
    }
    assert!(find("012345678901", [b"012345678900".as_slice()]).is_none());
}

/// Everything that was captured, by its kind.
#[derive(Clone, Default)]
struct Caught {
    logged: Lines,
    counted: Lines,
    /// `Debug` of every event, which may contain the user.
    events: Lines,
    /// `Debug` of every other public value, and `Display` of every error.
    printed: Lines,
    /// Headers and bodies.
    answered: Lines,
}

/// A sender, with the codes and ids it got.
#[derive(Clone, Debug, Default)]
struct Outbox(Arc<Mutex<Vec<String>>>);

impl Outbox {
    fn last(&self) -> String {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

#[derive(Clone)]
struct Sender(Caught, Outbox, Outbox);

impl OtpSender for Sender {
    async fn send(&self, message: OtpMessage) -> Result<(), DeliveryError> {
        self.0.printed.add(format!("{message:?} {:?} {:?}", message.code(), message.recipient()));
        self.1.0.lock().unwrap().push(message.code().expose().to_owned());
        if message.channel() == "PANIC" { panic!("in the application's code") } else { Ok(()) }
    }
}

impl PushSender for Sender {
    async fn send(&self, message: PushMessage) -> Result<(), DeliveryError> {
        // Only the message and the response to the start may contain the id.
        self.2.0.lock().unwrap().push(message.id().to_owned());
        Ok(())
    }
}

struct App {
    step_up: StepUp,
    store: FaultyStore,
    clock: ManualClock,
    codes: Outbox,
    pushes: Outbox,
    caught: Caught,
}

impl App {
    fn new(caught: &Caught) -> Self {
        let (codes, pushes, clock, store) =
            (Outbox::default(), Outbox::default(), ManualClock::new(), FaultyStore::default());
        let sender = Sender(caught.clone(), codes.clone(), pushes.clone());
        let events = caught.events.clone();
        let builder = StepUp::builder()
            .otp("SMS", sender.clone())
            .otp("PANIC", sender.clone())
            .push("BIO", sender)
            .enrollment(async |_: Caller, _: String| Ok(Recipient::new(RECIPIENT)))
            .observe(move |event: &Event<'_>| events.add(format!("{event:?}")))
            .observe(|_: &Event<'_>| panic!("in an observer"))
            .policy(Policy::new().code_digits(12).number_matching(3))
            .clock(clock.clone())
            .store(store.clone())
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([7; 32]).unwrap());
        caught.printed.add(format!("{builder:?}"));
        let step_up = builder.build().unwrap();
        Self { step_up, store, clock, codes, pushes, caught: caught.clone() }
    }

    fn print(&self, value: impl std::fmt::Debug) {
        self.caught.printed.add(format!("{value:?}"));
    }

    fn wait(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// Calls a challenge endpoint and records the response; returns its body.
    async fn send_http(&self, caller: Option<&Caller>, method: &str, path: &str, body: &str) -> String {
        self.call(self.step_up.challenges(), caller, method, path, body).await
    }

    async fn send_guarded(&self, caller: Option<&Caller>, requirement: Requirement) {
        let inner = service_fn(async |request: Request<Body>| {
            let printed = format!("{:?}", request.extensions().get::<Caller>());
            Ok::<_, Infallible>(Response::new(Body::from(printed)))
        });
        let layer = RequireStepUp::with(&self.step_up, requirement).unwrap();
        self.print(&layer);
        let guard = layer.layer(inner);
        self.call(guard, caller, "GET", "/", "").await;
    }

    async fn call<S, B>(&self, service: S, caller: Option<&Caller>, method: &str, path: &str, body: &str) -> String
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
        B: http_body::Body<Error: std::fmt::Debug>,
    {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(caller) = caller {
            request = request.extension(caller.clone());
        }
        let Ok(answer) = service.oneshot(request.body(Body::from(body.to_owned())).unwrap()).await;
        self.print(answer.extensions().get::<tower_step_up::Refusal>());
        let head = format!("{} {:?}", answer.status(), answer.headers());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        self.caught.answered.add(format!("{method} {head}"));
        body
    }

    /// Like [`send_http`](Self::send_http), if the body may not contain a secret either.
    async fn send_all(&self, caller: Option<&Caller>, method: &str, path: &str, body: &str) -> String {
        let body = self.send_http(caller, method, path, body).await;
        self.caught.answered.add(body.clone());
        body
    }
}

/// Every command, with and without success. Returns the secrets: codes, push ids, and numbers.
async fn everything(app: &App) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (alice, new) = (&Caller::user(SUBJECT).session(SESSION), &Caller::user(SUBJECT).session(NEW_SESSION));
    let body = |code: &str| format!("{{\"verificationCode\":\"{code}\"}}");
    let mut numbers = Vec::new();
    app.print((alice, &app.step_up, app.step_up.challenges(), Recipient::new(RECIPIENT)));
    #[cfg(feature = "grpc")]
    app.print(app.step_up.grpc_challenges());

    // A code: refused in every way, then verified.
    app.send_guarded(None, Requirement::new()).await;
    app.send_guarded(Some(alice), Requirement::new()).await;
    app.send_all(Some(alice), "POST", "/otp/SMS", "{\"scope\":\"pay\"}").await;
    let code = app.codes.last();
    app.send_all(None, "POST", "/otp/SMS/verify", &body(&code)).await;
    app.send_all(Some(alice), "POST", "/otp/SMS/verify", &body("000000000000")).await;
    app.send_all(Some(alice), "POST", "/otp/SMS/verify", &body(&format!("{code}0"))).await;
    app.send_all(Some(alice), "POST", "/otp/SMS/verify", &format!("{{\"verificationCode\":{code}}}")).await;
    app.send_all(Some(alice), "POST", "/otp/SMS/verify", &format!("{{{code}")).await;
    app.send_all(Some(alice), "POST", &format!("/otp/{code}/verify"), &body(&code)).await;
    app.send_all(Some(alice), "POST", "/otp/PANIC/verify", &body(&code)).await;
    app.send_all(Some(new), "POST", "/otp/SMS/verify", &body(&code)).await;
    app.send_all(Some(alice), "POST", "/otp/SMS/verify", &body(&code)).await;
    app.send_all(Some(alice), "POST", "/otp/SMS/verify", &body(&code)).await;
    app.send_guarded(Some(alice), Requirement::new().scope("pay")).await;
    app.print(app.step_up.status(alice).await);
    app.send_all(Some(alice), "GET", "/", "").await;

    // Names from the request.
    for path in [format!("/otp/{HOSTILE}"), format!("/otp/{HOSTILE}/verify"), format!("/push/{HOSTILE}")] {
        app.send_all(Some(alice), "POST", &path, "").await;
    }
    app.send_all(Some(alice), "GET", &format!("/push/{HOSTILE}/1"), "").await;
    app.send_all(Some(alice), "GET", &format!("/push/BIO/{HOSTILE}"), "").await;
    let _ = app.step_up.start_otp(alice, HOSTILE, Some(HOSTILE)).await;
    let _ = app.step_up.start_push(alice, HOSTILE, Some(HOSTILE)).await;
    let _ = app.step_up.verify_otp(alice, HOSTILE, HOSTILE).await;
    let _ = app.step_up.push_status(alice, HOSTILE, HOSTILE).await;
    app.print(app.step_up.answer_push(HOSTILE, HOSTILE, PushReply::Approve).await);

    // Pushes: only the response to the start may contain id and number.
    for answers in [&["x", "y", "z"][..], &["x", "right"]] {
        let started = loop {
            app.wait(15);
            let body = app.send_http(Some(alice), "POST", "/push/BIO", "").await;
            let started: serde_json::Value = serde_json::from_str(&body).unwrap();
            // A number that is neither a byte in a list nor a status.
            let number = started["number"].as_str().unwrap();
            if number.parse::<u16>().is_ok_and(|number| number > 600) {
                break started;
            }
            app.step_up.unlock(SUBJECT).await.unwrap();
            app.send_all(Some(alice), "DELETE", "/", "").await;
            app.wait(600);
        };
        let (id, number) = (started["id"].as_str().unwrap(), started["number"].as_str().unwrap());
        numbers.push(number.to_owned());
        let polled = app.send_http(Some(alice), "GET", &format!("/push/BIO/{id}"), "").await;
        assert_eq!(polled, format!("{{\"id\":\"{id}\",\"status\":\"PENDING\",\"expiresIn\":300}}"));
        app.send_all(Some(new), "GET", &format!("/push/BIO/{id}"), "").await;
        app.send_all(Some(alice), "GET", &format!("/push/SMS/{id}"), "").await;
        app.print(app.step_up.push_status(alice, "BIO", id).await);
        app.print(app.step_up.answer_push(SUBJECT, id, PushReply::Approve).await);
        app.print(app.step_up.answer_push("somebody else", id, PushReply::Number(number.to_owned())).await);
        for typed in answers {
            let typed = if *typed == "right" { number } else { typed };
            let said = app.step_up.answer_push(SUBJECT, id, PushReply::Number(typed.to_owned())).await;
            app.print(said);
            if let Err(error) = said {
                app.caught.printed.add(error.to_string());
            }
        }
    }

    // Revocations and locks.
    app.step_up.transfer(alice, new).await.unwrap();
    app.send_all(Some(new), "DELETE", "/", "").await;
    app.step_up.lock(SUBJECT).await.unwrap();
    app.send_all(Some(new), "POST", "/otp/SMS", "").await;
    app.step_up.unlock(SUBJECT).await.unwrap();
    app.step_up.revoke_all(SUBJECT).await.unwrap();

    // Faults: the sender panics, the store fails, too many wrong codes.
    app.wait(86_400);
    app.send_all(Some(new), "POST", "/otp/PANIC", "").await;
    app.wait(15);
    app.send_all(Some(new), "POST", "/otp/SMS", "").await;
    for _ in 0..6 {
        app.send_all(Some(new), "POST", "/otp/SMS/verify", &body("000000000000")).await;
    }
    app.store.set_down(true);
    app.send_all(Some(new), "POST", "/otp/SMS", "").await;
    app.send_all(Some(new), "POST", "/otp/SMS/verify", &body(&app.codes.last())).await;
    app.send_all(Some(new), "GET", "/", "").await;
    app.send_all(Some(new), "DELETE", "/", "").await;
    app.send_guarded(Some(new), Requirement::new()).await;
    for error in [
        app.step_up.lock(SUBJECT).await,
        app.step_up.unlock(SUBJECT).await,
        app.step_up.revoke_all(SUBJECT).await,
        app.step_up.transfer(alice, new).await,
        app.step_up.transfer(alice, &Caller::user(HOSTILE).session(HOSTILE)).await,
    ] {
        app.print(&error);
        app.caught.printed.add(error.unwrap_err().to_string());
    }
    (app.codes.0.lock().unwrap().clone(), app.pushes.0.lock().unwrap().clone(), numbers)
}

/// Captures the panics of this thread, too. One test at a time: the hook is the process's.
fn with_panics_caught<T>(said: &Lines, run: impl FnOnce() -> T) -> T {
    static HOOK: Mutex<()> = Mutex::new(());
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = std::thread::current().id();
    let (said, before) = (said.clone(), Arc::new(panic::take_hook()));
    panic::set_hook({
        let before = before.clone();
        Box::new(move |panic| {
            if std::thread::current().id() == thread {
                said.add(panic.to_string());
            } else {
                before(panic);
            }
        })
    });
    let output = run();
    drop(panic::take_hook());
    panic::set_hook(Box::new(move |panic| before(panic)));
    output
}

fn run_everything() -> (Caught, FaultyStore, (Vec<String>, Vec<String>, Vec<String>)) {
    let caught = Caught::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (store, secrets) = with_panics_caught(&caught.printed, || {
        self::caught(&caught.logged, &caught.counted, || {
            let app = App::new(&caught);
            let secrets = runtime.block_on(everything(&app));
            (app.store, secrets)
        })
    });
    (caught, store, secrets)
}

#[test]
fn no_secret_leaves() {
    let (caught, store, (codes, pushes, numbers)) = run_everything();
    let [logged, counted, events, printed, answered] =
        [caught.logged, caught.counted, caught.events, caught.printed, caught.answered].map(|lines| lines.take());
    let stored = store.seen();
    assert!(codes.len() >= 3 && pushes.len() >= 2 && numbers.len() == 2, "{codes:?} {pushes:?} {numbers:?}");
    assert!(logged.len() > 20 && counted.len() > 20 && events.len() == counted.len() && stored.len() > 100);
    assert!(printed.iter().any(|line| line.contains("panicked")), "no panics were captured");

    let texts = [&logged, &counted, &events, &printed, &answered];
    let everywhere = || texts.into_iter().flatten().map(String::as_bytes).chain(stored.iter().map(Vec::as_slice));
    for secret in codes.iter().chain(&pushes).map(String::as_str).chain([SESSION, NEW_SESSION, RECIPIENT]) {
        assert_eq!(find(secret, everywhere()), None);
    }
    // Only observers get the user.
    assert!(find(SUBJECT, events.iter().map(String::as_bytes)).is_some());
    let but_observers = [&logged, &counted, &printed, &answered];
    let but_observers =
        but_observers.into_iter().flatten().map(String::as_bytes).chain(stored.iter().map(Vec::as_slice));
    assert_eq!(find(SUBJECT, but_observers), None);
    // Three digits occur in other numbers, so only whole words are compared.
    for line in everywhere() {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(|character: char| !character.is_ascii_alphanumeric());
        assert!(!words.any(|word| numbers.iter().any(|number| number == word)), "{numbers:?} in {line}");
    }
}

/// `Debug` of types with a push id or number prints neither, because it ends up in logs.
#[tokio::test]
async fn debug_prints_neither_push_ids_nor_numbers() {
    capture::enabled();
    let printed = Lines::default();
    let messages = printed.clone();
    let step_up = StepUp::builder()
        .push("BIO", move |message: PushMessage| {
            messages.add(format!("{message:?}"));
            std::future::ready(Ok(()))
        })
        .policy(Policy::nist())
        .build()
        .unwrap();
    let alice = Caller::user(SUBJECT).session(SESSION);
    let started = step_up.start_push(&alice, "BIO", None).await.unwrap();
    let request = Request::builder().method("POST").uri("/push/BIO").extension(Caller::user("bob").session("1"));
    let answer = step_up.challenges().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let number = started.number.clone().unwrap();
    assert!(!format!("{:?}", answer.body()).contains("number"));
    let answered = format!("{:?}", PushReply::Number(number.clone()));
    for line in [format!("{started:?}"), answered, printed.take().concat()] {
        assert!(!line.contains(&started.id) && !line.contains(&number), "{line}");
    }
}

/// Values of requests do not become labels or fields.
#[test]
fn labels_are_few() {
    let (caught, _, _) = run_everything();
    let series: BTreeSet<String> = caught.counted.take().into_iter().collect();
    for series in &series {
        let words: Vec<_> = series.split(' ').collect();
        let [name, event, channel, reason] = words[..] else { panic!("{series}") };
        assert_eq!(name, "step_up_events_total");
        assert!(crate::page::names_in_the_code().contains(event.strip_prefix("event=").unwrap()), "{series}");
        assert!(["channel=", "channel=SMS", "channel=PANIC", "channel=BIO"].contains(&channel), "{series}");
        assert!(reason.strip_prefix("reason=").unwrap().bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()));
    }
    assert!((15..60).contains(&series.len()), "{series:#?}");
    let logged = caught.logged.take();
    assert_eq!(find(HOSTILE, logged.iter().map(String::as_bytes)), None);
}

/// Every event is logged at the documented level.
#[test]
fn each_line_has_the_documented_level() {
    let levels = crate::page::levels();
    let (caught, _, _) = run_everything();
    let mut seen = BTreeSet::new();
    for line in caught.logged.take().iter().filter(|line| line.contains(" tower_step_up ")) {
        let Some((_, event)) = line.split_once(" event=") else { continue };
        let event = event.split(' ').next().unwrap();
        let level = line.split(' ').next().unwrap().to_lowercase();
        assert!(levels[event].split(", ").any(|documented| documented == level), "{line}");
        seen.insert(event.to_owned());
    }
    for event in ["send_failed", "locked", "unlocked", "revoked", "verified", "store_failed"] {
        assert!(seen.contains(event), "{event} was not logged: {seen:?}");
    }
}

/// Under a policy that requires bound step-ups, an unbound guard lets no request pass; this is logged when it is built.
#[test]
fn a_guard_that_no_request_can_pass_is_logged() {
    let binding = || Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let layered = |policy: Policy, bind: bool| {
        let (logged, counted) = (Lines::default(), Lines::default());
        caught(&logged, &counted, || {
            let step_up = StepUp::builder().otp("SMS", async |_| Ok(())).policy(policy).build().unwrap();
            for _ in 0..2 {
                let guard = RequireStepUp::new(&step_up);
                if bind { drop(guard.bind(binding()).layer(())) } else { drop(guard.layer(())) }
            }
        });
        logged.take().into_iter().filter(|line| line.contains("tower_step_up")).collect::<Vec<_>>()
    };
    let expected = "WARN tower_step_up message=a guard without .bind(..) refuses everybody, for the policy takes bound \
                    step-ups alone: bind it, or leave Policy::bound_grants out";
    assert_eq!(layered(Policy::psd2(), false), [expected]);
    assert_eq!(layered(Policy::psd2(), true), [""; 0]);
    assert_eq!(layered(Policy::new(), false), [""; 0]);
}

/// Levels, target and fields as documented.
#[test]
fn each_event_is_logged_and_counted() {
    let (logged, counted) = (Lines::default(), Lines::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    caught(&logged, &counted, || {
        runtime.block_on(async {
            let store = FaultyStore::default();
            let step_up = store.on(StepUp::builder().sandbox().otp("SMS", discard)).build().unwrap();
            let alice = Caller::user("alice").session("1");
            step_up.start_otp(&alice, "SMS", None).await.unwrap();
            step_up.lock("alice").await.unwrap();
            step_up.revoke(&alice).await.unwrap();
            step_up.revoke_all("alice").await.unwrap();
            for _ in 0..2 {
                step_up.challenges().oneshot(Request::new(Body::empty())).await.unwrap();
            }
            store.set_down(true);
            step_up.authorize(&alice, &Requirement::new()).await.unwrap_err();
        });
    });
    let no_caller = "a request without a tower_step_up::Caller was refused with 401; if its user was logged in, the layer \
                     that authenticates sits inside the guard: put it outside";
    let expected = [
        "WARN tower_step_up message=step-up runs as a SANDBOX: nothing is sent and every code is 123456; never in production",
        "DEBUG tower_step_up message=step-up event=started channel=SMS",
        "INFO tower_step_up message=step-up event=locked reason=application",
        "DEBUG tower_step_up message=step-up event=revoked reason=session",
        "INFO tower_step_up message=step-up event=revoked reason=everywhere",
        &format!("WARN tower_step_up message={no_caller} event=no_caller"),
        "ERROR tower_step_up message=step-up event=store_failed reason=failed error=the store failed: down",
    ];
    let logged: Vec<_> = logged.take().into_iter().filter(|line| line.contains("tower_step_up")).collect();
    assert_eq!(logged, expected);
    let expected = [
        "step_up_events_total event=started channel=SMS reason=",
        "step_up_events_total event=locked channel= reason=application",
        "step_up_events_total event=revoked channel= reason=session",
        "step_up_events_total event=revoked channel= reason=everywhere",
        "step_up_events_total event=no_caller channel= reason=",
        "step_up_events_total event=no_caller channel= reason=",
        "step_up_events_total event=store_failed channel= reason=failed",
    ];
    assert_eq!(counted.take(), expected);
}
