//! A store in process, what steps users up in it, and a way to have its records expire.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use axum::body::Body;
use cpu_time::ThreadTime;
use http::{Request, Response};
use tower::{Service, service_fn};
use tower_step_up::{
    Caller, DeliveryError, MemoryStore, OtpMessage, Policy, RequireStepUp, Requirement, Secret, StepUp, Store,
    store::{Change, Key, StoreError, Stored, Swapped},
};

thread_local! {
    /// The last code that was sent on this thread.
    static SENT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The code that was sent last on this thread.
pub(crate) fn sent() -> String {
    SENT.with_borrow(String::clone)
}

async fn send(message: OtpMessage) -> Result<(), DeliveryError> {
    SENT.set(message.code().expose().to_owned());
    Ok(())
}

/// What requests use, and beside it a second one on the same records that notes the keys of new ones.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) step_up: StepUp,
    pub(crate) noting: StepUp,
    noted: Noting,
}

impl World {
    pub(crate) fn new(capacity: usize) -> Self {
        let store = MemoryStore::with_capacity(capacity);
        let noted = Noting { store: store.clone(), keys: Arc::default() };
        Self { step_up: built(store.clone()), noting: built(noted.clone()), store, noted }
    }

    /// The keys of the records that were inserted through `noting` since the last call.
    pub(crate) fn noted(&self) -> Vec<Key> {
        std::mem::take(&mut self.noted.keys.lock().expect("nothing panics while it is held"))
    }

    /// The change that has a record expire now: what it holds once more, with no time to live. The store frees it as
    /// it frees any other that has expired.
    pub(crate) fn expired(&self, key: &Key) -> Option<Change> {
        let stored = at_once(self.store.load(*key)).ok()??;
        let mut bytes = stored.encode();
        // The last byte of the revision: another state of the record.
        bytes[15] ^= 1;
        let expired = Stored::decode(&bytes).expect("the crate has encoded it");
        Some(Change::new(*key, Some(stored.revision()), Some(expired)))
    }

    /// Has a record expire now, unless somebody uses it at the same time.
    pub(crate) fn expire(&self, key: &Key) {
        drop(self.expired(key).map(|change| at_once(self.store.swap(&[change]))));
    }

    pub(crate) fn holds(&self, key: &Key) -> bool {
        matches!(at_once(self.store.load(*key)), Ok(Some(_)))
    }

    /// Steps up this many users.
    pub(crate) fn users(&self, name: &str, users: usize) -> Vec<Caller> {
        let callers: Vec<_> = (0..users).map(|i| Caller::user(format_args!("{name} {i}")).session(i)).collect();
        for caller in &callers {
            verified(&self.step_up, caller);
        }
        callers
    }
}

pub(crate) fn verified(step_up: &StepUp, caller: &Caller) {
    at_once(step_up.start_otp(caller, "SMS", None)).expect("the first start is let through");
    at_once(step_up.verify_otp(caller, "SMS", &sent())).expect("the code is right");
}

fn built(store: impl Store) -> StepUp {
    let secret = |byte| Secret::new([byte; 32]).expect("32 bytes are enough");
    // A grant outlives the bench.
    let policy = Policy::new().grant_lifetime(Duration::from_secs(12 * 60 * 60));
    let builder = StepUp::builder().otp("SMS", send).proof("PASSKEY").policy(policy).store(store);
    builder.record_key(secret(1)).secret(secret(7)).build().expect("it is sound")
}

/// Polls a future that never waits in process.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}

/// The store in process, with a list of the keys that were inserted.
#[derive(Clone)]
struct Noting {
    store: MemoryStore,
    keys: Arc<Mutex<Vec<Key>>>,
}

impl Store for Noting {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        self.store.load(key).await
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let swapped = self.store.swap(changes).await?;
        let made = match swapped {
            Swapped::Done => changes.len(),
            Swapped::Conflict { at } | Swapped::Full { at } => at,
        };
        let inserted = changes[..made].iter().filter(|change| change.expected.is_none()).map(|change| change.key);
        self.keys.lock().map_err(|_| StoreError::new("poisoned"))?.extend(inserted);
        Ok(swapped)
    }
}

/// A guarded service, as a closure from a caller to the status.
pub(crate) fn guarded(step_up: &StepUp, requirement: Requirement) -> impl FnMut(&Caller) -> u16 + Clone + use<> {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut service = RequireStepUp::with(step_up, requirement).expect("it can be met").layer(inner);
    move |caller| {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(caller.clone());
        let Ok(response) = at_once(service.call(request));
        response.status().as_u16()
    }
}

/// The longest of many calls, by the clock and in CPU time of the thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Longest {
    pub(crate) calls: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Longest {
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let (began, cpu) = (Instant::now(), ThreadTime::now());
        let output = call();
        self.cpu = self.cpu.max(cpu.elapsed());
        self.wall = self.wall.max(began.elapsed());
        self.calls += 1;
        output
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.cpu = self.cpu.max(other.cpu);
        self.wall = self.wall.max(other.wall);
    }

    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}
