//! The connection of a store: one for all operations, looked for anew whenever it leads nowhere.

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind,
    Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::BoxFuture;

/// How long connecting and a command may take. Mostly the engine gives up before, by its own deadline.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a search may take in all: finding the server, and connecting.
const SEARCH: Duration = Duration::from_secs(10);
/// Who is given up after so long was not merely in a hurry.
const SLOW: Duration = Duration::from_millis(100);
/// A connection that stands, and leads to a replica or is slow, is looked for anew at most so often.
const DOUBTED_AT_MOST: Duration = Duration::from_secs(1);
/// Between the beginnings of two searches, whatever has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The connection of [`RedisStore::open`](super::RedisStore::open) and [`discover`](super::RedisStore::discover). Where it
/// is lost, hangs or leads to a replica, the server is looked for anew.
#[derive(Clone)]
pub struct Managed(Arc<Inner>);

struct Inner {
    find: Box<dyn Fn() -> BoxFuture<RedisResult<Client>> + Send + Sync>,
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    server: Server,
    /// Searches that have begun, and when the last one did.
    searches: u64,
    began: Option<Instant>,
}

enum Server {
    Unknown,
    /// By one task, for whoever waits: it goes on when they give up.
    Sought(watch::Receiver<Option<RedisResult<MultiplexedConnection>>>),
    Found(MultiplexedConnection),
}

/// What an error says about its connection.
enum Verdict {
    Good,
    /// It stands, but the server may be another one by now.
    Doubtful,
    Lost,
}

impl Managed {
    /// Searches on this runtime, and by the first operation.
    pub(super) fn new<F>(find: impl Fn() -> F + Send + Sync + 'static, runtime: Handle) -> Self
    where
        F: Future<Output = RedisResult<Client>> + Send + 'static,
    {
        let state = State { server: Server::Unknown, searches: 0, began: None };
        Self(Arc::new(Inner { find: Box::new(move || Box::pin(find())), runtime, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, and the number of the search that has found it.
    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let (search, mut sought) = {
            let mut state = self.state();
            match &state.server {
                Server::Found(connection) => return Ok((connection.clone(), state.searches)),
                Server::Sought(sought) => (state.searches, sought.clone()),
                Server::Unknown => self.search(&mut state),
            }
        };
        let found = sought.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        let found = found.unwrap_or_else(|| {
            // The task has ended without a word: it has panicked, or its runtime is gone.
            self.give_up(search);
            Err((ErrorKind::Client, "the search for the server was broken off").into())
        });
        Ok((found?, search))
    }

    /// Begins a search.
    fn search(&self, state: &mut State) -> (u64, watch::Receiver<Option<RedisResult<MultiplexedConnection>>>) {
        let (tell, sought) = watch::channel(None);
        let now = Instant::now();
        let begins = state.began.map_or(now, |began| now.max(began + PAUSE));
        *state = State { server: Server::Sought(sought.clone()), searches: state.searches + 1, began: Some(begins) };
        let (managed, search) = (self.clone(), state.searches);
        self.0.runtime.spawn(async move {
            sleep_until(begins).await;
            let found = timeout(SEARCH, async { connect(&(managed.0.find)().await?).await }).await;
            let found = found.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
            managed.end(search, found.as_ref().ok());
            tell.send_replace(Some(found));
        });
        (search, sought)
    }

    /// A search has ended. Where it has found nothing, the next operation begins another.
    fn end(&self, search: u64, found: Option<&MultiplexedConnection>) {
        let mut state = self.state();
        if state.searches == search {
            state.server = found.cloned().map_or(Server::Unknown, Server::Found);
        }
    }

    /// What a search has found, or whether it goes on, is not asked for any more: the next operation begins another.
    fn give_up(&self, search: u64) {
        self.end(search, None);
    }

    /// It is not known whether what a search has found is the right server.
    fn doubt(&self, search: u64) {
        if self.state().began.is_none_or(|began| began.elapsed() >= DOUBTED_AT_MOST) {
            self.give_up(search);
        }
    }

    /// Awaits an answer, and sees whether the connection is still the right one.
    async fn watch<T>(&self, search: u64, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let mut waiting = Waiting { managed: self, search, since: Some(Instant::now()) };
        let answer = answer.await;
        waiting.since = None;
        match answer.as_ref().err().map_or(Verdict::Good, Verdict::of) {
            Verdict::Good => {}
            Verdict::Doubtful => self.doubt(search),
            Verdict::Lost => self.give_up(search),
        }
        answer
    }
}

impl Verdict {
    fn of(error: &RedisError) -> Self {
        if error.is_unrecoverable_error() {
            return Self::Lost;
        }
        let is_replica =
            matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
        if error.is_io_error() || is_replica || error.code() == Some("NOAUTH") {
            return Self::Doubtful;
        }
        Self::Good
    }
}

/// An operation under way. Where it is dropped, somebody has given up waiting.
struct Waiting<'a> {
    managed: &'a Managed,
    search: u64,
    since: Option<Instant>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= SLOW) {
            self.managed.doubt(self.search);
        }
    }
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl ConnectionLike for Managed {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (mut connection, search) = self.connection().await?;
            // What the server has refused comes as a value.
            let answer = async { connection.send_packed_command(command).await?.extract_error() };
            self.watch(search, answer).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (mut connection, search) = self.connection().await?;
            self.watch(search, connection.send_packed_commands(commands, offset, count)).await
        })
    }

    fn get_db(&self) -> i64 {
        match &self.state().server {
            Server::Found(connection) => connection.get_db(),
            Server::Unknown | Server::Sought(_) => 0,
        }
    }
}

/// Prints no address.
impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Managed(..)")
    }
}
