//! One thread a process that frees what has expired, so that no request has to.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

/// How often it runs: below moka's 300 ms threshold, so maintenance never runs on a request.
const INTERVAL: Duration = Duration::from_millis(200);

/// Something that has to be tidied now and then.
pub(super) trait Upkeep: Send + Sync + 'static {
    fn run(&self);
}

/// What is kept, and whether the thread is there.
struct Kept {
    stores: Vec<Weak<dyn Upkeep>>,
    running: bool,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { stores: Vec::new(), running: false });

/// Maintains it for as long as somebody else holds it. If no thread can be started, writes do the work.
pub(super) fn add<U: Upkeep>(store: &Arc<U>) {
    let weak = Arc::downgrade(store);
    // The lock guards a list and a flag, neither of which a panic could leave half-way.
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

/// Ends when nothing is left to keep.
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
