//! An allocator that counts what is live, and the resident memory of the process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicIsize, Ordering::Relaxed},
};

/// Allocations from this size on are counted as tables.
const TABLE: usize = 64 << 10;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static TABLES: AtomicIsize = AtomicIsize::new(0);
/// The most that was live since the last look.
static PEAK: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn count(size: usize, sign: isize) {
    let bytes = sign * isize::try_from(size).unwrap_or(0);
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    if live > PEAK.load(Relaxed) {
        PEAK.fetch_max(live, Relaxed);
    }
    if size >= TABLE {
        TABLES.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: it hands every call on to the system's allocator and keeps numbers beside it.
#[allow(unsafe_code, reason = "a global allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory at one time, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// What the process has asked for and not freed.
    pub(crate) live: f64,
    /// The most of it since the last look.
    pub(crate) peak: f64,
    /// The part of it in allocations of 64 KiB and more: the tables of maps.
    pub(crate) tables: f64,
    /// What the system has given to the process.
    pub(crate) resident: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn memory() -> Memory {
    let mib = |bytes: isize| bytes as f64 / f64::from(1 << 20);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<isize>().ok());
    Memory {
        live: mib(LIVE.load(Relaxed)),
        peak: mib(PEAK.swap(LIVE.load(Relaxed), Relaxed)),
        tables: mib(TABLES.load(Relaxed)),
        resident: mib(kib.unwrap_or_default() * 1024),
    }
}
