//! Compiler errors for bodies that a guard cannot build: they suggest a fix.

use std::{fs, path::Path, process::Command};

/// The manifest of a separate package, with the versions of the tests.
const MANIFEST: &str = r#"
[package]
name = "ui"
edition = "2024"

[[bin]]
name = "bodies"
path = 'ROOT/tests/ui/bodies.rs'

[dependencies]
tower-step-up.path = 'ROOT'
bytes = "1"
http = "1"
tonic = { version = "0.14", default-features = false }
tower = { version = "0.5", features = ["util"] }

[workspace]
"#;

#[test]
fn the_compiler_suggests_a_fix() {
    let root = env!("CARGO_MANIFEST_DIR");
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
    fs::create_dir_all(&package).unwrap();
    fs::write(package.join("Cargo.toml"), MANIFEST.replace("ROOT", root)).unwrap();
    fs::copy(Path::new(root).join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let check = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--target-dir", "target"])
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(&package)
        .output()
        .unwrap();
    assert!(!check.status.success());
    let said = String::from_utf8(check.stderr).unwrap();
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
    let errors: Vec<_> = said.split("error[E0277]: ").skip(1).collect();
    assert_eq!(errors.len(), expected.len(), "{said}");
    for (error, (message, cures)) in errors.iter().zip(expected) {
        assert!(cures.iter().chain([&message]).all(|part| error.contains(part)), "{message}: {error}");
    }
}
