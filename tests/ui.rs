//! Compiler errors for what does not fit: they suggest a fix.

use std::{fs, path::Path, process::Command};

/// The manifest of a separate package, with the versions of the tests.
const MANIFEST: &str = r#"
[package]
name = "ui"
edition = "2024"

[[bin]]
name = "bodies"
path = 'ROOT/tests/ui/bodies.rs'

[[bin]]
name = "senders"
path = 'ROOT/tests/ui/senders.rs'

[dependencies]
tower-step-up.path = 'ROOT'
bytes = "1"
http = "1"
tonic = { version = "0.14", default-features = false }
tower = { version = "0.5", features = ["util"] }

[workspace]
"#;

/// The errors of a program, without `error[E0277]: `.
fn errors(program: &str) -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui").join(program);
    fs::create_dir_all(&package).unwrap();
    fs::write(package.join("Cargo.toml"), MANIFEST.replace("ROOT", root)).unwrap();
    fs::copy(Path::new(root).join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let check = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--target-dir", "../target", "--bin", program])
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(&package)
        .output()
        .unwrap();
    assert!(!check.status.success());
    let said = String::from_utf8(check.stderr).unwrap();
    said.split("error[E0277]: ").skip(1).map(str::to_owned).collect()
}

#[track_caller]
fn assert_suggests(program: &str, expected: &[(&str, &[&str])]) {
    let errors = errors(program);
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (message, cures)) in errors.iter().zip(expected) {
        assert!(cures.iter().chain([message]).all(|part| error.contains(part)), "{message}: {error}");
    }
}

#[test]
fn bodies_that_a_guard_cannot_build() {
    let refuses = [
        "this guard cannot refuse for a service with that response body",
        "the default needs a body that is `From<bytes::Bytes>`, such as `axum::body::Body`",
        "for a service that speaks only gRPC, such as tonic's: `RequireStepUp::new(&step_up).grpc()`, which needs a \
         body that is `Default`",
        "for any other body, say how it is built: `RequireStepUp::new(&step_up).with_refusal_response(|refusal, terms, request| \
         ..)`",
    ];
    let rebuilds = [
        "this guard cannot hand on the request that it has read",
        "the default needs a request body that is `From<bytes::Bytes>`",
        "for any other body, say how it is made: `.bind(binding).rebuild_with(axum::body::Body::new)`",
    ];
    let expected = [
        ("Negotiate` cannot build a refusal with a body of type `", &refuses[..]),
        ("Negotiate` cannot build a refusal with a body of type `", &refuses),
        ("Grpc` cannot build a refusal with a body of type `", &refuses),
        ("FromBytes` cannot rebuild a request body of type `", &rebuilds),
    ];
    assert_suggests("bodies", &expected);
}

#[test]
fn senders_that_are_none() {
    let sender = [
        "not an `OtpSender`",
        "an async closure: `async move |message: OtpMessage| { .. }`, which returns a `Result<(), DeliveryError>`",
        "it is cloned for each message: what it captures must be `Clone`, `Send` and `Sync`, such as a client or an `Arc`",
        "or a type of yours that implements `OtpSender`",
    ];
    let enrollment =
        ["an async closure: `async move |caller: Caller, channel: String| { .. }`", "such as a pool or an `Arc`"];
    assert_suggests(
        "senders",
        &[("cannot send `OtpMessage`s", &sender), ("does not say which channels a user has enrolled", &enrollment)],
    );
}
