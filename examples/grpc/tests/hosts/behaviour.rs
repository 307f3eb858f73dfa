//! The rows of the table: the behaviour of every host.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use tower_step_up::{Secret, StepUp, discard};

use crate::{
    client::Served,
    host::{Arrangement, Host, caller, step_up},
    slow::Slow,
};

const REFUSED: &str = "STEP_UP_REQUIRED";

/// Steps up a session without the host.
async fn stepped_up(step_up: &StepUp, token: &str) {
    let caller = caller(token).unwrap();
    step_up.start_otp(&caller, "SMS", None).await.unwrap();
    step_up.verify_otp(&caller, "SMS", "123456").await.unwrap();
}

/// The contract from end to end, with the given order of layers.
async fn flow(host: Host, arrangement: Arrangement) {
    let served = Served::new(host, &step_up(), arrangement).await;
    for nobody in [served.pay(""), served.start(""), served.give_up("")] {
        assert_eq!(served.ask(nobody).await, "UNAUTHORIZED");
    }
    let rest = [
        (served.pay("alice-1"), REFUSED),
        (served.verify("alice-1", "123456"), "STATE_INVALID"),
        (served.start("alice-1"), "passed"),
        (served.pay("alice-1"), REFUSED),
        (served.verify("alice-1", "000000"), "VERIFICATION_CODE_INVALID"),
        (served.pay("alice-1"), REFUSED),
        (served.verify("alice-2", "123456"), "STATE_INVALID"),
        (served.verify("bob-1", "123456"), "STATE_INVALID"),
        (served.verify("alice-1", "123456"), "passed"),
        (served.pay("alice-1"), "passed"),
        (served.verify("alice-1", "123456"), "ALREADY_VERIFIED"),
        (served.start("alice-1"), "RETRY_IN_15SEC"),
        (served.pay("alice-2"), REFUSED),
        (served.pay("bob-1"), REFUSED),
        (served.give_up("alice-2"), "passed"),
        (served.pay("alice-1"), "passed"),
        (served.give_up("alice-1"), "passed"),
        (served.pay("alice-1"), REFUSED),
    ];
    let mut connection = served.connect().await;
    for (step, (call, expected)) in rest.into_iter().enumerate() {
        let heard = connection.send(call).await.unwrap();
        assert_eq!(heard.word(), expected, "step {step}: {heard:?}");
        assert_eq!(heard.leaks(), expected == "passed" && [9, 15].contains(&step), "step {step}");
    }
}

pub(crate) async fn refused_started_verified_passed_and_dropped(host: Host) {
    flow(host, Arrangement::Usual).await;
}

pub(crate) async fn a_guard_applied_again_shares_its_state(host: Host) {
    flow(host, Arrangement::Again).await;
}

pub(crate) async fn a_guard_outside_the_authentication_refuses_every_request(host: Host) {
    let step_up = step_up();
    let served = Served::new(host, &step_up, Arrangement::WrongOrder).await;
    stepped_up(&step_up, "alice-1").await;
    for token in ["", "alice-1", "bob-1"] {
        let heard = served.hear(served.pay(token)).await;
        assert_eq!((heard.word().as_str(), heard.leaks()), ("UNAUTHORIZED", false));
    }
}

pub(crate) async fn a_guard_around_everything_covers_fallbacks_and_challenge_endpoints(host: Host) {
    let step_up = step_up();
    let served = Served::new(host, &step_up, Arrangement::Everything).await;
    stepped_up(&step_up, "alice-1").await;
    let calls = |token| {
        [
            served.pay(token),
            served.later(token),
            served.start(token),
            served.call("/nothing", token),
            served.call("/no.Such/Thing", token),
        ]
    };
    for call in calls("bob-1") {
        assert_eq!(served.ask(call).await, REFUSED);
    }
    for call in calls("") {
        assert_eq!(served.ask(call).await, "UNAUTHORIZED");
    }
    for call in calls("alice-1") {
        let path = call.path.clone();
        let word = served.ask(call).await;
        assert!(![REFUSED, "UNAUTHORIZED"].contains(&&*word), "{path}: {word}");
    }
}

pub(crate) async fn routes_added_later_are_open(host: Host) {
    let served = Served::new(host, &step_up(), Arrangement::Usual).await;
    assert_eq!(served.ask(served.pay("bob-1")).await, REFUSED);
    for token in ["bob-1", ""] {
        assert_eq!(served.ask(served.later(token)).await, "passed");
        assert_eq!(served.ask(served.call("/nothing", token)).await, "not found");
    }
}

/// T22: guarded content is returned only with a grant, for every method and path.
pub(crate) async fn spellings_and_methods_never_bypass_the_guard(host: Host) {
    let step_up = step_up();
    let served = Served::new(host, &step_up, Arrangement::Usual).await;
    stepped_up(&step_up, "alice-1").await;
    let (plain, first) = (host.guarded(), host.guarded().as_bytes()[1]);
    let spellings = [
        plain.to_owned(),
        format!("/{plain}"),
        format!("//{plain}"),
        format!("{plain}/"),
        format!("/.{plain}"),
        format!("/x/..{plain}"),
        format!("{}/..{plain}", host.later()),
        format!("/%{first:02x}{}", &plain[2..]),
        format!("/%25{first:02x}{}", &plain[2..]),
        plain.to_uppercase(),
        format!("{plain}?x=1"),
        format!("{plain};x"),
        format!("{plain}%2f"),
        format!("{plain}%00"),
    ];
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PAY"];
    for method in methods.map(|method| Method::from_bytes(method.as_bytes()).unwrap()) {
        let mut connection = served.connect().await;
        for path in &spellings {
            let heard = connection.send(served.pay("bob-1").method(&method).path(path)).await;
            let heard = heard.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
            assert!(!heard.leaks(), "{method} {path}");
            let word = heard.word();
            assert_ne!(word, "passed", "{method} {path}");
            if path == plain && method != Method::HEAD {
                assert_eq!(word, REFUSED, "{method}");
            }
        }
    }
    let heard = served.hear(served.pay("alice-1")).await;
    assert!(heard.word() == "passed" && heard.leaks());
}

pub(crate) async fn headers_that_override_the_method_or_the_path_do_not_count(host: Host) {
    let step_up = step_up();
    let served = Served::new(host, &step_up, Arrangement::Usual).await;
    stepped_up(&step_up, "alice-1").await;
    let later = host.later();
    for (name, value) in [
        ("x-http-method", "GET"),
        ("x-http-method-override", "OPTIONS"),
        ("x-method-override", "HEAD"),
        ("x-original-url", later),
        ("x-rewrite-url", later),
        ("x-forwarded-prefix", later),
        ("x-stepup-grant", "alice-1"),
        ("x-stepup-session", "alice-1"),
        ("x-stepup-sandbox", "true"),
        ("x-forwarded-user", "alice"),
        ("cookie", "authorization=Bearer alice-1"),
    ] {
        let heard = served.hear(served.pay("bob-1").header(name, value)).await;
        assert_eq!((heard.word().as_str(), heard.leaks()), (REFUSED, false), "{name}");
    }
}

/// T21: an identity in a second header or in trailers is not accepted.
pub(crate) async fn only_the_configured_source_of_identity_counts(host: Host) {
    let step_up = step_up();
    let served = Served::new(host, &step_up, Arrangement::Usual).await;
    stepped_up(&step_up, "alice-1").await;
    let pay = |token| served.pay(token);
    for (call, expected) in [
        (pay("alice-1"), "passed"),
        (pay("alice-1").also_from("alice-1"), "UNAUTHORIZED"),
        (pay("alice-1").also_from("bob-1"), "UNAUTHORIZED"),
        (pay("bob-1").also_from("alice-1"), "UNAUTHORIZED"),
        (pay("").at_last_from("alice-1"), "UNAUTHORIZED"),
        (pay("bob-1").at_last_from("alice-1"), REFUSED),
        (pay("alice-1").at_last_from("bob-1"), "passed"),
        (served.start("").at_last_from("alice-1"), "UNAUTHORIZED"),
        (served.start("bob-1").also_from("alice-1"), "UNAUTHORIZED"),
        (served.start("bob-1"), "passed"),
        (served.verify("mallory-1", "123456").at_last_from("bob-1"), "STATE_INVALID"),
        (served.verify("bob-1", "123456").at_last_from("mallory-1"), "passed"),
    ] {
        let described = format!("{:?} {:?} {}", call.headers, call.trailers, call.path);
        let heard = served.hear(call).await;
        assert_eq!(heard.word(), expected, "{described}");
    }
    assert_eq!(served.ask(served.pay("mallory-1")).await, REFUSED);
}

/// T1: over HTTP/2 as streams of one connection, over HTTP/1 as a hundred connections.
pub(crate) async fn a_hundred_concurrent_wrong_codes_lock_the_user(host: Host) {
    let served = Served::new(host, &step_up(), Arrangement::Usual).await;
    assert_eq!(served.ask(served.start("alice-1")).await, "passed");
    let mut last = served.connect().await;
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(match last.stream() {
            Some(stream) => stream,
            None => served.connect().await,
        });
    }
    let guesses = connections.into_iter().enumerate().map(|(code, mut connection)| {
        let wrong = served.verify("alice-1", &format!("{code:06}"));
        tokio::spawn(async move { connection.send(wrong).await.unwrap().word() })
    });
    let guesses: Vec<_> = guesses.collect();
    let mut words = BTreeMap::<String, usize>::new();
    for guess in guesses {
        *words.entry(guess.await.unwrap()).or_default() += 1;
    }
    let compared = ["VERIFICATION_CODE_INVALID", "ONE_CHALLENGE_LIMIT_REMAINING", "CHALLENGE_LIMIT_EXCEEDED"];
    let compared: usize = compared.iter().filter_map(|word| words.get(*word)).sum();
    assert!((1..=5).contains(&compared), "{words:?}");
    let not_compared: usize =
        ["limited", "STATE_INVALID", "UNAVAILABLE"].iter().filter_map(|word| words.get(*word)).sum();
    assert_eq!(compared + not_compared, 100, "{words:?}");

    let right = last.send(served.verify("alice-1", "123456")).await.unwrap().word();
    assert!(["limited", "STATE_INVALID"].contains(&&*right), "{right}");
    assert_eq!(served.ask(served.pay("alice-1")).await, REFUSED);
}

/// T29: a request that is reset after it was sent is counted, at whatever point it was cancelled.
pub(crate) async fn a_hundred_cancelled_attempts_lock_the_user(host: Host) {
    let store = Slow::default();
    let secret = Secret::new([7; 32]).unwrap();
    let step_up = StepUp::builder()
        .sandbox()
        .otp("SMS", discard)
        .store(store.clone())
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(secret);
    let served = Served::new(host, &step_up.build().unwrap(), Arrangement::Usual).await;
    assert_eq!(served.ask(served.start("alice-1")).await, "passed");
    let mut connection = served.connect().await;
    let mut cancelled = 0;
    for code in 0..100 {
        let wait = Duration::from_micros(200 * (code % 50));
        let guess = connection.send(served.verify("alice-1", &format!("{code:06}")));
        match tokio::time::timeout(wait, guess).await {
            Ok(Ok(_)) => {}
            // The server limits resets, or this was HTTP/1.
            Ok(Err(_)) => connection = served.connect().await,
            Err(_) => cancelled += 1,
        }
    }
    let right = served.ask(served.verify("alice-1", "123456")).await;
    assert!(["limited", "STATE_INVALID"].contains(&&*right), "{right}");
    assert_eq!(served.ask(served.pay("alice-1")).await, REFUSED);
    println!("{cancelled} cancelled, {} store operations cut off", store.cut_off());
    assert!(cancelled >= 10 && store.cut_off() >= 1, "{cancelled} {}", store.cut_off());
}
