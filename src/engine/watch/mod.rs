//! Watches the grants of responses that are still being sent: one task, however many responses there are.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, interval},
};

use self::task::Running;
use super::{Engine, StepUp, records::as_session};
use crate::{
    catch::catch,
    engine::Caller,
    rules::{Ended, Requirement, Stream, Timestamp},
    store::{Key, StoreError, Stored},
};

mod task;

/// How often the ends of grants are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Each session's record is read once in this many ticks, for what other nodes have changed.
const TICKS_PER_READ: u8 = 3;

/// How long a record cannot be read before its responses end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for the end of a step-up. Made by [`StepUp::ended`].
#[must_use = "a future does nothing until it is polled"]
pub struct StepUpEnded {
    engine: Arc<Engine>,
    key: Key,
    /// `None` for a caller who passed without a grant.
    watched: Option<Arc<Watched>>,
    registered: bool,
}

/// A response that goes on.
struct Watched {
    stream: Stream,
    state: Mutex<State>,
}

struct State {
    until: Timestamp,
    ended: Option<Ended>,
    waker: Option<Waker>,
    /// Since when the record cannot be read.
    unanswered: Option<Instant>,
}

/// All responses that are watched.
#[derive(Default)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The number of sessions that are watched: the only thing that a write looks at where nothing is.
    sessions: AtomicUsize,
    by_session: Mutex<Sessions>,
    changed: Notify,
    is_running: AtomicBool,
}

#[derive(Default)]
struct Sessions {
    watched: HashMap<Key, Vec<Arc<Watched>>>,
    /// Those to read at once: they are new, or another process has changed them.
    new: Vec<Key>,
}

impl StepUp {
    /// Waits until the step-up with which a request has passed its guard has ended: for a handler that goes on, such as a
    /// WebSocket. `requirement` is the guard's; it says how long a response may go on
    /// ([`Requirement::stream_for`]), and whether several step-ups are needed.
    ///
    /// A session that steps up again, by the same channel and for the same scope, goes on for longer. A lock ends nothing:
    /// lock and revoke. A caller without a grant has ended at once.
    ///
    /// What this process changes is noticed at once. What other nodes change is noticed within three seconds and the time
    /// that the loads take, 256 of them at once; mostly at once, too, where the store [tells](crate::Store::listen) of it, as
    /// Redis does. The end of a grant is noticed within a second and the time of a load. One
    /// task watches all responses of the process, on the runtime that has polled the first: it has to be driven.
    ///
    /// Bodies of responses are ended by [`RequireStepUp::ending`](crate::RequireStepUp::ending).
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{Router, extract::State, routing::get};
    /// use tower_step_up::{Caller, Ended, RequireStepUp, Requirement, StepUp};
    ///
    /// # async fn next_message() -> String { String::new() }
    /// # async fn send(_: String) {}
    /// async fn follow(State(step_up): State<StepUp>, caller: Caller) -> String {
    ///     let mut ended = step_up.ended(&caller, &Requirement::new());
    ///     loop {
    ///         tokio::select! {
    ///             message = next_message() => send(message).await,
    ///             why = &mut ended => return format!("closed: {why:?}"),
    ///         }
    ///     }
    /// }
    ///
    /// # let step_up = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard).build()?;
    /// let guard = RequireStepUp::new(&step_up);
    /// let app: Router = Router::new().route("/follow", get(follow)).route_layer(guard).with_state(step_up);
    /// # Ok::<_, tower_step_up::ConfigError>(())
    /// ```
    pub fn ended(&self, caller: &Caller, requirement: &Requirement) -> StepUpEnded {
        let watched = caller.grant().map(|grant| {
            let stream = Stream::new(requirement, grant.id(), grant.channel(), grant.scope(), grant.operation());
            let until = stream.end_of(grant.verified_at(), grant.expires_at());
            let state = Mutex::new(State { until, ended: None, waker: None, unanswered: None });
            Arc::new(Watched { stream, state })
        });
        StepUpEnded { engine: Arc::clone(&self.0), key: self.0.session_key(caller), watched, registered: false }
    }
}

impl Future for StepUpEnded {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        let Some(watched) = &this.watched else { return Poll::Ready(Ended::Revoked) };
        {
            let mut state = watched.state();
            if let Some(ended) = state.ended {
                return Poll::Ready(ended);
            }
            if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
        }
        let shared = &this.engine.watch.0;
        if !this.registered {
            this.registered = true;
            shared.register(this.key, watched);
        }
        // Also where the task has ended with its runtime.
        if !shared.is_running.load(Ordering::SeqCst) {
            // Without a runtime, or one without time, nobody would notice the end.
            let Ok(runtime) = Handle::try_current() else { return Poll::Ready(Ended::StoreLost) };
            let Some(ticks) = catch(|| interval(TICK)) else { return Poll::Ready(Ended::StoreLost) };
            if !shared.is_running.swap(true, Ordering::SeqCst) {
                let running = Running { shared: Some(Arc::clone(shared)) };
                runtime.spawn(running.watch(ticks, Arc::downgrade(&this.engine)));
            }
        }
        Poll::Pending
    }
}

impl Drop for StepUpEnded {
    fn drop(&mut self) {
        if let (Some(watched), true) = (&self.watched, self.registered) {
            self.engine.watch.0.remove(&self.key, watched);
        }
    }
}

impl std::fmt::Debug for StepUpEnded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StepUpEnded")
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: Ended) {
        let waker = {
            let mut state = self.state();
            state.ended.get_or_insert(why);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Applies a record that was read, or the failure to read it.
    fn settle(&self, loaded: &Result<Option<Stored>, StoreError>, now: Timestamp) {
        let session = loaded.as_ref().ok().and_then(|stored| as_session(stored.as_ref()).ok());
        let ended = {
            let mut state = self.state();
            match session.map(|session| self.stream.until(session)) {
                Some(Some(until)) => {
                    (state.until, state.unanswered) = (until, None);
                    (now >= until).then_some(Ended::Expired)
                }
                Some(None) => Some(if now >= state.until { Ended::Expired } else { Ended::Revoked }),
                None if now >= state.until => Some(Ended::Expired),
                None => {
                    let since = *state.unanswered.get_or_insert_with(Instant::now);
                    (since.elapsed() >= PATIENCE).then_some(Ended::StoreLost)
                }
            }
        };
        if let Some(why) = ended {
            self.end(why);
        }
    }
}

impl Watch {
    /// A record was written in this process. What follows needs no task, whose runtime may stand still.
    pub(super) fn written(&self, key: &Key, written: Option<&Stored>, now: impl FnOnce() -> Timestamp) {
        // After the write: either this sees the session, or the first read of a new watch sees what was written.
        if self.0.sessions.load(Ordering::SeqCst) == 0 {
            return;
        }
        let watched = self.0.of(key);
        if !watched.is_empty() {
            let (record, now) = (Ok(written.cloned()), now());
            for watched in &watched {
                watched.settle(&record, now);
            }
        }
    }
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.by_session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, key: Key, watched: &Arc<Watched>) {
        let mut sessions = self.sessions();
        sessions.watched.entry(key).or_default().push(Arc::clone(watched));
        // It is read at once: it may have changed since the guard has decided.
        sessions.new.push(key);
        self.sessions.store(sessions.watched.len(), Ordering::SeqCst);
        drop(sessions);
        self.changed.notify_one();
    }

    /// Another process says that it has ended grants of a session: its record is read at once.
    fn hear(&self, key: Key) {
        let mut sessions = self.sessions();
        if sessions.watched.contains_key(&key) {
            sessions.new.push(key);
            drop(sessions);
            self.changed.notify_one();
        }
    }

    fn remove(&self, key: &Key, watched: &Arc<Watched>) {
        let mut sessions = self.sessions();
        if let Some(of_session) = sessions.watched.get_mut(key) {
            of_session.retain(|other| !Arc::ptr_eq(other, watched));
            if of_session.is_empty() {
                sessions.watched.remove(key);
            }
        }
        self.sessions.store(sessions.watched.len(), Ordering::SeqCst);
    }

    /// The sessions to read at once, since the last call.
    fn take_new(&self) -> Vec<Key> {
        let mut sessions = self.sessions();
        let mut new = std::mem::take(&mut sessions.new);
        new.retain(|key| sessions.watched.contains_key(key));
        new.sort_unstable_by_key(|key| *key.as_bytes());
        new.dedup();
        new
    }

    /// Those of responses that are due.
    fn due(&self, now: Timestamp) -> Vec<Key> {
        self.where_any(|_, state| now >= state.until)
    }

    /// Those whose turn it is.
    fn in_turn(&self, turn: u8) -> Vec<Key> {
        self.where_any(|key, _| {
            let [first, ..] = key.as_bytes();
            first % TICKS_PER_READ == turn
        })
    }

    /// The sessions with a response that has not ended and is chosen.
    fn where_any(&self, chosen: impl Fn(&Key, &State) -> bool) -> Vec<Key> {
        let sessions = self.sessions();
        let any = sessions.watched.iter().filter(|(key, responses)| {
            responses.iter().any(|watched| {
                let state = watched.state();
                state.ended.is_none() && chosen(key, &state)
            })
        });
        any.map(|(key, _)| *key).collect()
    }

    fn of(&self, key: &Key) -> Vec<Arc<Watched>> {
        self.sessions().watched.get(key).cloned().unwrap_or_default()
    }
}
