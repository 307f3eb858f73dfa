//! What a stepped-up user takes: heap and resident memory in process, by structure, and bytes in a shared store.
//! `cargo bench -p benches --bench memory`, or `-- 50000` for another number of users than 200,000.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashMap,
    fs,
    hint::black_box,
    process::{Command, Stdio},
    sync::atomic::{AtomicIsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use moka::{Expiry, ops::compute::Op, sync::Cache};
use testkit::Recorder;
use tower_step_up::{
    Caller, MemoryStore, Recipient, Secret, StepUp, StepUpBuilder, discard,
    store::{Key, Stored},
};

/// Live allocations of each size; the last counts all that are larger.
static LIVE: [AtomicIsize; 1024] = [const { AtomicIsize::new(0) }; 1024];
static BYTES: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn count(layout: Layout, change: isize) {
    LIVE[layout.size().min(LIVE.len() - 1)].fetch_add(change, Relaxed);
    BYTES.fetch_add(change * isize::try_from(layout.size()).unwrap_or(0), Relaxed);
}

// SAFETY: it hands every call on to the system's allocator and keeps numbers beside it.
#[allow(unsafe_code, reason = "a global allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is allocated at one time.
struct Heap {
    bytes: isize,
    live: Vec<isize>,
    resident: isize,
}

impl Heap {
    fn now() -> Self {
        let live = LIVE.iter().map(|size| size.load(Relaxed)).collect();
        Self { bytes: BYTES.load(Relaxed), live, resident: resident() }
    }

    /// Bytes since then, for each of `users`: asked for and resident.
    fn since(&self, before: &Self, users: usize) -> [f64; 2] {
        [self.bytes - before.bytes, self.resident - before.resident].map(|bytes| bytes as f64 / users as f64)
    }

    /// The sizes of what was allocated since then, with how many of each a user has.
    fn sizes_since(&self, before: &Self, users: usize) -> Vec<(usize, f64)> {
        let sizes = self.live.iter().zip(&before.live).enumerate();
        let each = sizes.map(|(size, (now, then))| (size, (now - then) as f64 / users as f64));
        each.filter(|(_, count)| *count > 0.05).collect()
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> isize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<isize>().ok());
    kib.unwrap_or_default() * 1024
}

fn main() {
    let users = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    if let Ok(name) = std::env::var(ONE) {
        return measure(&name, users);
    }
    println!("bytes a user, {users} users stepped up once\n");
    for (name, _) in SETTINGS {
        // A process for each: what one has freed would be resident for the next.
        let this = std::env::current_exe().expect("it runs");
        let status = Command::new(this).arg(users.to_string()).env(ONE, name).stderr(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "{name}");
    }
}

/// Names the only setting that a child process measures.
const ONE: &str = "STEP_UP_MEMORY";

type Setting = (&'static str, fn() -> StepUpBuilder);

const SETTINGS: [Setting; 2] = [("code", plain), ("code, recipient named", named)];

fn measure(name: &str, users: usize) {
    let (_, builder) = SETTINGS.iter().find(|(other, _)| *other == name).expect("it is one of them");
    let store = MemoryStore::with_capacity(users * 4);
    let step_up = builder().store(store.clone()).build().expect("one channel is enough");
    // What is allocated once is not counted.
    step_up_all(&step_up, "warm", 100);
    let before = Heap::now();
    step_up_all(&step_up, "user", users);
    // Until the store's own upkeep has caught up.
    std::thread::sleep(Duration::from_secs(1));
    let after = Heap::now();
    let [heap, resident] = after.since(&before, users);
    println!("{name}: {heap:.0} on the heap, {resident:.0} resident");
    println!("allocations a user, of 1,022 bytes at most: {}\n", list(&after.sizes_since(&before, users)));
    println!("| record | in process | its allocations | encoded, with the key | entry in moka alone |");
    println!("|---|---|---|---|---|");
    records(builder());
    println!();
}

fn list(sizes: &[(usize, f64)]) -> String {
    sizes.iter().map(|(size, count)| format!("{size} x {count:.2}")).collect::<Vec<_>>().join(", ")
}

fn plain() -> StepUpBuilder {
    StepUp::builder().sandbox().otp("SMS", discard)
}

fn named() -> StepUpBuilder {
    plain().enrollment(async |caller: Caller, _: String| Ok(Recipient::new(format!("+49 {}", caller.subject()))))
}

fn step_up_all(step_up: &StepUp, name: &str, users: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread to run on");
    runtime.block_on(async {
        for user in 0..users {
            let caller = Caller::user(format_args!("{name}-{user}")).session("session");
            step_up.start_otp(&caller, "SMS", None).await.expect("the first start is let through");
            step_up.verify_otp(&caller, "SMS", "123456").await.expect("it is the sandbox's code");
        }
    });
}

/// What the records of a user take, each alone.
fn records(builder: StepUpBuilder) {
    const USERS: usize = 10_000;
    let recorder = Recorder::default();
    let secret = |byte| Secret::new([byte; 32]).expect("32 bytes are enough");
    let builder = builder.store(recorder.clone()).record_key(secret(6)).secret(secret(7));
    step_up_all(&builder.build().expect("one channel is enough"), "user", USERS);
    let written = recorder.take().into_iter().filter_map(|change| Some((change.key, change.next?)));
    let last: HashMap<Key, Stored> = written.collect();
    let records: Vec<_> = last.into_iter().collect();

    // A moka that has the records and no copy of them.
    let before = Heap::now();
    let cache = Cache::builder().expire_after(Ttl).build_with_hasher(RandomState::default());
    for (key, stored) in &records {
        cache.entry_by_ref(key).and_compute_with(|_| Op::Put(stored.clone()));
    }
    cache.run_pending_tasks();
    let [moka, _] = Heap::now().since(&before, records.len());

    let mut kinds: HashMap<&str, Vec<Vec<u8>>> = HashMap::new();
    for (_, stored) in &records {
        let json = stored.to_json();
        let kind = ["Session", "Subject", "Recipient"].into_iter().find(|kind| json[2..].starts_with(kind));
        kinds.entry(kind.expect("there are three")).or_default().push(stored.encode());
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_unstable_by_key(|(kind, _)| *kind);
    for (kind, encoded) in kinds {
        let mut copies = Vec::with_capacity(encoded.len());
        let before = Heap::now();
        copies.extend(encoded.iter().map(|bytes| Stored::decode(bytes).expect("it was encoded")));
        let after = Heap::now();
        let [heap, _] = after.since(&before, encoded.len());
        let sizes = after.sizes_since(&before, encoded.len());
        let length = encoded.iter().map(|bytes| bytes.len() + 32).sum::<usize>() as f64 / encoded.len() as f64;
        println!("| {kind} | {heap:.0} | {} | {length:.0} | {moka:.0} |", list(&sizes));
        drop(black_box(copies));
    }
}

struct Ttl;

impl Expiry<Key, Stored> for Ttl {
    fn expire_after_create(&self, _: &Key, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(stored.ttl())
    }
}
