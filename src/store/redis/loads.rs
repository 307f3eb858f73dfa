//! Loads that share pipelines: while some are in flight, the next ones are gathered and sent together.
//!
//! A batch is a pipeline of `GET`, not an `MGET`: that reads a key of another type as absent instead of failing, needs
//! another permission, and is refused by a server in cluster mode.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::{sync::oneshot, task::yield_now};

use super::connection::{Connected, ManagedConnection};

/// Loads in flight that are sent one by one, each by its caller.
const ALONE: usize = 4;
/// Tasks that send batches, each one batch at a time. More make batches small; fewer let a load wait longer for the next
/// batch, which is at most a round trip divided by them.
const TASKS: usize = 4;
/// Loads in a batch.
const BATCH: usize = 128;

/// The loads on one connection.
#[derive(Default)]
pub(super) struct Loads(Mutex<State>);

#[derive(Default)]
struct State {
    alone: usize,
    tasks: usize,
    /// Loads of no batch yet.
    queue: VecDeque<Load>,
}

struct Load {
    get: Cmd,
    answer: Answer,
}

/// Closed if the load was dropped.
type Answer = oneshot::Sender<RedisResult<Value>>;

/// How a load is sent.
enum Turn<'a> {
    /// By its caller.
    Alone(Cmd, Alone<'a>),
    /// By a task: one that runs, or this one.
    Batch(oneshot::Receiver<RedisResult<Value>>, Option<Task>),
}

impl ManagedConnection {
    /// The answer to a `GET`, which is sent after this was called: it never shares the answer to an earlier one, which
    /// the server may have run before a write that the caller knows of.
    pub(super) async fn get(&self, get: Cmd) -> RedisResult<Value> {
        let found = self.found().await?;
        match Loads::turn(&found, get) {
            Turn::Alone(get, _alone) => self.watch(&found, found.send(&get)).await,
            Turn::Batch(answer, task) => {
                if let Some(task) = task {
                    self.spawn(task.run(self.clone()));
                }
                // The task ends without an answer only if its runtime was shut down.
                let lost = || Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                self.wait(&found, answer).await.unwrap_or_else(|_| lost())
            }
        }
    }
}

impl Loads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Few loads are sent at once by their callers, which saves them a task. A caller may stop polling, so no load
    /// waits for another caller, only for tasks.
    fn turn(found: &Arc<Connected>, get: Cmd) -> Turn<'_> {
        let mut state = found.loads.state();
        if state.tasks == 0 && state.alone < ALONE {
            state.alone += 1;
            return Turn::Alone(get, Alone(&found.loads));
        }
        let (answer, receiver) = oneshot::channel();
        state.push(Load { get, answer });
        let is_new = state.tasks < TASKS;
        state.tasks += usize::from(is_new);
        Turn::Batch(receiver, is_new.then(|| Task { found: Arc::clone(found), is_counted: true }))
    }
}

impl State {
    /// Before the queue grows, it forgets dropped loads: it is at most twice as long as the loads that wait.
    fn push(&mut self, load: Load) {
        if self.queue.len() == self.queue.capacity() {
            self.queue.retain(|load| !load.answer.is_closed());
            self.queue.reserve(self.queue.len().max(BATCH));
        }
        self.queue.push_back(load);
    }
}

/// A load that is sent by its caller.
struct Alone<'a>(&'a Loads);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}

/// A task that sends batches until no load waits.
struct Task {
    found: Arc<Connected>,
    is_counted: bool,
}

impl Task {
    async fn run(mut self, managed: ManagedConnection) {
        // Loads that other tasks of this thread are about to begin join the batch.
        yield_now().await;
        while let Some((gets, loads)) = self.next() {
            let answers = self.found.send_all(&gets).await;
            match answers {
                Ok(answers) => {
                    managed.check(&self.found, None);
                    for (load, answer) in loads.into_iter().zip(answers) {
                        let answer = answer.extract_error();
                        if let Err(error) = &answer {
                            managed.check(&self.found, Some(error));
                        }
                        let _ = load.send(answer);
                    }
                }
                Err(error) => {
                    managed.check(&self.found, Some(&error));
                    // The others would only wait for the same.
                    let queue = mem::take(&mut self.found.loads.state().queue);
                    for load in loads.into_iter().chain(queue.into_iter().map(|load| load.answer)) {
                        let _ = load.send(Err(error.clone()));
                    }
                }
            }
            yield_now().await;
        }
    }

    /// The next batch. Without one the task ends.
    fn next(&mut self) -> Option<(Pipeline, Vec<Answer>)> {
        let mut state = self.found.loads.state();
        let (mut gets, mut answers) = (Pipeline::with_capacity(BATCH), Vec::with_capacity(BATCH));
        while answers.len() < BATCH
            && let Some(Load { get, answer }) = state.queue.pop_front()
        {
            if !answer.is_closed() {
                gets.add_command(get);
                answers.push(answer);
            }
        }
        if answers.is_empty() {
            state.tasks -= 1;
            self.is_counted = false;
            return None;
        }
        Some((gets, answers))
    }
}

/// If the runtime was shut down, the loads that wait fail.
impl Drop for Task {
    fn drop(&mut self) {
        if self.is_counted {
            let mut state = self.found.loads.state();
            state.tasks -= 1;
            state.queue.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_loads_leave_the_queue() {
        let mut state = State::default();
        let load = |state: &mut State| {
            let (answer, receiver) = oneshot::channel();
            state.push(Load { get: Cmd::get("key"), answer });
            receiver
        };
        let waiting: Vec<_> = (0..100).map(|_| load(&mut state)).collect();
        for _ in 0..100_000 {
            drop(load(&mut state));
        }
        assert!(state.queue.capacity() < 4 * BATCH, "{}", state.queue.capacity());
        let queued = state.queue.iter().filter(|load| !load.answer.is_closed()).count();
        assert_eq!(queued, waiting.len());
    }
}
