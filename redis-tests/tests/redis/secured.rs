//! TLS, and a server user with exactly the rights in `docs/operations.md`.

use std::{
    fs,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::{Client, TlsCertificates};
use tower_step_up::{
    AuthorizeError, Caller, ChallengeError, Event, Policy, PushReply, Requirement, Secret, StepUp, Store, discard,
    store::{RedisStore, conformance},
};

use crate::server::{Claim, Server, until};

pub(crate) const PASSWORD: &str = "canary-password";

/// Creates the documented user on a server, with additional rights.
pub(crate) fn make_user(server: &Server, besides: &[&'static str]) {
    assert_eq!(server.say(&[&documented(), besides].concat()), "+OK\r\n");
}

/// The documented command.
fn documented() -> Vec<&'static str> {
    let lines = include_str!("../../../docs/operations.md").lines();
    let line = lines.map(str::trim).find(|line| line.starts_with("ACL SETUSER step-up ")).expect("it is documented");
    line.split(' ').map(|word| if word == ">PASSWORD" { ">canary-password" } else { word }).collect()
}

/// A self-signed certificate for `localhost`, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A server with TLS on a second port, and the documented user.
struct Secured {
    server: Server,
    tls: Claim,
    authority: String,
}

impl Secured {
    fn start() -> Self {
        let (certificate, key) = certificate();
        let tls = Claim::new();
        let file = |name: &str, content: &str| {
            let path = tls.directory().join(name);
            fs::write(&path, content).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let (certificate_file, key_file) = (file("cert.pem", &certificate), file("key.pem", &key));
        let server = Server::with(&[
            "--tls-port",
            &tls.port().to_string(),
            "--tls-cert-file",
            &certificate_file,
            "--tls-key-file",
            &key_file,
            "--tls-auth-clients",
            "no",
        ]);
        make_user(&server, &[]);
        Self { server, tls, authority: certificate }
    }

    fn address(&self, password: &str) -> String {
        format!("rediss://step-up:{password}@localhost:{}/", self.tls.port())
    }

    fn store(&self, password: &str, authority: &str) -> RedisStore {
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(authority.into()) };
        let client = Client::build_with_tls(self.address(password), certificates).unwrap();
        RedisStore::discover(move || ready(Ok(client.clone()))).unwrap()
    }

    fn trusted(&self) -> RedisStore {
        self.store(PASSWORD, &self.authority)
    }
}

/// The store errors of a node.
#[derive(Clone, Default)]
struct Reported(Arc<Mutex<Vec<String>>>);

impl Reported {
    fn node(&self, store: RedisStore) -> StepUp {
        let reported = self.clone();
        StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .push("BIO", discard)
            .policy(Policy::new().store_deadline(Duration::from_secs(10)))
            .store(store)
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([2; 32]).unwrap())
            .observe(move |event: &Event<'_>| {
                if let Event::StoreFailed { error, .. } = event {
                    reported.0.lock().unwrap().push(format!("{error} {error:?}"));
                }
            })
            .build()
            .unwrap()
    }

    /// Asserts that everything is refused, for this reason, and that no error contains a secret.
    async fn refuses(&self, node: &StepUp, why: &str) {
        let alice = Caller::user("alice").session("1");
        assert_eq!(node.authorize(&alice, &Requirement::new()).await.unwrap_err(), AuthorizeError::Unavailable);
        assert_eq!(node.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Unavailable));
        let reported = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(!reported.is_empty());
        for reported in reported {
            assert!(reported.contains(why), "{reported}");
            assert!(
                !reported.contains("canary") && !reported.contains("localhost") && !reported.contains("step-up:"),
                "{reported}"
            );
        }
    }
}

/// Runs every store operation; returns whether they succeeded.
async fn everything(node: &StepUp) -> bool {
    let (alice, new) = (Caller::user("alice").session("1"), Caller::user("alice").session("2"));
    let push = async {
        let push = node.start_push(&alice, "BIO", None).await.ok()?;
        node.answer_push("alice", &push.id, PushReply::Approve).await.ok()
    };
    let all = async {
        node.start_otp(&alice, "SMS", None).await.is_ok()
            && node.verify_otp(&alice, "SMS", "123456").await.is_ok()
            && node.authorize(&alice, &Requirement::new().once()).await.is_ok()
            && push.await.is_some()
            && node.transfer(&alice, &new).await.is_ok()
            && node.authorize(&new, &Requirement::new()).await.is_ok()
            && node.revoke_all("alice").await.is_ok()
    };
    Box::pin(all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_user_has_all_needed_rights_over_tls() {
    let secured = Secured::start();
    assert!(everything(&Reported::default().node(secured.trusted())).await);
    let store = secured.trusted().prefix("step-up:suite:");
    conformance::records_are_kept_whole(store.clone()).await;
    conformance::one_swap_of_many_is_done(store.clone()).await;
    conformance::inserts_and_deletes_take_turns(store).await;
    // Longer than a subscription is quiet before it is asked whether it is alive.
    tokio::time::timeout(Duration::from_secs(13), secured.trusted().listen(drop)).await.unwrap_err();
    let refused = secured.server.say(&["ACL", "LOG"]);
    let objects = refused.split("object\r\n").skip(1).filter_map(|rest| rest.split("\r\n").nth(1));
    assert!(objects.clone().all(|object| object == "client|setinfo"), "{:?}", objects.collect::<Vec<_>>());
}

#[tokio::test]
async fn each_right_of_the_documented_user_but_four_is_needed() {
    let rights = documented().into_iter().filter_map(|word| word.strip_prefix('+'));
    let (optional, rights): (Vec<_>, Vec<_>) =
        rights.partition(|right| ["info", "publish", "subscribe", "ping"].contains(right));
    let secured = Secured::start();
    for right in &optional {
        secured.server.say(&["ACL", "SETUSER", "step-up", &format!("-{right}")]);
    }
    assert_eq!(optional.len(), 4);
    assert!(everything(&Reported::default().node(secured.trusted())).await, "without {optional:?}");
    assert!(secured.trusted().listen(drop).await.unwrap_err().to_string().contains("NOPERM"));
    assert!(rights.len() > 4, "{rights:?}");
    for right in rights {
        let secured = Secured::start();
        secured.server.say(&["ACL", "SETUSER", "step-up", &format!("-{right}")]);
        let reported = Reported::default();
        let node = reported.node(secured.trusted());
        assert!(!everything(&node).await, "without {right}");
        let reported = reported.0.lock().unwrap().join(" ");
        assert!(reported.contains("NOPERM") || reported.contains("ERR"), "without {right}: {reported}");
    }
}

#[tokio::test]
async fn the_documented_user_has_no_rights_on_other_keys() {
    let secured = Secured::start();
    let reported = Reported::default();
    reported.refuses(&reported.node(secured.trusted().prefix("other:")), "redis: NOPERM").await;
}

#[tokio::test]
async fn another_database_needs_one_more_right() {
    for (besides, works) in [(&[][..], false), (&["+select"], true)] {
        let server = Server::start();
        make_user(&server, besides);
        let address = format!("redis://step-up:{PASSWORD}@127.0.0.1:{}/1", server.port());
        let node = Reported::default().node(RedisStore::open(address).unwrap());
        assert_eq!(everything(&node).await, works, "{besides:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let secured = Secured::start();
    let reported = Reported::default();
    reported
        .refuses(&reported.node(secured.store("canary-wrong", &secured.authority)), "redis: authentication failed")
        .await;
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    let secured = Secured::start();
    let reported = Reported::default();
    let (another, _) = certificate();
    reported.refuses(&reported.node(secured.store(PASSWORD, &another)), "redis: certificate not accepted").await;
    // The system's authorities do not know it either, and a plain connection fails.
    let system = reported.node(RedisStore::open(secured.address(PASSWORD)).unwrap());
    reported.refuses(&system, "redis: ").await;
    let plain = format!("redis://step-up:{PASSWORD}@localhost:{}/", secured.tls.port());
    reported.refuses(&reported.node(RedisStore::open(plain).unwrap()), "redis: ").await;
}

/// After a password rotation, the new password is used for new connections.
#[tokio::test]
async fn a_password_may_be_rotated() {
    let secured = Secured::start();
    let password = Arc::new(Mutex::new(PASSWORD.to_owned()));
    let (authority, port, current) = (secured.authority.clone(), secured.tls.port(), Arc::clone(&password));
    let find = move || {
        let address = format!("rediss://step-up:{}@localhost:{port}/", current.lock().unwrap());
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(authority.clone().into()) };
        ready(Client::build_with_tls(address, certificates))
    };
    let node = Reported::default().node(RedisStore::discover(find).unwrap());
    assert!(everything(&node).await);
    secured.server.say(&["ACL", "SETUSER", "step-up", "resetpass", ">canary-next"]);
    secured.server.say(&["CLIENT", "KILL", "USER", "step-up"]);
    "canary-next".clone_into(&mut password.lock().unwrap());
    until(async || node.start_otp(&Caller::user("bob").session("1"), "SMS", None).await.is_ok()).await;
}
