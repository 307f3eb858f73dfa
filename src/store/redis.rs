//! Records in Redis or Valkey (feature `redis`): several processes, one truth.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ::redis::{
    Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult, Script,
    ServerErrorKind, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};
use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::runtime::Handle;

use super::{BoxFuture, Key, Lookup, Revision, Store, StoreError, Stored, Swapped};
use crate::code::Secret;

/// Compares the revision, the first 16 bytes, and sets or deletes: nobody's write comes in between. What is set ends
/// by itself, so no crash leaves a key without an end.
const SWAP: &str = r"
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1";

/// How long a connection attempt and a command may take. Mostly the engine gives up before, by its own deadline.
const PATIENCE: Duration = Duration::from_secs(2);
/// Who is given up after so long was not merely in a hurry.
const SLOW: Duration = Duration::from_millis(100);
/// A connection is replaced at most so often.
const REPLACED_AT_MOST: Duration = Duration::from_secs(1);

/// Keeps records in Redis or Valkey, 6 or later, so that several processes see the same challenges and grants.
///
/// A load is one `GET`, a swap one script on one key. There is no cache in front: what one process revokes is refused
/// by every other at its next request. The guard costs one round trip.
///
/// # Example
///
/// ```no_run
/// use tower_step_up::{Secret, StepUp, store::RedisStore};
///
/// # fn secret(_: &str) -> Vec<u8> { vec![7; 32] }
/// // In the application's runtime. It connects with the first request.
/// let store = RedisStore::open("rediss://step-up:password@redis.example/", Secret::new(secret("records"))?)?;
/// let step_up = StepUp::builder()
///     .otp("SMS", tower_step_up::discard)
///     .store(store.prefix("bank:step-up:"))
///     .secret(Secret::new(secret("codes"))?)
///     .build()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
///
/// - **The server must not evict**: `maxmemory-policy noeviction`. An evicted record is a forgotten lock.
/// - **The key of the records is never rotated.** Under it the users' ids become the names of keys, so that nobody
///   who reads the database finds users by trying ids. With another key, every lock and count is forgotten. Codes are
///   digested under [another secret](crate::StepUpBuilder::secret), which may be rotated.
/// - Replication is not synchronous: a fail-over may lose the last writes, see `docs/operations.md`.
#[derive(Clone)]
pub struct RedisStore<C = Managed> {
    connection: C,
    shared: Arc<Shared>,
}

struct Shared {
    prefix: String,
    names: Hmac<Sha256>,
    swap: Script,
}

impl RedisStore {
    /// A store at one address, such as `redis://host/`, `rediss://user:password@host:6380/` (TLS needs a TLS feature of
    /// the crate `redis` in the application) or `unix:///path`. It connects with the first operation and again whenever
    /// the connection is lost, so a server that is down when this is called is no error. Call it within a tokio runtime,
    /// which must live as long as the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the address is none, and outside of a runtime.
    pub fn open(address: impl IntoConnectionInfo, key_of_records: Secret) -> Result<Self, StoreError> {
        if Handle::try_current().is_err() {
            return Err(StoreError::new("redis: open the store within a tokio runtime, which drives its connection"));
        }
        let client = Client::open(address).map_err(failed)?;
        Ok(Self::over(Managed::new(client)?, key_of_records))
    }
}

impl<C> RedisStore<C> {
    /// A store over a connection of the application's own, such as a `redis::cluster_async::ClusterConnection`, or one
    /// that Sentinel has found: any that is cloned for each operation and reconnects by itself. Every operation is on
    /// one key, so a cluster needs no hash tags. It must not read from replicas.
    pub fn over(connection: C, key_of_records: Secret) -> Self {
        let names = key_of_records.mac();
        Self { connection, shared: Arc::new(Shared { prefix: "step-up:".into(), names, swap: Script::new(SWAP) }) }
    }

    /// What stands in front of every key. Default `step-up:`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let Shared { names, swap, .. } = &*self.shared;
        let shared = Shared { prefix: prefix.into(), names: names.clone(), swap: swap.clone() };
        Self { shared: Arc::new(shared), ..self }
    }

    /// The name of a key: its digest under the key of the records.
    fn name(&self, key: &Key) -> String {
        let digest = self.shared.names.clone().chain_update(b"step-up/record\0").chain_update(key.as_bytes());
        let digest = Base64UrlUnpadded::encode_string(&digest.finalize().into_bytes());
        format!("{}{digest}", self.shared.prefix)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Store for RedisStore<C> {
    type Load = BoxFuture<Result<Option<Stored>, StoreError>>;

    fn load(&self, key: &Key) -> Lookup<Self::Load> {
        let (mut connection, name) = (self.connection.clone(), self.name(key));
        Lookup::Pending(Box::pin(async move {
            let bytes: Option<Vec<u8>> = Cmd::get(name).query_async(&mut connection).await.map_err(failed)?;
            bytes.map(|bytes| Stored::decode(&bytes)).transpose()
        }))
    }

    async fn swap(&self, key: &Key, expected: Option<Revision>, next: Option<Stored>) -> Result<Swapped, StoreError> {
        let mut connection = self.connection.clone();
        let mut swap = self.shared.swap.key(self.name(key));
        swap.arg(expected.map(Revision::to_bytes).as_ref().map_or(&[][..], |bytes| bytes));
        swap.arg(next.as_ref().map(Stored::encode).unwrap_or_default());
        // Rounded up: deleting it earlier forgets a lock.
        let millis = next.as_ref().map_or(1, |next| next.ttl().as_nanos().div_ceil(1_000_000).max(1));
        swap.arg(u64::try_from(millis).unwrap_or(u64::MAX).min(LONGEST));
        match swap.invoke_async::<i64>(&mut connection).await {
            Ok(1) => Ok(Swapped::Done),
            Ok(_) => Ok(Swapped::Conflict),
            // The server takes no more: only what is new is refused so, as with any store that is full.
            Err(error) if expected.is_none() && error.code() == Some("OOM") => Ok(Swapped::Full),
            Err(error) => Err(failed(error)),
        }
    }
}

/// A hundred years in milliseconds: the server refuses an end past the range of its clock.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// The kind of an error and the server's own code: its text could name an address.
fn failed(error: RedisError) -> StoreError {
    match error.code() {
        Some(code) => StoreError::new(format_args!("redis: {code}")),
        None => StoreError::new(format_args!("redis: {}", error.category())),
    }
}

/// Prints neither keys nor the address, which may hold a password.
impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.shared.prefix).finish_non_exhaustive()
    }
}

/// The connection of [`RedisStore::open`]: one for all operations, which reconnects by itself, also where the server has
/// become a replica or does not answer any more.
#[derive(Clone)]
pub struct Managed(Arc<Inner>);

struct Inner {
    client: Client,
    current: Mutex<ConnectionManager>,
    began: Instant,
    /// When it was replaced last, in milliseconds from the beginning.
    replaced: AtomicU64,
}

impl Managed {
    fn new(client: Client) -> Result<Self, StoreError> {
        let current = Mutex::new(connect(&client).map_err(failed)?);
        Ok(Self(Arc::new(Inner { client, current, began: Instant::now(), replaced: AtomicU64::new(0) })))
    }

    fn current(&self) -> ConnectionManager {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Awaits an answer, and replaces a connection that leads to a replica or nowhere: the name may lead to another
    /// server by now.
    async fn watch<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let mut waiting = Waiting { managed: self, since: Some(Instant::now()) };
        let answer = answer.await;
        waiting.since = None;
        if let Err(error) = &answer
            && (error.is_timeout() || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly))
        {
            self.replace();
        }
        answer
    }

    fn replace(&self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.0.replaced.load(Ordering::Relaxed);
        let is_due = Duration::from_millis(now.saturating_sub(last)) >= REPLACED_AT_MOST || last == 0;
        let is_mine =
            || self.0.replaced.compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        // Who gives up may do so after the runtime has gone.
        if is_due
            && Handle::try_current().is_ok()
            && is_mine()
            && let Ok(next) = connect(&self.0.client)
        {
            *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = next;
        }
    }
}

/// An operation under way. Where it is dropped, somebody has given up waiting.
struct Waiting<'a> {
    managed: &'a Managed,
    since: Option<Instant>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= SLOW) {
            self.managed.replace();
        }
    }
}

fn connect(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        // The next operation tries again.
        .set_number_of_retries(0);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

impl ConnectionLike for Managed {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut current = self.current();
            self.watch(current.send_packed_command(command)).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut current = self.current();
            self.watch(current.send_packed_commands(commands, offset, count)).await
        })
    }

    fn get_db(&self) -> i64 {
        self.0.client.get_connection_info().redis_settings().db()
    }
}

/// Prints no address.
impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Managed(..)")
    }
}
