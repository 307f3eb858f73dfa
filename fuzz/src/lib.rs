//! Shared code of the targets: a store with readable contents, a runtime with paused time, and the checks of every
//! response.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_step_up::{
    ManualClock, Secret, StepUp, StepUpBuilder,
    store::{Change, Key, Revision, Store, StoreError, Stored, Swapped},
};

pub mod request_text;

/// A store as an application would write it: bytes behind their revision. Clones share the contents.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Kept>>);

/// The contents of a [`Shelf`], and its loads and writes.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub records: HashMap<Key, Vec<u8>>,
    pub asked: Vec<Key>,
    pub written: usize,
}

impl Shelf {
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Restores earlier contents.
    pub fn restore(&self, kept: &Kept) {
        *self.kept() = kept.clone();
    }

    /// A builder over this store, with a stopped clock.
    pub fn builder(&self) -> StepUpBuilder {
        let secret = Secret::new([7; 32]).expect("32 bytes are enough");
        StepUp::builder()
            .store(self.clone())
            .record_key(Secret::new([1; 32]).expect("32 bytes are enough"))
            .secret(secret)
            .clock(ManualClock::new())
    }
}

impl Store for Shelf {
    async fn load(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        let mut kept = self.kept();
        kept.asked.push(key);
        kept.records.get(&key).map(|bytes| Stored::decode(bytes)).transpose()
    }

    async fn swap(&self, changes: &[Change]) -> Result<Swapped, StoreError> {
        let mut kept = self.kept();
        for (at, Change { key, expected, next, .. }) in changes.iter().enumerate() {
            let current = kept.records.get(key).map(|bytes| Revision::of(bytes)).transpose()?;
            if current != *expected {
                return Ok(Swapped::Conflict { at });
            }
            kept.written += 1;
            match next {
                Some(next) => drop(kept.records.insert(*key, next.encode())),
                None => drop(kept.records.remove(key)),
            }
        }
        Ok(Swapped::Done)
    }
}

/// Runs a future on a runtime with paused time, which advances to the next deadline when all tasks wait.
pub fn run<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("it needs nothing of the system but time");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// A response that has passed the checks of every response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// `null` if there is no body.
    pub json: Value,
}

impl Answer {
    /// # Panics
    ///
    /// If a check fails.
    pub fn new<B: http_body::Body>(answer: Response<B>) -> Self {
        let (parts, body) = answer.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        let Ok(body) = run(body.collect()) else { panic!("{status}: its body breaks off") };
        let body = body.to_bytes();
        for (name, value) in &headers {
            let visible = value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~'));
            assert!(visible, "{status}: {name}: {value:?} is not visible ASCII");
        }
        assert_eq!(headers.get(CACHE_CONTROL).map(HeaderValue::as_bytes), Some(&b"no-store"[..]), "{status}");
        let reference = headers.get("request-ref").map_or(&b""[..], |value| value.as_bytes());
        assert!(reference.len() == 32 && reference.iter().all(u8::is_ascii_hexdigit), "{status}: {reference:?}");
        let json = if headers.get(CONTENT_TYPE).is_some_and(|value| value == "application/json") {
            serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{status}: {error} in {body:?}"))
        } else {
            assert!(body.is_empty(), "{status}: nothing declares {body:?}");
            Value::Null
        };
        Self { status, headers, body, json }
    }

    /// A header's value, empty if absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
