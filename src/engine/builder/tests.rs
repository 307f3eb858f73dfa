//! Tests of what the builder accepts and refuses.

use std::{cell::Cell, time::Duration};

use super::*;
use crate::{
    engine::{Caller, DeliveryError, Recipient, StepUp, discard},
    rules::{ChallengeError, ConfigError, RandomFailed},
    store::{Change, Key, StoreError, Stored, Swapped},
};

fn builder() -> StepUpBuilder {
    StepUp::builder().otp("SMS", ignored)
}

/// A sender of codes or pushes that is never called.
async fn ignored<M: Send>(_: M) -> Result<(), DeliveryError> {
    Ok(())
}

fn refuses_challenge(value: &str) -> (StepUpBuilder, Option<ConfigError>) {
    (builder().authenticate(value), Some(ConfigError::InvalidAuthenticate { value: value.into() }))
}

#[test]
fn mistakes_are_found_when_built() {
    let per_prefix = || Policy::new().sends_per_prefix(3, 1, Duration::from_secs(60));
    let enrollment = async |_: Caller, _: String| Ok(Recipient::known_to_sender());
    let table = vec![
        (StepUp::builder(), Some(ConfigError::NoChannel)),
        (builder(), None),
        (builder().push("SMS", ignored), None),
        (builder().otp("SMS", ignored), Some(ConfigError::DuplicateChannel { channel: "SMS".into() })),
        (builder().otp("", ignored), Some(ConfigError::InvalidChannelName { channel: String::new() })),
        (builder().push("a/b", ignored), Some(ConfigError::InvalidChannelName { channel: "a/b".into() })),
        (builder().push("ü", ignored), Some(ConfigError::InvalidChannelName { channel: "ü".into() })),
        (builder().push("BIO", discard), Some(ConfigError::DiscardOutsideSandbox { channel: "BIO".into() })),
        (builder().otp("EMAIL", discard), Some(ConfigError::DiscardOutsideSandbox { channel: "EMAIL".into() })),
        (builder().otp("EMAIL", discard).push("BIO", discard).sandbox(), None),
        (builder().policy(per_prefix()), Some(ConfigError::NoRecipients)),
        (builder().policy(per_prefix()).enrollment(enrollment), None),
        (builder().public_path("/a/b"), None),
        (builder().public_path("/a/"), Some(ConfigError::InvalidPath { setting: "public_path", path: "/a/".into() })),
        (builder().public_path("a"), Some(ConfigError::InvalidPath { setting: "public_path", path: "a".into() })),
        (builder().public_path("/"), Some(ConfigError::InvalidPath { setting: "public_path", path: "/".into() })),
        (builder().public_path("//a"), Some(ConfigError::InvalidPath { setting: "public_path", path: "//a".into() })),
        (builder().public_path("/`"), Some(ConfigError::InvalidPath { setting: "public_path", path: "/`".into() })),
        (builder().public_path("/a-b_c.d~1/%20"), None),
        (
            builder().public_path("/a\"b"),
            Some(ConfigError::InvalidPath { setting: "public_path", path: "/a\"b".into() }),
        ),
        (builder().authenticate("Bearer realm=\"x\""), None),
        (
            builder().authenticate("basic realm=x"),
            Some(ConfigError::InvalidAuthenticate { value: "basic realm=x".into() }),
        ),
        (builder().authenticate("Bearer realm=\"Basic, \\\", Basic\", error=\"x\""), None),
        (builder().authenticate("A,Basic"), Some(ConfigError::InvalidAuthenticate { value: "A,Basic".into() })),
        (builder().authenticate("Basic,"), Some(ConfigError::InvalidAuthenticate { value: "Basic,".into() })),
        (
            builder().authenticate("A x=\"1\", basic realm=x"),
            Some(ConfigError::InvalidAuthenticate { value: "A x=\"1\", basic realm=x".into() }),
        ),
        // A comma inside quotes separates nothing, and an escaped quote does not end them.
        (builder().authenticate(r#"A x="1, Basic y""#), None),
        (builder().authenticate(r#"A x="\", Basic y""#), None),
        (builder().authenticate(r#"A x="\\\", Basic y""#), None),
        (builder().authenticate(r#"A x=\", Basic y""#), None),
        refuses_challenge(r#"A x="\\", Basic y"#),
        refuses_challenge(r#"A x="\"", Basic y"#),
        refuses_challenge(r#"A x="a\b", Basic y"#),
        (builder().authenticate(""), Some(ConfigError::InvalidAuthenticate { value: String::new() })),
        (builder().authenticate("A\r\nB: c"), Some(ConfigError::InvalidAuthenticate { value: "A\r\nB: c".into() })),
        (builder().grpc_domain("bank.example"), None),
        (builder().grpc_domain(""), Some(ConfigError::InvalidGrpcDomain { domain: String::new() })),
        (builder().grpc_domain("a b"), Some(ConfigError::InvalidGrpcDomain { domain: "a b".into() })),
        (builder().random(|_| Err(RandomFailed)), Some(ConfigError::RandomUnavailable)),
        (builder().otp("e-Mail", ignored).policy(Policy::psd2()), None),
        (builder().push("EMAIL", ignored).policy(Policy::nist()), None),
        (
            builder().otp("e-Mail", ignored).policy(Policy::nist()),
            Some(ConfigError::EmailChannel { channel: "e-Mail".into() }),
        ),
    ];
    for (i, (builder, expected)) in table.into_iter().enumerate() {
        assert_eq!(builder.build().err(), expected, "row {i}");
    }
    assert!(matches!(
        builder().policy(Policy::new().max_attempts(0)).build().err(),
        Some(ConfigError::OutOfBounds { setting: "max_attempts", .. })
    ));
}

/// T11: without randomness nothing is started and nothing is sent.
#[tokio::test]
async fn a_generator_that_fails_later_fails_the_start() {
    thread_local! {
        static LEFT: Cell<u8> = const { Cell::new(2) };
    }
    // Just enough for the secret and the seed of a build.
    let random: Random = |buffer| match LEFT.get().checked_sub(1) {
        Some(left) => {
            LEFT.set(left);
            system_random(buffer)
        }
        None => Err(RandomFailed),
    };
    let sender = |_: OtpMessage| async { panic!("nothing is to be sent") };
    let step_up = StepUp::builder().otp("SMS", sender).push("BIO", ignored).random(random).build().unwrap();
    let alice = Caller::user("alice").session("1");
    assert_eq!(step_up.start_otp(&alice, "SMS", None).await, Err(ChallengeError::Internal));
    assert_eq!(step_up.start_push(&alice, "BIO", None).await.map(drop), Err(ChallengeError::Internal));
    assert_eq!(step_up.verify_otp(&alice, "SMS", "123456").await.map(drop), Err(ChallengeError::StateInvalid));
}

#[test]
fn a_shared_store_needs_a_shared_secret_and_a_record_key() {
    #[derive(Clone)]
    struct Elsewhere;
    impl Store for Elsewhere {
        async fn load(&self, _: Key) -> Result<Option<Stored>, StoreError> {
            Ok(None)
        }
        async fn swap(&self, _: &[Change]) -> Result<Swapped, StoreError> {
            Ok(Swapped::Done)
        }
    }
    let shared = || builder().store(Elsewhere);
    assert_eq!(shared().build().err(), Some(ConfigError::SecretRequired));
    let with_secret = || shared().secret(Secret::new([1; 32]).unwrap());
    let refused = with_secret().build().unwrap_err();
    assert_eq!(refused, ConfigError::RecordKeyRequired);
    assert!(refused.to_string().contains(".record_key("), "{refused}");
    assert!(with_secret().record_key(Secret::new([2; 32]).unwrap()).build().is_ok());
}
