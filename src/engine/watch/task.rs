//! The task that watches: reads the records of watched sessions, in turn and when another process says so.

use std::{
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};
use tokio::time::{Interval, MissedTickBehavior, sleep};

use super::{Shared, TICK, TICKS_PER_READ};
use crate::{
    catch::catch_async,
    engine::{Engine, Event},
    store::{Backend, Key, StoreError},
};

/// Most loads in flight.
const LOADS: usize = 256;

/// After how long a store is listened to again.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// The task. However it ends, another one takes its place where anything is still watched.
pub(super) struct Running {
    pub(super) shared: Option<Arc<Shared>>,
}

impl Running {
    pub(super) async fn watch(self, ticks: Interval, engine: Weak<Engine>) {
        let (Some(shared), Some(store)) = (&self.shared, engine.upgrade().map(|engine| engine.store.clone())) else {
            return;
        };
        let shared = Arc::clone(shared);
        let (read, listen) = (pin!(self.read(ticks, engine)), pin!(shared.listen(&store)));
        select(read, listen).await;
    }

    async fn read(mut self, mut ticks: Interval, engine: Weak<Engine>) {
        let Some(shared) = self.shared.clone() else { return };
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        loop {
            let ticked = {
                let (tick, changed) = (pin!(ticks.tick()), pin!(shared.changed.notified()));
                matches!(select(tick, changed).await, Either::Left(_))
            };
            let Some(engine) = engine.upgrade() else { return };
            turn = if ticked { (turn + 1) % TICKS_PER_READ } else { turn };
            // What is new or due does not wait for the others.
            engine.read_watched(&shared, shared.take_new()).await;
            if ticked {
                engine.read_watched(&shared, shared.due(engine.now())).await;
                engine.read_watched(&shared, shared.in_turn(turn)).await;
            }
            let sessions = shared.sessions();
            if sessions.watched.is_empty() {
                shared.is_running.store(false, Ordering::SeqCst);
                self.shared = None;
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        shared.is_running.store(false, Ordering::SeqCst);
        // The first future that is polled starts another task.
        let watched: Vec<_> = shared.sessions().watched.values().flatten().cloned().collect();
        for watched in watched {
            let waker = watched.state().waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Shared {
    /// Never returns. A store that cannot be listened to is asked again: what is missed is read in turn.
    async fn listen(&self, store: &Backend) {
        // A short response is over before its store needs a connection for it.
        sleep(TICK).await;
        loop {
            drop(catch_async(store.listen(|key| self.hear(key))).await);
            sleep(LISTEN_AGAIN).await;
        }
    }
}

impl Engine {
    async fn read_watched(&self, shared: &Shared, keys: Vec<Key>) {
        let loads = keys.into_iter().map(async |key| {
            // A store that panics for one record must not end the watch of the others.
            let loaded = catch_async(self.look_up(&key)).await;
            (key, loaded.unwrap_or_else(|| Err(StoreError::new("the store panicked"))))
        });
        let mut loads = stream::iter(loads).buffer_unordered(LOADS);
        let mut failure = None;
        while let Some((key, loaded)) = loads.next().await {
            let now = self.now();
            for watched in shared.of(&key) {
                watched.settle(&loaded, now);
            }
            failure = failure.or(loaded.err());
        }
        // Once for all of them.
        if let Some(error) = &failure {
            self.emit(&Event::StoreFailed { error });
        }
    }
}
