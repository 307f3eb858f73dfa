//! Prompts: one for all requests that wait for the same thing, and one of a session at a time.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use crate::{Channels, PromptError, Requirement, challenges::Wire, target::Target};

/// How many prompts that have ended are remembered, for requests that were sent before.
const REMEMBERED: usize = 64;

type Outcome = Result<(), PromptError>;
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// What a request waits for: two requests with the same share a prompt.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    target: Target,
    wire: Wire,
    scope: Option<String>,
    max_age: Option<Duration>,
    channels: Channels,
    all: bool,
}

impl Key {
    pub(crate) fn new(target: Target, wire: Wire, requirement: &Requirement) -> Self {
        Self {
            target,
            wire,
            scope: requirement.scope().map(str::to_owned),
            max_age: requirement.max_age(),
            channels: requirement.channels().clone(),
            all: requirement.all(),
        }
    }
}

/// The prompts of a layer.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// Counts what is sent and what ends, to know which was first.
    now: u64,
    flights: HashMap<Key, WeakShared<BoxFuture<'static, Outcome>>>,
    ended: VecDeque<(Key, u64, Outcome)>,
    queues: HashMap<Target, Weak<Queue<()>>>,
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

impl Turns {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moment at which a request is sent.
    pub(crate) fn now(&self) -> u64 {
        self.table().tick()
    }

    /// Waits until no other prompt of this session runs.
    pub(crate) async fn turn(&self, target: &Target) -> OwnedMutexGuard<()> {
        let queue = {
            let queues = &mut self.table().queues;
            queues.retain(|_, queue| queue.strong_count() > 0);
            let known = queues.get(target).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let queue = Arc::new(Queue::new(()));
                queues.insert(target.clone(), Arc::downgrade(&queue));
                queue
            })
        };
        queue.lock_owned().await
    }

    /// The outcome of the prompt that a request waits for, which was refused and sent at `sent`.
    ///
    /// A prompt that has ended since then is the one that this request has waited for: its refusal was late.
    pub(crate) async fn share<F>(self: &Arc<Self>, key: Key, sent: u64, prompt: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let flight = self.join(key, sent, prompt);
        match flight {
            Ok(flight) => flight.await,
            Err(outcome) => outcome,
        }
    }

    fn join<F>(self: &Arc<Self>, key: Key, sent: u64, prompt: impl FnOnce() -> F) -> Result<Flight, Outcome>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut table = self.table();
        if let Some((.., outcome)) = table.ended.iter().rev().find(|(of, at, _)| *of == key && *at > sent) {
            return Err(outcome.clone());
        }
        if let Some(flight) = table.flights.get(&key).and_then(WeakShared::upgrade) {
            return Ok(flight);
        }
        let (turns, of, prompt) = (Arc::clone(self), key.clone(), caught(prompt()));
        let flight = async move {
            let outcome = prompt.await;
            turns.end(of, outcome.clone());
            outcome
        };
        let flight = flight.boxed().shared();
        // Those whose requests were all dropped go.
        table.flights.retain(|_, flight| flight.upgrade().is_some());
        table.flights.extend(flight.downgrade().map(|flight| (key, flight)));
        Ok(flight)
    }

    fn end(&self, key: Key, outcome: Outcome) {
        let mut table = self.table();
        table.flights.remove(&key);
        let now = table.tick();
        table.ended.push_back((key, now, outcome));
        if table.ended.len() > REMEMBERED {
            table.ended.pop_front();
        }
    }
}

/// A prompt that panics fails, and so do the requests that wait for it.
pub(crate) async fn caught(prompt: impl Future<Output = Outcome>) -> Outcome {
    AssertUnwindSafe(prompt).catch_unwind().await.unwrap_or(Err(PromptError::Panicked))
}
