//! One thread per process that frees expired records, so that requests rarely have to.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

/// Interval of the thread: below moka's 300 ms threshold, so maintenance runs on a request only once 64 writes of
/// a cache are queued.
const INTERVAL: Duration = Duration::from_millis(200);

/// A store that needs periodic maintenance.
pub(super) trait Upkeep: Send + Sync + 'static {
    fn run(&self);
}

/// The stores to maintain, and whether the thread runs.
struct Kept {
    stores: Vec<Weak<dyn Upkeep>>,
    running: bool,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { stores: Vec::new(), running: false });

/// Maintains a store while a strong reference exists. If no thread can be spawned, writers do the maintenance.
pub(super) fn add<U: Upkeep>(store: &Arc<U>) {
    let weak = Arc::downgrade(store);
    // Ignoring poison is safe: a panic cannot leave the list or the flag in an invalid state.
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.stores.push(weak);
    if !kept.running {
        kept.running = thread::Builder::new().name("step-up-upkeep".into()).spawn(run).is_ok();
    }
}

/// How many times a store is in the list.
#[cfg(test)]
pub(super) fn times_kept<U: Upkeep>(store: &Weak<U>) -> usize {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.stores.iter().filter(|kept| std::ptr::addr_eq(kept.as_ptr(), store.as_ptr())).count()
}

/// Ends when no store is left.
fn run() {
    loop {
        thread::sleep(INTERVAL);
        let stores: Vec<_> = {
            let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
            kept.stores.retain(|store| store.strong_count() > 0);
            if kept.stores.is_empty() {
                kept.running = false;
                return;
            }
            kept.stores.iter().filter_map(Weak::upgrade).collect()
        };
        for store in stores {
            store.run();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Instant,
    };

    use super::*;

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Upkeep for Counts {
        fn run(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_runs_while_somebody_holds_the_store() {
        let store = Arc::new(Counts::default());
        add(&store);
        let started = Instant::now();
        while store.0.load(Ordering::SeqCst) < 2 {
            assert!(started.elapsed() < Duration::from_secs(60), "still not run after a minute");
            thread::sleep(Duration::from_millis(20));
        }
        let weak = Arc::downgrade(&store);
        assert_eq!(times_kept(&weak), 1);
        drop(store);
        while weak.strong_count() > 0 || times_kept(&weak) > 0 {
            assert!(started.elapsed() < Duration::from_secs(60), "still held, or listed, after a minute");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
