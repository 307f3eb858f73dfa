//! Many loads at once, which share pipelines.

use std::{
    future::{Future, poll_fn, ready},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use futures_util::{future::join_all, poll};
use redis::Client;
use testkit::Recorder;
use tokio::time::timeout;
use tower_step_up::{
    Secret, StepUp, discard,
    store::{Change, Key, RedisStore, Revision, Store, Stored, Swapped},
};

use crate::server::{Server, until};

/// The changes of what an application does.
async fn changes(what: impl AsyncFnOnce(&StepUp)) -> Vec<Change> {
    let recorder = Recorder::default();
    let node = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .store(recorder.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([2; 32]).unwrap());
    what(&node.build().unwrap()).await;
    recorder.take()
}

/// Records on a server, each with its revision.
async fn records(store: &RedisStore, count: usize) -> Vec<(Key, Option<Revision>)> {
    let changes = changes(async |node| {
        for i in 0..count {
            node.lock(&format!("user {i}")).await.unwrap();
        }
    });
    let mut records = Vec::new();
    for change in changes.await {
        assert_eq!(store.swap(std::slice::from_ref(&change)).await.unwrap(), Swapped::Done);
        records.push((change.key, revision(change.next)));
    }
    assert_eq!(records.len(), count);
    records
}

fn revision(record: Option<Stored>) -> Option<Revision> {
    record.map(|record| record.revision())
}

/// The first polls of a future; `None` if it is dropped after these.
async fn polled<F: Future>(future: F, mut polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let Some(left) = polls.checked_sub(1) else { return Poll::Ready(None) };
        polls = left;
        let output = future.as_mut().poll(cx).map(Some);
        if output.is_pending() && polls == 0 { Poll::Ready(None) } else { output }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_load_gets_its_own_record() {
    let server = Server::start();
    let store = server.store();
    let records = Arc::new(records(&store, 500).await);
    let tasks = (0..2000_usize).map(|task| {
        let (store, records) = (store.clone(), Arc::clone(&records));
        tokio::spawn(async move {
            for round in 0..5 {
                let (key, expected) = records[(task * 7 + round * 13) % records.len()];
                assert_eq!(revision(store.load(key).await.unwrap()), expected);
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|done| done.unwrap());
}

/// While other loads of the same key are in flight at all times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_sees_every_swap_before_it() {
    let server = Server::start();
    let store = server.store();
    let changes = changes(async |node| {
        for _ in 0..500 {
            node.lock("user").await.unwrap();
            node.unlock("user").await.unwrap();
        }
    })
    .await;
    let key = changes[0].key;
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    store.load(key).await.unwrap();
                }
            })
        })
        .collect();
    for change in &changes {
        assert_eq!(store.swap(std::slice::from_ref(change)).await.unwrap(), Swapped::Done);
        let expected = revision(change.next.clone());
        let loads = join_all((0..8).map(|_| store.load(key))).await;
        assert!(loads.into_iter().all(|load| revision(load.unwrap()) == expected), "an older record");
    }
    for reader in readers {
        assert!(!reader.is_finished());
        reader.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_loads_lose_no_others() {
    let server = Server::start();
    let store = server.store();
    let records = records(&store, 200).await;
    for polls in 0..8 {
        for _ in 0..10 {
            let tasks = records.iter().enumerate().map(|(i, &(key, expected))| {
                let store = store.clone();
                tokio::spawn(async move {
                    let polls = if i % 2 == 0 { polls } else { usize::MAX };
                    let load = polled(store.load(key), polls).await;
                    assert!(load.is_some() || i % 2 == 0);
                    assert!(load.is_none_or(|load| revision(load.unwrap()) == expected));
                })
            });
            join_all(tasks).await.into_iter().for_each(|done| done.unwrap());
        }
    }
}

/// A load whose caller neither polls nor drops it holds up no others.
#[tokio::test]
async fn a_load_that_is_not_polled_holds_up_no_others() {
    let server = Server::start();
    let store = server.store();
    let records = records(&store, 1).await;
    let (key, expected) = records[0];
    let mut kept: Vec<_> = (0..500).map(|_| Box::pin(store.load(key))).collect();
    for load in &mut kept {
        assert!(poll!(load).is_pending());
    }
    for _ in 0..3 {
        for load in join_all((0..500).map(|_| store.load(key))).await {
            assert_eq!(revision(load.unwrap()), expected);
        }
    }
    for load in join_all(kept).await {
        assert_eq!(revision(load.unwrap()), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_fails_every_load() {
    let mut server = Server::start();
    let store = server.store();
    let records = records(&store, 100).await;
    for round in 0..3 {
        server.signal("STOP");
        let tasks: Vec<_> = (0..1000)
            .map(|i| {
                let (store, key) = (store.clone(), records[i % records.len()].0);
                tokio::spawn(async move { store.load(key).await })
            })
            .collect();
        // In flight, or still to be sent.
        tokio::time::sleep(Duration::from_millis(50 * round)).await;
        server.kill();
        for load in join_all(tasks).await {
            assert!(load.unwrap().is_err(), "refused");
        }
        server.again();
        until(async || store.load(records[0].0).await.is_ok_and(|record| record.is_none())).await;
        assert!(join_all(records.iter().map(|(key, _)| store.load(*key))).await.iter().all(Result::is_ok));
    }
}

/// A connection that is lost while loads wait for it is repaired without an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_are_repeated_after_a_lost_connection() {
    let server = Server::start();
    let store = server.store();
    let records = Arc::new(records(&store, 100).await);
    for _ in 0..10 {
        // A load is repeated once, so the connection of the last round must not be lost in this one.
        until(async || store.load(records[0].0).await.is_ok()).await;
        let tasks: Vec<_> = (0..1000)
            .map(|i| {
                let (store, (key, expected)) = (store.clone(), records[i % records.len()]);
                tokio::spawn(async move { revision(store.load(key).await.unwrap()) == expected })
            })
            .collect();
        server.say(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert!(join_all(tasks).await.into_iter().all(|load| load.unwrap()));
    }
}

/// Loads that wait in a batch and are given up indicate a hung connection, as others do.
#[tokio::test]
async fn a_hung_connection_is_left_by_loads_at_once() {
    let (old, new) = (Server::start(), Server::start());
    let address = Arc::new(Mutex::new(old.address()));
    let found = Arc::clone(&address);
    let store = RedisStore::discover(move || ready(Client::open(found.lock().unwrap().as_str()))).unwrap();
    let records = records(&store, 1).await;
    let (key, expected) = records[0];
    *address.lock().unwrap() = new.address();
    old.signal("STOP");
    // More than are sent one by one: the next ones wait in a batch.
    let mut kept: Vec<_> = (0..10).map(|_| Box::pin(store.load(key))).collect();
    for load in &mut kept {
        assert!(poll!(load).is_pending());
    }
    until(async || {
        let load = timeout(Duration::from_millis(150), store.load(key)).await;
        load.is_ok_and(|load| load.is_ok_and(|record| record.is_none()))
    })
    .await;
    old.signal("CONT");
    for load in join_all(kept).await {
        assert!(load.is_err() || load.is_ok_and(|record| revision(record) == expected), "never absent");
    }
}

/// A value that is no record, and a key that holds no value: absence would permit what a lock denies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_value_fails_only_its_own_load() {
    for (commands, why) in
        [(&[&["SET", "", "corrupt"][..]][..], "cannot read"), (&[&["DEL", ""], &["LPUSH", "", "x"]], "WRONGTYPE")]
    {
        let server = Server::start();
        let store = server.store();
        let records = records(&store, 100).await;
        let name = &server.keys()[50];
        for command in commands {
            server.say(&command.iter().map(|word| if word.is_empty() { name } else { *word }).collect::<Vec<_>>());
        }
        for _ in 0..10 {
            let mut errors = Vec::new();
            let loads = records.iter().map(|(key, _)| store.load(*key));
            for (load, (_, expected)) in join_all(loads).await.into_iter().zip(&records) {
                match load {
                    Ok(record) => assert_eq!(revision(record), *expected),
                    Err(error) => errors.push(error.to_string()),
                }
            }
            assert_eq!(errors.len(), 1);
            assert!(errors[0].contains(why), "{}", errors[0]);
        }
    }
}

/// How often the server has read from a connection.
fn reads(server: &Server) -> i64 {
    let info = server.say(&["INFO", "stats"]);
    let line = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:")).expect("since Redis 6");
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn loads_at_once_are_read_together() {
    let server = Server::start();
    let store = server.store();
    let records = records(&store, 1).await;
    let key = records[0].0;
    let before = reads(&server);
    for _ in 0..1000 {
        store.load(key).await.unwrap();
    }
    let alone = reads(&server) - before;
    assert!(alone >= 1000, "{alone}");
    join_all((0..1000).map(|_| store.load(key))).await.into_iter().for_each(|load| drop(load.unwrap()));
    let at_once = reads(&server) - before - alone;
    assert!(at_once < 50, "{at_once}");
}
