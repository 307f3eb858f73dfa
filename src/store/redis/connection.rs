//! The connection of a store: shared by all operations, and replaced if it is lost, hangs or leads to a replica.

use std::{
    fmt,
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Msg, Pipeline, RedisError, RedisFuture, RedisResult,
    ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::loads::Loads;
use crate::timeout::BoxFuture;

/// Timeout of connecting and of a command. The engine's own deadline usually ends first.
const PATIENCE: Duration = Duration::from_secs(2);
/// Timeout of a whole search: finding the server and connecting.
const SEARCH: Duration = Duration::from_secs(10);
/// A caller that gives up after this long with no response indicates a hung connection, not a short deadline.
const SLOW: Duration = Duration::from_millis(100);
/// Time for which a new connection is trusted, and the least time between searches caused by doubt about it.
const TRUSTED: Duration = Duration::from_secs(1);
/// A subscription that is quiet for so long is asked whether it is alive: a firewall forgets connections silently.
const QUIET: Duration = Duration::from_secs(10);
/// Least time between the starts of two searches.
const PAUSE: Duration = Duration::from_millis(100);

/// The connection of [`RedisStore::open`](super::RedisStore::open) and [`discover`](super::RedisStore::discover). If it
/// is lost, hangs or leads to a replica, the server is searched again.
#[derive(Clone)]
pub struct ManagedConnection(Arc<Inner>);

struct Inner {
    find: Box<dyn Fn() -> BoxFuture<'static, RedisResult<Client>> + Send + Sync>,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Option<Arc<Connected>>,
    /// The search in progress, by one task for all waiting operations. It continues if they give up.
    sought: Option<Search>,
    /// When the last search began.
    began: Option<Instant>,
}

type Search = watch::Receiver<Option<RedisResult<Arc<Connected>>>>;

/// A connection in use. Its address identifies it.
pub(super) struct Connected {
    connection: MultiplexedConnection,
    since: Instant,
    /// When this connection last answered, with success or an error.
    answered: Mutex<Instant>,
    /// The loads that wait for this connection.
    pub(super) loads: Loads,
}

/// The state of a connection as an error shows it.
enum Health {
    Good,
    /// It may hang. It stays in use during the search for another one, which may fail.
    Slow,
    /// The server takes no writes or no longer accepts the login; another server may.
    Wrong,
    Lost,
}

impl ManagedConnection {
    /// Searches on this runtime, starting with the first operation.
    pub(super) fn new<F>(find: impl Fn() -> F + Send + Sync + 'static, runtime: Handle) -> Self
    where
        F: Future<Output = RedisResult<Client>> + Send + 'static,
    {
        let find: Box<dyn Fn() -> _ + Send + Sync> = Box::new(move || -> BoxFuture<'static, _> { Box::pin(find()) });
        Self(Arc::new(Inner { find, runtime, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection in use, or the result of a search.
    pub(super) async fn found(&self) -> RedisResult<Arc<Connected>> {
        let mut sought = {
            let mut state = self.state();
            match &state.found {
                Some(found) => return Ok(found.clone()),
                None => state.sought().unwrap_or_else(|| self.search(&mut state)),
            }
        };
        let found = sought.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        // The task ended without a result: it panicked, or its runtime was shut down.
        found.unwrap_or_else(|| Err((ErrorKind::Client, "the search for the server was broken off").into()))
    }

    /// Starts a search.
    fn search(&self, state: &mut State) -> Search {
        let (tell, sought) = watch::channel(None);
        let now = Instant::now();
        let begins = state.began.map_or(now, |began| now.max(began + PAUSE));
        state.began = Some(begins);
        state.sought = Some(sought.clone());
        let managed = self.clone();
        self.0.runtime.spawn(async move {
            sleep_until(begins).await;
            let found = timeout(SEARCH, async { connect(&(managed.0.find)().await?).await }).await;
            let found = found.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
            let found = found.map(Connected::new).map(Arc::new);
            {
                let mut state = managed.state();
                state.sought = None;
                // If nothing was found, the connection in use stays.
                state.found = found.as_ref().ok().or(state.found.as_ref()).cloned();
            }
            tell.send_replace(Some(found));
        });
        sought
    }

    /// Awaits an answer, and checks the connection's health by it.
    pub(super) async fn watch<T>(
        &self,
        found: &Arc<Connected>,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        let answer = self.wait(found, answer).await;
        self.check(found, answer.as_ref().err());
        answer
    }

    /// Awaits an answer whose sender checks the connection's health.
    pub(super) async fn wait<T>(&self, found: &Arc<Connected>, answer: impl Future<Output = T>) -> T {
        let mut waiting = Waiting { managed: self, found, since: Some(Instant::now()) };
        let answer = answer.await;
        waiting.since = None;
        answer
    }

    /// Checks the connection's health by an answer, which may be an error.
    pub(super) fn check(&self, found: &Arc<Connected>, error: Option<&RedisError>) {
        match error.map_or(Health::Good, Health::of) {
            Health::Good => found.has_answered(),
            Health::Wrong if found.since.elapsed() < TRUSTED => found.has_answered(),
            Health::Slow => self.doubt(found),
            Health::Wrong | Health::Lost => self.leave(found),
        }
    }

    /// Reads the messages of a channel, on a connection of its own, until that is lost.
    pub(super) async fn subscribe(&self, channel: &str, hear: impl Fn(Msg)) -> RedisResult<()> {
        let subscribed = timeout(SEARCH, async {
            let mut subscription = (self.0.find)().await?.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok::<_, RedisError>(subscription.split())
        });
        let timed_out = |_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        let (mut commands, mut messages) = subscribed.await.map_err(timed_out)??;
        loop {
            let message = match timeout(QUIET, messages.next()).await {
                Ok(message) => message,
                // A message is a sign of life, too.
                Err(_) => {
                    match select(pin!(timeout(PATIENCE, commands.ping::<Value>())), pin!(messages.next())).await {
                        Either::Left((pong, _)) => {
                            pong.map_err(timed_out)??;
                            continue;
                        }
                        Either::Right((message, _)) => message,
                    }
                }
            };
            match message {
                Some(message) => hear(message),
                None => return Ok(()),
            }
        }
    }

    /// Runs a task on the runtime of the connection.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.runtime.spawn(task);
    }

    /// Stops using a connection: the next operation starts a search.
    fn leave(&self, left: &Arc<Connected>) {
        self.state().found.take_if(|found| Arc::ptr_eq(found, left));
    }

    /// Searches for another connection while this one stays in use, unless a search runs or began less than `TRUSTED`
    /// ago.
    fn doubt(&self, doubted: &Arc<Connected>) {
        let mut state = self.state();
        let is_in_use = state.found.as_ref().is_some_and(|found| Arc::ptr_eq(found, doubted));
        let is_due = [Some(doubted.since), state.began].into_iter().flatten().all(|at| at.elapsed() >= TRUSTED);
        if is_in_use && is_due && state.sought().is_none() {
            self.search(&mut state);
        }
    }
}

impl State {
    /// The search in progress, if its task is still alive.
    fn sought(&self) -> Option<Search> {
        self.sought.clone().filter(|sought| sought.has_changed().is_ok())
    }
}

impl Connected {
    fn new(connection: MultiplexedConnection) -> Self {
        let since = Instant::now();
        Self { connection, since, answered: Mutex::new(since), loads: Loads::default() }
    }

    /// Sends one command. The server's errors arrive as values.
    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        self.connection.clone().send_packed_command(command).await?.extract_error()
    }

    /// Sends commands together. The server's errors stay values.
    pub(super) async fn send_all(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        self.connection.clone().send_packed_commands(commands, 0, commands.len()).await
    }

    fn answered(&self) -> MutexGuard<'_, Instant> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_answered(&self) {
        *self.answered() = Instant::now();
    }

    /// Whether the connection hangs for an operation that has waited since then. Answers arrive in order, so any later
    /// answer shows that it does not.
    fn hangs(&self, since: Instant) -> bool {
        let answered = *self.answered();
        answered <= since && (since.elapsed() >= SLOW || answered.elapsed() >= TRUSTED)
    }
}

impl Health {
    fn of(error: &RedisError) -> Self {
        if error.is_unrecoverable_error() {
            return Self::Lost;
        }
        match (error.kind(), error.code()) {
            (ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown), _)
            | (_, Some("NOREPLICAS" | "NOAUTH")) => Self::Wrong,
            _ if error.is_io_error() => Self::Slow,
            _ => Self::Good,
        }
    }
}

/// An operation in progress. Dropping it means that its caller gave up waiting.
struct Waiting<'a> {
    managed: &'a ManagedConnection,
    found: &'a Arc<Connected>,
    since: Option<Instant>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| self.found.hangs(since)) {
            self.managed.doubt(self.found);
        }
    }
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let info = client.get_connection_info();
    // Commands are small and awaited: Nagle's algorithm would only delay them.
    let at_once = info.tcp_settings().clone().set_nodelay(true);
    let client = Client::open(info.clone().set_tcp_settings(at_once))?;
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl ConnectionLike for ManagedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let found = self.found().await?;
            self.watch(&found, found.send(command)).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let found = self.found().await?;
            let mut connection = found.connection.clone();
            self.watch(&found, connection.send_packed_commands(commands, offset, count)).await
        })
    }

    fn get_db(&self) -> i64 {
        self.state().found.as_ref().map_or(0, |found| found.connection.get_db())
    }
}

/// Prints no address.
impl fmt::Debug for ManagedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManagedConnection(..)")
    }
}
