//! State that several demos share with `DEMO_REDIS_URL`: logins and accounts here, step-ups in the crate's own store.

use std::error::Error;

use redis::{AsyncTypedCommands, Client, RedisResult, aio::MultiplexedConnection};
use serde_json::json;
use tower_step_up::store::RedisStore;

use super::users::{Account, LOGIN_LIFE};

/// The error of [`Shared`].
pub(super) type Down = redis::RedisError;

/// Logins, accounts and step-ups in Redis.
pub(super) fn open(url: &str) -> Result<(Shared, RedisStore), Box<dyn Error>> {
    Ok((Shared(Client::open(url)?), RedisStore::open(url)?))
}

/// Logins and accounts in Redis.
#[derive(Clone)]
pub(super) struct Shared(Client);

impl Shared {
    /// Opens a connection for each command: a real bank keeps one, as the crate's own store does.
    async fn redis(&self) -> RedisResult<MultiplexedConnection> {
        self.0.get_multiplexed_async_connection().await
    }

    pub(super) async fn login(&self, token: &str, name: &str) -> RedisResult<()> {
        let mut redis = self.redis().await?;
        redis.set_ex(format!("demo:login:{token}"), name, LOGIN_LIFE.as_secs()).await?;
        redis.sadd("demo:names", name).await?;
        Ok(())
    }

    pub(super) async fn find(&self, token: &str) -> RedisResult<Option<String>> {
        self.redis().await?.get(format!("demo:login:{token}")).await
    }

    pub(super) async fn forget(&self, token: &str) -> RedisResult<()> {
        self.redis().await?.del(format!("demo:login:{token}")).await.map(drop)
    }

    pub(super) async fn names(&self) -> RedisResult<Vec<String>> {
        Ok(self.redis().await?.smembers("demo:names").await?.into_iter().collect())
    }

    /// Reads or changes an account. Concurrent changes can be lost, which a real bank must prevent.
    pub(super) async fn with<T>(&self, name: &str, f: impl FnOnce(&mut Account) -> T) -> RedisResult<T> {
        let mut redis = self.redis().await?;
        let key = format!("demo:account:{name}");
        let kept = redis.get(&key).await?.and_then(|text| serde_json::from_str(&text).ok());
        let mut account: Account = kept.unwrap_or_default();
        let before = account.clone();
        let result = f(&mut account);
        if account != before {
            redis.set(key, json!(account).to_string()).await?;
        }
        Ok(result)
    }
}
