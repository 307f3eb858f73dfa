//! Records in Redis or Valkey (feature `redis`), shared by several processes.

use std::{
    any::Any,
    fmt,
    future::{Future, pending, ready},
    sync::Arc,
};

use ::redis::{
    Client, Cmd, IntoConnectionInfo, Msg, RedisError, RedisResult, Script, aio::ConnectionLike, from_redis_value,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use tokio::runtime::Handle;

pub use self::connection::ManagedConnection;
use self::eviction::eviction_policies;
use super::{Change, Key, Revision, Store, StoreError, StoreWarning, Stored, Swapped};

mod connection;
mod eviction;
mod loads;

/// Compares the revision of each record, its first 16 bytes, and only then sets or deletes them all, atomically. Every
/// key is set with an expiry, so a crash leaves no key without one. Returns 0, or the number of the record that is not
/// as expected. A record that is already the one to be written has been sent before by a client library that lost the
/// answer: that counts as done, not as a conflict (T33). An expiry is from one millisecond to a hundred years: with another
/// one the server would refuse a record after it has written those before. A change that ends grants is published, where the
/// server's user may.
const SWAP: &str = r"
local due = {}
for i, key in ipairs(KEYS) do
  local expected, after = ARGV[4 * i - 3], ARGV[4 * i - 2]
  local revision = redis.call('GETRANGE', key, 0, 15)
  if after == '' or revision ~= string.sub(after, 1, 16) then
    if revision ~= expected then return i end
    due[#due + 1] = i
  end
end
for _, i in ipairs(due) do
  local after, message = ARGV[4 * i - 2], ARGV[4 * i]
  if after == '' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], after, 'PX', ARGV[4 * i - 1]) end
  if message ~= '' then redis.pcall('PUBLISH', ARGV[#ARGV], message) end
end
return 0";

/// Keeps records in Redis 7 or later, or in Valkey, so that several processes see the same challenges and grants.
///
/// A load is one `GET`, and a swap is one script, which changes all of a user's records or none. There is no cache: what
/// one process revokes, every other process refuses at its next request. The guard costs one round trip, a start and a
/// verification two each.
///
/// # Example
///
/// ```no_run
/// use tower_step_up::{Secret, StepUp, store::RedisStore};
///
/// # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
/// # fn secret(_: &str) -> Vec<u8> { vec![7; 32] }
/// // Call it within the application's runtime. It connects with the first request.
/// let store = RedisStore::open("rediss://step-up:password@redis.example/")?;
/// let step_up = StepUp::builder()
///     .otp("SMS", send_sms)
///     .store(store)
///     .record_key(Secret::new(secret("records"))?)
///     .secret(Secret::new(secret("codes"))?)
///     .build()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
///
/// - **The server must not evict**: `maxmemory-policy noeviction`. Evicting a record loses a lock.
/// - **[The record key](crate::StepUpBuilder::record_key) must never be rotated.** Another one loses every lock and
///   count. Codes are digested under [another secret](crate::StepUpBuilder::secret), which may be rotated.
/// - Replication is asynchronous: a failover may lose the last writes, see `docs/operations.md`.
#[derive(Clone)]
pub struct RedisStore<C = ManagedConnection> {
    connection: C,
    shared: Arc<Scripts>,
}

struct Scripts {
    prefix: String,
    insert: Script,
    /// The same for a record that exists. It is written even if the server is out of memory, because a revocation or
    /// lock that cannot be written would be a bypass (T36). Only new records are refused then.
    change: Script,
}

impl RedisStore {
    /// A store at one address, such as `redis://host/`, `rediss://user:password@host:6380/` (TLS needs a TLS feature of
    /// the crate `redis` in the application) or `unix:///path`. It connects with the first operation and again whenever
    /// the connection is lost, so a server that is down when this is called is no error. Call it within a tokio
    /// runtime, which must live as long as the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the address is invalid, or outside of a tokio runtime.
    pub fn open(address: impl IntoConnectionInfo) -> Result<Self, StoreError> {
        let client = Client::open(address).map_err(failed)?;
        Self::discover(move || ready(Ok(client.clone())))
    }

    /// A store at an address that may change: `find` locates the server. It is called with the first operation, and
    /// again if the connection is lost or refused, hangs, or leads to a server that takes no writes. Use it for
    /// Sentinel, service discovery, rotated passwords, and TLS with a private certificate authority
    /// (`redis::Client::build_with_tls`). Call it within a tokio runtime, which must live as long as the store.
    ///
    /// All waiting operations share one search, which continues if they give up; finding and connecting may take ten
    /// seconds. If it fails, those operations are refused, and the next one searches again. A connection that hangs
    /// stays in use until another is found. `find` is called at most ten times a second, and at most once a second
    /// while there is a connection; it must not block its thread.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::sync::Arc;
    ///
    /// use redis::{RedisConnectionInfo, TlsMode};
    /// use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
    /// use tokio::sync::Mutex;
    /// use tower_step_up::store::RedisStore;
    ///
    /// # async fn send_sms(_: tower_step_up::OtpMessage) -> Result<(), tower_step_up::DeliveryError> { Ok(()) }
    /// // The application must enable the feature `sentinel` of the crate `redis`.
    /// let sentinels = vec!["redis://a.example:26379/", "redis://b.example:26379/", "redis://c.example:26379/"];
    /// let user = RedisConnectionInfo::default().set_username("step-up").set_password("password");
    /// let server =
    /// SentinelNodeConnectionInfo::default().set_tls_mode(TlsMode::Secure).set_redis_connection_info(user); let
    /// sentinel = SentinelClient::build(sentinels, "step-up", Some(server), SentinelServerType::Master)?; let sentinel
    /// = Arc::new(Mutex::new(sentinel)); let find = move || {
    ///     let sentinel = Arc::clone(&sentinel);
    ///     async move { sentinel.lock().await.async_get_client().await }
    /// };
    /// let store = RedisStore::discover(find)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError`] outside of a tokio runtime.
    ///
    /// # Security
    ///
    /// `find` must return the server that takes the writes. On a replica, a guard could miss a revocation.
    pub fn discover<F>(find: impl Fn() -> F + Send + Sync + 'static) -> Result<Self, StoreError>
    where
        F: Future<Output = RedisResult<Client>> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|_| {
            StoreError::new("redis: open the store within a tokio runtime, which drives its connection")
        })?;
        Ok(Self::over(ManagedConnection::new(find, runtime)))
    }
}

impl<C> RedisStore<C> {
    /// A store over the application's own connection, such as a `redis::cluster_async::ClusterConnection`. It is cloned
    /// for each operation and must reconnect by itself. The records of a user and of their sessions have the same hash
    /// tag, so that a cluster keeps them in one slot. It must not read from replicas.
    pub fn over(connection: C) -> Self {
        Self {
            connection,
            shared: Arc::new(Scripts {
                prefix: "step-up:".into(),
                insert: Script::new(SWAP),
                change: Script::new(&format!("#!lua flags=allow-oom\n{SWAP}")),
            }),
        }
    }

    /// The prefix of every key. Default `step-up:`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let Scripts { insert, change, .. } = &*self.shared;
        let shared = Scripts { prefix: prefix.into(), insert: insert.clone(), change: change.clone() };
        Self { shared: Arc::new(shared), ..self }
    }

    /// The channel on which changes that end grants are published.
    fn channel(&self) -> String {
        [&self.shared.prefix, "ended"].concat()
    }

    /// The group as a hash tag, then the rest of the key.
    fn name(&self, key: &Key) -> String {
        let (own, group) = key.as_bytes().split_at(key.as_bytes().len() - key.group().len());
        let [own, group] = [own, group].map(Base64UrlUnpadded::encode_string);
        [&self.shared.prefix, "{", &group, "}", &own].concat()
    }
}

impl<C: ConnectionLike + Clone> RedisStore<C> {
    /// Swaps all or nothing, on one server.
    async fn swap_group(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let insert = changes.iter().position(|change| change.expected.is_none());
        let script = if insert.is_some() { &self.shared.insert } else { &self.shared.change };
        let mut swap = script.prepare_invoke();
        for Change { key, expected, next, ends_grants } in changes {
            swap.key(self.name(key));
            swap.arg(expected.map(Revision::to_bytes).as_ref().map_or(&[][..], |bytes| bytes));
            swap.arg(next.as_ref().map(Stored::encode).unwrap_or_default());
            // Rounded up: an earlier expiry could lose a lock.
            let millis = next.as_ref().map_or(1, |next| next.ttl().as_nanos().div_ceil(1_000_000).max(1));
            swap.arg(u64::try_from(millis).unwrap_or(u64::MAX).min(LONGEST));
            swap.arg(if *ends_grants { &key.as_bytes()[..] } else { &[] });
        }
        swap.arg(self.channel());
        match (swap.invoke_async::<usize>(&mut self.connection.clone()).await, insert) {
            (Ok(0), _) => Ok(Swapped::Done),
            (Ok(number), _) => Ok(Swapped::Conflict { at: number - 1 }),
            // The server is out of memory: only new records are refused, as by any full store.
            (Err(error), Some(at)) if error.code() == Some("OOM") => Ok(Swapped::Full { at }),
            (Err(error), _) => Err(failed(error)),
        }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// The bytes under a key. An application's own connection gets one command for each load.
    async fn get(&self, key: &Key) -> RedisResult<Option<Vec<u8>>> {
        let get = Cmd::get(self.name(key));
        match (&self.connection as &dyn Any).downcast_ref::<ManagedConnection>() {
            Some(managed) => Ok(from_redis_value(managed.get(get).await?)?),
            None => get.query_async(&mut self.connection.clone()).await,
        }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Store for RedisStore<C> {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        let mut answer = self.get(&key).await;
        // An idle connection may have been closed; a load has no side effects, so it can be repeated.
        if answer.as_ref().is_err_and(is_lost) {
            answer = self.get(&key).await;
        }
        answer.map_err(failed)?.map(|bytes| Stored::decode(&bytes)).transpose()
    }

    /// Runs one script for all changes of a group, because a cluster may keep another group elsewhere.
    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let mut begins_at = 0;
        for changes in changes.chunk_by(|a, b| self.is_atomic() && a.key.group() == b.key.group()) {
            match self.swap_group(changes).await? {
                Swapped::Done => begins_at += changes.len(),
                Swapped::Conflict { at } => return Ok(Swapped::Conflict { at: begins_at + at }),
                Swapped::Full { at } => return Ok(Swapped::Full { at: begins_at + at }),
            }
        }
        Ok(Swapped::Done)
    }

    /// Unless the prefix contains the braces that would make a cluster spread the records of one user.
    fn is_atomic(&self) -> bool {
        !self.shared.prefix.contains("{}")
    }

    /// On a connection of its own. An application's own connection hears nothing.
    async fn listen(&self, changed: impl Fn(Key) + Send + Sync) -> Result<(), StoreError> {
        let Some(managed) = (&self.connection as &dyn Any).downcast_ref::<ManagedConnection>() else {
            return pending().await;
        };
        let hear = |message: Msg| {
            if let Ok(key) = message.get_payload_bytes().try_into() {
                changed(Key::from_bytes(key));
            }
        };
        managed.subscribe(&self.channel(), hear).await.map_err(failed)
    }

    async fn check(&self) -> Result<(), StoreWarning> {
        let policies = eviction_policies(&mut self.connection.clone()).await;
        let policies = policies.map_err(|why| StoreWarning::Unknown { why: failed(why).to_string() })?;
        if policies.is_empty() {
            return Err(StoreWarning::Unknown { why: "redis: no maxmemory-policy is named".into() });
        }
        match policies.into_iter().find(|policy| policy != "noeviction") {
            Some(policy) => Err(StoreWarning::Evicts { policy }),
            None => Ok(()),
        }
    }
}

/// A hundred years in milliseconds: the server rejects an expiry beyond the range of its clock.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Whether an established connection was lost.
fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// The kind of an error and the server's own code: its text could name an address.
fn failed(error: RedisError) -> StoreError {
    let what = match error.code() {
        Some(code) => code,
        None if error.is_timeout() => "timed out",
        None if error.is_connection_refusal() => "connection refused",
        None if is_lost(&error) => "connection lost",
        // Usually a private certificate authority; "I/O error" would not lead to the cause.
        None if error.to_string().contains("certificate") => "certificate not accepted",
        None => error.category(),
    };
    StoreError::new(format!("redis: {what}"))
}

/// Prints neither keys nor the address, which may hold a password.
impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.shared.prefix).finish_non_exhaustive()
    }
}
