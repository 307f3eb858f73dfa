//! Regenerates the seeds of the target `record`: records of a user in typical states, as this version writes them.
//! Without that, a new field would make every seed unreadable.
//!
//! The file names are always the same; the records contain random numbers.

use std::{
    convert::Infallible,
    fs,
    future::{Ready, ready},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::Full;
use tower::{Layer, Service, service_fn, util::ServiceFn};
use tower_step_up::{
    Binding, Caller, Clock, DeliveryError, ManualClock, OtpMessage, Policy, Purpose, PushReply, Recipient,
    RequireStepUp, Requirement, StepUp, StepUpBuilder, Timestamp, discard,
    store::{Key, Stored},
};
use tower_step_up_fuzz::{Answer, Shelf, run};

/// The first byte of an input: the other records in the store. With `SUBJECT` the seed is the user's record, with
/// `CHANGES` it contains changes to an existing record.
const STARTED: u8 = 0;
const FAILED: u8 = 1;
const STEPPED_UP: u8 = 2;
const PUSHED: u8 = 3;
const SUBJECT: u8 = 4;
const CHANGES: u8 = 8;

/// Where the generation is in a user's record: behind its revision, its version and its kind.
const GENERATION: u16 = 18;
/// Where the id of the first code is in a session's record: behind the number of codes as well.
const CODE: u16 = 19;
/// The maximum input length that `fuzz/smoke.sh` passes.
const LONGEST: usize = 5_000;

/// A user, one of the user's sessions, and the store of both.
struct Life {
    step_up: StepUp,
    shelf: Shelf,
    clock: ManualClock,
    alice: Caller,
    session: Key,
    subject: Key,
}

type Engine = StepUpBuilder;
type Handled = Ready<Result<Response<Full<Bytes>>, Infallible>>;
type Handler = ServiceFn<fn(Request<Full<Bytes>>) -> Handled>;

impl Life {
    /// Like the target's own engine, so that the keys are the same.
    fn new() -> Self {
        Self::with(|engine| engine)
    }

    fn with(settings: impl FnOnce(Engine) -> Engine) -> Self {
        Self::of(|engine| settings(engine.sandbox().otp("SMS", discard)))
    }

    /// Outside the sandbox, where a sender is called and the keys differ.
    fn outside() -> (Self, Arc<AtomicBool>) {
        let works = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&works);
        let send = move |_: OtpMessage| {
            let sent = asked.load(Ordering::Relaxed);
            async move { if sent { Ok(()) } else { Err(DeliveryError::Failed) } }
        };
        (Self::of(|engine| engine.otp("SMS", send)), works)
    }

    fn of(settings: impl FnOnce(Engine) -> Engine) -> Self {
        let (shelf, clock, alice) = (Shelf::default(), ManualClock::new(), Caller::user("alice").session("session"));
        let engine = shelf.builder().clock(clock.clone()).push("BIO", async |_| Ok(()));
        let step_up = settings(engine).build().expect("it is sound");
        let _ = run(step_up.authorize(&alice, &Requirement::new()));
        let _ = run(step_up.answer_push("alice", "1", PushReply::Decline));
        let [session, subject] = *shelf.kept().asked else { panic!("each is one look-up") };
        Self { step_up, shelf, clock, alice, session, subject }
    }

    /// Its clock starts at this offset from the target's, which is stopped.
    fn before(self, by: Duration) -> Self {
        let now = self.clock.now().as_millis() - u64::try_from(by.as_millis()).expect("it is short");
        self.clock.set(Timestamp::from_millis(now));
        self
    }

    fn after(self, by: Duration) -> Self {
        self.clock.advance(by);
        self
    }

    fn start(self) -> Self {
        run(self.step_up.start_otp(&self.alice, "SMS", None)).expect("nothing stands in its way");
        self
    }

    /// Replaces the last code as soon as another may be started.
    fn resend(self) -> Self {
        self.clock.advance(Duration::from_secs(15));
        self.start()
    }

    fn unsent(self) -> Self {
        self.clock.advance(Duration::from_secs(15));
        run(self.step_up.start_otp(&self.alice, "SMS", None)).expect_err("it is not sent");
        self
    }

    fn wrong(self, times: usize) -> Self {
        for _ in 0..times {
            run(self.step_up.verify_otp(&self.alice, "SMS", "000000")).expect_err("it is wrong");
        }
        self
    }

    fn verify(self) -> Self {
        run(self.step_up.verify_otp(&self.alice, "SMS", "123456")).expect("it is the sandbox's code");
        self
    }

    fn push(&self) -> String {
        run(self.step_up.start_push(&self.alice, "BIO", Some("payments"))).expect("nothing stands in its way").id
    }

    fn answered(self, answer: PushReply) -> Self {
        let id = self.push();
        run(self.step_up.answer_push("alice", &id, answer)).expect("it is pending");
        self
    }

    fn locked(self) -> Self {
        run(self.step_up.lock("alice")).expect("the store works");
        self
    }

    fn unlocked(self) -> Self {
        run(self.step_up.unlock("alice")).expect("the store works");
        self
    }

    fn revoked(self) -> Self {
        run(self.step_up.revoke(&self.alice)).expect("the store works");
        self
    }

    fn spent(self) -> Self {
        let guard = RequireStepUp::with(&self.step_up, Requirement::new().once()).expect("it is sound");
        assert!(self.pay(guard).status().is_success(), "it has stepped up");
        self
    }

    /// Starts a code for the operation of a refusal.
    fn bound(self) -> Self {
        let describe = |_: &Parts, _: &[u8]| Some("Pay 5 EUR".to_owned());
        let guard = RequireStepUp::new(&self.step_up).bind(Binding::new(Binding::uri_as_received, describe));
        let refused = Answer::new(self.pay(guard));
        let token = refused.json["binding"].as_str().expect("a refusal binds");
        run(self.step_up.start_otp(&self.alice, "SMS", Purpose::new().binding(token))).expect("it is the first");
        self
    }

    /// The response to a guarded request.
    fn pay<L>(&self, guard: L) -> Response<Full<Bytes>>
    where
        L: Layer<Handler>,
        L::Service: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
    {
        let handler: Handler = service_fn(|_| ready(Ok(Response::default())));
        let mut request = Request::post("/payouts").body(Full::default()).expect("it is sound");
        request.extensions_mut().insert(self.alice.clone());
        let Ok(answer) = run(guard.layer(handler).call(request));
        answer
    }

    fn record(&self, key: Key) -> Vec<u8> {
        let record = self.shelf.kept().records[&key].clone();
        Stored::decode(&record).expect("it was written a moment ago");
        record
    }

    /// The record that is neither the session's nor the user's.
    fn of_recipient(&self) -> Vec<u8> {
        let other = |key: &Key| *key != self.session && *key != self.subject;
        let key = self.shelf.kept().records.keys().copied().find(other).expect("the enrollment names one");
        self.record(key)
    }
}

/// The seeds, by name.
struct Seeds(Vec<(String, Vec<u8>)>);

impl Seeds {
    fn add(&mut self, name: &str, how: u8, rest: &[u8]) {
        let seed = [&[how], rest].concat();
        assert!(seed.len() <= LONGEST, "{name} is cut: {} bytes", seed.len());
        self.0.push((name.to_owned(), seed));
    }

    /// Both records, each with the target's own record for the other.
    fn both(&mut self, name: &str, beside: u8, life: &Life) {
        self.add(name, beside, &life.record(life.session));
        self.user(name, beside, life);
    }

    fn user(&mut self, name: &str, beside: u8, life: &Life) {
        self.add(&format!("{name}_user"), beside | SUBJECT, &life.record(life.subject));
    }

    /// Changes a number in an existing record: the lowest seven bits of the one that begins at this position become
    /// zero. After the first random number the positions differ in each run.
    fn change(&mut self, name: &str, how: u8, at: u16) {
        let [high, low] = at.to_be_bytes();
        self.add(name, CHANGES | how, &[3, high, low, 0x80]);
    }
}

fn enrolled(engine: Engine) -> Engine {
    engine.enrollment(async |_: Caller, _: String| Ok(Recipient::new("+4915123456789")))
}

fn main() -> std::io::Result<()> {
    let mut seeds = Seeds(Vec::new());
    let started = Life::new().start();
    seeds.both("started", STARTED, &started);
    seeds.both("resent", STARTED, &Life::new().start().wrong(1).resend());
    seeds.both("resent_twice", STARTED, &Life::new().start().resend().wrong(1).resend());
    let (first, works) = Life::outside();
    works.store(false, Ordering::Relaxed);
    seeds.both("unsent", STARTED, &first.unsent());
    let (second, works) = Life::outside();
    let second = second.start().wrong(1);
    works.store(false, Ordering::Relaxed);
    seeds.both("came_back", STARTED, &second.unsent());
    let bound = Life::new().bound();
    seeds.both("bound", STARTED, &bound);
    let bound = bound.verify();
    seeds.both("failed", FAILED, &Life::new().start().wrong(2));
    seeds.both("exhausted", FAILED, &Life::new().start().wrong(5));
    seeds.both("stepped_up", STEPPED_UP, &Life::new().start().wrong(1).verify());
    seeds.both("spent", STEPPED_UP, &Life::new().start().verify().spent());
    seeds.add("bound_stepped_up", STEPPED_UP, &bound.record(bound.session));
    seeds.user("locked", STEPPED_UP, &Life::new().start().verify().locked());
    seeds.user("unlocked", STEPPED_UP, &Life::new().start().wrong(1).locked().unlocked());
    seeds.both("revoked", STEPPED_UP, &Life::new().start().verify().revoked());

    let beside = Life::new().start().verify();
    beside.push();
    seeds.both("pushed", PUSHED, &beside);
    seeds.both("declined", PUSHED, &Life::new().start().verify().answered(PushReply::Decline));
    seeds.both("approved", PUSHED, &Life::new().answered(PushReply::Approve));
    let number = Life::with(|engine| engine.policy(Policy::new().number_matching(2)));
    number.push();
    seeds.both("number", PUSHED, &number);

    // A grant that has just expired, one that is just too far in the future, and a code.
    seeds.both("expired", STEPPED_UP, &Life::new().before(Duration::from_secs(600)).start().verify());
    seeds.both("ahead", STEPPED_UP, &Life::new().after(Duration::from_millis(2_001)).start().verify());
    seeds.both("code_ahead", STARTED, &Life::new().after(Duration::from_millis(2_001)).start());

    let recipient = Life::with(enrolled).start();
    seeds.both("recipient", STARTED, &recipient);
    seeds.both("known", STEPPED_UP, &Life::with(enrolled).start().verify());

    // A record under a key of another kind is unreadable.
    seeds.add("user_as_session", STARTED, &started.record(started.subject));
    seeds.add("session_as_user", STARTED | SUBJECT, &started.record(started.session));
    seeds.add("recipient_as_user", STARTED | SUBJECT, &recipient.of_recipient());

    // A challenge that the user's record does not know, and a generation other than the challenge's.
    seeds.change("changed", STARTED, CODE);
    seeds.change("changed_user", STARTED | SUBJECT, GENERATION);

    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/record");
    fs::remove_dir_all(&directory)?;
    fs::create_dir(&directory)?;
    for (name, seed) in &seeds.0 {
        fs::write(directory.join(name), seed)?;
    }
    println!("{} seeds of record", seeds.0.len());
    Ok(())
}
