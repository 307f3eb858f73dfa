//! The code generated from the `.proto` files is checked in, so that protoc is not needed; this test checks that it is
//! up to date. `UPDATE_GENERATED=1 cargo test -p grpc --test generated` regenerates it.

use std::{env, fs, path::Path};

use tonic_prost_build::{Builder, configure};

/// Generates the file of a package and compares it with the checked-in file.
fn check(builder: Builder, proto: &str, package: &str, checked_in: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(checked_in);
    fs::create_dir_all(&out).unwrap();
    let proto = root.join(proto);
    let include = proto.parent().unwrap();
    let descriptors = protox::compile([&proto], [include]).unwrap();
    builder.out_dir(&out).compile_fds(descriptors).unwrap();

    let fresh = fs::read_to_string(out.join(format!("{package}.rs"))).unwrap();
    let checked_in = root.join(checked_in);
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&checked_in, &fresh).unwrap();
    }
    let fresh = fs::read_to_string(&checked_in).is_ok_and(|known| known == fresh);
    assert!(fresh, "{} is stale: UPDATE_GENERATED=1 cargo test -p grpc --test generated", checked_in.display());
}

/// The server of the challenge endpoints, with its own codec.
#[test]
fn the_companion() {
    let builder = configure().build_client(false).build_transport(false).codec_path("crate::grpc::codec::Protobuf");
    check(builder, "proto/stepup/v1/step_up.proto", "stepup.v1", "src/grpc/stepup.v1.rs");
}

/// The client of the challenge endpoints in `clients/rust`, which has no transport; the tests here use it, too.
#[test]
fn a_client() {
    check(
        configure().build_server(false).build_transport(false),
        "proto/stepup/v1/step_up.proto",
        "stepup.v1",
        "clients/rust/src/challenges/stepup.v1.rs",
    );
}

#[test]
fn the_bank() {
    check(configure(), "proto/bank/v1/bank.proto", "bank.v1", "examples/grpc/tonic/bank.v1.rs");
}

#[test]
fn every_kind_of_method() {
    check(configure(), "examples/grpc/tests/grpc/kinds.proto", "kinds.v1", "examples/grpc/tests/grpc/kinds.v1.rs");
}
